// Reductions, running sums, softmax and normalisations.
#include "compiler/interpreter/Ops.h"
#include "compiler/interpreter/Reduction.h"

namespace transom::interpreter {

namespace {

void reduce(ReduceOp op, Frame &frame) {
  const Tensor &in = frame.in[0];
  // The result's shape with reduced dimensions kept, to find each element's place.
  Tensor::Shape kept = in.shape();
  int64_t count = 1;
  for (int64_t axis : op.getAxes()) {
    count *= kept[axis];
    kept[axis] = 1;
  }
  withNumberType(in, [&]<typename T>(T) {
    std::span<const T> numbers = in.view<T>();
    std::span<T> out = frame.out[0].change<T>();
    std::fill(out.begin(), out.end(), reductionStart<T>(op.getKind(), in.dtype()));
    forEachBroadcast(in.shape(), {kept}, [&](int64_t i, llvm::ArrayRef<int64_t> at) {
      out[at[0]] = combine(op.getKind(), out[at[0]], numbers[i]);
    });
    if (op.getKind() == ReduceKind::mean)
      for (T &number : out)
        number /= static_cast<T>(count);
  });
}

void cumulativeSum(CumulativeSumOp op, Frame &frame) {
  AxisView view(frame.in[0].shape(), op.getAxis());
  std::span<const int64_t> in = frame.in[0].integers();
  std::span<int64_t> out = frame.out[0].change<int64_t>();
  for (int64_t outer = 0; outer < view.outer; ++outer)
    for (int64_t inner = 0; inner < view.inner; ++inner) {
      int64_t sum = 0;
      for (int64_t i = 0; i < view.size; ++i) {
        int64_t at = (outer * view.size + i) * view.inner + inner;
        out[at] = sum = combine(ReduceKind::sum, sum, in[at]);
      }
    }
}

void softmax(SoftmaxOp op, Frame &frame) {
  AxisView view(frame.in[0].shape(), op.getAxis());
  std::span<const double> in = frame.in[0].floats();
  std::span<double> out = frame.out[0].change<double>();
  std::vector<double> row(view.size);
  for (int64_t outer = 0; outer < view.outer; ++outer)
    for (int64_t inner = 0; inner < view.inner; ++inner) {
      auto at = [&](int64_t i) { return (outer * view.size + i) * view.inner + inner; };
      for (int64_t i = 0; i < view.size; ++i)
        row[i] = in[at(i)];
      softmaxRow(row);
      for (int64_t i = 0; i < view.size; ++i)
        out[at(i)] = row[i];
    }
}

/// Calls `body(in, out)` for each row of the last dimension.
void forEachRow(Frame &frame, llvm::function_ref<void(std::span<const double>, std::span<double>)> body) {
  std::span<const double> in = frame.in[0].floats();
  std::span<double> out = frame.out[0].change<double>();
  size_t width = frame.in[0].shape().back();
  for (size_t begin = 0; begin < in.size(); begin += width)
    body(in.subspan(begin, width), out.subspan(begin, width));
}

void layerNorm(LayerNormOp op, Frame &frame) {
  std::span<const double> scale = frame.in[1].floats();
  const Tensor *bias = frame.find(op.getBias());
  double epsilon = op.getEpsilon().convertToDouble();
  forEachRow(frame, [&](std::span<const double> in, std::span<double> out) {
    double mean = 0, variance = 0, width = static_cast<double>(in.size());
    for (double number : in)
      mean += number / width;
    for (double number : in)
      variance += (number - mean) * (number - mean) / width;
    for (size_t i = 0; i < in.size(); ++i)
      out[i] = (in[i] - mean) / std::sqrt(variance + epsilon) * scale[i] + (bias ? bias->floats()[i] : 0);
  });
}

void rmsNorm(RmsNormOp op, Frame &frame) {
  std::span<const double> scale = frame.in[1].floats();
  double epsilon = op.getEpsilon().convertToDouble();
  forEachRow(frame, [&](std::span<const double> in, std::span<double> out) {
    double squares = 0;
    for (double number : in)
      squares += number * number;
    double root = std::sqrt(squares / static_cast<double>(in.size()) + epsilon);
    for (size_t i = 0; i < in.size(); ++i)
      out[i] = in[i] / root * scale[i];
  });
}

} // namespace

llvm::ArrayRef<Entry> reduceOps() {
  static const Entry table[] = {entry<ReduceOp, reduce>(), entry<CumulativeSumOp, cumulativeSum>(),
                                entry<SoftmaxOp, softmax>(), entry<LayerNormOp, layerNorm>(),
                                entry<RmsNormOp, rmsNorm>()};
  return table;
}

} // namespace transom::interpreter
