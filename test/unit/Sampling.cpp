// Sampling against a plain reference that sorts, and the random numbers against their paper's known answers.
#include "runtime/format/Sampling.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <vector>

using namespace transom;
using namespace transom::sampling;

namespace {

/// The kept tokens' probabilities by Hugging Face's definitions, 0 for the others.
std::vector<double> reference(const std::vector<float> &logits, const Options &options) {
  size_t n = logits.size();
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  std::vector<bool> kept(n, true);
  if (options.topK > 0 && static_cast<size_t>(options.topK) < n)
    for (size_t i = 0; i < n; ++i)
      kept[i] = logits[i] >= logits[order[static_cast<size_t>(options.topK) - 1]];
  std::vector<double> p(n);
  double sum = 0;
  for (size_t i = 0; i < n; ++i)
    sum += p[i] = kept[i] ? std::exp((double(logits[i]) - logits[order[0]]) / options.temperature) : 0;
  double above = 0, left = 0;
  for (size_t rank = 0; rank < n; ++rank) {
    double own = p[order[rank]] / sum;
    if (options.topP < 1 && rank > 0 && above >= options.topP)
      p[order[rank]] = 0;
    left += p[order[rank]];
    above += own;
  }
  for (double &x : p)
    x /= left;
  return p;
}

std::vector<float> randomLogits(size_t n, uint32_t seed, bool ties) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(n);
  for (float &x : logits)
    x = ties ? std::round(normal(random)) : normal(random);
  return logits;
}

} // namespace

// The known answers that the authors' Random123 library ships for Philox4x32-10.
TEST(Sampling, PhiloxKnownAnswers) {
  Words zero = philox({{0, 0, 0, 0}}, 0, 0);
  EXPECT_EQ(zero.word[0], 0x6627e8d5u);
  EXPECT_EQ(zero.word[1], 0xe169c58du);
  EXPECT_EQ(zero.word[2], 0xbc57ac4cu);
  EXPECT_EQ(zero.word[3], 0x9b00dbd8u);
  Words pi = philox({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0);
  EXPECT_EQ(pi.word[0], 0xd16cfe09u);
  EXPECT_EQ(pi.word[3], 0x24126ea1u);
}

// The exponential is that of the library.
TEST(Sampling, Exponential) {
  for (double x = 0; x > -44; x -= 0.0137)
    EXPECT_NEAR(expOf(x) / std::exp(x), 1, 1e-12) << x;
  EXPECT_EQ(expOf(-1e30), 0);
  EXPECT_EQ(expOf(-INFINITY), 0);
}

// Greedy takes the first largest; NaN never passes.
TEST(Sampling, Greedy) {
  float logits[] = {1, 3, -2, 3};
  EXPECT_EQ(argmax(logits, 4), 1);
  EXPECT_EQ(sample(logits, 4, {.temperature = 0}, 0.9), 1);
  EXPECT_EQ(sample(logits, 4, {.temperature = 1, .topK = 1}, 0.9), 1);
  logits[2] = NAN;
  EXPECT_EQ(argmax(logits, 4), -1);
  logits[2] = -NAN;
  EXPECT_EQ(sample(logits, 4, {.temperature = 1}, 0.5), -1);
  float masked[] = {-INFINITY, -5, -INFINITY};
  EXPECT_EQ(argmax(masked, 3), 1);
  EXPECT_EQ(sample(masked, 3, {.temperature = 1}, 0.999), 1);
  EXPECT_EQ(argmax(masked, 1), -1);
}

// For every setting, u walks the reference's cumulative distribution.
TEST(Sampling, MatchesReference) {
  for (bool ties : {false, true})
    for (size_t n : {size_t(1), size_t(7), size_t(1000)})
      for (float temperature : {0.3f, 1.0f, 2.5f})
        for (int32_t topK : {0, 2, 40, 5000})
          for (float topP : {1.0f, 0.95f, 0.4f, 0.0f}) {
            std::vector<float> logits = randomLogits(n, static_cast<uint32_t>(n) + 17u * ties, ties);
            Options options{temperature, topK, topP};
            std::vector<double> p = reference(logits, options);
            double before = 0;
            for (size_t i = 0; i < n; ++i) {
              double inside = before + p[i] / 2;
              if (p[i] > 1e-9) {
                ASSERT_EQ(sample(logits.data(), static_cast<int64_t>(n), options, inside), static_cast<int64_t>(i))
                    << n << " " << temperature << " " << topK << " " << topP << " " << ties;
              }
              before += p[i];
            }
          }
}

// The same seed and step give the same number; others give others; the mean is right.
TEST(Sampling, Uniform) {
  EXPECT_EQ(uniform(5, 9, 1), uniform(5, 9, 1));
  EXPECT_NE(uniform(5, 9, 1), uniform(5, 9, 2));
  EXPECT_NE(uniform(5, 9, 1), uniform(5, 10, 1));
  double sum = 0;
  for (uint64_t i = 0; i < 100000; ++i) {
    double u = uniform(123, i, 0);
    ASSERT_TRUE(u >= 0 && u < 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
}
