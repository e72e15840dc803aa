// Products of few rows with a norm between them, by two kernels: columns, and attention in front, against fp64 for several packings; the time of the
// layers of XLM-R large.
#include "ChainReference.h"
#include "Checks.h"
#include "Lab.h"
#include "Maps.h"

namespace lab {
namespace {

/// How a matrix of 32 rows lies in memory.
enum class Order { rows, pieces, transposed };
size_t place(Order order, int width, int m, int n) {
  switch (order) {
  case Order::rows: return (size_t)m * width + n;
  case Order::transposed: return (size_t)n * 32 + m;
  case Order::pieces: return ((size_t)(n / 32) * 4 + m / 8) * 256 + m % 8 * 32 + n % 32;
  }
  return 0;
}
/// Columns from `from` on of x [32, all]; zeros behind the last row, or what poison is where rows lie as they are.
template <class T> std::vector<T> ordered(const std::vector<T> &x, int all, int from, int width, int live, Order order) {
  std::vector<T> y((size_t)32 * width);
  for (int m = 0; m < 32; ++m)
    for (int n = 0; n < width; ++n)
      y[place(order, width, m, n)] = m < live ? x[(size_t)m * all + from + n] : T(order == Order::rows ? std::nanf("") : 0.0f);
  return y;
}

/// Operands of two products with a norm between, and the kernels' launches. G: of the norm's scale and shift.
template <class First, class Second, class G, bool centred> struct Chain {
  using T = typename First::T;
  using Norm = ChainNorm<T, G, First::N, First::groups, centred>;
  static constexpr int K = First::K, width = First::N, N = Second::N, M = First::M;
  static constexpr float epsilon = 1e-3f;
  bool shifts = true;
  std::vector<T> hostFirst = randomNumbers<T>((size_t)width * K, 1.0f / std::sqrt((float)K)), hostResidual = randomNumbers<T>((size_t)M * width, 1.0f, 1.0f);
  std::vector<T> hostFirstBias = randomNumbers<T>(width), hostSecond = randomNumbers<T>((size_t)N * width, 1.0f / std::sqrt((float)width)), hostBias = randomNumbers<T>(N);
  std::vector<G> hostScale = randomNumbers<G>(width, 0.5f, 1.0f), hostShift = randomNumbers<G>(width, 0.5f);
  Device<T> first{hostFirst}, residual{hostResidual}, firstBias{hostFirstBias}, second{hostSecond}, bias{hostBias}, y{(size_t)M * width}, z{(size_t)M * width};
  Device<G> scale{hostScale}, shift{hostShift};
  Device<float> sums{(size_t)M * width}, moments{(size_t)M * First::groups * 2};

  Norm norm() const { return {sums, (float2 *)moments.p, z, scale, shifts ? shift.p : nullptr, y, epsilon}; }
  template <class Product> void toNorm(const typename Product::Arguments &x, const T *with, int live, ChainNext next = {}, cudaStream_t stream = nullptr) const {
    using End = NormEnd<First, StoreEpilogue<T, T, width, Identity>, Norm>;
    launch(chainToNormEntry<First, Product, End>, {dim3(First::groups * First::cluster), First::threads, toNormSharedBytes<First, Product>(), stream}, x, first.p,
           typename End::Arguments{{nullptr, firstBias, with}, norm()}, next, live);
  }
  template <class End> void fromNorm(const typename End::Arguments &end, int live, ChainNext next = {}, cudaStream_t stream = nullptr) const {
    using Before = NormBefore<Second, Norm>;
    using Product = RowsProduct<Second, false>;
    launch(chainFromNormEntry<Second, Product, Before, End>, {dim3(Second::groups), Second::threads, fromNormSharedBytes<Second, Product, Before>(), stream},
           typename Product::Arguments{z}, norm(), second.p, end, next, live);
  }
  /// The second product with its bias, after a check of the norm's rows.
  template <class Product, class End>
  Numbers run(const std::string &name, const typename Product::Arguments &from, const Numbers &x, const typename End::Arguments &end, int live) const {
    toNorm<Product>(from, residual, live);
    fromNorm<End>(end, live);
    Numbers rows = biased(product(x, numbers(hostFirst), live, width, K), hostFirstBias);
    for (int m = 0; m < live; ++m) {
      double *row = rows.data() + (size_t)m * width, mean = 0, squares = 0;
      for (int k = 0; k < width; ++k)
        row[k] += number(hostResidual[(size_t)m * width + k]), mean += centred ? row[k] / (double)width : 0;
      for (int k = 0; k < width; ++k)
        squares += (row[k] - mean) * (row[k] - mean) / width;
      for (int k = 0; k < width; ++k)
        row[k] = (row[k] - mean) / std::sqrt(squares + epsilon) * number(hostScale[(size_t)k]) + (shifts ? number(hostShift[(size_t)k]) : 0);
    }
    compareRows(name + ", norm", y, rows, width, 0, width, live, Order::rows);
    return biased(product(rows, numbers(hostSecond), live, N, width), hostBias);
  }
  /// Columns from `from` on of ref [live, all]; behind the last row there are zeros, or nothing was written.
  static void compareRows(const std::string &name, const Device<T> &result, const Numbers &ref, int all, int from, int width, int live, Order order) {
    const std::vector<T> written = result.host();
    std::vector<T> rows;
    Numbers own;
    bool behind = true;
    for (int m = 0; m < 32; ++m)
      for (int n = 0; n < width; ++n) {
        const T v = written[place(order, width, m, n)];
        if (m < live)
          rows.push_back(v), own.push_back(ref[(size_t)m * all + from + n]);
        else
          behind &= order == Order::rows ? number(v) != number(v) : number(v) == 0;
      }
    compare(name, rows, own, Bound<T>::relative);
    report(behind, name + ", rows behind the last", order == Order::rows ? "stay poisoned" : "are zeros");
  }
};

template <class T> void gelu(std::vector<T> &all) {
  for (T &v : all)
    v *= 0.5 * (1.0 + std::erf(v / std::sqrt(2.0)));
}

template <class First, class Second, class G, bool centred, ChainFormat format> void checkColumns(const std::string &name) {
  using T = typename First::T;
  using End = ColumnsEnd<Second, StoreEpilogue<T, T, Second::N, GeluErf>, Second::N, format>;
  if (!runsHopper())
    return;
  for (int live : {1, 7, 16, 17, 32}) {
    Chain<First, Second, G, centred> chain;
    chain.shifts = live != 7;
    const std::vector<T> hostX = randomNumbers<T>((size_t)32 * First::K);
    Device<T> y((size_t)32 * Second::N), x(ordered(hostX, First::K, 0, First::K, live, Order::pieces));
    const std::string own = name + " of " + std::to_string(live);
    Numbers ref = chain.template run<RowsProduct<First, false>, End>(own, {x}, numbers(hostX), {{nullptr, chain.bias, nullptr}, y, nullptr, nullptr}, live);
    gelu(ref);
    chain.compareRows(own, y, ref, Second::N, 0, Second::N, live, format == ChainFormat::rows ? Order::rows : Order::pieces);
  }
}

/// A product of rows as they lie, without a norm: three results.
template <class Shape> void checkBegin(const std::string &name) {
  using T = typename Shape::T;
  constexpr int width = Shape::N / 3;
  using Product = RowsProduct<Shape, true>;
  using End = ColumnsEnd<Shape, StoreEpilogue<T, T, Shape::N, Identity>, width, ChainFormat::attention>;
  if (!runsHopper())
    return;
  for (int live : {1, 19, 32}) {
    const std::vector<T> hostX = randomNumbers<T>((size_t)32 * Shape::K), hostW = randomNumbers<T>((size_t)Shape::N * Shape::K, 1.0f / std::sqrt((float)Shape::K));
    const std::vector<T> hostBias = randomNumbers<T>(Shape::N);
    Device<T> x(ordered(hostX, Shape::K, 0, Shape::K, live, Order::rows)), w(hostW), bias(hostBias), q((size_t)32 * width), k((size_t)32 * width), v((size_t)32 * width);
    launch(chainFromNormEntry<Shape, Product, NoNorm<Shape>, End>, {dim3(Shape::groups), Shape::threads, fromNormSharedBytes<Shape, Product, NoNorm<Shape>>()},
           typename Product::Arguments{x}, typename NoNorm<Shape>::Arguments{}, w.p, typename End::Arguments{{nullptr, bias, nullptr}, q, k, v}, ChainNext{}, live);
    const Numbers ref = biased(product(numbers(hostX), numbers(hostW), live, Shape::N, Shape::K), hostBias);
    const std::string own = name + " of " + std::to_string(live);
    using AnyChain = Chain<NormChainShape<T, 64, 64, 2, 2>, Shape, T, true>;
    AnyChain::compareRows(own + ", queries", q, ref, Shape::N, 0, width, live, Order::pieces);
    AnyChain::compareRows(own + ", keys", k, ref, Shape::N, width, width, live, Order::pieces);
    AnyChain::compareRows(own + ", values", v, ref, Shape::N, 2 * width, width, live, Order::transposed);
  }
}

template <class T, int width, int groups, int cluster, int headDim, class Second, class G, bool centred, bool causal> void checkAttention(const std::string &name) {
  using First = NormChainShape<T, width, width, groups, cluster>;
  using Product = AttentionProduct<First, headDim, causal>;
  using End = ColumnsEnd<Second, StoreEpilogue<T, T, Second::N, Identity>, Second::N, ChainFormat::rows>;
  if (!runsHopper())
    return;
  const float scale = 1.0f / std::sqrt((float)headDim);
  auto check = [&](const std::string &what, const std::vector<int> &starts, const std::vector<int> &valid, const int *lengths, const int *mask, int count) {
    Chain<First, Second, G, centred> chain;
    const int live = starts.back();
    const std::vector<T> qkv = randomNumbers<T>((size_t)32 * 3 * width);
    Device<T> q(ordered(qkv, 3 * width, 0, width, live, Order::pieces)), k(ordered(qkv, 3 * width, width, width, live, Order::pieces));
    Device<T> v(ordered(qkv, 3 * width, 2 * width, width, live, Order::transposed)), y((size_t)32 * Second::N);
    const Numbers x = attention(numbers(qkv), starts, valid, width / headDim, headDim, scale, causal);
    const Numbers ref = chain.template run<Product, End>(name + what, {q, k, v, lengths, mask, count, scale}, x, {{nullptr, chain.bias, nullptr}, y, nullptr, nullptr}, live);
    chain.compareRows(name + what, y, ref, Second::N, 0, Second::N, live, Order::rows);
  };
  std::vector<int> singles(33);
  for (int i = 0; i < 33; ++i)
    singles[(size_t)i] = i;
  for (const std::vector<int> &starts : {std::vector<int>{0, 32}, {0, 1}, {0, 7}, {0, 3, 3, 17, 29}, singles}) {
    Device<int> lengths(starts);
    check(" of " + std::to_string(starts.back()) + " in " + std::to_string(starts.size() - 1), starts, {}, lengths, nullptr, (int)starts.size() - 1);
  }
  for (const std::vector<int> &starts : {std::vector<int>{0, 32}, {0, 7, 14, 21}}) {
    std::vector<int> valid((size_t)starts.back(), 1);
    for (bool masked : {false, true}) {
      for (int i = 0; masked && i < starts.back(); ++i)
        valid[(size_t)i] = i >= 14 && i < 21 ? 0 : randomInt(0, 3) * 5; // the third row has no key
      Device<int> mask(valid);
      check(", padded to " + std::to_string(starts[1]) + (masked ? ", masked" : ""), starts, valid, nullptr, masked ? mask.p : nullptr, starts[1]);
    }
  }
}

void checkNormChains() {
  checkAttention<Half, 256, 8, 4, 64, NormChainShape<Half, 256, 128, 16, 1>, Half, true, false>("norm chain fp16, heads of 64");
  checkAttention<BFloat, 384, 24, 4, 32, NormChainShape<BFloat, 384, 96, 12, 1>, float, false, true>("norm chain bf16, RMSNorm, causal heads of 32");
  checkAttention<Half, 256, 8, 2, 128, NormChainShape<Half, 256, 96, 12, 1>, float, true, false>("norm chain fp16, heads of 128");
  checkColumns<NormChainShape<Half, 2048, 64, 2, 4>, NormChainShape<Half, 64, 256, 8, 1>, Half, true, ChainFormat::pieces>("norm chain fp16, a long K");
  checkColumns<NormChainShape<BFloat, 384, 192, 12, 4>, NormChainShape<BFloat, 192, 160, 20, 1>, BFloat, false, ChainFormat::rows>("norm chain bf16, RMSNorm");
  checkColumns<NormChainShape<Half, 128, 128, 2, 4>, NormChainShape<Half, 128, 96, 6, 1>, Half, true, ChainFormat::pieces>("norm chain fp16, 64 columns");
  checkBegin<NormChainShape<Half, 96, 192, 8, 1>>("norm chain fp16, its first product");
}

} // namespace

static Register checkNormChainsGroup("chain", checkNormChains);

#ifndef LAB_EMULATED
namespace {

/// A graph's time.
template <class Work> double graphMs(Work work) {
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  CHECK(cudaStreamCreate(&stream));
  work(nullptr);
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  work(stream);
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&executable, graph, 0));
  const double ms = medianMs(stream, 20, 4, [&] { CHECK(cudaGraphLaunch(executable, stream)); });
  CHECK(cudaGraphExecDestroy(executable));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaStreamDestroy(stream));
  return ms;
}

} // namespace

/// The four kernels of a layer in turn, layer after layer, as a graph; weights of four are more than L2 holds.
void timeNormChains() {
  if (!runsHopper())
    return;
  constexpr int hidden = 1024, inner = 4096, layers = 24, sets = 4, live = 32;
  using Out = NormChainShape<Half, hidden, hidden, 32, 4>;
  using Up = NormChainShape<Half, hidden, inner, 128, 1>;
  using Down = NormChainShape<Half, inner, hidden, 32, 4>;
  using Qkv = NormChainShape<Half, hidden, 3 * hidden, 128, 1>;
  using UpEnd = ColumnsEnd<Up, StoreEpilogue<Half, Half, inner, GeluErfFor<Half>>, inner, ChainFormat::pieces>;
  using QkvEnd = ColumnsEnd<Qkv, StoreEpilogue<Half, Half, 3 * hidden, Identity>, hidden, ChainFormat::attention>;
  std::vector<Chain<Out, Up, Half, true>> outUp(sets);
  std::vector<Chain<Down, Qkv, Half, true>> downQkv(sets);
  Device<int> lengths(std::vector<int>{0, live});
  Device<Half> q((size_t)32 * hidden), k((size_t)32 * hidden), v((size_t)32 * hidden), wide((size_t)32 * inner);
  q.zero(), k.zero(), v.zero(), wide.zero();
  auto part = [](const Device<Half> &weights) { return ChainNext{weights.p, uint32(weights.n * 2 / 128)}; };
  for (int which : {1, 2, 4, 8, 15}) {
    double ms = graphMs([&](cudaStream_t stream) {
      for (int i = 0; i < layers; ++i) {
        const auto &a = outUp[(size_t)(i % sets)];
        const auto &b = downQkv[(size_t)(i % sets)];
        if (which & 1)
          a.toNorm<AttentionProduct<Out, 64, false>>({q, k, v, lengths, nullptr, 1, 0.125f}, b.y, live, part(a.second), stream);
        if (which & 2)
          a.fromNorm<UpEnd>({{nullptr, a.bias, nullptr}, wide, nullptr, nullptr}, live, part(b.first), stream);
        if (which & 4)
          b.toNorm<RowsProduct<Down, false>>({wide}, a.y, live, part(b.second), stream);
        if (which & 8)
          b.fromNorm<QkvEnd>({{nullptr, b.bias, nullptr}, q, k, v}, live, part(outUp[(size_t)((i + 1) % sets)].first), stream);
      }
    });
    std::printf("norm chain of XLM-R large, %d rows, %s%s%s%s: %.3f ms for %d layers, %.2f us a layer\n", live, which & 1 ? "attention " : "", which & 2 ? "up " : "",
                which & 4 ? "down " : "", which & 8 ? "query, key, value" : "", ms, layers, ms * 1000 / layers);
  }
}
#endif

} // namespace lab
