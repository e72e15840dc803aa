// See ColumnEpilogue.h.
//
// Bands: results that need the same columns of the product. Which two columns a result needs at once (gate and up, the halves of a rotary
// pair) decides which rows of the matrix a tile takes. What each band reads besides the product is loaded before the product is there.
#include "codegen/cuda/ColumnEpilogue.h"

#include "codegen/cuda/Rows.h"

using namespace mlir;

namespace transom::cuda {

bool ColumnEpilogue::findColumns() {
  std::optional<ProductColumns> found = ProductColumns::of(program, product, outputs);
  if (!found)
    return false;
  columns = std::move(*found);
  tileCount = (outputs + 15) / 16;
  if (columns.partner == ProductColumns::Partner::half) {
    pairsText = "HalfPairs<" + std::to_string(columns.apart) + ">", partnerLane = 8;
    tileCount = (columns.apart + 7) / 8;
  } else if (columns.partner == ProductColumns::Partner::head) {
    pairsText = "HeadPairs<" + std::to_string(columns.headDim) + ", " + std::to_string(columns.dims) + ">", partnerLane = 8;
    tileCount = outputs / columns.headDim * ((columns.dims / 2 + 7) / 8 + (columns.headDim - columns.dims + 15) / 16);
  }
  return true;
}

std::string ColumnEpilogue::value(const std::string &best) const {
  return "Epilogue{" + text.structValues() + (end == End::argmax ? ", " + best : "") + "}";
}

Value ColumnEpilogue::wholeOfSlices() const {
  Value whole;
  for (const ProductColumns::Band &band : columns.bands)
    for (size_t index : band.results) {
      auto slice = reshapedFrom(program.results[index]).getDefiningOp<SliceOp>();
      if (!slice || int64_t(slice.getStart()) != band.products[0] || (whole && slice.getInput() != whole) || program.width(slice.getInput()) != outputs)
        return {};
      whole = slice.getInput();
    }
  return whole;
}

LogicalResult ColumnEpilogue::emit() {
  text.include("Epilogues.cuh");
  text.include("Lanes.cuh");
  std::string outer = std::move(text.body);
  text.body.clear();
  text.depth = 2;
  std::string constantsText, earlyText, prepareText, storeText;
  const Value whole = end == End::value ? wholeOfSlices() : Value(); // then no column asks which result it is in
  if (whole)
    columns.bands = {{{0}, outputs, {}}};
  for (const ProductColumns::Band &band : columns.bands) {
    this->band = &band;
    counts = {};
    constants.clear(), early.clear(), prepare.clear();
    loaded.clear();
    endScope();
    const int64_t from = band.products[0], to = from + band.columns;
    const bool halves = band.products.size() == 2, all = !halves && columns.bands.size() == 1 && band.columns == outputs;
    text.body.clear();
    text.depth = all ? 2 : 3;
    std::string column = from == 0 ? "n" : "(n - " + std::to_string(from) + ")";
    if (whole)
      text.line("result = " + at(whole, {column, "", Column::Role::own, 0}) + ".v[0];");
    for (size_t index : band.results)
      result(index, {column, "", Column::Role::own, 0});
    // Of two halves the partner's column gives no result of its own.
    std::string inside = "if (" + (halves ? "" : "n >= " + std::to_string(from) + " && ") + "n < " + std::to_string(to) + ") {\n";
    auto ofBand = [&](const std::string &lines) { return all || lines.empty() ? lines : "    " + inside + lines + "    }\n"; };
    constantsText += ofBand(constants), earlyText += ofBand(early), prepareText += ofBand(prepare), storeText += ofBand(text.body);
    for (size_t i = 0; i < counts.size(); ++i)
      most[i] = std::max(most[i], counts[i]);
  }
  text.body = std::move(outer);
  text.depth = 1;
  if (!ok)
    return failure();
  define(constantsText, earlyText, prepareText, storeText);
  return success();
}

//===-- What the expressions ask ------------------------------------------------------------------------------------===//

std::string ColumnEpilogue::special(Value value, const Column &column) {
  if (value != product)
    return "";
  if (column.role == Column::Role::partner)
    return "other";
  return column.shift == band->products[0] ? "own" : "other";
}

std::string ColumnEpilogue::load(const std::string &pointer, DType dtype, const std::string &index, bool) {
  std::string &field = loaded[pointer + "[" + index + "]"];
  if (!field.empty())
    return field;
  std::string own = "f" + std::to_string(counts[0]++);
  // Of a weight by the column alone: read before anything is waited for.
  bool column = StringRef(index).find_first_not_of("n0123456789 +-*/%()") == StringRef::npos;
  std::string &lines = column && isConstant(text.buffers[std::stoul(pointer.substr(1))]) ? constants : early;
  lines += "      e." + own + ".v[0] = " + (dtype == DType::f32 ? "" : "toFloat(") + pointer + "[" + index + "]" + (dtype == DType::f32 ? "" : ")") + ";\n";
  return field = "e." + own;
}

std::string ColumnEpilogue::loadInteger(const std::string &pointer, DType, const std::string &index) {
  std::string &field = loaded[pointer + "[" + index + "]"];
  if (!field.empty())
    return field;
  std::string own = "i" + std::to_string(counts[1]++);
  early += "      e." + own + " = (int)" + pointer + "[" + index + "];\n";
  return field = "e." + own;
}

std::string ColumnEpilogue::angle(RotaryOp op, const std::string &pair) {
  std::string position = loadInteger(text.pointer(program.memory.find(op.getPositions())->second), DType::i32, "m");
  std::string table = turns(op), pairs = std::to_string(int64_t(op.getDims()) / 2), key = table + pair;
  std::string &field = loaded[key];
  if (!field.empty())
    return field;
  std::string turn = "t" + std::to_string(counts[2]++), own = "a" + std::to_string(counts[3]++);
  std::string factor = op.getFactors() ? " / " + text.pointer(program.memory.find(op.getFactors())->second) + "[" + pair + "]" : "";
  early += "      e." + turn + " = " + pair + " < " + pairs + " ? " + table + "[" + pair + "]" + factor + " : 0.0;\n";
  prepare += "      e." + own + " = rotaryAngle(" + position + ", e." + turn + ");\n";
  return field = "e." + own;
}

//===-- Text --------------------------------------------------------------------------------------------------------===//

void ColumnEpilogue::result(size_t index, const Column &column) {
  Value value = program.results[index];
  if (end == End::value) {
    text.line("result = " + at(value, column) + ".v[0];");
    return;
  }
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
  if (end == End::argmax)
    text.line("key = argmaxKey(" + own + ".v[0], " + column.text + ");");
}

void ColumnEpilogue::define(const std::string &constantsText, const std::string &earlyText, const std::string &prepareText, const std::string &storeText) {
  std::string s = "struct Epilogue {\n" + text.structFields();
  if (end == End::argmax)
    s += "  uint64 *best;\n";
  s += "  struct Early {\n";
  constexpr StringRef kinds[] = {"Lanes<1> f", "int i", "double t", "SinCos a"};
  for (size_t kind = 0; kind < most.size(); ++kind)
    for (int i = 0; i < most[kind]; ++i)
      s += ("    " + kinds[kind] + llvm::Twine(i) + ";\n").str();
  s += "  };\n  DEVICE Early constants(int n) const {\n    Early e;\n" + constantsText + "    return e;\n  }\n";
  s += "  DEVICE void early(Early &e, int m, int n) const {\n" + earlyText + "  }\n";
  s += "  DEVICE void prepare(Early &e, int n) const {\n" + prepareText + "  }\n";
  if (end == End::value) {
    s += "  DEVICE float value(const Early &e, int m, int n, float v) const {\n    const Lanes<1> own = {{v}};\n    float result = 0.0f;\n";
    s += storeText + "    return result;\n  }\n};\n\n";
    text.preamble += s;
    return;
  }
  s += "  DEVICE void store(const Early &e, int m, int n, float v, bool mine) const {\n";
  s += "    const Lanes<1> own = {{v}}, other = {{__shfl_xor_sync(~0u, v, " + std::to_string(partnerLane) + ")}};\n";
  if (end == End::store) {
    s += "    if (!mine)\n      return;\n" + storeText;
  } else {
    s += "    uint64 key = 0;\n    if (mine) {\n" + storeText + "    }\n";
    s += "    raiseBest(best, m, key);\n";
  }
  s += "  }\n};\n\n";
  text.preamble += s;
}

} // namespace transom::cuda
