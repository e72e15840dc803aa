// Ops that have kernels of their own, written for any sizes and types; what models spend time in has kernels in Rows, Gemv and Attention.
// Here: elementwise ops, places of tokens, rotary embeddings of heads that lie apart, products and decoded weights.
#include "codegen/cuda/OpText.h"

#include "codegen/cuda/Regions.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom::cuda {
namespace {

class OtherOps : OpText {
public:
  using OpText::OpText;

  Launch run() {
    return llvm::TypeSwitch<Operation *, Launch>(op)
        .Case<CumulativeLengthsOp, ValidTokensOp, RotaryOp, MatmulOp, DequantizeOp, EmbeddingOp>([&](auto own) { return emit(own); })
        .Default([&](Operation *other) -> Launch {
          if (isa<FusedOp, ScalarOp>(other))
            return pointwise();
          return other->emitOpError("has no CUDA form");
        });
  }

private:
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
      FailureOr<std::string> value = emitScalars(text, op, numbers, step.stored(op->getResult(0)));
      failed = mlir::failed(value);
      text.line(out(op->getResult(0)) + "[i] = " + result(value.value_or("0")) + ";");
    });
    return failed ? Launch(failure()) : launch;
  }

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

  Launch emit(ValidTokensOp tokens) {
    constexpr int all = 1024; // one block
    const std::string rows = size(tokens.getRows(), 0) + ", " + size(tokens.getRows(), 1), index = out(tokens.getIndex()), cumulative = out(tokens.getCumulative());
    const std::string results = index + ", " + cumulative;
    text.include("Rows.cuh");
    text.line("launchDependents();");
    text.line("waitProducers();");
    if (tokens.getLengths())
      text.line("tokensOfLengths<" + std::to_string(all) + ">(" + rows + ", " + in(tokens.getLengths()) + ", " + results + ");");
    else
      text.line("validTokens<" + std::to_string(all) + ">(" + rows + ", [&](int64 i) { return " + in(tokens.getRows()) + "[i] != 0; }, " + results + ");");
    return finish(DimExpr(1), 1, all);
  }

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
      Dims outer(own.begin(), own.end() - 2);
      std::string leading = indexOf(outer, ArrayRef(place).drop_back(2), true), matrix = sizeOf(ArrayRef(own).take_back(2));
      std::string within = row + " * (" + text.size(own.back()) + ") + " + column;
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
    const CudaBuffer &plain = step.buffer(op->getResult(0));
    return finish(DimExpr(emitUnpack(text, step.buffer(dequantize.getInput()), matrix, storedType(plain), plain)), threads);
  }

  Launch emit(EmbeddingOp embedding) { return embedding.emitOpError("looks up single numbers, which has no CUDA form"); }
};

} // namespace

Launch emitOther(Step &step) { return OtherOps(step).run(); }

} // namespace transom::cuda
