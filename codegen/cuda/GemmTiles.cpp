// See GemmTiles.h.
#include "codegen/cuda/GemmTiles.h"

#include "codegen/cuda/TileEpilogue.h"

using namespace mlir;

namespace transom::cuda {

static constexpr int64_t group = TileEpilogue::group;

FailureOr<std::optional<CudaLaunchPlan>> emitHopperGemm(KernelPool &pool, const ProductProgram &program, StringRef name) {
  constexpr int64_t cluster = 2;
  const int64_t n = program.n, k = program.k, bytes = layoutOf(storedType(program.lhs)).bytes;
  if (n % group != 0 || k * bytes % 16 != 0)
    return std::optional<CudaLaunchPlan>();
  KernelText text(pool);
  TileEpilogue epilogue(text, program);
  if (!epilogue.findColumns())
    return std::optional<CudaLaunchPlan>();
  const std::string x = epilogue.rowsMap();
  if (failed(epilogue.emit()))
    return failure();
  const TileEpilogue::Shape shape = epilogue.shape();
  const std::string weights = epilogue.weightMap(shape.columns), residual = shape.residual ? epilogue.residualMap(*shape.residual, 64) : "nullptr";
  text.include("GemmHopper.cuh");
  text.inClusters(cluster);
  text.launchBounds = "384, 1";
  text.body += "#ifdef __CUDA_ARCH_FEAT_SM90_ALL\n";
  text.line("using Shape = HopperGemmShape<" + memoryType(storedType(program.lhs)) + ", " + std::to_string(program.n) + ", " + std::to_string(program.k) + ", " +
            epilogue.partnerText() + ", " + std::to_string(cluster) + ", " + shape.text + ">;");
  text.line("static_assert(Shape::sharedBytes == " + std::to_string(shape.sharedBytes) + ", \"\");");
  text.line("const int64 rows = " + text.size(program.epilogue.rows) + ";");
  text.line("gemmHopper<Shape>({" + x + ", " + weights + ", (int)rows, " + residual + "}, " + epilogue.value() + ");");
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
