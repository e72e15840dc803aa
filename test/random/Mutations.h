// Changes of a finished graph; see Perturbations.h.
#pragma once

#include "test/random/Perturbations.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace transom::random {

/// Applies the perturbation at a random value where it can be. False, and nothing changed, if there is none.
bool mutate(mlir::func::FuncOp function, const Perturbation &perturbation, Random &random);

} // namespace transom::random
