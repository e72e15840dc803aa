// Tidying up behind passes that change shapes.
#pragma once

#include "ir/Transom.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace transom {

/// A reshape of a view reads what the view is of, where it can still say its own shape; one that undoes it goes.
void joinReshapes(mlir::func::FuncOp function);
/// Erases ops without users and without effects.
void eraseDead(mlir::func::FuncOp function);

} // namespace transom
