// Prefill attention: checks against fp64 at ragged shapes, and TFLOP/s at the shapes of A1.
#include "Checks.h"
#include "Lab.h"
#include "Maps.h"
#include "WgmmaVariants.cuh"

namespace lab {
namespace {

enum class Rows { padded, packed, cached };

/// Queries [batch, queries, heads, D] or packed [tokens, heads, D]; keys likewise, or a cache [batch, kv_heads, capacity, D].
struct Problem {
  Rows rows;
  int batch, heads, kvHeads, queries, keys, window;
  std::vector<int> lengths, past;     // per sequence; padded: lengths all equal `queries`
  std::vector<int> keyLengths = {};   // packed: of keys, where these are not the queries' rows
  static std::vector<int> sums(const std::vector<int> &lengths) {
    std::vector<int> c = {0};
    for (int l : lengths)
      c.push_back(c.back() + l);
    return c;
  }
  std::vector<int> cumulative() const { return sums(lengths); }
  std::vector<int> cumulativeKeys() const { return sums(keyLengths.empty() ? lengths : keyLengths); }
};

/// What the entry takes.
struct HopperCall {
  TensorMap query, keys, values;
  HopperAttentionArguments a;
};

template <class Shape, bool maps = true> HopperCall arguments(const Problem &p, typename Shape::T *q, typename Shape::T *k, typename Shape::T *v, typename Shape::Result *y, int tokens,
                                                          const int *cumulative, const int *lengths, const int *past, int *next, const int *cumulativeKeys = nullptr, int keyTokens = 0) {
  using T = typename Shape::T;
  constexpr bool half = std::is_same_v<T, Half>;
  constexpr int D = Shape::headDim;
  HopperCall call = {};
  HopperAttentionArguments &a = call.a;
  bool packed = p.rows == Rows::packed, cached = p.rows == Rows::cached;
  int64_t rowsOfQ = packed ? tokens : p.queries, rowsOfK = packed ? (keyTokens ? keyTokens : tokens) : p.keys, batch = packed ? 1 : p.batch;
  if constexpr (maps) {
    // [head_dim, rows, heads, batch], boxes of 64 x the rows of a tile.
    auto map = [&](T *data, int64_t rows, int64_t heads, bool headsFirst, int boxRows) {
      constexpr int width = Shape::width; // of neighbouring heads
      std::vector<int64_t> strides = {headsFirst ? D : heads * D, headsFirst ? rows * D : width, rows * heads * D};
      return tensorMap(data, half, {width, rows, heads * D / width, batch}, strides, {64, boxRows, 1, 1});
    };
    call.query = map(q, rowsOfQ, p.heads, false, 64);
    call.keys = map(k, rowsOfK, p.kvHeads, cached, Shape::keysAtOnce), call.values = map(v, rowsOfK, p.kvHeads, cached, Shape::keysAtOnce);
  }
  a.result = y;
  a.resultRow = (int64)p.heads * D, a.resultHead = D, a.resultBatch = packed ? 0 : rowsOfQ * p.heads * D;
  a.cumulativeQueries = packed ? cumulative : nullptr, a.cumulativeKeys = packed ? (cumulativeKeys ? cumulativeKeys : cumulative) : nullptr;
  a.lengths = cached ? lengths : nullptr, a.past = cached ? past : nullptr;
  a.batch = p.batch, a.heads = p.heads, a.kvHeads = p.kvHeads, a.queries = p.queries, a.keys = p.keys, a.window = p.window;
  // Equal sections whose keys and values stay in L2.
  int pairs = p.batch * p.heads, fit = (int)std::max<int64_t>(1, (32ll << 20) / ((int64_t)std::max(p.keys, 1) * D * 4));
  for (a.pairsAtOnce = std::min(fit, pairs); pairs % a.pairsAtOnce != 0;)
    --a.pairsAtOnce;
  a.next = next;
  a.scale = 1.0f / std::sqrt((float)D);
  return call;
}

/// The same problem for the mma.sync kernel and the one without tensor cores, with a mask, bias and softcap where given.
template <class Shape> void launchMma(const Problem &p, const HopperAttentionArguments &h, const typename Shape::T *q, const typename Shape::T *k, const typename Shape::T *v, const int *mask, const float *bias, float softcap) {
  constexpr int D = Shape::headDim;
  MmaAttentionArguments a = {};
  bool cached = p.rows == Rows::cached, packed = p.rows == Rows::packed;
  a.queryData = q, a.keyData = k, a.valueData = v, a.result = h.result;
  a.queryRow = a.resultRow = h.resultRow, a.queryHead = a.resultHead = D, a.queryBatch = a.resultBatch = h.resultBatch;
  a.keyRow = cached ? D : (int64)p.kvHeads * D, a.keyHead = cached ? (int64)p.keys * D : D;
  a.keyBatch = packed ? 0 : (int64)p.keys * p.kvHeads * D;
  a.cumulativeQueries = h.cumulativeQueries, a.cumulativeKeys = h.cumulativeKeys, a.lengths = h.lengths, a.past = h.past;
  a.resultScale = h.resultScale, a.resultScales = h.resultScales;
  a.mask = mask, a.bias = bias, a.biasHead = (int64)p.queries * p.keys, a.biasQuery = p.keys, a.biasKey = 1;
  a.heads = p.heads, a.kvHeads = p.kvHeads, a.queries = p.queries, a.keys = p.keys, a.window = p.window, a.scale = h.scale, a.softcap = softcap;
  int longest = *std::max_element(p.lengths.begin(), p.lengths.end());
  Launch how{dim3(ceilDiv(longest, Shape::queriesAtOnce), p.heads, p.batch), Shape::threads, Shape::sharedBytes};
  if constexpr (requires { Shape::weightStride; })
    launch(attendFmaEntry<Shape>, how, a);
  else
    launch(attendMmaEntry<Shape>, how, a);
}

template <class Shape, bool mma = false> void check(const std::string &name, const Problem &p, bool extras = false) {
  using T = typename Shape::T;
  using Result = typename Shape::Result;
  constexpr int D = Shape::headDim;
  constexpr bool rounds = sizeof(Result) == 1;
  const float resultScale = rounds ? 1.0f / 1024 : 1.0f;
  bool packed = p.rows == Rows::packed, cached = p.rows == Rows::cached;
  std::vector<int> cumulative = p.cumulative(), cumulativeKeys = p.cumulativeKeys();
  int keyTokens = cumulativeKeys.back() + 37, tokens = cumulative.back() + 37; // packed: behind the last token lies NaN
  size_t queryRows = packed ? tokens : (size_t)p.batch * p.queries, keyRows = packed ? keyTokens : (size_t)p.batch * p.keys;
  auto q = randomNumbers<T>(queryRows * p.heads * D), k = randomNumbers<T>(keyRows * p.kvHeads * D), v = randomNumbers<T>(keyRows * p.kvHeads * D);
  auto keyAt = [&](int b, int i, int h) -> size_t {
    return cached ? ((size_t)(b * p.kvHeads + h) * p.keys + i) * D : ((size_t)(packed ? cumulativeKeys[b] + i : b * p.keys + i) * p.kvHeads + h) * D;
  };
  if (packed)
    for (std::vector<T> *x : {&k, &v})
      std::memset((void *)(x->data() + (size_t)cumulativeKeys.back() * p.kvHeads * D), 0xff, 37 * p.kvHeads * D * sizeof(T));
  if (cached)
    for (int b = 0; b < p.batch; ++b)
      for (int h = 0; h < p.kvHeads; ++h)
        for (int i = p.past[b] + p.lengths[b]; i < p.keys; ++i)
          for (std::vector<T> *x : {&k, &v})
            std::memset((void *)(x->data() + keyAt(b, i, h)), 0xff, D * sizeof(T));
  Device<T> dq(q), dk(k), dv(v);
  Device<Result> y(q.size() + (rounds ? queryRows * sizeof(float) : 0)); // with the scales of the rows behind
  Device<float> scale(std::vector<float>{resultScale});
  Device<int> dc(cumulative), dl(p.lengths), dp(p.past.empty() ? std::vector<int>{0} : p.past);
  Device<int> next(std::vector<int>{0, 0}), dck(cumulativeKeys);
  const bool apart = !p.keyLengths.empty(); // else one array serves both
  auto call = arguments<Shape, !mma>(p, dq, dk, dv, y, tokens, dc, dl, dp, next, apart ? dck.p : nullptr, apart ? keyTokens : 0);
  if (rounds)
    call.a.resultScale = scale, call.a.resultScales = (float *)(y.p + q.size());
  std::vector<int> mask((size_t)p.batch * std::max(p.keys, 1));
  for (int &m : mask)
    m = randomInt(0, 3) > 0;
  auto bias = randomNumbers<float>(extras ? (size_t)p.heads * p.queries * p.keys : 1);
  float softcap = extras ? 3.0f : 0.0f;
  Device<int> dmask(mask);
  Device<float> dbias(bias);
  if constexpr (mma)
    launchMma<Shape>(p, call.a, dq, dk, dv, extras ? dmask.p : nullptr, extras ? dbias.p : nullptr, softcap);
  else
    launch(attendHopperEntry<Shape>, {dim3(device().multiProcessorCount), Shape::threads, Shape::sharedBytes}, call.query, call.keys, call.values, call.a);
  auto out = y.host();
  if constexpr (!mma)
    if (constexpr int few = 3; device().multiProcessorCount > few) { // with many tiles for each
      Device<Result> same(out.size());
      call.a.result = same, call.a.resultScales = rounds ? (float *)(same.p + q.size()) : nullptr;
      launch(attendHopperEntry<Shape>, {dim3(few), Shape::threads, Shape::sharedBytes}, call.query, call.keys, call.values, call.a);
      auto again = same.host();
      report(std::memcmp((const void *)again.data(), (const void *)out.data(), out.size() * sizeof(Result)) == 0, name + " by few blocks", "the same bits");
    }
  auto numbers = [](const std::vector<T> &from) {
    std::vector<double> to;
    for (T v : from)
      to.push_back(number(v));
    return to;
  };
  auto queries = numbers(q), keysOf = numbers(k), values = numbers(v);
  std::vector<Result> live;
  std::vector<double> ref;
  for (int b = 0; b < p.batch; ++b) {
    int length = p.lengths[b], keys = packed ? cumulativeKeys[b + 1] - cumulativeKeys[b] : cached ? std::min(p.past[b] + length, p.keys) : p.keys, offset = keys - length;
    for (int i = 0; i < length; ++i)
      for (int h = 0; h < p.heads; ++h) {
        size_t at = ((size_t)(packed ? cumulative[b] + i : b * p.queries + i) * p.heads + h) * D;
        int last = Shape::causal ? std::min(keys, i + offset + 1) : keys, first = p.window > 0 ? std::max(0, i + offset - p.window + 1) : 0;
        std::vector<double> s, sum(D, 0.0);
        double top = -INFINITY, total = 0;
        for (int j = first; j < last; ++j) {
          const double *key = &keysOf[keyAt(b, j, h / (p.heads / p.kvHeads))];
          double dot = 0;
          for (int d = 0; d < D; ++d)
            dot += queries[at + d] * key[d];
          dot *= call.a.scale;
          if (extras)
            dot = mask[(size_t)b * p.keys + j] ? softcap * std::tanh(dot / softcap) + bias[((size_t)h * p.queries + i) * p.keys + j] : -INFINITY;
          s.push_back(dot);
          top = std::max(top, s.back());
        }
        for (double &x : s)
          total += x = std::exp(x - top);
        for (int j = first; j < last; ++j) {
          const double *value = &values[keyAt(b, j, h / (p.heads / p.kvHeads))];
          for (int d = 0; d < D; ++d)
            sum[d] += s[j - first] / total * value[d];
        }
        for (int d = 0; d < D; ++d)
          ref.push_back(rounds ? std::clamp(sum[d] / resultScale, -448.0, 448.0) : sum[d]), live.push_back(out[at + d]);
      }
  }
  compare(name, live, ref, Bound<Result>::relative);
  if (rounds) {
    std::vector<float> scales(queryRows);
    std::memcpy(scales.data(), (const void *)(out.data() + q.size()), scales.size() * sizeof(float));
    auto end = packed ? scales.begin() + cumulative.back() : scales.end();
    bool same = std::all_of(scales.begin(), end, [&](float s) { return s == resultScale; }), none = std::all_of(end, scales.end(), [](float s) { return s != s; });
    report(same && none, name + ", scales of rows", "as it was given, for live rows alone");
  }
  if (packed) {
    bool untouched = true;
    for (size_t i = (size_t)cumulative.back() * p.heads * D; i < q.size(); ++i)
      untouched &= number(out[i]) != number(out[i]);
    report(untouched, name + " rows behind the last token", "stay poisoned");
  }
}

template <class T> __global__ void fillNormal(T *p, size_t n, unsigned seed) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
    float sum = -4.0f;
    uint32 h = (uint32)i * 2654435761u ^ seed;
    for (int j = 0; j < 8; ++j) {
      h ^= h >> 15, h *= 0x2c1b3c6du, h ^= h >> 12, h *= 0x297a2d39u, h ^= h >> 15;
      sum += (h >> 8) * (1.0f / 16777216.0f);
    }
    p[i] = fromFloat<T>(sum * 1.2247f);
  }
}

/// Normal numbers, made on the device.
template <class T> void fill(Device<T> &x, size_t n, unsigned seed) { launch(fillNormal<T>, {dim3(1024), 256, 0, nullptr, false}, x.p, n, seed * 7919u); }

template <class Shape> void time(const char *name, int batch, int heads, int seq) {
  using T = typename Shape::T;
  constexpr int D = Shape::headDim;
  size_t n = (size_t)batch * seq * heads * D;
  Device<T> q(n), k(n), v(n), y(n);
  fill(q, n, 1), fill(k, n, 2), fill(v, n, 3);
  CHECK(cudaDeviceSynchronize());
  Problem p{Rows::padded, batch, heads, heads, seq, seq, 0, std::vector<int>(batch, seq), {}};
  Device<int> next(std::vector<int>{0, 0});
  auto call = arguments<Shape>(p, q, k, v, y, 0, nullptr, nullptr, nullptr, next);
  const int blocks = device().multiProcessorCount;
  double ms = medianMs(nullptr, 20, 2, [&] { launch(attendHopperEntry<Shape>, {dim3(blocks), Shape::threads, Shape::sharedBytes, nullptr, false}, call.query, call.keys, call.values, call.a); });
  double flops = 4.0 * batch * heads * seq * (double)seq * D * (Shape::causal ? 0.5 : 1.0);
  std::printf("A1 own D%d S%d batch %d heads %d %s %s: %.3f ms %.0f TFLOP/s\n", D, seq, batch, heads, Shape::causal ? "causal" : "full", name, ms, flops / ms / 1e9);
}

/// Packed sequences: E1, 64 of 16 to 512 tokens, or E3, 256 of 128.
template <class Shape, bool mma = false> void timePacked(const char *name) {
  using T = typename Shape::T;
  constexpr int D = Shape::headDim;
  const int blocks = device().multiProcessorCount;
  for (bool ragged : {true, false}) {
    const int batch = ragged ? 64 : 256, heads = (ragged ? 1024 : 768) / D;
    Problem p{Rows::packed, batch, heads, heads, 0, 512, 0, {}, {}};
    double pairs = 0;
    for (int i = 0; i < batch; ++i) {
      p.lengths.push_back(ragged ? 16 + i * 157 % 497 : 128);
      pairs += (double)p.lengths.back() * p.lengths.back();
    }
    std::vector<int> cumulative = p.cumulative();
    size_t n = (size_t)cumulative.back() * heads * D;
    Device<T> q(n), k(n), v(n), y(n);
    fill(q, n, 1), fill(k, n, 2), fill(v, n, 3);
    Device<int> dc(cumulative), next(std::vector<int>{0, 0});
    auto call = arguments<Shape, !mma>(p, q, k, v, y, cumulative.back(), dc, nullptr, nullptr, next);
    double ms = medianMs(nullptr, 20, 4, [&] {
      if constexpr (mma)
        launchMma<Shape>(p, call.a, q, k, v, nullptr, nullptr, 0.0f);
      else
        launch(attendHopperEntry<Shape>, {dim3(blocks), Shape::threads, Shape::sharedBytes, nullptr, false}, call.query, call.keys, call.values, call.a);
    });
    std::printf("%s attention D%d %s, %d tokens: %.4f ms %.0f TFLOP/s\n", ragged ? "E1" : "E3", D, name, cumulative.back(), ms, 4.0 * heads * D * pairs / ms / 1e9);
  }
}

} // namespace

/// Of so many sequences, from none to below `most`.
static std::vector<int> manyLengths(int count, int most = 150) {
  std::vector<int> lengths;
  for (int i = 0; i < count; ++i)
    lengths.push_back(i * 37 % most);
  return lengths;
}

static void checkHopperAttention() {
  if (!runsHopper())
    return;
  using D128 = HopperAttentionShape<BFloat, 128, 2, 176, false>;
  using D128c = HopperAttentionShape<BFloat, 128, 2, 128, true>;
  using D64 = HopperAttentionShape<BFloat, 64, 3, 128, false, false>;
  using D64c = HopperAttentionShape<Half, 64, 3, 128, true>;
  check<D128>("prefill D128", {Rows::padded, 2, 3, 3, 300, 300, 0, {300, 300}, {}});
  check<D128>("prefill D128 cross 70x413", {Rows::padded, 1, 4, 2, 70, 413, 0, {70}, {}});
  check<D128c>("prefill D128 causal", {Rows::padded, 2, 4, 2, 517, 517, 0, {517, 517}, {}});
  check<D128c>("prefill D128 causal window", {Rows::padded, 1, 2, 1, 400, 400, 150, {400}, {}});
  check<HopperAttentionShape<BFloat, 128, 2, 160, false>>("prefill D128 cross 70x413, 160 keys at once", {Rows::padded, 1, 4, 2, 70, 413, 0, {70}, {}});
  check<HopperAttentionShape<BFloat, 128, 2, 144, true>>("prefill D128 causal, 144 keys at once", {Rows::padded, 2, 4, 2, 517, 517, 0, {517, 517}, {}});
  check<D64>("prefill D64 packed", {Rows::packed, 5, 3, 3, 0, 512, 0, {1, 200, 0, 129, 400}, {}});
  check<D64>("prefill D64 packed, 70 sequences", {Rows::packed, 70, 1, 1, 0, 512, 0, manyLengths(70), {}});
  check<D64>("prefill D64 packed, 1,100 sequences", {Rows::packed, 1100, 1, 1, 0, 512, 0, manyLengths(1100, 7), {}}); // beyond what shared memory lists
  check<D128>("prefill D128 packed, 135 sequences", {Rows::packed, 135, 1, 1, 0, 512, 0, manyLengths(135, 200), {}});
  check<D64>("prefill D64 packed, 40 of 128", {Rows::packed, 40, 2, 2, 0, 512, 0, std::vector<int>(40, 128), {}});
  using D32 = HopperAttentionShape<BFloat, 32, 3, 128, false, false>;
  // Queries and keys of other lengths; sequences without queries, without keys, and whose first queries see none.
  const std::vector<int> queries = {70, 1, 0, 300, 129, 5, 193, 64}, keys = {413, 0, 50, 20, 300, 128, 0, 129};
  check<D64>("prefill D64 packed, other keys", {Rows::packed, 8, 2, 1, 0, 512, 0, queries, {}, keys});
  check<D64c>("prefill D64 fp16 causal packed, other keys", {Rows::packed, 8, 2, 1, 0, 512, 0, queries, {}, keys});
  check<D64c>("prefill D64 fp16 causal packed window, other keys", {Rows::packed, 8, 2, 1, 0, 512, 40, queries, {}, keys});
  check<D128>("prefill D128 packed, other keys", {Rows::packed, 8, 2, 1, 0, 512, 0, queries, {}, keys});
  check<RoundedResult<D32>>("prefill D32 packed to e4m3, other keys", {Rows::packed, 8, 4, 2, 0, 512, 0, queries, {}, keys});
  check<D64c>("prefill D64 fp16 causal cached, beyond its end", {Rows::cached, 4, 4, 2, 200, 260, 0, {200, 17, 0, 130}, {250, 255, 100, 0}});
  for (int count : {96, 97, 127, 128, 192}) // as many as shared memory lists, and more
    check<D128>("prefill D128 packed, " + std::to_string(count) + " of 3", {Rows::packed, count, 2, 2, 0, 512, 0, std::vector<int>((size_t)count, 3), {}});
  using D32c = HopperAttentionShape<Half, 32, 3, 128, true>;
  check<D32>("prefill D32 packed", {Rows::packed, 5, 4, 4, 0, 512, 0, {1, 200, 0, 129, 400}, {}});
  check<D32>("prefill D32", {Rows::padded, 2, 2, 2, 300, 300, 0, {300, 300}, {}});
  check<D32c>("prefill D32 fp16 causal packed, 6 heads to 2", {Rows::packed, 4, 6, 2, 0, 512, 0, {33, 7, 500, 192}, {}});
  check<D64c>("prefill D64 fp16 causal packed", {Rows::packed, 4, 4, 1, 0, 512, 0, {33, 7, 500, 192}, {}});
  check<D64c>("prefill D64 fp16 causal cached", {Rows::cached, 3, 4, 2, 200, 500, 0, {200, 17, 64}, {0, 300, 131}});
  check<D128c>("prefill D128 causal cached", {Rows::cached, 2, 2, 2, 130, 400, 0, {130, 99}, {250, 1}});
  check<RoundedResult<HopperAttentionShape<Half, 64, 3, 128, false, false>>>("prefill D64 fp16 packed to e4m3", {Rows::packed, 5, 3, 3, 0, 512, 0, {1, 200, 0, 129, 400}, {}});
  check<RoundedResult<HopperAttentionShape<Half, 32, 3, 128, false, false>>>("prefill D32 fp16 packed to e4m3", {Rows::packed, 5, 4, 4, 0, 512, 0, {1, 200, 0, 129, 400}, {}});
  check<RoundedResult<D128>>("prefill D128 to e4m3", {Rows::padded, 2, 3, 3, 300, 300, 0, {300, 300}, {}});
  check<RoundedResult<MmaAttentionShape<Half, 64, 4, 64, false>>, true>("mma prefill D64 to e4m3, mask", {Rows::padded, 2, 3, 3, 90, 133, 0, {90, 90}, {}}, true);
  check<RoundedResult<MmaAttentionShape<BFloat, 32, 4, 64, false>>, true>("mma prefill D32 packed to e4m3", {Rows::packed, 3, 5, 5, 0, 512, 0, {64, 65, 1}, {}});
}
static Register checkHopperAttentionGroup("hopper", checkHopperAttention);

static void checkPrefillAttention() {
  check<MmaAttentionShape<BFloat, 64, 4, 64, false>, true>("mma prefill D64", {Rows::padded, 2, 4, 2, 70, 205, 0, {70, 70}, {}});
  check<MmaAttentionShape<Half, 64, 4, 64, false>, true>("mma prefill D64 mask bias softcap", {Rows::padded, 2, 3, 3, 90, 133, 0, {90, 90}, {}}, true);
  check<MmaAttentionShape<Half, 128, 4, 64, true>, true>("mma prefill D128 causal packed window", {Rows::packed, 4, 4, 2, 0, 512, 100, {33, 7, 300, 0}, {}});
  check<MmaAttentionShape<BFloat, 96, 4, 64, true>, true>("mma prefill D96 causal cached", {Rows::cached, 3, 2, 1, 70, 300, 0, {70, 1, 33}, {0, 200, 64}});
  check<MmaAttentionShape<BFloat, 32, 4, 64, false>, true>("mma prefill D32 packed", {Rows::packed, 3, 5, 5, 0, 512, 0, {64, 65, 1}, {}});
  check<MmaAttentionShape<BFloat, 256, 4, 32, true>, true>("mma prefill D256 causal", {Rows::padded, 1, 2, 1, 130, 130, 0, {130}, {}});
  check<MmaAttentionShape<Half, 16, 4, 64, true>, true>("mma prefill D16 causal", {Rows::padded, 2, 2, 2, 75, 75, 0, {75, 75}, {}});
  check<MmaAttentionShape<BFloat, 80, 4, 64, true>, true>("mma prefill D80 causal cached", {Rows::cached, 2, 4, 1, 70, 200, 0, {70, 0}, {100, 64}});
  check<FmaAttentionShape<float, 64, 64, 64, true>, true>("fma prefill D64 causal", {Rows::padded, 2, 4, 2, 150, 150, 0, {150, 150}, {}});
  check<FmaAttentionShape<float, 64, 64, 64, false>, true>("fma prefill D64 mask bias softcap", {Rows::padded, 2, 3, 3, 90, 133, 0, {90, 90}, {}}, true);
  check<FmaAttentionShape<float, 128, 64, 64, true>, true>("fma prefill D128 causal packed window", {Rows::packed, 4, 4, 2, 0, 512, 100, {33, 7, 300, 0}, {}});
  check<FmaAttentionShape<float, 96, 64, 64, true>, true>("fma prefill D96 causal cached", {Rows::cached, 3, 2, 1, 70, 300, 0, {70, 1, 33}, {0, 200, 64}});
  check<FmaAttentionShape<float, 256, 32, 32, true>, true>("fma prefill D256 causal", {Rows::padded, 1, 2, 1, 70, 70, 0, {70}, {}});
  check<FmaAttentionShape<float, 5, 32, 32, false>, true>("fma prefill D5 packed", {Rows::packed, 3, 4, 4, 0, 512, 0, {64, 65, 1}, {}});
  check<FmaAttentionShape<Half, 20, 32, 32, true>, true>("fma prefill fp16 D20 causal cached", {Rows::cached, 2, 2, 2, 40, 100, 30, {40, 3}, {17, 60}});
}
static Register checkPrefillAttentionGroup("prefill", checkPrefillAttention);

/// Other tiles than the compiler chooses.
static void timePrefillVariants() {
  for (auto [batch, seq] : {std::pair(8, 2048), std::pair(2, 8192)}) {
    time<HopperAttentionShape<BFloat, 128, 2, 176, false>>("128x176", batch, 16, seq);
    time<HopperAttentionShape<BFloat, 128, 2, 160, false>>("128x160", batch, 16, seq);
    time<HopperAttentionShape<BFloat, 128, 2, 144, false>>("128x144", batch, 16, seq);
    time<HopperAttentionShape<BFloat, 128, 2, 128, false>>("128x128", batch, 16, seq);
    time<HopperAttentionShape<BFloat, 128, 2, 176, false, false>>("128x176 without turns", batch, 16, seq);
    time<HopperAttentionShape<BFloat, 128, 2, 144, true>>("128x144", batch, 16, seq);
  }
  timePacked<HopperAttentionShape<Half, 64, 3, 64, false, false>>("192x64");
  timePacked<HopperAttentionShape<Half, 64, 3, 128, false>>("192x128 with turns");
  timePacked<HopperAttentionShape<Half, 64, 2, 128, false, false>>("128x128");
  timePacked<MmaAttentionShape<Half, 32, 4, 64, false>, true>("64x64 by mma.sync");
  timePacked<HopperAttentionShape<Half, 32, 2, 128, false, false>>("128x128");
  timePacked<HopperAttentionShape<Half, 32, 3, 64, false, false>>("192x64");
  time<HopperAttentionShape<BFloat, 64, 3, 112, false>>("192x112", 8, 32, 2048);
  time<HopperAttentionShape<BFloat, 64, 3, 112, true>>("192x112", 8, 32, 2048);
}

void timePrefillAttention(const char *what) {
  if (std::strstr(what, "variants"))
    return timePrefillVariants();
  timePacked<HopperAttentionShape<Half, 64, 3, 128, false, false>>("192x128");
  timePacked<HopperAttentionShape<Half, 32, 3, 128, false, false>>("192x128");
  time<HopperAttentionShape<BFloat, 64, 3, 128, false>>("192x128", 8, 32, 2048);
  time<HopperAttentionShape<BFloat, 64, 3, 128, true>>("192x128", 8, 32, 2048);
  time<HopperAttentionShape<BFloat, 128, 2, 176, false>>("128x176", 8, 16, 2048);
  time<HopperAttentionShape<BFloat, 128, 2, 128, true>>("128x128", 8, 16, 2048);
  time<HopperAttentionShape<BFloat, 128, 2, 176, false>>("128x176", 2, 16, 8192);
  time<HopperAttentionShape<BFloat, 128, 2, 128, true>>("128x128", 2, 16, 8192);
}

} // namespace lab
