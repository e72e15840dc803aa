// Where numbers come from: constants and weights. Private to this folder.
#pragma once

#include "compiler/interpreter/Interpreter.h"

namespace transom::interpreter {

/// Whether the op takes no operands and gives the same numbers each time: weight, constant or recipe.
bool isSource(mlir::Operation &op);

/// The numbers of a stored tensor. Error: too many elements.
Result<Tensor> decode(const transom::Tensor &stored);

/// Error: the type's elements or static sizes are not these.
Status checkType(mlir::Type type, DType dtype, llvm::ArrayRef<int64_t> shape);

} // namespace transom::interpreter
