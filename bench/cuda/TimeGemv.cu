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

template <int N, int K, int M, bool norm, int warps, int depth> void timeOne(Pool &pool, const char *name) {
  using Shape = GemvShape<PlainFormat<BFloat, K>, N, M, norm ? 2 : 1, warps, depth, NeighbourPairs>;
  using P = std::conditional_t<norm, RmsPrologue<BFloat, BFloat, K>, NoPrologue<BFloat, K>>;
  using E = StoreEpilogue<BFloat, BFloat, N, Identity>;
  size_t bytes = (size_t)N * K * 2;
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
           typename Shape::Format::View{(const BFloat *)(pool.bytes.p + i % matrices * bytes)}, p, E{pool.y, nullptr, nullptr}, (const int *)nullptr);
  }
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  double ms = medianMs(stream, 7, 1, [&] { CHECK(cudaGraphLaunch(exec, stream)); }) / launches;
  std::printf("%-8s N %6d K %5d M %2d warps %2d depth %2d : %7.2f us %.2f TB/s\n", name, N, K, M, warps, depth, ms * 1e3, bytes / ms / 1e9);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaStreamDestroy(stream));
}

} // namespace

void timeGemv() {
  Pool pool;
#define SHAPES(warps, depth)                                                                                           \
  timeOne<3072, 2048, 1, true, warps, depth>(pool, "qkv");                                                             \
  timeOne<2048, 2048, 1, false, warps, depth>(pool, "out");                                                            \
  timeOne<16384, 2048, 1, true, warps, depth>(pool, "up");                                                             \
  timeOne<2048, 8192, 1, false, warps, depth>(pool, "down");
  SHAPES(8, 8)
  SHAPES(16, 4)
  timeOne<2048, 8192, 1, false, 16, 8>(pool, "down");
  timeOne<2048, 8192, 1, false, 32, 4>(pool, "down");
  timeOne<2048, 2048, 1, false, 32, 2>(pool, "out");
}

} // namespace lab
