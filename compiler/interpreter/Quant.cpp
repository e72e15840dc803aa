// Between floats and quantised blocks; rounding to 8 bits. A quantised tensor is kept as the numbers that it decodes to.
#include "compiler/interpreter/Ops.h"

#include <cmath>
#include <numeric>

namespace transom::interpreter {

namespace {

/// q8_0 (ggml-quants.c, quantize_row_q8_0_ref): the scale is stored as fp16, numbers are rounded by the unrounded scale.
void quantize(QuantizeOp, Frame &frame) {
  constexpr int64_t block = 32;
  std::span<const double> in = frame.in[0].floats();
  std::span<double> out = frame.out[0].change<double>();
  for (size_t begin = 0; begin < in.size(); begin += block) {
    float largest = 0;
    for (int64_t i = 0; i < block; ++i)
      largest = std::max(largest, static_cast<float>(std::abs(in[begin + i])));
    float scale = largest / 127.0f, inverse = scale == 0 ? 0.0f : 1.0f / scale;
    float stored = static_cast<float>(roundTo(DType::f16, scale, Precision::f32));
    for (int64_t i = 0; i < block; ++i)
      out[begin + i] = stored * std::round(static_cast<float>(in[begin + i]) * inverse);
  }
}

void dequantize(DequantizeOp, Frame &frame) { frame.out[0] = frame.in[0].as(frame.out[0].dtype(), frame.in[0].shape()); }

/// The larger magnitude; NaN if there is one.
float largerMagnitude(float a, double b) { return std::abs(b) > a || std::isnan(b) ? static_cast<float>(std::abs(b)) : a; }

void roundE4m3(RoundE4m3Op op, Frame &frame) {
  std::span<const double> in = frame.in[0].floats();
  std::span<double> out = frame.out[0].change<double>();
  size_t width = static_cast<size_t>(frame.in[0].dim(frame.in[0].rank() - 1));
  for (size_t begin = 0; begin < in.size(); begin += width) {
    std::span<const double> row = in.subspan(begin, width);
    float scale = op.getScale() ? static_cast<float>(frame.in[1].at(0))
                                : std::accumulate(row.begin(), row.end(), 0.0f, largerMagnitude) * (1.0f / 448.0f);
    if (!op.getScale() && scale < 0x1p-120f)
      scale = 0x1p-120f;
    float inverse = 1.0f / scale;
    for (size_t i = 0; i < width; ++i)
      out[begin + i] = scale * static_cast<float>(roundTo(DType::f8e4m3, static_cast<float>(row[i]) * inverse, Precision::f32));
  }
}

} // namespace

llvm::ArrayRef<Entry> quantOps() {
  static const Entry table[] = {entry<QuantizeOp, quantize>(), entry<DequantizeOp, dequantize>(), entry<RoundE4m3Op, roundE4m3>()};
  return table;
}

} // namespace transom::interpreter
