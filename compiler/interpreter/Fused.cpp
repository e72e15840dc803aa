// Fused regions: the body becomes a list of steps over numbered slots, which runs once per element.
#include "compiler/interpreter/Ops.h"
#include "compiler/interpreter/Reduction.h"
#include "compiler/interpreter/ScalarOps.h"

#include "llvm/ADT/TypeSwitch.h"

namespace transom::interpreter {

namespace {

struct Step {
  ScalarFunction function;
  ScalarOp op;
  std::vector<unsigned> operands;
  unsigned result;
};

struct Program {
  std::vector<Step> steps;
  std::vector<Number> slots; ///< region arguments first, then constants and results
  unsigned result = 0;
};

Number constantOf(mlir::arith::ConstantOp op, Precision precision) {
  if (auto number = mlir::dyn_cast<mlir::FloatAttr>(op.getValue()))
    return {.f = roundTo(dtypeOf(op.getType()), number.getValueAsDouble(), precision)};
  auto number = mlir::cast<mlir::IntegerAttr>(op.getValue());
  return {.i = wrapTo(dtypeOf(op.getType()), number.getValue().getSExtValue())};
}

Status addStep(mlir::Operation &op, llvm::DenseMap<mlir::Value, unsigned> &slotOf, Program &program) {
  std::string name = op.getName().getStringRef().str();
  ScalarFunction function = scalarFunction(name);
  bool scalars = op.getNumResults() == 1 && op.getNumOperands() >= 1 &&
                 llvm::all_of(op.getOperandTypes(), isScalar) && isScalar(op.getResult(0).getType());
  if (!function || !scalars)
    return error(StatusCode::unsupported, "'{}' cannot stand in a fused region", name);
  Step step{function, {dtypeOf(op.getOperand(0).getType()), dtypeOf(op.getResult(0).getType()), 0}, {}, 0};
  llvm::TypeSwitch<mlir::Operation *>(&op).Case<mlir::arith::CmpFOp, mlir::arith::CmpIOp>(
      [&](auto compare) { step.op.predicate = static_cast<int64_t>(compare.getPredicate()); });
  if (name == "arith.bitcast" && (step.op.operand == DType::f16 || step.op.operand == DType::bf16 ||
                                  step.op.result == DType::f16 || step.op.result == DType::bf16))
    return error(StatusCode::unsupported, "'arith.bitcast' of 16-bit floats cannot stand in a fused region");
  for (mlir::Value operand : op.getOperands())
    step.operands.push_back(slotOf.lookup(operand));
  step.result = slotOf[op.getResult(0)] = program.slots.size();
  program.slots.push_back({.i = 0});
  program.steps.push_back(std::move(step));
  return {};
}

Result<Program> compile(mlir::Block &block, Precision precision) {
  Program program;
  llvm::DenseMap<mlir::Value, unsigned> slotOf;
  for (mlir::Value argument : block.getArguments()) {
    slotOf[argument] = program.slots.size();
    program.slots.push_back({.i = 0});
  }
  for (mlir::Operation &op : block.without_terminator()) {
    if (auto constant = mlir::dyn_cast<mlir::arith::ConstantOp>(op)) {
      slotOf[constant] = program.slots.size();
      program.slots.push_back(constantOf(constant, precision));
    } else {
      TRANSOM_RETURN_IF_ERROR(addStep(op, slotOf, program));
    }
  }
  program.result = slotOf.lookup(block.getTerminator()->getOperand(0));
  return program;
}

Number evaluate(Program &program, Precision precision) {
  Number operands[3];
  for (const Step &step : program.steps) {
    for (size_t i = 0; i < step.operands.size(); ++i)
      operands[i] = program.slots[step.operands[i]];
    Number value = step.function(step.op, operands);
    if (Tensor::isIntegerType(step.op.result))
      value.i = wrapTo(step.op.result, value.i);
    else
      value.f = roundTo(step.op.result, value.f, precision);
    program.slots[step.result] = value;
  }
  return program.slots[program.result];
}

Tensor::Shape commonShape(llvm::ArrayRef<Tensor> tensors) {
  Tensor::Shape shape;
  for (const Tensor &tensor : tensors) {
    if (tensor.shape().size() > shape.size())
      shape.insert(shape.begin(), tensor.shape().size() - shape.size(), 1);
    for (size_t i = 1; i <= tensor.shape().size(); ++i)
      if (int64_t size = tensor.shape()[tensor.shape().size() - i]; size != 1)
        shape[shape.size() - i] = size;
  }
  return shape;
}

Status fused(FusedOp op, Frame &frame) {
  TRANSOM_ASSIGN(Program program, compile(op.getBody().front(), frame.precision));
  Tensor::Shape shape = commonShape(frame.in);
  std::vector<llvm::ArrayRef<int64_t>> shapes;
  for (const Tensor &in : frame.in)
    shapes.push_back(in.shape());
  Tensor &out = frame.out[0];
  int64_t width = op.getReduce() ? shape.back() : 1;
  withNumberType(out, [&]<typename T>(T) {
    std::span<T> numbers = out.change<T>();
    if (op.getReduce())
      std::fill(numbers.begin(), numbers.end(), reductionStart<T>(*op.getReduce(), out.dtype()));
    forEachBroadcast(shape, shapes, [&](int64_t i, llvm::ArrayRef<int64_t> at) {
      for (size_t k = 0; k < frame.in.size(); ++k)
        if (frame.in[k].isFloat())
          program.slots[k].f = frame.in[k].floats()[at[k]];
        else
          program.slots[k].i = frame.in[k].integers()[at[k]];
      Number value = evaluate(program, frame.precision);
      T number;
      if constexpr (std::is_same_v<T, double>)
        number = value.f;
      else
        number = value.i;
      numbers[i / width] = op.getReduce() ? combine(*op.getReduce(), numbers[i / width], number) : number;
    });
    if (op.getReduce() == ReduceKind::mean)
      for (T &number : numbers)
        number /= static_cast<T>(width);
  });
  return {};
}

} // namespace

llvm::ArrayRef<Entry> fusedOps() {
  static const Entry table[] = {entry<FusedOp, fused>()};
  return table;
}

} // namespace transom::interpreter
