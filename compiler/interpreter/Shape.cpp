// Ops that move numbers without computing.
#include "compiler/interpreter/Ops.h"

namespace transom::interpreter {

namespace {

template <typename Op> void reshape(Op, Frame &frame) {
  frame.out[0] = frame.in[0].as(frame.out[0].dtype(), frame.out[0].shape());
}

void transpose(TransposeOp op, Frame &frame) {
  // Steps of the input in the order of the result's dimensions.
  const Tensor::Shape &from = frame.in[0].shape(), &to = frame.out[0].shape();
  std::vector<int64_t> steps(from.size(), 1), inputSteps(from.size(), 1);
  for (size_t axis = from.size(); axis-- > 1;)
    inputSteps[axis - 1] = inputSteps[axis] * from[axis];
  for (auto [axis, source] : llvm::enumerate(op.getPermutation()))
    steps[axis] = inputSteps[source];
  withNumberType(frame.in[0], [&]<typename T>(T) {
    std::span<const T> in = frame.in[0].view<T>();
    std::span<T> out = frame.out[0].change<T>();
    for (size_t i = 0; i < out.size(); ++i) {
      int64_t rest = i, at = 0;
      for (size_t axis = to.size(); axis-- > 0; rest /= to[axis])
        at += rest % to[axis] * steps[axis];
      out[i] = in[at];
    }
  });
}

/// Copies `count` indices along the axis from `from` of one tensor to `to` of another.
template <typename T>
void copyAlong(const Tensor &source, int64_t from, Tensor &target, int64_t to, int64_t count, int64_t axis) {
  AxisView in(source.shape(), axis), out(target.shape(), axis);
  std::span<const T> numbers = source.view<T>();
  std::span<T> result = target.change<T>();
  for (int64_t outer = 0; outer < in.outer; ++outer)
    std::copy_n(numbers.begin() + (outer * in.size + from) * in.inner, count * in.inner,
                result.begin() + (outer * out.size + to) * in.inner);
}

void slice(SliceOp op, Frame &frame) {
  withNumberType(frame.in[0], [&]<typename T>(T) {
    copyAlong<T>(frame.in[0], op.getStart(), frame.out[0], 0, op.getSize(), op.getAxis());
  });
}

void concat(ConcatOp op, Frame &frame) {
  int64_t axis = static_cast<int64_t>(op.getAxis()), at = 0;
  for (const Tensor &in : frame.in) {
    withNumberType(in, [&]<typename T>(T) { copyAlong<T>(in, 0, frame.out[0], at, in.dim(axis), axis); });
    at += in.dim(axis);
  }
}

void pad(PadOp op, Frame &frame) {
  double value = op.getValue().convertToDouble();
  withNumberType(frame.in[0], [&]<typename T>(T) {
    std::span<T> out = frame.out[0].change<T>();
    std::fill(out.begin(), out.end(), static_cast<T>(value));
    int64_t axis = static_cast<int64_t>(op.getAxis());
    copyAlong<T>(frame.in[0], 0, frame.out[0], op.getBefore(), frame.in[0].dim(axis), axis);
  });
}

void broadcast(BroadcastOp, Frame &frame) {
  withNumberType(frame.in[0], [&]<typename T>(T) {
    std::span<const T> in = frame.in[0].view<T>();
    std::span<T> out = frame.out[0].change<T>();
    forEachBroadcast(frame.out[0].shape(), {frame.in[0].shape()},
                     [&](int64_t i, llvm::ArrayRef<int64_t> at) { out[i] = in[at[0]]; });
  });
}

void iota(IotaOp, Frame &frame) {
  std::span<int64_t> out = frame.out[0].change<int64_t>();
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<int64_t>(i);
}

} // namespace

llvm::ArrayRef<Entry> shapeOps() {
  static const Entry table[] = {entry<ReshapeOp, reshape<ReshapeOp>>(), entry<SplitRowsOp, reshape<SplitRowsOp>>(),
                                entry<TransposeOp, transpose>(), entry<SliceOp, slice>(),
                                entry<ConcatOp, concat>(),       entry<PadOp, pad>(),
                                entry<BroadcastOp, broadcast>(), entry<IotaOp, iota>()};
  return table;
}

} // namespace transom::interpreter
