// The reference interpreter of the graph dialect: defines what every op means, by evaluating it one op at a time in the
// plainest way. It shares no code with passes and codegen.
#pragma once

#include "compiler/import/files/TensorSource.h"
#include "compiler/interpreter/Tensor.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <map>

namespace transom::interpreter {

/// Serves one thread and one set of weights. Functions may change between runs.
class Interpreter {
public:
  /// `weights` (may be null, then graphs with weights are errors) outlives the interpreter. Up to `cacheBytes` of decoded
  /// weights are kept for the next use.
  explicit Interpreter(Precision precision = Precision::f32, const TensorSource *weights = nullptr,
                       size_t cacheBytes = size_t(1) << 30)
      : precision(precision), weights(weights), cacheLeft(cacheBytes) {}

  /// The results of a function of transom ops. Inputs are of the arguments' types; a cache is a tensor of its shape.
  /// Dynamic sizes come from the inputs; those that `transom.dims` names must agree with each other and with
  /// `transom.bounds`, as must the results'. Errors name the place and the violated constraint: inputs that do not fit,
  /// sizes that do not fit each other, lengths out of range, missing weights.
  Result<std::vector<Tensor>> run(mlir::func::FuncOp function, std::vector<Tensor> inputs);

private:
  struct Scope;
  Result<std::vector<Tensor>> runBlock(mlir::Block &block, std::vector<Tensor> arguments);
  Result<std::vector<Tensor>> runOp(mlir::Operation &op, Scope &scope);
  Result<Tensor> operand(mlir::Value value, Scope &scope);
  Result<Tensor> source(mlir::Operation &op);
  Result<Tensor> weight(mlir::Operation &op);

  Precision precision;
  const TensorSource *weights;
  size_t cacheLeft;
  std::map<std::string, Tensor, std::less<>> cache;
};

/// The interpreter's type of a tensor's or cache's elements.
DType dtypeOf(mlir::Type type);
/// The constant's numbers.
Tensor fromElements(mlir::ElementsAttr elements);

} // namespace transom::interpreter
