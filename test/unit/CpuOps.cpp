// The other ops as compiled CPU kernels: products, norms, reductions, copies, tokens. References are plain loops in fp64.
#include "CompiledKernels.h"

#include "runtime/format/E4m3.h"

#include <algorithm>
#include <numeric>

namespace transom::test {
namespace {

class CpuOps : public CpuLevelTest {};

/// plan.kernel @k: `op` on arguments of the given types (written %0, %1, ...).
std::string kernelText(const std::string &name, const std::string &op, const std::vector<std::string> &arguments,
                       const std::string &result) {
  std::string list, types;
  for (size_t i = 0; i < arguments.size(); ++i) {
    list += (i ? ", %a" : "%a") + std::to_string(i) + ": " + arguments[i];
    types += (i ? ", " : "") + arguments[i];
  }
  return "plan.kernel @" + name + "(" + list + ") -> " + result + " {\n  %r = transom." + op + " : (" + types + ") -> " + result +
         "\n  plan.yield %r : " + result + "\n}\n";
}

TEST_P(CpuOps, Norms) {
  CompiledKernels kernels(kernelText("rms", "rms_norm %a0, %a1 epsilon 1.0e-05", {"tensor<?x37xf32>", "tensor<37xf32>"}, "tensor<?x37xf32>") +
                          kernelText("layer", "layer_norm %a0, %a1, %a2 epsilon 1.0e-05",
                                     {"tensor<?x100xf32>", "tensor<100xf32>", "tensor<100xf32>"}, "tensor<?x100xf32>"),
                          GetParam());
  ASSERT_TRUE(kernels);
  Buffer<float> x(randoms(5 * 37)), w(randoms(37)), y(5 * 37), a(randoms(5 * 100)), s(randoms(100)), t(randoms(100)), z(500);
  kernels.run("rms", {x, w, y}, {5, 5}, 5);
  kernels.run("layer", {a, s, t, z}, {5, 5}, 5);
  std::vector<double> rms(y.size()), layer(z.size());
  for (size_t row = 0; row < 5; ++row) {
    double squares = 0, mean = 0, variance = 0;
    for (size_t i = 0; i < 37; ++i)
      squares += double(x[row * 37 + i]) * double(x[row * 37 + i]) / 37;
    for (size_t i = 0; i < 37; ++i)
      rms[row * 37 + i] = double(x[row * 37 + i]) / std::sqrt(squares + 1e-5) * double(w[i]);
    for (size_t i = 0; i < 100; ++i)
      mean += double(a[row * 100 + i]) / 100;
    for (size_t i = 0; i < 100; ++i)
      variance += std::pow(double(a[row * 100 + i]) - mean, 2) / 100;
    for (size_t i = 0; i < 100; ++i)
      layer[row * 100 + i] = (double(a[row * 100 + i]) - mean) / std::sqrt(variance + 1e-5) * double(s[i]) + double(t[i]);
  }
  expectNear(y, rms, 1e-6);
  expectNear(z, layer, 2e-6);
}

// The general product: broadcast batches, both orders of the right side, odd sizes; and a gemv of f16 weights.
TEST_P(CpuOps, Products) {
  CompiledKernels kernels(
      kernelText("plain", "matmul %a0, %a1", {"tensor<?x3x?x?xf32>", "tensor<3x?x?xf32>"}, "tensor<?x3x?x?xf32>") +
          kernelText("transposed", "matmul %a0, %a1 transpose_rhs", {"tensor<?x3x?x?xf32>", "tensor<?x1x?x?xf32>"}, "tensor<?x3x?x?xf32>") +
          kernelText("weight", "matmul %a0, %a1 transpose_rhs", {"tensor<?x?x21xf32>", "tensor<35x21xf16>"}, "tensor<?x?x35xf32>"),
      GetParam());
  ASSERT_TRUE(kernels);
  int64_t m = 7, n = 83, k = 29;
  Buffer<float> a(randoms(size_t(2 * 3 * m * k))), b(randoms(size_t(3 * k * n))), y(size_t(2 * 3 * m * n)), z(size_t(2 * 3 * m * n));
  kernels.run("plain", {a, b, y}, {2, m, k, k, n, 2, m, n}, 2 * 3 * m);
  kernels.run("transposed", {a, b, z}, {2, m, k, 2, n, k, 2, m, n}, 2 * 3 * m);
  std::vector<double> plain(y.size()), transposed(z.size());
  for (int64_t i = 0; i < 2 * 3 * m * n; ++i)
    for (int64_t j = 0; j < k; ++j) {
      int64_t column = i % n, row = i / n, matrix = row / m;
      plain[size_t(i)] += double(a[size_t(row * k + j)]) * double(b[size_t((matrix % 3 * k + j) * n + column)]);
      transposed[size_t(i)] += double(a[size_t(row * k + j)]) * double(b[size_t((matrix / 3 * n + column) * k + j)]);
    }
  expectNear(y, plain, 5e-6);
  expectNear(z, transposed, 5e-6);
  Buffer<float> x(randoms(6 * 21)), v(6 * 35);
  Buffer<uint16_t> w(35 * 21);
  for (size_t i = 0; i < w.size(); ++i)
    w[i] = uint16_t(i % 2 ? 0xbc00 : 0x3800); // -1, 0.5
  kernels.run("weight", {x, w, v}, {2, 3, 2, 3}, 3);
  std::vector<double> weight(v.size());
  for (size_t i = 0; i < v.size(); ++i)
    for (size_t j = 0; j < 21; ++j)
      weight[i] += double(x[i / 35 * 21 + j]) * ((i % 35 * 21 + j) % 2 ? -1.0 : 0.5);
  expectNear(v, weight, 5e-6);
}

// Rows to numbers of E4M3 by their own scales and by a given one, against the definition (unit E4m3); a weight of such numbers.
TEST_P(CpuOps, RowsOf8Bits) {
  CompiledKernels kernels(kernelText("own", "round_e4m3 %a0", {"tensor<?x37xf32>"}, "tensor<?x37xf32>") +
                              kernelText("given", "round_e4m3 %a0 scale %a1", {"tensor<?x37xf32>", "tensor<f32>"}, "tensor<?x37xf32>") +
                              kernelText("weight", "matmul %a0, %a1 transpose_rhs", {"tensor<?x21xf32>", "tensor<35x21xf8E4M3FN>"}, "tensor<?x35xf32>"),
                          GetParam());
  ASSERT_TRUE(kernels);
  constexpr size_t rows = 4, width = 37;
  Buffer<float> x(randoms(rows * width, 3.0f)), scale(1), own(rows * width), given(rows * width);
  scale[0] = 0.004f; // 448 of them are less than the largest
  x[2 * width + 5] = NAN;
  kernels.run("own", {x, own}, {4, 4}, 4);
  kernels.run("given", {x, scale, given}, {4, 4}, 4);
  for (size_t row = 0; row < rows; ++row) {
    float top = 0;
    for (size_t i = 0; i < width; ++i)
      top = std::max(top, std::abs(x[row * width + i]));
    float s = e4m3::scaleFor(row == 2 ? NAN : top);
    for (size_t i = row * width; i < (row + 1) * width; ++i) {
      float expected = s * e4m3::round(x[i] * (1.0f / s)), fixed = scale[0] * e4m3::round(x[i] * (1.0f / scale[0]));
      EXPECT_TRUE(own[i] == expected || (std::isnan(own[i]) && row == 2)) << i;
      EXPECT_TRUE(given[i] == fixed || (std::isnan(given[i]) && std::isnan(x[i]))) << i;
    }
  }
  Buffer<float> lhs(randoms(3 * 21)), product(3 * 35);
  Buffer<uint8_t> w(35 * 21);
  for (size_t i = 0; i < w.size(); ++i)
    w[i] = uint8_t(i * 7 % 64 + (i % 2) * 128); // below 2
  kernels.run("weight", {lhs, w, product}, {3, 3}, 3);
  std::vector<double> expected(product.size());
  for (size_t i = 0; i < product.size(); ++i)
    for (size_t j = 0; j < 21; ++j)
      expected[i] += double(lhs[i / 35 * 21 + j]) * e4m3::decode(w[i % 35 * 21 + j]);
  expectNear(product, expected, 5e-6);
}

TEST_P(CpuOps, SoftmaxAndReductions) {
  CompiledKernels kernels(kernelText("rows", "softmax %a0 axis 2", {"tensor<?x?x?xf32>"}, "tensor<?x?x?xf32>") +
                              kernelText("columns", "softmax %a0 axis 1", {"tensor<?x?x?xf32>"}, "tensor<?x?x?xf32>") +
                              kernelText("mean", "reduce mean %a0 axes [1]", {"tensor<?x?x?xf32>"}, "tensor<?x?xf32>") +
                              kernelText("top", "reduce max %a0 axes [0, 2]", {"tensor<?x?x?xf32>"}, "tensor<?xf32>") +
                              kernelText("count", "reduce sum %a0 axes [1]", {"tensor<?x?xi32>"}, "tensor<?xi32>"),
                          GetParam());
  ASSERT_TRUE(kernels);
  size_t A = 3, B = 5, C = 37;
  Buffer<float> x(randoms(A * B * C, 5.0f)), rows(x.size()), columns(x.size()), mean(A * C), top(B);
  for (size_t i = 0; i < C; ++i)
    x[i] = -INFINITY; // a row of them: zeros
  kernels.run("rows", {x, rows}, {3, 5, 37, 3, 5, 37}, 15);
  kernels.run("columns", {x, columns}, {3, 5, 37, 3, 5, 37}, 3 * 37);
  kernels.run("mean", {x, mean}, {3, 5, 37, 3, 37}, 3 * 37);
  kernels.run("top", {x, top}, {3, 5, 37, 5}, 5);
  auto at = [&](size_t a, size_t b, size_t c) { return double(x[(a * B + b) * C + c]); };
  std::vector<double> expectedRows, expectedColumns, expectedMean(A * C), expectedTop(B, -INFINITY);
  for (size_t a = 0; a < A; ++a)
    for (size_t b = 0; b < B; ++b)
      for (size_t c = 0; c < C; ++c) {
        double row = 0, column = 0;
        for (size_t i = 0; i < C; ++i)
          row += std::exp(at(a, b, i));
        for (size_t i = 0; i < B; ++i)
          column += std::exp(at(a, i, c));
        expectedRows.push_back(row > 0 ? std::exp(at(a, b, c)) / row : 0);
        expectedColumns.push_back(std::exp(at(a, b, c)) / column);
        expectedMean[a * C + c] += at(a, b, c) / double(B);
        expectedTop[b] = std::max(expectedTop[b], at(a, b, c));
      }
  expectNear(rows, expectedRows, 1e-6);
  expectNear(columns, expectedColumns, 1e-6);
  expectNear(mean, expectedMean, 1e-6);
  expectNear(top, expectedTop, 0);
  Buffer<int32_t> mask(2 * 9), lengths(2);
  for (size_t i = 0; i < mask.size(); ++i)
    mask[i] = i < 13;
  kernels.run("count", {mask, lengths}, {2, 9, 2}, 2);
  EXPECT_EQ(lengths[0], 9);
  EXPECT_EQ(lengths[1], 4);
}

// Numbers from 0 up moved about; what lies where follows from indices.
TEST_P(CpuOps, Copies) {
  CompiledKernels kernels(
      kernelText("turn", "transpose %a0 [2, 0, 1]", {"tensor<?x3x?xf32>"}, "tensor<?x?x3xf32>") +
          kernelText("heads", "transpose %a0 [0, 2, 1, 3]", {"tensor<?x?x2x20xf32>"}, "tensor<?x2x?x20xf32>") +
          kernelText("cut", "slice %a0 axis 1 start 1 size 2", {"tensor<?x4x?xi64>"}, "tensor<?x2x?xi64>") +
          kernelText("blocks", "slice %a0 axis 1 start 32 size 32", {"tensor<2x96x!transom.block<q8_0>>"}, "tensor<2x32x!transom.block<q8_0>>") +
          kernelText("join", "concat %a0, %a1 axis 1", {"tensor<?x?x5xf16>", "tensor<?x?x5xf16>"}, "tensor<?x?x5xf16>") +
          kernelText("pad", "pad %a0 axis 0 before 1 after 2 {value = 7.0 : f64}", {"tensor<?x3xi32>"}, "tensor<?x3xi32>") +
          kernelText("spread", "broadcast %a0 like %a1", {"tensor<?x1xi32>", "tensor<?x?x?xf32>"}, "tensor<?x?x?xi32>"),
      GetParam());
  ASSERT_TRUE(kernels);
  auto counting = []<typename T>(size_t n, T) { std::vector<T> v(n); std::iota(v.begin(), v.end(), T(0)); return v; };
  Buffer<float> x(counting(2 * 3 * 5, 0.0f)), turned(30), h(counting(2 * 3 * 2 * 20, 0.0f)), heads(240);
  kernels.run("turn", {x, turned}, {2, 5, 5, 2}, 10);
  kernels.run("heads", {h, heads}, {2, 3, 2, 3}, 12);
  for (size_t i = 0; i < 30; ++i)
    EXPECT_EQ(turned[i], float((i / 3 % 2 * 3 + i % 3) * 5 + i / 6));
  for (size_t i = 0; i < 240; ++i)
    EXPECT_EQ(heads[i], float(((i / 120 * 3 + i / 20 % 3) * 2 + i / 60 % 2) * 20 + i % 20));
  Buffer<int64_t> wide(counting(3 * 4 * 7, int64_t(0))), cut(42);
  kernels.run("cut", {wide, cut}, {3, 7, 3, 7}, 6);
  for (size_t i = 0; i < 42; ++i)
    EXPECT_EQ(cut[i], int64_t((i / 14 * 4 + i / 7 % 2 + 1) * 7 + i % 7));
  Buffer<uint8_t> blocks(counting(2 * 3 * 34, uint8_t(0))), block(68);
  kernels.run("blocks", {blocks, block}, {}, 2);
  for (size_t i = 0; i < 68; ++i)
    EXPECT_EQ(block[i], uint8_t(i / 34 * 102 + 34 + i % 34));
  Buffer<uint16_t> a(counting(2 * 2 * 5, uint16_t(0))), b(counting(2 * 3 * 5, uint16_t(0))), joined(50);
  kernels.run("join", {a, b, joined}, {2, 2, 2, 3, 2, 5}, 10);
  for (size_t i = 0; i < 50; ++i)
    EXPECT_EQ(joined[i], i / 5 % 5 < 2 ? i / 25 * 10 + i % 25 : i / 25 * 15 + i % 25 - 10);
  Buffer<int32_t> small(counting(6, 0)), padded(15), spread(2 * 3 * 4);
  kernels.run("pad", {small, padded}, {2, 5}, 5);
  for (int i = 0; i < 15; ++i)
    EXPECT_EQ(padded[size_t(i)], i < 3 || i >= 9 ? 7 : i - 3);
  kernels.run("spread", {small, nullptr, spread}, {3, 2, 3, 4, 2, 3, 4}, 6);
  for (int i = 0; i < 24; ++i)
    EXPECT_EQ(spread[size_t(i)], i / 4 % 3);
}

TEST_P(CpuOps, CachesAndPacking) {
  CompiledKernels kernels(
      kernelText("append", "cache_append bshd %a0, %a1 past %a2 lengths %a3",
                 {"!transom.cache<?x2x6x8xf32>", "tensor<?x?x2x8xf32>", "tensor<?xi32>", "tensor<?xi32>"}, "!transom.cache<?x2x6x8xf32>") +
          kernelText("cumulate", "cumulative_lengths %a0", {"tensor<?xi32>"}, "tensor<?xi32>") +
          kernelText("last", "last_token %a0, %a1", {"tensor<?x?x8xf32>", "tensor<?xi32>"}, "tensor<?x8xf32>") +
          kernelText("places", "positions %a0 like %a1", {"tensor<?xi32>", "tensor<?x?xi32>"}, "tensor<?x?xi32>"),
      GetParam());
  ASSERT_TRUE(kernels);
  Buffer<int32_t> lengths(std::vector<int32_t>{2, 0, 4}), past(std::vector<int32_t>{3, 1, 4}), cumulative(4), places(12);
  Buffer<float> cache(3 * 2 * 6 * 8), tokens(randoms(3 * 4 * 2 * 8)), x(randoms(3 * 4 * 8)), last(24);
  std::fill(cache.data, cache.data + cache.count, 9.0f);
  kernels.run("append", {cache, tokens, past, lengths, cache}, {3, 3, 4, 3, 3, 3}, 24);
  for (int64_t i = 0; i < 3 * 2 * 6 * 8; ++i) {
    int64_t slot = i / 8 % 6, head = i / 48 % 2, batch = i / 96, token = slot - past[size_t(batch)];
    bool written = token >= 0 && token < lengths[size_t(batch)];
    EXPECT_EQ(cache[size_t(i)], written ? tokens[size_t(((batch * 4 + token) * 2 + head) * 8 + i % 8)] : 9.0f) << i;
  }
  EXPECT_TRUE(cache.intact());
  kernels.run("cumulate", {lengths, cumulative}, {3, 4}, 1);
  EXPECT_EQ(std::vector<int32_t>(cumulative.data, cumulative.data + 4), (std::vector<int32_t>{0, 2, 2, 6}));
  kernels.run("last", {x, lengths, last}, {3, 4, 3, 3}, 3);
  kernels.run("places", {past, nullptr, places}, {3, 3, 4, 3, 4}, 3);
  for (size_t i = 0; i < 24; ++i)
    EXPECT_EQ(last[i], lengths[i / 8] ? x[(i / 8 * 4 + size_t(lengths[i / 8]) - 1) * 8 + i % 8] : 0.0f);
  for (size_t i = 0; i < 12; ++i)
    EXPECT_EQ(places[i], past[i / 4] + int32_t(i % 4));
}

// Selection: ties by index, NaN last; sampling follows the distribution that the options leave.
TEST_P(CpuOps, TokenSelection) {
  CompiledKernels kernels(
      kernelText("best", "argmax %a0", {"tensor<?x?xf32>"}, "tensor<?xi32>") +
          "plan.kernel @top(%a0: tensor<?x9xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {\n"
          "  %v, %i = transom.top_k %a0 k 4 : (tensor<?x9xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>)\n"
          "  plan.yield %v, %i : tensor<?x4xf32>, tensor<?x4xi32>\n}\n" +
          kernelText("sample", "sample %a0 temperature %a1 top_k %a2 top_p %a3 seed %a4 step %a5",
                     {"tensor<?x9xf32>", "tensor<?xf32>", "tensor<?xi32>", "tensor<?xf32>", "tensor<?xi64>", "tensor<?xi32>"}, "tensor<?xi32>"),
      GetParam());
  ASSERT_TRUE(kernels);
  float row[] = {0.5f, 2.0f, NAN, 2.0f, -1.0f, 1.5f, -INFINITY, 1.0f, 0.0f};
  Buffer<float> x(std::vector<float>(row, row + 9)), values(4);
  Buffer<int32_t> best(1), indices(4);
  kernels.run("best", {x, best}, {1, 9, 1}, 1);
  kernels.run("top", {x, values, indices}, {1, 1, 1}, 1);
  EXPECT_EQ(best[0], 1);
  EXPECT_EQ(std::vector<int32_t>(indices.data, indices.data + 4), (std::vector<int32_t>{1, 3, 5, 7}));
  EXPECT_EQ(values[2], 1.5f);
  constexpr size_t draws = 6000;
  Buffer<float> logits(draws * 9), temperature(draws), topP(draws);
  Buffer<int32_t> topK(draws), step(draws), tokens(draws);
  Buffer<int64_t> seeds(draws);
  for (int mode = 0; mode < 4; ++mode) {
    for (size_t i = 0; i < draws; ++i) {
      std::copy(row, row + 9, &logits[i * 9]);
      temperature[i] = mode == 0 ? 0.0f : 0.7f, topK[i] = mode == 2 ? 3 : 0, topP[i] = mode == 3 ? 0.8f : 1.0f;
      seeds[i] = int64_t(random()) << 16, step[i] = int32_t(i);
    }
    kernels.run("sample", {logits, temperature, topK, topP, seeds, step, tokens}, std::vector<int64_t>(7, draws), draws);
    // Most probable first: 1, 3, 5, 7, 0, 8, 4.
    std::vector<size_t> order = {1, 3, 5, 7, 0, 8, 4};
    std::vector<double> share(9);
    double total = 0, kept = 0;
    for (size_t i : order)
      total += std::exp(double(row[i]) / 0.7);
    for (size_t rank = 0; rank < order.size(); ++rank) {
      bool keep = mode == 0 ? rank == 0 : mode == 2 ? rank < 3 : mode == 3 ? kept < 0.8 * total : true;
      share[order[rank]] = keep ? std::exp(double(row[order[rank]]) / 0.7) : 0;
      kept += share[order[rank]];
    }
    for (size_t token = 0; token < 9; ++token) {
      double found = double(std::count(tokens.data, tokens.data + draws, int32_t(token))) / draws, expected = share[token] / kept;
      EXPECT_NEAR(found, expected, 5 * std::sqrt(expected * (1 - expected) / draws) + 1e-9) << "mode " << mode << " token " << token;
    }
  }
}

// An unpack kernel writes the first row it is asked for to the start of its result.
TEST_P(CpuOps, UnpackKernels) {
  CompiledKernels kernels("plan.kernel @u(%w: tensor<6x32x!transom.block<q8_0>>) -> tensor<6x32xf32> unpack {\n"
                          "  %0 = transom.dequantize %w to f32 : (tensor<6x32x!transom.block<q8_0>>) -> tensor<6x32xf32>\n"
                          "  plan.yield %0 : tensor<6x32xf32>\n}\n", GetParam());
  ASSERT_TRUE(kernels);
  Buffer<uint8_t> w(6 * 34);
  for (size_t i = 0; i < w.size(); ++i)
    w[i] = i % 34 == 0 ? 0 : i % 34 == 1 ? 0x3c : uint8_t(i / 34); // scale 1, all numbers the row's index
  Buffer<float> y(6 * 32);
  kernels.run("u", {w, y}, {}, 6); // rows 0, 1, then 2 to 5 over them
  for (size_t i = 0; i < 6 * 32; ++i)
    EXPECT_TRUE(i < 4 * 32 ? y[i] == float(i / 32 + 2) : std::isnan(y[i])) << i;
}

// Two compilations give the same bytes; the object exports the kernels only.
TEST_P(CpuOps, IsDeterministic) {
  std::string text = kernelText("rms_norm", "rms_norm %a0, %a1 epsilon 1.0e-05", {"tensor<?x37xf32>", "tensor<37xf32>"}, "tensor<?x37xf32>") +
                     kernelText("exp", "exp %a0", {"tensor<?xf32>"}, "tensor<?xf32>");
  CompiledKernels first(text, GetParam()), second(text, GetParam());
  ASSERT_TRUE(first);
  EXPECT_EQ(first.code.sharedObject, second.code.sharedObject);
  EXPECT_EQ(first.code.kernels, (std::vector<std::string>{"rms_norm", "exp"}));
  EXPECT_EQ(first.code.target, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Levels, CpuOps, testing::Values("x86-64-v3", "x86-64-v4"));

} // namespace
} // namespace transom::test
