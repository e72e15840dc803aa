// Matrix products.
#include "ir/Checks.h"

using namespace mlir;

namespace transom {

FailureOr<llvm::SmallVector<Dims>> MatmulOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  const Dims &lhs = operands[0], &rhs = operands[1];
  bool transposed = adaptor.getTransposeRhs();
  if (lhs.size() < 2 || rhs.size() < 2)
    return emitError() << "C1: expected rank 2 or more, found " << lhs.size() << " and " << rhs.size();
  const DimExpr &k = rhs[rhs.size() - (transposed ? 1 : 2)], &n = rhs[rhs.size() - (transposed ? 2 : 1)];
  if (!lhs.back().mayEqual(k))
    return emitError() << "C2: inner sizes differ: " << lhs.back().str() << " and " << k.str();
  if (isa<BlockType>(elementOf(adaptor.getRhs().getType())) && !transposed)
    return emitError() << "C4: a quantised right-hand side needs transpose_rhs";
  FailureOr<Dims> result = detail::broadcastLeading(operands, 2, "C3", emitError);
  if (failed(result))
    return failure();
  result->push_back(lhs[lhs.size() - 2]);
  result->push_back(n);
  return detail::single(*result);
}

} // namespace transom
