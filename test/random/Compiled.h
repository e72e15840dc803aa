// Compiled code against the reference: the whole way down to an artifact, loaded and run as a program would.
#pragma once

#include "test/random/Check.h"

namespace transom::random {

struct CompiledFailure {
  std::string text;
  bool isRefusal = false; ///< a stage says that it does not support the graph
};

/// Compiles `naive` as `variant` says and compares every output. The bound is that of kernels, or what rounding to fp32
/// costs the interpreter itself, if that is more.
std::optional<CompiledFailure> checkCompiled(mlir::ModuleOp naive, const WeightFile &weights, Reference &reference, const Variant &variant);

} // namespace transom::random
