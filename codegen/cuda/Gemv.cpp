// See Gemv.h.
//
// 1. Bands: results that need the same columns of the product. Which two columns a result needs at once (gate and up, the halves
//    of a rotary pair) decides which rows of the matrix a block takes (Pairs of kernels/Gemv.cuh).
// 2. The epilogue: what each band reads besides the product is loaded early; a thread has one column, its partner's is a
//    shuffle away.
// 3. The skeleton: tensor cores for 16-bit and quantised matrices, else the plain one; one kernel for each power of two of rows.
#include "codegen/cuda/Gemv.h"

#include "codegen/cuda/GemvShape.h"
#include "codegen/cuda/ProductColumns.h"
#include "codegen/cuda/Rows.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom::cuda {

namespace {

struct Pairs {
  std::string text = "NeighbourPairs";
  int partner = 1;
  int64_t blocks = 0;
};

class Epilogue : public RowExpressions {
public:
  Epilogue(KernelText &text, const GemvProgram &program) : RowExpressions(text, program.epilogue, 1), gemv(program) {}

  /// False where no thread has the columns that a result needs.
  bool findColumns() {
    int64_t outputs = dimsOf(gemv.root.getType()).back().constant().value_or(0);
    std::optional<ProductColumns> found = ProductColumns::of(program, gemv.root.getResult(), outputs);
    if (!found)
      return false;
    columns = std::move(*found);
    geometry.blocks = (outputs + 15) / 16;
    if (columns.partner == ProductColumns::Partner::half)
      geometry = {"HalfPairs<" + std::to_string(columns.apart) + ">", 8, (columns.apart + 7) / 8};
    if (columns.partner == ProductColumns::Partner::head)
      geometry = {"HeadPairs<" + std::to_string(columns.headDim) + ", " + std::to_string(columns.dims) + ">", 8,
                  outputs / columns.headDim * ((columns.dims / 2 + 7) / 8 + (columns.headDim - columns.dims + 15) / 16)};
    return true;
  }

  const Pairs &pairs() const { return geometry; }

  /// The struct, and how the entry makes it.
  LogicalResult emit() {
    text.include("Epilogues.cuh");
    text.include("Lanes.cuh");
    std::string outer = std::move(text.body);
    text.body.clear();
    text.depth = 2;
    std::string earlyText, storeText, prepareText;
    int64_t outputs = dimsOf(gemv.root.getType()).back().constant().value_or(0);
    for (const ProductColumns::Band &band : columns.bands) {
      this->band = &band;
      counts = {};
      early.clear(), prepare.clear();
      loaded.clear();
      endScope();
      bool all = band.products.size() == 2 || (columns.bands.size() == 1 && band.columns == outputs);
      int64_t from = band.products[0], to = from + band.columns;
      std::string inside = "if (n >= " + std::to_string(from) + " && n < " + std::to_string(to) + ") {\n";
      text.body.clear();
      text.depth = all ? 2 : 3;
      std::string column = from == 0 ? "n" : "(n - " + std::to_string(from) + ")";
      for (size_t index : band.results)
        result(index, {column, "", Column::Role::own, 0});
      if (band.products.size() == 2) { // the partner's column gives no result of its own
        storeText += "    if (n < " + std::to_string(to) + ") {\n" + text.body + "    }\n";
        earlyText += "    if (n < " + std::to_string(to) + ") {\n" + early + "    }\n";
        prepareText += prepare;
      } else {
        storeText += all ? text.body : "    " + inside + text.body + "    }\n";
        earlyText += all ? early : "    " + inside + early + "    }\n";
        prepareText += all || prepare.empty() ? prepare : "    " + inside + prepare + "    }\n";
      }
      for (size_t i = 0; i < counts.size(); ++i)
        most[i] = std::max(most[i], counts[i]);
    }
    text.body = std::move(outer);
    text.depth = 1;
    if (!ok)
      return failure();
    define(earlyText, prepareText, storeText);
    return success();
  }

private:
  //===-- What the expressions ask --------------------------------------------------------------------------------===//

  std::string row() const override { return "m"; }

  std::string special(Value value, const Column &column) override {
    if (value != gemv.root.getResult())
      return "";
    if (column.role == Column::Role::partner)
      return "other";
    return column.shift == band->products[0] ? "own" : "other";
  }

  Column partner(const Column &own, const std::string &expression) override {
    return {"(" + expression + ")", "", Column::Role::partner, own.shift};
  }

  std::string load(const std::string &pointer, DType dtype, const std::string &index, bool) override {
    std::string &field = loaded[pointer + "[" + index + "]"];
    if (!field.empty())
      return field;
    std::string own = "f" + std::to_string(counts[0]++);
    early += "      e." + own + ".v[0] = " + (dtype == DType::f32 ? "" : "toFloat(") + pointer + "[" + index + "]" + (dtype == DType::f32 ? "" : ")") + ";\n";
    return field = "e." + own;
  }
  std::string loadInteger(const std::string &pointer, DType, const std::string &index) override {
    std::string &field = loaded[pointer + "[" + index + "]"];
    if (!field.empty())
      return field;
    std::string own = "i" + std::to_string(counts[1]++);
    early += "      e." + own + " = (int)" + pointer + "[" + index + "];\n";
    return field = "e." + own;
  }
  std::string place(const std::string &expression) override { return "(" + expression + ")"; }

  std::string angle(RotaryOp op, const std::string &pair) override {
    std::string position = loadInteger(text.pointer(program.memory.find(op.getPositions())->second), DType::i32, "m");
    std::string constants = turns(op), pairs = std::to_string(int64_t(op.getDims()) / 2), key = constants + pair;
    std::string &field = loaded[key];
    if (!field.empty())
      return field;
    std::string turn = "t" + std::to_string(counts[2]++), own = "a" + std::to_string(counts[3]++);
    std::string factor = op.getFactors() ? " / " + text.pointer(program.memory.find(op.getFactors())->second) + "[" + pair + "]" : "";
    early += "      e." + turn + " = " + pair + " < " + pairs + " ? " + constants + "[" + pair + "]" + factor + " : 0.0;\n";
    prepare += "      e." + own + " = rotaryAngle(" + position + ", e." + turn + ");\n";
    return field = "e." + own;
  }

  //===-- Text ----------------------------------------------------------------------------------------------------===//

  void result(size_t index, const Column &column) {
    Value value = program.results[index];
    if (auto append = value.getDefiningOp<CacheAppendOp>()) {
      // Found early: the lines go there.
      std::string store = std::move(text.body);
      text.body.clear();
      Slot slot = emitSlot(text, program, append, "m");
      std::string batch = "i" + std::to_string(counts[1]++), place = "i" + std::to_string(counts[1]++);
      early += text.body + "      e." + batch + " = " + slot.batch + ", e." + place + " = " + slot.slot + ";\n";
      text.body = std::move(store);
      std::string own = at(append.getTokens(), column);
      emitCacheStore(text, program, append, {"e." + batch, "e." + place}, column.text, own, program.outputs[index]);
      return;
    }
    std::string own = at(value, column), pointer = text.pointer(program.outputs[index], true);
    text.line("storeLanes(" + pointer + " + (int64)m * " + std::to_string(program.width(value)) + " + " + column.text + ", " + own + ");");
    if (gemv.best)
      text.line("key = argmaxKey(" + own + ".v[0], " + column.text + ");");
  }

  void define(const std::string &earlyText, const std::string &prepareText, const std::string &storeText) {
    std::string s = "struct Epilogue {\n";
    for (size_t i = 0; i < text.buffers.size(); ++i)
      s += "  " + text.type(i) + " *b" + std::to_string(i) + ";\n";
    s += "  const int64 *symbols;\n  int64 rows;\n";
    if (gemv.best)
      s += "  uint64 *best;\n";
    s += "  struct Early {\n";
    constexpr StringRef kinds[] = {"Lanes<1> f", "int i", "double t", "SinCos a"};
    for (size_t kind = 0; kind < most.size(); ++kind)
      for (int i = 0; i < most[kind]; ++i)
        s += ("    " + kinds[kind] + llvm::Twine(i) + ";\n").str();
    s += "  };\n  DEVICE Early early(int m, int n) const {\n    Early e;\n" + earlyText + "    return e;\n  }\n";
    s += "  DEVICE void prepare(Early &e, int n) const {\n" + prepareText + "  }\n";
    s += "  DEVICE void store(const Early &e, int m, int n, float v, bool mine) const {\n";
    s += "    const Lanes<1> own = {{v}}, other = {{__shfl_xor_sync(~0u, v, " + std::to_string(geometry.partner) + ")}};\n";
    if (!gemv.best) {
      s += "    if (!mine)\n      return;\n" + storeText;
    } else {
      s += "    uint64 key = 0;\n    if (mine) {\n" + storeText + "    }\n";
      s += "    raiseBest(best, m, key);\n";
    }
    s += "  }\n};\n\n";
    text.preamble += s;
  }

  const GemvProgram &gemv;
  ProductColumns columns;
  Pairs geometry;
  const ProductColumns::Band *band = nullptr;
  std::array<int, 4> counts = {}, most = {};
  std::string early, prepare;
  llvm::StringMap<std::string> loaded;
};

//===-- The skeleton ------------------------------------------------------------------------------------------------===//

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
    Epilogue epilogue(text, program);
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
  std::string epilogueText(KernelText &text) {
    std::string s = "Epilogue{";
    for (size_t i = 0; i < text.buffers.size(); ++i)
      s += (i ? ", b" : "b") + std::to_string(i);
    s += ", symbols, rows";
    if (program.best)
      s += ", " + text.workspace(*program.best, "uint64");
    return s + "}";
  }

  double epsilon() const {
    auto layer = dyn_cast<LayerNormOp>(program.norm);
    return layer ? layer.getEpsilon().convertToDouble() : cast<RmsNormOp>(program.norm).getEpsilon().convertToDouble();
  }

  /// The prologue's type and value. deferred: whether RMS norms may be applied to the results.
  std::pair<std::string, std::string> prologue(KernelText &text, bool deferred, int64_t rows) {
    std::string x = memoryType(storedType(program.lhs)), k = std::to_string(inner()), pointer = text.pointer(program.lhs);
    if (!program.norm)
      return {"NoPrologue<" + x + ", " + k + ">", "{" + pointer + "}"};
    std::string s = memoryType(storedType(program.normScale)), scale = text.pointer(program.normScale), e = floatText(epsilon());
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

  CudaChoicePlan emit(KernelText &text, Epilogue &epilogue, int64_t rows, uint32_t sm) {
    auto type = cast<RankedTensorType>(program.root.getRhs().getType());
    DType weight = storedType(program.weight), x = storedType(program.lhs);
    bool planes = isa<BlockType>(type.getElementType());
    std::string pairs = epilogue.pairs().text, own = (name + "_m" + llvm::Twine(rows)).str();
    if (!planes && (weight == DType::f32 || x == DType::f32)) {
      text.include("GemvFma.cuh");
      std::string shape = "GemvFmaShape<" + memoryType(weight) + ", " + std::to_string(type.getDimSize(0)) + ", " + std::to_string(inner()) + ", " +
                          std::to_string(rows) + ", " + pairs + ">";
      auto [prologueType, prologueText] = prologue(text, /*deferred=*/false, rows);
      begin(text);
      text.line("gemvFma<" + shape + ">(" + text.pointer(program.weight) + ", " + prologueType + prologueText + ", " + epilogueText(text) + ", &live);");
      return CudaChoicePlan{rows, pool.add(own, text, {256}, 0), {DimExpr(epilogue.pairs().blocks)}};
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
    int64_t tiles = epilogue.pairs().blocks, staying = sm == 75 ? 0 : shape.stay(!planes, tiles);
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
    text.line((staying ? "gemvStream<Shape>(" : "gemv<Shape>(") + view + ", " + prologueType + prologueText + ", " + epilogueText(text) + ", &live);");
    if (sm == 75)
      text.onlyFor75();
    size_t kernel = pool.add(own, text, {uint32_t(shape.warps * 32)}, sharedBytes);
    return CudaChoicePlan{rows, kernel, {DimExpr(staying ? staying : tiles)}};
  }

  CudaChoicePlan emitSimple(KernelText &text, Epilogue &epilogue) {
    auto type = cast<RankedTensorType>(program.root.getRhs().getType());
    std::string x = memoryType(storedType(program.lhs)), k = std::to_string(inner()), pointer = text.pointer(program.lhs);
    std::string prologueText = "SimplePrologue<" + x + ", " + k + ">{" + pointer + "}";
    if (program.norm) {
      bool biased = hasBias();
      std::string s = memoryType(storedType(program.normScale)), scale = text.pointer(program.normScale), bias = biased ? text.pointer(program.normBias) : "nullptr";
      prologueText = "SimpleNormPrologue<" + x + ", " + s + ", " + k + ", " + (isa<LayerNormOp>(program.norm) ? "true" : "false") + ">{" + pointer + ", " +
                     scale + ", " + bias + ", " + floatText(epsilon()) + ", 0.0f, 0.0f}";
    }
    text.include("GemvSimple.cuh");
    std::string shape = "GemvSimpleShape<" + memoryType(storedType(program.weight)) + ", " + std::to_string(type.getDimSize(0)) + ", " + k + ", " + epilogue.pairs().text + ">";
    begin(text);
    text.line("gemvSimple<" + shape + ">(" + text.pointer(program.weight) + ", " + prologueText + ", " + epilogueText(text) + ", &live);");
    return CudaChoicePlan{INT64_MAX, pool.add(name, text, {256}, 0), {DimExpr(epilogue.pairs().blocks), program.epilogue.rows}};
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
