// See Gemv.h.
//
// Tensor cores for 16-bit and quantised matrices, else the plain skeleton; one kernel for each power of two of rows.
#include "codegen/cuda/Gemv.h"

#include "codegen/cuda/ColumnEpilogue.h"
#include "codegen/cuda/GemvShape.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom::cuda {

namespace {

bool hasMinima(DType dtype) { return dtype == DType::q4_1 || dtype == DType::q5_1 || dtype == DType::q4_k || dtype == DType::q5_k; }

class Skeleton {
public:
  Skeleton(KernelPool &pool, const GemvProgram &program, StringRef name) : pool(pool), program(program), name(name) {}

  FailureOr<std::optional<CudaLaunchPlan>> run() {
    CudaLaunchPlan launch;
    launch.rows = program.epilogue.rows;
    SmallVector<int64_t> most;
    for (int64_t rows = 1; rows < program.mostRows && !program.oneForm; rows *= 2)
      most.push_back(rows);
    most.push_back(program.mostRows);
    if (inner() % 8 != 0)
      most = {program.mostRows};
    for (int64_t rows : most) {
      FailureOr<std::optional<CudaChoicePlan>> choice = choose(launch, rows, 0);
      if (failed(choice))
        return failure();
      if (!*choice)
        return std::optional<CudaLaunchPlan>();
      (*choice)->most = &rows == &most.back() ? INT64_MAX : rows;
      if (pool.sharedBytes((*choice)->kernel) > sharedOf75) {
        FailureOr<std::optional<CudaChoicePlan>> smaller = choose(launch, rows, 75);
        if (failed(smaller))
          return failure();
        (*smaller)->most = (*choice)->most;
        launch.choices.push_back(**smaller);
      }
      launch.choices.push_back(**choice);
    }
    return std::optional(launch);
  }

private:
  /// The kernel for `rows` rows, where `sm` is not 0 for devices of that capability. Nothing where no thread has the columns it needs.
  FailureOr<std::optional<CudaChoicePlan>> choose(CudaLaunchPlan &launch, int64_t rows, uint32_t sm) {
    KernelText text(pool);
    ColumnEpilogue epilogue(text, program.epilogue, program.root.getResult(), dimsOf(program.root.getType()).back().constant().value_or(0),
                            program.best ? ColumnEpilogue::End::argmax : ColumnEpilogue::End::store);
    if (!epilogue.findColumns())
      return std::optional<CudaChoicePlan>();
    // Pointers in one order for all choices.
    text.pointer(program.lhs), text.pointer(program.weight);
    if (program.norm)
      text.pointer(program.normScale);
    if (program.norm && hasBias())
      text.pointer(program.normBias);
    if (failed(epilogue.emit()))
      return failure();
    CudaChoicePlan choice = inner() % 8 == 0 ? emit(text, epilogue, rows, sm) : emitSimple(text, epilogue);
    choice.sm = sm;
    launch.buffers = text.buffers;
    launch.workspace = text.work;
    return std::optional(choice);
  }

  void begin(KernelText &text) {
    text.line("const int64 rows = " + text.size(program.epilogue.rows) + ";");
    text.line("const int live = (int)rows;");
  }
  std::string epilogueText(KernelText &text, const ColumnEpilogue &epilogue) {
    return epilogue.value(program.best ? text.workspace(*program.best, "uint64") : "");
  }

  /// The prologue's type and value. deferred: whether RMS norms may be applied to the results.
  std::pair<std::string, std::string> prologue(KernelText &text, bool deferred, int64_t rows) {
    std::string x = memoryType(storedType(program.lhs)), k = std::to_string(inner()), pointer = text.pointer(program.lhs);
    if (!program.norm)
      return {"NoPrologue<" + x + ", " + k + ">", "{" + pointer + "}"};
    std::string s = memoryType(storedType(program.normScale)), scale = text.pointer(program.normScale), e = floatText(epsilonOf(program.norm));
    bool centred = isa<LayerNormOp>(program.norm), biased = hasBias();
    if (!centred && deferred)
      return {"RmsPrologue<" + x + ", " + s + ", " + k + ">", "{" + pointer + ", " + scale + ", " + e + "}"};
    std::string bias = biased ? text.pointer(program.normBias) : "nullptr";
    std::string form = std::string(centred ? "true" : "false") + ", " + (biased ? "true" : "false") + ">";
    // Short rows are read by each warp: no barrier before the product.
    if (rows * inner() <= 4096)
      return {"WarpNormPrologue<" + x + ", " + s + ", " + k + ", " + std::to_string(rows) + ", " + form, "{" + pointer + ", " + scale + ", " + bias + ", " + e + ", {}, {}}"};
    return {"NormPrologue<" + x + ", " + s + ", " + k + ", " + form, "{" + pointer + ", " + scale + ", " + bias + ", " + e + ", nullptr}"};
  }
  bool hasBias() const { return program.normBias.value || !program.normBias.shape.empty(); }
  int64_t inner() const { return cast<RankedTensorType>(program.root.getRhs().getType()).getDimSize(1); }

  CudaChoicePlan emit(KernelText &text, const ColumnEpilogue &epilogue, int64_t rows, uint32_t sm) {
    auto type = cast<RankedTensorType>(program.root.getRhs().getType());
    DType weight = storedType(program.weight), x = storedType(program.lhs);
    bool planes = isa<BlockType>(type.getElementType());
    std::string pairs = epilogue.pairs(), own = (name + "_m" + llvm::Twine(rows)).str();
    if (!planes && (weight == DType::f32 || x == DType::f32)) {
      text.include("GemvFma.cuh");
      std::string shape = "GemvFmaShape<" + memoryType(weight) + ", " + std::to_string(type.getDimSize(0)) + ", " + std::to_string(inner()) + ", " +
                          std::to_string(rows) + ", " + pairs + ">";
      auto [prologueType, prologueText] = prologue(text, /*deferred=*/false, rows);
      begin(text);
      text.line("gemvFma<" + shape + ">(" + text.pointer(program.weight) + ", " + prologueType + prologueText + ", " + epilogueText(text, epilogue) + ", &live);");
      return CudaChoicePlan{rows, pool.add(own, text, {256}, 0), {DimExpr(epilogue.tiles())}};
    }
    DType stored = planes ? storedType(type.getElementType()) : weight;
    bool halfOperand = !planes && weight == DType::f16;
    GemvShape shape{.format = formatText(type, weight), .outputs = type.getDimSize(0), .inner = inner(), .rows = int(rows), .splits = 1,
                    .stepK = stored == DType::q8_0 ? 64 : planes ? 128 : 32, .minima = planes && hasMinima(stored)};
    // x as a sum of numbers in the operand's type: exact where it is of that type, as near as columns allow where it is not.
    bool exact = !planes && x == weight && !program.norm;
    int fits = int(16 / rows), wanted = exact ? 1 : x == DType::f32 ? 3 : 2;
    shape.splits = std::max(1, std::min(wanted, x == DType::f32 || planes ? fits : fits / 2));
    shape.tune(!planes);
    int64_t tiles = epilogue.tiles(), staying = sm == 75 ? 0 : shape.stay(!planes, tiles);
    if (sm == 75)
      shape.shrink(sharedOf75), own += "_sm75";
    text.include(staying ? "GemvStream.cuh" : "Gemv.cuh");
    text.launchBounds = std::to_string(shape.warps * 32);
    auto [prologueType, prologueText] = prologue(text, !halfOperand, rows);
    std::string view = viewText(text, program.weight, type, shape.format);
    begin(text);
    text.line("using Shape = " + shape.text(pairs) + ";");
    uint32_t sharedBytes = staying ? shape.streamBytes() : shape.sharedBytes();
    text.line("static_assert(" + std::string(staying ? "GemvStreamShape<Shape>" : "Shape") + "::sharedBytes == " + std::to_string(sharedBytes) +
              " && Shape::blocks == " + std::to_string(tiles) + ", \"\");");
    text.line((staying ? "gemvStream<Shape>(" : "gemv<Shape>(") + view + ", " + prologueType + prologueText + ", " + epilogueText(text, epilogue) + ", &live);");
    if (sm == 75)
      text.onlyFor75();
    size_t kernel = pool.add(own, text, {uint32_t(shape.warps * 32)}, sharedBytes);
    return CudaChoicePlan{rows, kernel, {DimExpr(staying ? staying : tiles)}};
  }

  CudaChoicePlan emitSimple(KernelText &text, const ColumnEpilogue &epilogue) {
    auto type = cast<RankedTensorType>(program.root.getRhs().getType());
    std::string x = memoryType(storedType(program.lhs)), k = std::to_string(inner()), pointer = text.pointer(program.lhs);
    std::string prologueText = "SimplePrologue<" + x + ", " + k + ">{" + pointer + "}";
    if (program.norm) {
      bool biased = hasBias();
      std::string s = memoryType(storedType(program.normScale)), scale = text.pointer(program.normScale), bias = biased ? text.pointer(program.normBias) : "nullptr";
      prologueText = "SimpleNormPrologue<" + x + ", " + s + ", " + k + ", " + (isa<LayerNormOp>(program.norm) ? "true" : "false") + ">{" + pointer + ", " +
                     scale + ", " + bias + ", " + floatText(epsilonOf(program.norm)) + ", 0.0f, 0.0f}";
    }
    text.include("GemvSimple.cuh");
    std::string shape = "GemvSimpleShape<" + memoryType(storedType(program.weight)) + ", " + std::to_string(type.getDimSize(0)) + ", " + k + ", " + epilogue.pairs() + ">";
    begin(text);
    text.line("gemvSimple<" + shape + ">(" + text.pointer(program.weight) + ", " + prologueText + ", " + epilogueText(text, epilogue) + ", &live);");
    return CudaChoicePlan{INT64_MAX, pool.add(name, text, {256}, 0), {DimExpr(epilogue.tiles()), program.epilogue.rows}};
  }

  KernelPool &pool;
  const GemvProgram &program;
  StringRef name;
};

} // namespace

FailureOr<std::optional<CudaLaunchPlan>> emitGemv(KernelPool &pool, const GemvProgram &program, StringRef name) {
  return Skeleton(pool, program, name).run();
}

} // namespace transom::cuda
