// See ProductColumns.h.
#include "codegen/cuda/ProductColumns.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom::cuda {

namespace {

class Finder {
public:
  Finder(const RowProgram &program, Value product, int64_t columns) : program(program), product(product), columns(columns) {}

  std::optional<ProductColumns> run() {
    for (auto [index, result] : llvm::enumerate(program.results)) {
      auto append = result.getDefiningOp<CacheAppendOp>();
      Value value = append ? append.getTokens() : result;
      ProductColumns::Band band;
      band.columns = program.width(value);
      if (!collect(value, 0, band.products) || band.products.empty() || band.products.size() > 2)
        return std::nullopt;
      llvm::sort(band.products);
      auto known = llvm::find_if(found.bands, [&](const auto &other) { return other.columns == band.columns && other.products == band.products; });
      if (known == found.bands.end()) {
        found.bands.push_back(band);
        known = std::prev(found.bands.end());
      }
      known->results.push_back(index);
    }
    return pair() ? std::optional(std::move(found)) : std::nullopt;
  }

private:
  using Partner = ProductColumns::Partner;

  /// The product's columns that column `shift` of `value` needs; false for ops that need others.
  bool collect(Value value, int64_t shift, SmallVector<int64_t, 2> &products) {
    if (value == product) {
      if (!llvm::is_contained(products, shift))
        products.push_back(shift);
      return true;
    }
    Operation *op = value.getDefiningOp();
    if (!op || program.memory.contains(value))
      return true;
    if (auto slice = dyn_cast<SliceOp>(op))
      return collect(slice.getInput(), shift + int64_t(slice.getStart()), products);
    if (isReshape(op))
      return collect(op->getOperand(0), shift, products);
    if (auto rotary = dyn_cast<RotaryOp>(op)) {
      if (shift != 0)
        return false;
      rotaries.push_back(rotary);
      return collect(rotary.getInput(), shift, products);
    }
    auto round = dyn_cast<RoundE4m3Op>(op); // by a scale for all rows, number by number
    if (!isa<FusedOp, ScalarOp>(op) && !(round && round.getScale()))
      return false;
    return llvm::all_of(op->getOperands(), [&](Value operand) { return collect(operand, shift, products); });
  }

  /// False where results want different partners.
  bool want(Partner partner) {
    bool fits = found.partner == Partner::none || found.partner == partner;
    found.partner = partner;
    return fits;
  }

  bool pair() {
    for (const auto &band : found.bands)
      if (band.products.size() == 2) {
        found.apart = band.products[1] - band.products[0];
        if (band.products[0] != 0 || band.columns != found.apart || columns != 2 * found.apart || found.bands.size() != 1 || !want(Partner::half))
          return false;
      }
    for (RotaryOp rotary : rotaries) {
      int64_t headDim = *dimsOf(rotary.getType()).back().constant(), dims = int64_t(rotary.getDims());
      // A head begins where a block does, a pair with an even column.
      for (const auto &band : found.bands)
        if (band.products[0] % headDim != 0)
          return false;
      if (rotary.getInterleaved()) {
        if (!want(Partner::neighbour))
          return false;
        continue;
      }
      bool first = found.partner != Partner::head;
      if (!want(Partner::head) || columns % headDim != 0 || (!first && (headDim != found.headDim || dims != found.dims)))
        return false;
      found.headDim = headDim, found.dims = dims;
    }
    return true;
  }

  const RowProgram &program;
  Value product;
  int64_t columns;
  ProductColumns found;
  SmallVector<RotaryOp> rotaries;
};

} // namespace

std::optional<ProductColumns> ProductColumns::of(const RowProgram &program, Value product, int64_t columns) {
  return Finder(program, product, columns).run();
}

} // namespace transom::cuda
