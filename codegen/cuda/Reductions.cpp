// Reductions of any sizes and types, but for the norms (Rows): a block for each result where numbers of a row are reduced, a thread where
// they lie apart; and sums along an axis, by a warp or a thread.
#include "codegen/cuda/OpText.h"

#include "codegen/cuda/Regions.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom::cuda {
namespace {

class Reductions : OpText {
public:
  using OpText::OpText;

  std::optional<Launch> run() {
    return llvm::TypeSwitch<Operation *, std::optional<Launch>>(op)
        .Case([&](FusedOp fused) { return fused.getReduce() ? std::optional(emit(fused)) : std::nullopt; })
        .Case<ReduceOp, ReducePackedOp, CumulativeSumOp, SoftmaxOp, ArgmaxOp, TopKOp>([&](auto own) { return emit(own); })
        .Default([](Operation *) { return std::nullopt; });
  }

private:
  Launch emit(FusedOp fused) {
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
      FailureOr<std::string> value = emitScalars(text, op, numbers, DType::f32);
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
    auto combineAll = [&](const std::string &result, const std::string &first, const std::string &stride) {
      SmallVector<std::string> outer = places(result, kept);
      beginReduction(reduce.getKind());
      text.open("for (int64 c = " + first + "; c < " + sizeOf(reduced) + "; c += " + stride + ")");
      SmallVector<std::string> inner = places("c", reduced), at;
      for (size_t axis = 0, o = 0, r = 0; axis < input.size(); ++axis)
        at.push_back(llvm::is_contained(reduce.getAxes(), int64_t(axis)) ? inner[r++] : outer[o++]);
      combine(reduce.getKind(), load(reduce.getInput(), indexOf(input, at)));
      text.close();
    };
    if (llvm::is_contained(reduce.getAxes(), int64_t(input.size()) - 1))
      return eachBlock(product(kept), [&] {
        combineAll("row", "threadIdx.x", std::to_string(threads));
        endReduction(reduce.getKind(), sizeOf(reduced), "row");
      });
    // In the order of reduce_packed: masked sums over padded tokens are those over packed ones.
    return eachElement(product(kept), [&] {
      combineAll("i", "0", "1");
      text.line(out(op->getResult(0)) + "[i] = " + result(reduce.getKind() == ReduceKind::mean ? "total / (float)" + sizeOf(reduced) : "total") + ";");
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
    if (axis + 1 == input.size())
      return alongRows(sum, product(others));
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

  /// Of rows' neighbours: a warp for each row.
  Launch alongRows(CumulativeSumOp sum, DimExpr rows) {
    constexpr int warps = threads / 32;
    text.include("Rows.cuh");
    text.line("launchDependents();");
    text.line("waitProducers();");
    text.line("const int64 row = (int64)blockIdx.x * " + std::to_string(warps) + " + warpId(), length = " + size(sum.getInput(), sum.getAxis()) + ";");
    text.open("if (row < " + text.size(rows) + ")");
    const std::string number = load(sum.getInput(), "row * length + c");
    text.open("cumulativeSum<" + computeType(elementOf(sum.getInput().getType())) + ">(length, [&](int64 c) { return " + number + "; }, [&](int64 c, auto total)");
    Operation *last = step.follower ? step.follower : op;
    FailureOr<std::string> value = std::string("total");
    if (step.follower) {
      SmallVector<std::string> numbers;
      for (Value operand : last->getOperands())
        numbers.push_back(step.memory.contains(operand) ? load(operand, "row * length + c") : "total");
      value = emitScalars(text, last, numbers, step.stored(last->getResult(0)));
    }
    text.line(out(last->getResult(0)) + "[row * length + c] = " + toMemory(value.value_or("0"), step.stored(last->getResult(0))) + ";");
    text.close(");");
    text.close();
    return failed(value) ? Launch(failure()) : finish(rows, warps);
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
};

} // namespace

std::optional<Launch> emitReduction(Step &step) { return Reductions(step).run(); }

} // namespace transom::cuda
