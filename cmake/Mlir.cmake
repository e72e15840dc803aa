# Finds LLVM, MLIR and lld 19 and names their static archives.
#
# The exported CMake targets of distribution packages link the LLVM shared library; the tools must run on machines
# without it, so the archives are named here, in one group the linker resolves in any order.
find_package(MLIR 19.1 REQUIRED CONFIG HINTS /usr/lib/llvm-19/lib/cmake/mlir)
find_package(LLVM 19.1 REQUIRED CONFIG HINTS /usr/lib/llvm-19/lib/cmake/llvm)
list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
# LLVM's tablegen rules write depfiles relative to the build folder, as Ninja wants them; the newer policy would
# rewrite them, and every build would generate everything again.
cmake_policy(SET CMP0116 OLD)
include(TableGen)
include(AddLLVM)
include(AddMLIR)

add_library(transom_llvm_headers INTERFACE)
target_include_directories(transom_llvm_headers SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
target_compile_definitions(transom_llvm_headers INTERFACE ${LLVM_DEFINITIONS})
target_compile_options(transom_llvm_headers INTERFACE -fno-rtti)

find_library(TRANSOM_ZLIB libz.a REQUIRED)
find_library(TRANSOM_ZSTD libzstd.a REQUIRED)
file(GLOB TRANSOM_MLIR_ARCHIVES ${LLVM_LIBRARY_DIR}/libMLIR*.a)
file(GLOB TRANSOM_LLVM_ARCHIVES ${LLVM_LIBRARY_DIR}/libLLVM*.a)
add_library(transom_llvm_archives INTERFACE)
target_link_libraries(transom_llvm_archives INTERFACE
  -Wl,--start-group ${TRANSOM_MLIR_ARCHIVES} ${LLVM_LIBRARY_DIR}/liblldELF.a ${LLVM_LIBRARY_DIR}/liblldCommon.a
  ${TRANSOM_LLVM_ARCHIVES} -Wl,--end-group ${TRANSOM_ZLIB} ${TRANSOM_ZSTD} -ldl -lm -lpthread)
