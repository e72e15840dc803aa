// Elementwise ops and fused regions as compiled CPU kernels: broadcasting, element types, tails, row reductions, and the
// accuracy of the scalar functions.
#include "CompiledKernels.h"

namespace transom::test {
namespace {

class CpuRegions : public CpuLevelTest {};

// Rows with a static width: a full tensor, a row vector, a column and a scalar under one region.
TEST_P(CpuRegions, BroadcastsUnderStaticRows) {
  CompiledKernels kernels(R"(
plan.kernel @fused(%a: tensor<?x?x19xf32>, %w: tensor<19xf32>, %c: tensor<?x1x1xf32>, %s: tensor<f32>) -> tensor<?x?x19xf32> {
  %0 = transom.fused (%a, %w, %c, %s) {
  ^bb0(%x: f32, %y: f32, %z: f32, %t: f32):
    %1 = arith.mulf %x, %y : f32
    %2 = arith.addf %1, %z : f32
    %3 = arith.subf %2, %t : f32
    transom.yield %3 : f32
  } : (tensor<?x?x19xf32>, tensor<19xf32>, tensor<?x1x1xf32>, tensor<f32>) -> tensor<?x?x19xf32>
  plan.yield %0 : tensor<?x?x19xf32>
})", GetParam());
  ASSERT_TRUE(kernels);
  Buffer<float> a(randoms(3 * 4 * 19)), w(randoms(19)), c(randoms(3)), s(randoms(1)), y(3 * 4 * 19);
  kernels.run("fused", {a, w, c, s, y}, {3, 4, 3, 3, 4}, 12);
  std::vector<double> expected;
  for (size_t i = 0; i < y.size(); ++i)
    expected.push_back(double(a[i]) * double(w[i % 19]) + double(c[i / 76]) - double(s[0]));
  expectNear(y, expected, 1e-6);
}

// Dynamic widths: sizes that turn out to be 1 broadcast, in the last dimension and before it; items are elements.
TEST_P(CpuRegions, BroadcastsDynamicSizes) {
  CompiledKernels kernels(R"(
plan.kernel @add(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %0 = transom.add %a, %b : (tensor<?x?xf32>, tensor<?x?xf32>) -> tensor<?x?xf32>
  plan.yield %0 : tensor<?x?xf32>
})", GetParam());
  ASSERT_TRUE(kernels);
  for (auto [rows, columns] : {std::pair<int64_t, int64_t>{5, 21}, {1, 21}, {5, 1}, {1, 1}, {7, 160}}) {
    Buffer<float> a(randoms(7 * 160)), b(randoms(size_t(rows * columns))), y(7 * 160);
    bool fits = 7 % rows == 0 || rows == 1;
    int64_t wholeRows = fits ? 7 : rows, wholeColumns = columns == 1 ? 160 : columns;
    Buffer<float> z(size_t(wholeRows * wholeColumns));
    kernels.run("add", {a, b, z}, {wholeRows, wholeColumns, rows, columns, wholeRows, wholeColumns}, wholeRows * wholeColumns);
    std::vector<double> expected;
    for (int64_t i = 0; i < wholeRows * wholeColumns; ++i) {
      int64_t row = i / wholeColumns, column = i % wholeColumns;
      expected.push_back(double(a[size_t(i)]) + double(b[size_t((rows == 1 ? 0 : row) * columns + (columns == 1 ? 0 : column))]));
    }
    expectNear(z, expected, 1e-6);
  }
}

// A column of one number a row under a dynamic width that turns out to be 1: each row keeps its own.
TEST_P(CpuRegions, SingleColumns) {
  CompiledKernels kernels(R"(
plan.kernel @add(%a: tensor<?x?xf32>, %b: tensor<?x1xf32>) -> tensor<?x?xf32> {
  %0 = transom.add %a, %b : (tensor<?x?xf32>, tensor<?x1xf32>) -> tensor<?x?xf32>
  plan.yield %0 : tensor<?x?xf32>
})", GetParam());
  ASSERT_TRUE(kernels);
  for (int64_t columns : {1, 2, 37}) {
    Buffer<float> a(randoms(size_t(5 * columns))), b(randoms(5)), y(size_t(5 * columns));
    kernels.run("add", {a, b, y}, {5, columns, 5, 5, columns}, 5 * columns);
    std::vector<double> expected;
    for (int64_t i = 0; i < 5 * columns; ++i)
      expected.push_back(double(a[size_t(i)]) + double(b[size_t(i / columns)]));
    expectNear(y, expected, 1e-6);
  }
}

// Division never traps: not in lanes behind the end of a row, not by zero, not of the smallest number by -1.
TEST_P(CpuRegions, IntegerDivision) {
  CompiledKernels kernels(R"(
plan.kernel @divide(%a: tensor<?xi32>, %b: tensor<?xi32>) -> tensor<?xi32> {
  %0 = transom.fused (%a, %b) {
  ^bb0(%x: i32, %y: i32):
    %q = arith.divsi %x, %y : i32
    %r = arith.remsi %x, %y : i32
    %s = arith.addi %q, %r : i32
    transom.yield %s : i32
  } : (tensor<?xi32>, tensor<?xi32>) -> tensor<?xi32>
  plan.yield %0 : tensor<?xi32>
})", GetParam());
  ASSERT_TRUE(kernels);
  Buffer<int32_t> a(std::vector<int32_t>{7, -7, 5, INT32_MIN, INT32_MIN}), b(std::vector<int32_t>{2, 2, 0, -1, 3}), y(5);
  kernels.run("divide", {a, b, y}, {5, 5, 5}, 5);
  int32_t expected[] = {3 + 1, -3 - 1, 0, INT32_MIN, INT32_MIN / 3 + INT32_MIN % 3};
  for (size_t i = 0; i < 5; ++i)
    EXPECT_EQ(y[i], expected[i]) << i;
}

// Integers, booleans and narrow floats through casts, comparisons and selects.
TEST_P(CpuRegions, ElementTypes) {
  CompiledKernels kernels(R"(
plan.kernel @less(%a: tensor<?xi32>, %b: tensor<?xi32>) -> tensor<?xi1> {
  %0 = transom.compare lt %a, %b : (tensor<?xi32>, tensor<?xi32>) -> tensor<?xi1>
  plan.yield %0 : tensor<?xi1>
}
plan.kernel @pick(%c: tensor<?xi1>, %a: tensor<?xbf16>, %b: tensor<?xbf16>) -> tensor<?xbf16> {
  %0 = transom.select %c, %a, %b : (tensor<?xi1>, tensor<?xbf16>, tensor<?xbf16>) -> tensor<?xbf16>
  plan.yield %0 : tensor<?xbf16>
}
plan.kernel @halve(%a: tensor<?xf32>) -> tensor<?xf16> {
  %0 = transom.cast %a to f16 : (tensor<?xf32>) -> tensor<?xf16>
  plan.yield %0 : tensor<?xf16>
}
plan.kernel @narrow(%a: tensor<?xf32>) -> tensor<?xbf16> {
  %0 = transom.cast %a to bf16 : (tensor<?xf32>) -> tensor<?xbf16>
  plan.yield %0 : tensor<?xbf16>
}
plan.kernel @whole(%a: tensor<?xf32>) -> tensor<?xi32> {
  %0 = transom.cast %a to i32 : (tensor<?xf32>) -> tensor<?xi32>
  plan.yield %0 : tensor<?xi32>
}
plan.kernel @divide(%a: tensor<?xi64>, %b: tensor<?xi64>) -> tensor<?xi64> {
  %0 = transom.div %a, %b : (tensor<?xi64>, tensor<?xi64>) -> tensor<?xi64>
  plan.yield %0 : tensor<?xi64>
})", GetParam());
  ASSERT_TRUE(kernels);
  constexpr size_t n = 37;
  Buffer<int32_t> a(n), b(n);
  Buffer<uint8_t> less(n);
  for (size_t i = 0; i < n; ++i)
    a[i] = int32_t(random() % 5) - 2, b[i] = int32_t(random() % 5) - 2;
  kernels.run("less", {a, b, less}, {37, 37, 37}, 37);
  Buffer<uint16_t> p(n), q(n), picked(n), half(n), narrow(n);
  for (size_t i = 0; i < n; ++i)
    p[i] = uint16_t(0x3f80 + i), q[i] = uint16_t(0xbf80 + i);
  kernels.run("pick", {less, p, q, picked}, {37, 37, 37, 37}, 37);
  Buffer<float> x(randoms(n, 100.0f));
  x[0] = 1e20f, x[1] = NAN, x[2] = -INFINITY, x[3] = 65520.0f, x[4] = 1.00390625f;
  Buffer<int32_t> whole(n);
  kernels.run("halve", {x, half}, {37, 37}, 37);
  kernels.run("narrow", {x, narrow}, {37, 37}, 37);
  kernels.run("whole", {x, whole}, {37, 37}, 37);
  EXPECT_EQ(whole[0], INT32_MAX);
  EXPECT_EQ(whole[1], 0);
  EXPECT_EQ(whole[2], INT32_MIN);
  EXPECT_EQ(half[3], 0x7c00); // rounds up to infinity
  EXPECT_EQ(narrow[4], 0x3f80); // a tie: to even
  EXPECT_EQ(narrow[1] & 0x7fff, 0x7fc0);
  for (size_t i = 0; i < n; ++i) {
    EXPECT_EQ(less[i], a[i] < b[i] ? 1 : 0);
    EXPECT_EQ(picked[i], a[i] < b[i] ? p[i] : q[i]);
    if (i > 4)
      EXPECT_EQ(whole[i], int32_t(x[i]));
  }
  Buffer<int64_t> c(std::vector<int64_t>{7, -7, 5, INT64_MIN}), d(std::vector<int64_t>{2, 2, 0, -1}), quotient(4);
  kernels.run("divide", {c, d, quotient}, {4, 4, 4}, 4);
  EXPECT_EQ(std::vector<int64_t>(quotient.data, quotient.data + 4), (std::vector<int64_t>{3, -3, 0, INT64_MIN}));
}

// Row reductions of every kind, with a tail; NaN wins a maximum.
TEST_P(CpuRegions, RowReductions) {
  std::string text;
  for (const char *kind : {"sum", "mean", "max", "min"})
    text += std::string("plan.kernel @") + kind + R"((%a: tensor<?x?xf32>, %b: tensor<?x1xf32>) -> tensor<?x1xf32> {
  %0 = transom.fused reduce )" + kind + R"( (%a, %b) {
  ^bb0(%x: f32, %y: f32):
    %1 = arith.mulf %x, %y : f32
    transom.yield %1 : f32
  } : (tensor<?x?xf32>, tensor<?x1xf32>) -> tensor<?x1xf32>
  plan.yield %0 : tensor<?x1xf32>
}
)";
  CompiledKernels kernels(text, GetParam());
  ASSERT_TRUE(kernels);
  for (int64_t n : {1, 16, 53}) {
    Buffer<float> a(randoms(size_t(6 * n))), b(randoms(6));
    a[size_t(n)] = NAN;
    for (const char *kind : {"sum", "mean", "max", "min"}) {
      Buffer<float> y(6);
      kernels.run(kind, {a, b, y}, {6, n, 6, 6}, 6);
      std::vector<double> expected;
      for (int64_t row = 0; row < 6; ++row) {
        double sum = 0, low = INFINITY, high = -INFINITY;
        for (int64_t i = 0; i < n; ++i) {
          double v = double(a[size_t(row * n + i)]) * double(b[size_t(row)]);
          sum += v, low = std::isnan(v) || v < low ? v : low, high = std::isnan(v) || v > high ? v : high;
        }
        std::string k = kind;
        expected.push_back(row == 1 ? NAN : k == "sum" ? sum : k == "mean" ? sum / double(n) : k == "max" ? high : low);
      }
      expectNear(y, expected, 2e-6);
    }
  }
}

// Every function within 4 units in the last place of fp64's over its range, and at the special values.
TEST_P(CpuRegions, ScalarFunctions) {
  struct Function { const char *name; double (*reference)(double); float range; };
  static constexpr Function functions[] = {
      {"exp", std::exp, 100.0f}, {"log", std::log, 1e6f},   {"tanh", std::tanh, 10.0f}, {"erf", std::erf, 5.0f},
      {"sin", std::sin, 1e5f},   {"cos", std::cos, 1e5f},   {"sqrt", std::sqrt, 1e6f},  {"abs", std::fabs, 1e6f}};
  std::string text;
  for (const Function &f : functions)
    text += "plan.kernel @" + std::string(f.name) + "(%a: tensor<?xf32>) -> tensor<?xf32> {\n  %0 = transom." + f.name +
            " %a : (tensor<?xf32>) -> tensor<?xf32>\n  plan.yield %0 : tensor<?xf32>\n}\n";
  CompiledKernels kernels(text, GetParam());
  ASSERT_TRUE(kernels);
  for (const Function &f : functions) {
    Buffer<float> x(randoms(20000, f.range)), y(20000);
    float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, -1e-42f, 3e38f, -87.5f, 88.8f, -103.9f, 0.625f, 0.925f};
    std::copy(std::begin(special), std::end(special), x.data);
    for (size_t i = 100; i < 5000; ++i)
      x[i] *= 1e-3f;
    kernels.run(f.name, {x, y}, {20000, 20000}, 20000);
    for (size_t i = 0; i < x.size(); ++i) {
      double expected = f.reference(double(x[i]));
      float rounded = float(expected);
      if (std::isnan(rounded)) {
        ASSERT_TRUE(std::isnan(y[i])) << f.name << "(" << x[i] << ")";
      } else if (std::isinf(rounded) || rounded == 0.0f) {
        ASSERT_TRUE(y[i] == rounded && std::signbit(y[i]) == std::signbit(rounded)) << f.name << "(" << x[i] << ") = " << y[i];
      } else if (std::abs(x[i]) < 1e15f) {
        double unit = double(std::nextafter(std::abs(rounded), INFINITY)) - double(std::abs(rounded));
        ASSERT_LE(std::abs(double(y[i]) - expected), 4 * unit) << f.name << "(" << x[i] << ") = " << y[i] << " seed " << seed;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, CpuRegions, testing::Values("x86-64-v3", "x86-64-v4"));

} // namespace
} // namespace transom::test
