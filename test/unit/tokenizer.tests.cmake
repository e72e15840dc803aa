# A program for comparisons with the reference: ids and decoded text of many lines.
add_executable(tokenize-lines ${PROJECT_SOURCE_DIR}/test/e2e/tokenizer/tokenize_lines.cpp)
target_link_libraries(tokenize-lines PRIVATE transom_options transom_tokenizer)
set_target_properties(tokenize-lines PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)

transom_unit_test(TokenizerTest transom_tokenizer)
transom_unit_test(TokenizerTextTest transom_tokenizer)
transom_unit_test(SentencePieceTest transom_tokenizer)

# TRANSOM_FUZZ_COUNT raises the number of damaged files.
add_executable(FuzzTokenizer ${PROJECT_SOURCE_DIR}/test/fuzz/FuzzTokenizer.cpp)
target_link_libraries(FuzzTokenizer PRIVATE transom_options transom_tokenizer)
set_target_properties(FuzzTokenizer PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
add_test(NAME FuzzTokenizer COMMAND FuzzTokenizer)
