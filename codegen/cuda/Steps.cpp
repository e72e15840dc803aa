// What memory a step adds, and which kernel an op becomes.
#include "codegen/cuda/Steps.h"

#include "codegen/cuda/OpText.h"
#include "codegen/cuda/Rows.h"
#include "ir/DimAnalysis.h"

using namespace mlir;
using llvm::ArrayRef;

namespace transom::cuda {

CudaBuffer Step::scratch(DType dtype, Dims shape) {
  CudaBuffer buffer;
  buffer.kind = CudaBuffer::Kind::scratch;
  buffer.dtype = dtype, buffer.shape = std::move(shape), buffer.offset = scratchAt;
  buffer.bytes = maximumOf(module, product(buffer.shape)).value_or(0) * int64_t(layoutOf(dtype).bytes);
  scratchAt = plan::aligned(scratchAt + buffer.bytes);
  mostScratch = std::max(mostScratch, scratchAt);
  return buffer;
}

CudaBuffer Step::workspace(DType dtype, Dims shape) {
  CudaBuffer buffer;
  buffer.kind = CudaBuffer::Kind::workspace;
  buffer.dtype = dtype, buffer.shape = std::move(shape);
  buffer.bytes = maximumOf(module, product(buffer.shape)).value_or(0) * int64_t(layoutOf(dtype).bytes);
  workspaceBytes = std::max(workspaceBytes, plan::aligned(buffer.bytes));
  return buffer;
}

/// The op as a program of one row-wise op, if it is one in the sizes it has.
static std::optional<RowProgram> rowProgramOf(const Step &step) {
  Operation *op = step.op;
  if (isa<QuantizeOp>(op) || isReshape(op) || !rowKindOf(op))
    return std::nullopt;
  RowProgram program;
  auto [index, leading] = defaultRows(op);
  if (leading == 0) // one row
    return std::nullopt;
  std::string why;
  // As a slice of columns counts rows by all dimensions but the last; other slices are no row-wise op.
  FailureOr<RowUse> use = rowUseOf(op, index, leading, [&](Value value) { return step.memory.contains(value) ? step.sizes(value) : dimsOf(value.getType()); },
                                   UnknownSizes::differ, why);
  if (failed(use))
    return std::nullopt;
  for (auto [operand, own] : llvm::zip(op->getOperands(), use->operands))
    program.leading[operand] = own;
  program.leading[op->getResult(0)] = use->result;
  program.ops.push_back(op);
  program.results.push_back(op->getResult(0));
  program.outputs.push_back(step.buffer(op->getResult(0)));
  for (Value operand : op->getOperands())
    program.memory[operand] = step.buffer(operand);
  program.rows = product(ArrayRef(step.sizes(op->getOperand(index))).take_front(use->operands[index]));
  return program;
}

FailureOr<CudaLaunchPlan> emitOp(Step &step) {
  if (auto attention = dyn_cast<AttentionOp>(step.op))
    return emitAttention(step, attention);
  if (std::optional<RowProgram> rows = rowProgramOf(step)) {
    bool floats = llvm::all_of(step.op->getOperands(), [&](Value operand) {
      return isa<EmbeddingOp, RotaryOp, CacheAppendOp>(step.op) || isa<FloatType>(elementOf(operand.getType()));
    });
    bool narrow = isa<FusedOp>(step.op) || isa<ScalarOp>(step.op) ? rows->width(step.op->getResult(0)) < 32 : false;
    if (floats && !narrow && !isa<SliceOp>(step.op))
      return emitRows(step.pool, *rows, maximumOf(step.module, rows->rows).value_or(INT64_MAX), step.name);
  }
  if (std::optional<Launch> launch = emitReduction(step))
    return *launch;
  if (std::optional<Launch> launch = emitCopy(step))
    return *launch;
  return emitOther(step);
}

} // namespace transom::cuda
