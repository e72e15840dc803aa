// Checks of decode attention and the row kernels at odd shapes, against fp64.
#include "Lab.h"
#include "Checks.h"

namespace lab {
namespace {

template <class Shape> constexpr bool withoutTensorCores = requires { Shape::tileRows; };

/// Rows with past -1 are idle.
template <class Shape> void checkDecode(const std::string &name, int capacity, int window, float softcap, std::vector<int> past) {
  using T = typename Shape::T;
  constexpr int heads = Shape::heads, kvHeads = Shape::kvHeads, D = Shape::headDim, splits = Shape::splits;
  int batch = (int)past.size();
  std::vector<int> lengths;
  for (int &p : past)
    lengths.push_back(p >= 0), p = p < 0 ? 5 : p;
  float scale = 1.0f / std::sqrt((float)D);
  auto q = randomNumbers<T>((size_t)batch * heads * D);
  // Slots behind the last key hold NaN.
  std::vector<T> k((size_t)batch * kvHeads * capacity * D), v(k.size());
  std::memset((void *)k.data(), 0xff, k.size() * sizeof(T));
  std::memset((void *)v.data(), 0xff, v.size() * sizeof(T));
  for (int b = 0; b < batch; ++b)
    for (int h = 0; h < kvHeads; ++h)
      for (int i = 0; i <= past[b] && lengths[b] > 0; ++i) {
        auto row = randomNumbers<T>(2 * D);
        size_t at = ((size_t)(b * kvHeads + h) * capacity + i) * D;
        std::copy(row.begin(), row.begin() + D, k.begin() + at);
        std::copy(row.begin() + D, row.end(), v.begin() + at);
      }
  Device<T> dq(q), dk(k), dv(v);
  Device<int> dpast(past), dlengths(lengths), arrived((size_t)batch * kvHeads * Shape::groupTiles);
  Device<float> partial((size_t)Shape::partialFloats(batch));
  arrived.zero();
  std::vector<double> ref((size_t)batch * heads * D);
  for (int b = 0; b < batch; ++b)
    for (int h = 0; h < heads; ++h) {
      int first = window > 0 ? std::max(0, past[b] + 1 - window) : 0;
      const T *query = &q[(size_t)(b * heads + h) * D];
      std::vector<double> s;
      double top = -INFINITY, sum = 0;
      for (int i = first; i <= past[b]; ++i) {
        double dot = 0;
        for (int d = 0; d < D; ++d)
          dot += number(query[d]) * number(k[((size_t)(b * kvHeads + h / (heads / kvHeads)) * capacity + i) * D + d]);
        dot *= scale;
        if (softcap > 0)
          dot = softcap * std::tanh(dot / softcap);
        s.push_back(dot);
        top = std::max(top, dot);
      }
      for (double &x : s)
        sum += x = std::exp(x - top);
      for (size_t i = 0; i < s.size(); ++i)
        for (int d = 0; d < D; ++d)
          ref[(size_t)(b * heads + h) * D + d] += s[i] / sum * number(v[((size_t)(b * kvHeads + h / (heads / kvHeads)) * capacity + first + i) * D + d]);
    }
  bool idle = std::count(lengths.begin(), lengths.end(), 0) > 0;
  DecodeAttentionArguments a{dq, dk, dv, nullptr, dpast, idle ? dlengths.p : nullptr, partial, arrived, capacity, window, scale, softcap};
  for (int round = 0; round < 2; ++round) { // the second finds the counters as the first left them
    Device<T> y(ref.size());
    a.result = y;
    Launch how{dim3(splits, kvHeads * Shape::groupTiles, batch), Shape::threads, Shape::sharedBytes};
    if constexpr (withoutTensorCores<Shape>)
      launch(attendDecodeFmaEntry<Shape>, how, a);
    else
      launch(attendDecodeEntry<Shape>, how, a);
    auto out = y.host();
    std::vector<T> live;
    std::vector<double> refLive;
    bool untouched = true;
    for (size_t i = 0; i < out.size(); ++i)
      if (lengths[i / (heads * D)] > 0)
        live.push_back(out[i]), refLive.push_back(ref[i]);
      else
        untouched &= number(out[i]) != number(out[i]);
    compare(name, live, refLive, Bound<T>::relative);
    if (idle)
      report(untouched, name + " idle rows", "stay poisoned");
  }
}

template <class T, int width, bool centred, int together = 1> void checkNorm(const std::string &name, bool withResidual) {
  int rows = 7, live = 6;
  auto x = randomNumbers<T>((size_t)rows * width, 2.0f, 0.5f), r = randomNumbers<T>(x.size());
  auto s = randomNumbers<T>(width, 0.3f, 1.0f), b = randomNumbers<T>(width);
  Device<T> dx(x), dr(r), ds(s), db(b), sums(x.size()), y(x.size());
  Device<int> dlive(std::vector<int>{live});
  launch(normEntry<T, T, T, width, 4, centred, together>, {dim3((rows + together - 1) / together), 128}, dx.p, withResidual ? dr.p : nullptr, ds.p, centred ? db.p : nullptr, 1e-5f,
         sums.p, y.p, LiveRows{dlive, 1});
  std::vector<double> ref((size_t)live * width), refSum(ref.size());
  for (int m = 0; m < live; ++m) {
    double mean = 0, squares = 0;
    for (int i = 0; i < width; ++i) {
      refSum[m * width + i] = number(x[m * width + i]) + (withResidual ? number(r[m * width + i]) : 0);
      mean += centred ? refSum[m * width + i] / width : 0;
    }
    for (int i = 0; i < width; ++i)
      squares += std::pow(refSum[m * width + i] - mean, 2) / width;
    for (int i = 0; i < width; ++i)
      ref[m * width + i] = (refSum[m * width + i] - mean) / std::sqrt(squares + 1e-5) * number(s[i]) + (centred ? number(b[i]) : 0);
  }
  auto out = y.host(), outSum = sums.host();
  bool untouched = number(out[live * width]) != number(out[live * width]);
  out.resize(ref.size()), outSum.resize(ref.size());
  compare(name, out, ref, Bound<T>::relative);
  if (withResidual)
    compare(name + " sums", outSum, refSum, Bound<T>::relative);
  report(untouched, name + " rows past the live ones", "stay poisoned");
}

template <class T, int width> void checkEmbedding(const std::string &name) {
  std::vector<int> tokens = {3, 0, 10, -1, 6}, places = {0, 1, 2, 3, 1};
  auto table = randomNumbers<T>(10 * width), positions = randomNumbers<T>(4 * width);
  Device<T> dt(table), dp(positions), y((size_t)5 * width);
  Device<int> di(tokens), dpl(places);
  launch(embeddingEntry<T, T, width, 128>, {dim3(5), 128}, (const T *)dt.p, (const int *)di.p, 10, (const T *)dp.p, (const int *)dpl.p, y.p, LiveRows{nullptr, 1});
  std::vector<double> ref(y.n);
  for (int m = 0; m < 5; ++m)
    for (int i = 0; i < width; ++i)
      ref[m * width + i] = (tokens[m] >= 0 && tokens[m] < 10 ? number(table[tokens[m] * width + i]) : 0) + number(positions[places[m] * width + i]);
  compare(name, y.host(), ref, Bound<T>::relative);
}

void checkReductions() {
  int rows = 7, width = 1001;
  auto x = randomNumbers<float>((size_t)rows * width, 3.0f);
  for (int i = 0; i < width; ++i)
    x[2 * width + i] = -INFINITY; // a row without any allowed key
  Device<float> dx(x), y(x.size()), sums(rows), tops(rows), squares(x.size());
  LiveRows all{nullptr, 1};
  launch(softmaxEntry<float, float, 8>, {dim3(rows), 256}, (const float *)dx.p, y.p, width, all);
  std::vector<double> ref(x.size());
  for (int m = 0; m < rows; ++m) {
    double top = *std::max_element(x.begin() + m * width, x.begin() + (m + 1) * width), sum = 0;
    for (int i = 0; i < width; ++i)
      sum += top == -INFINITY ? 0 : std::exp(x[m * width + i] - top);
    for (int i = 0; i < width; ++i)
      ref[m * width + i] = top == -INFINITY ? 0 : std::exp(x[m * width + i] - top) / sum;
  }
  compare("softmax 7x1001", y.host(), ref, 1e-5);
  auto z = randomNumbers<float>(x.size());
  Device<float> dz(z);
  std::vector<double> refSum(rows), refTop(rows), refSquares(z.size());
  for (int m = 0; m < rows; ++m)
    for (int i = 0; i < width; ++i) {
      double s = (double)z[m * width + i] * z[m * width + i];
      refSum[m] += s / width, refTop[m] = std::max(refTop[m], s), refSquares[m * width + i] = s;
    }
  SquareRegion<float> f{dz, width};
  launch(reduceEntry<float, SumReduction, 4>, {dim3(rows), 128}, f, sums.p, 1.0f / width, all);
  launch(reduceEntry<float, MaxReduction, 4>, {dim3(rows), 128}, f, tops.p, 1.0f, all);
  launch(mapEntry<float>, {dim3(3), 256}, f, squares.p, (int64)z.size(), all);
  compare("reduce mean", sums.host(), refSum, 1e-5);
  compare("reduce max", tops.host(), refTop, 1e-5);
  compare("map", squares.host(), refSquares, 1e-5);
}

void checkPacking() {
  int batch = 3, seq = 5, width = 3; // 16-byte pieces
  std::vector<int> lengths = {2, 0, 5}, index, cumulative = {0, 2, 2, 7};
  for (int b = 0; b < batch; ++b)
    for (int s = 0; s < lengths[b]; ++s)
      index.push_back(b * seq + s);
  auto x = randomNumbers<float>((size_t)batch * seq * width * 4);
  Device<float> dx(x), packed(index.size() * width * 4), back(x.size());
  Device<int> di(index), dc(cumulative);
  launch(packEntry<128>, {dim3((unsigned)index.size()), 128}, (const uint4 *)dx.p, (const int *)di.p, (uint4 *)packed.p, width, LiveRows{dc.p + 3, 1});
  launch(unpackEntry<128>, {dim3(batch * seq), 128}, (const uint4 *)packed.p, (const int *)dc.p, (uint4 *)back.p, seq, width);
  std::vector<double> ref(x.size());
  for (int b = 0; b < batch; ++b)
    for (int s = 0; s < lengths[b]; ++s)
      for (int i = 0; i < width * 4; ++i)
        ref[(b * seq + s) * width * 4 + i] = x[(b * seq + s) * width * 4 + i];
  compare("pack and unpack", back.host(), ref, 1e-7);
}

/// Rows of any valid places, of none and of all, and rows of lengths, which may be negative or beyond `seq`.
void checkValidTokens(int batch, int seq) {
  std::vector<int> mask((size_t)batch * seq), lengths(batch), index, cumulative = {0}, ofLengths, sums = {0};
  for (int b = 0; b < batch; ++b) {
    lengths[b] = randomInt(-2, seq + 2);
    for (int s = 0; s < seq; ++s) {
      const int place = b * seq + s;
      mask[place] = b % 5 == 3 ? 0 : b % 5 == 4 ? 7 : randomInt(0, 2);
      if (mask[place] != 0)
        index.push_back(place);
      if (s < lengths[b])
        ofLengths.push_back(place);
    }
    cumulative.push_back((int)index.size()), sums.push_back((int)ofLengths.size());
  }
  Device<int> dmask(mask), dlengths(lengths);
  const std::string shape = std::to_string(batch) + " x " + std::to_string(seq);
  auto same = [&](const std::string &what, auto run, const std::vector<int> &places, const std::vector<int> &counts) {
    Device<int> found(std::vector<int>(mask.size() + 1, -7)), sumsFound(std::vector<int>((size_t)batch + 2, -7));
    run(found.p, sumsFound.p);
    std::vector<int> want = places, wantSums = counts;
    want.resize(mask.size() + 1, -7), wantSums.push_back(-7);
    report(found.host() == want && sumsFound.host() == wantSums, what + " " + shape, "places and sums of lengths, and nothing behind");
  };
  same("valid tokens", [&](int *to, int *s) { launch(validTokensEntry<1024>, {dim3(1), 1024}, (const int *)dmask.p, batch, seq, to, s); }, index, cumulative);
  same("tokens of lengths", [&](int *to, int *s) { launch(tokensOfLengthsEntry<1024>, {dim3(1), 1024}, (const int *)dlengths.p, batch, seq, to, s); }, ofLengths, sums);
}

template <class T> void checkCumulativeSum(const char *name, int rows, int length) {
  std::vector<T> x((size_t)rows * length), ref(x.size());
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = (T)randomInt(-9, 9), ref[i] = x[i] + (i % length ? ref[i - 1] : (T)0);
  Device<T> dx(x);
  launch(cumulativeSumEntry<T>, {dim3(rows), 32}, dx.p, length);
  report(dx.host() == ref, std::string("cumulative sum ") + name + " of " + std::to_string(length), "as one by one");
}

void checkAdvance() {
  auto key = [](uint32_t order, int index) { return (uint64)order << 32 | (uint32_t)~index; };
  // Four rows: a token, an idle row, one whose logits hold NaN, another token.
  Device<uint64> best(std::vector<uint64>{key(0x80000000u, 41), key(0xc0000000u, 3), key(~0u, 7), key(0xc0000000u, 7)});
  Device<int> lengths(std::vector<int>{1, 0, 1, 1}), tokens(std::vector<int>{-5, -5, -5, -5}), ids(tokens.host()), past(std::vector<int>{5, 6, 7, 9});
  Device<int64> index(std::vector<int64>{1, 2, 3, (int64)1 << 40});
  launch(advanceEntry<32>, {dim3(1), 32}, StepState{best, nullptr, lengths, tokens, ids, past, index, 4});
  bool good = tokens.host() == std::vector<int>{41, -5, -1, 7} && ids.host() == std::vector<int>{41, -5, 0, 7} && past.host() == std::vector<int>{6, 6, 8, 10} &&
              index.host() == std::vector<int64>{2, 2, 4, ((int64)1 << 40) + 1} && best.host() == std::vector<uint64>{0, 0, 0, 0};
  report(good, "advance", "tokens, input ids, lengths, token indices");
}

} // namespace

static void checkDecodeAttention() {
  checkDecode<DecodeAttentionShape<BFloat, 32, 8, 64, 8, 16, 128>>("decode attention D64 32/8", 700, 0, 0, {0, 1, 15, 127, 128, 300, 699});
  checkDecode<DecodeAttentionShape<BFloat, 32, 2, 128, 4, 32, 64>>("decode attention D128 32/2", 600, 0, 0, {63, 64, -1, 599});
  checkDecode<DecodeAttentionShape<Half, 12, 12, 64, 4, 8, 64>>("decode attention D64 12/12 fp16", 200, 0, 0, {3, 95, 150});
  checkDecode<DecodeAttentionShape<Half, 5, 1, 32, 2, 4, 32>>("decode attention D32 5/1 window softcap", 150, 50, 5.0f, {20, 49, 50, 149});
  checkDecode<DecodeAttentionShape<BFloat, 64, 2, 96, 4, 3, 64>>("decode attention D96 64/2", 260, 0, 0, {259, 17});
  checkDecode<DecodeAttentionShape<Half, 8, 1, 256, 4, 6, 64>>("decode attention D256 8/1", 500, 130, 0, {0, 400});
  checkDecode<DecodeAttentionShape<BFloat, 4, 2, 16, 4, 4, 64>>("decode attention D16 4/2", 300, 0, 0, {0, 100, 299});
  checkDecode<DecodeAttentionShape<Half, 24, 1, 80, 4, 4, 64>>("decode attention D80 24/1", 300, 0, 0, {-1, 10, 200});
  checkDecode<DecodeAttentionShape<BFloat, 19, 1, 48, 2, 4, 64>>("decode attention D48 19/1", 300, 40, 0, {30, 222});
  checkDecode<DecodeAttentionShape<Half, 3, 3, 8, 2, 4, 64>>("decode attention D8 3/3", 300, 0, 0, {1, 250});
  checkDecode<DecodeAttentionFmaShape<float, 32, 8, 64, 8, 16, 128>>("decode attention fma D64 32/8", 700, 0, 0, {0, 1, 127, 128, -1, 300, 699});
  checkDecode<DecodeAttentionFmaShape<float, 12, 2, 128, 8, 8, 64>>("decode attention fma D128 12/2 window softcap", 600, 200, 5.0f, {63, 64, 599});
  checkDecode<DecodeAttentionFmaShape<float, 5, 1, 20, 4, 4, 32>>("decode attention fma D20 5/1", 200, 0, 0, {0, 40, 199});
  checkDecode<DecodeAttentionFmaShape<float, 2, 2, 256, 4, 4, 32>>("decode attention fma D256 2/2", 200, 0, 0, {7, 199});
  checkDecode<DecodeAttentionFmaShape<BFloat, 6, 1, 10, 4, 8, 32>>("decode attention fma bf16 D10 6/1", 300, 0, 0, {-1, 3, 299});
  checkDecode<DecodeAttentionFmaShape<Half, 4, 4, 5, 2, 2, 32>>("decode attention fma fp16 D5 4/4", 100, 0, 0, {0, 99});
}
static Register checkDecodeAttentionGroup("attention", checkDecodeAttention);

double geluErfOf(double x) { return 0.5 * x * std::erfc(-x * std::sqrt(0.5)); }
double geluTanhOf(double x) { return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

/// At numbers close to each other: the error over the result, or over `least` where that is larger, is at most `bound`.
template <class Function> void checkFunction(const std::string &name, double (*reference)(double), double least, double bound) {
  std::vector<float> x;
  for (int i = -30 * 2048; i <= 30 * 2048; ++i)
    x.push_back((float)i / 2048);
  for (float large = 64; large < 1e5f; large *= 2)
    x.push_back(large), x.push_back(-large);
  x.push_back(NAN);
  Device<float> dx(x), y(x.size());
  launch(functionEntry<Function>, {dim3(4), 256}, dx.p, y.p, (int)x.size());
  auto out = y.host();
  double worst = 0, where = 0;
  for (size_t i = 0; i + 1 < x.size(); ++i) {
    double exact = reference(x[i]), error = std::fabs(out[i] - exact) / std::max(std::fabs(exact), least);
    if (!(error <= worst))
      worst = error, where = x[i];
  }
  char text[100];
  std::snprintf(text, sizeof text, "error %.2e (bound %.2e) at %g; of NaN %g", worst, bound, where, out.back());
  report(worst <= bound && out.back() != out.back(), name, text);
}

static void checkFunctions() {
  checkFunction<GeluErf>("gelu_erf", geluErfOf, 1, 5e-7);
  checkFunction<GeluErfFor<Half>>("gelu_erf for 16 bits", geluErfOf, 0x1p-14, std::exp2(-13.5));
  checkFunction<GeluErfFor<E4m3>>("gelu_erf for e4m3", geluErfOf, 0x1p-14, std::exp2(-7.8));
  checkFunction<GeluTanh>("gelu_tanh", geluTanhOf, 1, 5e-7);
}

static void checkRows() {
  checkFunctions();
  checkNorm<BFloat, 1024, true>("layer norm bf16 1024", true);
  checkNorm<Half, 776, false>("RMS norm fp16 776", true);
  checkNorm<BFloat, 1024, true, 4>("layer norm bf16 1024, four rows a block", true);
  checkNorm<Half, 768, false, 4>("RMS norm fp16 768, four rows a block", false);
  checkNorm<float, 4104, true>("layer norm fp32 4104", false);
  checkEmbedding<Half, 776>("embedding fp16");
  checkEmbedding<float, 2048>("embedding fp32");
  checkReductions();
  checkPacking();
  checkValidTokens(1, 1);
  checkValidTokens(70, 300);
  checkValidTokens(3, 256);
  checkValidTokens(300, 33);
  checkCumulativeSum<int>("int32", 3, 700);
  checkCumulativeSum<int>("int32", 2, 1);
  checkCumulativeSum<int64>("int64", 2, 256);
  checkCumulativeSum<int>("int32", 1, 31);
  checkAdvance();
}
static Register checkRowsGroup("rows", checkRows);

template <int together> static void timeNorm(int rows) {
  constexpr int width = 1024;
  std::vector<Half> numbers((size_t)rows * width);
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i].bits = (uint16)(0x3400 + i % 2039);
  Device<Half> x(numbers), y(numbers.size());
  Device<float> scale(randomNumbers<float>(width)), bias(randomNumbers<float>(width));
  Device<int> live(std::vector<int>{rows});
  double ms = medianMs(nullptr, 20, 8, [&] {
    launch(normEntry<Half, float, Half, width, 4, true, together>, {dim3((rows + together - 1) / together), 128, 0, nullptr, false}, x.p, nullptr, scale.p, bias.p,
           1e-5f, nullptr, y.p, LiveRows{live, 1});
  });
  std::printf("layer norm fp16 %d x %d, %d rows a block: %.1f us, %.2f TB/s\n", rows, width, together, 1e3 * ms, 4e-9 * rows * width / ms);
}
void timeRows() { timeNorm<1>(17598), timeNorm<2>(17598), timeNorm<4>(17598); }

} // namespace lab
