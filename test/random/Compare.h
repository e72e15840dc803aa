// Which numbers of an output mean something, and whether two of them are the same.
#pragma once

#include "test/random/Inputs.h"

#include <functional>

namespace transom::random {

/// Which elements of result `index` of @main are defined for these inputs: those of tokens that the masks call valid;
/// of a graph that takes the first token, only of rows whose first token is valid.
std::vector<bool> definedElements(mlir::func::FuncOp main, unsigned index, const Batch &batch, const std::vector<int64_t> &shape);

/// How far two tensors are apart: the first element that differs by more than `tolerance` times the largest of 1, the
/// expected number and the tensor's root mean square; nothing if there is none. NaN where a number is expected differs;
/// where NaN is expected anything is right.
std::optional<std::string> difference(const interpreter::Tensor &found, const interpreter::Tensor &expected,
                                      const std::vector<bool> &defined, double tolerance);

} // namespace transom::random
