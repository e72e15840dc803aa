// Weights in the CPU skeletons: matrix-vector products, unpacking and embedding lookup for every storage type, against
// the reference decoder and fp64 sums. Random blocks each run, poisoned outputs.
#include "KernelLibrary.h"
#include "RandomWeights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace transom::test {
namespace {

constexpr DType storageTypes[] = {DType::f32,  DType::f16,  DType::bf16, DType::q8_0, DType::q4_0, DType::q4_1,
                                  DType::q5_0, DType::q5_1, DType::q4_k, DType::q5_k, DType::q6_k};

class CpuGemv : public testing::TestWithParam<int> {
protected:
  void SetUp() override {
    if (!library)
      GTEST_SKIP() << "this CPU lacks x86-64-v" << GetParam();
    RecordProperty("seed", int(seed));
  }
  KernelLibrary library = KernelLibrary::open(TRANSOM_KERNEL_DIRECTORY, GetParam());
  unsigned seed = std::random_device()();
  std::mt19937 random{seed};
};

using Gemv = void(const float *, const std::byte *, float *, int64_t m, int64_t n, int64_t k, int64_t, int64_t);

// Every type, row counts around the tile sizes, widths that need a tail or several tiles; items in two calls.
TEST_P(CpuGemv, MatchesReference) {
  for (DType type : storageTypes)
    for (int64_t m : {1, 2, 3, 4, 16, 37})
      for (auto [n, k] : {std::pair<int64_t, int64_t>{16, 256}, {37, 1280}, {5, 4096}}) {
        if (layoutOf(type).elements == 1)
          k -= 3;
        Weights weights = randomWeights(random, type, n, k);
        std::vector<float> x = randomFloats(random, size_t(m * k)), y(size_t(m * n), NAN);
        auto *gemv = library.get<Gemv>("gemv_" + std::string(name(type)));
        ASSERT_NE(gemv, nullptr) << name(type);
        int64_t items = (n + 15) / 16;
        gemv(x.data(), weights.bytes.data(), y.data(), m, n, k, 0, items / 2);
        gemv(x.data(), weights.bytes.data(), y.data(), m, n, k, items / 2, items);
        std::vector<double> expected(y.size());
        for (int64_t row = 0; row < m; ++row)
          for (int64_t column = 0; column < n; ++column)
            for (int64_t i = 0; i < k; ++i)
              expected[size_t(row * n + column)] +=
                  double(x[size_t(row * k + i)]) * double(weights.values[size_t(column * k + i)]);
        EXPECT_LT(relativeError(y, expected), 2e-6)
            << name(type) << " m=" << m << " n=" << n << " k=" << k << " seed " << seed;
      }
}

// Decoded rows are those of the reference, bit for bit (-0 aside).
TEST_P(CpuGemv, UnpacksExactly) {
  for (DType type : storageTypes) {
    int64_t rows = 5, width = layoutOf(type).elements == 1 ? 517 : 768;
    Weights weights = randomWeights(random, type, rows, width);
    std::vector<float> y(weights.values.size(), NAN);
    library.get<void(const std::byte *, float *, int64_t, int64_t, int64_t)>(
        "unpack_" + std::string(name(type)))(weights.bytes.data(), y.data(), width, 0, rows);
    for (size_t i = 0; i < y.size(); ++i)
      ASSERT_EQ(y[i], weights.values[i]) << name(type) << " at " << i << " seed " << seed;
  }
}

// Embedding rows by index; indices outside the table give zeros.
TEST_P(CpuGemv, LooksUpEmbeddings) {
  for (DType type : storageTypes) {
    int64_t rows = 9, width = 256;
    Weights weights = randomWeights(random, type, rows, width);
    std::vector<int32_t> indices = {3, 8, 0, -1, 9, 3};
    std::vector<float> y(indices.size() * size_t(width), NAN);
    library.get<void(const std::byte *, const int32_t *, float *, int64_t, int64_t, int64_t, int64_t)>(
        "embedding_" + std::string(name(type)) + "_i32")(weights.bytes.data(), indices.data(), y.data(), rows, width,
                                                         0, int64_t(indices.size()));
    for (size_t i = 0; i < y.size(); ++i) {
      int32_t row = indices[i / size_t(width)];
      float expected = row < 0 || row >= rows ? 0.0f : weights.values[size_t(row * width) + i % size_t(width)];
      ASSERT_EQ(y[i], expected) << name(type) << " at " << i << " seed " << seed;
    }
  }
}

// q8_0 blocks: scale max|x| / 127 in fp16, halves away from zero; a block of zeros stays one.
TEST_P(CpuGemv, QuantizesToQ80) {
  std::vector<float> x = randomFloats(random, 64);
  std::fill(x.begin() + 32, x.end(), 0.0f);
  x[0] = 127.0f, x[1] = 2.5f, x[2] = -2.5f;
  std::vector<std::byte> blocks(68, std::byte(0xee));
  library.get<void(const float *, std::byte *, int64_t, int64_t, int64_t)>("quantize_q8_0")(x.data(), blocks.data(),
                                                                                           64, 0, 1);
  std::vector<float> back(64);
  decodeElements(DType::q8_0, blocks, std::span<float>(back));
  EXPECT_EQ(back[0], 127.0f);
  EXPECT_EQ(back[1], 3.0f);
  EXPECT_EQ(back[2], -3.0f);
  for (size_t i = 32; i < 64; ++i)
    EXPECT_EQ(back[i], 0.0f);
}

INSTANTIATE_TEST_SUITE_P(Levels, CpuGemv, testing::Values(3, 4));

} // namespace
} // namespace transom::test
