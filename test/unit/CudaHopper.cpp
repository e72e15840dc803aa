// What the emulator has of sm_90a but for wgmma (CudaWgmma.cpp): barriers in shared memory, named ones and clusters', boxes of tensors,
// each against plain loops, in every order of threads and timing; and the faults that it names. Whole kernels: ctest CudaLabHopper.
#include "test/emulator/TensorMap.h"
#include "test/unit/EmulatedFixture.h"

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
// Word i of lane l is 4 l + i; row r of tile i goes to piece 8 i + r of 16 bytes, last ones first. By `lanes` of a warp, `off` bytes further.
extern "C" __global__ void tiles(uint4 *out, int lanes, int off) {
  const int lane = threadIdx.x;
  if (lane < lanes)
    storeMatrices(16 * (31 - lane) + off, 4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3);
  __syncwarp();
  storeGlobalIf(lane < 30, out + lane, ((const uint4 *)dynamic())[lane]);
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

// Two blocks load half of a box each, for both; each tells the other when it has read it.
extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(32) multicast(const __grid_constant__ TensorMap map, char *out, int bytes) {
  const TensorMap *p = &map;
  int rank = blockIdx.x % 2;
  uint32 full = barrier(0), empty = barrier(1), otherEmpty;
  start(2, 1);
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(full), "r"(bytes) : "memory");
    arrive(full);
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;"
                 ::"r"(1024 + bytes / 2 * rank), "l"(p), "r"(full), "r"(0), "r"(4 * rank), "h"((unsigned short)3) : "memory");
  }
  waitBarrier(full, 0);
  for (int i = threadIdx.x; i < bytes; i += blockDim.x)
    out[bytes * rank + i] = dynamic()[1024 + i];
  __syncwarp();
  if (threadIdx.x == 0) {
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(otherEmpty) : "r"(empty), "r"(rank ^ 1));
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(otherEmpty) : "memory");
    waitBarrier(empty, 0);
    asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(empty) : "memory");
  }
}

// Barriers used wrongly: 0 the parity, 1 more arrivals than it is for, 2 made twice, 3 overwritten, 4 a named one of two sizes, 5 one that
// too few reach, 6 fewer registers than there are.
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
    takeRegisters<40>();
}
extern "C" __global__ void registers(int *done, bool more) { // 168 of each of 384 threads, in all 64512
  if (threadIdx.x < 128) {
    giveRegisters<40>();
  } else {
    if (more)
      takeRegisters<240>();
    else
      takeRegisters<232>();
    atomicAdd(done, 1);
  }
}
)";

class HopperKernels : public EmulatedKernels {
protected:
  static void SetUpTestSuite() { build(kernelText, sm90()); }
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

// Tiles of 8 x 8 from registers, in which lane 4 g + t has columns 2t and 2t + 1 of row g; and stores of some lanes only.
TEST_F(HopperKernels, TilesAreStored) {
  for (const LaunchOptions &options : allOptions) {
    std::vector<uint32_t> out(32 * 4, 7);
    ASSERT_EQ(run(options, "tiles", {1, 32, 512}, out.data(), 32, 0), "");
    for (uint32_t piece = 0; piece < 32; ++piece)
      for (uint32_t t = 0; t < 4; ++t) {
        uint32_t tile = (31 - piece) / 8, row = (31 - piece) % 8;
        EXPECT_EQ(out[4 * piece + t], piece < 30 ? 4 * (4 * row + t) + tile : 7) << piece << " " << t;
      }
  }
  std::vector<uint32_t> out(32 * 4);
  EXPECT_NE(run({}, "tiles", {1, 32, 1024}, out.data(), 32, 8).find("an address of stmatrix is no multiple of 16 bytes"), std::string::npos);
  EXPECT_NE(run({}, "tiles", {1, 32, 512}, out.data(), 16, 0).find("lanes"), std::string::npos) << run({}, "tiles", {1, 32, 512}, out.data(), 16, 0);
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
    ASSERT_EQ(run(options, "registers", {1, 384}, &done, false), "");
    EXPECT_EQ(done, 256);
  }
  int done = 0;
  EXPECT_EQ(run({}, "registers", {1, 384}, &done, true),
            "kernel registers: block (0, 0, 0): deadlock: 32 threads at setmaxnreg for 240 registers (the first is 352), 352 have ended");
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

TEST_F(HopperKernels, BoxesForAClustersBlocks) {
  Tensor t = tensorOf({64, 8}, {128}, {64, 4}, 2, 6, 0);
  ASSERT_EQ(t.encode(), "");
  std::vector<char> expected = t.data;
  expected.insert(expected.end(), t.data.begin(), t.data.end());
  for (const LaunchOptions &options : allOptions) {
    std::vector<char> out(expected.size(), 1);
    ASSERT_EQ(run(options, "multicast", {2, 32, 2048}, t.map, out.data(), 1024), "");
    EXPECT_EQ(out, expected);
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
  EXPECT_EQ(what(2), kernel + "deadlock: 32 threads at the barrier at 0 of shared memory for parity 0, which lacks 0 arrivals and -256 bytes "
                              "(the first is 0), 0 have ended");
  EXPECT_EQ(what(3), thread + "a copy for the barrier at 0 of shared memory, which no fence behind its start has shown to copies");
  EXPECT_EQ(what(4), thread + "there is no barrier at 0 of shared memory");
  std::vector<char> out(512);
  struct alignas(16) Place { int x[4]; } at{};
  EXPECT_EQ(run({}, "load2", {1, 32, 2048}, t.map, out.data(), 512, at),
            "kernel load2: block (0, 0, 0): thread (0, 0, 0): a copy of 2 dimensions by a CUtensorMap of 4");
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
  EXPECT_EQ(what(0), "deadlock: 1 threads at the barrier at 0 of shared memory for parity 0, which lacks 32 arrivals and 0 bytes (the first is 40), "
                     "63 have ended");
  EXPECT_EQ(what(1), "");
  EXPECT_EQ(what(2), "thread (3, 0, 0): the barrier at 0 of shared memory is made twice");
  EXPECT_EQ(what(3), "at its end, the barrier at 0 of shared memory is overwritten");
  EXPECT_EQ(what(4), "thread (32, 0, 0): barrier 3 of 96 threads, where others say 64");
  EXPECT_EQ(what(5), "deadlock: 64 threads at barrier 3, where 64 of 96 have arrived (the first is 0), 0 have ended");
  EXPECT_EQ(what(6), "thread (31, 0, 0): setmaxnreg.inc to 40 registers of 256: a multiple of 8 from 24 to 256, no fewer than there are");
}

} // namespace
} // namespace transom::emulator
