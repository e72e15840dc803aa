// transom-opt: runs passes over graph text, for tests and for looking at what a pass does.
#include "compiler/OptMain.h"

int main(int argc, char **argv) { return transom::optMain(argc, argv); }
