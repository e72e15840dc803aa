// What transom-opt runs: here, so that the tool shares the compiler library instead of a second copy of MLIR.
#pragma once

namespace transom {

/// The command line of transom-opt; returns its exit code. Besides MLIR's usual options: `--interpret=<function>` evaluates
/// (see InterpretMain.h), `--print-cpu-llvm=<level> <file>` prints the LLVM IR of a plan's kernels before optimisation.
__attribute__((visibility("default"))) int optMain(int argc, char **argv);

} // namespace transom
