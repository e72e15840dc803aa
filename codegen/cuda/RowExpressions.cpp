// See RowExpressions.h.
#include "codegen/cuda/RowExpressions.h"

#include "codegen/cuda/Weights.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>
#include <numbers>
#include <numeric>

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom::cuda {

SmallVector<int64_t> RowProgram::rowShape(Value value) const {
  SmallVector<int64_t> shape;
  Dims dims = dimsOf(value.getType());
  for (const DimExpr &dim : ArrayRef(dims).drop_front(leading.lookup(value)))
    shape.push_back(dim.constant().value_or(-1));
  return shape;
}

int64_t RowProgram::width(Value value) const {
  int64_t product = 1;
  for (int64_t size : rowShape(value))
    product *= size;
  return product;
}

double epsilonOf(Operation *norm) {
  auto layer = dyn_cast<LayerNormOp>(norm);
  return (layer ? layer.getEpsilon() : cast<RmsNormOp>(norm).getEpsilon()).convertToDouble();
}

int lanesOf(const RowProgram &program, int most) {
  int64_t common = most;
  auto divide = [&](int64_t size) { common = std::gcd(common, size); };
  for (Operation *op : program.ops) {
    for (Value operand : op->getOperands())
      if (isa<RankedTensorType>(operand.getType()) && isa<FloatType>(elementOf(operand.getType()))) {
        // Whole operands repeat by their last sizes; single numbers are the same for all lanes.
        auto type = cast<RankedTensorType>(operand.getType());
        if (program.leading.lookup(operand) > 0)
          divide(program.width(operand));
        else if (type.getRank() > 0 && !type.isDynamicDim(type.getRank() - 1) && type.getShape().back() != 1)
          divide(type.getShape().back());
      }
    if (auto slice = dyn_cast<SliceOp>(op))
      divide(int64_t(slice.getStart()));
    if (auto rotary = dyn_cast<RotaryOp>(op)) {
      divide(dimsOf(rotary.getType()).back().constant().value_or(1));
      divide(int64_t(rotary.getDims()) / (rotary.getInterleaved() ? 1 : 2));
    }
    if (auto append = dyn_cast<CacheAppendOp>(op))
      divide(dimsOf(append.getCache().getType()).back().constant().value_or(1));
  }
  for (Value result : program.results)
    if (isa<RankedTensorType>(result.getType()))
      divide(program.width(result));
  return int(std::max<int64_t>(common, 1));
}

std::string RowExpressions::fail(Operation *op, const llvm::Twine &why) {
  if (ok)
    op->emitOpError(why);
  ok = false;
  return "0";
}

std::string RowExpressions::shifted(const Column &column, int64_t start) {
  return start == 0 ? column.text : "(" + column.text + " + " + std::to_string(start) + ")";
}

std::string RowExpressions::place(const std::string &expression) {
  std::string name = text.fresh("d");
  text.line("const int " + name + " = " + expression + ";");
  return name;
}

Column RowExpressions::partner(const Column &own, const std::string &expression) {
  std::string name = text.fresh("c");
  text.line("const int " + name + " = " + expression + ";");
  return {name, "", Column::Role::partner, own.shift};
}

std::string RowExpressions::eachLane(llvm::function_ref<std::string(const std::string &)> expression) {
  std::string result = text.fresh("x");
  text.line("Lanes<" + std::to_string(lanes) + "> " + result + ";");
  if (lanes > 1) {
    text.line("UNROLL");
    text.open("for (int e = 0; e < " + std::to_string(lanes) + "; ++e)");
  }
  std::string e = lanes > 1 ? "e" : "0", value = expression(e);
  text.line(result + ".v[" + e + "] = " + value + ";");
  if (lanes > 1)
    text.close();
  return result;
}

std::string RowExpressions::at(Value value, const Column &column) {
  std::string key = llvm::formatv("{0}|{1}", value.getAsOpaquePointer(), column.text).str();
  if (auto found = known.find(key); found != known.end())
    return found->second;
  std::string result = special(value, column);
  Operation *op = value.getDefiningOp();
  if (!result.empty()) {
  } else if (program.memory.contains(value) || !op) {
    result = ofRow(value, column);
  } else if (isReshape(op)) {
    result = at(op->getOperand(0), column);
  } else if (auto slice = dyn_cast<SliceOp>(op)) {
    Column from = column;
    int64_t start = int64_t(slice.getStart());
    from.shift += start;
    from.text = shifted(column, start);
    if (start != 0)
      from.piece.clear();
    if (program.width(slice.getInput()) != program.width(value))
      from.piece.clear();
    result = at(slice.getInput(), from);
  } else if (auto turned = dyn_cast<RotaryOp>(op)) {
    result = rotary(turned, column);
  } else if (auto looked = dyn_cast<EmbeddingOp>(op)) {
    result = embedding(looked, column);
  } else if (isa<FusedOp, ScalarOp>(op)) {
    result = pointwise(op, column);
  } else {
    result = fail(op, "has no CUDA form within a row");
  }
  known[key] = result;
  return result;
}

std::string RowExpressions::ofRow(Value value, const Column &column) {
  auto buffer = program.memory.find(value);
  assert(buffer != program.memory.end() && "a value without memory");
  std::string pointer = text.pointer(buffer->second);
  std::string index = "(int64)" + row() + " * " + std::to_string(program.width(value)) + " + " + column.text;
  if (value != program.parts)
    return load(pointer, storedType(buffer->second), index, false);
  // What is read of the row beside the parts is under way with them.
  for (Operation *op : program.ops)
    if (isa<FusedOp, ScalarOp>(op))
      for (Value operand : op->getOperands())
        if (operand != value && program.memory.contains(operand) && program.leading.lookup(operand) > 0 && program.width(operand) == program.width(value))
          at(operand, column);
  const Dims &sizes = buffer->second.shape;
  const int64_t parts = *sizes[0].constant(), apart = *sizes[1].constant() * *sizes[2].constant();
  const int64_t atOnce = std::max<int64_t>(16, (parts + 1) / 2);
  std::string sum;
  for (int64_t first = 0; first < parts; first += atOnce) {
    SmallVector<std::string> addends;
    for (int64_t part = first; part < std::min(parts, first + atOnce); ++part)
      addends.push_back(load(pointer, DType::f32, (part ? std::to_string(part * apart) + " + " : "") + index, false));
    text.line(first == 0 ? "keepAhead(gridDim.y);" : "keepAhead(gridDim.x);");
    sum = eachLane([&](const std::string &e) {
      std::string all = sum.empty() ? "" : name(sum, e);
      for (const std::string &addend : addends)
        all += (all.empty() ? "" : " + ") + name(addend, e);
      return all;
    });
  }
  return sum;
}

std::string RowExpressions::whole(Value value, ArrayRef<int64_t> row, const Column &column) {
  auto buffer = program.memory.find(value);
  if (buffer == program.memory.end())
    return fail(value.getDefiningOp(), "is the same for all rows but not in memory");
  std::string pointer = text.pointer(buffer->second);
  DType dtype = storedType(buffer->second);
  // Sizes of the operand beside those of the row, aligned at the last.
  SmallVector<int64_t> own;
  for (const DimExpr &dim : dimsOf(value.getType()))
    own.push_back(dim.constant().value_or(1));
  while (own.size() > row.size())
    own.erase(own.begin());
  SmallVector<int64_t> sizes(row.size(), 1);
  llvm::copy(own, sizes.end() - long(own.size()));
  int64_t period = 1, inner = 1;
  size_t axis = sizes.size();
  for (; axis > 0 && sizes[axis - 1] == row[axis - 1]; --axis)
    period *= row[axis - 1];
  bool onesLeft = llvm::all_of(ArrayRef(sizes).take_front(axis), [](int64_t size) { return size == 1; });
  int64_t width = 1;
  for (int64_t size : row)
    width *= size;
  if (onesLeft && period == 1)
    return load(pointer, dtype, "0", true);
  if (onesLeft)
    return load(pointer, dtype, period == width ? column.text : column.text + " % " + std::to_string(period), false);
  // The general form: a place in each dimension.
  std::string index;
  int64_t stride = 1, same = 0;
  for (size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] != 1) {
      if (stride == 1)
        same = inner;
      index += (index.empty() ? "" : " + ") +
               llvm::formatv("{0} / {1} % {2} * {3}", column.text, inner, row[i], stride).str();
      stride *= sizes[i];
    }
    inner *= row[i];
  }
  if (same % lanes != 0)
    return fail(value.getParentBlock()->getParentOp(), "broadcasts in a way that has no CUDA form");
  return load(pointer, dtype, index, same > 1 || lanes == 1);
}

DType RowExpressions::keptAs(Operation *op) const {
  if (!op->use_empty() && llvm::all_of(op->getUsers(), [](Operation *user) { return isa<RoundE4m3Op>(user); }))
    return DType::f8e4m3;
  DType kept = DType::f16;
  for (const CudaBuffer &output : program.outputs) {
    DType type = storedType(output);
    if (type != DType::f16 && type != DType::bf16 && type != DType::f8e4m3)
      return DType::f32;
    kept = type == DType::bf16 ? type : kept;
  }
  return kept;
}

std::string RowExpressions::pointwise(Operation *op, const Column &column) {
  SmallVector<int64_t> row = program.rowShape(op->getResult(0));
  SmallVector<std::string> operands;
  for (Value operand : op->getOperands()) {
    if (!elementOf(operand.getType()).isF32() && !isa<FloatType>(elementOf(operand.getType())))
      return fail(op, "has operands that are no floats, which have no CUDA form within a row");
    operands.push_back(program.leading.lookup(operand) > 0 || operand.getDefiningOp() ? at(operand, column) : whole(operand, row, column));
  }
  return eachLane([&](const std::string &e) {
    SmallVector<std::string> numbers;
    for (const std::string &operand : operands)
      numbers.push_back(name(operand, e));
    FailureOr<std::string> result = emitScalars(text, op, numbers, keptAs(op));
    ok &= succeeded(result);
    return result.value_or("0");
  });
}

std::string RowExpressions::turns(RotaryOp op) {
  std::string &table = tables[op];
  if (!table.empty())
    return table;
  table = text.fresh("turns");
  int64_t pairs = int64_t(op.getDims()) / 2;
  text.preamble += "__device__ const double " + table + "[" + std::to_string(pairs) + "] = {";
  for (int64_t i = 0; i < pairs; ++i) {
    double turn = op.getScale().convertToDouble() * std::pow(op.getBase().convertToDouble(), -2.0 * double(i) / double(op.getDims())) /
                  (2 * std::numbers::pi);
    char number[32];
    std::snprintf(number, sizeof number, "%.17g", turn);
    text.preamble += (i ? ", " : "") + std::string(number);
  }
  text.preamble += "};\n";
  return table;
}

std::string RowExpressions::rotary(RotaryOp op, const Column &column) {
  int64_t headDim = *dimsOf(op.getType()).back().constant(), dims = int64_t(op.getDims()), half = dims / 2;
  std::string own = at(op.getInput(), column), d = place(column.text + " % " + std::to_string(headDim));
  bool inLanes = op.getInterleaved() && lanes > 1;
  std::string other = own;
  if (!inLanes) {
    std::string away = op.getInterleaved() ? "(" + column.text + " ^ 1)"
                                           : "(" + column.text + " + (" + d + " < " + std::to_string(half) + " ? " +
                                                 std::to_string(half) + " : " + d + " < " + std::to_string(dims) + " ? -" +
                                                 std::to_string(half) + " : 0))";
    other = at(op.getInput(), partner(column, away));
  }
  return eachLane([&](const std::string &e) {
    std::string at = lanes > 1 ? "(" + d + " + " + e + ")" : d, number = name(own, e), beside = inLanes ? name(own, e + " ^ 1") : name(other, e);
    std::string pair = op.getInterleaved() ? at + " / 2" : "(" + at + " < " + std::to_string(half) + " ? " + at + " : " + at + " - " + std::to_string(half) + ")";
    std::string first = op.getInterleaved() ? at + " % 2 == 0" : at + " < " + std::to_string(half);
    std::string turn = text.fresh("t");
    // Behind the numbers that turn there is no angle.
    text.line("const SinCos " + turn + " = " + (dims == headDim ? "" : at + " >= " + std::to_string(dims) + " ? SinCos{0.0f, 1.0f} : ") + angle(op, pair) + ";");
    return number + " * " + turn + ".cosine + (" + first + " ? -" + beside + " : " + beside + ") * " + turn + ".sine";
  });
}

std::string RowExpressions::embedding(EmbeddingOp op, const Column &column) {
  auto indices = program.memory.find(op.getIndices()), table = program.memory.find(op.getTable());
  if (indices == program.memory.end() || table == program.memory.end())
    return fail(op, "looks up what is not in memory, which has no CUDA form within a row");
  std::string index = loadInteger(text.pointer(indices->second), storedType(indices->second), row());
  auto type = cast<RankedTensorType>(op.getTable().getType());
  bool planes = isa<BlockType>(type.getElementType());
  if (planes && (table->second.kind != CudaBuffer::Kind::weight || lanes != 8))
    return fail(op, "looks up quantised rows that are no weight, or other than eight columns at a time, which has no CUDA form");
  std::string rows = type.isDynamicDim(0) ? text.size(sizesOf(table->second)[0]) : std::to_string(type.getDimSize(0));
  std::string inside = index + " >= 0 && " + index + " < " + rows;
  std::string result = text.fresh("x"), width = std::to_string(type.getDimSize(1));
  text.line("Lanes<" + std::to_string(lanes) + "> " + result + " = {};");
  text.open("if (" + inside + ")");
  if (planes)
    text.line(result + " = " + planesLanes(text, table->second, type, index, column.text) + ";");
  else
    text.line(result + " = loadLanes<" + std::to_string(lanes) + ">(" + text.pointer(table->second) + " + (int64)" + index + " * " + width + " + " + column.text + ");");
  text.close();
  return result;
}

} // namespace transom::cuda
