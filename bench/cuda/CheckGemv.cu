// Checks of the matrix-vector kernels: every format, prologue, epilogue and pairing at odd shapes, against fp64.
#include "Blocks.h"
#include "Checks.h"

namespace lab {
namespace {

template <class T> std::vector<double> numbers(const std::vector<T> &v) {
  std::vector<double> y(v.size());
  for (size_t i = 0; i < v.size(); ++i)
    y[i] = number(v[i]);
  return y;
}

/// x [M, K] times w [N, K]^T.
std::vector<double> product(const std::vector<double> &x, const std::vector<double> &w, int M, int N, int K) {
  std::vector<double> y((size_t)M * N);
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n) {
      double sum = 0;
      for (int k = 0; k < K; ++k)
        sum += x[(size_t)m * K + k] * w[(size_t)n * K + k];
      y[(size_t)m * N + n] = sum;
    }
  return y;
}

std::vector<double> normed(const std::vector<double> &x, const std::vector<double> &scale, const std::vector<double> &bias,
                           int M, int K, bool centred, double epsilon) {
  std::vector<double> y(x.size());
  for (int m = 0; m < M; ++m) {
    double mean = 0, squares = 0;
    for (int k = 0; k < K && centred; ++k)
      mean += x[(size_t)m * K + k] / K;
    for (int k = 0; k < K; ++k)
      squares += std::pow(x[(size_t)m * K + k] - mean, 2) / K;
    for (int k = 0; k < K; ++k)
      y[(size_t)m * K + k] = (x[(size_t)m * K + k] - mean) / std::sqrt(squares + epsilon) * scale[k] + (bias.empty() ? 0 : bias[k]);
  }
  return y;
}

template <class Shape, class Prologue, class Epilogue>
void run(typename Shape::Format::View w, Prologue prologue, Epilogue epilogue, const int *rows = nullptr) {
  launch(gemvEntry<Shape, Prologue, Epilogue>, {dim3(Shape::blocks), Shape::threads, Shape::sharedBytes}, w, prologue, epilogue, rows);
}

template <class Shape, class Prologue, class Epilogue>
void runSimple(const typename Shape::W *w, Prologue prologue, Epilogue epilogue, int M, const int *rows = nullptr) {
  launch(gemvSimpleEntry<Shape, Prologue, Epilogue>, {dim3(Shape::blocks, M), Shape::threads}, w, prologue, epilogue, rows);
}

/// Plain weights with bias, activation and residual; then the same in front of each norm.
template <class T, int N, int K, int M, int splits, int warps, int depth> void checkPlain(const std::string &name) {
  using Shape = GemvShape<PlainFormat<T, K>, N, M, splits, warps, depth, NeighbourPairs>;
  auto w = randomNumbers<T>((size_t)N * K, 0.05f), x = randomNumbers<T>((size_t)M * K, 1.0f, 0.3f);
  auto bias = randomNumbers<T>(N), residual = randomNumbers<T>((size_t)M * N), scale = randomNumbers<T>(K, 0.2f, 1.0f), shift = randomNumbers<T>(K);
  Device<T> dw(w), dx(x), db(bias), dr(residual), ds(scale), dt(shift);
  auto finish = [&](std::vector<double> ref) {
    for (int i = 0; i < M * N; ++i) {
      double v = ref[i] + number(bias[i % N]);
      ref[i] = v / (1 + std::exp(-v)) + number(residual[i]);
    }
    return ref;
  };
  {
    Device<T> y((size_t)M * N);
    run<Shape>({dw}, NoPrologue<T, K>{dx}, StoreEpilogue<T, T, N, Silu>{y, db, dr});
    compare(name, y.host(), finish(product(numbers(x), numbers(w), M, N, K)), Bound<T>::relative);
  }
  {
    using P = NormPrologue<T, T, K, true, true>;
    Device<T> y((size_t)M * N);
    run<Shape>({dw}, P{dx, ds, dt, 1e-5f, nullptr}, StoreEpilogue<T, T, N, Silu>{y, db, dr});
    auto n = normed(numbers(x), numbers(scale), numbers(shift), M, K, true, 1e-5);
    compare(name + " layer norm", y.host(), finish(product(n, numbers(w), M, N, K)), Bound<T>::relative);
  }
  {
    // fp32 results show the accuracy of the split operands.
    Device<float> y((size_t)M * N);
    Device<int> live(std::vector<int>{M - 1});
    auto ref = product(normed(numbers(x), numbers(scale), {}, M, K, false, 1e-6), numbers(w), M, N, K);
    auto store = StoreEpilogue<float, T, N, Identity>{y, nullptr, nullptr};
    if constexpr (std::is_same_v<T, BFloat>)
      run<Shape>({dw}, RmsPrologue<T, T, K>{dx, ds, 1e-6f}, store, live);
    else
      run<Shape>({dw}, NormPrologue<T, T, K, false, false>{dx, ds, nullptr, 1e-6f, nullptr}, store, live);
    auto out = y.host();
    bool untouched = true;
    for (size_t i = (size_t)(M - 1) * N; i < out.size(); ++i)
      untouched &= out[i] != out[i];
    report(untouched, name + " rows past the live ones", "stay poisoned");
    out.resize((size_t)(M - 1) * N), ref.resize((size_t)(M - 1) * N);
    compare(name + " RMS norm", out, ref, splits > 1 ? 1e-5 : Bound<T>::relative);
  }
}

template <class Format, class Host, class Repack, int N, int M, int splits, int warps, int depth> void checkQuant(const std::string &name) {
  using Shape = GemvShape<Format, N, M, splits, warps, depth, NeighbourPairs>;
  constexpr int K = Format::K;
  QuantWeights<Format, Host, Repack> w(N);
  auto x = randomNumbers<float>((size_t)M * K, 1.0f, 0.2f);
  Device<float> dx(x), y((size_t)M * N);
  run<Shape>(w.view(), NoPrologue<float, K>{dx}, StoreEpilogue<float, float, N, Identity>{y, nullptr, nullptr});
  compare(name, y.host(), product(numbers(x), w.values, M, N, K), splits > 1 ? 1e-5 : 1e-2);
}

void checkGate() {
  constexpr int width = 136, K = 512, M = 2;
  using Shape = GemvShape<PlainFormat<BFloat, K>, 2 * width, M, 2, 4, 2, HalfPairs<width>>;
  auto w = randomNumbers<BFloat>(2 * width * K, 0.05f), x = randomNumbers<BFloat>(M * K);
  Device<BFloat> dw(w), dx(x);
  Device<float> y(M * width);
  run<Shape>({dw}, NoPrologue<BFloat, K>{dx}, GateEpilogue<float, float, width, GeluTanh>{y, nullptr});
  auto both = product(numbers(x), numbers(w), M, 2 * width, K);
  std::vector<double> ref(M * width);
  for (int m = 0; m < M; ++m)
    for (int i = 0; i < width; ++i) {
      double g = both[m * 2 * width + i], u = both[m * 2 * width + width + i];
      ref[m * width + i] = 0.5 * g * (1 + std::tanh(0.7978845608028654 * (g + 0.044715 * g * g * g))) * u;
    }
  compare("gate gelu_tanh", y.host(), ref, 1e-5);
}

/// simple: by the kernel for odd sizes.
template <class Pairs, int heads, int kvHeads, int headDim, int dims, bool simple = false> void checkRotary(const std::string &name) {
  constexpr int K = simple ? 37 : 264, M = 3, N = (heads + 2 * kvHeads) * headDim, capacity = 9;
  auto w = randomNumbers<BFloat>(N * K, 0.05f), x = randomNumbers<BFloat>(M * K), bias = randomNumbers<BFloat>(N);
  std::vector<int> past = {0, 8, 9}; // the last is past the capacity: dropped
  std::vector<double> turns(dims / 2);
  for (int i = 0; i < dims / 2; ++i)
    turns[i] = std::pow(10000.0, -2.0 * i / dims) / (2 * M_PI);
  Device<BFloat> dw(w), dx(x), db(bias);
  Device<int> dpast(past);
  Device<double> dturns(turns);
  Device<float> q(M * heads * headDim), k((size_t)M * kvHeads * capacity * headDim), v(k.n);
  RotaryAppendEpilogue<float, float, BFloat, heads, kvHeads, headDim, dims, Pairs::partner> epilogue{q, k, v, dpast, dturns, db, capacity};
  if constexpr (simple)
    runSimple<GemvSimpleShape<BFloat, N, K, Pairs>>(dw.p, SimplePrologue<BFloat, K>{dx}, epilogue, M);
  else
    run<GemvShape<PlainFormat<BFloat, K>, N, M, 2, 8, 2, Pairs>>({dw}, NoPrologue<BFloat, K>{dx}, epilogue);
  auto all = product(numbers(x), numbers(w), M, N, K);
  std::vector<double> refQ(q.n), refK, refV;
  std::vector<float> outK, outV, hostK = k.host(), hostV = v.host();
  size_t written = 0;
  for (int m = 0; m < M; ++m)
    for (int head = 0; head < heads + 2 * kvHeads; ++head) {
      std::vector<double> h(headDim);
      for (int i = 0; i < headDim; ++i)
        h[i] = all[m * N + head * headDim + i] + number(bias[head * headDim + i]);
      auto r = h;
      for (int i = 0; i < dims / 2; ++i) {
        int a = Pairs::partner == 1 ? 2 * i : i, b = Pairs::partner == 1 ? 2 * i + 1 : i + dims / 2;
        double angle = past[m] * turns[i] * 2 * M_PI;
        r[a] = h[a] * std::cos(angle) - h[b] * std::sin(angle);
        r[b] = h[b] * std::cos(angle) + h[a] * std::sin(angle);
      }
      for (int i = 0; i < headDim; ++i) {
        if (head < heads) {
          refQ[(m * heads + head) * headDim + i] = r[i];
        } else if (past[m] < capacity) {
          bool key = head < heads + kvHeads;
          int kv = head - heads - (key ? 0 : kvHeads);
          size_t at = ((size_t)(m * kvHeads + kv) * capacity + past[m]) * headDim + i;
          (key ? refK : refV).push_back(key ? r[i] : h[i]);
          (key ? outK : outV).push_back(key ? hostK[at] : hostV[at]);
          ++written;
        }
      }
    }
  compare(name + " queries", q.host(), refQ, 1e-5);
  compare(name + " keys", outK, refK, 1e-5);
  compare(name + " values", outV, refV, 1e-5);
  size_t clean = 0;
  for (size_t i = 0; i < hostK.size(); ++i)
    clean += (hostK[i] != hostK[i]) + (hostV[i] != hostV[i]);
  report(clean + written == 2 * hostK.size(), name + " other slots", "stay poisoned");
}

void checkLogits() {
  constexpr int N = 1003, K = 128, M = 5;
  using Shape = GemvShape<PlainFormat<Half, K>, N, M, 1, 8, 1, NeighbourPairs>;
  auto w = randomNumbers<Half>(N * K), x = randomNumbers<Half>(M * K);
  for (int k = 0; k < K; ++k) // equal rows: the first wins
    w[1002 * K + k] = w[77 * K + k] = w[500 * K + k];
  Device<Half> dw(w), dx(x);
  Device<float> y(M * N);
  Device<uint64> best(M);
  best.zero();
  run<Shape>({dw}, NoPrologue<Half, K>{dx}, LogitsEpilogue<float, N>{y, best, nullptr});
  auto out = y.host();
  auto keys = best.host();
  compare("logits", out, product(numbers(x), numbers(w), M, N, K), 1e-5);
  for (int m = 0; m < M; ++m) {
    int first = (int)(std::max_element(out.begin() + m * N, out.begin() + (m + 1) * N) - out.begin()) - m * N;
    report((int)~(uint32_t)keys[m] == first, "logits argmax", std::to_string((int)~(uint32_t)keys[m]) + " for " + std::to_string(first));
  }
}

template <class T, int N, int K, int M> void checkFma(const std::string &name) {
  using Shape = GemvFmaShape<T, N, K, M, NeighbourPairs>;
  auto w = randomNumbers<T>((size_t)N * K, 0.05f);
  auto x = randomNumbers<float>((size_t)M * K), scale = randomNumbers<float>(K, 0.2f, 1.0f), shift = randomNumbers<float>(K);
  Device<T> dw(w);
  Device<float> dx(x), ds(scale), dt(shift), y((size_t)M * N);
  using P = NormPrologue<float, float, K, true, true>;
  using E = StoreEpilogue<float, float, N, GeluErf>;
  launch(gemvFmaEntry<Shape, P, E>, {dim3(Shape::blocks), Shape::threads}, (const T *)dw.p, P{dx, ds, dt, 1e-5f, nullptr}, E{y, nullptr, nullptr}, (const int *)nullptr);
  auto ref = product(normed(numbers(x), numbers(scale), numbers(shift), M, K, true, 1e-5), numbers(w), M, N, K);
  for (double &v : ref)
    v = 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
  compare(name, y.host(), ref, 1e-5);
}

/// Blocks that stay give bit for bit what a block per tile gives, for any number of blocks.
template <class Shape, class Prologue, class Epilogue, class Y>
void checkStreamOf(const std::string &name, typename Shape::Format::View w, Prologue prologue, Epilogue epilogue, const Device<Y> &y, int live = Shape::M) {
  Device<int> rows(std::vector<int>{live});
  CHECK(cudaMemset(y.p, 0xff, y.n * sizeof(Y)));
  run<Shape>(w, prologue, epilogue, rows);
  auto expected = y.host();
  for (int blocks : {1, 2, 7, Shape::blocks + 3}) {
    CHECK(cudaMemset(y.p, 0xff, y.n * sizeof(Y)));
    launch(gemvStreamEntry<Shape, Prologue, Epilogue>, {dim3(blocks), Shape::threads, GemvStreamShape<Shape>::sharedBytes}, w, prologue, epilogue, (const int *)rows.p);
    auto out = y.host();
    report(std::memcmp(out.data(), expected.data(), out.size() * sizeof(Y)) == 0, name + " " + std::to_string(blocks) + " blocks", "bit for bit");
  }
}
template <int N, int K, int M, int splits, int warps, int depth> void checkStream(const std::string &name) {
  using Shape = GemvShape<PlainFormat<BFloat, K>, N, M, splits, warps, depth, NeighbourPairs>;
  auto w = randomNumbers<BFloat>((size_t)N * K, 0.05f), x = randomNumbers<BFloat>((size_t)M * K), scale = randomNumbers<BFloat>(K, 0.2f, 1.0f);
  Device<BFloat> dw(w), dx(x), ds(scale);
  Device<float> y((size_t)M * N);
  checkStreamOf<Shape>(name, {dw}, RmsPrologue<BFloat, BFloat, K>{dx, ds, 1e-5f}, StoreEpilogue<float, float, N, Silu>{y, nullptr, nullptr}, y, M > 1 ? M - 1 : 1);
}
void checkStreams() {
  checkStream<500, 2048, 1, 2, 8, 8>("stream bf16 500x2048 M1");
  checkStream<130, 1000, 3, 2, 4, 4>("stream bf16 130x1000 M3");
  checkStream<260, 512, 16, 1, 8, 2>("stream bf16 260x512 M16");
  using Q = GemvShape<Q4Format<1376, true>, 90, 2, 2, 4, 1, NeighbourPairs>;
  QuantWeights<Q4Format<1376, true>, HostQ4<true>, RepackQ4<true>> w(90);
  Device<float> x(randomNumbers<float>(2 * 1376)), y(2 * 90);
  checkStreamOf<Q>("stream q4_1 90x1376 M2", w.view(), NoPrologue<float, 1376>{x}, StoreEpilogue<float, float, 90, Identity>{y, nullptr, nullptr}, y);
}

/// Layer norm whose statistics each warp finds.
template <class T, int N, int K, int M, bool centred> void checkWarpNorm(const std::string &name) {
  using Shape = GemvShape<PlainFormat<T, K>, N, M, 2, 8, 2, NeighbourPairs>;
  auto w = randomNumbers<T>((size_t)N * K, 0.05f), x = randomNumbers<T>((size_t)M * K, 1.0f, 0.5f);
  auto scale = randomNumbers<T>(K, 0.2f, 1.0f), shift = randomNumbers<T>(K);
  Device<T> dw(w), dx(x), ds(scale), dt(shift);
  Device<float> y((size_t)M * N);
  using P = WarpNormPrologue<T, T, K, M, centred, centred>;
  run<Shape>({dw}, P{dx, ds, dt, 1e-5f, {}, {}}, StoreEpilogue<float, T, N, Identity>{y, nullptr, nullptr});
  compare(name, y.host(), product(normed(numbers(x), numbers(scale), centred ? numbers(shift) : std::vector<double>(), M, K, centred, 1e-5), numbers(w), M, N, K), 1e-5);
}

/// RMS norm whose factor is applied to the results.
template <class T, int N, int K, int M> void checkFmaDeferred(const std::string &name) {
  using Shape = GemvFmaShape<T, N, K, M, NeighbourPairs>;
  auto w = randomNumbers<T>((size_t)N * K, 0.05f);
  auto x = randomNumbers<float>((size_t)M * K), scale = randomNumbers<float>(K, 0.2f, 1.0f);
  Device<T> dw(w);
  Device<float> dx(x), ds(scale), y((size_t)M * N);
  using P = RmsPrologue<float, float, K>;
  using E = StoreEpilogue<float, float, N, Identity>;
  launch(gemvFmaEntry<Shape, P, E>, {dim3(Shape::blocks), Shape::threads}, (const T *)dw.p, P{dx, ds, 1e-5f}, E{y, nullptr, nullptr}, (const int *)nullptr);
  compare(name, y.host(), product(normed(numbers(x), numbers(scale), {}, M, K, false, 1e-5), numbers(w), M, N, K), 1e-5);
}

/// Any sizes: norm, activation, residual, a row that is not live.
template <class T, class X, int N, int K, int M, bool centred> void checkSimple(const std::string &name) {
  using Shape = GemvSimpleShape<T, N, K, NeighbourPairs>;
  auto w = randomNumbers<T>((size_t)N * K, 0.1f);
  auto x = randomNumbers<X>((size_t)M * K, 1.0f, 0.2f), scale = randomNumbers<X>(K, 0.2f, 1.0f), shift = randomNumbers<X>(K);
  auto residual = randomNumbers<float>((size_t)M * N);
  for (float &r : residual)
    r = std::fabs(r); // behind relu nothing cancels: of a single number the error would have no bound
  Device<T> dw(w);
  Device<X> dx(x), ds(scale), dt(shift);
  Device<float> dr(residual), y((size_t)M * N);
  Device<int> live(std::vector<int>{M - 1});
  runSimple<Shape>(dw.p, SimpleNormPrologue<X, X, K, centred>{dx, ds, centred ? dt.p : nullptr, 1e-5f}, StoreEpilogue<float, float, N, Relu>{y, nullptr, dr}, M, live);
  auto ref = product(normed(numbers(x), numbers(scale), centred ? numbers(shift) : std::vector<double>(), M, K, centred, 1e-5), numbers(w), M, N, K);
  for (size_t i = 0; i < ref.size(); ++i)
    ref[i] = std::max(ref[i], 0.0) + residual[i];
  auto out = y.host();
  bool untouched = true;
  for (size_t i = (size_t)(M - 1) * N; i < out.size(); ++i)
    untouched &= out[i] != out[i];
  report(untouched, name + " rows past the live ones", "stay poisoned");
  out.resize((size_t)(M - 1) * N), ref.resize((size_t)(M - 1) * N);
  compare(name, out, ref, 1e-5);
}

} // namespace

static void checkGemv() {
  checkPlain<BFloat, 37, 200, 1, 2, 8, 4>("gemv bf16 37x200 M1");
  checkPlain<BFloat, 320, 2048, 1, 2, 8, 8>("gemv bf16 320x2048 M1");
  checkPlain<BFloat, 48, 8200, 2, 2, 8, 8>("gemv bf16 48x8200 M2");
  checkPlain<BFloat, 130, 1032, 4, 2, 4, 3>("gemv bf16 130x1032 M4");
  checkPlain<BFloat, 50, 2056, 7, 1, 8, 4>("gemv bf16 50x2056 M7");
  checkPlain<BFloat, 64, 4096, 8, 2, 8, 4>("gemv bf16 64x4096 M8");
  checkPlain<BFloat, 64, 13696, 16, 1, 8, 4>("gemv bf16 64x13696 M16");
  checkPlain<Half, 2304, 768, 1, 2, 8, 3>("gemv fp16 2304x768 M1");
  checkPlain<Half, 100, 3072, 3, 2, 16, 4>("gemv fp16 100x3072 M3");
  checkPlain<Half, 33, 520, 16, 1, 8, 2>("gemv fp16 33x520 M16");
  checkQuant<Q80Format<2048>, HostQ80, RepackQ80, 100, 1, 2, 8, 4>("gemv q8_0 100x2048 M1");
  checkQuant<Q80Format<96>, HostQ80, RepackQ80, 19, 3, 2, 4, 2>("gemv q8_0 19x96 M3");
  checkQuant<Q4Format<4096, false>, HostQ4<false>, RepackQ4<false>, 70, 1, 2, 8, 4>("gemv q4_0 70x4096 M1");
  checkQuant<Q4Format<160, false>, HostQ4<false>, RepackQ4<false>, 21, 5, 1, 4, 1>("gemv q4_0 21x160 M5");
  checkQuant<Q4Format<576, true>, HostQ4<true>, RepackQ4<true>, 40, 1, 2, 8, 1>("gemv q4_1 40x576 M1");
  checkQuant<Q4Format<1536, true>, HostQ4<true>, RepackQ4<true>, 40, 4, 2, 4, 2>("gemv q4_1 40x1536 M4");
  checkQuant<Q4KFormat<2048>, HostQ4K, RepackQ4K, 33, 1, 2, 8, 2>("gemv q4_K 33x2048 M1");
  checkQuant<Q4KFormat<768>, HostQ4K, RepackQ4K, 16, 8, 2, 4, 2>("gemv q4_K 16x768 M8");
  checkQuant<Q6KFormat<2048>, HostQ6K, RepackQ6K, 33, 1, 2, 8, 2>("gemv q6_K 33x2048 M1");
  checkQuant<Q6KFormat<13824>, HostQ6K, RepackQ6K, 17, 6, 2, 8, 4>("gemv q6_K 17x13824 M6");
  checkQuant<Q5Format<4096, false>, HostQ5<false>, RepackQ5<false>, 70, 1, 2, 8, 4>("gemv q5_0 70x4096 M1");
  checkQuant<Q5Format<160, false>, HostQ5<false>, RepackQ5<false>, 21, 5, 1, 4, 1>("gemv q5_0 21x160 M5");
  checkQuant<Q5Format<576, true>, HostQ5<true>, RepackQ5<true>, 40, 3, 2, 8, 1>("gemv q5_1 40x576 M3");
  checkQuant<Q5KFormat<2048>, HostQ5K, RepackQ5K, 33, 1, 2, 8, 2>("gemv q5_K 33x2048 M1");
  checkQuant<Q5KFormat<768>, HostQ5K, RepackQ5K, 16, 8, 2, 4, 2>("gemv q5_K 16x768 M8");
  checkQuant<Q4KFormat<1024>, HostQ4K, RepackQ4K, 50, 16, 1, 8, 2>("gemv q4_K 50x1024 M16");
  checkQuant<Q80Format<1024>, HostQ80, RepackQ80, 50, 13, 1, 8, 4>("gemv q8_0 50x1024 M13");
  checkGate();
  checkRotary<HeadPairs<64>, 5, 1, 64, 64>("qkv rotary halves");
  checkRotary<NeighbourPairs, 4, 2, 32, 16>("qkv rotary interleaved, half the head");
  checkRotary<HeadPairs<96, 32>, 3, 1, 96, 32>("qkv rotary halves, a third of the head");
  checkRotary<HeadPairs<40, 20>, 2, 1, 40, 20>("qkv rotary halves, half a head of 40");
  checkRotary<HeadPairs<10>, 3, 3, 10, 10, true>("simple qkv rotary halves");
  checkRotary<NeighbourPairs, 2, 1, 6, 4, true>("simple qkv rotary interleaved");
  checkSimple<float, float, 37, 21, 5, true>("simple fp32 37x21 M5");
  checkSimple<float, float, 1, 3, 2, false>("simple fp32 1x3 M2");
  checkSimple<BFloat, float, 50, 300, 21, false>("simple bf16 50x300 M21");
  checkSimple<Half, Half, 20, 36, 4, true>("simple fp16 20x36 M4");
  checkFmaDeferred<float, 50, 776, 3>("gemv fma fp32 50x776 M3 deferred norm");
  checkFmaDeferred<BFloat, 33, 2048, 16>("gemv fma bf16 33x2048 M16 deferred norm");
  checkStreams();
  checkWarpNorm<Half, 100, 768, 1, true>("gemv fp16 100x768 M1 layer norm by warps");
  checkWarpNorm<BFloat, 40, 1032, 3, false>("gemv bf16 40x1032 M3 RMS norm by warps");
  checkLogits();
  checkFma<float, 50, 776, 1>("gemv fma fp32 50x776 M1");
  checkFma<float, 17, 2048, 9>("gemv fma fp32 17x2048 M9");
  checkFma<Half, 32, 256, 4>("gemv fma fp16 32x256 M4");
}
static Register checkGemvGroup("gemv", checkGemv);

} // namespace lab
