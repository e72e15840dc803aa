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

/// y = gelu(x W^T * scale of the row * scale of the column + bias), in 16 bits, or in 8 by one scale for all rows.
template <class Out> struct ScaledGelu {
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
  DEVICE OfRow readRow(const Band &, int m, int) const { return {scalesOf(x, rows, inner)[m]}; }
  DEVICE void store(const Band &, const OfColumns &of, const OfRow &row, int m, int n, const Lanes<8> &sums, const Lanes<8> &) const {
    Lanes<8> own = scaledLanes(sums, row.scale), c = lanesOf<float>(of.scales), b = lanesOf<float>(of.bias), out;
    UNROLL
    for (int i = 0; i < 8; ++i)
      out.v[i] = geluErfFor<Out>(own.v[i] * c.v[i] + b.v[i]);
    put(y, m, n, out);
  }
  DEVICE void put(BFloat *to, int m, int n, const Lanes<8> &out) const { storeLanes(to + (int64)m * width + n, out); }
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

/// run(x, w, epilogue, live): the kernel. The map of Hopper's passes the last row: what it finds there are scales and NaN.
template <int N, int K, class Out, class Run> void check(const std::string &name, int rows, Run run) {
  constexpr bool narrow = sizeof(Out) == 1;
  auto x = randomCodes((size_t)rows * K), w = randomCodes((size_t)N * K);
  std::vector<float> rowScales(rows), columns = randomNumbers<float>(N, 1e-3f), bias = randomNumbers<float>(N), scale = {0.01f};
  for (float &s : rowScales)
    s = 1e-2f * (float)randomInt(1, 100) / std::sqrt((float)K);
  Device<E4m3> dx(withScales(x, rowScales, 3 * K)), dw(w);
  Device<float> dc(columns), db(bias), ds(scale);
  Device<Out> y((size_t)rows * N + (narrow ? 4 * rows : 3 * N));
  run(dx, dw, ScaledGelu<Out>{dx, dc, db, ds, y, rows, K, N, 1.0f / scale[0]});
  std::vector<double> ref;
  for (int m = 0; m < rows; ++m)
    for (int n = 0; n < N; ++n) {
      double sum = 0;
      for (int k = 0; k < K; ++k)
        sum += number(x[(size_t)m * K + k]) * number(w[(size_t)n * K + k]);
      ref.push_back(gelu(sum * rowScales[m] * columns[n] + bias[n]));
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

template <class Shape, class Out> void checkHopper(const std::string &name, int rows, int blocks) {
  constexpr int K = Shape::inner, N = Shape::outputs;
  if (!runsHopper())
    return;
  check<N, K, Out>(name, rows, [&](const Device<E4m3> &x, const Device<E4m3> &w, const ScaledGelu<Out> &epilogue) {
    Device<int> live(std::vector<int>{rows});
    launch(gemmHopperEntry<Shape, ScaledGelu<Out>>, {dim3(blocks), Shape::threads, Shape::sharedBytes}, matrixMap8(x, K, rows + 3, Shape::rowsAtOnce),
           groupedMap8(w, K, N), epilogue, (const int *)live);
  });
}

/// By mma.sync.
template <int N, int K, class Out> void checkMma(const std::string &name, int rows) {
  using Shape = E4m3GemmShape<N, K>;
  check<N, K, Out>(name, rows, [&](const Device<E4m3> &x, const Device<E4m3> &w, const ScaledGelu<Out> &epilogue) {
    dim3 tiles((N + Shape::columnsAtOnce - 1) / Shape::columnsAtOnce, (rows + Shape::rowsAtOnce - 1) / Shape::rowsAtOnce);
    launch(gemmE4m3Entry<Shape, ScaledGelu<Out>>, {tiles, Shape::threads, Shape::sharedBytes}, x.p, w.p, epilogue, rows);
  });
}

template <class Shape, class Out> void time(const char *name, int rows) {
  constexpr int K = Shape::inner, N = Shape::outputs;
  Device<E4m3> x(withScales(randomCodes((size_t)rows * K), std::vector<float>(rows, 1e-4f), 0)), w(randomCodes((size_t)N * K));
  Device<float> columns(randomNumbers<float>(N, 1e-2f)), bias(randomNumbers<float>(N)), scale(std::vector<float>{0.01f});
  Device<Out> y((size_t)rows * N + 4 * rows);
  Device<int> live(std::vector<int>{rows});
  TensorMap maps[2] = {matrixMap8(x, K, rows, Shape::rowsAtOnce), groupedMap8(w, K, N)};
  double ms = medianMs(nullptr, 20, 4, [&] {
    launch(gemmHopperEntry<Shape, ScaledGelu<Out>>, {dim3(device().multiProcessorCount / Shape::cluster * Shape::cluster), Shape::threads, Shape::sharedBytes, nullptr, false},
           maps[0], maps[1], ScaledGelu<Out>{x, columns, bias, scale, y, rows, K, N, 100.0f}, (const int *)live);
  });
  std::printf("product e4m3 %-24s %d x %d x %d: %.3f ms %.0f TFLOP/s\n", name, rows, N, K, ms, 2.0 * rows * N * K / ms / 1e9);
}

template <int cluster> void checkCluster(const std::string &how) {
  checkHopper<HopperGemmShape<E4m3, 384, 256, NoPartner, cluster, 6>, BFloat>("product e4m3" + how, 300, 4);
  checkHopper<HopperGemmShape<E4m3, 224, 1008, NoPartner, cluster, 6>, BFloat>("product e4m3, ragged K and N" + how, 129, 6);
  checkHopper<HopperGemmShape<E4m3, 160, 64, NoPartner, cluster, 4>, BFloat>("product e4m3, one row" + how, 1, 2);
  checkHopper<HopperGemmShape<E4m3, 256, 384, NoPartner, cluster, 6>, E4m3>("product e4m3 to e4m3" + how, 140, 4);
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
  time<HopperGemmShape<E4m3, 3072, 1024, NoPartner, 2, 6>, BFloat>("E1 query, key, value", 17598);
  time<HopperGemmShape<E4m3, 1024, 1024, NoPartner, 2, 6>, BFloat>("E1 output", 17598);
  time<HopperGemmShape<E4m3, 4096, 1024, NoPartner, 2, 6>, E4m3>("E1 up, gelu", 17598);
  time<HopperGemmShape<E4m3, 1024, 4096, NoPartner, 2, 6>, BFloat>("E1 down", 17598);
}

} // namespace lab
