// What the emulator has of sm_90: barriers in shared memory, named ones and clusters', boxes of tensors, products of warpgroups, each
// against plain loops, in every order of threads and timing; and the faults that it names. Whole kernels: ctest CudaLab.
#include "test/emulator/TensorMap.h"
#include "test/unit/EmulatedFixture.h"

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

namespace transom::emulator {
namespace {

const char *kernelText = R"(
#include "Wgmma.cuh"
using namespace transom::cuda;

/// The places of dynamic shared memory: barriers, then data from 1024 on.
struct Barriers { uint64 full[2], empty[2], other; };
DEVICE char *dynamic() {
  extern __shared__ __align__(1024) char shared[];
  return shared;
}
DEVICE uint32 barrier(int i) { return 8 * i; }
DEVICE void start(int barriers, int arrivals) {
  if (threadIdx.x == 0) {
    for (int i = 0; i < barriers; ++i)
      initBarrier(barrier(i), arrivals);
    fenceBarrierInit();
  }
  __syncthreads();
}

// A ring of two places: warp 0 fills, warp 1 adds up.
extern "C" __global__ void ring(const int *x, int *sums, int n) {
  int *places = (int *)(dynamic() + 1024);
  start(4, 32);
  int lane = threadIdx.x % 32, sum = 0;
  for (int i = 0; i < n; ++i) {
    uint32 full = barrier(i % 2), empty = barrier(2 + i % 2), round = i / 2 & 1;
    if (threadIdx.x < 32) {
      waitBarrier(empty, round ^ 1);
      places[i % 2 * 32 + lane] = x[32 * i + lane];
      arrive(full);
    } else {
      waitBarrier(full, round);
      sum += places[i % 2 * 32 + (lane ^ 1)];
      arrive(empty);
    }
  }
  if (threadIdx.x >= 32)
    sums[lane] = sum;
}
// Warps take turns in a ring of named barriers.
extern "C" __global__ void turns(int *order) {
  int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  if (warp == warps - 1)
    arriveNamed(1, 64);
  for (int i = 0; i < 3; ++i) {
    syncNamed(1 + warp, 64);
    if (threadIdx.x % 32 == 0)
      order[atomicAdd(order + 63, 1)] = warp;
    if (i < 2 || warp < warps - 1)
      arriveNamed(1 + (warp + 1) % warps, 64);
  }
}
extern "C" __global__ void __cluster_dims__(4, 1, 1) __launch_bounds__(64) clusterSums(const int *x, int *sums) {
  __shared__ int own;
  int rank = blockIdx.x % 4;
  if (threadIdx.x == 0)
    own = x[blockIdx.x];
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
  int sum = 0;
  for (int other = 0; other < 4; ++other) {
    uint32 there, v;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"((uint32)__cvta_generic_to_shared(&own)), "r"(other));
    asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(v) : "r"(there) : "memory");
    sum += v * (other == rank ? 100 : 1);
  }
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
  sums[64 * blockIdx.x + threadIdx.x] = sum;
}

// Boxes. `bytes` of the box, as they lie in shared memory, go to `out`.
template <class Copy> DEVICE void loadOne(Copy copy, char *out, int bytes) {
  start(1, 1);
  if (threadIdx.x == 0) {
    expectBytes(barrier(0), bytes);
    copy(1024, barrier(0));
  }
  waitBarrier(barrier(0), 0);
  for (int i = threadIdx.x; i < bytes; i += blockDim.x)
    out[i] = dynamic()[1024 + i];
}
extern "C" __global__ void load2(const __grid_constant__ TensorMap map, char *out, int bytes, int4 at) {
  const TensorMap *p = &map;
  loadOne([&](uint32 to, uint32 full) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
                 ::"r"(to), "l"(p), "r"(full), "r"(at.x), "r"(at.y) : "memory");
  }, out, bytes);
}
extern "C" __global__ void load3(const __grid_constant__ TensorMap map, char *out, int bytes, int4 at) {
  const TensorMap *p = &map;
  loadOne([&](uint32 to, uint32 full) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];"
                 ::"r"(to), "l"(p), "r"(full), "r"(at.x), "r"(at.y), "r"(at.z) : "memory");
  }, out, bytes);
}
extern "C" __global__ void load4(const __grid_constant__ TensorMap map, char *out, int bytes, int4 at) {
  loadOne([&](uint32 to, uint32 full) { copyBox(to, &map, full, at.x, at.y, at.z, at.w); }, out, bytes);
}
DEVICE void storeBox(const TensorMap *map, int x, int y, uint32 from) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(map), "r"(from), "r"(x), "r"(y) : "memory");
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
// fault: 1 no fence, 2 no wait, 3 the source is overwritten before the wait.
extern "C" __global__ void store2(const __grid_constant__ TensorMap map, const char *x, int bytes, int4 at, int fault) {
  for (int i = threadIdx.x; i < bytes; i += blockDim.x)
    dynamic()[1024 + i] = x[i];
  if (fault != 1)
    fenceAsyncProxy();
  __syncthreads();
  if (threadIdx.x == 0) {
    storeBox(&map, at.x, at.y, 1024);
    if (fault == 3) {
      dynamic()[1024] = 77;
      fenceAsyncProxy();
    }
    if (fault != 2)
      asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(0) : "memory");
  }
}
// fault: 1 no bytes are expected, 2 half of them are, 3 the barrier is not fenced, 4 nor made.
extern "C" __global__ void loadWrongly(const __grid_constant__ TensorMap map, int bytes, int fault) {
  if (threadIdx.x == 0) {
    if (fault != 4)
      initBarrier(barrier(0), 1);
    if (fault < 3)
      fenceBarrierInit();
    if (fault == 1)
      arrive(barrier(0));
    else
      expectBytes(barrier(0), fault == 2 ? bytes / 2 : bytes);
    copyBox(1024, &map, barrier(0), 0, 0, 0, 0);
  }
  __syncthreads();
  waitBarrier(barrier(0), 0);
}

// Barriers used wrongly: 0 the parity, 1 more arrivals than it is for, 2 made twice, 3 overwritten, 4 a named one of two sizes, 5 one that
// too few reach, 6 registers that nobody gives, 7 of a number that there is not.
extern "C" __global__ void wrongly(int fault) {
  start(1, 32);
  if (fault == 0)
    waitBarrier(barrier(0), threadIdx.x == 40 ? 0 : 1);
  if (fault == 1)
    arrive(barrier(0)), arrive(barrier(0));
  if (fault == 2 && threadIdx.x == 3)
    initBarrier(barrier(0), 1);
  if (fault == 3 && threadIdx.x == 3)
    dynamic()[7] = -1;
  if (fault == 4)
    syncNamed(3, threadIdx.x < 32 ? 64 : 96);
  if (fault == 5)
    syncNamed(3, 96);
  if (fault == 6)
    takeRegisters<256>();
  if (fault == 7)
    giveRegisters<36>();
}
extern "C" __global__ void registers(int *done) { // 168 of each of 384 threads, in all 64512
  if (threadIdx.x < 128) {
    giveRegisters<40>();
  } else {
    takeRegisters<232>();
    atomicAdd(done, 1);
  }
}
)";

//===-- Products: kernels of any width ------------------------------------------------------------------------------===//

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
  for (int i = threadIdx.x; i < bytes; i += blockDim.x)
    dynamic()[i] = image[i];
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

constexpr LaunchOptions allOptions[] = {{Order::forward, Timing::eager},
                                        {Order::reverse, Timing::eager},
                                        {Order::forward, Timing::lazy},
                                        {Order::reverse, Timing::lazy}};

class HopperKernels : public EmulatedKernels {
protected:
  static void SetUpTestSuite() {
    std::string text = kernelText;
    for (const Instruction &instruction : instructions)
      text += instruction.text();
    BuildOptions options;
    options.architecture = 900;
    build(text, options);
  }
  template <class... A> static std::string run(const LaunchOptions &options, const char *name, LaunchShape shape, A... arguments) {
    return runWith(options, name, shape, arguments...).message();
  }
};

TEST_F(HopperKernels, Ring) {
  constexpr int n = 7;
  std::vector<int> x(32 * n), expected(32);
  std::iota(x.begin(), x.end(), 3);
  for (size_t i = 0; i < x.size(); ++i)
    expected[(i % 32) ^ 1] += x[i];
  for (const LaunchOptions &options : allOptions) {
    std::vector<int> sums(32);
    ASSERT_EQ(run(options, "ring", {1, 64, 2048}, x.data(), sums.data(), n), "");
    EXPECT_EQ(sums, expected);
  }
}

TEST_F(HopperKernels, NamedBarriers) {
  for (const LaunchOptions &options : allOptions) {
    std::vector<int> order(64);
    ASSERT_EQ(run(options, "turns", {1, 96}, order.data()), "");
    EXPECT_EQ(order[63], 9);
    for (int i = 0; i < 9; ++i)
      EXPECT_EQ(order[static_cast<size_t>(i)], i % 3);
  }
}

// Blocks of a cluster read each other's shared memory; clusters follow one another.
TEST_F(HopperKernels, Clusters) {
  std::vector<int> x(8);
  std::iota(x.begin(), x.end(), 1);
  for (const LaunchOptions &options : allOptions) {
    std::vector<int> sums(8 * 64);
    ASSERT_EQ(run(options, "clusterSums", {8, 64}, x.data(), sums.data()), "");
    for (size_t i = 0; i < sums.size(); ++i)
      EXPECT_EQ(sums[i], (i / 256 ? 26 : 10) + 99 * x[i / 64]);
  }
  std::vector<int> sums(6 * 64);
  EXPECT_EQ(run({}, "clusterSums", {6, 64}, x.data(), sums.data()),
            "kernel clusterSums: block (0, 0, 0): thread (0, 0, 0): a cluster of 4 blocks in a grid of 6");
}

TEST_F(HopperKernels, Registers) {
  for (const LaunchOptions &options : allOptions) {
    int done = 0;
    ASSERT_EQ(run(options, "registers", {1, 384}, &done), "");
    EXPECT_EQ(done, 256);
  }
}

//===-- Boxes -------------------------------------------------------------------------------------------------------===//

struct Tensor {
  std::vector<uint64_t> sizes, strides; ///< strides: bytes, from dimension 1 on
  std::vector<uint32_t> box;
  int elementBytes, type; ///< type: CUtensorMapDataType
  uint32_t span = 0;
  std::vector<char> data;
  cuda::CUtensorMap map;

  std::string encode() {
    std::vector<uint32_t> steps(sizes.size(), 1);
    auto swizzle = static_cast<cuda::CUtensorMapSwizzle>(span == 0 ? 0 : span == 32 ? 1 : span == 64 ? 2 : 3);
    return encodeTensorMap(&map, static_cast<cuda::CUtensorMapDataType>(type), static_cast<uint32_t>(sizes.size()), data.data(), sizes.data(),
                           strides.data(), box.data(), steps.data(), cuda::CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle);
  }
  uint32_t boxBytes() const { return std::accumulate(box.begin(), box.end(), static_cast<uint32_t>(elementBytes), std::multiplies<>()); }
  /// f(byte of the box as it lies in shared memory, byte of the tensor or -1) for each byte of the box at `at`.
  template <class F> void eachByte(const int *at, F f) const {
    uint32_t inner = box[0] * static_cast<uint32_t>(elementBytes);
    for (uint32_t i = 0; i < boxBytes(); ++i) {
      uint32_t element = i / static_cast<uint32_t>(elementBytes);
      int64_t from = i % static_cast<uint32_t>(elementBytes);
      for (size_t d = 0; d < box.size(); element /= box[d], ++d) {
        int64_t place = at[d] + static_cast<int64_t>(element % box[d]);
        if (place < 0 || place >= static_cast<int64_t>(sizes[d]))
          from = INT64_MIN;
        else if (from >= 0)
          from += place * static_cast<int64_t>(d == 0 ? static_cast<uint64_t>(elementBytes) : strides[d - 1]);
      }
      // Pieces of 16 bytes change places within a row of `span` bytes: by the row, or by every second or fourth.
      uint32_t row = i / inner, piece = i % inner / 16, turned = span == 0 ? piece : piece ^ (row / (128 / span) % (span / 16));
      f(row * inner + turned * 16 + i % 16, from < 0 ? -1 : from);
    }
  }
};

Tensor tensorOf(std::vector<uint64_t> sizes, std::vector<uint64_t> strides, std::vector<uint32_t> box, int elementBytes, int type, uint32_t span) {
  Tensor t{std::move(sizes), std::move(strides), std::move(box), elementBytes, type, span, {}, {}};
  t.data.resize(t.sizes.back() * t.strides.back());
  std::mt19937 random(static_cast<unsigned>(t.data.size()));
  for (char &c : t.data)
    c = static_cast<char>(random());
  return t;
}

// Boxes within a tensor and over its edges, where there are zeros, under each swizzle.
TEST_F(HopperKernels, BoxesAreLoaded) {
  struct Case {
    Tensor tensor;
    int at[4];
  };
  Case cases[] = {
      {tensorOf({100, 9}, {208}, {64, 5}, 2, 6, 128), {0, 0, 0, 0}},
      {tensorOf({100, 9}, {208}, {64, 12}, 2, 9, 128), {-3, -2, 0, 0}},
      {tensorOf({100, 9}, {208}, {32, 16}, 2, 6, 64), {77, 5, 0, 0}},
      {tensorOf({100, 9}, {208}, {16, 8}, 2, 6, 32), {7, 1, 0, 0}},
      {tensorOf({100, 9}, {208}, {24, 3}, 2, 6, 0), {90, 7, 0, 0}},
      {tensorOf({40, 9, 3}, {48, 432}, {32, 4, 2}, 1, 0, 32), {11, 7, 2, 0}},
      {tensorOf({64, 7, 3, 2}, {768, 256, 5376}, {32, 4, 1, 1}, 4, 7, 128), {40, 5, 2, 1}},
      {tensorOf({64, 7, 3, 2}, {768, 256, 5376}, {8, 4, 3, 2}, 4, 7, 32), {3, -1, 1, -1}},
  };
  for (Case &c : cases) {
    Tensor &t = c.tensor;
    ASSERT_EQ(t.encode(), "");
    const char *kernel = t.sizes.size() == 2 ? "load2" : t.sizes.size() == 3 ? "load3" : "load4";
    std::vector<char> expected(t.boxBytes(), 1);
    t.eachByte(c.at, [&](uint32_t to, int64_t from) { expected[to] = from < 0 ? 0 : t.data[static_cast<size_t>(from)]; });
    struct alignas(16) Place { int x[4]; } place;
    std::memcpy(&place, c.at, sizeof place);
    for (const LaunchOptions &options : allOptions) {
      std::vector<char> out(t.boxBytes(), 1);
      ASSERT_EQ(run(options, kernel, {1, 64, 1024 + t.boxBytes()}, t.map, out.data(), static_cast<int>(t.boxBytes()), place), "");
      EXPECT_EQ(out, expected);
    }
  }
}

TEST_F(HopperKernels, BoxesAreStored) {
  for (uint32_t span : {0u, 128u}) {
    Tensor t = tensorOf({100, 9}, {208}, {64, 6}, 2, 6, span);
    ASSERT_EQ(t.encode(), "");
    struct alignas(16) Place { int x[4]; } at{{60, 5, 0, 0}};
    std::vector<char> image(t.boxBytes()), before = t.data, expected = before;
    std::iota(image.begin(), image.end(), 1);
    t.eachByte(at.x, [&](uint32_t to, int64_t from) {
      if (from >= 0)
        expected[static_cast<size_t>(from)] = image[to];
    });
    auto store = [&](const LaunchOptions &options, int fault) {
      std::copy(before.begin(), before.end(), t.data.begin());
      return run(options, "store2", {1, 32, 1024 + t.boxBytes()}, t.map, image.data(), static_cast<int>(image.size()), at, fault);
    };
    for (const LaunchOptions &options : allOptions) {
      ASSERT_EQ(store(options, 0), "");
      EXPECT_EQ(t.data, expected);
      ASSERT_EQ(store(options, 1), ""); // nothing of what was written is seen
      EXPECT_NE(t.data, expected);
      EXPECT_EQ(store(options, 2), "kernel store2: block (0, 0, 0): thread (0, 0, 0): the thread ends before its copies from shared memory are waited for");
    }
    ASSERT_EQ(store({Order::forward, Timing::lazy}, 3), "");
    EXPECT_NE(t.data, expected);
  }
}

TEST_F(HopperKernels, MapsAreChecked) {
  auto what = [](auto change) {
    Tensor t = tensorOf({64, 8}, {128}, {64, 8}, 2, 6, 128);
    change(t);
    return t.encode();
  };
  EXPECT_EQ(what([](Tensor &) {}), "");
  EXPECT_EQ(what([](Tensor &t) { t.strides[0] = 130; }), "dimension 1: a stride of 130 bytes");
  EXPECT_EQ(what([](Tensor &t) { t.box[1] = 257; }), "dimension 1: size 8, box 257, step 1");
  EXPECT_EQ(what([](Tensor &t) { t.sizes[1] = 0; }), "dimension 1: size 0, box 8, step 1");
  EXPECT_EQ(what([](Tensor &t) { t.box[0] = 72; }), "a box of 144 bytes in the innermost dimension, swizzled by 128");
  EXPECT_EQ(what([](Tensor &t) { t.box[0] = 4; }), "a box of 8 bytes in the innermost dimension, swizzled by 128");
  EXPECT_EQ(what([](Tensor &t) { t.sizes.assign(6, 1), t.strides.assign(5, 16), t.box.assign(6, 8); }), "6 dimensions of numbers of type 6");
  EXPECT_EQ(what([](Tensor &t) { t.type = 13; }), "2 dimensions of numbers of type 13");
}

TEST_F(HopperKernels, CopiesUsedWrongly) {
  Tensor t = tensorOf({64, 4, 1, 1}, {128, 512, 512}, {64, 4, 1, 1}, 2, 6, 128);
  ASSERT_EQ(t.encode(), "");
  auto what = [&](int fault) { return run({}, "loadWrongly", {1, 32, 2048}, t.map, 512, fault); };
  const std::string kernel = "kernel loadWrongly: block (0, 0, 0): ", thread = kernel + "thread (0, 0, 0): ";
  EXPECT_EQ(what(0), "");
  EXPECT_EQ(what(1), kernel + "at its end, the barrier at 0 of shared memory was never told to expect 512 bytes");
  EXPECT_EQ(what(2), kernel + "deadlock: 32 threads at the barrier at 0 of shared memory for parity 0, which lacks 0 arrivals and -256 bytes (the first is 0), 0 have ended");
  EXPECT_EQ(what(3), thread + "a copy for the barrier at 0 of shared memory, which no fence behind its start has shown to copies");
  EXPECT_EQ(what(4), thread + "there is no barrier at 0 of shared memory");
  std::vector<char> out(512);
  struct alignas(16) Place { int x[4]; } at{};
  EXPECT_EQ(run({}, "load2", {1, 32, 2048}, t.map, out.data(), 512, at), "kernel load2: block (0, 0, 0): thread (0, 0, 0): a copy of 2 dimensions by a CUtensorMap of 4");
  EXPECT_EQ(run({}, "load4", {1, 32, 1500}, t.map, out.data(), 512, at),
            "kernel load4: block (0, 0, 0): thread (0, 0, 0): an access of 512 bytes at 1024 of shared memory, of which there are 1500");
  t.map = {};
  EXPECT_NE(run({}, "load4", {1, 32, 2048}, t.map, out.data(), 512, at).find("there is no CUtensorMap at 0x"), std::string::npos);
}

TEST_F(HopperKernels, BarriersUsedWrongly) {
  auto what = [&](int fault) {
    std::string message = run({}, "wrongly", {1, 64, 1024}, fault), start = "kernel wrongly: block (0, 0, 0): ";
    return message.starts_with(start) ? message.substr(start.size()) : message;
  };
  EXPECT_EQ(what(0), "deadlock: 1 threads at the barrier at 0 of shared memory for parity 0, which lacks 32 arrivals and 0 bytes (the first is 40), 63 have ended");
  EXPECT_EQ(what(1), "");
  EXPECT_EQ(what(2), "thread (3, 0, 0): the barrier at 0 of shared memory is made twice");
  EXPECT_EQ(what(3), "at its end, the barrier at 0 of shared memory is overwritten");
  EXPECT_EQ(what(4), "thread (32, 0, 0): barrier 3 of 96 threads, where others say 64");
  EXPECT_EQ(what(5), "deadlock: 64 threads at barrier 3, where 64 of 96 have arrived (the first is 0), 0 have ended");
  EXPECT_EQ(what(6), "");
  EXPECT_EQ(what(7), "thread (31, 0, 0): setmaxnreg.dec to 36 registers of 256: a multiple of 8 from 24 to 256, no more than there are");
}

//===-- Products ----------------------------------------------------------------------------------------------------===//

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
TEST_F(HopperKernels, Products) {
  for (const Instruction &in : instructions)
    for (uint32_t span : {0u, 32u, 64u, 128u}) {
      ProductCase c(in, span);
      for (const LaunchOptions &options : allOptions) {
        std::vector<float> out = c.sums;
        ASSERT_EQ(run(options, in.name().c_str(), {1, 128, 96 * 1024}, c.image.data(), 96 * 1024, c.left.descriptor(), c.right.descriptor(), c.registers.data(), out.data(), 0), "");
        EXPECT_EQ(out, c.expected) << in.name() << " swizzled by " << span;
      }
    }
}

TEST_F(HopperKernels, ProductsUsedWrongly) {
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
