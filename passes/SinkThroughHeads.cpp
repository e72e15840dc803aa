// Moving transposes down through ops on heads: rotary, cache_append and attention have layouts of their own.
#include "passes/SinkTransposes.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

/// The order in which a tensor written in one layout stands where it is kept in the other; each of the two is the other's.
static Permutation between(HeadLayout written, HeadLayout kept) {
  return written == kept ? identityPermutation(4) : Permutation{0, 2, 1, 3};
}

HeadLayout TransposeSinker::layoutOf(Value value, HeadLayout written) const {
  auto costIn = [&](HeadLayout layout) { return values.costOf(value, between(written, layout)); };
  return costIn(HeadLayout::bshd) <= costIn(HeadLayout::bhsd) ? HeadLayout::bshd : HeadLayout::bhsd;
}

Value TransposeSinker::settleHeads(Value value, HeadLayout written, HeadLayout wanted, Operation *stop) {
  return settle(value, between(written, wanted), stop, "T4: expected batch first and head_dim last");
}

void TransposeSinker::visitRotary(RotaryOp op) {
  HeadLayout written = op.getLayout();
  if (written == HeadLayout::thd)
    return visitDefault(op);
  HeadLayout layout = layoutOf(op.getInput(), written);
  // Tokens written [seq, batch] turn in the order that they stand in, if their positions come to that order too.
  Permutation swapped = {1, 0, 2, 3}, swappedPositions = {1, 0};
  auto cost = [&](Order heads, Order positions) {
    return std::min(INT64_MAX / 4, values.costOf(op.getInput(), heads)) + std::min(INT64_MAX / 4, values.costOf(op.getPositions(), positions));
  };
  if (written == HeadLayout::bshd && cost(swapped, swappedPositions) < cost(between(written, layout), identityPermutation(2))) {
    constexpr const char *condition = "T4: expected batch first and head_dim last";
    SmallVector<Value> operands = {settle(op.getInput(), swapped, op, condition), settle(op.getPositions(), swappedPositions, op, condition)};
    if (Value factors = op.getFactors())
      operands.push_back(values.settle(factors, op, condition));
    return rebuild(op, operands, swapped);
  }
  SmallVector<Value> operands = withFirst(op, settleHeads(op.getInput(), written, layout, op));
  if (layout == written)
    return rebuild(op, operands, identityPermutation(4));
  done.push_back({op, "reads and writes " + stringifyHeadLayout(layout).str()});
  rebuild(op, operands, between(written, layout), [&](Operation *copy) { cast<RotaryOp>(copy).setLayout(layout); });
}

void TransposeSinker::visitAppend(CacheAppendOp op) {
  HeadLayout written = op.getLayout();
  if (written == HeadLayout::thd)
    return visitDefault(op);
  HeadLayout layout = layoutOf(op.getTokens(), written);
  SmallVector<Value> operands;
  for (OpOperand &operand : op->getOpOperands())
    operands.push_back(&operand == &op.getTokensMutable() ? settleHeads(operand.get(), written, layout, op)
                                                       : values.settle(operand.get(), op, "T6: expected lengths [batch]"));
  if (layout == written)
    return rebuild(op, operands, Permutation());
  done.push_back({op, "reads " + stringifyHeadLayout(layout).str()});
  rebuild(op, operands, Permutation(), [&](Operation *copy) { cast<CacheAppendOp>(copy).setLayout(layout); });
}

void TransposeSinker::visitAttention(AttentionOp op) {
  HeadLayout written = op.getLayout();
  if (written == HeadLayout::thd)
    return visitDefault(op);
  SmallVector<OpOperand *> headed = {&op.getQueryMutable(), &op.getKeyMutable(), &op.getValueMutable()};
  // By its place: a bias may be the very value that is a query.
  auto isHeaded = [&](OpOperand *operand) { return isa<RankedTensorType>(operand->get().getType()) && llvm::is_contained(headed, operand); };
  // The result is read in the order that the queries came in, mostly; so a query counts twice.
  auto costIn = [&](HeadLayout layout) {
    int64_t cost = values.costOf(op.getQuery(), between(written, layout));
    for (OpOperand *operand : headed)
      if (isHeaded(operand))
        cost = std::min(INT64_MAX / 4, cost) + values.costOf(operand->get(), between(written, layout));
    return cost;
  };
  HeadLayout layout = costIn(HeadLayout::bshd) <= costIn(HeadLayout::bhsd) ? HeadLayout::bshd : HeadLayout::bhsd;
  SmallVector<Value> operands;
  for (OpOperand &operand : op->getOpOperands())
    operands.push_back(isHeaded(&operand) ? settleHeads(operand.get(), written, layout, op)
                                          : values.settle(operand.get(), op, "T6: expected mask, bias and lengths as written"));
  if (layout == written)
    return rebuild(op, operands, identityPermutation(4));
  done.push_back({op, "reads and writes " + stringifyHeadLayout(layout).str()});
  rebuild(op, operands, between(written, layout), [&](Operation *copy) { cast<AttentionOp>(copy).setLayout(layout); });
}

} // namespace transom
