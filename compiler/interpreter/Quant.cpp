// Between floats and quantised blocks. A quantised tensor is kept as the numbers that it decodes to.
#include "compiler/interpreter/Ops.h"

#include <cmath>

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

} // namespace

llvm::ArrayRef<Entry> quantOps() {
  static const Entry table[] = {entry<QuantizeOp, quantize>(), entry<DequantizeOp, dequantize>()};
  return table;
}

} // namespace transom::interpreter
