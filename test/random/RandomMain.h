// The program, free of MLIR.
#pragma once

namespace transom::random {

/// The exit code.
int randomMain(int argc, char **argv);

} // namespace transom::random
