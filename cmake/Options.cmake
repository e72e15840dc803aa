# Compile options that every target shares.
add_library(transom_options INTERFACE)
target_include_directories(transom_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
target_compile_options(transom_options INTERFACE
  -Wall -Wextra -Wno-unused-parameter -Werror=return-type -ffunction-sections -fdata-sections
  # Absolute paths of the build machine stay out of the binaries.
  -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=
  # Lets ccache see what a precompiled header stands for.
  $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
target_compile_definitions(transom_options INTERFACE XXH_INLINE_ALL)
target_link_options(transom_options INTERFACE -Wl,--gc-sections)
if(TRANSOM_SANITIZE)
  target_compile_options(transom_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(transom_options INTERFACE -fsanitize=address,undefined)
endif()

# fmt, compiled once where its version is known, else in every file.
find_package(fmt REQUIRED)
if(fmt_VERSION MATCHES "^9\\.")
  add_library(transom_fmt STATIC ${PROJECT_SOURCE_DIR}/cmake/Fmt.cpp)
  target_link_libraries(transom_options INTERFACE transom_fmt)
else()
  target_compile_definitions(transom_options INTERFACE FMT_HEADER_ONLY)
endif()
