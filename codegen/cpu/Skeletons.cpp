// The table from ops that compute to skeletons (kernels/kernels.cpp). Copies are in Copies.cpp, elementwise ops in
// Regions.cpp.
#include "codegen/cpu/Skeletons.h"

#include "codegen/cpu/Regions.h"
#include "ir/DimAnalysis.h"

#include <cmath>

using namespace mlir;
using llvm::SmallVector;

namespace transom {

/// Head sizes up to kernels/Attention.h's maxHeadDim.
static constexpr int64_t maxHeadDim = 512;

LogicalResult expectFloats(Operation *op, ValueRange values) {
  for (mlir::Value value : values)
    if (value && !elementOf(value.getType()).isF32())
      return op->emitOpError("on the CPU takes f32, found ") << value.getType();
  return success();
}

std::string storageName(Type element) {
  if (auto block = dyn_cast<BlockType>(element))
    return stringifyBlockFormat(block.getFormat()).str();
  return element.isF32() ? "f32" : element.isF16() ? "f16" : element.isBF16() ? "bf16" : isa<Float8E4M3FNType>(element) ? "f8e4m3" : "";
}
static std::string integerName(Type element) { return "i" + std::to_string(element.getIntOrFloatBitWidth()); }

static int rankOf(mlir::Value value) { return int(dimsOf(value.getType()).size()); }

//===-- Matrix products ---------------------------------------------------------------------------------------------===//

/// Strides over leading dimensions in whole matrices, 0 where the operand broadcasts.
static SmallVector<llvm::Value *> matrixStrides(KernelEntry &entry, mlir::Value operand, int leading) {
  int own = rankOf(operand) - 2;
  SmallVector<llvm::Value *> strides(leading, entry.integer(0));
  llvm::Value *stride = entry.integer(1);
  for (int axis = own - 1; axis >= 0; --axis) {
    llvm::Value *size = entry.size(operand, axis), *isOne = entry.b.CreateICmpEQ(size, entry.integer(1));
    strides[leading - own + axis] = entry.b.CreateSelect(isOne, entry.integer(0), stride);
    stride = entry.multiply(stride, size);
  }
  return strides;
}

std::optional<int64_t> mostRows(plan::KernelOp kernel, unsigned buffer, int64_t columns) {
  auto module = kernel->getParentOfType<ModuleOp>();
  int64_t most = 0;
  for (auto program : module.getOps<plan::ProgramOp>())
    for (auto launch : program.getOps<plan::LaunchOp>()) {
      if (launch.getKernel() != kernel.getSymName())
        continue;
      Dims sizes = plan::sizesOf(launch->getOperand(buffer));
      std::optional<int64_t> rows = maximumOf(module, product(sizes).dividedBy(DimExpr(columns)));
      if (!rows)
        return std::nullopt;
      most = std::max(most, *rows);
    }
  return most > 0 ? std::optional(most) : std::nullopt;
}

static LogicalResult emitMatmul(KernelEntry &entry, MatmulOp op) {
  mlir::Value lhs = op.getLhs(), rhs = op.getRhs(), result = op.getResult();
  auto rhsType = cast<RankedTensorType>(rhs.getType());
  std::string storage = storageName(rhsType.getElementType());
  if (failed(expectFloats(op, {lhs, result})))
    return failure();
  llvm::Value *k = entry.size(lhs, -1), *n = entry.size(result, -1);
  if (plan::isGemv(op)) {
    if (storage.empty())
      return op.emitOpError("on the CPU does not read ") << rhsType;
    llvm::Value *m = entry.sizes(lhs, 0, rankOf(lhs) - 1);
    if (!llvm::isa<llvm::ConstantInt>(m) && mostRows(entry.kernel(), 0, rhsType.getDimSize(1)) == 1) {
      // One row or none: the variants for more need not be made.
      entry.begin = entry.b.CreateSelect(entry.b.CreateICmpSLT(m, entry.integer(1)), entry.end, entry.begin);
      m = entry.integer(1);
    }
    entry.call("gemv_" + storage, {entry.pointer(lhs), entry.pointer(rhs), entry.pointer(result), m, n, k, entry.begin, entry.end});
    return success();
  }
  if (storage.empty() || isa<BlockType>(rhsType.getElementType()))
    return op.emitOpError("on the CPU takes a static matrix, f32, f16, bf16 or f8E4M3FN on the right, found ") << rhsType;
  int leading = rankOf(result) - 2;
  SmallVector<llvm::Value *> shape;
  for (int axis = 0; axis < leading; ++axis)
    shape.push_back(entry.size(result, axis));
  entry.call("matmul_" + storage,
             {entry.pointer(lhs), entry.pointer(rhs), entry.pointer(result), entry.array(shape),
              entry.array(matrixStrides(entry, lhs, leading)), entry.array(matrixStrides(entry, rhs, leading)),
              entry.integer(leading), entry.size(result, -2), n, k, entry.integer(op.getTransposeRhs()), entry.begin, entry.end});
  return success();
}

static LogicalResult emitUnpack(KernelEntry &entry, Operation *op, bool fromFirstItem) {
  mlir::Value input = op->getOperand(0), result = op->getResult(0);
  std::string storage = storageName(elementOf(input.getType()));
  if (storage.empty() || failed(expectFloats(op, result)))
    return storage.empty() ? op->emitOpError("on the CPU does not read ") << input.getType() : failure();
  llvm::Value *to = entry.pointer(result), *width = entry.size(input, -1);
  if (fromFirstItem) // the first row asked for goes to the start of the result
    to = entry.b.CreateGEP(entry.b.getFloatTy(), to, entry.b.CreateNeg(entry.b.CreateMul(entry.begin, width)));
  entry.call("unpack_" + storage, {entry.pointer(input), to, width, entry.begin, entry.end});
  return success();
}
static LogicalResult emitDequantize(KernelEntry &entry, DequantizeOp op) { return emitUnpack(entry, op, false); }

static LogicalResult emitQuantize(KernelEntry &entry, QuantizeOp op) {
  if (op.getFormat() != BlockFormat::q8_0)
    return op.emitOpError("on the CPU makes q8_0, not ") << stringifyBlockFormat(op.getFormat());
  if (failed(expectFloats(op, op.getInput())))
    return failure();
  entry.call("quantize_q8_0", {entry.pointer(op.getInput()), entry.pointer(op.getResult()), entry.size(op.getInput(), -1),
                               entry.begin, entry.end});
  return success();
}

static LogicalResult emitRoundE4m3(KernelEntry &entry, RoundE4m3Op op) {
  entry.call("round_e4m3", {entry.pointer(op.getInput()), entry.pointer(op.getScale()), entry.pointer(op.getResult()),
                            entry.size(op.getInput(), -1), entry.begin, entry.end});
  return success();
}

//===-- Rows --------------------------------------------------------------------------------------------------------===//

static LogicalResult emitRmsNorm(KernelEntry &entry, RmsNormOp op) {
  if (failed(expectFloats(op, {op.getInput(), op.getScale()})))
    return failure();
  entry.call("rms_norm", {entry.pointer(op.getInput()), entry.pointer(op.getScale()), entry.pointer(op.getResult()),
                          entry.size(op.getInput(), -1), entry.number(op.getEpsilon().convertToDouble()), entry.begin, entry.end});
  return success();
}
static LogicalResult emitLayerNorm(KernelEntry &entry, LayerNormOp op) {
  if (failed(expectFloats(op, {op.getInput(), op.getScale(), op.getBias()})))
    return failure();
  entry.call("layer_norm", {entry.pointer(op.getInput()), entry.pointer(op.getScale()), entry.pointer(op.getBias()),
                            entry.pointer(op.getResult()), entry.size(op.getInput(), -1),
                            entry.number(op.getEpsilon().convertToDouble()), entry.begin, entry.end});
  return success();
}

static LogicalResult emitSoftmax(KernelEntry &entry, SoftmaxOp op) {
  if (failed(expectFloats(op, op.getInput())))
    return failure();
  int axis = int(op.getAxis()), rank = rankOf(op.getInput());
  llvm::Value *from = entry.pointer(op.getInput()), *to = entry.pointer(op.getResult()), *n = entry.size(op.getInput(), axis);
  if (axis == rank - 1)
    entry.call("softmax_rows", {from, to, n, entry.begin, entry.end});
  else
    entry.call("softmax_strided", {from, to, n, entry.sizes(op.getInput(), axis + 1, rank), entry.begin, entry.end});
  return success();
}

static LogicalResult emitReduce(KernelEntry &entry, ReduceOp op) {
  Type element = elementOf(op.getInput().getType());
  bool floats = element.isF32();
  if (!floats && !element.isInteger(32) && !element.isInteger(64))
    return op.emitOpError("on the CPU takes f32, i32 or i64, found ") << op.getInput().getType();
  SmallVector<llvm::Value *> strides = entry.strides(op.getInput()), shapes[2], places[2];
  llvm::Value *count = entry.integer(1);
  for (int axis = 0; axis < int(strides.size()); ++axis) {
    bool reduced = llvm::is_contained(op.getAxes(), axis);
    shapes[reduced].push_back(entry.size(op.getInput(), axis));
    places[reduced].push_back(strides[axis]);
    if (reduced)
      count = entry.multiply(count, shapes[1].back());
  }
  bool mean = op.getKind() == ReduceKind::mean;
  std::string name = "reduce_" + (mean ? "sum" : stringifyReduceKind(op.getKind()).str()) + "_" +
                     (floats ? "f32" : integerName(element));
  SmallVector<llvm::Value *> arguments = {
      entry.pointer(op.getInput()), entry.pointer(op.getResult()), entry.array(shapes[0]), entry.array(places[0]),
      entry.integer(int64_t(shapes[0].size())), entry.array(shapes[1]), entry.array(places[1]),
      entry.integer(int64_t(shapes[1].size()))};
  if (floats)
    arguments.push_back(mean ? entry.b.CreateFDiv(entry.number(1.0), entry.b.CreateSIToFP(count, entry.b.getFloatTy()))
                             : entry.number(1.0));
  arguments.append({entry.begin, entry.end});
  entry.call(name, arguments);
  return success();
}

static LogicalResult emitReducePacked(KernelEntry &entry, ReducePackedOp op) {
  Type element = elementOf(op.getInput().getType());
  if (!element.isF32() && !element.isInteger(32) && !element.isInteger(64))
    return op.emitOpError("on the CPU takes f32, i32 or i64, found ") << op.getInput().getType();
  bool mean = op.getKind() == ReduceKind::mean;
  SmallVector<llvm::Value *> arguments = {entry.pointer(op.getInput()), entry.pointer(op.getCumulative()),
                                          entry.pointer(op.getResult()), entry.size(op.getInput(), 0),
                                          entry.sizes(op.getInput(), 1, rankOf(op.getInput()))};
  if (element.isF32())
    arguments.push_back(entry.integer(mean));
  arguments.append({entry.begin, entry.end});
  entry.call("reduce_packed_" + (mean ? "sum" : stringifyReduceKind(op.getKind()).str()) + "_" +
                 (element.isF32() ? "f32" : integerName(element)),
             arguments);
  return success();
}

static LogicalResult emitCumulativeSum(KernelEntry &entry, CumulativeSumOp op) {
  int axis = int(op.getAxis());
  entry.call("cumulative_sum_" + integerName(elementOf(op.getInput().getType())),
             {entry.pointer(op.getInput()), entry.pointer(op.getResult()), entry.size(op.getInput(), axis),
              entry.sizes(op.getInput(), axis + 1, rankOf(op.getInput())), entry.begin, entry.end});
  return success();
}

//===-- Attention ---------------------------------------------------------------------------------------------------===//

static LogicalResult expectHeads(Operation *op, mlir::Value heads) {
  std::optional<int64_t> size = dimsOf(heads.getType()).back().constant();
  if (size && *size <= maxHeadDim)
    return success();
  return op->emitOpError("on the CPU takes a static head_dim of at most ") << maxHeadDim << ", found " << heads.getType();
}

static LogicalResult emitAttention(KernelEntry &entry, AttentionOp op) {
  if (failed(expectFloats(op, {op.getQuery(), op.getKey(), op.getValue(), op.getBias()})) || failed(expectHeads(op, op.getQuery())))
    return failure();
  mlir::Value q = op.getQuery(), k = op.getKey();
  llvm::Value *scale = entry.number(op.getScale().convertToDouble());
  llvm::Value *softcap = entry.number(op.getSoftcap() ? op.getSoftcap()->convertToDouble() : 0.0);
  llvm::Value *causal = entry.integer(op.getCausal()), *window = entry.integer(int64_t(op.getWindow().value_or(0)));
  SmallVector<llvm::Value *> arguments = {entry.pointer(q), entry.pointer(k), entry.pointer(op.getValue())};
  if (op.getLayout() == HeadLayout::thd) {
    arguments.append({entry.pointer(op.getCumulativeLengths()), entry.pointer(op.getKeyCumulativeLengths()),
                      entry.pointer(op.getPastLengths()), entry.pointer(op.getResult()), entry.size(q, 0),
                      entry.size(k, isa<CacheType>(k.getType()) ? 2 : 0), entry.rowsOf(op.getCumulativeLengths()),
                      entry.size(q, 1), entry.size(k, 1), entry.size(q, 2), scale, softcap, causal, window, entry.begin, entry.end});
    entry.call("attention_packed", arguments);
    return success();
  }
  bool headsFirst = op.getLayout() == HeadLayout::bhsd, keysHeadsFirst = headsFirst || isa<CacheType>(k.getType());
  arguments.append({entry.pointer(op.getMask()), entry.pointer(op.getBias()), entry.pointer(op.getPastLengths()),
                    entry.pointer(op.getLengths()), entry.pointer(op.getResult()), entry.size(q, headsFirst ? 1 : 2),
                    entry.size(k, keysHeadsFirst ? 1 : 2), entry.size(q, headsFirst ? 2 : 1),
                    entry.size(k, keysHeadsFirst ? 2 : 1), entry.size(q, 3), entry.integer(headsFirst), entry.integer(keysHeadsFirst)});
  SmallVector<llvm::Value *> biasStrides(4, entry.integer(0));
  if (op.getBias()) {
    biasStrides = entry.strides(op.getBias());
    for (int axis = 0; axis < 4; ++axis) {
      llvm::Value *one = entry.b.CreateICmpEQ(entry.size(op.getBias(), axis), entry.integer(1));
      biasStrides[axis] = entry.b.CreateSelect(one, entry.integer(0), biasStrides[axis]);
    }
  }
  arguments.append(biasStrides);
  arguments.append({scale, softcap, causal, window, entry.begin, entry.end});
  entry.call("attention_padded", arguments);
  return success();
}

static LogicalResult emitRotary(KernelEntry &entry, RotaryOp op) {
  mlir::Value x = op.getInput();
  if (failed(expectFloats(op, {x, op.getFactors()})) || failed(expectHeads(op, x)))
    return failure();
  int64_t dims = int64_t(op.getDims());
  SmallVector<double> frequencies;
  for (int64_t i = 0; i < dims / 2; ++i)
    frequencies.push_back(op.getScale().convertToDouble() *
                          std::pow(op.getBase().convertToDouble(), -2.0 * double(i) / double(dims)));
  bool headsFirst = op.getLayout() == HeadLayout::bhsd, packed = op.getLayout() == HeadLayout::thd;
  llvm::Value *heads = entry.size(x, headsFirst || packed ? 1 : 2);
  llvm::Value *queries = packed ? entry.integer(1) : entry.size(x, headsFirst ? 2 : 1);
  entry.call("rotary_f32", {entry.pointer(x), entry.pointer(op.getPositions()), entry.table(frequencies),
                            entry.pointer(op.getFactors()), entry.pointer(op.getResult()), heads, queries,
                            entry.integer(headsFirst), entry.size(x, -1), entry.integer(dims),
                            entry.integer(op.getInterleaved()), entry.begin, entry.end});
  return success();
}

//===-- Tokens ------------------------------------------------------------------------------------------------------===//

static LogicalResult emitEmbedding(KernelEntry &entry, EmbeddingOp op) {
  std::string storage = storageName(elementOf(op.getTable().getType()));
  if (storage.empty())
    return op.emitOpError("on the CPU does not read ") << op.getTable().getType();
  if (failed(expectFloats(op, op.getResult())))
    return failure();
  entry.call("embedding_" + storage + "_" + integerName(elementOf(op.getIndices().getType())),
             {entry.pointer(op.getTable()), entry.pointer(op.getIndices()), entry.pointer(op.getResult()),
              entry.size(op.getTable(), 0), entry.size(op.getTable(), 1), entry.begin, entry.end});
  return success();
}
static LogicalResult emitPositions(KernelEntry &entry, PositionsOp op) {
  entry.call("positions_i32", {entry.pointer(op.getStart()), entry.pointer(op.getResult()), entry.size(op.getResult(), 1),
                               entry.begin, entry.end});
  return success();
}
static LogicalResult emitIota(KernelEntry &entry, IotaOp op) {
  entry.call("iota_i32", {entry.pointer(op.getResult()), entry.size(op.getResult(), 0)});
  return success();
}
static LogicalResult emitCumulativeLengths(KernelEntry &entry, CumulativeLengthsOp op) {
  entry.call("cumulative_lengths", {entry.pointer(op.getLengths()), entry.pointer(op.getResult()), entry.size(op.getLengths(), 0)});
  return success();
}
static LogicalResult emitValidTokens(KernelEntry &entry, ValidTokensOp op) {
  Type mask = elementOf(op.getRows().getType());
  if (!op.getLengths() && !mask.isInteger(32) && !mask.isInteger(64))
    return op.emitOpError("on the CPU takes a mask of i32 or i64, found ") << op.getRows().getType();
  entry.call(op.getLengths() ? std::string("valid_tokens_lengths") : "valid_tokens_" + integerName(mask),
             {entry.pointer(op.getLengths() ? op.getLengths() : op.getRows()), entry.pointer(op.getIndex()),
              entry.pointer(op.getCumulative()), entry.size(op.getRows(), 0), entry.size(op.getRows(), 1), entry.size(op.getIndex(), 0)});
  return success();
}
static LogicalResult emitArgmax(KernelEntry &entry, ArgmaxOp op) {
  if (failed(expectFloats(op, op.getInput())))
    return failure();
  entry.call("argmax_f32", {entry.pointer(op.getInput()), entry.pointer(op.getResult()), entry.size(op.getInput(), -1),
                            entry.begin, entry.end});
  return success();
}
static LogicalResult emitTopK(KernelEntry &entry, TopKOp op) {
  if (failed(expectFloats(op, op.getInput())))
    return failure();
  entry.call("top_k_f32", {entry.pointer(op.getInput()), entry.pointer(op.getValues()), entry.pointer(op.getIndices()),
                           entry.size(op.getInput(), -1), entry.integer(int64_t(op.getK())), entry.begin, entry.end});
  return success();
}
static LogicalResult emitSample(KernelEntry &entry, SampleOp op) {
  if (failed(expectFloats(op, op.getLogits())))
    return failure();
  SmallVector<llvm::Value *> arguments;
  for (mlir::Value operand : op->getOperands())
    arguments.push_back(entry.pointer(operand));
  arguments.append({entry.pointer(op.getResult()), entry.size(op.getLogits(), 1), entry.begin, entry.end});
  entry.call("sample_f32", arguments);
  return success();
}

//===-- The table ---------------------------------------------------------------------------------------------------===//

static llvm::ArrayRef<SkeletonRow> computeRows() {
  static const SkeletonRow rows[] = {
      skeletonRow<MatmulOp, emitMatmul>(),       skeletonRow<DequantizeOp, emitDequantize>(),
      skeletonRow<QuantizeOp, emitQuantize>(),   skeletonRow<RoundE4m3Op, emitRoundE4m3>(),
      skeletonRow<RmsNormOp, emitRmsNorm>(),
      skeletonRow<LayerNormOp, emitLayerNorm>(), skeletonRow<SoftmaxOp, emitSoftmax>(),
      skeletonRow<ReduceOp, emitReduce>(),       skeletonRow<AttentionOp, emitAttention>(),
      skeletonRow<RotaryOp, emitRotary>(),       skeletonRow<EmbeddingOp, emitEmbedding>(),
      skeletonRow<PositionsOp, emitPositions>(), skeletonRow<IotaOp, emitIota>(),
      skeletonRow<ArgmaxOp, emitArgmax>(),       skeletonRow<TopKOp, emitTopK>(),
      skeletonRow<SampleOp, emitSample>(),       skeletonRow<CumulativeLengthsOp, emitCumulativeLengths>(),
      skeletonRow<CumulativeSumOp, emitCumulativeSum>(), skeletonRow<ReducePackedOp, emitReducePacked>(),
      skeletonRow<ValidTokensOp, emitValidTokens>(),
  };
  return rows;
}

LogicalResult emitKernel(KernelEntry &entry, plan::KernelOp kernel) {
  if (kernel.getUnpack())
    return emitUnpack(entry, kernel.getOp(), /*fromFirstItem=*/true);
  auto group = dyn_cast<GroupOp>(kernel.getOp());
  return group ? emitGroup(entry, group) : emitOp(entry, kernel.getOp());
}

LogicalResult emitOp(KernelEntry &entry, Operation *op) {
  if (isa<FusedOp>(op) || isa<ScalarOp>(op))
    return emitElementwise(entry, op);
  for (llvm::ArrayRef<SkeletonRow> rows : {computeRows(), copyRows()})
    for (const SkeletonRow &row : rows)
      if (row.op == op->getName().getStringRef())
        return row.emit(entry, op);
  return op->emitOpError("has no CPU form");
}

} // namespace transom
