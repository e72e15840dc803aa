// See GemmNorm.h.
#include "codegen/cuda/GemmNorm.h"

#include "codegen/cuda/TileEpilogue.h"

using namespace mlir;

namespace transom::cuda {

namespace {

constexpr int64_t blocks = 132, tileRows = TileEpilogue::tileRows, columns = 256, mostCluster = 4, stages = 4, mostShared = 227 * 1024; // GemmNormShape

/// Whether all that is kept in 8 bits is so by scales that the artifact has.
bool roundsByConstants(const RowProgram &program) {
  return llvm::all_of(program.ops, [&](Operation *op) {
    auto round = dyn_cast<RoundE4m3Op>(op);
    return !round || (round.getScale() && isConstant(program.memory.find(round.getScale())->second));
  });
}

/// What follows the norm, whose numbers before scale and shift are `own`.
class NormEnd : public TileEpilogue {
public:
  NormEnd(KernelText &text, const ProductProgram &program, Operation *norm) : TileEpilogue(text, program), norm(norm) {}

private:
  std::string special(Value value, const Column &column) override {
    if (value != norm->getResult(0))
      return "";
    auto ofColumns = [&](Value weight) {
      const CudaBuffer &buffer = program.memory.find(weight)->second;
      return load(text.pointer(buffer), storedType(buffer), column.text, false);
    };
    const std::string scale = ofColumns(norm->getOperand(1)), shift = norm->getNumOperands() > 2 ? ofColumns(norm->getOperand(2)) : "";
    return eachLane([&](const std::string &e) { return name("own", e) + " * " + name(scale, e) + (shift.empty() ? "" : " + " + name(shift, e)); });
  }
  Operation *norm;
};

} // namespace

int64_t leastNormRows(int64_t n) { return 2 * tileRows * (blocks / std::max<int64_t>(n / columns, 1)) + 1; }

FailureOr<std::optional<CudaLaunchPlan>> emitGemmNorm(KernelPool &pool, const ProductProgram &program, const RowProgram &behind, StringRef name) {
  const std::optional<CudaLaunchPlan> none;
  const int64_t n = program.n, k = program.k, cluster = n / columns, bytes = layoutOf(storedType(program.lhs)).bytes;
  auto isNorm = [&](Operation *op) { return isa<RmsNormOp, LayerNormOp>(op) && reshapedFrom(op->getOperand(0)) == program.epilogue.results[0]; };
  auto *norm = llvm::find_if(behind.ops, isNorm);
  if (n % columns != 0 || cluster < 2 || cluster > mostCluster || bytes > 2 || k * bytes % 16 != 0 || norm == behind.ops.end() || !roundsByConstants(behind))
    return none;
  const ProductProgram end{(*norm)->getResult(0), program.epilogue.outputs[0], program.weight, n, k, behind};
  KernelText text(pool);
  TileEpilogue results(text, program, TileEpilogue::End::value);
  NormEnd norms(text, end, *norm);
  if (!results.findColumns() || !norms.findColumns() || results.partnerText() != "NoPartner" || norms.partnerText() != "NoPartner")
    return none;
  const DimExpr rows = program.epilogue.rows;
  const std::string x = results.rowsMap(), weights = results.weightMap(columns);
  const TileEpilogue::Members ofResults = results.members(), ofNorms = norms.members("OfNorm");
  if (results.failed() || norms.failed())
    return failure();
  const std::optional<CudaBuffer> beside = results.residual();
  const int64_t sharedBytes = 1024 + stages * ((tileRows + columns) * 128 + 16) + 2 * cluster * tileRows * 8 + columns / 8 * (results.columnBytes() + norms.columnBytes()) + 32;
  if (results.readsRows() != beside.has_value() || norms.readsRows() || sharedBytes > mostShared)
    return none;
  const std::string residual = beside ? results.residualMap(*beside, TileEpilogue::group) : "nullptr";
  text.preamble += "struct Epilogue {\n" + text.structFields() + ofResults.fields + ofNorms.fields + ofResults.readers() +
                   "  DEVICE Lanes<8> value(const Band &band, const OfColumns &columns, const OfRow &row, const OfPiece &piece, int m, int n, const Lanes<8> &sums) const {\n" +
                   results.sumsText("sums", "sums") + ofResults.end + "  }\n" + ofNorms.ofColumns +
                   "  DEVICE OfNorm readNorm(int n) const {\n    OfNorm columns;\n" + ofNorms.columns + "    return columns;\n  }\n" +
                   "  DEVICE void store(const OfNorm &columns, int m, int n, const Lanes<8> &own) const {\n" + ofNorms.end + "  }\n" +
                   "  static DEVICE float epsilon() { return " + floatText(epsilonOf(*norm)) + "; }\n};\n\n";
  text.include("GemmNorm.cuh");
  text.inClusters(cluster);
  text.stays = true;
  text.launchBounds = "384, 1";
  text.body += "#ifdef __CUDA_ARCH_FEAT_SM90_ALL\n";
  text.line("using Shape = GemmNormShape<" + memoryType(storedType(program.lhs)) + ", " + std::to_string(n) + ", " + std::to_string(k) + ", " + std::to_string(cluster) + ", " +
            (beside ? memoryType(storedType(*beside)) : "NoResidual") + ", " + (isa<LayerNormOp>(*norm) ? "true" : "false") + ">;");
  text.line("static_assert(Shape::sharedBytes<Epilogue>() == " + std::to_string(sharedBytes) + ", \"\");");
  text.line("const int64 rows = " + text.size(rows) + ";");
  text.line("gemmNorm<Shape>({" + x + ", " + weights + ", " + residual + ", (int)rows}, Epilogue{" + text.structValues() + results.factors() + norms.factors() + "});");
  text.body += "#endif\n";
  CudaLaunchPlan launch;
  launch.rows = rows;
  launch.choices.push_back({INT64_MAX, pool.add(name, text, {384}, uint32_t(sharedBytes)), {DimExpr(blocks / cluster * cluster)}});
  launch.buffers = text.buffers, launch.maps = text.maps;
  return std::optional(launch);
}

} // namespace transom::cuda
