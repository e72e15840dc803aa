// E4M3 against another formulation: the table of all its numbers, written down by the specification's formula, and the nearest of them.
#include "runtime/format/E4m3.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace transom {
namespace {

/// OFP8, table 1: exponents are biased by 7; without one numbers are multiples of 2^-9; all ones is NaN.
double valueOf(int code) {
  int exponent = code >> 3 & 15, mantissa = code & 7;
  double size = (code & 127) == 127 ? std::numeric_limits<double>::quiet_NaN()
                : exponent == 0     ? std::ldexp(mantissa, -9)
                                    : std::ldexp(1 + mantissa / 8.0, exponent - 7);
  return code & 128 ? -size : size;
}

/// By trying all: of two that are as near the one with an even code.
int nearestCode(float x) {
  int best = 0;
  double size = std::abs(double(x));
  for (int code = 1; code < 127; ++code) {
    double apart = std::abs(valueOf(code) - size), least = std::abs(valueOf(best) - size);
    if (apart < least || (apart == least && code % 2 == 0))
      best = code;
  }
  return best | (std::signbit(x) ? 128 : 0);
}

TEST(E4m3, EveryCodeIsItself) {
  for (int code = 0; code < 256; ++code) {
    float value = e4m3::decode(uint8_t(code));
    if (std::isnan(valueOf(code))) {
      EXPECT_TRUE(std::isnan(value)) << code;
      continue;
    }
    EXPECT_EQ(value, valueOf(code)) << code;
    EXPECT_EQ(e4m3::round(value), value) << code;
    EXPECT_EQ(e4m3::encode(value), code);
  }
}

TEST(E4m3, RoundsToTheNearest) {
  std::mt19937 random(3);
  std::vector<float> numbers;
  for (int i = 0; i < 20000; ++i)
    numbers.push_back(std::ldexp(std::uniform_real_distribution<float>(-2, 2)(random), std::uniform_int_distribution<int>(-16, 10)(random)));
  for (int code = 0; code < 126; ++code) { // the middle of two numbers, and its neighbours
    auto middle = float((valueOf(code) + valueOf(code + 1)) / 2);
    for (float x : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)})
      numbers.insert(numbers.end(), {x, -x});
  }
  for (float x : numbers) {
    EXPECT_EQ(e4m3::round(x), valueOf(nearestCode(x))) << x;
    EXPECT_EQ(e4m3::encode(e4m3::round(x)), nearestCode(x)) << x;
  }
}

TEST(E4m3, SaturatesAndKeepsNan) {
  constexpr float infinite = std::numeric_limits<float>::infinity();
  for (float x : {449.0f, 465.0f, 1e30f, infinite}) {
    EXPECT_EQ(e4m3::round(x), 448.0f);
    EXPECT_EQ(e4m3::round(-x), -448.0f);
  }
  EXPECT_TRUE(std::isnan(e4m3::round(std::nanf(""))));
  EXPECT_EQ(e4m3::encode(std::nanf("")) & 127, 127);
}

// A scale brings the largest magnitude to 448, never over it by more than rounding, and has an inverse however small that is.
TEST(E4m3, Scales) {
  for (float top : {1.0f, 448.0f, 3.3e38f, 1e-30f, 1e-44f, 0.0f}) {
    float scale = e4m3::scaleFor(top), inverse = 1.0f / scale;
    EXPECT_TRUE(std::isfinite(scale) && std::isfinite(inverse)) << top;
    EXPECT_LE(top * inverse, 448.001f) << top;
    if (top > 1e-30f) {
      EXPECT_GE(top * inverse, 447.999f) << top;
    }
  }
  EXPECT_TRUE(std::isnan(e4m3::scaleFor(std::nanf(""))));
}

} // namespace
} // namespace transom
