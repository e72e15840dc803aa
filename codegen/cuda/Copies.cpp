// Ops that move numbers, a thread for each element of the result.
#include "codegen/cuda/OpText.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom::cuda {
namespace {

class Copies : OpText {
public:
  using OpText::OpText;

  std::optional<Launch> run() {
    return llvm::TypeSwitch<Operation *, std::optional<Launch>>(op)
        .Case<TransposeOp, SliceOp, BroadcastOp, PadOp, ConcatOp, IotaOp, PositionsOp, PackOp, UnpackOp, CacheAppendOp>([&](auto own) { return emit(own); })
        .Case<LastTokenOp, FirstTokenOp>([&](auto own) { return tokenOfRow(own); })
        .Default([](Operation *) { return std::nullopt; });
  }

private:
  Launch emit(TransposeOp transpose) {
    Dims dims = step.sizes(op->getResult(0)), input = step.sizes(transpose.getInput());
    return eachElement(product(dims), [&] {
      SmallVector<std::string> at = places("i", dims), from(input.size());
      for (auto [axis, source] : llvm::enumerate(transpose.getPermutation()))
        from[size_t(source)] = at[axis];
      text.line(out(op->getResult(0)) + "[i] = " + moved(transpose.getInput(), indexOf(input, from), op->getResult(0)) + ";");
    });
  }
  Launch emit(SliceOp slice) {
    Dims dims = step.sizes(op->getResult(0)), input = step.sizes(slice.getInput());
    return eachElement(product(dims), [&] {
      SmallVector<std::string> at = places("i", dims);
      at[size_t(slice.getAxis())] = "(" + at[size_t(slice.getAxis())] + " + " + std::to_string(int64_t(slice.getStart())) + ")";
      text.line(out(op->getResult(0)) + "[i] = " + moved(slice.getInput(), indexOf(input, at), op->getResult(0)) + ";");
    });
  }
  Launch emit(BroadcastOp broadcast) {
    Dims dims = step.sizes(op->getResult(0));
    return eachElement(product(dims), [&] {
      SmallVector<std::string> at = places("i", dims);
      text.line(out(op->getResult(0)) + "[i] = " + moved(broadcast.getInput(), broadcastIndex(broadcast.getInput(), at), op->getResult(0)) + ";");
    });
  }
  Launch emit(PadOp pad) {
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
  Launch emit(ConcatOp concat) {
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
  Launch emit(IotaOp) {
    return eachElement(step.sizes(op->getResult(0))[0], [&] { text.line(out(op->getResult(0)) + "[i] = (int)i;"); });
  }
  Launch emit(PositionsOp positions) {
    return eachElement(product(step.sizes(op->getResult(0))), [&] {
      std::string seq = size(op->getResult(0), 1);
      text.line(out(op->getResult(0)) + "[i] = " + in(positions.getStart()) + "[i / " + seq + "] + (int)(i % " + seq + ");");
    });
  }
  Launch emit(PackOp pack) {
    Dims dims = step.sizes(op->getResult(0)), input = step.sizes(pack.getInput());
    return eachElement(product(dims), [&] {
      std::string width = sizeOf(ArrayRef(dims).drop_front());
      std::string from = in(pack.getIndex()) + "[i / " + width + "]";
      text.line(out(op->getResult(0)) + "[i] = " + moved(pack.getInput(), "(int64)" + from + " * " + width + " + i % " + width, op->getResult(0)) + ";");
    });
  }
  /// Each place looks for itself in the index, which rises.
  Launch emit(UnpackOp unpack) {
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
};

} // namespace

std::optional<Launch> emitCopy(Step &step) { return Copies(step).run(); }

} // namespace transom::cuda
