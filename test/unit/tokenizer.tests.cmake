# A program for comparisons with the reference: ids and decoded text of many lines.
add_executable(tokenize-lines ${PROJECT_SOURCE_DIR}/test/e2e/tokenizer/tokenize_lines.cpp)
target_link_libraries(tokenize-lines PRIVATE transom_options transom_tokenizer)
set_target_properties(tokenize-lines PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
