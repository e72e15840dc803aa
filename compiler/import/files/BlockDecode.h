// Reference decoding of every element type to float, GGML's quantised blocks included. Scalar and plain: for
// the reference interpreter and tests, not for speed.
#pragma once

#include "runtime/format/DType.h"

#include <cstddef>
#include <span>

namespace transom {

/// IEEE binary16 bits to float, exact; infinities and NaN included.
float halfToFloat(uint16_t bits);

/// Decodes values.size() elements; `bytes` must hold exactly as many, and they must be whole blocks
/// (assertions). Block formats give the float arithmetic of GGML's dequantize_row_* functions (ggml-quants.c)
/// without fused multiply-adds. f64 and i64 are rounded to float.
void decodeElements(DType dtype, std::span<const std::byte> bytes, std::span<float> values);
/// The same in double: f64 and i32 come through exactly, everything else is the float of above.
void decodeElements(DType dtype, std::span<const std::byte> bytes, std::span<double> values);

} // namespace transom
