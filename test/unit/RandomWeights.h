// Random weights in every storage form, with their decoded numbers.
#pragma once

#include "compiler/import/files/BlockDecode.h"

#include <cstring>
#include <random>

namespace transom::test {

/// Rows of random weights in their storage form, and decoded.
struct Weights {
  std::vector<std::byte> bytes;
  std::vector<float> values;
};

/// Random bytes, but with every half that is a scale in [2^-8, 2^-5) or so: no infinities.
inline Weights randomWeights(std::mt19937 &random, DType type, int64_t rows, int64_t width) {
  BlockLayout layout = layoutOf(type);
  Weights weights{std::vector<std::byte>(size_t(rows * width / layout.elements * layout.bytes)),
                  std::vector<float>(size_t(rows * width))};
  for (std::byte &byte : weights.bytes)
    byte = std::byte(random());
  auto setHalf = [&](size_t at) {
    uint16_t bits = uint16_t((random() & 0x83ff) | (0x1c00 + (random() % 3) * 0x400));
    std::memcpy(&weights.bytes[at], &bits, 2);
  };
  for (size_t at = 0; at < weights.bytes.size(); at += layout.bytes) {
    if (type == DType::f32) {
      float value = float(random() % 2001) / 1000.0f - 1.0f;
      std::memcpy(&weights.bytes[at], &value, 4);
    } else if (type == DType::bf16) {
      uint16_t bits = uint16_t((random() & 0x80ff) | 0x3f00);
      std::memcpy(&weights.bytes[at], &bits, 2);
    } else {
      setHalf(type == DType::q6_k ? at + 208 : at);
      if (type == DType::q4_1 || type == DType::q5_1 || type == DType::q4_k || type == DType::q5_k)
        setHalf(at + 2);
    }
  }
  decodeElements(type, weights.bytes, std::span<float>(weights.values));
  return weights;
}

} // namespace transom::test
