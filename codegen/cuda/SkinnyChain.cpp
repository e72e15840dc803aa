// See SkinnyChain.h.
#include "codegen/cuda/SkinnyChain.h"

#include "codegen/cuda/ColumnEpilogue.h"
#include "codegen/cuda/GemmSkinny.h"

using namespace mlir;

namespace transom::cuda {

namespace {

constexpr int64_t cluster = 8, warps = 8, stepK = 32, pieceBytes = 512, groups = 4, mostShared = 227 * 1024, halfShared = 113 * 1024; // SkinnyChainShape

/// How a chain's columns are shared.
struct ChainShape {
  const SkinnyChain &chain;
  int64_t clusters, columns, width, arrays; ///< columns: of the first product in a block
  std::array<int64_t, 3> starts = {};       ///< of query, key and value in the first product

  int64_t tiles() const { return llvm::divideCeil(columns, 8); }
  /// Steps of x that there are registers for beside the sums of these tiles.
  int64_t ahead() const { return tiles() > 4 ? 2 : 4; }
  int64_t sharedBytes() const {
    const int64_t copies = chain.first.k / stepK * tiles() * pieceBytes, sums = groups * mostChainRows * 8 * (tiles() | 1) * 4;
    const int64_t first = std::max(copies, sums), rest = first + arrays * mostChainRows * width * 2 + mostChainRows * 4 + 16;
    const int64_t tile = width / stepK * pieceBytes, tiles = chain.second.n / cluster / 8;
    const int64_t wanted = llvm::divideCeil(std::max<int64_t>(rest + tiles * tile - halfShared, 0), tile);
    return rest + (tiles - std::min({wanted, (first - sums) / tile, tiles})) * tile;
  }
  std::string text(const std::string &type) const {
    std::string middle = "NoMiddle<" + type + ", " + std::to_string(columns) + ">";
    if (chain.attention) {
      middle = "AttentionMiddle<" + type + ", " + std::to_string(width);
      for (int64_t start : starts)
        middle += ", " + std::to_string(start);
      middle += chain.attention.op.getCausal() ? ", true>" : ", false>";
    }
    std::string s = "SkinnyChainShape<" + type;
    for (int64_t number : {chain.first.k, clusters, chain.second.n, ahead()})
      s += ", " + std::to_string(number);
    return s + ", " + middle + ">";
  }
};

/// The band of the first product's columns that result `index` has alone.
const ProductColumns::Band *bandOf(const ProductColumns &columns, size_t index) {
  auto band = llvm::find_if(columns.bands, [&](const auto &one) { return one.results.size() == 1 && one.results[0] == index && one.products.size() == 1; });
  return band == columns.bands.end() ? nullptr : &*band;
}

std::optional<ChainShape> attentionShape(const SkinnyChain &chain, const ProductColumns &columns) {
  const ChainAttention &attention = chain.attention;
  if (!attention.fits(chain.second.k))
    return std::nullopt;
  const int64_t headDim = attention.headDim(), heads = chain.second.k / headDim;
  ChainShape shape{chain, heads, 3 * headDim / cluster, headDim, 3};
  for (size_t i = 0; i < 3; ++i) {
    const ProductColumns::Band *band = bandOf(columns, attention.operands[i]);
    if (!band || band->columns != heads * headDim)
      return std::nullopt;
    shape.starts[i] = band->products[0];
    for (size_t j = 0; j < i; ++j)
      if (std::abs(shape.starts[i] - shape.starts[j]) < heads * headDim)
        return std::nullopt;
  }
  return shape;
}

/// Blocks as many as a GPU has room for: at most 16 clusters, and as many of these as the columns can be shared by.
std::optional<ChainShape> plainShape(const SkinnyChain &chain, const ProductColumns &columns) {
  constexpr int64_t mostClusters = 16;
  const ProductColumns::Band *band = bandOf(columns, 0);
  if (!band || band->products[0] != 0 || band->columns != chain.first.n || chain.second.k != chain.first.n || chain.first.n % (cluster * 8) != 0)
    return std::nullopt;
  int64_t clusters = std::min(mostClusters, chain.first.n / (cluster * 8));
  while (chain.first.n % (clusters * cluster * 8) != 0)
    --clusters;
  const int64_t own = chain.first.n / (clusters * cluster);
  return ChainShape{chain, clusters, own, own * cluster, 1};
}

std::optional<ChainShape> shapeOf(const SkinnyChain &chain) {
  const DType type = storedType(chain.first.lhs);
  auto stored = [&](const CudaBuffer &buffer) { return storedType(buffer) == type; };
  // A matrix as skinny products read it; and what stands between is rounded to one type.
  if (!skinnyRows(chain.first) || !skinnyRows(chain.second) || !llvm::all_of(chain.first.epilogue.outputs, stored))
    return std::nullopt;
  std::optional<ProductColumns> columns = ProductColumns::of(chain.first.epilogue, chain.first.product, chain.first.n);
  if (!columns || columns->partner != ProductColumns::Partner::none || chain.second.n % (8 * cluster) != 0)
    return std::nullopt;
  std::optional<ChainShape> shape = chain.attention ? attentionShape(chain, *columns) : plainShape(chain, *columns);
  return shape && shape->sharedBytes() <= mostShared ? shape : std::nullopt;
}

} // namespace

int64_t ChainAttention::headDim() const { return dimsOf(op.getQuery().getType()).back().constant().value_or(0); }

bool ChainAttention::fits(int64_t width) const {
  auto headsOf = [](Value value) { return dimsOf(value.getType()).rbegin()[1].constant().value_or(0); };
  const int64_t dim = headDim(), heads = headsOf(op.getQuery());
  return op.getLayout() != HeadLayout::bhsd && !op.getWindow() && !op.getSoftcap() && (dim == 32 || dim == 64 || dim == 128) && headsOf(op.getKey()) == heads &&
         width == heads * dim;
}

std::string ChainAttention::operandsText(KernelText &text) const {
  return (cumulative ? text.pointer(*cumulative) : "nullptr") + ", " + (mask ? text.pointer(*mask) : "nullptr") + ", (int)(" +
         text.size(cumulative ? sizesOf(*cumulative)[0] - DimExpr(1) : places) + "), " + floatText(op.getScale().convertToDouble());
}

int64_t SkinnyChain::parts() const {
  std::optional<ChainShape> shape = shapeOf(*this);
  return shape ? shape->clusters : 0;
}

FailureOr<CudaLaunchPlan> emitSkinnyChain(KernelPool &pool, const SkinnyChain &chain, const CudaBuffer &parts, StringRef name) {
  const ChainShape shape = *shapeOf(chain);
  KernelText text(pool);
  const std::string x = text.pointer(chain.first.lhs), first = text.pointer(chain.first.weight), second = text.pointer(chain.second.weight);
  const std::string sums = text.pointer(parts, true);
  ColumnEpilogue epilogue(text, chain.first.epilogue, chain.first.product, chain.first.n, ColumnEpilogue::End::value);
  if (!epilogue.findColumns() || failed(epilogue.emit()))
    return failure();
  const std::string value = epilogue.value(); // of the buffers so far
  std::string middle = "{}";
  if (chain.attention)
    middle = "{" + chain.attention.operandsText(text) + "}";
  text.include("SkinnyChain.cuh");
  text.inClusters(cluster);
  text.launchBounds = "256, 3"; // registers for the chain before, the norm's kernel and this one
  text.body += "#ifdef __CUDA_ARCH_FEAT_SM90_ALL\n";
  text.line("const int64 rows = " + text.size(chain.first.epilogue.rows) + ";");
  text.line("using Shape = " + shape.text(memoryType(storedType(chain.first.lhs))) + ";");
  text.line("static_assert(Shape::sharedBytes == " + std::to_string(shape.sharedBytes()) + ", \"\");");
  text.line("skinnyChain<Shape>(" + x + ", " + first + ", " + value + ", " + middle + ", " + second + ", " + sums + ", (int)rows);");
  text.body += "#endif\n";
  CudaLaunchPlan launch;
  launch.rows = chain.first.epilogue.rows;
  launch.choices.push_back({INT64_MAX, pool.add(name, text, {uint32_t(warps * 32)}, uint32_t(shape.sharedBytes())), {DimExpr(shape.clusters * cluster)}});
  launch.buffers = text.buffers;
  return launch;
}

} // namespace transom::cuda
