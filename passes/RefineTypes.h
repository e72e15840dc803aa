// Cloning ops onto operands of other, usually more static, types.
#pragma once

#include "ir/Transom.h"

#include "mlir/IR/IRMapping.h"

namespace transom {

/// Clones `op` with its operands taken from `mapping` and its result types inferred anew; sizes that were static stay so.
/// Maps the old results to the new ones. Null if the op does not accept the operands; then nothing is created.
mlir::Operation *cloneRefined(mlir::OpBuilder &builder, mlir::Operation *op, mlir::IRMapping &mapping);

} // namespace transom
