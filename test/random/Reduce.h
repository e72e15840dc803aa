// Makes a failing graph small while it still fails in the same way.
#pragma once

#include "test/random/Check.h"
#include "test/random/Spec.h"

namespace transom::random {

/// Whether a graph still fails. Called in a process of its own each time, so it may crash.
using StillFails = std::function<bool(mlir::ModuleOp)>;

/// `spec` with its numbers as small as they can be.
Spec reduceSpec(Spec spec, const std::function<bool(const Spec &)> &stillFails);
/// `module` with results and arguments dropped, and ops replaced by an operand of their type or by zeros.
mlir::OwningOpRef<mlir::ModuleOp> reduceGraph(mlir::ModuleOp module, const StillFails &stillFails);

/// Runs `question` in a child process: its answer, or `crashed` if it ends by a signal or takes longer than `seconds`.
bool inChild(const std::function<bool()> &question, bool crashed, unsigned seconds = 20);

} // namespace transom::random
