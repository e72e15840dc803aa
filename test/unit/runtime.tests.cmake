# The runtime's unit tests. Kernels for small artifacts come from a shared object built like a compiled model's.
add_library(transom_fixture_kernels MODULE FixtureKernels.cpp)
target_include_directories(transom_fixture_kernels PRIVATE ${PROJECT_SOURCE_DIR})
set_target_properties(transom_fixture_kernels PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)

# The same with another scale, for two models at once.
add_library(transom_other_kernels MODULE FixtureKernels.cpp)
target_compile_definitions(transom_other_kernels PRIVATE ROW_SCALE=6)
target_include_directories(transom_other_kernels PRIVATE ${PROJECT_SOURCE_DIR})
set_target_properties(transom_other_kernels PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)

function(transom_runtime_test name)
  transom_unit_test(${name} ${ARGN})
  target_compile_definitions(${name} PRIVATE
    TRANSOM_FIXTURE_KERNELS="$<TARGET_FILE:transom_fixture_kernels>")
  add_dependencies(${name} transom_fixture_kernels)
endfunction()

transom_runtime_test(Artifact transom_artifact_writer)
transom_runtime_test(Session transom_runtime_static transom_artifact_writer)
target_compile_definitions(Session PRIVATE TRANSOM_OTHER_KERNELS="$<TARGET_FILE:transom_other_kernels>")
add_dependencies(Session transom_other_kernels)
transom_unit_test(E4m3)
transom_unit_test(ThreadPool transom_runtime_static)
transom_unit_test(Gemm transom_runtime_static)

add_executable(FuzzArtifact ../fuzz/FuzzArtifact.cpp)
target_link_libraries(FuzzArtifact PRIVATE transom_artifact_writer GTest::gtest)
target_compile_definitions(FuzzArtifact PRIVATE TRANSOM_FIXTURE_KERNELS="$<TARGET_FILE:transom_fixture_kernels>")
add_dependencies(FuzzArtifact transom_fixture_kernels)
set_target_properties(FuzzArtifact PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
add_test(NAME FuzzArtifact COMMAND FuzzArtifact)
transom_unit_test(Sampling)
transom_unit_test(Planes transom_model_files)
transom_runtime_test(SessionGenerate transom_runtime_static transom_artifact_writer)
transom_runtime_test(SessionClassify transom_runtime_static transom_artifact_writer)
transom_runtime_test(PaddedPrompts transom_runtime_static transom_artifact_writer)
transom_runtime_test(CApi transom_runtime transom_artifact_writer transom_tokenizer)
target_compile_definitions(CApi PRIVATE TRANSOM_EXAMPLE_GENERATE="$<TARGET_FILE:example_generate>"
  TRANSOM_EXAMPLE_EMBED="$<TARGET_FILE:example_embed>")
add_dependencies(CApi example_generate example_embed)
# A program that counts allocations, for test/e2e/memory.py. Libraries loaded later see its malloc, so it exports it.
add_executable(measure-memory ${PROJECT_SOURCE_DIR}/test/e2e/memory/measure.cpp ${PROJECT_SOURCE_DIR}/test/e2e/memory/Hooks.cpp)
target_link_libraries(measure-memory PRIVATE transom_options transom_runtime_static)
set_target_properties(measure-memory PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test ENABLE_EXPORTS ON)
# Sessions on CUDA without a GPU: the fake driver, and kernels on the emulator.
foreach(name SessionCuda GenerateCuda)
  transom_runtime_test(${name} transom_runtime_static transom_artifact_writer transom_fake_cuda)
  target_compile_definitions(${name} PRIVATE TRANSOM_SOURCE_FOLDER="${PROJECT_SOURCE_DIR}")
endforeach()
