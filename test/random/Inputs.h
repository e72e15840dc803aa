// Inputs for a graph by the names and sizes of its arguments, so that any .mlir of that form can be run.
#pragma once

#include "compiler/interpreter/Tensor.h"
#include "test/random/Random.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <map>

namespace transom::random {

using interpreter::Tensor; // not the tensor of a model file
using Tensors = std::vector<Tensor>;

std::string argumentName(mlir::func::FuncOp function, unsigned index);
std::string resultName(mlir::func::FuncOp function, unsigned index);
/// The text of the sizes that `transom.dims` gives.
std::vector<std::string> argumentSizes(mlir::func::FuncOp function, unsigned index);
std::vector<std::string> resultSizes(mlir::func::FuncOp function, unsigned index);

/// A value for each named size.
using Sizes = std::map<std::string, int64_t>;
std::optional<int64_t> evaluate(const std::string &expr, const Sizes &sizes);

/// Which tokens of rows are valid.
enum class Padding { none, right, left, holes, emptyRow, onlyOne, mixed };

struct Batch {
  std::string what; ///< "batch=2 past=0 seq=5, left"
  Sizes sizes;
  Tensors inputs;
};

/// Random sizes within the module's bounds, and inputs for @main of them. Masks are as `padding` says, positions count
/// the valid tokens, ids are small.
Batch makeBatch(mlir::func::FuncOp function, Random &random, Padding padding);
/// Row `row` of the inputs alone, without its padding if it has none but on the right or left; nothing if the function
/// has no size "batch" or the row has no valid token or holes.
std::optional<Batch> singleRow(mlir::func::FuncOp function, const Batch &batch, int64_t row);

/// Random numbers for a float tensor, small ids for an integer one.
interpreter::Tensor randomTensor(mlir::Type type, std::vector<int64_t> shape, const std::string &name, Random &random);


} // namespace transom::random
