// The decode chains of D1 to D3, timed against the floor of their bytes at the read ceiling of the same run; programmatic launches
// give bit for bit what plain ones give.
#include "Chain.h"
#include "Checks.h"

namespace lab {

double readCeiling = 0; // bytes per second, set by timeCeilings

namespace {

static __global__ void readAll(const uint4 *p, size_t n, unsigned *out) {
  unsigned sum = 0;
  size_t stride = (size_t)gridDim.x * blockDim.x, i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
  for (; i + 3 * stride < n; i += 4 * stride) {
    uint4 a = loadStream(p + i), b = loadStream(p + i + stride), c = loadStream(p + i + 2 * stride), d = loadStream(p + i + 3 * stride);
    sum += a.x ^ b.y ^ c.z ^ d.w;
  }
  if (sum == 0x12345)
    *out = sum;
}

template <class Model, class Tune, int batch = 1> void runChain(const char *label, int context, bool full) {
  Chain<Model, Tune, batch> chain(4096, context);
  cudaGraphExec_t plain = chain.capture(false), dependent = chain.capture(true), noAttention = chain.capture(true, false);
  double floor = (chain.weightBytes + chain.cacheBytes) / readCeiling * 1e3;
  double d = chain.time(dependent), n = chain.time(noAttention), p = full ? chain.time(plain) : 0;
  std::printf("%s %s batch %d context %d: %d kernels, %.3f GB, floor %.3f ms | graph %.3f ms (%.0f%% of the ceiling, %.2f TB/s), without attention %.3f, plain edges %.3f\n",
              Model::name, label, batch, context, chain.kernels + Model::layers, (chain.weightBytes + chain.cacheBytes) / 1e9, floor, d, 100 * floor / d,
              (chain.weightBytes + chain.cacheBytes) / d / 1e9, n, p);
  if (full) {
    auto a = chain.generate(plain, 40), b = chain.generate(dependent, 40), c = chain.generate(dependent, 40);
    bool finite = true;
    for (float v : a.second)
      finite &= std::isfinite(v);
    report(finite && a == b && b == c, std::string(Model::name) + " replays", finite ? "tokens and logits bitwise equal" : "logits not finite");
    std::printf("  replays with programmatic and plain edges %s; first tokens %d %d %d\n", a == b && b == c ? "bitwise equal" : "DIFFER", a.first[0], a.first[batch], a.first[2 * batch]);
  }
  for (cudaGraphExec_t exec : {plain, dependent, noAttention})
    CHECK(cudaGraphExecDestroy(exec));
}

} // namespace

void timeCeilings() {
  size_t n = (size_t)4 << 30;
  Device<uint8> p(n);
  Device<unsigned> out(1);
  for (int blocks : {132 * 2, 132 * 4, 132 * 8})
    readCeiling = std::max(readCeiling, n / medianMs(nullptr, 5, 1, [&] { readAll<<<blocks, 512>>>((const uint4 *)p.p, n / 16, out); }) * 1e3);
  std::printf("read ceiling %.3f TB/s\n", readCeiling / 1e12);
}

void timeDecode(const char *what) {
  if (readCeiling == 0)
    timeCeilings();
  auto wants = [&](const char *name) { return !*what || std::strstr(what, name); };
  if (wants("d1"))
    for (int context : {128, 1024, 4000})
      runChain<Llama1B<BFloat>, SmallTuning>("bf16", context, context == 128);
  if (wants("d2")) {
    runChain<ChatGlm2<PlainB>, LargeTuning>("bf16", 128, true);
    runChain<ChatGlm2<Q80Format>, QuantTuning>("q8_0", 128, true);
    runChain<ChatGlm2<Q4>, QuantTuning>("q4_0", 128, true);
  }
  if (wants("d3"))
    runChain<Gpt2, TinyTuning>("fp16", 64, true);
}

} // namespace lab
