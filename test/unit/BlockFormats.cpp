// Decoding of every element type: block formats bit by bit against vectors from an outside decoder
// (data/make_block_vectors.py), plain types against the arithmetic of their definition.
#include "compiler/import/files/BlockDecode.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

using namespace transom;

namespace {

std::vector<std::byte> fromHex(const std::string &text) {
  std::vector<std::byte> out;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    out.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return out;
}

template <typename T> std::span<const std::byte> bytesOf(const std::vector<T> &values) {
  return std::as_bytes(std::span(values));
}

// Every bit of every decoded number is the outside decoder's.
TEST(BlockFormats, matchOutsideDecoder) {
  const char *path = std::getenv("TRANSOM_BLOCK_VECTORS");
  std::ifstream file(path ? path : TRANSOM_TEST_DATA "/block_vectors.txt");
  ASSERT_TRUE(file);
  std::map<std::string, int> seen;
  for (std::string line; std::getline(file, line);) {
    std::string format, blockHex, numbersHex;
    std::istringstream(line) >> format >> blockHex >> numbersHex;
    auto dtype = parseDType(format);
    ASSERT_TRUE(dtype) << format;
    std::vector<std::byte> block = fromHex(blockHex), expected = fromHex(numbersHex);
    ASSERT_EQ(block.size(), layoutOf(*dtype).bytes);
    std::vector<float> numbers(layoutOf(*dtype).elements);
    decodeElements(*dtype, block, std::span<float>(numbers));
    ASSERT_EQ(expected.size(), 4 * numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i) {
      uint32_t want;
      std::memcpy(&want, expected.data() + 4 * i, 4);
      ASSERT_EQ(std::bit_cast<uint32_t>(numbers[i]), want)
          << format << " element " << i << " of " << blockHex;
    }
    ++seen[format];
  }
  EXPECT_EQ(seen.size(), 8u) << "every block format has vectors";
}

// All 65536 halves: value = (-1)^s * 2^(e-15) * (1 + m/1024), subnormals 2^-14 * m/1024.
TEST(BlockFormats, halves) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    float value = halfToFloat(static_cast<uint16_t>(bits));
    int exponent = static_cast<int>(bits >> 10 & 31), mantissa = static_cast<int>(bits & 1023);
    EXPECT_EQ(std::signbit(value), bits >> 15 == 1);
    if (exponent == 31) {
      EXPECT_TRUE(mantissa ? std::isnan(value) : std::isinf(value));
      continue;
    }
    double expected = exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
    EXPECT_EQ(std::abs(value), expected);
  }
}

// Plain types convert by value; double keeps what float cannot.
TEST(BlockFormats, plainTypes) {
  std::vector<float> one(1);
  std::vector<double> wide(1);
  decodeElements(DType::bf16, bytesOf(std::vector<uint16_t>{0xC040}), std::span<float>(one));
  EXPECT_EQ(one[0], -3.0f);
  decodeElements(DType::i8, bytesOf(std::vector<int8_t>{-128}), std::span<float>(one));
  EXPECT_EQ(one[0], -128.0f);
  decodeElements(DType::u8, bytesOf(std::vector<uint8_t>{255}), std::span<float>(one));
  EXPECT_EQ(one[0], 255.0f);
  decodeElements(DType::i16, bytesOf(std::vector<int16_t>{-32768}), std::span<float>(one));
  EXPECT_EQ(one[0], -32768.0f);
  decodeElements(DType::boolean, bytesOf(std::vector<uint8_t>{2}), std::span<float>(one));
  EXPECT_EQ(one[0], 1.0f);
  decodeElements(DType::i32, bytesOf(std::vector<int32_t>{(1 << 24) + 1}), std::span<double>(wide));
  EXPECT_EQ(wide[0], (1 << 24) + 1);
  decodeElements(DType::f64, bytesOf(std::vector<double>{1.0 / 3}), std::span<double>(wide));
  EXPECT_EQ(wide[0], 1.0 / 3);
  decodeElements(DType::i64, bytesOf(std::vector<int64_t>{1ll << 40}), std::span<double>(wide));
  EXPECT_EQ(wide[0], std::ldexp(1, 40));
}

// Sizes of dense tensors, and what is no size.
TEST(BlockFormats, sizes) {
  auto bytes = [](DType dtype, std::vector<int64_t> shape) { return bytesFor(dtype, shape); };
  EXPECT_EQ(bytes(DType::q4_1, {3, 64}).value(), 3u * 2 * 20);
  EXPECT_EQ(bytes(DType::q6_k, {2, 256}).value(), 2u * 210);
  EXPECT_EQ(bytes(DType::f64, {}).value(), 8u);
  EXPECT_EQ(bytes(DType::f32, {0, 5}).value(), 0u);
  EXPECT_FALSE(bytes(DType::q4_1, {64, 3}).valid());
  EXPECT_FALSE(bytes(DType::q8_0, {}).valid());
  EXPECT_FALSE(bytes(DType::f32, {-1, 4}).valid());
  EXPECT_FALSE(bytes(DType::f32, {std::numeric_limits<int64_t>::max(), 4}).valid());
}

// Names and values are one to one.
TEST(BlockFormats, names) {
  for (uint8_t value = 0; value < dtypeCount; ++value)
    EXPECT_EQ(parseDType(name(static_cast<DType>(value))), static_cast<DType>(value));
  EXPECT_FALSE(parseDType("q2_k"));
}

} // namespace
