// See NormChain.h.
#include "codegen/cuda/NormChain.h"

#include "codegen/cuda/ColumnEpilogue.h"
#include "codegen/cuda/GemmSkinny.h"

using namespace mlir;

namespace transom::cuda {

namespace {

constexpr int64_t rows = 32, warps = 8, threads = 32 * warps, stepK = 32, cluster = 4, halfShared = 113 * 1024; // NormChainShape
constexpr int64_t blocks = 132;    // at once; two kernels are at work together
constexpr int64_t mostWeights = 16; // 16 bytes each, in a thread's registers

/// How a product's columns are shared, as NormChainShape has it.
struct Shape {
  int64_t k, n, groups = 0, cluster = 1;

  int64_t columns() const { return n / groups; }
  int64_t tiles() const { return columns() / 8; }
  int64_t stepsOfWarp() const { return llvm::divideCeil(k / cluster / stepK, warps); }
  int64_t rowsBytes() const { return warps * stepsOfWarp() * rows * stepK * 2 + 8 * warps; }
  int64_t addBytes() const { return warps * tiles() * rows * 8 * 4; }
  std::string text(const std::string &type) const {
    std::string s = "NormChainShape<" + type;
    for (int64_t number : {k, n, groups, cluster})
      s += ", " + std::to_string(number);
    return s + ">";
  }
};

Shape shapeOf(const NormChainProduct &product) {
  Shape shape{product.program.k, product.program.n};
  if (product.norm) { // columns in powers of two, which lanes share
    shape.cluster = cluster;
    for (int64_t columns = 16; columns <= 64 && shape.groups == 0; columns *= 2)
      if (shape.n % columns == 0 && shape.n / columns * cluster <= blocks)
        shape.groups = shape.n / columns;
    return shape;
  }
  for (int64_t columns = 8; columns <= shape.n && shape.groups == 0; columns += 8)
    if (shape.n % columns == 0 && shape.n / columns <= blocks)
      shape.groups = shape.n / columns;
  return shape;
}

int64_t toNormBytes(const NormChainProduct &product, const Shape &shape) {
  const int64_t read = product.attention ? 3 * shape.k / cluster * 64 + 16 : shape.rowsBytes();
  return read + shape.addBytes() + shape.tiles() * rows * 8 * 4 + 16;
}
int64_t fromNormBytes(const Shape &shape, bool norm) {
  return shape.rowsBytes() + shape.addBytes() + (norm ? 4 * (2 * shape.columns() * (warps + 1) + 2 * rows) : 0);
}

/// Columns of the product where result `index` begins.
std::optional<int64_t> startOf(const NormChainProduct &product, const ProductColumns &columns, size_t index) {
  const int64_t width = product.program.n / int64_t(product.results);
  for (const ProductColumns::Band &band : columns.bands)
    if (llvm::is_contained(band.results, index))
      return band.columns == width && band.products.size() == 1 && band.results.size() == 1 ? std::optional(band.products[0]) : std::nullopt;
  return std::nullopt;
}

/// The results in the order of their columns; none where these are not those of the product, one result's behind the other's, or go to caches.
std::optional<SmallVector<size_t>> resultsByColumn(const NormChainProduct &product) {
  const RowProgram &epilogue = product.program.epilogue;
  std::optional<ProductColumns> columns = ProductColumns::of(epilogue, product.program.product, product.program.n);
  if (!columns || columns->partner != ProductColumns::Partner::none || product.results == 0 || product.results > 3 || product.program.n % int64_t(product.results * 8) != 0)
    return std::nullopt;
  SmallVector<size_t> order(product.results, product.results);
  for (size_t index = 0; index < product.results; ++index) {
    if (reshapedFrom(epilogue.results[index]).getDefiningOp<CacheAppendOp>())
      return std::nullopt;
    const std::optional<int64_t> start = startOf(product, *columns, index);
    const int64_t width = product.program.n / int64_t(product.results);
    if (!start || *start % width != 0 || order[size_t(*start / width)] != product.results || storedType(epilogue.outputs[index]) != storedType(product.program.lhs))
      return std::nullopt;
    order[size_t(*start / width)] = index;
  }
  return order;
}

std::string pointers(const KernelText &text) {
  std::string all;
  for (size_t i = 0; i < text.buffers.size(); ++i)
    all += (i ? ", b" : "b") + std::to_string(i);
  return all;
}

} // namespace

int64_t NormChainProduct::parts() const { return shapeOf(*this).groups; }

bool NormChainProduct::fits() const {
  const Shape shape = shapeOf(*this);
  if (!skinnyRows(program) || shape.groups == 0 || shape.k % (stepK * shape.cluster) != 0)
    return false;
  if (!norm)
    return resultsByColumn(*this) && shape.tiles() * shape.stepsOfWarp() <= mostWeights && fromNormBytes(shape, true) <= halfShared &&
           llvm::divideCeil(rows * shape.k / 4, shape.groups) <= threads;
  std::optional<ProductColumns> columns = ProductColumns::of(program.epilogue, program.product, program.n);
  if (!columns || columns->partner != ProductColumns::Partner::none || toNormBytes(*this, shape) > halfShared)
    return false;
  if (!attention)
    return shape.tiles() * shape.stepsOfWarp() <= mostWeights;
  const int64_t headDim = attention.fits(shape.k) ? attention.headDim() : 0;
  return headDim != 0 && shape.k / cluster % headDim == 0 &&
         llvm::divideCeil(2 * (shape.k / cluster / headDim), warps) * shape.tiles() * (headDim / stepK) <= mostWeights;
}

bool NormChainProduct::feeds(const ChainAttention &attention) const {
  std::optional<SmallVector<size_t>> order = resultsByColumn(*this);
  return order && order->size() == 3 && (*order)[2] == attention.operands[2]; // values last, which lie otherwise than the others
}

FailureOr<CudaLaunchPlan> emitNormChain(KernelPool &pool, ArrayRef<NormChainProduct> chain, size_t index, const NormChainMemory &memory, StringRef name) {
  const NormChainProduct &product = chain[index];
  const NormChainProduct *before = index > 0 ? &chain[index - 1] : nullptr, *behind = index + 1 < chain.size() ? &chain[index + 1] : nullptr;
  const Shape shape = shapeOf(product);
  const std::string type = memoryType(storedType(product.program.lhs));
  KernelText text(pool);
  const std::string weights = text.pointer(product.program.weight);
  // The norm at hand: behind this product, or behind the one before.
  const NormChainProduct *normed = product.norm ? &product : before;
  std::string norm, normType = "NoNorm<Shape>";
  if (normed) {
    const std::string sums = text.pointer(memory.sums, bool(product.norm)), moments = text.pointer(memory.moments, bool(product.norm)), z = text.pointer(memory.z, bool(product.norm));
    normType = "ChainNorm<" + type + ", " + memoryType(storedType(normed->scale)) + ", " + std::to_string(normed->program.n) + ", " + std::to_string(normed->parts()) + ", " +
               (isa<LayerNormOp>(normed->norm) ? "true" : "false") + ">";
    norm = "{(float *)" + sums + ", (float2 *)" + moments + ", (" + type + " *)" + z + ", " + text.pointer(normed->scale) + ", " +
           (normed->shift ? text.pointer(*normed->shift) : "nullptr") + ", " + (product.norm ? "nullptr" : text.pointer(normed->y, true)) + ", " + floatText(epsilonOf(normed->norm)) + "}";
  }
  // What it reads.
  std::string from, source;
  if (product.attention) {
    const std::optional<SmallVector<size_t>> order = resultsByColumn(*before);
    for (size_t operand = 0; operand < 3; ++operand)
      from += text.pointer(memory.columns[size_t(llvm::find(*order, product.attention.operands[operand]) - order->begin())]) + ", ";
    from += product.attention.operandsText(text);
    source = "AttentionProduct<Shape, " + std::to_string(product.attention.headDim()) + (product.attention.op.getCausal() ? ", true>" : ", false>");
  } else {
    from = text.pointer(!before ? product.program.lhs : product.norm ? memory.columns[0] : memory.z);
    source = before ? "RowsProduct<Shape, false>" : "RowsProduct<Shape, true>";
  }
  // And what it gives.
  std::string results, endType;
  if (!product.norm) {
    const SmallVector<size_t> order = *resultsByColumn(product);
    for (size_t i = 0; i < 3; ++i)
      results += ", " + (i >= order.size() ? "nullptr" : text.pointer(behind ? memory.columns[i] : product.program.epilogue.outputs[order[i]], true));
    endType = "ColumnsEnd<Shape, Epilogue, " + std::to_string(product.program.n / int64_t(product.results)) + ", ChainFormat::" +
              (!behind ? "rows" : behind->attention ? "attention" : "pieces") + ">";
  } else {
    endType = "NormEnd<Shape, Epilogue, " + normType + ">";
  }
  ColumnEpilogue epilogue(text, product.program.epilogue, product.program.product, product.program.n, ColumnEpilogue::End::value);
  if (!epilogue.findColumns() || failed(epilogue.emit()))
    return failure();
  const std::string value = epilogue.value(); // of the buffers so far
  const int64_t grid = shape.groups * shape.cluster, ofBlock = behind ? behind->program.n * behind->program.k * 2 / grid / 64 * 64 : 0;
  const std::string next = behind ? "{" + text.pointer(behind->program.weight) + ", " + std::to_string(ofBlock) + "}" : "{nullptr, 0}";
  const int64_t bytes = product.norm ? toNormBytes(product, shape) : fromNormBytes(shape, normed != nullptr);

  text.include("NormChain.cuh");
  if (product.norm)
    text.inClusters(cluster);
  text.launchBounds = "256, 2"; // beside the kernel before
  text.body += "#ifdef __CUDA_ARCH_FEAT_SM90_ALL\n";
  text.line("const int64 rows = " + text.size(product.program.epilogue.rows) + ";");
  text.line("readParameters(" + pointers(text) + ");");
  text.line("using Shape = " + shape.text(type) + ";");
  text.line("using Product = " + source + ";");
  if (product.norm) {
    text.line("static_assert(toNormSharedBytes<Shape, Product>() == " + std::to_string(bytes) + ", \"\");");
    text.line("chainToNorm<Shape, Product, " + endType + ">({" + from + "}, " + weights + ", {" + value + ", " + norm + "}, " + next + ", (int)rows);");
  } else {
    text.line("using Norm = " + (normed ? "NormBefore<Shape, " + normType + ">" : normType) + ";");
    text.line("static_assert(fromNormSharedBytes<Shape, Product, Norm>() == " + std::to_string(bytes) + ", \"\");");
    text.line("chainFromNorm<Shape, Product, Norm, " + endType + ">({" + from + "}, " + (normed ? norm : "{}") + ", " + weights + ", {" + value + results + "}, " + next + ", (int)rows);");
  }
  text.body += "#endif\n";
  CudaLaunchPlan launch;
  launch.rows = product.program.epilogue.rows;
  launch.choices.push_back({INT64_MAX, pool.add(name, text, {uint32_t(threads)}, uint32_t(bytes)), {DimExpr(grid)}});
  launch.buffers = text.buffers;
  return launch;
}

} // namespace transom::cuda
