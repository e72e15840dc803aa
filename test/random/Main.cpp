// transom-random: see Arguments.cpp.
#include "test/random/RandomMain.h"

int main(int argc, char **argv) { return transom::random::randomMain(argc, argv); }
