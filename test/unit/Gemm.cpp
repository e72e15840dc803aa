// Matrix products through oneDNN against double-precision sums, whole and in panels.
#include "runtime/cpu/Gemm.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>

using namespace transom;

namespace {

struct Case {
  int64_t m, n, k;
  bool unpack;
};

/// Rows of bytes as f32, k taken from the sizes.
void unpackBytes(void *const *buffers, const int64_t *sizes, int64_t begin, int64_t end, void *) {
  auto *in = static_cast<const int8_t *>(buffers[0]);
  auto *out = static_cast<float *>(buffers[1]);
  for (int64_t i = begin * sizes[0]; i < end * sizes[0]; ++i)
    out[i - begin * sizes[0]] = in[i];
}

class GemmTest : public testing::TestWithParam<Case> {};

} // namespace

// Every element is right to 1e-5 of its row's norm, also where the sizes do not divide into panels.
TEST_P(GemmTest, MatchesReference) {
  auto [m, n, k, unpack] = GetParam();
  auto library = GemmLibrary::get();
  ASSERT_EQ(library.status().message(), "");
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> lhs(static_cast<size_t>(m * k)), rhs(static_cast<size_t>(n * k)), out(static_cast<size_t>(m * n), NAN);
  std::vector<int8_t> packed(rhs.size());
  for (float &x : lhs)
    x = normal(random);
  for (size_t i = 0; i < rhs.size(); ++i) {
    packed[i] = static_cast<int8_t>(random() % 15) - 7;
    rhs[i] = unpack ? packed[i] : normal(random);
  }
  for (uint32_t threads : {1u, 2u, 3u}) {
    ThreadPool pool(threads);
    uint64_t stride = gemmScratch({.n = uint64_t(n), .k = uint64_t(k), .unpacks = unpack}) + 64;
    std::vector<std::byte> scratch(stride * threads);
    GemmTask task{*library, m, n, k, lhs.data(), unpack ? static_cast<void *>(packed.data()) : rhs.data(), out.data(),
                  unpack ? unpackBytes : nullptr, &k};
    std::fill(out.begin(), out.end(), NAN);
    ASSERT_TRUE(runGemm(task, pool, scratch.data(), stride));
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0, norm = 0;
        for (int64_t l = 0; l < k; ++l) {
          double product = double(lhs[static_cast<size_t>(i * k + l)]) * rhs[static_cast<size_t>(j * k + l)];
          sum += product;
          norm += std::abs(product);
        }
        ASSERT_NEAR(out[static_cast<size_t>(i * n + j)], sum, 1e-5 * norm + 1e-6) << i << " " << j;
      }
  }
}

namespace {

/// out[i, :] = product[i, :] + i, n and m taken from the sizes; checks that scratch is there.
void addRow(void *const *buffers, const int64_t *sizes, int64_t begin, int64_t end, void *scratch) {
  auto *product = static_cast<const float *>(buffers[0]);
  auto *out = static_cast<float *>(buffers[1]);
  static_cast<volatile char *>(scratch)[99] = 1;
  for (int64_t row = begin; row < end; ++row)
    for (int64_t i = 0; i < sizes[0]; ++i)
      out[row * sizes[0] + i] = product[row * sizes[0] + i] + float(row);
}

} // namespace

// An epilogue runs once on each row, cut along lhs and along rhs.
TEST_P(GemmTest, RunsTheEpilogue) {
  auto [m, n, k, unpack] = GetParam();
  auto library = GemmLibrary::get();
  ASSERT_EQ(library.status().message(), "");
  std::mt19937 random(9);
  std::vector<float> lhs(static_cast<size_t>(m * k)), rhs(static_cast<size_t>(n * k)), out(static_cast<size_t>(m * n)), plain = out, final = out;
  std::vector<int8_t> packed(rhs.size());
  for (float &x : lhs)
    x = float(random() % 9) - 4;
  for (size_t i = 0; i < rhs.size(); ++i)
    rhs[i] = packed[i] = static_cast<int8_t>(random() % 15) - 7;
  for (uint32_t threads : {1u, 2u, 3u}) {
    ThreadPool pool(threads);
    uint64_t stride = gemmScratch({uint64_t(n), uint64_t(k), unpack, true, 128});
    std::vector<std::byte> scratch(stride * threads);
    void *buffers[] = {out.data(), final.data()};
    GemmTask task{*library, m, n, k, lhs.data(), unpack ? static_cast<void *>(packed.data()) : rhs.data(), plain.data(),
                  unpack ? unpackBytes : nullptr, &k};
    ASSERT_TRUE(runGemm(task, pool, scratch.data(), stride));
    task.out = out.data();
    task.epilogue = addRow;
    task.buffers = buffers;
    task.epilogueSizes = &n;
    std::fill(final.begin(), final.end(), NAN);
    ASSERT_TRUE(runGemm(task, pool, scratch.data(), stride));
    for (size_t i = 0; i < final.size(); ++i) // whole numbers: exact in any order
      ASSERT_EQ(final[i], plain[i] + float(int64_t(i) / n)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, GemmTest,
                         testing::Values(Case{1, 1, 1, false}, Case{3, 5, 7, false}, Case{17, 200, 65, false},
                                         Case{1030, 33, 20, false}, Case{1, 576, 64, true}, Case{19, 193, 2000, true},
                                         Case{40, 50, 5000, true}));
