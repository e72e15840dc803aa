// Products of many rows with operands of 8 bits by wgmma: checks against fp64 at ragged shapes, and TFLOP/s at the shapes of E1.
#include "Checks.h"
#include "Lab.h"
#include "Maps.h"

namespace lab {

namespace {

/// Any numbers but NaN.
std::vector<E4m3> randomCodes(size_t n) {
  std::vector<E4m3> v(n);
  for (E4m3 &x : v)
    x.bits = (uint8)(randomInt(0, 126) | randomInt(0, 1) << 7);
  return v;
}
double gelu(double x) { return x * 0.5 * (1.0 + std::erf(x / std::sqrt(2.0))); }

/// y = x W^T * scale of the row * scale of the column + bias; of that the GELU, or the sum with a residual; in 16 bits, or in 8 by one scale for all rows.
enum class Behind { nothing, gelu, residual };
template <class Out, Behind behind> struct Scaled {
  const E4m3 *x;
  const float *columns, *bias, *scale;
  Out *y;
  int64 rows;
  int inner, width;
  float factor; // 1 / scale
  struct Band {};
  DEVICE Band band(int) const { return {}; }
  struct OfColumns { Stored<8, float> scales, bias; };
  DEVICE OfColumns readColumns(const Band &, int n) const { return {loadStored<8>(columns + n), loadStored<8>(bias + n)}; }
  struct OfRow { float scale; };
  DEVICE OfRow readRow(int m) const { return {scalesOf(x, rows, inner)[m]}; }
  const Half *residual;
  struct Nothing {};
  using OfPiece = std::conditional_t<behind == Behind::residual, Stored<8, Half>, Nothing>;
  DEVICE OfPiece readPiece(const Band &, int m, int n) const {
    if constexpr (behind == Behind::residual)
      return loadStored<8>(residual + (int64)m * width + n);
    return {};
  }
  DEVICE void store(const Band &band, const OfColumns &columns, const OfRow &row, const Nothing &, int m, int n, const Lanes<8> &own, const Lanes<8> &other) const {
    store(band, columns, row, Stored<8, Half>(), m, n, own, other);
  }
  DEVICE void store(const Band &, const OfColumns &of, const OfRow &row, const Stored<8, Half> &beside, int m, int n, const Lanes<8> &sums, const Lanes<8> &) const {
    Lanes<8> own = scaledLanes(sums, row.scale), c = lanesOf<float>(of.scales), b = lanesOf<float>(of.bias), out, r = {};
    if constexpr (behind == Behind::residual)
      r = lanesOf<Half>(beside);
    UNROLL
    for (int i = 0; i < 8; ++i) {
      const float v = own.v[i] * c.v[i] + b.v[i];
      out.v[i] = behind == Behind::gelu ? geluErfFor<Out>(v) : behind == Behind::residual ? v + r.v[i] : v;
    }
    put(y, m, n, out);
  }
  template <class T> DEVICE void put(T *to, int m, int n, const Lanes<8> &out) const { storeLanes(to + (int64)m * width + n, out); }
  DEVICE void put(E4m3 *to, int m, int n, const Lanes<8> &out) const {
    storeLanes(to + (int64)m * width + n, scaledLanes(out, factor));
    if (n == 0)
      scalesOf(to, rows, width)[m] = *scale;
  }
};

/// Codes [rows, width] with the scales behind them, and behind these what poisons a result that reads it.
std::vector<E4m3> withScales(std::vector<E4m3> codes, const std::vector<float> &scales, size_t behind) {
  size_t at = codes.size();
  codes.resize(at + 4 * scales.size() + behind, E4m3{0x7f});
  std::memcpy((void *)(codes.data() + at), scales.data(), 4 * scales.size());
  return codes;
}

/// run(x, w, epilogue): the kernel. The map of Hopper's passes the last row: what it finds there are scales and NaN.
template <int N, int K, class Out, Behind behind, class Run> void check(const std::string &name, int rows, Run run) {
  constexpr bool narrow = sizeof(Out) == 1;
  auto x = randomCodes((size_t)rows * K), w = randomCodes((size_t)N * K);
  std::vector<float> rowScales(rows), columns = randomNumbers<float>(N, 1e-3f), bias = randomNumbers<float>(N), scale = {0.01f};
  for (float &s : rowScales)
    s = 1e-2f * (float)randomInt(1, 100) / std::sqrt((float)K);
  Device<E4m3> dx(withScales(x, rowScales, 3 * K)), dw(w);
  Device<float> dc(columns), db(bias), ds(scale);
  Device<Out> y((size_t)rows * N + (narrow ? 4 * rows : 3 * N));
  auto residual = randomNumbers<Half>((size_t)rows * N);
  Device<Half> dr(residual);
  run(dx, dw, dr, Scaled<Out, behind>{dx, dc, db, ds, y, rows, K, N, 1.0f / scale[0], dr});
  std::vector<double> ref, numbers;
  for (int code = 0; code < 256; ++code)
    numbers.push_back(number(E4m3{(uint8)code}));
  for (int m = 0; m < rows; ++m)
    for (int n = 0; n < N; ++n) {
      double sum = 0;
      for (int k = 0; k < K; ++k)
        sum += numbers[x[(size_t)m * K + k].bits] * numbers[w[(size_t)n * K + k].bits];
      sum = sum * rowScales[m] * columns[n] + bias[n];
      ref.push_back(behind == Behind::gelu ? gelu(sum) : behind == Behind::residual ? sum + number(residual[(size_t)m * N + n]) : sum);
    }
  auto out = y.host();
  std::vector<float> found;
  for (size_t i = 0; i < ref.size(); ++i)
    found.push_back(narrow ? (float)(number(out[i]) * scale[0]) : (float)number(out[i]));
  if (narrow) { // what is beyond 448 scales becomes that
    for (double &v : ref)
      v = std::min(std::max(v, -448.0 * scale[0]), 448.0 * scale[0]);
    std::vector<float> written(rows);
    std::memcpy(written.data(), (const void *)(out.data() + (size_t)rows * N), 4 * written.size());
    bool same = std::all_of(written.begin(), written.end(), [&](float s) { return s == scale[0]; });
    report(same, name + ", scales of rows", "as they were given");
  } else {
    bool untouched = true;
    for (size_t i = (size_t)rows * N; i < out.size(); ++i)
      untouched &= number(out[i]) != number(out[i]);
    report(untouched, name + ", rows behind the last", "stay poisoned");
  }
  lab::compare(name, found, ref, narrow ? 4e-2 : Bound<BFloat>::relative);
}

template <class Shape, class Out, Behind behind = Behind::gelu> void checkHopper(const std::string &name, int rows, int blocks) {
  constexpr int K = Shape::inner, N = Shape::outputs;
  if (!runsHopper())
    return;
  check<N, K, Out, behind>(name, rows, [&](const Device<E4m3> &x, const Device<E4m3> &w, const Device<Half> &residual, const Scaled<Out, behind> &epilogue) {
    Device<int> live(std::vector<int>{rows});
    launch(gemmHopperEntry<Shape, Scaled<Out, behind>>, {dim3(blocks), Shape::threads, Shape::sharedBytes}, matrixMap8(x, K, rows + 3, Shape::rowsAtOnce),
           groupedMap8(w, K, N, Shape::boxGroups), matrixMap(residual, true, N, rows, Shape::rowsAtOnce), epilogue, (const int *)live);
  });
}

/// By mma.sync.
template <int N, int K, class Out> void checkMma(const std::string &name, int rows) {
  using Shape = E4m3GemmShape<N, K>;
  check<N, K, Out, Behind::gelu>(name, rows, [&](const Device<E4m3> &x, const Device<E4m3> &w, const Device<Half> &, const Scaled<Out, Behind::gelu> &epilogue) {
    dim3 tiles((N + Shape::columnsAtOnce - 1) / Shape::columnsAtOnce, (rows + Shape::rowsAtOnce - 1) / Shape::rowsAtOnce);
    launch(gemmE4m3Entry<Shape, Scaled<Out, Behind::gelu>>, {tiles, Shape::threads, Shape::sharedBytes}, x.p, w.p, epilogue, rows);
  });
}

template <class Shape, class Out, Behind behind> void time(const char *name, int rows) {
  constexpr int K = Shape::inner, N = Shape::outputs;
  auto pattern = [](size_t n) { // not zeros: the clock follows what the products toggle
    auto part = randomCodes(1 << 16);
    std::vector<E4m3> all(n);
    for (size_t i = 0; i < n; i += part.size())
      std::copy_n(part.begin(), std::min(part.size(), n - i), all.begin() + (long)i);
    return all;
  };
  Device<E4m3> x(withScales(pattern((size_t)rows * K), std::vector<float>(rows, 1e-4f), 0)), w(pattern((size_t)N * K));
  Device<float> columns(randomNumbers<float>(N, 1e-2f)), bias(randomNumbers<float>(N)), scale(std::vector<float>{0.01f});
  Device<Half> residual((size_t)rows * N);
  Device<Out> y((size_t)rows * N + 4 * rows);
  Device<int> live(std::vector<int>{rows});
  TensorMap maps[3] = {matrixMap8(x, K, rows, Shape::rowsAtOnce), groupedMap8(w, K, N, Shape::boxGroups), matrixMap(residual, true, N, rows, Shape::rowsAtOnce)};
  double ms = medianMs(nullptr, 20, 4, [&] {
    launch(gemmHopperEntry<Shape, Scaled<Out, behind>>, {dim3(device().multiProcessorCount / Shape::cluster * Shape::cluster), Shape::threads, Shape::sharedBytes, nullptr, false},
           maps[0], maps[1], maps[2], Scaled<Out, behind>{x, columns, bias, scale, y, rows, K, N, 100.0f, residual}, (const int *)live);
  });
  std::printf("product e4m3 %-24s %d x %d x %d: %.4f ms %.0f TFLOP/s\n", name, rows, N, K, ms, 2.0 * rows * N * K / ms / 1e9);
}

template <int cluster> void checkCluster(const std::string &how) {
  checkHopper<HopperGemmShape<E4m3, 384, 256, NoPartner, cluster, 6>, BFloat>("product e4m3" + how, 300, 4);
  checkHopper<HopperGemmShape<E4m3, 224, 1008, NoPartner, cluster, 6>, BFloat>("product e4m3, ragged K and N" + how, 129, 6);
  checkHopper<HopperGemmShape<E4m3, 160, 64, NoPartner, cluster, 4>, BFloat>("product e4m3, one row" + how, 1, 2);
  checkHopper<HopperGemmShape<E4m3, 256, 384, NoPartner, cluster, 6>, E4m3>("product e4m3 to e4m3" + how, 140, 4);
  checkHopper<HopperGemmShape<E4m3, 288, 384, NoPartner, cluster, 5, 128, false, Half>, Half, Behind::residual>("product e4m3, residual in shared memory" + how, 300, 4);
  checkHopper<HopperGemmShape<E4m3, 416, 256, NoPartner, cluster, 2, 128, true>, Half, Behind::residual>("product e4m3, rows kept" + how, 600, 4);
  checkHopper<HopperGemmShape<E4m3, 640, 352, NoPartner, cluster, 3, 128, true>, E4m3>("product e4m3, rows kept, ragged K" + how, 140, 4);
}

void checkAll() {
  checkCluster<1>("");
  checkCluster<2>(", clusters of 2");
  checkMma<384, 256, BFloat>("product e4m3 by mma.sync", 300);
  checkMma<224, 1008, BFloat>("product e4m3 by mma.sync, ragged K and N", 129);
  checkMma<160, 48, BFloat>("product e4m3 by mma.sync, one row", 1);
  checkMma<256, 384, E4m3>("product e4m3 by mma.sync to e4m3", 140);
}
Register checkGroup("products", checkAll);

} // namespace

void timeE4m3Products() {
  time<HopperGemmShape<E4m3, 3072, 1024, NoPartner, 2, 6, 128, true>, Half, Behind::nothing>("E1 query, key, value", 17598);
  time<HopperGemmShape<E4m3, 1024, 1024, NoPartner, 2, 5, 128, false, Half>, Half, Behind::residual>("E1 output", 17598);
  time<HopperGemmShape<E4m3, 4096, 1024, NoPartner, 2, 6, 128, true>, E4m3, Behind::gelu>("E1 up, gelu", 17598);
  time<HopperGemmShape<E4m3, 1024, 4096, NoPartner, 2, 6>, Half, Behind::residual>("E1 down", 17598);
  time<HopperGemmShape<E4m3, 1024, 4096, NoPartner, 2, 5, 128, false, Half>, Half, Behind::residual>("E1 down, residual in shared memory", 17598);
}

} // namespace lab
