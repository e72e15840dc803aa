// Matrix-vector kernels by themselves, at the shapes of D1: a graph of launches over distinct weights, GB/s of weights.
#include "Lab.h"
#include "Checks.h"

namespace lab {
namespace {

static __global__ void fillPattern(uint32 *p, size_t n) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x)
    p[i] = 0x3c003c00u ^ ((uint32)i * 2654435761u & 0x83ff83ffu);
}

struct Pool {
  Device<uint8> bytes{(size_t)2 << 30};
  Device<BFloat> x{(size_t)16 * 16384}, y{(size_t)16 * 131072}, scale{16384};
  Pool() {
    fillPattern<<<1024, 256>>>((uint32 *)bytes.p, bytes.n / 4);
    fillPattern<<<64, 256>>>((uint32 *)x.p, x.n / 2);
    fillPattern<<<64, 256>>>((uint32 *)scale.p, scale.n / 2);
    CHECK(cudaDeviceSynchronize());
  }
};

template <class Format> typename Format::View viewAt(const uint8 *p, int N) {
  if constexpr (std::is_same_v<Format, PlainFormat<BFloat, Format::K>>)
    return {(const BFloat *)p};
  else
    return {p, (const Half *)(p + (size_t)N * Format::steps * 64)};
}
template <class Format> size_t bytesOf(int N) {
  if constexpr (std::is_same_v<Format, PlainFormat<BFloat, Format::K>>)
    return (size_t)N * Format::K * 2;
  else
    return (size_t)N * Format::steps * 64 + (size_t)N * Format::K / 32 * 2;
}

template <class Format, int N, int M, bool norm, int warps, int depth, int hint> void timeOne(Pool &pool, const char *name) {
  constexpr int K = Format::K;
  using Shape = GemvShape<Format, N, M, norm ? 2 : 1, warps, depth, NeighbourPairs, hint>;
  using P = std::conditional_t<norm, RmsPrologue<BFloat, BFloat, K>, NoPrologue<BFloat, K>>;
  using E = StoreEpilogue<BFloat, BFloat, N, Identity>;
  size_t bytes = (bytesOf<Format>(N) + 255) & ~(size_t)255;
  int matrices = (int)std::min<size_t>(pool.bytes.n / bytes, 60), launches = std::max(matrices, 4);
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  for (int i = 0; i < launches; ++i) {
    P p;
    if constexpr (norm)
      p = {pool.x, pool.scale, 1e-5f};
    else
      p = {pool.x};
    launch(gemvEntry<Shape, P, E>, {dim3(Shape::blocks), Shape::threads, Shape::sharedBytes, stream, true},
           viewAt<Format>(pool.bytes.p + i % matrices * bytes, N), p, E{pool.y, nullptr, nullptr}, (const int *)nullptr);
  }
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  double ms = medianMs(stream, 7, 1, [&] { CHECK(cudaGraphLaunch(exec, stream)); }) / launches;
  std::printf("%-8s N %6d K %5d M %2d warps %2d depth %2d hint %5d: %7.2f us %.2f TB/s\n", name, N, K, M, warps, depth, hint, ms * 1e3, bytes / ms / 1e9);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaStreamDestroy(stream));
}

} // namespace

void timeGemv() {
  Pool pool;
  using P2 = PlainFormat<BFloat, 2048>;
  using P8 = PlainFormat<BFloat, 8192>;
  using P4 = PlainFormat<BFloat, 4096>;
  using P13 = PlainFormat<BFloat, 13696>;
#define TIME(name, Format, N, norm, warps, depth, hint) timeOne<Format, N, 1, norm, warps, depth, hint>(pool, name);
  TIME("up", P2, 16384, true, 8, 8, 0)
  TIME("up", P2, 16384, true, 16, 4, 0)
  TIME("up", P2, 16384, true, 16, 2, 0)
  TIME("up", P2, 16384, true, 4, 16, 0)
  TIME("down", P8, 2048, false, 8, 8, 0)
  TIME("down", P8, 2048, false, 8, 8, 2048)
  TIME("down", P8, 2048, false, 8, 8, 4096)
  TIME("down", P8, 2048, false, 8, 12, 2048)
  TIME("down", P8, 2048, false, 16, 8, 0)
  TIME("down", P8, 2048, false, 16, 8, 4096)
  TIME("down", P8, 2048, false, 16, 6, 4096)
  TIME("down", P8, 2048, false, 32, 4, 0)
  TIME("qkv D2", P4, 4608, true, 8, 8, 4096)
  TIME("qkv D2", P4, 4608, true, 16, 4, 4096)
  TIME("qkv D2", P4, 4608, true, 16, 8, 0)
  TIME("up D2", P4, 27392, true, 8, 8, 4096)
  TIME("up D2", P4, 27392, true, 8, 8, 0)
  TIME("up D2", P4, 27392, true, 16, 4, 0)
  TIME("up D2", P4, 27392, true, 16, 4, 4096)
  TIME("down D2", P13, 4096, false, 8, 8, 4096)
  TIME("down D2", P13, 4096, false, 16, 4, 4096)
  TIME("down D2", P13, 4096, false, 16, 4, 0)
  TIME("down D2", P13, 4096, false, 16, 8, 0)
#define QUANT(name, Q4096, Q13696)                                                                                     \
  TIME("qkv " name, Q4096, 4608, true, 8, 4, 4096)                                                                     \
  TIME("qkv " name, Q4096, 4608, true, 8, 8, 4096)                                                                     \
  TIME("qkv " name, Q4096, 4608, true, 4, 8, 4096)                                                                     \
  TIME("qkv " name, Q4096, 4608, true, 16, 4, 4096)                                                                    \
  TIME("up " name, Q4096, 27392, true, 8, 4, 4096)                                                                     \
  TIME("up " name, Q4096, 27392, true, 8, 8, 4096)                                                                     \
  TIME("up " name, Q4096, 27392, true, 4, 8, 0)                                                                        \
  TIME("up " name, Q4096, 27392, true, 4, 4, 0)                                                                        \
  TIME("up " name, Q4096, 27392, true, 16, 4, 0)                                                                       \
  TIME("down " name, Q13696, 4096, false, 8, 4, 4096)                                                                  \
  TIME("down " name, Q13696, 4096, false, 8, 8, 4096)                                                                  \
  TIME("down " name, Q13696, 4096, false, 16, 4, 4096)
  QUANT("q8_0", Q80Format<4096>, Q80Format<13696>)
  using Q4a = Q4Format<4096, false>;
  using Q4b = Q4Format<13696, false>;
  QUANT("q4_0", Q4a, Q4b)
}

} // namespace lab
