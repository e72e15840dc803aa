// See TileEpilogue.h.
#include "codegen/cuda/TileEpilogue.h"

#include "codegen/cuda/Rows.h"

using namespace mlir;

namespace transom::cuda {

bool TileEpilogue::findColumns() {
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

std::string TileEpilogue::rowsMap() { return "&" + text.map({gemm.lhs, {gemm.k, program.rows}, {gemm.k}, {lineNumbers(), tileRows}}); }

std::string TileEpilogue::weightMap(int64_t columns) {
  const int64_t k = gemm.k;
  return "&" + text.map({gemm.weight, {k, 2, 4, 4, gemm.n / group}, {k, 8 * k, 2 * k, group * k}, {lineNumbers(), 2, 4, 4, uint32_t(columns / 2 / group)}});
}

std::string TileEpilogue::residualMap(const CudaBuffer &residual, int64_t boxColumns) {
  return "&" + text.map({residual, {gemm.n, program.rows}, {gemm.n}, {uint32_t(boxColumns), tileRows}});
}

TileEpilogue::Shape TileEpilogue::shape() const {
  constexpr int64_t tile = 128, line = 128; // of K, in bytes
  Shape shape{tileColumns(), 0, isShort() ? residual() : std::nullopt, ""};
  const bool wide = shape.columns > tile, keepsX = isShort() && !shape.residual;
  const int64_t stages = wide || shape.residual ? 5 : 6, kept = keepsX ? llvm::divideCeil(gemm.k, line) * tile * line : 0;
  const int64_t ofEpilogues = shape.residual ? 2 * tile * tile * 2 + 32 : wide ? 2 * shape.columns / (halves() ? 16 : 8) * std::max<int64_t>(columnBytes(), 16) : 0;
  shape.sharedBytes = 1024 + kept + stages * ((shape.columns + (keepsX ? 0 : tile)) * line + 16) + ofEpilogues;
  shape.text = std::to_string(stages) + ", " + std::to_string(shape.columns);
  if (wide)
    shape.text += ", false, NoResidual, " + std::to_string(std::max<int64_t>(columnBytes(), 16));
  else if (shape.residual)
    shape.text += ", false, " + memoryType(storedType(*shape.residual));
  else if (keepsX)
    shape.text += ", true";
  return shape;
}

std::optional<CudaBuffer> TileEpilogue::residual() const {
  if (pieceLoads.size() != 1 || pieceLoads[0].second != "(int64)m * " + std::to_string(gemm.n) + " + n")
    return std::nullopt;
  const CudaBuffer &buffer = text.buffers[std::stoul(pieceLoads[0].first.substr(1))];
  return layoutOf(storedType(buffer)).bytes == 2 ? std::optional(buffer) : std::nullopt;
}

int64_t TileEpilogue::columnBytes() const {
  int64_t bytes = 0;
  for (const std::string &type : ofColumns.types)
    bytes += type == "float" ? 32 : 16;
  return bytes;
}

LogicalResult TileEpilogue::emit() {
  const Members all = members();
  text.preamble += "struct Epilogue {\n" + text.structFields() + all.fields + all.readers() +
                   "  DEVICE void store(const Band &band, const OfColumns &columns, const OfRow &row, const OfPiece &piece, int m, int n, const Lanes<8> &ownSums, const Lanes<8> &otherSums) const {\n" +
                   sumsText("ownSums", "otherSums") + all.end + "  }\n};\n\n";
  return success(ok);
}

std::string TileEpilogue::Members::readers() const {
  return band + ofColumns + "  DEVICE OfColumns readColumns(const Band &band, int n) const {\n    OfColumns columns;\n" + columns + "    return columns;\n  }\n" + ofRow +
         "  DEVICE OfRow readRow(int m) const {\n    OfRow row;\n" + row + "    return row;\n  }\n" + ofPiece +
         "  DEVICE OfPiece readPiece(const Band &band, int m, int n) const {\n    OfPiece piece;\n" + pieces + "    return piece;\n  }\n";
}

std::string TileEpilogue::sumsText(const std::string &ownSums, const std::string &otherSums) const {
  auto one = [&](const std::string &name, const std::string &sums) {
    return "    const Lanes<8> " + (isNarrow() ? name + " = scaledLanes(" + sums + ", row.scale);\n" : "&" + name + " = " + sums + ";\n");
  };
  return one("own", ownSums) + one("other", otherSums);
}

TileEpilogue::Members TileEpilogue::members(const std::string &columns) {
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
  Members all;
  all.row = scaleOfRow(); // the scale's buffer is a field too
  all.fields = factorFields, all.band = bandText(bands);
  if (chosen)
    bands.resize(1);
  for (size_t i = 0; i < bands.size(); ++i) {
    const ProductColumns::Band &own = product.bands[i];
    std::string open = "    {\n";
    if (bands.size() > 1)
      open = "    if (n >= " + std::to_string(own.products[0]) + " && n < " + std::to_string(own.products[0] + own.columns) + ") {\n";
    all.columns += open + bands[i].columns + "    }\n", all.pieces += open + bands[i].pieces + "    }\n", all.end += open + bands[i].end + "    }\n";
  }
  all.ofColumns = ofColumns.text(columns), all.ofPiece = ofPiece.text("OfPiece");
  all.ofRow = std::string("  struct OfRow {\n") + (isNarrow() ? "    float scale;\n" : "") + "  };\n";
  return all;
}

std::string TileEpilogue::Fields::take(const std::string &type) {
  size_t field = 0;
  while (field < types.size() && (taken[field] || types[field] != type))
    ++field;
  if (field == types.size())
    types.push_back(type), taken.push_back(false);
  taken[field] = true;
  return "e" + std::to_string(field);
}

std::string TileEpilogue::Fields::text(const std::string &name) const {
  std::string s = "  struct " + name + " {\n";
  for (size_t i = 0; i < types.size(); ++i)
    s += "    Stored<8, " + types[i] + "> e" + std::to_string(i) + ";\n";
  return s + "  };\n";
}

/// Columns of a tile: 192 take less of shared memory's bandwidth than 128, but leave few registers, and the last tile should not be much too wide.
int64_t TileEpilogue::tileColumns() const {
  constexpr int64_t narrow = 128, wide = 192;
  const int64_t width = halves() ? product.apart : gemm.n, own = halves() ? wide / 2 : wide, waste = int64_t(llvm::divideCeil(width, own)) * own - width;
  const bool simple = isPlain() && ofPiece.types.empty() && (chosen || product.bands.size() == 1);
  return !isNarrow() && simple && 16 * waste <= width ? wide : narrow;
}

/// Of products in 8 bits: whether K is so short that epilogues take as long, but has no fewer steps than there are stages, and all of K of a tile's rows
/// has room beside these.
bool TileEpilogue::isShort() const { return isNarrow() && gemm.k > 5 * 128 && gemm.k <= 8 * 128; }

/// Bands that do the same to other buffers (query, key and value, each with its bias) are one, whose buffers are chosen once for all threads:
/// then no thread branches. Whether they may be: in their order they are all of the product, in whole groups, and their ops name buffers in
/// loads and stores alone.
bool TileEpilogue::mayChoose() const {
  int64_t end = 0;
  for (const ProductColumns::Band &band : product.bands) {
    if (band.products[0] != end || band.columns % group != 0)
      return false;
    end += band.columns;
  }
  return product.bands.size() > 1 && end == gemm.n && isPlain();
}

bool TileEpilogue::isPlain() const {
  return llvm::all_of(program.ops, [](Operation *op) { return isa<FusedOp, ScalarOp, SliceOp>(op) || isReshape(op); });
}

bool TileEpilogue::sameBut(const BandText &a, const BandText &b) const {
  auto sameType = [&](size_t x, size_t y) { return text.type(x) == text.type(y); };
  return a.columns == b.columns && a.pieces == b.pieces && a.end == b.end && std::equal(a.pointers.begin(), a.pointers.end(), b.pointers.begin(), b.pointers.end(), sameType);
}

std::vector<TileEpilogue::BandText> TileEpilogue::emitBands() {
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
std::string TileEpilogue::bandText(const std::vector<BandText> &bands) const {
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
std::string TileEpilogue::inBand(const std::string &pointer) {
  if (!chosen)
    return pointer;
  size_t buffer = std::stoul(pointer.substr(1)), place = size_t(llvm::find(pointers, buffer) - pointers.begin());
  if (place == pointers.size())
    pointers.push_back(buffer);
  return "band.p" + std::to_string(place);
}

/// Of rows in 8 bits: reads the row's scale, which the sums are multiplied by. Also makes x one of the epilogue's buffers.
std::string TileEpilogue::scaleOfRow() {
  if (!isNarrow())
    return "";
  text.include("E4m3.cuh");
  return "    row.scale = scalesOf(" + text.pointer(gemm.lhs) + ", rows, " + std::to_string(gemm.k) + ")[m];\n";
}

std::string TileEpilogue::special(Value value, const Column &column) {
  if (value != gemm.product)
    return "";
  return column.role != Column::Role::partner && column.shift == band->products[0] ? "own" : "other";
}

std::string TileEpilogue::place(const std::string &expression) {
  std::string name = RowExpressions::place(expression);
  for (Fields *fields : {&ofColumns, &ofPiece})
    fields->reads += "      const int " + name + " = " + expression + ";\n";
  return name;
}

/// Read before the product is there.
std::string TileEpilogue::load(const std::string &pointer, DType dtype, const std::string &index, bool same) {
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

std::string TileEpilogue::shifted(const Column &column, int64_t start) {
  bool product = column.role == Column::Role::own && column.shift + start == band->products[0];
  return product ? "n" : RowExpressions::shifted(column, start);
}

std::string TileEpilogue::angle(RotaryOp op, const std::string &pair) {
  std::string factor = op.getFactors() ? " / " + text.pointer(program.memory.find(op.getFactors())->second) + "[" + pair + "]" : "";
  return "rotaryAngle(" + text.pointer(program.memory.find(op.getPositions())->second) + "[m], " + turns(op) + "[" + pair + "]" + factor + ")";
}

void TileEpilogue::result(size_t index, const Column &column) {
  Value value = program.results[index];
  if (end == End::value) {
    text.line("return " + at(value, column) + ";");
    return;
  }
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
void TileEpilogue::rounded(size_t index, const Column &column) {
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

} // namespace transom::cuda
