// Whether the sizes that a graph's ops need to be equal are so by their names. An op verifies where sizes are `?`, and no
// compiled code asks: what names cannot show is refused before the first pass.
#pragma once

#include "runtime/support/Status.h"

#include "mlir/IR/BuiltinOps.h"

namespace transom {

/// Error: unsupported, naming the op, its layer and the sizes of its operands. Ops with a size that has no name are left
/// to lower-to-plan, which needs to know every size.
Status checkSizes(mlir::ModuleOp module);

} // namespace transom
