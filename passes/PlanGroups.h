// Groups on their way into a plan: which become kernels, which are computed by the matrix library, which fall apart.
#pragma once

#include "ir/DimAnalysis.h"
#include "ir/GroupKernel.h"
#include "passes/Report.h"

namespace transom {

/// Whether the matrix library reads weights of this type.
bool isLibraryWeight(mlir::Type type);

/// Inlines groups that no kernel computes. A group with a product of many rows becomes what comes before it, the product,
/// and a group of what follows, which the product's step computes: each such product is a key of the result. Conditions,
/// each a rejection where it fails, with what falls apart for it:
/// G1: one kernel computes the group (ir/GroupKernel.h), or the matrix library its product. G2: a kernel computes what stands
/// before such a product, and one what stands behind it. G3: what stands behind it is all that reads the product, and has at
/// most plan::maxEpilogueBuffers buffers.
llvm::DenseMap<mlir::Operation *, GroupOp> prepareGroups(mlir::func::FuncOp function, const Reporter &reporter);

} // namespace transom
