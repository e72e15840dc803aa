// Buckets of sizes; those from lengths of texts: against every choice there is, and what a file of lengths may hold.
#include "compiler/Buckets.h"

#include "runtime/format/Buckets.h"
#include "test/unit/ArtifactFixture.h"

#include <cmath>
#include <fstream>

using namespace transom;
using namespace transom::test;

namespace {

/// Expected tokens that are computed with `buckets`, by counting all batches.
double computed(const std::vector<int64_t> &lengths, int64_t maxBatch, const artifact::Symbol &tokens) {
  double sum = 0;
  for (int64_t batch = 1; batch <= maxBatch; ++batch) {
    auto count = static_cast<size_t>(std::pow(lengths.size(), batch));
    for (size_t i = 0; i < count; ++i) {
      int64_t total = 0;
      for (size_t rest = i, row = 0; row < static_cast<size_t>(batch); ++row, rest /= lengths.size())
        total += lengths[rest % lengths.size()];
      sum += double(artifact::bucketOf(total, tokens)) / double(count) / double(maxBatch);
    }
  }
  return sum;
}

// Buckets waste at most an eighth beyond 64, less beyond 4096, never pass the bounds, and leave powers of two alone.
TEST(CudaBuckets, Sizes) {
  artifact::Symbol batch{"batch", 1, 48}, seq{"seq", 0, 5000}, tokens{"tokens", 0, 200000};
  for (auto [value, bucket] : {std::pair(1, 1), {3, 4}, {8, 8}, {9, 16}, {33, 48}, {47, 48}, {48, 48}})
    EXPECT_EQ(artifact::bucketOf(value, batch), bucket);
  for (auto [value, bucket] : {std::pair(0, 0), {1, 1}, {2, 2}, {3, 16}, {16, 16}, {17, 32}, {33, 48}, {49, 64}, {65, 72}, {72, 72}, {127, 128},
                               {129, 144}, {1025, 1152}, {4097, 4352}, {4999, 5000}, {5000, 5000}})
    EXPECT_EQ(artifact::bucketOf(value, seq), bucket) << value;
  for (int64_t value = 65; value <= 5000; ++value) {
    int64_t bucket = artifact::bucketOf(value, seq);
    ASSERT_GE(bucket, value);
    ASSERT_LE(bucket, std::min<int64_t>(5000, value + value / 8)) << value;
    ASSERT_EQ(artifact::bucketOf(bucket, seq), bucket);
  }
  for (auto [value, bucket] : {std::pair(8193, 8448), {17598, 17664}, {32767, 32768}, {32769, 33280}, {65537, 66560}, {131073, 133120}, {199900, 200000}})
    EXPECT_EQ(artifact::bucketOf(value, tokens), bucket) << value;
  for (int64_t value = 4097; value <= 200000; value += 7)
    ASSERT_LE(artifact::bucketOf(value, tokens), value + std::max<int64_t>(255, value / 64)) << value;
  for (auto [symbol, count] : {std::pair(batch, 7), {seq, 5 + 3 + 48 + 4}, {tokens, 5 + 3 + 48 + 16 + 32 + 64 + 64 + 64 + 34}})
    EXPECT_EQ(artifact::countBuckets(symbol), count) << symbol.name;
  EXPECT_EQ(artifact::bucketOf(129, seq, /*coarse=*/true), 256);
  EXPECT_EQ(artifact::bucketOf(4500, seq, /*coarse=*/true), 5000);
  seq.buckets = {7, 100, 5000};
  for (auto [value, bucket] : {std::pair(0, 0), {1, 7}, {7, 7}, {8, 100}, {64, 100}, {101, 5000}, {5000, 5000}})
    EXPECT_EQ(artifact::bucketOf(value, seq), bucket) << value;
}

TEST(Buckets, NoChoiceWastesLess) {
  std::vector<int64_t> lengths = {2, 3, 3, 7};
  artifact::Symbol tokens{"tokens", 0, 21};
  for (size_t count : {1, 2, 3}) {
    BucketChoice choice = chooseBuckets(lengths, 3, tokens, count);
    ASSERT_EQ(choice.sizes.size(), count);
    ASSERT_EQ(choice.sizes.back(), 21);
    tokens.buckets = choice.sizes;
    double least = computed(lengths, 3, tokens);
    for (int64_t a = 1; a < 21; ++a)
      for (int64_t b = a + 1; b < 21; ++b) {
        tokens.buckets = count == 1 ? std::vector<int64_t>{21} : count == 2 ? std::vector<int64_t>{a, 21} : std::vector<int64_t>{a, b, 21};
        EXPECT_GE(computed(lengths, 3, tokens), least - 1e-9) << a << " " << b;
      }
    tokens.buckets.clear();
    double live = 3.75 * 2; // a text's mean length, the mean number of texts
    EXPECT_NEAR(choice.waste, 1 - live / least, 1e-9);
    EXPECT_NEAR(choice.plainWaste, 1 - live / computed(lengths, 3, tokens), 1e-9);
  }
}

// More buckets than totals: each has its own, and nothing is wasted.
TEST(Buckets, AsManyAsTotals) {
  BucketChoice choice = chooseBuckets(std::vector<int64_t>{5}, 2, {"tokens", 0, 10}, 32);
  EXPECT_EQ(choice.sizes, (std::vector<int64_t>{5, 10}));
  EXPECT_EQ(choice.waste, 0);
}

TEST(Buckets, LargeBounds) {
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < 1000; ++i)
    lengths.push_back(16 + i % 497);
  const artifact::Symbol tokens{"tokens", 0, 32768};
  BucketChoice choice = chooseBuckets(lengths, 64, tokens, 32);
  EXPECT_EQ(choice.sizes.size(), 32u);
  EXPECT_LT(choice.waste, 0.04);
  ASSERT_GT(artifact::countBuckets(tokens), 96);
  choice = chooseBuckets(lengths, 64, tokens, 96); // fewer than the runtime's own, and better
  EXPECT_EQ(choice.sizes.size(), 96u);
  EXPECT_LT(choice.waste, choice.plainWaste);
}

TEST(Buckets, FilesOfLengths) {
  TemporaryFolder folder;
  auto read = [&](const std::string &text) {
    std::ofstream(folder.file("lengths")) << text;
    return readLengths(folder.file("lengths"), 512);
  };
  EXPECT_EQ(*read("3\n512\r\n1"), (std::vector<int64_t>{3, 512, 1}));
  for (auto [text, line, found] : {std::tuple("3\n\n4\n", 2, ""), {"513\n", 1, "513"}, {"0", 1, "0"}, {"5\n-2\n", 2, "-2"}, {"4 5\n", 1, "4 5"}, {"99999999999999999999", 1, "99999999999999999999"}})
    EXPECT_EQ(read(text).status().message(), folder.file("lengths") + fmt::format(": line {}: expected a number of tokens from 1 to 512, found \"{}\"", line, found));
  EXPECT_EQ(read("").status().message(), folder.file("lengths") + ": the file is empty");
  EXPECT_FALSE(readLengths(folder.file("none"), 512).ok());
}

} // namespace
