// Two products of few rows in one kernel, with a head's attention between or an activation: checks against fp64 for several packings, and the
// time of a layer's two of XLM-R large.
#include "ChainReference.h"
#include "Checks.h"
#include "Lab.h"
#include "Maps.h"

namespace lab {
namespace {

/// Operands of a chain, and its launch.
template <class Shape> struct Operands {
  using T = typename Shape::T;
  static constexpr int K = Shape::K, N = Shape::N, width = Shape::clusters * Shape::Middle::width, inner = Shape::clusters * Shape::cluster * Shape::Middle::columns;
  std::vector<T> hostX = randomNumbers<T>((size_t)Shape::M * K), hostFirst = randomNumbers<T>((size_t)inner * K, 1.0f / std::sqrt((float)K));
  std::vector<T> hostSecond = randomNumbers<T>((size_t)N * width, 1.0f / std::sqrt((float)width)), hostBias = randomNumbers<T>(inner);
  Device<T> x{hostX}, first{hostFirst}, second{hostSecond}, bias{hostBias};
  Device<float> parts{(size_t)Shape::clusters * Shape::M * N};

  template <class Activation> void run(const typename Shape::Middle &middle, int rows) const {
    using Epilogue = StoreEpilogue<T, T, inner, Activation>;
    launch(skinnyChainEntry<Shape, Epilogue>, {dim3(Shape::clusters * Shape::cluster), Shape::threads, Shape::sharedBytes}, x.p, first.p,
           Epilogue{nullptr, bias, nullptr}, middle, second.p, parts.p, rows);
  }
  /// The first product with its bias.
  Numbers biased(int rows) const { return lab::biased(product(numbers(hostX), numbers(hostFirst), rows, inner, K), hostBias); }
  /// The sum of the parts of live rows against `middle` times the second matrix; other rows stay as they are.
  void compareParts(const std::string &name, const Numbers &middle, int rows) const {
    const std::vector<float> all = parts.host();
    std::vector<float> sums((size_t)rows * N);
    bool untouched = true;
    for (size_t i = 0; i < all.size(); ++i) {
      const size_t within = i % ((size_t)Shape::M * N);
      if (within < sums.size())
        sums[within] += all[i];
      else
        untouched &= all[i] != all[i];
    }
    compare(name, sums, product(middle, numbers(hostSecond), rows, N, width), Bound<T>::relative);
    report(untouched, name + ", rows behind the last", "stay poisoned");
  }
};

template <class T, int K, int heads, int headDim, int N, bool causal> void checkAttention(const std::string &name) {
  if (!runsHopper())
    return;
  constexpr int width = heads * headDim;
  using Middle = AttentionMiddle<T, headDim, 0, width, 2 * width, causal>;
  using Shape = SkinnyChainShape<T, K, heads, N, 4, Middle>;
  std::vector<int> singles(33);
  for (int i = 0; i < 33; ++i)
    singles[(size_t)i] = i;
  for (const std::vector<int> &cumulative : {std::vector<int>{0, 32}, {0, 1}, {0, 7}, {0, 3, 3, 17, 29}, singles}) {
    Operands<Shape> o;
    Device<int> lengths(cumulative);
    const int rows = cumulative.back();
    const float scale = 1.0f / std::sqrt((float)headDim);
    o.template run<Identity>(Middle{lengths, nullptr, (int)cumulative.size() - 1, scale}, rows);
    o.compareParts(name + " of " + std::to_string(rows) + " in " + std::to_string(cumulative.size() - 1), attention(o.biased(rows), cumulative, {}, heads, headDim, scale, causal), rows);
  }
  for (const std::vector<int> &cumulative : {std::vector<int>{0, 32}, {0, 7, 14, 21}}) {
    Operands<Shape> o;
    const int rows = cumulative.back();
    const float scale = 1.0f / std::sqrt((float)headDim);
    std::vector<int> valid((size_t)rows, 1);
    for (bool masked : {false, true}) {
      for (int i = 0; masked && i < rows; ++i)
        valid[(size_t)i] = i >= 14 && i < 21 ? 0 : randomInt(0, 3) * 5; // the third row has no key
      Device<int> mask(valid);
      o.template run<Identity>(Middle{nullptr, masked ? mask.p : nullptr, cumulative[1], scale}, rows);
      o.compareParts(name + ", padded to " + std::to_string(cumulative[1]) + (masked ? ", masked" : ""), attention(o.biased(rows), cumulative, valid, heads, headDim, scale, causal), rows);
    }
  }
}

template <class T, int K, int clusters, int columns, int N> void checkFeedForward(const std::string &name) {
  if (!runsHopper())
    return;
  using Shape = SkinnyChainShape<T, K, clusters, N, 4, NoMiddle<T, columns>>;
  for (int rows : {1, 7, 32}) {
    Operands<Shape> o;
    o.template run<GeluErf>({}, rows);
    Numbers middle = o.biased(rows);
    for (double &v : middle)
      v *= 0.5 * (1.0 + std::erf(v / std::sqrt(2.0)));
    o.compareParts(name + " of " + std::to_string(rows), middle, rows);
  }
}

void checkChains() {
  checkAttention<Half, 256, 2, 64, 192, false>("chain fp16, heads of 64");
  checkAttention<BFloat, 96, 3, 32, 64, true>("chain bf16, causal heads of 32");
  checkAttention<Half, 64, 1, 128, 128, false>("chain fp16, a head of 128");
  checkFeedForward<Half, 256, 2, 32, 192>("chain fp16, feed-forward");
  checkFeedForward<Half, 2560, 1, 32, 2560>("chain fp16, feed-forward of a wide model");
  checkFeedForward<BFloat, 416, 1, 24, 640>("chain bf16, feed-forward of 192");
}

} // namespace

static Register checkChainsGroup("chain", checkChains);

#ifndef LAB_EMULATED
/// How many clusters of the kernel the device has room for at once.
template <class Shape, class Epilogue> int clustersAtOnce() {
  auto *kernel = skinnyChainEntry<Shape, Epilogue>;
  CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::sharedBytes));
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = Shape::cluster, attribute.val.clusterDim.y = 1, attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = Shape::clusters * Shape::cluster, config.blockDim = Shape::threads, config.dynamicSmemBytes = Shape::sharedBytes;
  config.attrs = &attribute, config.numAttrs = 1;
  int count = 0;
  CHECK(cudaOccupancyMaxActiveClusters(&count, kernel, &config));
  return count;
}

/// Both kernels of a layer in turn, layer after layer; weights of four are more than L2 holds.
void timeChains() {
  if (!runsHopper())
    return;
  constexpr int hidden = 1024, heads = 16, layers = 24, sets = 4, rows = 32;
  using Attention = SkinnyChainShape<Half, hidden, heads, hidden, 4, AttentionMiddle<Half, 64, 0, hidden, 2 * hidden, false>>;
  using FeedForward = SkinnyChainShape<Half, hidden, 16, hidden, 4, NoMiddle<Half, 32>>;
  std::vector<Operands<Attention>> attention(sets);
  std::vector<Operands<FeedForward>> feedForward(sets);
  Device<int> lengths(std::vector<int>{0, rows});
  for (int which : {1, 2, 3}) {
    double ms = medianMs(nullptr, 20, 4, [&] {
      for (int i = 0; i < layers; ++i) {
        if (which & 1)
          attention[(size_t)(i % sets)].run<Identity>({lengths, nullptr, 1, 0.125f}, rows);
        if (which & 2)
          feedForward[(size_t)(i % sets)].run<GeluErf>({}, rows);
      }
    });
    std::printf("chains of XLM-R large, %d rows, %s: %.3f ms for %d layers without norms, %.2f us a layer\n", rows,
                which == 1 ? "attention" : which == 2 ? "feed-forward" : "both", ms, layers, ms * 1000 / layers);
  }
  std::printf("clusters at once: attention %d of %d, feed-forward %d of %d\n", clustersAtOnce<Attention, StoreEpilogue<Half, Half, 3 * hidden, Identity>>(), heads,
              clustersAtOnce<FeedForward, StoreEpilogue<Half, Half, 4 * hidden, GeluErf>>(), FeedForward::clusters);
}
#endif

} // namespace lab
