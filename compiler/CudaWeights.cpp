// See CudaWeights.h.
#include "compiler/CudaWeights.h"

#include "codegen/TensorBytes.h"
#include "runtime/format/Planes.h"

#include "llvm/ADT/APFloat.h"

#include <cstring>

namespace transom {

namespace {

float toFloat(DType dtype, const std::byte *from) {
  if (dtype == DType::f32) {
    float value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  if (dtype == DType::bf16) {
    uint32_t wide = uint32_t(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
  }
  return llvm::APFloat(llvm::APFloat::IEEEhalf(), llvm::APInt(16, bits)).convertToFloat();
}

/// Nearest, ties to even.
uint16_t toHalf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000)
    return uint16_t(sign | 0x7e00); // NaN
  if (magnitude >= 0x477ff000) // 65520 and more round to infinity
    return uint16_t(sign | 0x7c00);
  if (magnitude < 0x38800000) { // below 2^-14: a multiple of 2^-24
    float scaled = value < 0 ? -value : value;
    auto units = uint32_t(__builtin_rintf(scaled * 0x1p24f));
    return uint16_t(sign | units);
  }
  uint32_t rounded = magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1);
  return uint16_t(sign | rounded >> 13);
}

uint16_t toBFloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (value != value)
    return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// Converts numbers as their bytes come.
class Converter {
public:
  Converter(DType from, DType to, const artifact::ByteSink &sink) : from(from), to(to), sink(sink), width(layoutOf(from).bytes) {}

  Status push(std::span<const std::byte> bytes) {
    out.clear();
    while (!bytes.empty()) {
      if (kept == 0 && bytes.size() >= width) { // whole numbers as they lie
        size_t count = bytes.size() / width;
        for (size_t i = 0; i < count; ++i)
          convert(bytes.data() + i * width);
        bytes = bytes.subspan(count * width);
        continue;
      }
      rest[kept++] = bytes.front();
      bytes = bytes.subspan(1);
      if (kept == width) {
        convert(rest);
        kept = 0;
      }
    }
    return out.empty() ? Status() : sink(out);
  }

private:
  void convert(const std::byte *number) {
    float value = toFloat(from, number);
    std::byte bytes[4];
    size_t count = layoutOf(to).bytes;
    if (to == DType::f32) {
      std::memcpy(bytes, &value, 4);
    } else {
      uint16_t narrow = to == DType::f16 ? toHalf(value) : toBFloat(value);
      std::memcpy(bytes, &narrow, 2);
    }
    out.insert(out.end(), bytes, bytes + count);
  }

  DType from, to;
  const artifact::ByteSink &sink;
  size_t width, kept = 0;
  std::byte rest[8];
  std::vector<std::byte> out;
};

} // namespace

Status writeCudaWeight(const CudaWeight &form, plan::WeightOp weight, const TensorSource &source, const artifact::ByteSink &sink) {
  auto type = mlir::cast<mlir::RankedTensorType>(weight.getType());
  DType stored = storedType(type.getElementType());
  if (form.form == CudaWeight::Form::planes) {
    std::vector<std::byte> rows;
    rows.reserve(bytesFor(stored, type.getShape()).value());
    TRANSOM_RETURN_IF_ERROR(writeWeight(weight, source, [&](std::span<const std::byte> bytes) {
      rows.insert(rows.end(), bytes.begin(), bytes.end());
      return Status();
    }));
    int64_t k = type.getShape().back(), n = type.getNumElements() / k;
    return planes::repackPlanes(stored, rows, k, n, sink);
  }
  if (stored != DType::f32 && stored != DType::f16 && stored != DType::bf16)
    return error(StatusCode::unsupported, "weight {}: expected f32, f16 or bf16, found {}", weight.getName().str(), name(stored));
  Converter converter(stored, form.dtype, sink);
  return writeWeight(weight, source, [&](std::span<const std::byte> bytes) { return converter.push(bytes); });
}

} // namespace transom
