// See GemmSkinny.h.
#include "codegen/cuda/GemmSkinny.h"

#include "codegen/cuda/ColumnEpilogue.h"

using namespace mlir;

namespace transom::cuda {

namespace {

constexpr int64_t warps = 8, stepK = 32, place = 20, copied = 7; // SkinnyShape

struct SkinnyShape {
  const ProductProgram &program;
  int64_t rows, tiles, splits;
  std::string pairs;

  /// Steps of x that there are registers for, beside sums and what an epilogue reads early.
  int64_t ahead() const { return rows == 64 ? 1 : rows == 16 ? 8 : tiles == 1 ? 4 : 3; }
  uint32_t sharedBytes() const {
    int64_t ofPart = llvm::divideCeil(program.k / stepK, splits), depth = std::min(int64_t(llvm::divideCeil(ofPart, warps)), copied / tiles);
    return uint32_t(warps * std::max(depth * tiles * 1024, tiles * rows * place * 4));
  }
  std::string text() const {
    std::string s = "SkinnyShape<" + memoryType(storedType(program.lhs));
    for (int64_t number : {program.n, program.k, rows, tiles, splits, ahead()})
      s += ", " + std::to_string(number);
    return s + ", " + pairs + ">";
  }
};

/// The kernel for `shape.rows` rows; epilogue: an expression, of the buffers that `text` has.
size_t addKernel(KernelPool &pool, KernelText &text, const SkinnyShape &shape, const std::string &epilogue, StringRef name) {
  text.include("GemmSkinny.cuh");
  text.launchBounds = "256, 2";
  text.line("const int64 rows = " + text.size(shape.program.epilogue.rows) + ";");
  text.line("using Shape = " + shape.text() + ";");
  text.line("static_assert(Shape::sharedBytes == " + std::to_string(shape.sharedBytes()) + ", \"\");");
  text.line("gemmSkinny<Shape>(" + text.pointer(shape.program.weight) + ", " + text.pointer(shape.program.lhs) + ", " + epilogue + ", (int)rows);");
  return pool.add((name + "_m" + llvm::Twine(shape.rows)).str(), text, {uint32_t(warps * 32)}, shape.sharedBytes());
}

/// A launch with a kernel for each number of rows that `most` asks for. epilogueOf(text): what addKernel takes.
FailureOr<CudaLaunchPlan> launchOf(KernelPool &pool, SkinnyShape shape, int64_t tiles, int64_t most, StringRef name,
                                   llvm::function_ref<FailureOr<std::string>(KernelText &)> epilogueOf) {
  CudaLaunchPlan launch;
  launch.rows = shape.program.epilogue.rows;
  most = std::min(most, mostSkinnyRows);
  const int64_t tilesAtOnce = shape.tiles;
  for (shape.rows = most <= 16 ? 16 : 32;; shape.rows *= 2) {
    shape.tiles = shape.rows == 64 ? 1 : tilesAtOnce; // sums of two have no registers
    KernelText text(pool);
    text.pointer(shape.program.weight), text.pointer(shape.program.lhs); // in one order for all
    FailureOr<std::string> epilogue = epilogueOf(text);
    if (failed(epilogue))
      return failure();
    const bool last = shape.rows >= most;
    const int64_t blocks = llvm::divideCeil(tiles, shape.tiles);
    launch.choices.push_back({last ? INT64_MAX : shape.rows, addKernel(pool, text, shape, *epilogue, name), {DimExpr(blocks), DimExpr(shape.splits)}});
    launch.buffers = text.buffers;
    if (last)
      return launch;
  }
}

} // namespace

int64_t skinnyRows(const ProductProgram &program) {
  // A large matrix takes longer than what the library's product has before and behind it (Llama-3.2-1B on an H200, ms a step: of 8 rows
  // 1.12 to 0.92, of 16 1.20 to 1.05, of 24 1.22 to 1.16, of 32 1.27 to 1.28).
  constexpr int64_t large = 8 << 20, ofLarge = 32;
  DType type = storedType(program.lhs);
  if (!isConstant(program.weight) || (type != DType::f16 && type != DType::bf16) || storedType(program.weight) != type)
    return 0;
  if (program.n <= 0 || program.k <= 0 || program.k % stepK != 0)
    return 0;
  return program.n * program.k > large ? ofLarge : mostSkinnyRows;
}

FailureOr<std::optional<CudaLaunchPlan>> emitSkinnyGemm(KernelPool &pool, const ProductProgram &program, int64_t most, StringRef name) {
  if (llvm::any_of(program.epilogue.outputs, [](const CudaBuffer &output) { return storedType(output) == DType::f8e4m3; }))
    return std::optional<CudaLaunchPlan>();
  KernelText probe(pool);
  ColumnEpilogue columns(probe, program.epilogue, program.product, program.n, ColumnEpilogue::End::store);
  if (!columns.findColumns())
    return std::optional<CudaLaunchPlan>();
  // Two tiles a block read x half as often: where there are blocks for several turns of all multiprocessors.
  constexpr int64_t manyTiles = 512;
  SkinnyShape shape{program, 0, columns.tiles() >= manyTiles ? 2 : 1, 1, columns.pairs()};
  FailureOr<CudaLaunchPlan> launch = launchOf(pool, shape, columns.tiles(), most, name, [&](KernelText &text) -> FailureOr<std::string> {
    ColumnEpilogue epilogue(text, program.epilogue, program.product, program.n, ColumnEpilogue::End::store);
    if (!epilogue.findColumns() || failed(epilogue.emit()))
      return failure();
    return epilogue.value();
  });
  if (failed(launch))
    return failure();
  return std::optional(std::move(*launch));
}

int64_t skinnyParts(int64_t n, int64_t k) {
  constexpr int64_t blocks = 256, columns = 16, leastK = 256;
  return std::max<int64_t>(1, std::min(blocks / int64_t(llvm::divideCeil(n, columns)), k / leastK));
}

CudaLaunchPlan emitSkinnyParts(KernelPool &pool, const ProductProgram &program, const CudaBuffer &parts, int64_t most, StringRef name) {
  SkinnyShape shape{program, 0, 1, skinnyParts(program.n, program.k), "NeighbourPairs"};
  return *launchOf(pool, shape, llvm::divideCeil(program.n, 16), most, name, [&](KernelText &text) -> FailureOr<std::string> {
    return "PartEpilogue<" + std::to_string(mostSkinnyRows) + ", " + std::to_string(program.n) + ">{" + text.pointer(parts, true) + "}";
  });
}

} // namespace transom::cuda
