// See GemmTiles.h. A thread has eight columns of a row at once, and those of their partners.
#include "codegen/cuda/GemmTiles.h"

#include "codegen/cuda/Rows.h"

using namespace mlir;

namespace transom::cuda {

namespace {

constexpr int64_t atOnce = 8, group = 32; // columns of a thread, of four together (HopperGemmShape)

class TileEpilogue : public RowExpressions {
public:
  TileEpilogue(KernelText &text, const ProductProgram &program) : RowExpressions(text, program.epilogue, int(atOnce)), gemm(program) {}

  /// False where no thread has the columns that a result needs.
  bool findColumns() {
    std::optional<ProductColumns> found = ProductColumns::of(program, gemm.product, gemm.n);
    if (!found || lanesOf(program, int(atOnce)) != atOnce)
      return false;
    product = std::move(*found);
    for (const ProductColumns::Band &band : product.bands)
      if (band.products[0] % atOnce != 0 || band.columns % atOnce != 0)
        return false;
    if (product.partner == ProductColumns::Partner::half) {
      if (product.apart % group != 0)
        return false;
      partner_ = "PartnerHalves<" + std::to_string(product.apart) + ">";
    } else if (product.partner == ProductColumns::Partner::head) {
      int64_t half = product.dims / 2;
      if ((half != 16 && half != 32 && half != 64) || product.headDim % product.dims != 0)
        return false;
      partner_ = "PartnerWithin<" + std::to_string(half) + ">";
    }
    return true;
  }

  const std::string &partnerText() const { return partner_; }
  /// The struct's value, for an entry with variables `symbols` and `rows`.
  std::string value() const { return "Epilogue{" + text.structValues() + factorValues + "}"; }
  /// What HopperGemmShape is for this product. When the struct is there.
  struct Shape {
    int64_t columns, sharedBytes;
    std::optional<CudaBuffer> residual;
    std::string text; ///< its arguments behind the cluster
  };
  Shape shape() const {
    constexpr int64_t tile = 128, line = 128; // of K, in bytes
    Shape shape{tileColumns(), 0, residual(), ""};
    const bool wide = shape.columns > tile, keepsX = isShort() && !shape.residual;
    const int64_t stages = wide || shape.residual ? 5 : 6, kept = keepsX ? llvm::divideCeil(gemm.k, line) * tile * line : 0;
    const int64_t ofEpilogues = shape.residual ? 2 * tile * tile * 2 + 32 : wide ? 2 * shape.columns / (halves() ? 16 : 8) * columnBytes() : 0;
    shape.sharedBytes = 1024 + kept + stages * ((shape.columns + (keepsX ? 0 : tile)) * line + 16) + ofEpilogues;
    shape.text = std::to_string(stages) + ", " + std::to_string(shape.columns);
    if (wide)
      shape.text += ", false, NoResidual, " + std::to_string(columnBytes());
    else if (shape.residual)
      shape.text += ", false, " + memoryType(storedType(*shape.residual));
    else if (keepsX)
      shape.text += ", true";
    return shape;
  }

  /// The struct `Epilogue`; buffers become its fields.
  LogicalResult emit() {
    text.include("Lanes.cuh");
    std::string outer = std::move(text.body);
    text.depth = 3;
    chosen = mayChoose();
    std::vector<BandText> bands = emitBands();
    if (chosen && !llvm::all_of(bands, [&](const BandText &band) { return sameBut(band, bands[0]); })) {
      chosen = false;
      bands = emitBands();
    }
    text.body = std::move(outer);
    text.depth = 1;
    std::string readScale = scaleOfRow(), columns, pieces, store; // the scale's buffer is a field too
    std::string s = "struct Epilogue {\n" + text.structFields() + factorFields + bandText(bands);
    if (chosen)
      bands.resize(1);
    for (size_t i = 0; i < bands.size(); ++i) {
      const ProductColumns::Band &own = product.bands[i];
      std::string open = "    {\n";
      if (bands.size() > 1)
        open = "    if (n >= " + std::to_string(own.products[0]) + " && n < " + std::to_string(own.products[0] + own.columns) + ") {\n";
      columns += open + bands[i].columns + "    }\n", pieces += open + bands[i].pieces + "    }\n", store += open + bands[i].store + "    }\n";
    }
    s += ofColumns.text("OfColumns") + "  DEVICE OfColumns readColumns(const Band &band, int n) const {\n    OfColumns columns;\n";
    s += columns + "    return columns;\n  }\n  struct OfRow {\n" + (isNarrow() ? "    float scale;\n" : "") + "  };\n";
    s += "  DEVICE OfRow readRow(int m) const {\n    OfRow row;\n" + readScale + "    return row;\n  }\n" + ofPiece.text("OfPiece");
    s += "  DEVICE OfPiece readPiece(const Band &band, int m, int n) const {\n    OfPiece piece;\n" + pieces + "    return piece;\n  }\n";
    s += "  DEVICE void store(const Band &band, const OfColumns &columns, const OfRow &row, const OfPiece &piece, int m, int n, const Lanes<8> &";
    s += isNarrow() ? "ownSums, const Lanes<8> &otherSums) const {\n"
                      "    const Lanes<8> own = scaledLanes(ownSums, row.scale), other = scaledLanes(otherSums, row.scale);\n"
                    : "own, const Lanes<8> &other) const {\n";
    text.preamble += s + store + "  }\n};\n\n";
    return success(ok);
  }

private:
  bool halves() const { return product.partner == ProductColumns::Partner::half; }
  /// Columns of a tile: 192 take less of shared memory's bandwidth than 128, but leave few registers, and the last tile should not be much too wide.
  int64_t tileColumns() const {
    constexpr int64_t narrow = 128, wide = 192;
    const int64_t width = halves() ? product.apart : gemm.n, own = halves() ? wide / 2 : wide, waste = int64_t(llvm::divideCeil(width, own)) * own - width;
    const bool simple = isPlain() && ofPiece.types.empty() && (chosen || product.bands.size() == 1);
    return !isNarrow() && simple && 16 * waste <= width ? wide : narrow;
  }
  /// Of products in 8 bits: whether K is so short that epilogues take as long, but has no fewer steps than there are stages, and all of K of a tile's rows
  /// has room beside these.
  bool isShort() const { return isNarrow() && gemm.k > 5 * 128 && gemm.k <= 8 * 128; }
  /// What the epilogue of such a product reads of rows, if that is one matrix of 16 bits, as wide as the product.
  std::optional<CudaBuffer> residual() const {
    if (!isShort() || pieceLoads.size() != 1 || pieceLoads[0].second != "(int64)m * " + std::to_string(gemm.n) + " + n")
      return std::nullopt;
    const CudaBuffer &buffer = text.buffers[std::stoul(pieceLoads[0].first.substr(1))];
    return layoutOf(storedType(buffer)).bytes == 2 ? std::optional(buffer) : std::nullopt;
  }
  /// Bytes of the struct's OfColumns, at least a piece of shared memory.
  int64_t columnBytes() const {
    int64_t bytes = 0;
    for (const std::string &type : ofColumns.types)
      bytes += type == "float" ? 32 : 16;
    return std::max<int64_t>(bytes, 16);
  }

  /// The statements of one band. pointers: the buffers it names, in their order.
  struct BandText {
    std::string columns, pieces, store;
    std::vector<size_t> pointers;
  };
  /// Fields for what is read before the product is there; bands share them.
  struct Fields {
    std::vector<std::string> types;
    std::vector<bool> taken; ///< by the band at hand
    std::string reads;       ///< the band's statements
    void begin() { taken.assign(types.size(), false), reads.clear(); }
    std::string take(const std::string &type) {
      size_t field = 0;
      while (field < types.size() && (taken[field] || types[field] != type))
        ++field;
      if (field == types.size())
        types.push_back(type), taken.push_back(false);
      taken[field] = true;
      return "e" + std::to_string(field);
    }
    std::string text(const std::string &name) const {
      std::string s = "  struct " + name + " {\n";
      for (size_t i = 0; i < types.size(); ++i)
        s += "    Stored<8, " + types[i] + "> e" + std::to_string(i) + ";\n";
      return s + "  };\n";
    }
  };

  /// Bands that do the same to other buffers (query, key and value, each with its bias) are one, whose buffers are chosen once for all threads:
  /// then no thread branches. Whether they may be: in their order they are all of the product, in whole groups, and their ops name buffers in
  /// loads and stores alone.
  bool mayChoose() const {
    int64_t end = 0;
    for (const ProductColumns::Band &band : product.bands) {
      if (band.products[0] != end || band.columns % group != 0)
        return false;
      end += band.columns;
    }
    return product.bands.size() > 1 && end == gemm.n && isPlain();
  }
  bool isPlain() const {
    return llvm::all_of(program.ops, [](Operation *op) { return isa<FusedOp, ScalarOp, SliceOp>(op) || isReshape(op); });
  }
  bool sameBut(const BandText &a, const BandText &b) const {
    auto sameType = [&](size_t x, size_t y) { return text.type(x) == text.type(y); };
    return a.columns == b.columns && a.pieces == b.pieces && a.store == b.store && std::equal(a.pointers.begin(), a.pointers.end(), b.pointers.begin(), b.pointers.end(), sameType);
  }

  std::vector<BandText> emitBands() {
    std::vector<BandText> bands;
    ofColumns = ofPiece = {};
    pieceLoads.clear();
    factorFields = factorValues = "";
    const unsigned names = text.names();
    for (const ProductColumns::Band &own : product.bands) {
      band = &own;
      endScope();
      text.body.clear(), pointers.clear(), ofColumns.begin(), ofPiece.begin();
      if (chosen)
        text.reuseNames(names);
      std::string from = chosen ? "band.from" : std::to_string(own.products[0]);
      for (size_t index : own.results)
        result(index, {from == "0" ? "n" : "(n - " + from + ")", "", Column::Role::own, 0});
      bands.push_back({ofColumns.reads, ofPiece.reads, text.body, pointers});
    }
    return bands;
  }
  /// The members Band and band(n): where the band of column n begins, and its buffers; nothing where threads look for themselves.
  std::string bandText(const std::vector<BandText> &bands) const {
    std::string fields, choice;
    for (size_t i = 0; chosen && i < bands[0].pointers.size(); ++i)
      fields += text.type(bands[0].pointers[i]) + " *p" + std::to_string(i) + "; ";
    for (size_t i = bands.size(); chosen && i-- > 0;) {
      std::string from = std::to_string(product.bands[i].products[0]);
      choice += (i == 0 ? "Band{" : "n >= " + from + " ? Band{") + from;
      for (size_t buffer : bands[i].pointers)
        choice += ", b" + std::to_string(buffer);
      choice += i == 0 ? "}" : "} : ";
    }
    return "  struct Band { " + (chosen ? "int from; " + fields : "") + "};\n  DEVICE Band band(int n) const { return " + (chosen ? choice : "{}") + "; }\n";
  }
  /// A buffer's name in the band at hand.
  std::string inBand(const std::string &pointer) {
    if (!chosen)
      return pointer;
    size_t buffer = std::stoul(pointer.substr(1)), place = size_t(llvm::find(pointers, buffer) - pointers.begin());
    if (place == pointers.size())
      pointers.push_back(buffer);
    return "band.p" + std::to_string(place);
  }

  bool isNarrow() const { return storedType(gemm.lhs) == DType::f8e4m3; }
  /// Of rows in 8 bits: reads the row's scale, which the sums are multiplied by. Also makes x one of the epilogue's buffers.
  std::string scaleOfRow() {
    if (!isNarrow())
      return "";
    text.include("E4m3.cuh");
    return "    row.scale = scalesOf(" + text.pointer(gemm.lhs) + ", rows, " + std::to_string(gemm.k) + ")[m];\n";
  }
  std::string row() const override { return "m"; }
  std::string special(Value value, const Column &column) override {
    if (value != gemm.product)
      return "";
    return column.role != Column::Role::partner && column.shift == band->products[0] ? "own" : "other";
  }
  Column partner(const Column &own, const std::string &expression) override { return {"(" + expression + ")", "", Column::Role::partner, own.shift}; }
  std::string place(const std::string &expression) override {
    std::string name = RowExpressions::place(expression);
    for (Fields *fields : {&ofColumns, &ofPiece})
      fields->reads += "      const int " + name + " = " + expression + ";\n";
    return name;
  }
  /// Read before the product is there.
  std::string load(const std::string &pointer, DType dtype, const std::string &index, bool same) override {
    if (same)
      return loadLanesText(text, lanes, inBand(pointer), dtype, index, same);
    bool rows = StringRef(index).starts_with("(int64)" + row() + " * ");
    Fields &fields = rows ? ofPiece : ofColumns;
    std::string type = memoryType(dtype), name = text.fresh("x"), from = rows ? "piece" : "columns", field = fields.take(type);
    if (rows)
      pieceLoads.push_back({pointer, index});
    fields.reads += "      " + from + "." + field + " = loadStored<8>(" + inBand(pointer) + " + " + index + ");\n";
    text.line("const Lanes<8> " + name + " = lanesOf<" + type + ">(" + from + "." + field + ");");
    return name;
  }
  std::string shifted(const Column &column, int64_t start) override {
    bool product = column.role == Column::Role::own && column.shift + start == band->products[0];
    return product ? "n" : RowExpressions::shifted(column, start);
  }
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
    text.line("storeLanes(" + inBand(text.pointer(program.outputs[index], true)) + " + (int64)m * " + std::to_string(program.width(value)) + " + " + column.text + ", " + own + ");");
  }

  /// A result in 8 bits, by a scale that is the same for all rows; that of a row is written with its first columns. What numbers are multiplied by
  /// is found once, before the product: a quotient takes ten instructions and a branch.
  void rounded(size_t index, const Column &column) {
    auto op = program.results[index].getDefiningOp<RoundE4m3Op>();
    if (!op || !op.getScale()) {
      fail(program.results[index].getDefiningOp(), "is kept in 8 bits by scales that whole rows give, which an epilogue does not have");
      return;
    }
    const CudaBuffer &stored = program.memory.find(op.getScale())->second;
    if (!isConstant(stored)) {
      fail(op, "by a scale that is computed has no CUDA form: expected one that the artifact has");
      return;
    }
    text.include("E4m3.cuh");
    std::string own = at(op.getInput(), column), factor = "factor" + std::to_string(index), pointer = text.pointer(program.outputs[index], true);
    std::string width = std::to_string(program.width(op)), scale = text.pointer(stored) + "[0]";
    factorFields += "  float " + factor + ";\n", factorValues += ", 1.0f / " + scale;
    text.line("storeLanes(" + pointer + " + (int64)m * " + width + " + " + column.text + ", scaledLanes(" + own + ", " + factor + "));");
    text.line("if (" + column.text + " == 0)");
    text.line("  scalesOf(" + pointer + ", rows, " + width + ")[m] = " + scale + ";");
  }

  const ProductProgram &gemm;
  ProductColumns product; ///< which of its columns results need
  const ProductColumns::Band *band = nullptr;
  Fields ofColumns, ofPiece;
  std::vector<std::pair<std::string, std::string>> pieceLoads; ///< pointers and indices
  bool chosen = false; ///< the band's buffers are chosen once for all threads
  std::vector<size_t> pointers;
  std::string partner_ = "NoPartner";
  std::string factorFields, factorValues; ///< of the struct: 1 / scale of results in 8 bits
};

} // namespace

FailureOr<std::optional<CudaLaunchPlan>> emitHopperGemm(KernelPool &pool, const ProductProgram &program, StringRef name) {
  constexpr int64_t cluster = 2, tileRows = 128;
  const int64_t n = program.n, k = program.k, bytes = layoutOf(storedType(program.lhs)).bytes;
  if (n % group != 0 || k * bytes % 16 != 0)
    return std::optional<CudaLaunchPlan>();
  KernelText text(pool);
  TileEpilogue epilogue(text, program);
  if (!epilogue.findColumns())
    return std::optional<CudaLaunchPlan>();
  auto map = [&](const CudaBuffer &buffer, Dims sizes, Dims strides, std::vector<uint32_t> box) {
    CudaMapPlan plan;
    plan.buffer = buffer;
    plan.sizes = std::move(sizes), plan.strides = std::move(strides), plan.box = std::move(box);
    return text.map(std::move(plan));
  };
  std::string x = map(program.lhs, {k, program.epilogue.rows}, {k}, {uint32_t(128 / bytes), tileRows});
  if (failed(epilogue.emit()))
    return failure();
  const TileEpilogue::Shape shape = epilogue.shape();
  std::string weights = map(program.weight, {k, 2, 4, 4, n / group}, {k, 8 * k, 2 * k, group * k}, {uint32_t(128 / bytes), 2, 4, 4, uint32_t(shape.columns / 2 / group)});
  std::string residual = shape.residual ? "&" + map(*shape.residual, {n, program.epilogue.rows}, {n}, {64, tileRows}) : "nullptr";
  text.include("GemmHopper.cuh");
  text.inClusters(cluster);
  text.launchBounds = "384, 1";
  text.body += "#ifdef __CUDA_ARCH_FEAT_SM90_ALL\n";
  text.line("using Shape = HopperGemmShape<" + memoryType(storedType(program.lhs)) + ", " + std::to_string(program.n) + ", " + std::to_string(program.k) + ", " +
            epilogue.partnerText() + ", " + std::to_string(cluster) + ", " + shape.text + ">;");
  text.line("static_assert(Shape::sharedBytes == " + std::to_string(shape.sharedBytes) + ", \"\");");
  text.line("const int64 rows = " + text.size(program.epilogue.rows) + ";");
  text.line("gemmHopper<Shape>({&" + x + ", &" + weights + ", (int)rows, " + residual + "}, " + epilogue.value() + ");");
  text.body += "#endif\n";
  CudaLaunchPlan launch;
  launch.rows = program.epilogue.rows;
  // As many blocks as a GPU of this kind has multiprocessors.
  launch.choices.push_back({INT64_MAX, pool.add(name, text, {384}, uint32_t(shape.sharedBytes)), {DimExpr(132)}});
  launch.buffers = text.buffers, launch.maps = text.maps;
  return std::optional(launch);
}

FailureOr<std::optional<CudaLaunchPlan>> emitE4m3Gemm(KernelPool &pool, const ProductProgram &program, StringRef name) {
  constexpr int64_t tile = 128, stages = 4, sharedBytes = stages * 2 * tile * (64 + 16); // E4m3GemmShape
  const int64_t n = program.n, k = program.k;
  KernelText text(pool);
  TileEpilogue epilogue(text, program);
  if (n % group != 0 || k % 16 != 0 || !epilogue.findColumns() || epilogue.partnerText() != "NoPartner")
    return std::optional<CudaLaunchPlan>();
  std::string x = text.pointer(program.lhs), weights = text.pointer(program.weight);
  if (failed(epilogue.emit()))
    return failure();
  text.include("GemmE4m3.cuh");
  text.body += "#if __CUDA_ARCH__ >= 890\n";
  text.line("using Shape = E4m3GemmShape<" + std::to_string(n) + ", " + std::to_string(k) + ">;");
  text.line("static_assert(Shape::sharedBytes == " + std::to_string(sharedBytes) + ", \"\");");
  text.line("const int64 rows = " + text.size(program.epilogue.rows) + ";");
  text.line("gemmE4m3<Shape>(" + x + ", " + weights + ", " + epilogue.value() + ", (int)rows);");
  text.body += "#endif\n";
  CudaLaunchPlan launch;
  launch.rows = program.epilogue.rows;
  const int64_t across = llvm::divideCeil(n, tile);
  launch.choices.push_back({INT64_MAX, pool.add(name, text, {256}, uint32_t(sharedBytes)), {DimExpr(across), launch.rows}, {1, uint32_t(tile)}});
  launch.buffers = text.buffers;
  return std::optional(launch);
}

} // namespace transom::cuda
