// Scalar regions as CUDA C++: the table from arith and math ops to expressions.
#pragma once

#include "codegen/cuda/KernelText.h"

namespace transom::cuda {

/// Adds lines that compute `block` on these numbers (in computeType of the arguments) and returns the name of what it yields, as precise as
/// a number of type `kept` needs where it is normal. Fails, after a diagnostic, on an op without CUDA form.
mlir::FailureOr<std::string> emitScalars(KernelText &text, mlir::Block &block, llvm::ArrayRef<std::string> arguments, DType kept);

/// The same for an elementwise op, or what a transom.fused computes at each element.
mlir::FailureOr<std::string> emitScalars(KernelText &text, mlir::Operation *op, llvm::ArrayRef<std::string> arguments, DType kept);

/// `value`, of computeType(element), as number of type `dtype` in memory; and back.
std::string toMemory(llvm::StringRef value, DType dtype);
std::string fromMemory(llvm::StringRef value, DType dtype);

} // namespace transom::cuda
