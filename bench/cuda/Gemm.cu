// Products of many rows by wgmma: checks against fp64 at ragged shapes, and TFLOP/s at the shapes of E1 and D4.
#include "Checks.h"
#include "Lab.h"
#include "Maps.h"

namespace lab {
namespace {

/// y = x W^T + bias; of that the GELU, or the sum with a residual whose rows lie `apart` elements from each other.
enum class Behind { nothing, gelu, residual };
template <class T, Behind behind> struct Biased {
  const T *bias, *residual;
  int apart;
  T *y;
  int width;
  struct Band {};
  DEVICE Band band(int) const { return {}; }
  struct OfColumns { Stored<8, T> bias; };
  DEVICE OfColumns readColumns(const Band &, int n) const { return {loadStored<8>(bias + n)}; }
  struct OfRow {};
  DEVICE OfRow readRow(int) const { return {}; }
  struct Nothing {};
  using OfPiece = std::conditional_t<behind == Behind::residual, Stored<8, T>, Nothing>;
  DEVICE OfPiece readPiece(const Band &, int m, int n) const {
    if constexpr (behind == Behind::residual)
      return loadStored<8>(residual + (int64)m * apart + n);
    return {};
  }
  DEVICE void store(const Band &band, const OfColumns &columns, const OfRow &row, const Nothing &, int m, int n, const Lanes<8> &own, const Lanes<8> &other) const {
    store(band, columns, row, Stored<8, T>(), m, n, own, other);
  }
  DEVICE void store(const Band &, const OfColumns &columns, const OfRow &, const Stored<8, T> &beside, int m, int n, const Lanes<8> &own, const Lanes<8> &) const {
    Lanes<8> b = lanesOf<T>(columns.bias), r = lanesOf<T>(beside), sum;
    UNROLL
    for (int i = 0; i < 8; ++i) {
      float v = own.v[i] + b.v[i];
      sum.v[i] = behind == Behind::gelu ? geluErfFor<T>(v) : behind == Behind::residual ? v + r.v[i] : v;
    }
    storeLanes(y + (int64)m * width + n, sum);
  }
  /// b: of the bias, and of the residual.
  static double reference(double own, double, double b) {
    double v = own + b;
    return behind == Behind::gelu ? v * 0.5 * (1.0 + std::erf(v / std::sqrt(2.0))) : behind == Behind::residual ? v + b : v;
  }
};
/// y = silu(gate) * up, or own + 2 * partner: whether the right two columns meet.
template <class T> struct Gate {
  const T *bias, *residual;
  int apart;
  T *y;
  int width;
  struct Band {};
  DEVICE Band band(int) const { return {}; }
  struct OfColumns {};
  DEVICE OfColumns readColumns(const Band &, int) const { return {}; }
  struct OfRow {};
  DEVICE OfRow readRow(int) const { return {}; }
  struct OfPiece {};
  DEVICE OfPiece readPiece(const Band &, int, int) const { return {}; }
  DEVICE void store(const Band &, const OfColumns &, const OfRow &, const OfPiece &, int m, int n, const Lanes<8> &own, const Lanes<8> &other) const {
    Lanes<8> product;
    UNROLL
    for (int i = 0; i < 8; ++i)
      product.v[i] = silu(own.v[i]) * other.v[i];
    storeLanes(y + (int64)m * width + n, product);
  }
  static double reference(double own, double other, double) { return own / (1.0 + std::exp(-own)) * other; }
};

template <class Shape> int partnerOf(int n) {
  using Partner = typename Shape::Partner;
  return Partner::halves ? n + Partner::halves : n ^ Partner::within;
}

template <class Shape, class Epilogue> void check(const std::string &name, int rows, int blocks) {
  using T = typename Shape::T;
  constexpr bool half = std::is_same_v<T, Half>;
  constexpr int K = Shape::inner, N = Shape::outputs, width = Shape::Partner::halves ? Shape::Partner::halves : N;
  if (!runsHopper())
    return;
  // Behind the live rows lies NaN.
  auto x = randomNumbers<T>((size_t)(rows + 3) * K), w = randomNumbers<T>((size_t)N * K, 1.0f / std::sqrt((float)K)), bias = randomNumbers<T>(N);
  std::memset((void *)(x.data() + (size_t)rows * K), 0xff, 3 * K * sizeof(T));
  std::vector<T> residual; // the bias in every row
  for (int m = 0; m < rows; ++m)
    residual.insert(residual.end(), bias.begin(), bias.end());
  Device<T> dx(x), dw(w), db(bias), dr(residual), y((size_t)(rows + 3) * width);
  Device<int> live(std::vector<int>{rows});
  launch(gemmHopperEntry<Shape, Epilogue>, {dim3(blocks), Shape::threads, Shape::sharedBytes}, matrixMap(dx, half, K, rows + 3, Shape::rowsAtOnce),
         groupedMap(dw, half, K, N, Shape::boxGroups), matrixMap(dr, half, N, rows, Shape::rowsAtOnce), Epilogue{db, db, 0, y, width}, (const int *)live);
  auto out = y.host();
  bool untouched = true;
  for (size_t i = (size_t)rows * width; i < out.size(); ++i)
    untouched &= number(out[i]) != number(out[i]);
  out.resize((size_t)rows * width);
  std::vector<double> products((size_t)rows * N), ref;
  for (int m = 0; m < rows; ++m)
    for (int n = 0; n < N; ++n)
      for (int k = 0; k < K; ++k)
        products[(size_t)m * N + n] += number(x[(size_t)m * K + k]) * number(w[(size_t)n * K + k]);
  for (int m = 0; m < rows; ++m)
    for (int n = 0; n < width; ++n)
      ref.push_back(Epilogue::reference(products[(size_t)m * N + n], products[(size_t)m * N + partnerOf<Shape>(n)], number(bias[n])));
  compare(name, out, ref, Bound<T>::relative);
  report(untouched, name + ", rows behind the last", "stay poisoned");
}

template <class Shape, class Epilogue> void time(const char *name, int rows) {
  using T = typename Shape::T;
  constexpr bool half = std::is_same_v<T, Half>;
  constexpr int K = Shape::inner, N = Shape::outputs, width = Shape::Partner::halves ? Shape::Partner::halves : N;
  auto fill = [](size_t n, float scale) { // a pattern, not zeros: the clock follows what the products toggle
    auto part = randomNumbers<T>(1 << 16, scale);
    std::vector<T> all(n);
    for (size_t i = 0; i < n; i += part.size())
      std::copy_n(part.begin(), std::min(part.size(), n - i), all.begin() + (long)i);
    return all;
  };
  Device<T> x(fill((size_t)rows * K, 1.0f)), w(fill((size_t)N * K, 1.0f / std::sqrt((float)K))), bias(randomNumbers<T>(N)), y((size_t)rows * width);
  Device<int> live(std::vector<int>{rows});
  Device<T> residual((size_t)rows * width);
  TensorMap maps[3] = {matrixMap(x, half, K, rows, Shape::rowsAtOnce), groupedMap(w, half, K, N, Shape::boxGroups), matrixMap(residual, half, width, rows, Shape::rowsAtOnce)};
  dim3 blocks(device().multiProcessorCount / Shape::cluster * Shape::cluster);
  double ms = medianMs(nullptr, 20, 4, [&] {
    launch(gemmHopperEntry<Shape, Epilogue>, {blocks, Shape::threads, Shape::sharedBytes, nullptr, false}, maps[0], maps[1], maps[2], Epilogue{bias, residual, width, y, width}, (const int *)live);
  });
  std::printf("product %-24s %d x %d x %d: %.3f ms %.0f TFLOP/s\n", name, rows, N, K, ms, 2.0 * rows * N * K / ms / 1e9);
}

template <int cluster> void checkCluster(const std::string &how) {
  constexpr Behind gelu = Behind::gelu, residual = Behind::residual;
  check<HopperGemmShape<BFloat, 384, 256, NoPartner, cluster, 6>, Biased<BFloat, gelu>>("product bf16" + how, 300, 4);
  check<HopperGemmShape<Half, 224, 1000, NoPartner, cluster, 6>, Biased<Half, residual>>("product fp16, ragged K and N" + how, 129, 6);
  check<HopperGemmShape<Half, 160, 64, NoPartner, cluster, 3>, Biased<Half, gelu>>("product fp16, one stage" + how, 1, 2);
  check<HopperGemmShape<BFloat, 448, 192, PartnerHalves<224>, cluster, 6>, Gate<BFloat>>("product, gate and up" + how, 257, 2);
  check<HopperGemmShape<BFloat, 256, 128, PartnerWithin<64>, cluster, 6>, Gate<BFloat>>("product, partner at 64" + how, 70, 4);
  check<HopperGemmShape<BFloat, 256, 128, PartnerWithin<32>, cluster, 6>, Gate<BFloat>>("product, partner at 32" + how, 70, 4);
  check<HopperGemmShape<BFloat, 96, 128, PartnerWithin<16>, cluster, 6>, Gate<BFloat>>("product, partner at 16" + how, 130, 4);
  check<HopperGemmShape<Half, 416, 200, NoPartner, cluster, 5, 192>, Biased<Half, gelu>>("product fp16, 192 columns" + how, 300, 4);
  check<HopperGemmShape<BFloat, 384, 320, NoPartner, cluster, 5, 192>, Biased<BFloat, residual>>("product bf16, 192 columns" + how, 129, 2);
  check<HopperGemmShape<BFloat, 256, 320, NoPartner, cluster, 5, 192>, Biased<BFloat, residual>>("product bf16, 192 and 64 columns" + how, 300, 4);
  check<HopperGemmShape<Half, 288, 320, NoPartner, cluster, 5, 192>, Biased<Half, gelu>>("product fp16, 192 and 96 columns" + how, 200, 2);
  check<HopperGemmShape<BFloat, 352, 320, NoPartner, cluster, 4, 128, false, BFloat>, Biased<BFloat, residual>>("product bf16, residual in shared memory" + how, 300, 2);
  check<HopperGemmShape<Half, 160, 128, NoPartner, cluster, 4, 128, false, Half>, Biased<Half, residual>>("product fp16, residual in shared memory, few steps" + how, 600, 4);
  check<HopperGemmShape<BFloat, 448, 192, PartnerHalves<224>, cluster, 5, 192>, Gate<BFloat>>("product, 192 columns, gate and up" + how, 257, 2);
  check<HopperGemmShape<BFloat, 256, 128, PartnerWithin<32>, cluster, 5, 192>, Gate<BFloat>>("product, 192 columns, partner at 32" + how, 70, 4);
}

template <int cluster> void timeCluster() {
  std::printf("blocks in clusters of %d\n", cluster);
  time<HopperGemmShape<Half, 3072, 1024, NoPartner, cluster, 6>, Biased<Half, Behind::nothing>>("E1 query, key, value", 17598);
  time<HopperGemmShape<Half, 3072, 1024, NoPartner, cluster, 5, 192>, Biased<Half, Behind::nothing>>("E1 query, key, value, 192", 17598);
  time<HopperGemmShape<Half, 4096, 1024, NoPartner, cluster, 5, 192>, Biased<Half, Behind::gelu>>("E1 up, gelu, 192", 17598);
  time<HopperGemmShape<BFloat, 28672, 4096, PartnerHalves<14336>, cluster, 5, 192>, Gate<BFloat>>("D4 gate and up, 192", 4096);
  time<HopperGemmShape<Half, 1024, 1024, NoPartner, cluster, 6>, Biased<Half, Behind::residual>>("E1 output", 17598);
  time<HopperGemmShape<Half, 4096, 1024, NoPartner, cluster, 6>, Biased<Half, Behind::nothing>>("E1 up", 17598);
  time<HopperGemmShape<Half, 4096, 1024, NoPartner, cluster, 6>, Biased<Half, Behind::gelu>>("E1 up, gelu", 17598);
  time<HopperGemmShape<Half, 1024, 4096, NoPartner, cluster, 6>, Biased<Half, Behind::residual>>("E1 down", 17598);
  time<HopperGemmShape<BFloat, 6144, 4096, NoPartner, cluster, 6>, Biased<BFloat, Behind::nothing>>("D4 query, key, value", 4096);
  time<HopperGemmShape<BFloat, 28672, 4096, PartnerHalves<14336>, cluster, 6>, Gate<BFloat>>("D4 gate and up", 4096);
  time<HopperGemmShape<BFloat, 4096, 14336, NoPartner, cluster, 6>, Biased<BFloat, Behind::residual>>("D4 down", 4096);
}

} // namespace

static void checkProducts() {
  checkCluster<1>("");
  checkCluster<2>(", clusters of 2");
}
static Register checkProductsGroup("products", checkProducts);

void timeProducts() {
  timeCluster<1>();
  timeCluster<2>();
}

} // namespace lab
