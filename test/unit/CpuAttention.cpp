// Attention and rotary embedding as compiled CPU kernels, against direct fp64 formulas.
#include "CompiledKernels.h"

#include <algorithm>

namespace transom::test {
namespace {

class CpuAttention : public CpuLevelTest {};

struct Case {
  int64_t batch, heads, kvHeads, queries, keys, dim;
  double scale = 1.0, softcap = 0.0;
  bool causal = false;
  int64_t window = 0;
};

/// softmax(scale * q k^T ...) v for one query; allowed and bias by key.
template <typename Key, typename Value, typename Allowed, typename Bias>
void attend(const Case &c, const float *q, Key key, Value value, Allowed allowed, Bias bias, double *y) {
  std::vector<double> weights(size_t(c.keys));
  double sum = 0, top = -INFINITY;
  for (int64_t j = 0; j < c.keys; ++j) {
    double dot = 0;
    for (int64_t d = 0; allowed(j) && d < c.dim; ++d)
      dot += double(q[d]) * double(key(j)[d]);
    dot *= c.scale;
    dot = c.softcap > 0 ? c.softcap * std::tanh(dot / c.softcap) : dot;
    weights[size_t(j)] = allowed(j) ? dot + bias(j) : -INFINITY;
    top = std::max(top, weights[size_t(j)]);
  }
  std::fill(y, y + c.dim, 0.0);
  if (top == -INFINITY)
    return;
  for (double &weight : weights)
    sum += weight = std::exp(weight - top);
  for (int64_t j = 0; j < c.keys; ++j)
    for (int64_t d = 0; allowed(j) && d < c.dim; ++d)
      y[d] += weights[size_t(j)] / sum * double(value(j)[d]);
}

// Padded batches: grouped heads, mask with a fully masked row, bias broadcast over heads, causal with past, odd sizes.
TEST_P(CpuAttention, PaddedHeadsFirst) {
  Case c{2, 6, 2, 5, 37, 24, 0.3, 5.0, true, 20};
  CompiledKernels kernels(R"(
plan.kernel @attention(%q: tensor<?x6x?x24xf32>, %k: tensor<?x2x?x24xf32>, %v: tensor<?x2x?x24xf32>, %m: tensor<?x?xi32>,
    %b: tensor<1x1x?x?xf32>) -> tensor<?x6x?x24xf32> {
  %0 = transom.attention bhsd %q, %k, %v mask %m bias %b {causal, scale = 0.3 : f64, softcap = 5.0 : f64, window = 20 : i64}
    : (tensor<?x6x?x24xf32>, tensor<?x2x?x24xf32>, tensor<?x2x?x24xf32>, tensor<?x?xi32>, tensor<1x1x?x?xf32>) -> tensor<?x6x?x24xf32>
  plan.yield %0 : tensor<?x6x?x24xf32>
})", GetParam());
  ASSERT_TRUE(kernels);
  size_t rows = size_t(c.batch * c.heads * c.queries), keyRows = size_t(c.batch * c.kvHeads * c.keys);
  Buffer<float> q(randoms(rows * 24)), k(randoms(keyRows * 24)), v(randoms(keyRows * 24)), bias(randoms(5 * 37)), y(rows * 24);
  Buffer<int32_t> mask(size_t(2 * 37));
  for (size_t i = 0; i < mask.size(); ++i)
    mask[i] = i < 37 ? random() % 4 != 0 : 0;
  kernels.run("attention", {q, k, v, mask, bias, y}, {2, 5, 2, 37, 2, 37, 2, 37, 5, 37, 2, 5}, int64_t(rows));
  std::vector<double> expected(rows * 24);
  for (int64_t row = 0; row < int64_t(rows); ++row) {
    int64_t query = row % 5, batch = row / 30, own = query + 32, kvHead = batch * 2 + row / 5 % 6 / 3;
    auto key = [&](int64_t j) { return &k[size_t((kvHead * 37 + j) * 24)]; };
    auto value = [&](int64_t j) { return &v[size_t((kvHead * 37 + j) * 24)]; };
    auto allowed = [&](int64_t j) { return j <= own && j > own - 20 && mask[size_t(batch * 37 + j)] != 0; };
    attend(c, &q[size_t(row * 24)], key, value, allowed, [&](int64_t j) { return double(bias[size_t(query * 37 + j)]); },
           &expected[size_t(row * 24)]);
  }
  expectNear(y, expected, 5e-6);
}

// Caches: each row has its own past and length; queries behind a row's length may hold anything but touch nothing else.
TEST_P(CpuAttention, CachedSequencesFirst) {
  Case c{3, 4, 2, 3, 40, 64, 0.125, 0.0, true};
  CompiledKernels kernels(R"(
plan.kernel @attention(%q: tensor<?x?x4x64xf32>, %k: !transom.cache<?x2x40x64xf32>, %v: !transom.cache<?x2x40x64xf32>,
    %p: tensor<?xi32>, %l: tensor<?xi32>) -> tensor<?x?x4x64xf32> {
  %0 = transom.attention bshd %q, %k, %v past %p lengths %l {causal, scale = 0.125 : f64}
    : (tensor<?x?x4x64xf32>, !transom.cache<?x2x40x64xf32>, !transom.cache<?x2x40x64xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x?x4x64xf32>
  plan.yield %0 : tensor<?x?x4x64xf32>
})", GetParam());
  ASSERT_TRUE(kernels);
  Buffer<float> q(randoms(3 * 3 * 4 * 64)), k(3 * 2 * 40 * 64), v(3 * 2 * 40 * 64), y(3 * 3 * 4 * 64); // stale slots: NaN
  std::vector<int32_t> past = {0, 17, 37}, lengths = {3, 1, 3};
  Buffer<int32_t> pasts(past), lengthBuffer(lengths);
  for (int64_t row = 0; row < 6; ++row)
    for (int64_t i = 0; i < (past[size_t(row / 2)] + lengths[size_t(row / 2)]) * 64; ++i)
      k[size_t(row * 40 * 64 + i)] = randoms(1)[0], v[size_t(row * 40 * 64 + i)] = randoms(1)[0];
  kernels.run("attention", {q, k, v, pasts, lengthBuffer, y}, {3, 3, 3, 3, 3, 3, 3, 3}, 36);
  for (int64_t batch = 0; batch < 3; ++batch)
    for (int64_t query = 0; query < lengths[size_t(batch)]; ++query)
      for (int64_t head = 0; head < 4; ++head) {
        std::vector<double> expected(64);
        int64_t row = (batch * 3 + query) * 4 + head, kvHead = batch * 2 + head / 2;
        attend(c, &q[size_t(row * 64)], [&](int64_t j) { return &k[size_t((kvHead * 40 + j) * 64)]; },
               [&](int64_t j) { return &v[size_t((kvHead * 40 + j) * 64)]; },
               [&](int64_t j) { return j <= past[size_t(batch)] + query; }, [](int64_t) { return 0.0; }, expected.data());
        for (size_t d = 0; d < 64; ++d)
          ASSERT_NEAR(y[size_t(row * 64) + d], expected[d], 5e-6) << row << " " << d;
      }
}

// Both pairings, partial dims, frequency factors, positions far out.
TEST_P(CpuAttention, Rotary) {
  CompiledKernels kernels(R"(
plan.kernel @halves(%x: tensor<?x2x?x24xf32>, %p: tensor<?x?xi32>, %f: tensor<10xf32>) -> tensor<?x2x?x24xf32> {
  %0 = transom.rotary bhsd %x, %p factors %f dims 20 base 10000.0 : (tensor<?x2x?x24xf32>, tensor<?x?xi32>, tensor<10xf32>) -> tensor<?x2x?x24xf32>
  plan.yield %0 : tensor<?x2x?x24xf32>
}
plan.kernel @interleaved(%x: tensor<?x2x16xf32>, %p: tensor<?xi32>) -> tensor<?x2x16xf32> {
  %0 = transom.rotary thd %x, %p dims 16 base 500000.0 interleaved {scale = 0.5 : f64} : (tensor<?x2x16xf32>, tensor<?xi32>) -> tensor<?x2x16xf32>
  plan.yield %0 : tensor<?x2x16xf32>
})", GetParam());
  ASSERT_TRUE(kernels);
  auto rotate = [](const float *x, double position, int64_t dims, int64_t dim, double base, double scale, const float *factors,
                   bool interleaved, double *y) {
    for (int64_t i = 0; i < dim; ++i)
      y[i] = double(x[i]);
    for (int64_t i = 0; i < dims / 2; ++i) {
      double angle = position * scale * std::pow(base, -2.0 * double(i) / double(dims)) / (factors ? double(factors[i]) : 1.0);
      int64_t a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + dims / 2;
      y[a] = double(x[a]) * std::cos(angle) - double(x[b]) * std::sin(angle);
      y[b] = double(x[b]) * std::cos(angle) + double(x[a]) * std::sin(angle);
    }
  };
  Buffer<float> x(randoms(3 * 2 * 4 * 24)), y(3 * 2 * 4 * 24), factors(randoms(10)), packed(randoms(12 * 32)), z(12 * 32);
  Buffer<int32_t> positions(12);
  for (size_t i = 0; i < 12; ++i)
    positions[i] = int32_t(random() % 100000);
  kernels.run("halves", {x, positions, factors, y}, {3, 4, 3, 4, 3, 4}, 24);
  kernels.run("interleaved", {packed, positions, z}, {12, 12, 12}, 24);
  std::vector<double> expectedY(y.size()), expectedZ(z.size());
  for (size_t row = 0; row < 24; ++row) {
    rotate(&x[row * 24], positions[row / 8 * 4 + row % 4], 20, 24, 10000.0, 1.0, factors.data, false, &expectedY[row * 24]);
    rotate(&packed[row * 16], positions[row / 2], 16, 16, 500000.0, 0.5, nullptr, true, &expectedZ[row * 16]);
  }
  expectNear(y, expectedY, 2e-6);
  expectNear(z, expectedZ, 2e-6);
}

INSTANTIATE_TEST_SUITE_P(Levels, CpuAttention, testing::Values("x86-64-v3", "x86-64-v4"));

} // namespace
} // namespace transom::test
