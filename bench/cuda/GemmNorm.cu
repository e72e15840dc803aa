// Products of many rows with a norm behind them: checks against fp64 at ragged shapes, and times at the shapes of E1 and E3.
#include "Checks.h"
#include "Lab.h"
#include "Maps.h"

namespace lab {
namespace {

/// Of x in 8 bits, a row and a column have a scale each.
template <class Shape, class Y, bool rounds> struct Normed {
  static constexpr bool scaled = sizeof(typename Shape::T) == 1;
  const typename Shape::T *x;
  const float *scales, *bias, *scale, *shift; // of columns
  Y *y;
  E4m3 *rounded;
  int64 rows;
  float factor;
  struct Band {};
  DEVICE Band band(int) const { return {}; }
  struct Biases { Stored<8, float> bias; };
  struct BiasesAndScales { Stored<8, float> bias, scales; };
  using OfColumns = std::conditional_t<scaled, BiasesAndScales, Biases>;
  DEVICE OfColumns readColumns(const Band &, int n) const {
    if constexpr (scaled)
      return {loadStored<8>(bias + n), loadStored<8>(scales + n)};
    else
      return {loadStored<8>(bias + n)};
  }
  struct OfNorm { Stored<8, float> scale, shift; };
  DEVICE OfNorm readNorm(int n) const { return {loadStored<8>(scale + n), loadStored<8>(shift + n)}; }
  struct OfRow { float scale; };
  DEVICE OfRow readRow(int m) const {
    if constexpr (scaled)
      return {scalesOf(x, rows, Shape::K)[m]};
    return {1.0f};
  }
  struct OfPiece { Stored<8, Y> residual; };
  static DEVICE float epsilon() { return 1e-5f; }
  DEVICE Lanes<8> value(const Band &, const OfColumns &columns, const OfRow &row, const OfPiece &piece, int, int, const Lanes<8> &sums) const {
    Lanes<8> b = lanesOf<float>(columns.bias), v = sums;
    if constexpr (scaled) {
      const Lanes<8> s = lanesOf<float>(columns.scales);
      UNROLL
      for (int i = 0; i < 8; ++i)
        v.v[i] *= row.scale * s.v[i];
    }
    UNROLL
    for (int i = 0; i < 8; ++i)
      v.v[i] += b.v[i] + (Shape::hasResidual ? toFloat(piece.residual.numbers[i]) : 0.0f);
    return v;
  }
  DEVICE void store(const OfNorm &norm, int m, int n, Lanes<8> v) const {
    Lanes<8> s = lanesOf<float>(norm.scale), b = lanesOf<float>(norm.shift);
    UNROLL
    for (int i = 0; i < 8; ++i)
      v.v[i] = v.v[i] * s.v[i] + b.v[i];
    storeLanes(y + (int64)m * Shape::N + n, v);
    if (!rounds)
      return;
    storeLanes(rounded + (int64)m * Shape::N + n, scaledLanes(v, factor));
    if (n == 0)
      scalesOf(rounded, rows, Shape::N)[m] = 1.0f / factor;
  }
};

template <class T> std::vector<T> numbersFor(size_t n, float scale) {
  if constexpr (sizeof(T) == 1) {
    std::vector<T> v(n);
    for (T &x : v)
      x.bits = (uint8)(randomInt(0, 126) | randomInt(0, 1) << 7);
    return v;
  } else {
    return randomNumbers<T>(n, scale);
  }
}
/// A pattern, not zeros: the clock follows what the products toggle.
template <class T> std::vector<T> pattern(size_t n, float scale) {
  auto part = numbersFor<T>(1 << 16, scale);
  std::vector<T> all(n);
  for (size_t i = 0; i < n; i += part.size())
    std::copy_n(part.begin(), std::min(part.size(), n - i), all.begin() + (long)i);
  return all;
}
template <class T> TensorMap mapOf(const Device<T> &x, int64_t columns, int64_t rows, int boxRows) {
  if constexpr (sizeof(T) == 1)
    return matrixMap8(x, columns, rows, boxRows);
  else
    return matrixMap(x, std::is_same_v<T, Half>, columns, rows, boxRows);
}
template <class T> TensorMap weightsOf(const Device<T> &w, int64_t columns, int64_t rows, int groups) {
  if constexpr (sizeof(T) == 1)
    return groupedMap8(w, columns, rows, groups);
  else
    return groupedMap(w, std::is_same_v<T, Half>, columns, rows, groups);
}

template <class Shape, class Y, bool rounds> void check(const std::string &name, int rows, int blocks) {
  using T = typename Shape::T;
  constexpr bool scaled = sizeof(T) == 1;
  constexpr int K = Shape::K, N = Shape::N;
  using Epilogue = Normed<Shape, Y, rounds>;
  if (!runsHopper())
    return;
  // Behind the live rows lies NaN.
  auto x = numbersFor<T>((size_t)(rows + 3) * K, 1.0f), w = numbersFor<T>((size_t)N * K, 1.0f / std::sqrt((float)K));
  std::memset((void *)(x.data() + (size_t)rows * K), 0xff, 3 * K * sizeof(T));
  std::vector<float> rowScales(rows, 1.0f), columns(N, 1.0f);
  if (scaled) {
    columns = randomNumbers<float>(N, 1e-3f);
    for (float &s : rowScales)
      s = 1e-2f * (float)randomInt(1, 100) / std::sqrt((float)K);
    x.resize((size_t)rows * K + 4 * rows + 3 * K);
    std::memset((void *)(x.data() + (size_t)rows * K), 0xff, x.size() - (size_t)rows * K);
    std::memcpy((void *)(x.data() + (size_t)rows * K), rowScales.data(), 4 * rows);
  }
  auto bias = randomNumbers<float>(N);
  for (int n = 0; n < N; ++n) // blocks' means differ
    bias[n] += 2.0f * (float)(n / 256);
  auto scale = randomNumbers<float>(N, 0.3f, 1.0f), shift = randomNumbers<float>(N);
  auto residual = randomNumbers<Y>((size_t)rows * N, 1.0f, 0.5f);
  Device<T> dx(x), dw(w);
  Device<float> dc(columns), db(bias), ds(scale), dt(shift);
  Device<Y> dr(residual), y((size_t)(rows + 3) * N);
  Device<E4m3> codes((size_t)(rows + 3) * N + 4 * rows);
  Device<int> live(std::vector<int>{rows});
  launch(gemmNormEntry<Shape, Epilogue>, {dim3(blocks), Shape::threads, Shape::template sharedBytes<Epilogue>()}, mapOf(dx, K, rows, Shape::rowsAtOnce),
         weightsOf(dw, K, N, Shape::boxGroups), narrowMap(dr, std::is_same_v<Y, Half>, N, rows, Shape::rowsAtOnce),
         Epilogue{dx, dc, db, ds, dt, y, codes, rows, 20.0f}, (const int *)live);
  auto out = y.host();
  auto outCodes = codes.host();
  bool untouched = true;
  for (size_t i = (size_t)rows * N; i < out.size(); ++i)
    untouched &= number(out[i]) != number(out[i]);
  for (size_t i = (size_t)rows * (N + (rounds ? 4 : 0)); i < outCodes.size(); ++i)
    untouched &= number(outCodes[i]) != number(outCodes[i]);
  std::vector<double> ref, clipped;
  for (int m = 0; m < rows; ++m) {
    std::vector<double> s(N);
    double mean = 0, squares = 0;
    for (int n = 0; n < N; ++n) {
      for (int k = 0; k < K; ++k)
        s[n] += number(x[(size_t)m * K + k]) * number(w[(size_t)n * K + k]);
      s[n] = s[n] * rowScales[m] * columns[n] + bias[n] + (Shape::hasResidual ? number(residual[(size_t)m * N + n]) : 0.0);
      mean += s[n] / N;
    }
    mean = Shape::centred ? mean : 0.0;
    for (double v : s)
      squares += (v - mean) * (v - mean) / N;
    for (int n = 0; n < N; ++n)
      ref.push_back((s[n] - mean) / std::sqrt(squares + 1e-5) * scale[n] + shift[n]);
  }
  out.resize(ref.size());
  compare(name, out, ref, scaled ? Bound<BFloat>::relative : Bound<Y>::relative);
  report(untouched, name + ", rows behind the last", "stay poisoned");
  if (rounds) {
    std::vector<float> found, scales(rows);
    std::memcpy(scales.data(), (const void *)(outCodes.data() + (size_t)rows * N), 4 * scales.size());
    report(std::all_of(scales.begin(), scales.end(), [](float s) { return s == 1.0f / 20.0f; }), name + ", scales of rows", "as they were given");
    for (size_t i = 0; i < ref.size(); ++i)
      found.push_back((float)number(outCodes[i]) / 20.0f);
    compare(name + ", in 8 bits", found, ref, Bound<E4m3>::relative);
  }
}

template <class Shape, class Y, bool rounds> void time(const char *name, int rows) {
  using T = typename Shape::T;
  constexpr int K = Shape::K, N = Shape::N;
  using Epilogue = Normed<Shape, Y, rounds>;
  auto codes = pattern<T>((size_t)rows * K, 1.0f);
  if (sizeof(T) == 1)
    codes.resize(codes.size() + 4 * (size_t)rows, T{0x3c});
  Device<T> x(codes), w(pattern<T>((size_t)N * K, 1.0f / std::sqrt((float)K)));
  Device<float> columns(std::vector<float>(N, 1e-4f)), bias(randomNumbers<float>(N)), scale(randomNumbers<float>(N)), shift(randomNumbers<float>(N));
  Device<Y> residual(pattern<Y>((size_t)rows * N, 1.0f)), y((size_t)rows * N);
  Device<E4m3> rounded((size_t)rows * (N + 4));
  Device<int> live(std::vector<int>{rows});
  TensorMap maps[3] = {mapOf(x, K, rows, Shape::rowsAtOnce), weightsOf(w, K, N, Shape::boxGroups), narrowMap(residual, std::is_same_v<Y, Half>, N, rows, Shape::rowsAtOnce)};
  int fit = device().multiProcessorCount / Shape::cluster;
#ifndef LAB_EMULATED
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(fit * Shape::cluster), config.blockDim = Shape::threads, config.dynamicSmemBytes = Shape::template sharedBytes<Epilogue>();
  CHECK(cudaFuncSetAttribute(gemmNormEntry<Shape, Epilogue>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)config.dynamicSmemBytes));
  CHECK(cudaOccupancyMaxActiveClusters(&fit, gemmNormEntry<Shape, Epilogue>, &config));
#endif
  for (int clusters : {fit, fit - 1}) {
    double ms = medianMs(nullptr, 20, 4, [&] {
      launch(gemmNormEntry<Shape, Epilogue>, {dim3(clusters * Shape::cluster), Shape::threads, Shape::template sharedBytes<Epilogue>(), nullptr, false}, maps[0], maps[1], maps[2],
             Epilogue{x, columns, bias, scale, shift, y, rounded, rows, 20.0f}, (const int *)live);
    });
    std::printf("product and norm %-16s %d x %d x %d, %d clusters of %d: %.4f ms %.0f TFLOP/s\n", name, rows, N, K, clusters, Shape::cluster, ms, 2.0 * rows * N * K / ms / 1e9);
  }
}

void checkAll() {
  check<GemmNormShape<Half, 1024, 256, 4, Half, true>, Half, false>("product and norm fp16", 300, 4);
  check<GemmNormShape<BFloat, 768, 136, 3, BFloat, true>, BFloat, false>("product and norm bf16, ragged K, halves of tiles at last", 370, 6);
  check<GemmNormShape<Half, 512, 64, 2, NoResidual, false>, Half, false>("product and norm fp16, no residual, no mean", 129, 4);
  check<GemmNormShape<Half, 1024, 128, 4, Half, true>, Half, true>("product and norm fp16, to e4m3", 1, 8);
  check<GemmNormShape<E4m3, 768, 304, 3, Half, true>, Half, true>("product and norm e4m3, ragged K", 257, 3);
  check<GemmNormShape<E4m3, 512, 256, 2, BFloat, true>, BFloat, true>("product and norm e4m3", 321, 2);
  check<GemmNormShape<E4m3, 512, 640, 2, NoResidual, false>, BFloat, true>("product and norm e4m3, no residual, no mean", 500, 4);
}
Register checkGroup("normed", checkAll);

} // namespace

void timeNormedProducts() {
  time<GemmNormShape<Half, 1024, 1024, 4, Half, true>, Half, false>("E1 output", 17598);
  time<GemmNormShape<Half, 1024, 4096, 4, Half, true>, Half, false>("E1 down", 17598);
  time<GemmNormShape<Half, 768, 768, 3, Half, true>, Half, false>("E3 output", 32768);
  time<GemmNormShape<Half, 768, 3072, 3, Half, true>, Half, false>("E3 down", 32768);
  time<GemmNormShape<E4m3, 1024, 1024, 4, Half, true>, Half, true>("E1 fp8 output", 17598);
  time<GemmNormShape<E4m3, 1024, 4096, 4, Half, true>, Half, true>("E1 fp8 down", 17598);
}

} // namespace lab
