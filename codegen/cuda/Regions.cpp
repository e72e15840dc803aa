// See Regions.h.
#include "codegen/cuda/Regions.h"

#include "ir/Transom.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using llvm::ArrayRef;

namespace transom::cuda {

namespace {

/// Rows: the op, and its expression where $0, $1, $2 are the operands and $t the result's type. An empty one for f64 means that the
/// one for floats serves.
struct Row {
  StringRef op, expression, wide;
};
constexpr Row rows[] = {
    {"arith.addf", "$0 + $1", ""}, {"arith.subf", "$0 - $1", ""}, {"arith.mulf", "$0 * $1", ""}, {"arith.divf", "$0 / $1", ""},
    {"arith.negf", "-$0", ""},
    {"arith.maximumf", "largerOf($0, $1)", ""}, {"arith.minimumf", "smallerOf($0, $1)", ""},
    {"arith.maxnumf", "fmaxf($0, $1)", "fmax($0, $1)"}, {"arith.minnumf", "fminf($0, $1)", "fmin($0, $1)"},
    {"arith.divsi", "divideOf($0, $1)", ""}, {"arith.remsi", "remainderOf($0, $1)", ""},
    {"arith.andi", "$t($0 & $1)", ""}, {"arith.ori", "$t($0 | $1)", ""}, {"arith.xori", "$t($0 ^ $1)", ""},
    {"arith.addi", "wrapAdd($0, $1)", ""}, {"arith.subi", "wrapSub($0, $1)", ""}, {"arith.muli", "wrapMul($0, $1)", ""},
    {"arith.maxsi", "$0 > $1 ? $0 : $1", ""}, {"arith.minsi", "$0 < $1 ? $0 : $1", ""},
    {"arith.select", "$0 ? $1 : $2", ""},
    {"arith.extf", "$t($0)", ""}, {"arith.extsi", "$t($0)", ""}, {"arith.extui", "$t($0)", ""},
    {"arith.trunci", "$t($0)", ""}, {"arith.sitofp", "$t($0)", ""}, {"arith.uitofp", "$t($0)", ""},
    {"arith.fptosi", "$t($0)", ""},
    {"math.sqrt", "sqrtf($0)", "sqrt($0)"}, {"math.rsqrt", "1.0f / sqrtf($0)", "1.0 / sqrt($0)"}, {"math.absf", "fabsf($0)", "fabs($0)"},
    {"math.absi", "$0 < 0 ? wrapSub($t(0), $0) : $0", ""},
    {"math.floor", "floorf($0)", "floor($0)"}, {"math.ceil", "ceilf($0)", "ceil($0)"}, {"math.trunc", "truncf($0)", "trunc($0)"},
    {"math.roundeven", "rintf($0)", "rint($0)"},
    {"math.fma", "fmaf($0, $1, $2)", "fma($0, $1, $2)"}, {"math.copysign", "copysignf($0, $1)", "copysign($0, $1)"},
    {"math.exp", "expf($0)", "exp($0)"}, {"math.log", "logf($0)", "log($0)"}, {"math.tanh", "tanhf($0)", "tanh($0)"},
    {"math.erf", "erff($0)", "erf($0)"}, {"math.sin", "sinf($0)", "sin($0)"}, {"math.cos", "cosf($0)", "cos($0)"},
    {"math.powf", "powf($0, $1)", "pow($0, $1)"},
};

std::string replaced(StringRef pattern, ArrayRef<std::string> operands, const std::string &type) {
  std::string text;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '$') {
      text += pattern[i];
      continue;
    }
    ++i;
    text += pattern[i] == 't' ? type : operands[size_t(pattern[i] - '0')];
  }
  return text;
}

/// With NaN only the unordered predicates hold.
std::string compareFloats(arith::CmpFPredicate predicate, const std::string &a, const std::string &b) {
  using P = arith::CmpFPredicate;
  std::string unordered = "(" + a + " != " + a + " || " + b + " != " + b + ")";
  auto relation = [&](StringRef op) { return (a + " " + op + " " + b).str(); };
  switch (predicate) {
  case P::AlwaysFalse: return "false";
  case P::OEQ: return relation("==");
  case P::OGT: return relation(">");
  case P::OGE: return relation(">=");
  case P::OLT: return relation("<");
  case P::OLE: return relation("<=");
  case P::ONE: return "!" + unordered + " && " + relation("!=");
  case P::ORD: return "!" + unordered;
  case P::UEQ: return unordered + " || " + relation("==");
  case P::UGT: return "!(" + relation("<=") + ")";
  case P::UGE: return "!(" + relation("<") + ")";
  case P::ULT: return "!(" + relation(">=") + ")";
  case P::ULE: return "!(" + relation(">") + ")";
  case P::UNE: return relation("!=");
  case P::UNO: return unordered;
  case P::AlwaysTrue: return "true";
  }
  llvm_unreachable("a predicate without a form");
}

std::string compareIntegers(arith::CmpIPredicate predicate, const std::string &a, const std::string &b) {
  using P = arith::CmpIPredicate;
  switch (predicate) {
  case P::eq: return a + " == " + b;
  case P::ne: return a + " != " + b;
  case P::slt: return a + " < " + b;
  case P::sle: return a + " <= " + b;
  case P::sgt: return a + " > " + b;
  case P::sge: return a + " >= " + b;
  case P::ult: return "(uint64)" + a + " < (uint64)" + b;
  case P::ule: return "(uint64)" + a + " <= (uint64)" + b;
  case P::ugt: return "(uint64)" + a + " > (uint64)" + b;
  case P::uge: return "(uint64)" + a + " >= (uint64)" + b;
  }
  llvm_unreachable("a predicate without a form");
}

/// The op of 1 + op(y) in fp32, erf or tanh, which GELU has: one function computes both without the sum's cancellation.
template <typename Op> Op withOne(Operation *op) {
  auto sum = dyn_cast_or_null<arith::AddFOp>(op);
  if (!sum || !sum.getType().isF32())
    return {};
  for (auto [one, other] : {std::pair(sum.getLhs(), sum.getRhs()), std::pair(sum.getRhs(), sum.getLhs())})
    if (matchPattern(one, m_OneFloat()))
      return other.template getDefiningOp<Op>();
  return {};
}

/// x of x * `factor`, in fp32; null for anything else.
Value scaledBy(Value value, float factor) {
  auto product = value.getDefiningOp<arith::MulFOp>();
  llvm::APFloat found(0.0f);
  return product && matchPattern(product.getRhs(), m_ConstantFloat(&found)) && found == llvm::APFloat(factor) ? product.getLhs() : Value();
}

/// x of GELU by erf, as transom.gelu has it in fp32: (x * 0.5) * (1 + erf(x * sqrt(0.5))).
Value geluOf(Operation *op) {
  auto product = dyn_cast<arith::MulFOp>(op);
  auto erf = product ? withOne<math::ErfOp>(product.getRhs().getDefiningOp()) : math::ErfOp();
  Value x = erf ? scaledBy(erf.getOperand(), 0.70710678118654752440f) : Value();
  return x && scaledBy(product.getLhs(), 0.5f) == x ? x : Value();
}

/// Ops that are one function of one number, with what stands before them: the function and its argument.
using Functions = llvm::DenseMap<Operation *, std::pair<std::string, Value>>;
/// A number that is computed with before it is yielded is as precise as 16 bits, whatever it becomes.
Functions functionsIn(Block &block, DType kept) {
  const bool narrow = kept == DType::f16 || kept == DType::bf16 || kept == DType::f8e4m3;
  Functions functions;
  for (Operation &op : block)
    if (Value x = narrow ? geluOf(&op) : Value())
      functions[&op] = {"geluErfFor<" + memoryType(kept == DType::f8e4m3 && block.getTerminator()->getOperand(0) != op.getResult(0) ? DType::f16 : kept) + ">", x};
    else if (auto erf = withOne<math::ErfOp>(&op))
      functions[&op] = {"onePlusErf", erf.getOperand()};
    else if (auto tanh = withOne<math::TanhOp>(&op))
      functions[&op] = {"onePlusTanh", tanh.getOperand()};
  return functions;
}

/// What must be computed for the block's result.
llvm::DenseSet<Value> neededIn(Block &block, const Functions &functions) {
  auto yielded = block.getTerminator()->getOperands();
  llvm::DenseSet<Value> needed(yielded.begin(), yielded.end());
  for (Operation &op : llvm::reverse(block.without_terminator()))
    if (!llvm::any_of(op.getResults(), [&](Value result) { return needed.contains(result); }))
      continue;
    else if (auto function = functions.find(&op); function != functions.end())
      needed.insert(function->second.second);
    else
      needed.insert(op.operand_begin(), op.operand_end());
  return needed;
}

/// The expression of one op; empty where it has none.
std::string expressionOf(Operation *op, ArrayRef<std::string> x) {
  Type type = op->getResult(0).getType();
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    if (auto number = dyn_cast<FloatAttr>(constant.getValue()))
      return type.isF64() ? llvm::formatv("{0:e17}", number.getValueAsDouble()).str() : floatText(number.getValueAsDouble());
    auto integer = cast<IntegerAttr>(constant.getValue());
    if (type.isInteger(1))
      return integer.getValue().isZero() ? "false" : "true";
    int64_t value = integer.getValue().getSExtValue();
    return value == INT64_MIN ? "(-9223372036854775807LL - 1)" : std::to_string(value) + (type.isInteger(64) ? "LL" : "");
  }
  if (auto compare = dyn_cast<arith::CmpFOp>(op))
    return compareFloats(compare.getPredicate(), x[0], x[1]);
  if (auto compare = dyn_cast<arith::CmpIOp>(op))
    return compareIntegers(compare.getPredicate(), x[0], x[1]);
  if (isa<arith::TruncFOp>(op)) { // computed in float, rounded to the type
    if (type.isF16() || type.isBF16())
      return "roundTo<" + memoryType(storedType(type)) + ">(" + x[0] + ")";
    return "(float)" + x[0];
  }
  for (const Row &row : rows)
    if (row.op == op->getName().getStringRef()) {
      std::string text = replaced(type.isF64() && !row.wide.empty() ? row.wide : row.expression, x, "(" + computeType(type) + ")");
      bool narrow = type.isF16() || type.isBF16();
      return narrow && !isa<arith::SelectOp>(op) ? "roundTo<" + memoryType(storedType(type)) + ">(" + text + ")" : text;
    }
  return "";
}

} // namespace

FailureOr<std::string> emitScalars(KernelText &text, Block &block, ArrayRef<std::string> arguments, DType kept) {
  llvm::DenseMap<Value, std::string> names;
  const Functions functions = functionsIn(block, kept);
  const llvm::DenseSet<Value> needed = neededIn(block, functions);
  text.include("Scalars.cuh");
  for (auto [argument, name] : llvm::zip(block.getArguments(), arguments))
    names[argument] = name;
  for (Operation &op : block.without_terminator()) {
    if (op.getNumResults() == 1 && !needed.contains(op.getResult(0)))
      continue;
    auto operands = llvm::map_to_vector(op.getOperands(), [&](Value operand) { return names.lookup(operand); });
    std::string expression = op.getNumResults() == 1 ? expressionOf(&op, operands) : "";
    if (auto function = functions.find(&op); function != functions.end())
      expression = function->second.first + "(" + names.lookup(function->second.second) + ")";
    if (expression.empty())
      return op.emitError("'") << op.getName() << "' has no CUDA form";
    if (isa<arith::ConstantOp>(op)) {
      names[op.getResult(0)] = StringRef(expression).starts_with("-") ? "(" + expression + ")" : expression;
      continue;
    }
    std::string name = text.fresh("v");
    text.line(computeType(op.getResult(0).getType()) + " " + name + " = " + expression + ";");
    names[op.getResult(0)] = name;
  }
  return names.lookup(block.getTerminator()->getOperand(0));
}

FailureOr<std::string> emitScalars(KernelText &text, Operation *op, ArrayRef<std::string> arguments, DType kept) {
  if (auto fused = dyn_cast<FusedOp>(op))
    return emitScalars(text, fused.getBody().front(), arguments, kept);
  // The op's scalar form, in a block of its own.
  Block scratch;
  OpBuilder builder(op->getContext());
  for (Value operand : op->getOperands())
    scratch.addArgument(elementOf(operand.getType()), op->getLoc());
  builder.setInsertionPointToEnd(&scratch);
  Value scalar = cast<ScalarOp>(op).emitScalar(builder, op->getLoc(), scratch.getArguments());
  builder.create<YieldOp>(op->getLoc(), scalar);
  return emitScalars(text, scratch, arguments, kept);
}

std::string toMemory(StringRef value, DType dtype) {
  if (dtype == DType::f16 || dtype == DType::bf16)
    return ("fromFloat<" + memoryType(dtype) + ">(" + value + ")").str();
  if (dtype == DType::boolean)
    return (value + " ? 1 : 0").str();
  return value.str();
}
std::string fromMemory(StringRef value, DType dtype) {
  if (dtype == DType::f16 || dtype == DType::bf16)
    return ("toFloat(" + value + ")").str();
  return dtype == DType::boolean ? (value + " != 0").str() : value.str();
}

} // namespace transom::cuda
