// Checks of the products of some rows: several numbers of rows, parts of K, pairings, odd shapes, against fp64.
#include "Checks.h"
#include "Lab.h"
#include "Entries.cuh"

namespace lab {
namespace {

/// x [rows, K] times w [N, K]^T.
template <class T> std::vector<double> product(const std::vector<T> &x, const std::vector<T> &w, int rows, int N, int K) {
  std::vector<double> y((size_t)rows * N);
  for (int m = 0; m < rows; ++m)
    for (int n = 0; n < N; ++n) {
      double sum = 0;
      for (int k = 0; k < K; ++k)
        sum += (double)number(x[(size_t)m * K + k]) * number(w[(size_t)n * K + k]);
      y[(size_t)m * N + n] = sum;
    }
  return y;
}

template <class Shape, class T, class Epilogue> void run(const Device<T> &w, const Device<T> &x, Epilogue epilogue, int rows) {
  launch(gemmSkinnyEntry<Shape, Epilogue>, {dim3(Shape::blocks, Shape::splits), Shape::threads, Shape::sharedBytes}, w.p, x.p, epilogue, rows);
}

/// Bias, activation and residual, for several numbers of rows; rows behind these stay as they are.
template <class T, int N, int K, int M, int tiles, int ahead> void checkProduct(const std::string &name) {
  using Shape = SkinnyShape<T, N, K, M, tiles, 1, ahead, NeighbourPairs>;
  auto w = randomNumbers<T>((size_t)N * K, 0.05f), x = randomNumbers<T>((size_t)M * K, 1.0f, 0.3f), bias = randomNumbers<T>(N), residual = randomNumbers<T>((size_t)M * N);
  Device<T> dw(w), dx(x), db(bias), dr(residual);
  auto ref = product(x, w, M, N, K);
  for (int i = 0; i < M * N; ++i) {
    double v = ref[i] + number(bias[i % N]);
    ref[i] = v / (1 + std::exp(-v)) + number(residual[i]);
  }
  for (int rows : {1, M / 2 + 3, M}) {
    Device<T> y((size_t)M * N);
    run<Shape>(dw, dx, StoreEpilogue<T, T, N, Silu>{y, db, dr}, rows);
    auto out = y.host();
    bool untouched = true;
    for (size_t i = (size_t)rows * N; i < out.size(); ++i)
      untouched &= number(out[i]) != number(out[i]);
    report(untouched, name + " rows past " + std::to_string(rows), "stay poisoned");
    out.resize((size_t)rows * N);
    compare(name + " of " + std::to_string(rows), out, std::vector<double>(ref.begin(), ref.begin() + (size_t)rows * N), Bound<T>::relative);
  }
}

/// Parts of K, added here: as exact as fp32.
template <class T, int N, int K, int M, int splits, int most> void checkParts(const std::string &name) {
  using Shape = SkinnyShape<T, N, K, M, 2, splits, 2, NeighbourPairs>;
  auto w = randomNumbers<T>((size_t)N * K, 0.05f), x = randomNumbers<T>((size_t)M * K);
  Device<T> dw(w), dx(x);
  Device<float> y((size_t)splits * most * N);
  run<Shape>(dw, dx, PartEpilogue<most, N>{y}, M);
  auto parts = y.host();
  std::vector<float> sums((size_t)M * N);
  for (int part = 0; part < splits; ++part)
    for (size_t i = 0; i < sums.size(); ++i)
      sums[i] += parts[(size_t)part * most * N + i];
  compare(name, sums, product(x, w, M, N, K), 1e-5);
}

void checkGate() {
  constexpr int width = 136, K = 512, M = 32, rows = 21;
  using Shape = SkinnyShape<BFloat, 2 * width, K, M, 2, 1, 4, HalfPairs<width>>;
  auto w = randomNumbers<BFloat>(2 * width * K, 0.05f), x = randomNumbers<BFloat>(rows * K);
  Device<BFloat> dw(w), dx(x);
  Device<float> y(rows * width);
  run<Shape>(dw, dx, GateEpilogue<float, float, width, Silu>{y, nullptr}, rows);
  auto both = product(x, w, rows, 2 * width, K);
  std::vector<double> ref(rows * width);
  for (int m = 0; m < rows; ++m)
    for (int i = 0; i < width; ++i) {
      double g = both[m * 2 * width + i];
      ref[m * width + i] = g / (1 + std::exp(-g)) * both[m * 2 * width + width + i];
    }
  compare("skinny gate", y.host(), ref, 1e-5);
}

void checkSkinny() {
  checkProduct<BFloat, 320, 1024, 16, 1, 8>("skinny bf16 320x1024 M16");
  checkProduct<BFloat, 77, 2080, 32, 2, 4>("skinny bf16 77x2080 M32");
  checkProduct<Half, 100, 32, 32, 1, 4>("skinny fp16 100x32 M32");
  checkProduct<Half, 64, 3072, 64, 2, 1>("skinny fp16 64x3072 M64");
  checkProduct<Half, 33, 4096, 64, 1, 2>("skinny fp16 33x4096 M64");
  checkParts<Half, 96, 1024, 32, 4, 64>("skinny fp16 96x1024 M32 in 4 parts");
  checkParts<BFloat, 50, 1376, 64, 3, 64>("skinny bf16 50x1376 M64 in 3 parts");
  checkGate();
}

} // namespace

static Register checkSkinnyGroup("skinny", checkSkinny);

} // namespace lab
