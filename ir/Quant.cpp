// Between floats and quantised blocks.
#include "ir/Checks.h"

using namespace mlir;

namespace transom {

FailureOr<llvm::SmallVector<Dims>> QuantizeOp::inferDims(Adaptor adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  if (adaptor.getFormat() != BlockFormat::q8_0)
    return emitError() << "C1: expected format q8_0, found " << stringifyBlockFormat(adaptor.getFormat());
  const Dims &input = operands[0];
  if (input.empty() || !input.back().constant() || *input.back().constant() % 32 != 0)
    return emitError() << "C2: expected a static last dimension in blocks of 32, found " << transom::str(input);
  return detail::single(input);
}
Type QuantizeOp::inferElement(Adaptor adaptor, unsigned) {
  return BlockType::get(adaptor.getInput().getContext(), adaptor.getFormat());
}

FailureOr<llvm::SmallVector<Dims>> DequantizeOp::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError) {
  return detail::single(operands[0]);
}
Type DequantizeOp::inferElement(Adaptor adaptor, unsigned) { return adaptor.getTo(); }

FailureOr<llvm::SmallVector<Dims>> RoundE4m3Op::inferDims(Adaptor, llvm::ArrayRef<Dims> operands, EmitError emitError) {
  if (operands[0].empty() || !operands[0].back().constant())
    return emitError() << "C1: expected a static last dimension, found " << transom::str(operands[0]);
  if (operands.size() > 1 && !operands[1].empty())
    return emitError() << "C2: expected a scale of rank 0, found " << transom::str(operands[1]);
  return detail::single(operands[0]);
}

} // namespace transom
