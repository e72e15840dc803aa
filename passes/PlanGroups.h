// Groups on their way into a plan: which become kernels, which are computed by the matrix library, which fall apart.
#pragma once

#include "ir/DimAnalysis.h"
#include "ir/GroupKernel.h"

namespace transom {

/// Whether the matrix library reads weights of this type.
bool isLibraryWeight(mlir::Type type);

/// Inlines groups that no kernel computes. A group with a product of many rows becomes what comes before it, the product,
/// and a group of what follows, which the product's step computes: each such product is a key of the result.
llvm::DenseMap<mlir::Operation *, GroupOp> prepareGroups(mlir::func::FuncOp function);

} // namespace transom
