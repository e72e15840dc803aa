# Readers of model files.
foreach(name Gguf Safetensors BlockFormats)
  transom_unit_test(${name} transom_model_files)
endforeach()
target_compile_definitions(BlockFormats PRIVATE TRANSOM_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/data")

add_executable(ModelFilesFuzz ../fuzz/ModelFiles.cpp)
target_link_libraries(ModelFilesFuzz PRIVATE transom_model_files)
set_target_properties(ModelFilesFuzz PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
add_test(NAME ModelFilesFuzz COMMAND ModelFilesFuzz)

# Importers.
if(TARGET transom_import)
  transom_unit_test(Import transom_import transom_llvm_archives)
  add_executable(FuzzImport ../fuzz/FuzzImport.cpp)
  target_link_libraries(FuzzImport PRIVATE transom_import transom_llvm_archives)
  set_target_properties(FuzzImport PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
  add_test(NAME FuzzImport COMMAND FuzzImport)
endif()
