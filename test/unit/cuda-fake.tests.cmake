# The fake driver with the emulator behind it: for unit tests, and as libcuda.so.1 and cuBLASLt in one library for the command
# (see test/emulator/README.md).
add_library(transom_fake_cuda STATIC FakeCuda.cpp FakeCudaDriver.cpp FakeCudaGraphs.cpp FakeCublasLt.cpp)
target_link_libraries(transom_fake_cuda PUBLIC transom_emulator transom_cuda)
set_source_files_properties(FakeCublasLt.cpp PROPERTIES COMPILE_OPTIONS -O3)

add_library(transom_fake_driver SHARED FakeCuda.cpp FakeCudaDriver.cpp FakeCudaGraphs.cpp FakeCublasLt.cpp)
target_link_libraries(transom_fake_driver PRIVATE transom_emulator transom_cuda)
target_compile_definitions(transom_fake_driver PRIVATE TRANSOM_FAKE_EXPORTS)
set_target_properties(transom_fake_driver PROPERTIES OUTPUT_NAME cuda SOVERSION 1 LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fake-cuda)

foreach(name CudaEmulated CudaHopper CudaWgmma)
  transom_unit_test(${name} transom_emulator)
endforeach()
transom_unit_test(CudaProducts transom_fake_cuda)
transom_unit_test(CudaFake transom_fake_cuda transom_artifact_writer)
target_compile_definitions(CudaFake PRIVATE TRANSOM_FIXTURE_KERNELS="$<TARGET_FILE:transom_fixture_kernels>")
add_dependencies(CudaFake transom_fixture_kernels)
