// See GemmHopper.h. A thread has eight columns of a row at once, and those of their partners.
#include "codegen/cuda/GemmHopper.h"

#include "codegen/cuda/ProductColumns.h"
#include "codegen/cuda/Rows.h"

using namespace mlir;

namespace transom::cuda {

namespace {

constexpr int atOnce = 8;

class TileEpilogue : public RowExpressions {
public:
  TileEpilogue(KernelText &text, const HopperProgram &program) : RowExpressions(text, program.epilogue, atOnce), gemm(program) {}

  /// False where no thread has the columns that a result needs.
  bool findColumns() {
    std::optional<ProductColumns> found = ProductColumns::of(program, gemm.product, gemm.n);
    if (!found || lanesOf(program, atOnce) != atOnce)
      return false;
    columns = std::move(*found);
    for (const ProductColumns::Band &band : columns.bands)
      if (band.products[0] % atOnce != 0 || band.columns % atOnce != 0)
        return false;
    if (columns.partner == ProductColumns::Partner::half) {
      partner_ = "PartnerHalves<" + std::to_string(columns.apart) + ">";
    } else if (columns.partner == ProductColumns::Partner::head) {
      int64_t half = columns.dims / 2;
      if ((half != 16 && half != 32 && half != 64) || columns.headDim % columns.dims != 0)
        return false;
      partner_ = "PartnerWithin<" + std::to_string(half) + ">";
    }
    return true;
  }

  const std::string &partnerText() const { return partner_; }

  /// The struct `Epilogue`; buffers become its fields.
  LogicalResult emit() {
    text.include("Lanes.cuh");
    std::string outer = std::move(text.body);
    text.body.clear();
    text.depth = 2;
    for (const ProductColumns::Band &own : columns.bands) {
      band = &own;
      endScope();
      int64_t from = band->products[0];
      bool all = columns.bands.size() == 1;
      if (!all)
        text.open("if (n >= " + std::to_string(from) + " && n < " + std::to_string(from + band->columns) + ")");
      for (size_t index : band->results)
        result(index, {from == 0 ? "n" : "(n - " + std::to_string(from) + ")", "", Column::Role::own, 0});
      if (!all)
        text.close();
    }
    std::string store = rowScales() + std::move(text.body);
    text.body = std::move(outer);
    text.depth = 1;
    std::string s = "struct Epilogue {\n";
    for (size_t i = 0; i < text.buffers.size(); ++i)
      s += "  " + text.type(i) + " *b" + std::to_string(i) + ";\n";
    text.preamble += s + "  const int64 *symbols;\n  int64 rows;\n  DEVICE void store(int m, int n, const Lanes<8> &" +
                     (isNarrow() ? "ownSums, const Lanes<8> &otherSums" : "own, const Lanes<8> &other") + ") const {\n" + store + "  }\n};\n\n";
    return success(ok);
  }

private:
  bool isNarrow() const { return storedType(gemm.lhs) == DType::f8e4m3; }
  /// Of rows in 8 bits: the sums times the row's scale. Also makes x one of the epilogue's buffers.
  std::string rowScales() {
    if (!isNarrow())
      return "";
    text.include("E4m3.cuh");
    return "    const float rowScale = scalesOf(" + text.pointer(gemm.lhs) + ", rows, " + std::to_string(gemm.k) + ")[m];\n" +
           "    const Lanes<8> own = scaledLanes(ownSums, rowScale), other = scaledLanes(otherSums, rowScale);\n";
  }
  std::string row() const override { return "m"; }
  std::string special(Value value, const Column &column) override {
    if (value != gemm.product)
      return "";
    return column.role != Column::Role::partner && column.shift == band->products[0] ? "own" : "other";
  }
  Column partner(const Column &own, const std::string &expression) override { return {"(" + expression + ")", "", Column::Role::partner, own.shift}; }
  std::string load(const std::string &pointer, DType dtype, const std::string &index, bool same) override { return loadLanesText(text, lanes, pointer, dtype, index, same); }
  std::string loadInteger(const std::string &pointer, DType, const std::string &index) override { return "(int)" + pointer + "[" + index + "]"; }
  std::string angle(RotaryOp op, const std::string &pair) override {
    std::string factor = op.getFactors() ? " / " + text.pointer(program.memory.find(op.getFactors())->second) + "[" + pair + "]" : "";
    return "rotaryAngle(" + text.pointer(program.memory.find(op.getPositions())->second) + "[m], " + turns(op) + "[" + pair + "]" + factor + ")";
  }

  void result(size_t index, const Column &column) {
    Value value = program.results[index];
    if (auto append = value.getDefiningOp<CacheAppendOp>()) {
      Slot slot = emitSlot(text, program, append, "m");
      std::string own = at(append.getTokens(), column);
      emitCacheStore(text, program, append, slot, column.text, own, program.outputs[index]);
      return;
    }
    if (storedType(program.outputs[index]) == DType::f8e4m3) {
      rounded(index, column);
      return;
    }
    std::string own = at(value, column);
    text.line("storeLanes(" + text.pointer(program.outputs[index], true) + " + (int64)m * " + std::to_string(program.width(value)) + " + " + column.text + ", " + own + ");");
  }

  /// A result in 8 bits, by a scale that is the same for all rows; that of a row is written with its first columns.
  void rounded(size_t index, const Column &column) {
    auto op = program.results[index].getDefiningOp<RoundE4m3Op>();
    if (!op || !op.getScale()) {
      fail(program.results[index].getDefiningOp(), "is kept in 8 bits by scales that whole rows give, which an epilogue does not have");
      return;
    }
    text.include("E4m3.cuh");
    std::string own = at(op.getInput(), column), scale = text.fresh("scale"), pointer = text.pointer(program.outputs[index], true);
    std::string width = std::to_string(program.width(op));
    text.line("const float " + scale + " = " + text.pointer(program.memory.find(op.getScale())->second) + "[0];");
    text.line("storeLanes(" + pointer + " + (int64)m * " + width + " + " + column.text + ", scaledLanes(" + own + ", 1.0f / " + scale + "));");
    text.line("if (" + column.text + " == 0)");
    text.line("  scalesOf(" + pointer + ", rows, " + width + ")[m] = " + scale + ";");
  }

  const HopperProgram &gemm;
  ProductColumns columns;
  const ProductColumns::Band *band = nullptr;
  std::string partner_ = "NoPartner";
};

} // namespace

FailureOr<std::optional<CudaLaunchPlan>> emitHopperGemm(KernelPool &pool, const HopperProgram &program, StringRef name) {
  constexpr int64_t cluster = 2, stages = 6, tileRows = 128, boxColumns = 64, sharedBytes = 1024 + stages * (32 << 10) + 16 * stages;
  if (program.n % atOnce != 0 || program.k * layoutOf(storedType(program.lhs)).bytes % 16 != 0)
    return std::optional<CudaLaunchPlan>();
  KernelText text(pool);
  TileEpilogue epilogue(text, program);
  if (!epilogue.findColumns())
    return std::optional<CudaLaunchPlan>();
  auto map = [&](const CudaBuffer &buffer, DimExpr rows, int64_t rowsAtOnce) {
    CudaMapPlan plan;
    plan.buffer = buffer;
    plan.sizes = {DimExpr(program.k), rows}, plan.strides = {DimExpr(program.k)};
    plan.box = {128 / layoutOf(storedType(buffer)).bytes, uint32_t(rowsAtOnce)};
    return text.map(std::move(plan));
  };
  std::string x = map(program.lhs, program.epilogue.rows, tileRows), weights = map(program.weight, DimExpr(program.n), boxColumns);
  if (failed(epilogue.emit()))
    return failure();
  text.include("GemmHopper.cuh");
  text.preamble = "#if __CUDA_ARCH__ >= 900\n#define CLUSTER __cluster_dims__(" + std::to_string(cluster) + ", 1, 1)\n#else\n#define CLUSTER\n#endif\n" + text.preamble;
  text.attributes = "CLUSTER ", text.launchBounds = "384, 1";
  text.body += "#ifdef __CUDA_ARCH_FEAT_SM90_ALL\n";
  text.line("using Shape = HopperGemmShape<" + memoryType(storedType(program.lhs)) + ", " + std::to_string(program.n) + ", " + std::to_string(program.k) + ", " +
            epilogue.partnerText() + ", " + std::to_string(cluster) + ", " + std::to_string(stages) + ">;");
  text.line("static_assert(Shape::sharedBytes == " + std::to_string(sharedBytes) + ", \"\");");
  text.line("const int64 rows = " + text.size(program.epilogue.rows) + ";");
  std::string fields;
  for (size_t i = 0; i < text.buffers.size(); ++i)
    fields += "b" + std::to_string(i) + ", ";
  text.line("gemmHopper<Shape>({&" + x + ", &" + weights + ", (int)rows}, Epilogue{" + fields + "symbols, rows});");
  text.body += "#endif\n";
  CudaLaunchPlan launch;
  launch.rows = program.epilogue.rows;
  // As many blocks as a GPU of this kind has multiprocessors.
  launch.choices.push_back({INT64_MAX, pool.add(name, text, {384}, uint32_t(sharedBytes)), {DimExpr(132)}});
  launch.buffers = text.buffers, launch.maps = text.maps;
  return std::optional(launch);
}

} // namespace transom::cuda
