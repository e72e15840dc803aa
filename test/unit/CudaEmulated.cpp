// The emulator of CUDA kernels: what it promises of warps, barriers, shared memory, PTX and text, and which faults it names. That it
// runs the kernel library is shown by the lab's checks (ctest CudaLab800, CudaLab750).
#include "test/emulator/ArtifactKernels.h"
#include "test/emulator/Rewrite.h"
#include "test/unit/EmulatedFixture.h"

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

namespace transom::emulator {
namespace {

/// All kernels of these tests, in one library.
const char *kernelText = R"(
struct Wide { long long first; char rest[100]; };

extern "C" __global__ void indices(int *out) {
  int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = 10000 * block + thread;
}
extern "C" __global__ void parameters(int *out, Wide wide, float factor, double more) {
  out[0] = (int)(wide.first + wide.rest[99] + factor * 2 + more);
}
extern "C" __global__ void blockSums(const int *x, int *out) {
  __shared__ int sums[4], total; // four warps
  int v = x[threadIdx.x];
  for (int apart = 16; apart > 0; apart >>= 1)
    v += __shfl_xor_sync(~0u, v, apart);
  if (threadIdx.x % 32 == 0)
    sums[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x == 0)
    total = sums[0] + sums[1] + sums[2] + sums[3];
  __syncthreads();
  out[threadIdx.x] = total;
}
extern "C" __global__ void shuffles(int *out) {
  int lane = threadIdx.x;
  out[lane] = __shfl_up_sync(~0u, lane, 3);
  out[32 + lane] = __shfl_down_sync(~0u, lane, 5);
  out[64 + lane] = __shfl_sync(~0u, lane, 7, 16);
  out[96 + lane] = __shfl_xor_sync(~0u, lane, 9);
  out[128 + lane] = __shfl_down_sync(~0u, lane, 1, 8);
  out[160 + lane] = (int)__ballot_sync(~0u, lane % 3 == 0);
  long long wide = __shfl_sync(~0u, (long long)lane << 40, 31);
  out[192 + lane] = (int)(wide >> 40);
}
extern "C" __global__ void halves(int *out) {
  // Each half of the warp meets by itself, the second with another lane gone.
  int lane = threadIdx.x;
  if (lane == 20)
    return;
  unsigned mask = lane < 16 ? 0xffffu : 0xffff0000u;
  out[lane] = __popc(__ballot_sync(mask, 1));
}
extern "C" __global__ void ended(int *out) {
  if (threadIdx.x >= 40)
    return;
  __syncthreads();
  out[threadIdx.x] = __syncthreads_count(threadIdx.x % 2);
}
extern "C" __global__ void dynamic(float *out, int n) {
  extern __shared__ __align__(128) char shared[];
  float *x = (float *)shared;
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    x[n - 1 - i] = i;
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    out[i] = x[i];
}
extern "C" __global__ void unset(float *out) {
  __shared__ float x[2];
  if (threadIdx.x == 0 && blockIdx.x == 0)
    x[0] = 1.0f;
  __syncthreads();
  out[2 * blockIdx.x + threadIdx.x] = x[threadIdx.x];
}
extern "C" __global__ void neighbours(int *out) { // without the barrier that it needs
  __shared__ int x[64];
  x[threadIdx.x] = threadIdx.x;
  out[threadIdx.x] = x[63 - threadIdx.x];
}
extern "C" __global__ void counts(int *counter, unsigned long long *largest, float *sum) {
  atomicAdd(counter, 1);
  atomicMax(largest, (unsigned long long)threadIdx.x << 33);
  atomicAdd(sum, 0.5f);
}
extern "C" __global__ void convert(const float *x, unsigned short *half, unsigned short *bfloat, float *back) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half[i]) : "f"(x[i]));
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bfloat[i]) : "f"(x[i]));
  asm("cvt.f32.f16 %0, %1;" : "=f"(back[i]) : "h"(half[i]));
}
extern "C" __global__ void multiply(const unsigned *a, const unsigned *b, float *c) {
  const unsigned *x = a + 4 * threadIdx.x, *y = b + 2 * threadIdx.x;
  float *d = c + 4 * threadIdx.x;
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
}
extern "C" __global__ void matrices(const unsigned short *x, unsigned *plain, unsigned *transposed) {
  __shared__ __align__(16) unsigned short tile[4][8][8];
  for (int i = threadIdx.x; i < 256; i += 32)
    tile[i / 64][i / 8 % 8][i % 8] = x[i];
  __syncwarp();
  unsigned address = (unsigned)__cvta_generic_to_shared(&tile[threadIdx.x / 8][threadIdx.x % 8][0]);
  unsigned *p = plain + 4 * threadIdx.x, *t = transposed + 4 * threadIdx.x;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(p[0]), "=r"(p[1]), "=r"(p[2]), "=r"(p[3]) : "r"(address));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(t[0]), "=r"(t[1]), "=r"(t[2]), "=r"(t[3]) : "r"(address));
}
extern "C" __global__ void copies(const int *x, int *out, int valid) {
  __shared__ __align__(16) int to[8];
  unsigned address = (unsigned)__cvta_generic_to_shared(to);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(x), "r"(16) : "memory");
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address + 16), "l"(x + 4), "r"(valid) : "memory");
  asm volatile("cp.async.commit_group;" ::: "memory");
  asm volatile("cp.async.wait_group %0;" ::"n"(0) : "memory");
  for (int i = 0; i < 8; ++i)
    out[i] = to[i];
}

// What breaks the rules.
extern "C" __global__ void divergent(int *out) {
  if (threadIdx.x <= 32)
    __syncthreads();
  else
    __syncwarp();
}
extern "C" __global__ void differing(int *out) {
  if (threadIdx.x < 16)
    out[0] = __shfl_xor_sync(~0u, 1, 1);
  else
    __syncwarp();
}
extern "C" __global__ void outside(int *out) {
  __shared__ int x[4];
  x[0] = 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(16), "l"(out), "r"(16) : "memory");
}
extern "C" __global__ void trapped(int *out) {
  if (blockIdx.x == 2 && threadIdx.x == 5)
    asm volatile("trap;");
}
extern "C" __global__ void greedy(int *out) {
  __shared__ int x[60000];
  x[threadIdx.x] = 0;
  out[0] = x[0];
}
)";

class Emulated : public EmulatedKernels {
protected:
  static void SetUpTestSuite() { build(kernelText); }

  template <class... A> Status run(const char *name, LaunchShape shape, A... arguments) { return runWith({}, name, shape, arguments...); }
  template <class... A> Status runIn(Order order, const char *name, LaunchShape shape, A... arguments) {
    return runWith({.order = order}, name, shape, arguments...);
  }
};

// Every thread of every block runs once, with its own indices.
TEST_F(Emulated, Indices) {
  std::vector<int> out(2 * 3 * 2 * 4 * 3 * 2, -1);
  ASSERT_EQ(run("indices", {{2, 3, 2}, {4, 3, 2}}, out.data()).message(), "");
  for (int i = 0; i < static_cast<int>(out.size()); ++i)
    EXPECT_EQ(out[static_cast<size_t>(i)], 10000 * (i / 24) + i % 24);
}

// Parameters of any type arrive by value, and the table says which are pointers.
TEST_F(Emulated, Parameters) {
  struct Wide {
    long long first = 1000;
    char rest[100] = {};
  } wide;
  wide.rest[99] = 5;
  int out = 0;
  ASSERT_EQ(run("parameters", {1, 1}, &out, wide, 3.5f, 0.25).message(), "");
  EXPECT_EQ(out, 1012);
  const Entry *entry = library->find("parameters");
  EXPECT_TRUE(entry->parameters[0].pointer);
  EXPECT_FALSE(entry->parameters[1].pointer);
  EXPECT_EQ(entry->parameters[1].bytes, sizeof(Wide));
}

// Shuffles and barriers in both orders of threads.
TEST_F(Emulated, SumsOfBlocks) {
  std::vector<int> x(128), out(128);
  std::iota(x.begin(), x.end(), 7);
  for (Order order : {Order::forward, Order::reverse}) {
    out.assign(128, 0);
    ASSERT_EQ(runIn(order, "blockSums", {3, 128}, x.data(), out.data()).message(), "");
    EXPECT_EQ(out, std::vector<int>(128, std::accumulate(x.begin(), x.end(), 0)));
  }
}

TEST_F(Emulated, Shuffles) {
  std::vector<int> out(224);
  ASSERT_EQ(run("shuffles", {1, 32}, out.data()).message(), "");
  for (int lane = 0; lane < 32; ++lane) {
    auto at = [&](int row) { return out[static_cast<size_t>(32 * row + lane)]; };
    EXPECT_EQ(at(0), lane < 3 ? lane : lane - 3);
    EXPECT_EQ(at(1), lane > 26 ? lane : lane + 5);
    EXPECT_EQ(at(2), lane < 16 ? 7 : 23);
    EXPECT_EQ(at(3), lane ^ 9);
    EXPECT_EQ(at(4), lane % 8 == 7 ? lane : lane + 1);
    EXPECT_EQ(static_cast<unsigned>(at(5)), 0x49249249u);
    EXPECT_EQ(at(6), 31);
  }
}

// Collectives of parts of a warp, and of lanes that live: those that have ended are not waited for.
TEST_F(Emulated, PartsOfWarps) {
  std::vector<int> out(32, -1);
  ASSERT_EQ(run("halves", {1, 32}, out.data()).message(), "");
  for (size_t lane = 0; lane < 32; ++lane)
    EXPECT_EQ(out[lane], lane == 20 ? -1 : lane < 16 ? 16 : 15);
}

TEST_F(Emulated, ThreadsThatEndedAreNotWaitedFor) {
  std::vector<int> out(100, -1);
  ASSERT_EQ(run("ended", {1, 100}, out.data()).message(), "");
  for (size_t i = 0; i < 100; ++i)
    EXPECT_EQ(out[i], i < 40 ? 20 : -1);
}

TEST_F(Emulated, DynamicSharedMemory) {
  std::vector<float> out(1000);
  ASSERT_EQ(run("dynamic", {1, 96, 4000}, out.data(), 1000).message(), "");
  for (size_t i = 0; i < 1000; ++i)
    EXPECT_EQ(out[i], static_cast<float>(999 - i));
}

// Shared memory that no thread of the block has written is NaN, in later blocks too.
TEST_F(Emulated, UnsetSharedMemoryIsNaN) {
  std::vector<float> out(4);
  ASSERT_EQ(run("unset", {2, 2}, out.data()).message(), "");
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_TRUE(std::isnan(out[1]) && std::isnan(out[2]) && std::isnan(out[3]));
}

// A missing barrier shows: what a thread reads of its neighbours depends on the order.
TEST_F(Emulated, MissingBarrierDependsOnTheOrder) {
  std::vector<int> forward(64), reverse(64);
  ASSERT_EQ(runIn(Order::forward, "neighbours", {1, 64}, forward.data()).message(), "");
  ASSERT_EQ(runIn(Order::reverse, "neighbours", {1, 64}, reverse.data()).message(), "");
  EXPECT_NE(forward, reverse);
}

TEST_F(Emulated, Atomics) {
  int counter = 0;
  unsigned long long largest = 0;
  float sum = 0;
  ASSERT_EQ(run("counts", {5, 100}, &counter, &largest, &sum).message(), "");
  EXPECT_EQ(counter, 500);
  EXPECT_EQ(largest, 99ull << 33);
  EXPECT_EQ(sum, 250.0f);
}

// Conversions round to nearest even: against the halves of the compiler for every bit pattern's neighbourhood.
TEST_F(Emulated, Conversions) {
  std::vector<float> x = {0.0f, -0.0f, 1.0f, 65504.0f, 65519.996f, 65520.0f, INFINITY, -INFINITY, 0x1p-24f, 0x1p-25f, 0x1.8p-25f, 0x1.000001p-25f,
                          0x1p-14f, 0x1.ffcp-15f, 0x1.ffep-15f, 0x1.fffp-15f, 1.00048828125f, 1.00146484375f, 3.4e38f, -1e-40f};
  std::mt19937 random(1);
  while (x.size() < 64 * 256) {
    float v = std::ldexp(std::uniform_real_distribution<float>(-2, 2)(random), std::uniform_int_distribution<int>(-30, 18)(random));
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    bits &= x.size() % 2 ? ~0u : 0xfffff000u; // ties
    std::memcpy(&v, &bits, 4);
    x.push_back(v);
  }
  std::vector<uint16_t> half(x.size()), bfloat(x.size());
  std::vector<float> back(x.size());
  ASSERT_EQ(run("convert", {64, 256}, x.data(), half.data(), bfloat.data(), back.data()).message(), "");
  for (size_t i = 0; i < x.size(); ++i) {
    // The nearest half by its definition: a multiple of the step of its exponent.
    double size = std::fabs(static_cast<double>(x[i]));
    int exponent = size < 0x1p-14 ? -14 : std::ilogb(size);
    double step = std::ldexp(1.0, exponent - 10), nearest = std::isinf(size) ? size : std::nearbyint(size / step) * step;
    double expected = std::copysign(nearest >= 65520 ? INFINITY : nearest, x[i]);
    EXPECT_EQ(back[i], static_cast<float>(expected)) << x[i];
    uint32_t bits = static_cast<uint32_t>(bfloat[i]) << 16;
    float v;
    std::memcpy(&v, &bits, 4);
    if (std::isinf(x[i]) || std::fabs(x[i]) < 0x1p-126f)
      continue;
    double unit = std::ldexp(1.0, std::ilogb(size) - 7);
    EXPECT_EQ(v, static_cast<float>(std::copysign(std::nearbyint(size / unit) * unit, x[i]))) << x[i];
  }
}

uint16_t bfloatOf(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, 4);
  return static_cast<uint16_t>(bits >> 16);
}

// mma.m16n8k16 on fragments as the PTX ISA's figures have them: groupID = lane >> 2, threadID_in_group = lane % 4.
TEST_F(Emulated, MatrixProduct) {
  float a[16][16], b[16][8];
  for (int i = 0; i < 256; ++i)
    a[i / 16][i % 16] = static_cast<float>(i * 37 % 41 - 20);
  for (int i = 0; i < 128; ++i)
    b[i / 8][i % 8] = static_cast<float>(i * 23 % 31 - 15);
  std::vector<uint32_t> fragmentsA(128), fragmentsB(64);
  std::vector<float> c(128);
  for (int lane = 0; lane < 32; ++lane) {
    int group = lane >> 2, thread = lane % 4;
    for (int i = 0; i < 8; ++i) { // a_i
      int row = (i < 2 || (i >= 4 && i < 6)) ? group : group + 8, column = thread * 2 + (i & 1) + (i >= 4 ? 8 : 0);
      fragmentsA[static_cast<size_t>(lane * 4 + i / 2)] |= static_cast<uint32_t>(bfloatOf(a[row][column])) << 16 * (i & 1);
    }
    for (int i = 0; i < 4; ++i) { // b_i
      int row = thread * 2 + (i & 1) + (i >= 2 ? 8 : 0);
      fragmentsB[static_cast<size_t>(lane * 2 + i / 2)] |= static_cast<uint32_t>(bfloatOf(b[row][group])) << 16 * (i & 1);
    }
    for (int i = 0; i < 4; ++i)
      c[static_cast<size_t>(lane * 4 + i)] = static_cast<float>(lane);
  }
  ASSERT_EQ(run("multiply", {1, 32}, fragmentsA.data(), fragmentsB.data(), c.data()).message(), "");
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) { // c_i
      int row = i < 2 ? lane >> 2 : (lane >> 2) + 8, column = lane % 4 * 2 + (i & 1);
      float sum = static_cast<float>(lane);
      for (int k = 0; k < 16; ++k)
        sum += a[row][k] * b[k][column];
      EXPECT_EQ(c[static_cast<size_t>(lane * 4 + i)], sum) << lane << " " << i;
    }
}

TEST_F(Emulated, MatrixLoads) {
  std::vector<uint16_t> x(256);
  std::iota(x.begin(), x.end(), uint16_t(100));
  std::vector<uint32_t> plain(128), transposed(128);
  ASSERT_EQ(run("matrices", {1, 32}, x.data(), plain.data(), transposed.data()).message(), "");
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t tile = 0; tile < 4; ++tile) {
      auto at = [&](uint32_t row, uint32_t column) { return static_cast<uint32_t>(x[tile * 64 + row * 8 + column]); };
      uint32_t g = lane / 4, t = lane % 4;
      EXPECT_EQ(plain[lane * 4 + tile], at(g, 2 * t) | at(g, 2 * t + 1) << 16);
      EXPECT_EQ(transposed[lane * 4 + tile], at(2 * t, g) | at(2 * t + 1, g) << 16);
    }
}

// cp.async fills with zeros behind what it is told to read.
TEST_F(Emulated, AsynchronousCopies) {
  alignas(16) int x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<int> out(8);
  ASSERT_EQ(run("copies", {1, 1}, static_cast<int *>(x), out.data(), 8).message(), "");
  EXPECT_EQ(out, (std::vector<int>{1, 2, 3, 4, 5, 6, 0, 0}));
}

//===-- Faults ------------------------------------------------------------------------------------------------------===//

// A barrier that some threads never reach ends the launch with an error that says who waits where.
TEST_F(Emulated, Deadlock) {
  int out = 0;
  EXPECT_EQ(run("divergent", {1, 64}, &out).message(),
            "kernel divergent: block (0, 0, 0): deadlock: 33 threads at __syncthreads (the first is 0), 31 at a collective of their warp "
            "(the first is 33), 0 have ended");
  // The machine is as good as new.
  std::vector<int> x(128, 1), sums(128);
  EXPECT_EQ(run("blockSums", {1, 128}, x.data(), sums.data()).message(), "");
  EXPECT_EQ(sums[5], 128);
}

TEST_F(Emulated, DifferentCollectives) {
  int out = 0;
  EXPECT_EQ(run("differing", {1, 32}, &out).message(), "kernel differing: block (0, 0, 0): thread (16, 0, 0): lanes of one warp are at different collectives");
}

TEST_F(Emulated, SharedMemoryOutOfBounds) {
  int out[4] = {};
  EXPECT_EQ(run("outside", {1, 1}, static_cast<int *>(out)).message(),
            "kernel outside: block (0, 0, 0): thread (0, 0, 0): an access of 16 bytes at 16 of shared memory, of which there are 16");
  EXPECT_EQ(run("greedy", {1, 1}, static_cast<int *>(out)).message(),
            "kernel greedy: block (0, 0, 0): thread (0, 0, 0): 240000 bytes of shared memory, more than the 232448 of the device");
}

TEST_F(Emulated, Trap) {
  int out = 0;
  EXPECT_EQ(run("trapped", {4, 32}, &out).message(), "kernel trapped: block (2, 0, 0): thread (5, 0, 0): the kernel executed a trap");
}

TEST_F(Emulated, ShapesAreChecked) {
  int out = 0;
  EXPECT_EQ(run("trapped", {1, {32, 33, 1}}, &out).message(), "kernel trapped: a grid of 1x1x1 blocks of 32x33x1 threads");
  EXPECT_EQ(run("trapped", {{1, 0, 1}, 1}, &out).code(), StatusCode::invalidArgument);
}

//===-- Text --------------------------------------------------------------------------------------------------------===//

// What is rewritten keeps its lines; comments and literals stay.
TEST(EmulatedText, Rewrite) {
  auto text = [](std::string_view in) {
    auto out = rewriteCuda(in, "x.cuh");
    return out.ok() ? *out : "error: " + out.status().message();
  };
  EXPECT_EQ(text("// asm __shared__\nint a = 1; /* threadIdx */ const char *s = \"asm(\";"),
            "// asm __shared__\nint a = 1; /* threadIdx */ const char *s = \"asm(\";");
  EXPECT_EQ(text("config.gridDim = how->blockDim;"), "config.gridDim = how->blockDim;");
  EXPECT_EQ(text("asm volatile(\"a.b::c {%1, %0},\"\n\" [%2], 16;\\nd;\" : \"=r\"(v.x), \"=r\"(f(a, b)) : \"l\"(p) : \"memory\");"),
            "do { ::emulated::ptx_a_b_c((f(a, b)), (v.x), (p), 16); ::emulated::ptx_d(); } while (0)\n;");
  // Registers and labels of the asm's own, predicates; `.shared::cta` is what `.shared` means.
  EXPECT_EQ(text("asm(\"{ .reg .pred p, q; setp.ne.b32 p, %1, -1;\\nagain:\\n@!p bra again;\\n@q ld.shared::cta.u32 %0, [_], 4; }\" : \"=r\"(p) : \"r\"(q));"),
            "do { { bool p_ptx0, q_ptx0; ::emulated::ptx_setp_ne_b32(p_ptx0, (q), -1); again_ptx0: if (!p_ptx0) goto again_ptx0; "
            "if (q_ptx0) ::emulated::ptx_ld_shared_u32((p), 4); } } while (0);");
  EXPECT_EQ(text("template <int n> __global__ void __cluster_dims__(n, 1, 1)\n__launch_bounds__(64) k(int *x) { f(); }"),
            "template <int n> __global__ void \nk(int *x) { ::emulated::formCluster(0 __cluster_dims__(n, 1, 1) __launch_bounds__(64) ); f(); }");
  EXPECT_EQ(text("__global__ void k(int *x);"), "__global__ void k(int *x);");
  EXPECT_EQ(text("extern __shared__ __align__(128) char shared[];"),
            "char *const shared = static_cast<char *>(::emulated::dynamicShared());");
  EXPECT_EQ(text("__shared__ Pair<int, 2> a, b[n][2];"),
            "struct EmulatedShared0 { Pair<int, 2> a, b[n][2]; }; auto &a = ::emulated::sharedVariables<EmulatedShared0>().a; "
            "auto &b = ::emulated::sharedVariables<EmulatedShared0>().b;");
  EXPECT_EQ(text("asm(\".reg .b128 x;\");"), "error: x.cuh(1): expected registers of a type that the emulator has behind .reg");
  EXPECT_EQ(text("\nasm(\"x %3;\" :: \"r\"(a));"), "error: x.cuh(2): asm names the operand %3, which it does not have");
}

// What the compiler refuses is named by kernel and line; so is PTX that the emulator lacks.
TEST(EmulatedText, CompilerErrors) {
  std::vector<Text> kernels = {{"bad", "extern \"C\" __global__ void bad(int *x) {\n  asm(\"frobnicate.u32 %0;\" : \"=r\"(x[0]));\n}\n"}};
  auto path = buildKernels({}, kernels);
  ASSERT_FALSE(path.ok());
  EXPECT_NE(path.status().message().find("bad:2:"), std::string::npos) << path.status().message();
  EXPECT_NE(path.status().message().find("ptx_frobnicate_u32"), std::string::npos) << path.status().message();
}

// Helpers of equal names in different kernels do not meet, and headers are found by their names.
TEST(EmulatedText, KernelsAreApart) {
  artifact::Contents contents;
  contents.cudaHeaders = {{"Shared.cuh", "#pragma once\nnamespace transom::cuda { struct Twice { int n; }; __device__ inline int twice(Twice t) { return 2 * t.n; } }\n"}};
  auto source = [](const char *name, const char *value) {
    return artifact::CudaKernel{name, fmt::format("#include \"Shared.cuh\"\nusing namespace transom::cuda;\nstruct Region {{ int v = {}; }};\n"
                                                  "extern \"C\" __global__ void {}(int *x) {{ *x = twice({{Region().v}}); }}\n", value, name), {1}, 0, 0};
  };
  contents.cudaKernels = {source("five", "5"), source("six", "6")};
  auto path = buildArtifactKernels(contents);
  ASSERT_EQ(path.status().message(), "");
  auto library = KernelLibrary::open(*path);
  ASSERT_EQ(library.status().message(), "");
  int values[2] = {};
  const char *names[] = {"five", "six"};
  for (int i = 0; i < 2; ++i) {
    int *to = &values[i];
    void *arguments[] = {&to};
    EXPECT_EQ(launch(*(*library)->find(names[i]), {1, 1}, arguments).message(), "");
  }
  EXPECT_EQ(values[0], 10);
  EXPECT_EQ(values[1], 12);
  EXPECT_EQ((*library)->find("seven"), nullptr);
}

} // namespace
} // namespace transom::emulator
