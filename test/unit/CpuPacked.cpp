// Packed tokens as compiled CPU kernels, against direct fp64 formulas. Rows of 3, 0 and 6 tokens throughout.
#include "CompiledKernels.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>

namespace transom::test {
namespace {

class CpuPacked : public CpuLevelTest {
protected:
  static std::string kernelText(const std::string &name, const std::string &op, const std::vector<std::string> &types, const std::string &result) {
    std::string arguments;
    for (size_t i = 0; i < types.size(); ++i)
      arguments += fmt::format("{}%a{}: {}", i ? ", " : "", i, types[i]);
    return fmt::format("plan.kernel @{}({}) -> {} {{\n  %0 = transom.{} : ({}) -> {}\n  plan.yield %0 : {}\n}}\n", name, arguments, result, op,
                       fmt::join(types, ", "), result, result);
  }
  const std::vector<int32_t> ends = {0, 3, 3, 9};
  static constexpr int64_t room = 12; ///< tokens that the tensors have, three more than are valid

  /// softmax(scale * q k^T) v of query `q` over `keys` rows of k and v, each `stride` numbers apart.
  std::vector<double> attend(const float *q, const float *k, const float *v, int64_t keys, int64_t stride, int64_t dim, double scale) {
    std::vector<double> weights(static_cast<size_t>(keys)), y(static_cast<size_t>(dim));
    double sum = 0;
    for (int64_t j = 0; j < keys; ++j) {
      double dot = 0;
      for (int64_t d = 0; d < dim; ++d)
        dot += double(q[d]) * double(k[j * stride + d]);
      sum += weights[size_t(j)] = std::exp(scale * dot);
    }
    for (int64_t j = 0; j < keys; ++j)
      for (int64_t d = 0; d < dim; ++d)
        y[size_t(d)] += weights[size_t(j)] / sum * double(v[j * stride + d]);
    return y;
  }
  void expectRow(const float *found, const std::vector<double> &expected) {
    for (size_t d = 0; d < expected.size(); ++d)
      ASSERT_NEAR(found[d], expected[d], 5e-6);
  }
};

// Rows attend within themselves, with and without causal; what is behind the last valid token is neither read nor written.
TEST_P(CpuPacked, Attention) {
  std::vector<std::string> types = {"tensor<?x2x32xf32>", "tensor<?x1x32xf32>", "tensor<?x1x32xf32>", "tensor<?xi32>"};
  CompiledKernels kernels(kernelText("all", "attention thd %a0, %a1, %a2 cumulative %a3 {scale = 0.2 : f64}", types, types[0]) +
                              kernelText("causal", "attention thd %a0, %a1, %a2 cumulative %a3 {causal, scale = 0.2 : f64}", types, types[0]),
                          GetParam());
  ASSERT_TRUE(kernels);
  Buffer<int32_t> cumulative(ends);
  for (const char *name : {"all", "causal"}) {
    Buffer<float> q(room * 64), k(room * 32), v(room * 32), y(room * 64); // NaN behind the last
    for (auto [buffer, width] : {std::pair(&q, 64), std::pair(&k, 32), std::pair(&v, 32)})
      std::ranges::copy(randoms(size_t(9 * width)), buffer->data);
    kernels.run(name, {q, k, v, cumulative, y}, {room, room, room, 4, room}, room * 2);
    for (int64_t row = 0; row < 18; ++row) {
      int64_t token = row / 2, first = token < 3 ? 0 : 3, last = token < 3 ? 3 : 9;
      int64_t keys = (std::string(name) == "causal" ? token + 1 : last) - first;
      expectRow(y.data + row * 32, attend(q.data + row * 32, k.data + first * 32, v.data + first * 32, keys, 32, 32, 0.2));
    }
    for (size_t i = 9 * 64; i < y.size(); ++i)
      ASSERT_TRUE(std::isnan(y[i])) << i;
    EXPECT_TRUE(y.intact());
  }
}

// Keys of another packed tensor: rows of 20, 1 and 2 keys, one of them without queries. 20 queries fill a tile.
TEST_P(CpuPacked, AttentionOverMemory) {
  std::vector<std::string> types = {"tensor<?x4x24xf32>", "tensor<?x2x24xf32>", "tensor<?x2x24xf32>", "tensor<?xi32>", "tensor<?xi32>"};
  CompiledKernels kernels(kernelText("cross", "attention thd %a0, %a1, %a2 cumulative %a3 keys %a4 {scale = 0.3 : f64}", types, types[0]), GetParam());
  ASSERT_TRUE(kernels);
  std::vector<int32_t> queryEnds = {0, 20, 20, 22}, keyEnds = {0, 20, 21, 23};
  Buffer<int32_t> c(queryEnds), ck(keyEnds);
  Buffer<float> q(randoms(22 * 96)), k(randoms(23 * 48)), v(randoms(23 * 48)), y(22 * 96);
  kernels.run("cross", {q, k, v, c, ck, y}, {22, 23, 23, 4, 4, 22}, 22 * 4);
  for (int64_t row = 0; row < 22 * 4; ++row) {
    size_t sequence = row / 4 < 20 ? 0 : 2;
    int64_t from = (keyEnds[sequence] * 2 + row % 4 / 2) * 24;
    expectRow(y.data + row * 24, attend(q.data + row * 24, k.data + from, v.data + from, keyEnds[sequence + 1] - keyEnds[sequence], 48, 24, 0.3));
  }
  EXPECT_TRUE(y.intact());
}

// Packed queries over caches [batch, 2, 10, 16] with 2, 5 and 0 past tokens; slots that were never written hold NaN.
TEST_P(CpuPacked, AttentionOverCaches) {
  std::string cache = "!transom.cache<?x2x10x16xf32>";
  std::vector<std::string> types = {"tensor<?x4x16xf32>", cache, cache, "tensor<?xi32>", "tensor<?xi32>"};
  CompiledKernels kernels(kernelText("cached", "attention thd %a0, %a1, %a2 past %a3 cumulative %a4 {causal, scale = 0.25 : f64}", types, types[0]), GetParam());
  ASSERT_TRUE(kernels);
  std::vector<int32_t> before = {2, 5, 0};
  Buffer<int32_t> past(before), cumulative(ends);
  Buffer<float> q(randoms(9 * 64)), k(3 * 2 * 160), v(3 * 2 * 160), y(9 * 64);
  for (size_t row = 0; row < 6; ++row)
    for (int64_t i = 0; i < (before[row / 2] + ends[row / 2 + 1] - ends[row / 2]) * 16; ++i)
      k[row * 160 + size_t(i)] = randoms(1)[0], v[row * 160 + size_t(i)] = randoms(1)[0];
  kernels.run("cached", {q, k, v, past, cumulative, y}, {9, 3, 3, 3, 4, 9}, 36);
  for (int64_t row = 0; row < 36; ++row) {
    int64_t token = row / 4, sequence = token < 3 ? 0 : 2, own = before[size_t(sequence)] + token - ends[size_t(sequence)];
    int64_t from = (sequence * 2 + row % 4 / 2) * 160;
    expectRow(y.data + row * 16, attend(q.data + row * 16, k.data + from, v.data + from, own + 1, 16, 16, 0.25));
  }
  EXPECT_TRUE(y.intact());
}

// New tokens go to their rows' slots; one falls behind the capacity and is dropped, as are tokens behind the last valid one.
TEST_P(CpuPacked, CacheAppend) {
  std::vector<std::string> types = {"!transom.cache<?x2x6x8xf32>", "tensor<?x2x8xf32>", "tensor<?xi32>", "tensor<?xi32>"};
  CompiledKernels kernels(kernelText("append", "cache_append thd %a0, %a1 past %a2 cumulative %a3", types, types[0]), GetParam());
  ASSERT_TRUE(kernels);
  std::vector<int32_t> before = {2, 5, 1};
  Buffer<int32_t> past(before), cumulative(ends);
  Buffer<float> cache(3 * 2 * 6 * 8), tokens(randoms(room * 16));
  std::fill(cache.data, cache.data + cache.count, 9.0f);
  kernels.run("append", {cache, tokens, past, cumulative, cache}, {3, room, 3, 4, 3}, room * 2);
  for (int64_t i = 0; i < 3 * 2 * 6 * 8; ++i) {
    int64_t slot = i / 8 % 6, head = i / 48 % 2, row = i / 96, token = slot - before[size_t(row)];
    bool written = token >= 0 && token < ends[size_t(row) + 1] - ends[size_t(row)];
    ASSERT_EQ(cache[size_t(i)], written ? tokens[size_t(((ends[size_t(row)] + token) * 2 + head) * 8 + i % 8)] : 9.0f) << i;
  }
  EXPECT_TRUE(cache.intact());
}

// Places of valid tokens by masks of both widths and by lengths, and what they gather and spread; holes stay holes.
TEST_P(CpuPacked, Gathering) {
  auto valid = [](const std::string &name, const std::string &rows, bool lengths) {
    return fmt::format("plan.kernel @{0}(%m: tensor<?x?x{1}>{2}) -> (tensor<?xi32>, tensor<?xi32>) {{\n"
                       "  %0:2 = transom.valid_tokens %m{3} size \"tokens\" : (tensor<?x?x{1}>{4}) -> (tensor<?xi32>, tensor<?xi32>)\n"
                       "  plan.yield %0#0, %0#1 : tensor<?xi32>, tensor<?xi32>\n}}\n",
                       name, rows, lengths ? ", %n: tensor<?xi32>" : "", lengths ? " lengths %n" : "", lengths ? ", tensor<?xi32>" : "");
  };
  CompiledKernels kernels(valid("narrow", "i32", false) + valid("wide", "i64", false) + valid("counted", "i32", true) +
                              kernelText("pack", "pack %a0, %a1", {"tensor<?x?x2x8xf32>", "tensor<?xi32>"}, "tensor<?x2x8xf32>") +
                              kernelText("packIds", "pack %a0, %a1", {"tensor<?x?xi32>", "tensor<?xi32>"}, "tensor<?xi32>") +
                              kernelText("unpack", "unpack %a0, %a1 like %a2", {"tensor<?x2x8xf32>", "tensor<?xi32>", "tensor<?x?xi32>"}, "tensor<?x?x2x8xf32>") +
                              kernelText("unpackIds", "unpack %a0, %a1 like %a2", {"tensor<?xi32>", "tensor<?xi32>", "tensor<?x?xi32>"}, "tensor<?x?xi32>"),
                          GetParam());
  ASSERT_TRUE(kernels);
  std::vector<int32_t> mask = {0, 1, 0, 7, 0, 0, 0, 0, 1, 1, 1, -1}, expected = {1, 3, 8, 9, 10, 11};
  Buffer<int32_t> narrow(mask), index(12), cumulative(4), lengths(std::vector<int32_t>{2, 0, 9});
  Buffer<int64_t> wide(std::vector<int64_t>(mask.begin(), mask.end()));
  auto found = [&](size_t count) { return std::vector<int32_t>(index.data, index.data + count); };
  auto sums = [&] { return std::vector<int32_t>(cumulative.data, cumulative.data + 4); };
  kernels.run("counted", {narrow, lengths, index, cumulative}, {3, 4, 3, 12, 4}, 1); // the last length is cut to the row
  EXPECT_EQ(found(7), (std::vector<int32_t>{0, 1, 8, 9, 10, 11, -1}));
  EXPECT_EQ(sums(), (std::vector<int32_t>{0, 2, 2, 6}));
  kernels.run("wide", {wide, index, cumulative}, {3, 4, 5, 4}, 1); // room for five
  EXPECT_EQ(sums(), (std::vector<int32_t>{0, 2, 2, 5}));
  kernels.run("narrow", {narrow, index, cumulative}, {3, 4, 12, 4}, 1);
  EXPECT_EQ(found(6), expected);
  EXPECT_EQ(sums(), (std::vector<int32_t>{0, 2, 2, 6}));

  Buffer<float> x(randoms(12 * 16)), packed(6 * 16), back(12 * 16);
  kernels.run("pack", {x, index, packed}, {3, 4, 6, 6}, 12);
  kernels.run("unpack", {packed, index, narrow, back}, {6, 6, 3, 4, 3, 4}, 24);
  for (size_t i = 0; i < 12 * 16; ++i)
    ASSERT_EQ(back[i], mask[i / 16] ? x[i] : 0.0f) << i;
  Buffer<int32_t> ids(12), packedIds(6), backIds(12);
  std::iota(ids.data, ids.data + 12, 100);
  kernels.run("packIds", {ids, index, packedIds}, {3, 4, 6, 6}, 1);
  kernels.run("unpackIds", {packedIds, index, narrow, backIds}, {6, 6, 3, 4, 3, 4}, 3);
  for (size_t i = 0; i < 12; ++i)
    ASSERT_EQ(backIds[i], mask[i] ? int32_t(100 + i) : 0) << i;
  EXPECT_TRUE(packed.intact() && back.intact() && packedIds.intact() && backIds.intact());
}

// Sums, means and extrema over each row, and its first and last token; NaN stays where it was.
TEST_P(CpuPacked, Pooling) {
  std::vector<std::string> types = {"tensor<?x37xf32>", "tensor<?xi32>"};
  std::string text;
  for (const char *kind : {"sum", "mean", "max", "min"})
    text += kernelText(kind, fmt::format("reduce_packed {} %a0, %a1", kind), types, types[0]);
  text += kernelText("first", "first_token %a0 cumulative %a1", types, types[0]) + kernelText("last", "last_token %a0 cumulative %a1", types, types[0]) +
          kernelText("first_padded", "first_token %a0, %a1", {"tensor<?x?x37xf32>", "tensor<?xi32>"}, types[0]) +
          kernelText("most", "reduce_packed max %a0, %a1", {"tensor<?xi64>", "tensor<?xi32>"}, "tensor<?xi64>");
  CompiledKernels kernels(text, GetParam());
  ASSERT_TRUE(kernels);
  Buffer<int32_t> cumulative(ends), lengths(std::vector<int32_t>{4, 0, 1});
  Buffer<float> x(room * 37), y(3 * 37); // NaN behind the last
  std::ranges::copy(randoms(9 * 37), x.data);
  x[4 * 37 + 5] = NAN;
  for (std::string name : {"sum", "mean", "max", "min", "first", "last"}) {
    bool token = name == "first" || name == "last";
    kernels.run(name.c_str(), {x, cumulative, y}, {room, 4, 3}, token ? 3 : 3 * 37);
    std::vector<double> expected(3 * 37, token || name == "sum" || name == "mean" ? 0.0 : name == "max" ? -INFINITY : INFINITY);
    for (size_t row : {0, 2})
      for (size_t c = 0; c < 37; ++c) {
        double sum = 0, most = -INFINITY, least = INFINITY;
        for (int32_t token = ends[row]; token < ends[row + 1]; ++token) {
          double number = double(x[size_t(token) * 37 + c]);
          sum += number;
          most = std::isnan(number) || std::isnan(most) ? NAN : std::max(most, number);
          least = std::isnan(number) || std::isnan(least) ? NAN : std::min(least, number);
        }
        double count = ends[row + 1] - ends[row], first = double(x[size_t(ends[row]) * 37 + c]), last = double(x[size_t(ends[row + 1] - 1) * 37 + c]);
        expected[row * 37 + c] = name == "sum" ? sum : name == "mean" ? sum / count : name == "max" ? most : name == "min" ? least : name == "first" ? first : last;
      }
    SCOPED_TRACE(name);
    expectNear(y, expected, 2e-6);
  }
  kernels.run("first_padded", {x, lengths, y}, {3, 4, 3, 3}, 3);
  for (size_t i = 0; i < 3 * 37; ++i)
    EXPECT_EQ(y[i], i / 37 == 1 ? 0.0f : x[i / 37 * 4 * 37 + i % 37]);
  Buffer<int64_t> numbers(std::vector<int64_t>{-5, -9, -7, 1, 2, 3, 2, 1, 0}), most(3);
  kernels.run("most", {numbers, cumulative, most}, {9, 4, 3}, 3);
  EXPECT_EQ(std::vector<int64_t>(most.data, most.data + 3), (std::vector<int64_t>{-5, INT64_MIN, 3}));
}

// Running sums along either dimension; sums of i32 wrap around.
TEST_P(CpuPacked, CumulativeSum) {
  CompiledKernels kernels(kernelText("along", "cumulative_sum %a0 axis 1", {"tensor<?x?xi32>"}, "tensor<?x?xi32>") +
                              kernelText("down", "cumulative_sum %a0 axis 0", {"tensor<?x3xi64>"}, "tensor<?x3xi64>"),
                          GetParam());
  ASSERT_TRUE(kernels);
  Buffer<int32_t> x(std::vector<int32_t>{1, 0, 2, INT32_MAX, 1, 6}), y(6);
  kernels.run("along", {x, y}, {2, 3, 2, 3}, 2);
  EXPECT_EQ(std::vector<int32_t>(y.data, y.data + 6), (std::vector<int32_t>{1, 1, 3, INT32_MAX, INT32_MIN, INT32_MIN + 6}));
  Buffer<int64_t> a(std::vector<int64_t>{1, 0, 2, 4, 5, 6}), b(6);
  kernels.run("down", {a, b}, {2, 2}, 3);
  EXPECT_EQ(std::vector<int64_t>(b.data, b.data + 6), (std::vector<int64_t>{1, 0, 2, 5, 5, 8}));
  EXPECT_TRUE(y.intact() && b.intact());
}

INSTANTIATE_TEST_SUITE_P(Levels, CpuPacked, testing::Values("x86-64-v3", "x86-64-v4"));

} // namespace
} // namespace transom::test
