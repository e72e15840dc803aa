// See BlockDecode.h. Block layouts are those of ggml-common.h; each decoder's comment gives the fields in
// order.
#include "compiler/import/files/BlockDecode.h"

#include "runtime/format/E4m3.h"

#include <bit>
#include <cassert>
#include <cstring>

namespace transom {

namespace {

template <typename T> T load(const std::byte *at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

float loadHalf(const std::byte *at) { return halfToFloat(load<uint16_t>(at)); }

int lowNibble(std::byte byte) { return std::to_integer<int>(byte & std::byte{15}); }
int highNibble(std::byte byte) { return std::to_integer<int>(byte >> 4); }

// d: half, q: int8[32]. x = d * q
void decodeQ8_0(const std::byte *block, float *out) {
  float scale = loadHalf(block);
  for (int i = 0; i < 32; ++i)
    out[i] = scale * static_cast<float>(load<int8_t>(block + 2 + i));
}

// d: half, q: nibble[32], element i in the low and i+16 in the high half of byte i. x = d * (q - 8)
void decodeQ4_0(const std::byte *block, float *out) {
  float scale = loadHalf(block);
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>(lowNibble(block[2 + i]) - 8);
    out[i + 16] = scale * static_cast<float>(highNibble(block[2 + i]) - 8);
  }
}

// d: half, m: half, q: nibble[32] as in q4_0. x = d * q + m
void decodeQ4_1(const std::byte *block, float *out) {
  float scale = loadHalf(block), minimum = loadHalf(block + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>(lowNibble(block[4 + i])) + minimum;
    out[i + 16] = scale * static_cast<float>(highNibble(block[4 + i])) + minimum;
  }
}

/// Bit `index` of a 32-bit mask as the fifth bit of a 5-bit number.
int fifthBit(uint32_t mask, int index) { return static_cast<int>(mask >> index & 1) << 4; }

// d: half, fifth bits: uint32, q: nibble[32] as in q4_0. x = d * (q - 16)
void decodeQ5_0(const std::byte *block, float *out) {
  float scale = loadHalf(block);
  uint32_t mask = load<uint32_t>(block + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>((lowNibble(block[6 + i]) | fifthBit(mask, i)) - 16);
    out[i + 16] = scale * static_cast<float>((highNibble(block[6 + i]) | fifthBit(mask, i + 16)) - 16);
  }
}

// d: half, m: half, fifth bits: uint32, q: nibble[32] as in q4_0. x = d * q + m
void decodeQ5_1(const std::byte *block, float *out) {
  float scale = loadHalf(block), minimum = loadHalf(block + 2);
  uint32_t mask = load<uint32_t>(block + 4);
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>(lowNibble(block[8 + i]) | fifthBit(mask, i)) + minimum;
    out[i + 16] = scale * static_cast<float>(highNibble(block[8 + i]) | fifthBit(mask, i + 16)) + minimum;
  }
}

struct ScaleAndMinimum {
  int scale, minimum;
};

/// Sub-block `index` (0 to 7) of the twelve bytes that pack eight 6-bit scales and eight 6-bit minima.
ScaleAndMinimum unpackScale(const std::byte *packed, int index) {
  auto at = [&](int i) { return std::to_integer<int>(packed[i]); };
  if (index < 4)
    return {at(index) & 63, at(index + 4) & 63};
  return {(at(index + 4) & 15) | (at(index - 4) >> 6 << 4), (at(index + 4) >> 4) | (at(index) >> 6 << 4)};
}

// d: half, dmin: half, scales: byte[12], [fifth bits: byte[32] for q5_k,] q: byte[128]. Eight sub-blocks of
// 32: bytes 32j to 32j+31 hold sub-block 2j in the low and 2j+1 in the high halves. x = (d * scale) * q -
// (dmin * minimum)
template <bool fiveBits> void decodeQ45K(const std::byte *block, float *out) {
  float scale = loadHalf(block), minimum = loadHalf(block + 2);
  const std::byte *high = block + 16, *low = block + (fiveBits ? 48 : 16);
  for (int sub = 0; sub < 8; ++sub) {
    ScaleAndMinimum packed = unpackScale(block + 4, sub);
    float d = scale * static_cast<float>(packed.scale), m = minimum * static_cast<float>(packed.minimum);
    for (int i = 0; i < 32; ++i) {
      std::byte byte = low[sub / 2 * 32 + i];
      int q = sub % 2 ? highNibble(byte) : lowNibble(byte);
      if constexpr (fiveBits)
        q |= fifthBit(std::to_integer<uint32_t>(high[i]), sub);
      out[sub * 32 + i] = d * static_cast<float>(q) - m;
    }
  }
}

// low: byte[128], high: byte[64], scales: int8[16], d: half. Two halves of 128; in each, quarter k (32
// elements) takes its low four bits from low[32 * (k % 2) + i], low half for k < 2, and its high two from
// bits 2k of high[i]. x = (d * scale) * (q - 32), one scale for 16 elements
void decodeQ6K(const std::byte *block, float *out) {
  float d = loadHalf(block + 208);
  for (int half = 0; half < 2; ++half)
    for (int quarter = 0; quarter < 4; ++quarter)
      for (int i = 0; i < 32; ++i) {
        std::byte low = block[half * 64 + quarter % 2 * 32 + i];
        int high = std::to_integer<int>(block[128 + half * 32 + i]) >> (2 * quarter) & 3;
        int q = (quarter < 2 ? lowNibble(low) : highNibble(low)) | high << 4;
        auto scale = load<int8_t>(block + 192 + half * 8 + quarter * 2 + i / 16);
        out[half * 128 + quarter * 32 + i] = d * static_cast<float>(scale) * static_cast<float>(q - 32);
      }
}

template <typename Stored, typename Value> void convert(const std::byte *bytes, std::span<Value> values) {
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<Value>(load<Stored>(bytes + i * sizeof(Stored)));
}

using BlockDecoder = void (*)(const std::byte *block, float *out);

BlockDecoder blockDecoder(DType dtype) {
  switch (dtype) {
  case DType::q8_0:
    return decodeQ8_0;
  case DType::q4_0:
    return decodeQ4_0;
  case DType::q4_1:
    return decodeQ4_1;
  case DType::q5_0:
    return decodeQ5_0;
  case DType::q5_1:
    return decodeQ5_1;
  case DType::q4_k:
    return decodeQ45K<false>;
  case DType::q5_k:
    return decodeQ45K<true>;
  case DType::q6_k:
    return decodeQ6K;
  default:
    return nullptr;
  }
}

template <typename Value>
void decode(DType dtype, std::span<const std::byte> bytes, std::span<Value> values) {
  [[maybe_unused]] BlockLayout layout = layoutOf(dtype);
  assert(values.size() % layout.elements == 0 &&
         bytes.size() == values.size() / layout.elements * layout.bytes &&
         "bytes and values must be the same whole blocks");
  if (BlockDecoder decoder = blockDecoder(dtype)) {
    float block[256];
    for (size_t start = 0; start < values.size(); start += layout.elements) {
      decoder(bytes.data() + start / layout.elements * layout.bytes, block);
      for (size_t i = 0; i < layout.elements; ++i)
        values[start + i] = block[i];
    }
    return;
  }
  switch (dtype) {
  case DType::f32:
    return convert<float>(bytes.data(), values);
  case DType::f64:
    return convert<double>(bytes.data(), values);
  case DType::i8:
    return convert<int8_t>(bytes.data(), values);
  case DType::u8:
    return convert<uint8_t>(bytes.data(), values);
  case DType::i16:
    return convert<int16_t>(bytes.data(), values);
  case DType::i32:
    return convert<int32_t>(bytes.data(), values);
  case DType::i64:
    return convert<int64_t>(bytes.data(), values);
  case DType::boolean:
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = bytes[i] != std::byte{0} ? 1 : 0;
    return;
  case DType::f16:
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = loadHalf(bytes.data() + 2 * i);
    return;
  case DType::bf16:
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = std::bit_cast<float>(static_cast<uint32_t>(load<uint16_t>(bytes.data() + 2 * i)) << 16);
    return;
  case DType::f8e4m3:
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = e4m3::decode(static_cast<uint8_t>(bytes[i]));
    return;
  default:
    assert(false && "every dtype has a decoder");
  }
}

} // namespace

float halfToFloat(uint16_t bits) {
  uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16, exponent = bits >> 10 & 31,
           mantissa = bits & 0x3ff;
  if (exponent == 0) { // zero and subnormals: a multiple of 2^-24
    float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  uint32_t rebased = exponent == 31 ? 255 : exponent + (127 - 15);
  return std::bit_cast<float>(sign | rebased << 23 | mantissa << 13);
}

void decodeElements(DType dtype, std::span<const std::byte> bytes, std::span<float> values) {
  decode(dtype, bytes, values);
}

void decodeElements(DType dtype, std::span<const std::byte> bytes, std::span<double> values) {
  decode(dtype, bytes, values);
}

} // namespace transom
