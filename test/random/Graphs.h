// Random transformer graphs in the plain form that importers write.
#pragma once

#include "test/random/Spec.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace transom::random {

/// The graph of `spec` with its perturbation. Null, after a diagnostic, if it does not verify.
mlir::OwningOpRef<mlir::ModuleOp> makeGraph(mlir::MLIRContext &context, const Spec &spec);

} // namespace transom::random
