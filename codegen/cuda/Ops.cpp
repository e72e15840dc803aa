// Ops that have kernels of their own: a thread for each element of the result where numbers move or elements are computed alone,
// a block or a warp for each reduction. Written for any sizes and types; what models spend time in has kernels in Rows, Gemv and
// Attention.
#include "codegen/cuda/Steps.h"

#include "codegen/cuda/Rows.h"
#include "ir/DimAnalysis.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom::cuda {

CudaBuffer Step::scratch(DType dtype, Dims shape) {
  CudaBuffer buffer;
  buffer.kind = CudaBuffer::Kind::scratch;
  buffer.dtype = dtype, buffer.shape = std::move(shape), buffer.offset = scratchAt;
  buffer.bytes = maximumOf(module, product(buffer.shape)).value_or(0) * int64_t(layoutOf(dtype).bytes);
  scratchAt = plan::aligned(scratchAt + buffer.bytes);
  mostScratch = std::max(mostScratch, scratchAt);
  return buffer;
}

CudaBuffer Step::workspace(DType dtype, Dims shape) {
  CudaBuffer buffer;
  buffer.kind = CudaBuffer::Kind::workspace;
  buffer.dtype = dtype, buffer.shape = std::move(shape);
  buffer.bytes = maximumOf(module, product(buffer.shape)).value_or(0) * int64_t(layoutOf(dtype).bytes);
  workspaceBytes = std::max(workspaceBytes, plan::aligned(buffer.bytes));
  return buffer;
}

std::optional<RowProgram> rowProgramOf(const Step &step) {
  Operation *op = step.op;
  if (isa<QuantizeOp>(op) || isReshape(op) || !rowKindOf(op))
    return std::nullopt;
  RowProgram program;
  auto [index, leading] = defaultRows(op);
  if (leading == 0) // one row
    return std::nullopt;
  std::string why;
  // As a slice of columns counts rows by all dimensions but the last; other slices are no row-wise op.
  FailureOr<RowUse> use = rowUseOf(op, index, leading, [&](Value value) { return step.memory.contains(value) ? step.sizes(value) : dimsOf(value.getType()); },
                                   UnknownSizes::differ, why);
  if (failed(use))
    return std::nullopt;
  for (auto [operand, own] : llvm::zip(op->getOperands(), use->operands))
    program.leading[operand] = own;
  program.leading[op->getResult(0)] = use->result;
  program.ops.push_back(op);
  program.results.push_back(op->getResult(0));
  program.outputs.push_back(step.buffer(op->getResult(0)));
  for (Value operand : op->getOperands())
    program.memory[operand] = step.buffer(operand);
  program.memory[op->getResult(0)] = step.buffer(op->getResult(0));
  program.memory.erase(op->getResult(0));
  program.rows = product(ArrayRef(step.sizes(op->getOperand(index))).take_front(use->operands[index]));
  return program;
}

namespace {

constexpr int threads = 256;

class OpEmitter {
public:
  explicit OpEmitter(Step &step) : step(step), op(step.op), text(step.pool) {}

  FailureOr<CudaLaunchPlan> run() {
    return llvm::TypeSwitch<Operation *, FailureOr<CudaLaunchPlan>>(op)
        .Case([&](FusedOp fused) { return fused.getReduce() ? reduceFused(fused) : pointwise(); })
        .Case<TransposeOp, SliceOp, BroadcastOp, PadOp, ConcatOp, IotaOp, PositionsOp, PackOp, UnpackOp>([&](auto own) { return copy(own); })
        .Case<LastTokenOp, FirstTokenOp>([&](auto own) { return tokenOfRow(own); })
        .Case<RotaryOp, CacheAppendOp, SoftmaxOp, ReduceOp, ReducePackedOp, CumulativeSumOp, CumulativeLengthsOp, ValidTokensOp, ArgmaxOp, TopKOp, MatmulOp,
              DequantizeOp, EmbeddingOp>([&](auto own) { return emit(own); })
        .Default([&](Operation *other) -> FailureOr<CudaLaunchPlan> {
          if (isa<ScalarOp>(other))
            return pointwise();
          return other->emitOpError("has no CUDA form");
        });
  }

private:
  using Launch = FailureOr<CudaLaunchPlan>;

  //===-- Text ----------------------------------------------------------------------------------------------------===//

  std::string in(Value value) { return text.pointer(step.buffer(value)); }
  std::string out(Value value) { return text.pointer(step.buffer(value), true); }
  std::string size(Value value, size_t axis) { return "(" + text.size(step.sizes(value)[axis]) + ")"; }
  std::string sizeOf(ArrayRef<DimExpr> dims) { return "(" + text.size(product(dims)) + ")"; }
  std::string load(Value value, const std::string &index) { return fromMemory(in(value) + "[" + index + "]", step.stored(value)); }
  /// A number as it is, or in another floating type.
  std::string moved(Value from, const std::string &index, Value to) {
    DType a = step.stored(from), b = step.stored(to);
    std::string number = in(from) + "[" + index + "]";
    return a == b ? number : toMemory(fromMemory(number, a), b);
  }

  Launch finish(DimExpr items, uint32_t per, uint32_t block = threads, uint32_t sharedBytes = 0) {
    text.include("Rows.cuh");
    text.launchBounds = std::to_string(block);
    CudaLaunchPlan launch;
    launch.rows = items;
    launch.choices.push_back({INT64_MAX, step.pool.add(step.name, text, {block}, sharedBytes), {items}, {per}});
    launch.buffers = text.buffers;
    launch.workspace = text.work;
    return launch;
  }

  /// A thread for each of `items` elements: `body` sees the index `i`.
  Launch eachElement(DimExpr items, llvm::function_ref<void()> body) {
    text.line("launchDependents();");
    text.line("const int64 i = (int64)blockIdx.x * " + std::to_string(threads) + " + threadIdx.x;");
    text.line("const int64 count = " + text.size(items) + ";");
    text.line("waitProducers();");
    text.open("if (i < count)");
    body();
    text.close();
    return finish(items, threads);
  }
  /// A block for each of `items`: `body` sees the index `row`.
  Launch eachBlock(DimExpr items, llvm::function_ref<void()> body) {
    text.line("launchDependents();");
    text.line("const int64 row = blockIdx.x;");
    text.line("const int64 rows = " + text.size(items) + ";");
    text.line("waitProducers();");
    text.line("if (row >= rows)");
    text.line("  return;");
    body();
    return finish(items, 1);
  }

  /// Lines that take the linear index `i` apart over `dims`; the names of the places, outermost first.
  SmallVector<std::string> places(const std::string &i, const Dims &dims) {
    SmallVector<std::string> names(dims.size());
    std::string rest = i;
    for (size_t axis = dims.size(); axis-- > 0;) {
      names[axis] = text.fresh("i");
      if (axis == 0) {
        text.line("const int64 " + names[0] + " = " + rest + ";");
        break;
      }
      std::string own = "(" + text.size(dims[axis]) + ")", left = text.fresh("r");
      text.line("const int64 " + names[axis] + " = " + rest + " % " + own + ", " + left + " = " + rest + " / " + own + ";");
      rest = left;
    }
    return names;
  }
  /// The index of an element by its places; sizes of 1 are broadcast where `broadcast`.
  std::string indexOf(const Dims &dims, ArrayRef<std::string> places, bool broadcast = false) {
    std::string index;
    DimExpr stride(1);
    for (size_t axis = dims.size(); axis-- > 0;) {
      std::string place = places[axis];
      if (broadcast && dims[axis] == DimExpr(1))
        place.clear();
      else if (broadcast && !dims[axis].constant())
        place = "((" + text.size(dims[axis]) + ") == 1 ? 0 : " + place + ")";
      if (!place.empty())
        index += (index.empty() ? "" : " + ") + place + (stride == DimExpr(1) ? "" : " * (" + text.size(stride) + ")");
      stride = stride * dims[axis];
    }
    return index.empty() ? "0" : index;
  }
  /// The element of `value` that broadcasting puts at `places` of a larger shape.
  std::string broadcastIndex(Value value, ArrayRef<std::string> places) {
    Dims dims = step.sizes(value);
    return indexOf(dims, places.take_back(dims.size()), true);
  }

  //===-- Elements ------------------------------------------------------------------------------------------------===//

  std::string result(const std::string &value) { return toMemory(value, step.stored(op->getResult(0))); }

  Launch pointwise() {
    Dims dims = step.sizes(op->getResult(0));
    bool failed = false;
    Launch launch = eachElement(product(dims), [&] {
      SmallVector<std::string> numbers, at;
      bool alike = llvm::all_of(op->getOperands(), [&](Value operand) { return llvm::equal(step.sizes(operand), dims); });
      if (!alike)
        at = places("i", dims);
      for (Value operand : op->getOperands()) {
        std::string name = text.fresh("v"), index = llvm::equal(step.sizes(operand), dims) ? "i" : broadcastIndex(operand, at);
        text.line("const " + computeType(elementOf(operand.getType())) + " " + name + " = " + load(operand, index) + ";");
        numbers.push_back(name);
      }
      FailureOr<std::string> value = emitScalars(text, op, numbers);
      failed = mlir::failed(value);
      text.line(out(op->getResult(0)) + "[i] = " + result(value.value_or("0")) + ";");
    });
    return failed ? Launch(failure()) : launch;
  }

  Launch reduceFused(FusedOp fused) {
    Dims shape;
    for (Value operand : op->getOperands()) {
      Dims own = step.sizes(operand);
      if (own.size() > shape.size())
        shape.insert(shape.begin(), own.begin(), own.begin() + long(own.size() - shape.size()));
      for (size_t i = 0; i < own.size(); ++i)
        if (DimExpr &dim = shape[shape.size() - own.size() + i]; dim == DimExpr(1))
          dim = own[i];
    }
    if (!elementOf(fused.getType()).isF32())
      return op->emitOpError("reduces ") << fused.getType() << ", which has no CUDA form";
    Dims outer(shape.begin(), std::prev(shape.end()));
    bool failed = false;
    Launch launch = eachBlock(product(outer), [&] {
      SmallVector<std::string> at = places("row", outer);
      beginReduction(*fused.getReduce());
      text.open("for (int64 c = threadIdx.x; c < " + ("(" + text.size(shape.back()) + ")") + "; c += " + std::to_string(threads) + ")");
      at.push_back("c");
      SmallVector<std::string> numbers;
      for (Value operand : op->getOperands()) {
        std::string name = text.fresh("v");
        text.line("const " + computeType(elementOf(operand.getType())) + " " + name + " = " + load(operand, broadcastIndex(operand, at)) + ";");
        numbers.push_back(name);
      }
      FailureOr<std::string> value = emitScalars(text, op, numbers);
      failed = mlir::failed(value);
      combine(*fused.getReduce(), value.value_or("0"));
      text.close();
      endReduction(*fused.getReduce(), "(" + text.size(shape.back()) + ")", "row");
    });
    return failed ? Launch(failure()) : launch;
  }

  //===-- Reductions of a block -----------------------------------------------------------------------------------===//

  std::string accumulator() const { return elementOf(op->getResult(0).getType()).isIntOrIndex() ? computeType(elementOf(op->getResult(0).getType())) : "float"; }
  bool ofIntegers() const { return accumulator() != "float"; }
  std::string startOf(ReduceKind kind) const {
    bool wide = accumulator() == "int64";
    switch (kind) {
    case ReduceKind::max: return ofIntegers() ? (wide ? "(-9223372036854775807LL - 1)" : "(-2147483647 - 1)") : "-infinity()";
    case ReduceKind::min: return ofIntegers() ? (wide ? "9223372036854775807LL" : "2147483647") : "infinity()";
    default: return "0";
    }
  }
  std::string combined(ReduceKind kind, const std::string &a, const std::string &b) const {
    switch (kind) {
    case ReduceKind::max: return ofIntegers() ? "(" + a + " > " + b + " ? " + a + " : " + b + ")" : "largerOf(" + a + ", " + b + ")";
    case ReduceKind::min: return ofIntegers() ? "(" + a + " < " + b + " ? " + a + " : " + b + ")" : "smallerOf(" + a + ", " + b + ")";
    default: return a + " + " + b;
    }
  }
  void beginReduction(ReduceKind kind) {
    text.include("Scalars.cuh");
    text.line(accumulator() + " total = " + startOf(kind) + ";");
  }
  void combine(ReduceKind kind, const std::string &value) { text.line("total = " + combined(kind, "total", value) + ";"); }
  /// The block's total, written by one thread; means are divided by `count`.
  void endReduction(ReduceKind kind, const std::string &count, const std::string &index) {
    text.line("__shared__ " + accumulator() + " shares[" + std::to_string(threads) + "];");
    text.line("shares[threadIdx.x] = total;");
    text.open("for (int apart = " + std::to_string(threads / 2) + "; apart > 0; apart >>= 1)");
    text.line("__syncthreads();");
    text.line("if (threadIdx.x < apart)");
    text.line("  shares[threadIdx.x] = " + combined(kind, "shares[threadIdx.x]", "shares[threadIdx.x + apart]") + ";");
    text.close();
    text.line("if (threadIdx.x == 0)");
    std::string value = "shares[0]";
    if (kind == ReduceKind::mean)
      value = "shares[0] / (float)" + count;
    text.line("  " + out(op->getResult(0)) + "[" + index + "] = " + result(value) + ";");
  }

  Launch emit(ReduceOp reduce) {
    Type element = elementOf(reduce.getInput().getType());
    if (element.isF64() || (element.isIntOrIndex() && !element.isInteger(32) && !element.isInteger(64)))
      return op->emitOpError("on CUDA takes f32, i32 or i64, found ") << reduce.getInput().getType();
    Dims input = step.sizes(reduce.getInput()), kept, reduced;
    for (size_t axis = 0; axis < input.size(); ++axis)
      (llvm::is_contained(reduce.getAxes(), int64_t(axis)) ? reduced : kept).push_back(input[axis]);
    return eachBlock(product(kept), [&] {
      SmallVector<std::string> outer = places("row", kept);
      beginReduction(reduce.getKind());
      text.open("for (int64 c = threadIdx.x; c < " + sizeOf(reduced) + "; c += " + std::to_string(threads) + ")");
      SmallVector<std::string> inner = places("c", reduced), at;
      for (size_t axis = 0, o = 0, r = 0; axis < input.size(); ++axis)
        at.push_back(llvm::is_contained(reduce.getAxes(), int64_t(axis)) ? inner[r++] : outer[o++]);
      combine(reduce.getKind(), load(reduce.getInput(), indexOf(input, at)));
      text.close();
      endReduction(reduce.getKind(), sizeOf(reduced), "row");
    });
  }

  Launch emit(ReducePackedOp reduce) {
    Type element = elementOf(reduce.getInput().getType());
    if (element.isF64() || (element.isIntOrIndex() && !element.isInteger(32) && !element.isInteger(64)))
      return op->emitOpError("on CUDA takes f32, i32 or i64, found ") << reduce.getInput().getType();
    Dims input = step.sizes(reduce.getInput()), dims = step.sizes(op->getResult(0));
    ReduceKind kind = reduce.getKind();
    return eachElement(product(dims), [&] {
      text.include("Scalars.cuh");
      std::string width = sizeOf(ArrayRef(input).drop_front()), cumulative = in(reduce.getCumulative());
      text.line("const int64 batch = i / " + width + ", column = i % " + width + ";");
      text.line("const int first = " + cumulative + "[batch], last = " + cumulative + "[batch + 1];");
      text.line(accumulator() + " total = " + startOf(kind) + ";");
      text.line("for (int64 t = first; t < last; ++t)");
      text.line("  total = " + combined(kind, "total", load(reduce.getInput(), "t * " + width + " + column")) + ";");
      if (kind == ReduceKind::mean)
        text.line("total = last > first ? total / (float)(last - first) : 0.0f;");
      text.line(out(op->getResult(0)) + "[i] = " + result("total") + ";");
    });
  }

  Launch emit(CumulativeSumOp sum) {
    Dims input = step.sizes(sum.getInput()), others = input;
    size_t axis = size_t(sum.getAxis());
    others.erase(others.begin() + long(axis));
    return eachElement(product(others), [&] {
      std::string inner = sizeOf(ArrayRef(input).drop_front(axis + 1)), length = size(sum.getInput(), axis);
      text.line("const int64 first = i / " + inner + " * " + inner + " * " + length + " + i % " + inner + ";");
      text.line(computeType(elementOf(sum.getInput().getType())) + " total = 0;");
      text.open("for (int64 c = 0; c < " + length + "; ++c)");
      text.line("total += " + load(sum.getInput(), "first + c * " + inner) + ";");
      text.line(out(op->getResult(0)) + "[first + c * " + inner + "] = " + result("total") + ";");
      text.close();
    });
  }

  Launch emit(SoftmaxOp softmax) {
    Dims input = step.sizes(softmax.getInput()), others = input;
    size_t axis = size_t(softmax.getAxis());
    others.erase(others.begin() + long(axis));
    if (axis + 1 == input.size()) {
      text.line("const int live = (int)(" + text.size(product(others)) + ");");
      text.line("softmaxRows<" + memoryType(step.stored(softmax.getInput())) + ", " + memoryType(step.stored(op->getResult(0))) + ", " + std::to_string(threads / 32) +
                ">(" + in(softmax.getInput()) + ", " + out(op->getResult(0)) + ", (int)" + size(softmax.getInput(), axis) + ", LiveRows{&live, 1});");
      return finish(product(others), 1);
    }
    return eachElement(product(others), [&] {
      text.include("Scalars.cuh");
      std::string inner = sizeOf(ArrayRef(input).drop_front(axis + 1)), length = size(softmax.getInput(), axis);
      text.line("const int64 first = i / " + inner + " * " + inner + " * " + length + " + i % " + inner + ";");
      text.line("float top = -infinity(), sum = 0.0f;");
      text.line("for (int64 c = 0; c < " + length + "; ++c)");
      text.line("  top = maxNan(top, " + load(softmax.getInput(), "first + c * " + inner) + ");");
      text.line("if (top == -infinity())");
      text.line("  top = 0.0f;");
      text.line("for (int64 c = 0; c < " + length + "; ++c)");
      text.line("  sum += expf(" + load(softmax.getInput(), "first + c * " + inner) + " - top);");
      text.line("for (int64 c = 0; c < " + length + "; ++c)");
      text.line("  " + out(op->getResult(0)) + "[first + c * " + inner + "] = " +
                result("(sum == 0.0f ? 0.0f : expf(" + load(softmax.getInput(), "first + c * " + inner) + " - top) / sum)") + ";");
    });
  }

  /// Larger numbers first, then smaller indices; NaN below all.
  Launch emit(ArgmaxOp argmax) {
    Dims input = step.sizes(argmax.getInput());
    return eachBlock(product(ArrayRef(input).drop_back()), [&] {
      text.include("Epilogues.cuh");
      std::string width = size(argmax.getInput(), input.size() - 1);
      largest(width, argmax.getInput(), "");
      text.line("if (threadIdx.x == 0)");
      text.line("  " + out(op->getResult(0)) + "[row] = (int)~(uint32)shares[0];");
    });
  }
  /// shares[0]: the key of the row's largest number, of those with a key below `below`.
  void largest(const std::string &width, Value input, const std::string &below) {
    text.line("uint64 key = 0;");
    text.open("for (int64 c = threadIdx.x; c < " + width + "; c += " + std::to_string(threads) + ")");
    text.line("const float v = " + load(input, "row * " + width + " + c") + ";");
    text.line("const uint64 own = (uint64)(v != v ? 0u : orderKey(v)) << 32 | (uint32)~(uint32)c;");
    text.line("if (own > key" + (below.empty() ? "" : " && own < " + below) + ")");
    text.line("  key = own;");
    text.close();
    text.line("__shared__ uint64 shares[" + std::to_string(threads) + "];");
    text.line("shares[threadIdx.x] = key;");
    text.open("for (int apart = " + std::to_string(threads / 2) + "; apart > 0; apart >>= 1)");
    text.line("__syncthreads();");
    text.line("if (threadIdx.x < apart && shares[threadIdx.x + apart] > shares[threadIdx.x])");
    text.line("  shares[threadIdx.x] = shares[threadIdx.x + apart];");
    text.close();
  }
  Launch emit(TopKOp top) {
    Dims input = step.sizes(top.getInput());
    return eachBlock(product(ArrayRef(input).drop_back()), [&] {
      text.include("Epilogues.cuh");
      std::string width = size(top.getInput(), input.size() - 1), k = std::to_string(int64_t(top.getK()));
      text.line("uint64 last = ~(uint64)0;");
      text.open("for (int place = 0; place < " + k + "; ++place)");
      largest(width, top.getInput(), "last");
      text.line("__syncthreads();");
      text.line("last = shares[0];");
      text.open("if (threadIdx.x == 0)");
      text.line("const uint32 c = ~(uint32)last;");
      text.line(out(top.getIndices()) + "[row * " + k + " + place] = (int)c;");
      text.line(out(top.getValues()) + "[row * " + k + " + place] = " + moved(top.getInput(), "row * " + width + " + c", top.getValues()) + ";");
      text.close();
      text.line("__syncthreads();");
      text.close();
    });
  }

  //===-- Tokens --------------------------------------------------------------------------------------------------===//

  Launch emit(CumulativeLengthsOp lengths) {
    text.line("launchDependents();");
    text.line("waitProducers();");
    text.line("int total = 0;");
    text.open("for (int64 b = 0; b < " + size(lengths.getLengths(), 0) + "; ++b)");
    text.line(out(op->getResult(0)) + "[b] = total;");
    text.line("total += " + in(lengths.getLengths()) + "[b];");
    text.close();
    text.line(out(op->getResult(0)) + "[" + size(lengths.getLengths(), 0) + "] = total;");
    return finish(DimExpr(1), 1, 1);
  }

  /// One block: counts of the rows first, then each row's places by a warp.
  Launch emit(ValidTokensOp tokens) {
    std::string batch = size(tokens.getRows(), 0), seq = size(tokens.getRows(), 1), index = out(tokens.getIndex()), cumulative = out(tokens.getCumulative());
    bool byLengths = bool(tokens.getLengths());
    std::string valid = byLengths ? "" : in(tokens.getRows()) + "[b * " + seq + " + s] != 0";
    text.include("Rows.cuh");
    text.line("launchDependents();");
    text.line("waitProducers();");
    text.line("const int64 batch = " + batch + ", seq = " + seq + ";");
    text.open("for (int64 b = warpId(); b < batch; b += " + std::to_string(threads / 32) + ")");
    if (byLengths) {
      text.line("int count = " + in(tokens.getLengths()) + "[b];");
      text.line("count = count < 0 ? 0 : count < seq ? count : (int)seq;");
    } else {
      text.line("int count = 0;");
      text.line("for (int64 s = laneId(); s < seq; s += 32)");
      text.line("  count += " + valid + " ? 1 : 0;");
      text.line("UNROLL");
      text.line("for (int apart = 16; apart > 0; apart >>= 1)");
      text.line("  count += __shfl_xor_sync(~0u, count, apart);");
    }
    text.line("if (laneId() == 0)");
    text.line("  " + cumulative + "[b + 1] = count;");
    text.close();
    text.line("__syncthreads();");
    text.open("if (threadIdx.x == 0)");
    text.line(cumulative + "[0] = 0;");
    text.line("for (int64 b = 0; b < batch; ++b)");
    text.line("  " + cumulative + "[b + 1] += " + cumulative + "[b];");
    text.close();
    text.line("__syncthreads();");
    text.open("for (int64 b = warpId(); b < batch; b += " + std::to_string(threads / 32) + ")");
    text.line("int to = " + cumulative + "[b];");
    if (byLengths) {
      text.line("const int count = " + cumulative + "[b + 1] - to;");
      text.line("for (int s = laneId(); s < count; s += 32)");
      text.line("  " + index + "[to + s] = (int)(b * seq + s);");
    } else {
      text.open("for (int64 first = 0; first < seq; first += 32)");
      text.line("const int64 s = first + laneId();");
      text.line("const bool valid = s < seq && " + valid + ";");
      text.line("const uint32 all = __ballot_sync(~0u, valid);");
      text.line("if (valid)");
      text.line("  " + index + "[to + __popc(all & ((1u << laneId()) - 1))] = (int)(b * seq + s);");
      text.line("to += __popc(all);");
      text.close();
    }
    text.close();
    return finish(DimExpr(1), 1);
  }

  template <typename Op> Launch tokenOfRow(Op token) {
    constexpr bool isLast = std::is_same_v<Op, LastTokenOp>;
    bool packed = bool(token.getCumulative());
    Dims input = step.sizes(token.getInput());
    Dims own(input.begin() + (packed ? 1 : 2), input.end());
    DimExpr batch = step.sizes(op->getResult(0))[0];
    return eachElement(batch * product(own), [&] {
      std::string width = sizeOf(own);
      text.line("const int64 b = i / " + width + ", c = i % " + width + ";");
      if (packed) {
        std::string cumulative = in(token.getCumulative());
        text.line("int64 t = " + cumulative + (isLast ? "[b + 1] - 1;" : "[b];"));
        text.line("const int64 tokens = " + size(token.getInput(), 0) + ";");
      } else {
        std::string seq = size(token.getInput(), 1);
        text.line("const int length = " + in(token.getLengths()) + "[b];");
        text.line("int64 t = " + std::string(isLast ? "length - 1" : "0") + ";");
        text.line("t = (t < 0 ? 0 : t < " + seq + " ? t : " + seq + " - 1) + b * " + seq + ";");
        text.line("const int64 tokens = " + size(token.getInput(), 0) + " * " + seq + ";");
      }
      text.line("t = t < 0 ? 0 : t < tokens ? t : tokens - 1;");
      text.line(out(op->getResult(0)) + "[i] = " + moved(token.getInput(), "t * " + width + " + c", op->getResult(0)) + ";");
    });
  }

  Launch emit(EmbeddingOp embedding) { return embedding.emitOpError("looks up single numbers, which has no CUDA form"); }

  //===-- Moving numbers ------------------------------------------------------------------------------------------===//

  Launch copy(TransposeOp transpose) {
    Dims dims = step.sizes(op->getResult(0)), input = step.sizes(transpose.getInput());
    return eachElement(product(dims), [&] {
      SmallVector<std::string> at = places("i", dims), from(input.size());
      for (auto [axis, source] : llvm::enumerate(transpose.getPermutation()))
        from[size_t(source)] = at[axis];
      text.line(out(op->getResult(0)) + "[i] = " + moved(transpose.getInput(), indexOf(input, from), op->getResult(0)) + ";");
    });
  }
  Launch copy(SliceOp slice) {
    Dims dims = step.sizes(op->getResult(0)), input = step.sizes(slice.getInput());
    return eachElement(product(dims), [&] {
      SmallVector<std::string> at = places("i", dims);
      at[size_t(slice.getAxis())] = "(" + at[size_t(slice.getAxis())] + " + " + std::to_string(int64_t(slice.getStart())) + ")";
      text.line(out(op->getResult(0)) + "[i] = " + moved(slice.getInput(), indexOf(input, at), op->getResult(0)) + ";");
    });
  }
  Launch copy(BroadcastOp broadcast) {
    Dims dims = step.sizes(op->getResult(0));
    return eachElement(product(dims), [&] {
      SmallVector<std::string> at = places("i", dims);
      text.line(out(op->getResult(0)) + "[i] = " + moved(broadcast.getInput(), broadcastIndex(broadcast.getInput(), at), op->getResult(0)) + ";");
    });
  }
  Launch copy(PadOp pad) {
    Dims dims = step.sizes(op->getResult(0)), input = step.sizes(pad.getInput());
    size_t axis = size_t(pad.getAxis());
    return eachElement(product(dims), [&] {
      SmallVector<std::string> at = places("i", dims);
      std::string from = text.fresh("p");
      text.line("const int64 " + from + " = " + at[axis] + " - " + std::to_string(int64_t(pad.getBefore())) + ";");
      at[axis] = from;
      Type element = elementOf(pad.getType());
      std::string value = isa<FloatType>(element) ? floatText(pad.getValue().convertToDouble()) : std::to_string(int64_t(pad.getValue().convertToDouble()));
      text.line("if (" + from + " >= 0 && " + from + " < " + size(pad.getInput(), axis) + ")");
      text.line("  " + out(op->getResult(0)) + "[i] = " + moved(pad.getInput(), indexOf(input, at), op->getResult(0)) + ";");
      text.line("else");
      text.line("  " + out(op->getResult(0)) + "[i] = " + result(value) + ";");
    });
  }
  Launch copy(ConcatOp concat) {
    Dims dims = step.sizes(op->getResult(0));
    size_t axis = size_t(concat.getAxis());
    return eachElement(product(dims), [&] {
      SmallVector<std::string> at = places("i", dims);
      std::string left = text.fresh("p");
      text.line("int64 " + left + " = " + at[axis] + ";");
      at[axis] = left;
      for (Value input : concat.getInputs()) {
        std::string length = size(input, axis);
        text.open("if (" + left + " >= 0 && " + left + " < " + length + ")");
        text.line(out(op->getResult(0)) + "[i] = " + moved(input, indexOf(step.sizes(input), at), op->getResult(0)) + ";");
        text.close();
        text.line(left + " = " + left + " < 0 ? -1 : " + left + " < " + length + " ? -1 : " + left + " - " + length + ";");
      }
    });
  }
  Launch copy(IotaOp) {
    return eachElement(step.sizes(op->getResult(0))[0], [&] { text.line(out(op->getResult(0)) + "[i] = (int)i;"); });
  }
  Launch copy(PositionsOp positions) {
    return eachElement(product(step.sizes(op->getResult(0))), [&] {
      std::string seq = size(op->getResult(0), 1);
      text.line(out(op->getResult(0)) + "[i] = " + in(positions.getStart()) + "[i / " + seq + "] + (int)(i % " + seq + ");");
    });
  }
  Launch copy(PackOp pack) {
    Dims dims = step.sizes(op->getResult(0)), input = step.sizes(pack.getInput());
    return eachElement(product(dims), [&] {
      std::string width = sizeOf(ArrayRef(dims).drop_front());
      std::string from = in(pack.getIndex()) + "[i / " + width + "]";
      text.line(out(op->getResult(0)) + "[i] = " + moved(pack.getInput(), "(int64)" + from + " * " + width + " + i % " + width, op->getResult(0)) + ";");
    });
  }
  /// Each place looks for itself in the index, which rises.
  Launch copy(UnpackOp unpack) {
    Dims dims = step.sizes(op->getResult(0));
    return eachElement(product(dims), [&] {
      std::string width = sizeOf(ArrayRef(dims).drop_front(2)), index = in(unpack.getIndex());
      text.line("const int64 place = i / " + width + ";");
      text.line("int64 low = 0, high = " + size(unpack.getIndex(), 0) + ";");
      text.open("while (low < high)");
      text.line("const int64 middle = (low + high) / 2;");
      text.line("if (" + index + "[middle] < place)");
      text.line("  low = middle + 1;");
      text.line("else");
      text.line("  high = middle;");
      text.close();
      text.line("const bool found = low < " + size(unpack.getIndex(), 0) + " && " + index + "[low] == place;");
      std::string zero = toMemory(isa<FloatType>(elementOf(unpack.getType())) ? "0.0f" : "0", step.stored(op->getResult(0)));
      text.line("if (found)");
      text.line("  " + out(op->getResult(0)) + "[i] = " + moved(unpack.getPacked(), "low * " + width + " + i % " + width, op->getResult(0)) + ";");
      text.line("else");
      text.line("  " + out(op->getResult(0)) + "[i] = " + zero + ";");
    });
  }

  //===-- Heads that lie apart ------------------------------------------------------------------------------------===//

  Launch emit(RotaryOp rotary) {
    Dims dims = step.sizes(rotary.getInput());
    bool headsFirst = rotary.getLayout() == HeadLayout::bhsd, packed = rotary.getLayout() == HeadLayout::thd;
    int64_t rotated = int64_t(rotary.getDims()), half = rotated / 2;
    return eachElement(product(dims), [&] {
      SmallVector<std::string> at = places("i", dims);
      std::string d = at.back(), row = packed ? at[0] : at[0] + " * " + size(rotary.getInput(), headsFirst ? 2 : 1) + " + " + at[headsFirst ? 2 : 1];
      text.open("if (" + d + " >= " + std::to_string(rotated) + ")");
      text.line(out(op->getResult(0)) + "[i] = " + moved(rotary.getInput(), "i", op->getResult(0)) + ";");
      text.close();
      text.open("else");
      bool neighbours = rotary.getInterleaved();
      text.line("const bool first = " + d + (neighbours ? " % 2 == 0;" : " < " + std::to_string(half) + ";"));
      text.line("const int64 pair = " + (neighbours ? d + " / 2" : d + " % " + std::to_string(half)) + ", away = " + (neighbours ? "1" : std::to_string(half)) + ";");
      std::string factor = rotary.getFactors() ? " / " + in(rotary.getFactors()) + "[pair]" : "";
      char constants[96];
      std::snprintf(constants, sizeof constants, "%.17g * pow(%.17g, -2.0 * pair / %lld.0)", rotary.getScale().convertToDouble() / (2 * 3.14159265358979323846),
                    rotary.getBase().convertToDouble(), static_cast<long long>(rotated));
      text.line("const SinCos turn = rotaryAngle(" + in(rotary.getPositions()) + "[" + row + "], " + constants + factor + ");");
      text.line("const float own = " + load(rotary.getInput(), "i") + ", other = " + load(rotary.getInput(), "(first ? i + away : i - away)") + ";");
      text.line(out(op->getResult(0)) + "[i] = " + result("own * turn.cosine + (first ? -other : other) * turn.sine") + ";");
      text.close();
    });
  }

  Launch emit(CacheAppendOp append) {
    Dims tokens = step.sizes(append.getTokens());
    if (append.getLayout() != HeadLayout::bhsd)
      return op->emitOpError("has tokens of no static size, which has no CUDA form");
    return eachElement(product(tokens), [&] {
      SmallVector<std::string> at = places("i", tokens);
      text.line("const int slot = " + in(append.getPastLengths()) + "[" + at[0] + "] + (int)" + at[2] + ";");
      text.line("if (" + at[2] + " < " + in(append.getLengths()) + "[" + at[0] + "] && slot >= 0 && slot < " + size(append.getCache(), 2) + ")");
      Dims cache = step.sizes(append.getCache());
      text.line("  " + out(op->getResult(0)) + "[" + indexOf(cache, {at[0], at[1], "slot", at[3]}) + "] = " + moved(append.getTokens(), "i", op->getResult(0)) + ";");
    });
  }

  //===-- Products and weights ------------------------------------------------------------------------------------===//

  /// A warp for each element.
  Launch emit(MatmulOp matmul) {
    Dims lhs = step.sizes(matmul.getLhs()), rhs = step.sizes(matmul.getRhs()), dims = step.sizes(op->getResult(0));
    if (isa<BlockType>(elementOf(matmul.getRhs().getType())))
      return op->emitOpError("with a quantised matrix on CUDA takes rows of static size, found ") << matmul.getLhs().getType();
    text.line("launchDependents();");
    text.line("const int64 i = (int64)blockIdx.x * " + std::to_string(threads / 32) + " + warpId();");
    text.line("const int64 count = " + text.size(product(dims)) + ";");
    text.line("waitProducers();");
    text.line("if (i >= count)");
    text.line("  return;");
    SmallVector<std::string> at = places("i", dims);
    std::string k = size(matmul.getLhs(), lhs.size() - 1);
    auto operand = [&](const Dims &own, const std::string &row, const std::string &column) {
      SmallVector<std::string> place(at.end() - long(own.size()), at.end());
      place[own.size() - 2] = row, place[own.size() - 1] = column;
      // Leading dimensions broadcast, the last two are as they are.
      std::string index = indexOf(own, place, false), leading;
      Dims outer(own.begin(), own.end() - 2);
      std::string matrix = sizeOf(ArrayRef(own).take_back(2)), within = row + " * (" + text.size(own.back()) + ") + " + column;
      leading = indexOf(outer, ArrayRef(place).drop_back(2), true);
      return leading + " * " + matrix + " + " + within;
    };
    text.line("float sum = 0.0f;");
    text.line("for (int64 c = laneId(); c < " + k + "; c += 32)");
    std::string m = at[at.size() - 2], n = at.back();
    text.line("  sum = fmaf(" + load(matmul.getLhs(), operand(lhs, m, "c")) + ", " +
              load(matmul.getRhs(), matmul.getTransposeRhs() ? operand(rhs, n, "c") : operand(rhs, "c", n)) + ", sum);");
    text.line("sum = warpSum(sum);");
    text.line("if (laneId() == 0)");
    text.line("  " + out(op->getResult(0)) + "[i] = " + result("sum") + ";");
    return finish(product(dims), threads / 32);
  }

  Launch emit(DequantizeOp dequantize) {
    auto type = dyn_cast<RankedTensorType>(dequantize.getInput().getType());
    if (!type || step.buffer(dequantize.getInput()).kind != CudaBuffer::Kind::weight)
      return op->emitOpError("on CUDA decodes weights only");
    int64_t k = type.getShape().back(), n = type.getNumElements() / k;
    auto matrix = RankedTensorType::get({n, k}, type.getElementType());
    text.include("Planes.cuh");
    std::string format = formatText(matrix, DType::f32);
    text.line("unpackPlanes<" + format + ", " + memoryType(step.stored(op->getResult(0))) + ", " + std::to_string(threads) + ">(" +
              viewText(text, step.buffer(dequantize.getInput()), matrix, format) + ", " + out(op->getResult(0)) + ", " + std::to_string(n) + ");");
    return finish(DimExpr(stepsOf(type.getElementType(), k) * 4 * n), threads);
  }
  static int64_t stepsOf(Type element, int64_t k) {
    int64_t at = cast<BlockType>(element).getFormat() == BlockFormat::q8_0 ? 64 : 128;
    return (k + at - 1) / at;
  }

  Step &step;
  Operation *op;
  KernelText text;
};

} // namespace

FailureOr<CudaLaunchPlan> emitOp(Step &step) {
  if (auto attention = dyn_cast<AttentionOp>(step.op))
    return emitAttention(step, attention);
  if (std::optional<RowProgram> rows = rowProgramOf(step)) {
    bool floats = llvm::all_of(step.op->getOperands(), [&](Value operand) {
      return isa<EmbeddingOp, RotaryOp, CacheAppendOp>(step.op) || isa<FloatType>(elementOf(operand.getType()));
    });
    bool narrow = isa<FusedOp>(step.op) || isa<ScalarOp>(step.op) ? rows->width(step.op->getResult(0)) < 32 : false;
    if (floats && !narrow && !isa<SliceOp>(step.op))
      return emitRows(step.pool, *rows, step.name);
  }
  return OpEmitter(step).run();
}

} // namespace transom::cuda
