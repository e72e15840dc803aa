// wgmma on the emulator: products of every kind and layout against plain loops, in every order of threads and timing, and the faults that
// it names.
#include "test/unit/EmulatedFixture.h"

#include <cmath>
#include <cstring>
#include <random>

namespace transom::emulator {
namespace {

struct Instruction {
  const char *number; ///< "f16", "bf16", "e4m3"
  int n;
  bool inShared; ///< A
  int negateA = 1, negateB = 1, transposeA = 0, transposeB = 0, scale = 1;

  int k() const { return std::string_view(number) == "e4m3" ? 32 : 16; }
  std::string name() const {
    auto sign = [](int v) { return v < 0 ? "n" : "p"; };
    return fmt::format("product_{}_{}_{}_{}{}_{}{}{}", number, n, inShared ? "s" : "r", sign(negateA), sign(negateB), transposeA, transposeB, scale);
  }
  /// `image` to shared memory, then two products in a row on the same sums, both of all of A and B.
  std::string text() const {
    std::string sums, outputs;
    for (int i = 0; i < n / 2; ++i)
      sums += fmt::format("{}%{}", i ? ", " : "", i), outputs += fmt::format("{}\"+f\"(c[{}])", i ? ", " : "", i);
    int at = n / 2 + 1;
    std::string a = inShared ? fmt::format("%{}", at) : fmt::format("{{%{}, %{}, %{}, %{}}}", at, at + 1, at + 2, at + 3);
    std::string inputs = inShared ? "\"l\"(a)" : "\"r\"(r.x), \"r\"(r.y), \"r\"(r.z), \"r\"(r.w)";
    std::string flags = fmt::format(", {}, {}", negateA, negateB);
    if (k() == 16)
      flags += (inShared ? fmt::format(", {}", transposeA) : "") + fmt::format(", {}", transposeB);
    return fmt::format(R"(
extern "C" __global__ void {0}(const char *image, int bytes, uint64 a, uint64 b, const uint4 *registers, float *sums, int fault) {{
  extern __shared__ __align__(1024) char shared[];
  for (int i = threadIdx.x; i < bytes; i += blockDim.x)
    shared[i] = image[i];
  if (fault != 1)
    fenceAsyncProxy();
  __syncthreads();
  float *own = sums + threadIdx.x * {1}, c[{1}];
  uint4 r = registers[threadIdx.x];
  for (int i = 0; i < {1}; ++i)
    c[i] = own[i];
  if (fault != 2)
    beginProducts();
  if (fault == 6 && threadIdx.x >= 96)
    b += 1;
  for (int i = 0; i < 2; ++i)
    asm volatile("{{\n.reg .pred p;\nsetp.ne.b32 p, %{2}, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n{3}k{4}.f32.{5}.{5} {{{6}}}, {7}, %{8}, p{9};\n}}"
                 : {10} : "r"({11}), {12}, "l"(b));
  commitProducts();
  if (fault == 3)
    c[0] += 1.0f;
  if (fault == 4)
    own[0] = c[0];
  if (fault != 5)
    waitProducts<0>();
  for (int i = fault == 4; i < {1}; ++i)
    own[i] = c[i];
}}
)",
                       name(), n / 2, n / 2, n, k(), number, sums, a, n / 2 + (inShared ? 2 : 5), flags, outputs, scale ? "1" : "i", inputs);
  }
};

const Instruction instructions[] = {
    {"bf16", 8, true},
    {"f16", 24, true, 1, -1},
    {"bf16", 128, true, 1, 1, 0, 1},
    {"f16", 256, true, -1, 1, 1, 0},
    {"f16", 64, true, 1, 1, 1, 1, 0},
    {"bf16", 64, false, 1, 1, 0, 1},
    {"f16", 176, false, -1, -1},
    {"e4m3", 96, true},
    {"e4m3", 32, false},
};

class Products : public EmulatedKernels {
protected:
  static void SetUpTestSuite() {
    std::string text = "#include \"Wgmma.cuh\"\nusing namespace transom::cuda;\n";
    for (const Instruction &instruction : instructions)
      text += instruction.text();
    build(text, sm90());
  }
};

/// Bits of a number with `exponent` and `mantissa` bits, of which it needs no more.
uint16_t bitsOf(float v, int exponent, int mantissa) {
  if (v == 0)
    return 0;
  int e = std::ilogb(v), bias = (1 << (exponent - 1)) - 1;
  auto fraction = static_cast<int>(std::ldexp(std::fabs(v), mantissa - e)) - (1 << mantissa);
  return static_cast<uint16_t>((v < 0) << (exponent + mantissa) | (e + bias) << mantissa | fraction);
}
uint16_t bitsOf(const char *number, float v) {
  std::string_view name = number;
  return name == "f16" ? bitsOf(v, 5, 10) : name == "bf16" ? bitsOf(v, 8, 7) : bitsOf(v, 4, 3);
}

/// A matrix in shared memory in one of the canonical layouts of wgmma ("Shared Memory Matrix Layout"): 8 rows of 16 bytes, or of `span`, at a
/// time. It begins `shift` bytes into its rows.
struct Layout {
  uint32_t start, span, outer, k, bytes;
  bool transposed;
  uint32_t shift() const { return !transposed && span > 32 ? 32 : 0; }
  uint32_t groups() const { return (transposed ? k : outer) / 8; } ///< of 8 rows
  uint32_t leading() const { return span != 0 ? groups() * 8 * span : 128 + 16; }
  uint32_t stride() const { return span != 0 ? 8 * span : 2 * leading() + 32; }
  uint64_t descriptor() const {
    uint64_t mode = span == 0 ? 0 : span == 128 ? 1 : span == 64 ? 2 : 3;
    return (start + shift()) >> 4 | uint64_t(leading() >> 4) << 16 | uint64_t(stride() >> 4) << 32 | mode << 62;
  }
  uint32_t at(uint32_t o, uint32_t i) const {
    if (span == 0 && transposed) // 8 x 8 cores; to the next in the inner dimension: leading
      return start + i % 8 * 16 + o % 8 * bytes + i / 8 * leading() + o / 8 * stride();
    if (span == 0)
      return start + o % 8 * 16 + i * bytes % 16 + i * bytes / 16 * leading() + o / 8 * stride();
    uint32_t row = transposed ? i : o, byte = (transposed ? o : i) * bytes + shift(), run = byte / span;
    uint32_t piece = byte % span / 16 ^ (row / (128 / span) % (span / 16));
    return start + run * leading() + row * span + piece * 16 + byte % 16;
  }
};

struct ProductCase {
  const Instruction &in;
  std::vector<float> a, b, sums, expected;
  std::vector<char> image;
  std::vector<uint32_t> registers;
  Layout left, right;

  ProductCase(const Instruction &in, uint32_t span) : in(in), image(96 * 1024, -1), registers(4 * 128) {
    auto k = static_cast<size_t>(in.k()), n = static_cast<size_t>(in.n);
    uint32_t bytes = k == 32 ? 1 : 2;
    std::mt19937 random(span + 1);
    auto numbers = [&](size_t count) {
      std::vector<float> v(count);
      for (float &x : v)
        x = static_cast<float>(std::uniform_int_distribution<int>(-8, 8)(random)) / 4;
      return v;
    };
    a = numbers(64 * k), b = numbers(n * k), sums = numbers(64 * n);
    left = {1024, span, 64, in.k() * 1u, bytes, in.transposeA != 0};
    right = {32 * 1024, span, in.n * 1u, in.k() * 1u, bytes, in.transposeB != 0};
    auto put = [&](char *to, float v) {
      uint16_t bits = bitsOf(in.number, v);
      std::memcpy(to, &bits, bytes);
    };
    for (size_t i = 0; i < k; ++i) {
      for (size_t m = 0; m < 64; ++m)
        put(&image[left.at(static_cast<uint32_t>(m), static_cast<uint32_t>(i))], a[m * k + i]);
      for (size_t o = 0; o < n; ++o)
        put(&image[right.at(static_cast<uint32_t>(o), static_cast<uint32_t>(i))], b[o * k + i]);
    }
    // Of lane 4 g + t of warp w: rows 16 w + g and 8 further down.
    for (size_t thread = 0; thread < 128; ++thread) {
      size_t row = thread / 32 * 16 + thread % 32 / 4, t = thread % 4, each = 4 / bytes;
      for (size_t word = 0; word < 4; ++word)
        for (size_t j = 0; j < each; ++j)
          put(reinterpret_cast<char *>(&registers[4 * thread + word]) + j * bytes, a[(row + word % 2 * 8) * k + word / 2 * k / 2 + t * each + j]);
      for (size_t i = 0; i < n / 2; ++i) {
        size_t m = row + i / 2 % 2 * 8, o = i / 4 * 8 + 2 * t + i % 2;
        float dot = 0;
        for (size_t j = 0; j < k; ++j)
          dot += a[m * k + j] * b[o * k + j];
        expected.push_back((in.scale ? sums[thread * (n / 2) + i] : 0) + 2 * dot * static_cast<float>(in.negateA * in.negateB));
      }
    }
  }
};

// Each instruction on operands of every layout, two in a row; quarters are exact in all number formats, and so are the sums.
TEST_F(Products, EachKindAndLayout) {
  for (const Instruction &in : instructions)
    for (uint32_t span : {0u, 32u, 64u, 128u}) {
      ProductCase c(in, span);
      for (const LaunchOptions &options : allOptions) {
        std::vector<float> out = c.sums;
        ASSERT_EQ(run(options, in.name().c_str(), {1, 128, 96 * 1024}, c.image.data(), 96 * 1024, c.left.descriptor(), c.right.descriptor(),
                      c.registers.data(), out.data(), 0),
                  "");
        EXPECT_EQ(out, c.expected) << in.name() << " swizzled by " << span;
      }
    }
}

TEST_F(Products, UsedWrongly) {
  ProductCase c(instructions[0], 128);
  const std::string name = c.in.name();
  std::vector<float> out;
  auto what = [&](Timing timing, int fault) {
    out = c.sums;
    std::string message = run({Order::forward, timing}, name.c_str(), {1, 128, 96 * 1024}, c.image.data(), 96 * 1024, c.left.descriptor(), c.right.descriptor(),
                              c.registers.data(), out.data(), fault),
                thread = "0): ";
    return message.substr(message.empty() ? 0 : message.rfind(thread) + thread.size());
  };
  EXPECT_EQ(what(Timing::eager, 1), "");
  EXPECT_TRUE(std::isnan(out[0])) << "shared memory that no fence has shown to the product";
  EXPECT_EQ(what(Timing::eager, 2), "wgmma on registers that may have been used since the last wgmma.fence");
  EXPECT_EQ(what(Timing::lazy, 3), "register 0 of a product's sums was written before the product was waited for");
  EXPECT_EQ(what(Timing::lazy, 4), "");
  EXPECT_TRUE(std::isnan(out[0])) << "a sum that is read before the product is waited for";
  EXPECT_EQ(what(Timing::eager, 5), "the thread ends before its products (wgmma) are waited for");
  EXPECT_EQ(what(Timing::eager, 6), "wgmma differs from that of another warp of the warpgroup");
  c.right.start = 95 * 1024;
  EXPECT_EQ(what(Timing::eager, 0), "");
  c.right.start = 96 * 1024;
  EXPECT_EQ(what(Timing::eager, 0), "wgmma: the second operand leaves the block's shared memory");
}

} // namespace
} // namespace transom::emulator
