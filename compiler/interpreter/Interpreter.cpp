// The driver: walks a function, checks each op's operands, calls its function and rounds its results.
#include "compiler/interpreter/Interpreter.h"
#include "compiler/interpreter/Ops.h"
#include "compiler/interpreter/Sizes.h"
#include "compiler/interpreter/Sources.h"

#include "llvm/ADT/StringMap.h"

namespace transom::interpreter {

/// Tensors of one block, each dropped at its last use, so that memory is bounded by what is live.
struct Interpreter::Scope {
  struct Held {
    Tensor tensor;
    size_t usesLeft;
  };
  llvm::DenseMap<mlir::Value, Held> tensors;

  void hold(mlir::Value value, Tensor tensor) {
    if (size_t uses = std::distance(value.use_begin(), value.use_end()))
      tensors.try_emplace(value, Held{std::move(tensor), uses});
  }
};

static const llvm::StringMap<Function> &functions() {
  static const llvm::StringMap<Function> table = [] {
    llvm::StringMap<Function> map;
    for (llvm::ArrayRef<Entry> family :
         {elementwiseOps(), matmulOps(), reduceOps(), attentionOps(), tokenOps(), sampleOps(), shapeOps(), quantOps(),
          cacheOps(), packedOps(), fusedOps()})
      for (const Entry &entry : family)
        map[entry.name] = entry.function;
    return map;
  }();
  return table;
}

/// "file:line:column: 'transom.add' op", or without a place where the op has none.
static std::string placeOf(mlir::Operation &op) {
  std::string name = "'" + op.getName().getStringRef().str() + "' op";
  if (auto place = op.getLoc()->findInstanceOf<mlir::FileLineColLoc>())
    return fmt::format("{}:{}:{}: {}", place.getFilename().str(), place.getLine(), place.getColumn(), name);
  return name;
}

Result<std::vector<Tensor>> Interpreter::run(mlir::func::FuncOp function, std::vector<Tensor> inputs) {
  std::string name = "function @" + function.getName().str();
  if (function.isExternal() || !llvm::hasSingleElement(function.getBody()))
    return error(StatusCode::invalidArgument, "{} has no body of one block", name);
  for (Tensor &input : inputs)
    input.round(precision);
  NamedSizes sizes(function);
  if (Status status = sizes.checkArguments(inputs); !status.ok())
    return status.within(name);
  TRANSOM_ASSIGN(std::vector<Tensor> results, runBlock(function.getBody().front(), std::move(inputs)));
  if (Status status = sizes.checkResults(results); !status.ok())
    return status.within(name);
  return results;
}

Result<std::vector<Tensor>> Interpreter::runBlock(mlir::Block &block, std::vector<Tensor> arguments) {
  Scope scope;
  for (auto [value, tensor] : llvm::zip(block.getArguments(), arguments))
    scope.hold(value, std::move(tensor));
  arguments.clear();
  for (mlir::Operation &op : block.without_terminator()) {
    if (isSource(op))
      continue; // evaluated where it is used
    Result<std::vector<Tensor>> results = runOp(op, scope);
    if (!results.ok())
      return results.status().within(placeOf(op));
    for (auto [value, tensor] : llvm::zip(op.getResults(), *results))
      scope.hold(value, std::move(tensor));
  }
  std::vector<Tensor> results;
  for (mlir::Value value : block.getTerminator()->getOperands()) {
    TRANSOM_ASSIGN(Tensor tensor, operand(value, scope));
    results.push_back(std::move(tensor));
  }
  return results;
}

Result<Tensor> Interpreter::operand(mlir::Value value, Scope &scope) {
  if (mlir::Operation *op = value.getDefiningOp(); op && isSource(*op)) {
    Result<Tensor> tensor = source(*op);
    return tensor.ok() ? std::move(tensor) : Result<Tensor>(tensor.status().within(placeOf(*op)));
  }
  auto held = scope.tensors.find(value);
  assert(held != scope.tensors.end() && "a value used more often than it has uses");
  if (--held->second.usesLeft > 0)
    return held->second.tensor;
  Tensor tensor = std::move(held->second.tensor);
  scope.tensors.erase(held);
  return tensor;
}

/// Results of the shapes that the op's constraints give for the operands' sizes.
static Result<std::vector<Tensor>> makeResults(ShapedOp op, llvm::ArrayRef<Tensor> operands) {
  llvm::SmallVector<Dims> dims;
  for (const Tensor &operand : operands)
    dims.emplace_back(operand.shape().begin(), operand.shape().end());
  std::string message;
  mlir::ScopedDiagnosticHandler handler(op.getContext(), [&](mlir::Diagnostic &diagnostic) {
    message = diagnostic.str();
    return mlir::success();
  });
  auto shapes = op.resultDims(dims, [&] { return mlir::emitError(op.getLoc()); });
  if (failed(shapes))
    return error(StatusCode::invalidArgument, "{}", message);
  std::vector<Tensor> results;
  for (auto [result, sizes] : llvm::zip(op->getResults(), *shapes)) {
    Tensor::Shape shape;
    for (const DimExpr &size : sizes) // a named one is found by the op itself, which then makes the result
      shape.push_back(size.constant().value_or(size.asSymbol() ? 0 : -1));
    TRANSOM_ASSIGN([[maybe_unused]] int64_t count, elementCount(shape));
    TRANSOM_RETURN_IF_ERROR(checkType(result.getType(), dtypeOf(result.getType()), shape));
    results.emplace_back(dtypeOf(result.getType()), std::move(shape));
  }
  return results;
}

Result<std::vector<Tensor>> Interpreter::runOp(mlir::Operation &op, Scope &scope) {
  if (auto group = mlir::dyn_cast<GroupOp>(op)) {
    std::vector<Tensor> inputs;
    for (mlir::Value value : group.getInputs()) {
      TRANSOM_ASSIGN(Tensor tensor, operand(value, scope));
      inputs.push_back(std::move(tensor));
    }
    return runBlock(group.getBody().front(), std::move(inputs));
  }
  Function function = functions().lookup(op.getName().getStringRef());
  auto shaped = mlir::dyn_cast<ShapedOp>(op);
  if (!function || !shaped)
    return error(StatusCode::unsupported, "the interpreter has no such op");
  llvm::SmallVector<mlir::Value> values(op.getOperands());
  Frame frame{&op, values, {}, {}, precision};
  for (mlir::Value value : values) {
    TRANSOM_ASSIGN(Tensor tensor, operand(value, scope));
    frame.in.push_back(std::move(tensor));
  }
  TRANSOM_ASSIGN(frame.out, makeResults(shaped, frame.in));
  TRANSOM_RETURN_IF_ERROR(function(frame));
  for (Tensor &result : frame.out)
    result.round(precision);
  return std::move(frame.out);
}

Result<Tensor> Interpreter::source(mlir::Operation &op) {
  if (auto constant = mlir::dyn_cast<ConstantOp>(op)) {
    Tensor tensor = fromElements(constant.getValue());
    tensor.round(precision);
    return tensor;
  }
  if (mlir::isa<WeightOp>(op))
    return weight(op);
  TRANSOM_ASSIGN(std::vector<Tensor> results, runBlock(mlir::cast<RecipeOp>(op).getBody().front(), {}));
  return std::move(results.front());
}

Result<Tensor> Interpreter::weight(mlir::Operation &op) {
  std::string name = mlir::cast<WeightOp>(op).getName().str();
  if (auto cached = cache.find(name); cached != cache.end()) {
    TRANSOM_RETURN_IF_ERROR(checkType(op.getResult(0).getType(), cached->second.dtype(), cached->second.shape()));
    return cached->second;
  }
  if (!weights)
    return error(StatusCode::notFound, "weight '{}': no file of weights was given", name);
  TRANSOM_ASSIGN(const transom::Tensor *stored, weights->get(name));
  TRANSOM_RETURN_IF_ERROR(checkType(op.getResult(0).getType(), stored->dtype, stored->shape).within(name));
  TRANSOM_ASSIGN(Tensor tensor, decode(*stored));
  // First come, first kept: a pass over all weights would sweep a least-recently-used cache empty each time.
  if (size_t bytes = static_cast<size_t>(tensor.size()) * sizeof(double); bytes <= cacheLeft) {
    cacheLeft -= bytes;
    cache.emplace(name, tensor);
  }
  return tensor;
}

} // namespace transom::interpreter
