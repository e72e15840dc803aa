# A text file as a C++ string: cmake -DINPUT=page.html -DOUTPUT=page.cpp -DNAME=page -P EmbedText.cmake
file(READ ${INPUT} text)
file(WRITE ${OUTPUT} "namespace transom {
extern const char *const ${NAME};
const char *const ${NAME} = R\"~~~~(${text})~~~~\";
} // namespace transom
")
