// Entries of the kernel library as an emitter would write them, but templates: the lab launches them and
// test/cuda/compile_kernels.py instantiates them by name.
#pragma once

#include "../../codegen/cuda/kernels/AttentionDecode.cuh"
#include "../../codegen/cuda/kernels/AttentionFma.cuh"
#include "../../codegen/cuda/kernels/AttentionHopper.cuh"
#include "../../codegen/cuda/kernels/AttentionMma.cuh"
#include "../../codegen/cuda/kernels/E4m3.cuh"
#include "../../codegen/cuda/kernels/Epilogues.cuh"
#include "../../codegen/cuda/kernels/GemmE4m3.cuh"
#include "../../codegen/cuda/kernels/GemmHopper.cuh"
#include "../../codegen/cuda/kernels/GemmNorm.cuh"
#include "../../codegen/cuda/kernels/GemmSkinny.cuh"
#include "../../codegen/cuda/kernels/Gemv.cuh"
#include "../../codegen/cuda/kernels/GemvFma.cuh"
#include "../../codegen/cuda/kernels/GemvFormats5.cuh"
#include "../../codegen/cuda/kernels/GemvSimple.cuh"
#include "../../codegen/cuda/kernels/GemvStream.cuh"
#include "../../codegen/cuda/kernels/Planes.cuh"
#include "../../codegen/cuda/kernels/Repack.cuh"
#include "../../codegen/cuda/kernels/Rows.cuh"
#include "../../codegen/cuda/kernels/Sample.cuh"
#include "../../codegen/cuda/kernels/NormChain.cuh"
#include "../../codegen/cuda/kernels/SkinnyChain.cuh"

namespace transom::cuda {

template <class Shape, class Prologue, class Epilogue>
__global__ void __launch_bounds__(Shape::threads)
    gemvEntry(typename Shape::Format::View weights, Prologue prologue, Epilogue epilogue, const int *rows) {
  gemv<Shape>(weights, prologue, epilogue, rows);
}
template <class Shape, class Prologue, class Epilogue>
__global__ void __launch_bounds__(Shape::threads)
    gemvStreamEntry(typename Shape::Format::View weights, Prologue prologue, Epilogue epilogue, const int *rows) {
  gemvStream<Shape>(weights, prologue, epilogue, rows);
}
template <class Shape, class Prologue, class Epilogue>
__global__ void __launch_bounds__(Shape::threads)
    gemvFmaEntry(const typename Shape::W *weights, Prologue prologue, Epilogue epilogue, const int *rows) {
  gemvFma<Shape>(weights, prologue, epilogue, rows);
}
template <class Shape, class Prologue, class Epilogue>
__global__ void __launch_bounds__(Shape::threads)
    gemvSimpleEntry(const typename Shape::W *weights, Prologue prologue, Epilogue epilogue, const int *rows) {
  gemvSimple<Shape>(weights, prologue, epilogue, rows);
}
template <class Shape, class Epilogue>
__global__ void __launch_bounds__(Shape::threads, 2)
    gemmSkinnyEntry(const typename Shape::T *weights, const typename Shape::T *x, Epilogue epilogue, int rows) {
  gemmSkinny<Shape>(weights, x, epilogue, rows);
}
/// planes: one after another, as runtime/format/Planes.h writes them.
template <class Format, class T>
__global__ void __launch_bounds__(256) unpackPlanesEntry(const uint8 *planes, T *y, int64 rows) {
  unpackPlanes<Format, T, 256>(PlanesAt<Format>::view(planes, rows), y, rows);
}
template <class Format, class Y>
__global__ void __launch_bounds__(128) embeddingPlanesEntry(const uint8 *planes, const int *indices, int tableRows, const float *places,
                                                            const int *positions, Y *y, LiveRows live) {
  embeddingPlanes<Format, float, Y, 128>(PlanesAt<Format>::view(planes, tableRows), indices, tableRows, places, positions, y, live);
}
template <class Format, int K>
__global__ void __launch_bounds__(128) repackEntry(const uint8 *blocks, Planes planes, int rows, int rowBytes) {
  repackRows<Format, K, 128>(blocks, planes, rows, rowBytes);
}
template <class Shape> __global__ void __launch_bounds__(Shape::threads) attendDecodeEntry(DecodeAttentionArguments a) {
  attendDecode<Shape>(a);
}
template <class Shape> __global__ void __launch_bounds__(Shape::threads) attendDecodeFmaEntry(DecodeAttentionArguments a) {
  attendDecodeFma<Shape>(a);
}
template <class Shape> __global__ void __launch_bounds__(Shape::threads) attendFmaEntry(const __grid_constant__ MmaAttentionArguments a) {
  attendFma<Shape>(a);
}
template <class T, class Y, int width, int threads>
__global__ void __launch_bounds__(threads)
    embeddingEntry(const T *table, const int *indices, int tableRows, const T *places, const int *positions, Y *y,
                   LiveRows live) {
  embedding<T, Y, width, threads>(table, indices, tableRows, places, positions, y, live);
}
template <class X, class S, class Y, int width, int warps, bool centred, int rows = 1>
__global__ void __launch_bounds__(32 * warps, rows > 1 ? 24 / warps : 1)
    normEntry(const X *x, const X *residual, const S *scale, const S *bias, float epsilon, X *sums, Y *y, LiveRows live) {
  normRows<X, S, Y, width, warps, centred, rows>(x, residual, scale, bias, epsilon, sums, y, live);
}
template <class X, class Y, int warps>
__global__ void __launch_bounds__(32 * warps) softmaxEntry(const X *x, Y *y, int width, LiveRows live) {
  softmaxRows<X, Y, warps>(x, y, width, live);
}
/// Of a region: x[row, i] squared, as an emitter would render it.
template <class X> struct SquareRegion {
  const X *x;
  int width;
  DEVICE float operator()(int64 row, int i) const { return (*this)(row * width + i); }
  DEVICE float operator()(int64 i) const { return toFloat(x[i]) * toFloat(x[i]); }
};
template <class X, class Reduction, int warps>
__global__ void __launch_bounds__(32 * warps) reduceEntry(SquareRegion<X> f, float *y, float factor, LiveRows live) {
  reduceRows<float, Reduction, warps>(f, y, f.width, factor, live);
}
template <class X> __global__ void __launch_bounds__(256) mapEntry(SquareRegion<X> f, X *y, int64 count, LiveRows live) {
  mapElements<X, 256>(f, y, count, f.width, live);
}
template <class Function> __global__ void __launch_bounds__(256) functionEntry(const float *x, float *y, int count) {
  for (int i = blockIdx.x * 256 + threadIdx.x; i < count; i += gridDim.x * 256)
    y[i] = Function::apply(x[i]);
}
template <int threads>
__global__ void __launch_bounds__(threads) packEntry(const uint4 *x, const int *index, uint4 *y, int width, LiveRows live) {
  packRows<threads>(x, index, y, width, live);
}
template <int threads>
__global__ void __launch_bounds__(threads) unpackEntry(const uint4 *x, const int *cumulative, uint4 *y, int seq, int width) {
  unpackRows<threads>(x, cumulative, y, seq, width);
}
template <int threads> __global__ void __launch_bounds__(threads) validTokensEntry(const int *mask, int batch, int seq, int *index, int *cumulative) {
  launchDependents();
  waitProducers();
  validTokens<threads>(batch, seq, [&](int64 i) { return mask[i] != 0; }, index, cumulative);
}
template <int threads> __global__ void __launch_bounds__(threads) tokensOfLengthsEntry(const int *lengths, int batch, int seq, int *index, int *cumulative) {
  launchDependents();
  waitProducers();
  tokensOfLengths<threads>(batch, seq, lengths, index, cumulative);
}
/// A block of one warp for each row; in place.
template <class T> __global__ void __launch_bounds__(32) cumulativeSumEntry(T *x, int length) {
  launchDependents();
  waitProducers();
  T *const row = x + (int64)blockIdx.x * length;
  cumulativeSum<T>(length, [&](int64 i) { return row[i]; }, [&](int64 i, T sum) { row[i] = sum; });
}
template <int threads> __global__ void __launch_bounds__(threads) advanceEntry(StepState s) { advanceStep(s); }

template <class Shape> __global__ void __launch_bounds__(Shape::threads) attendMmaEntry(const __grid_constant__ MmaAttentionArguments a) {
  attendMma<Shape>(a);
}
template <class Shape>
__global__ void __launch_bounds__(Shape::threads, 1)
    attendHopperEntry(const __grid_constant__ TensorMap query, const __grid_constant__ TensorMap keys, const __grid_constant__ TensorMap values,
                      HopperAttentionArguments a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  a.queryMap = &query, a.keyMap = &keys, a.valueMap = &values;
  attendHopper<Shape>(a);
#endif
}
template <class Shape, class Epilogue>
__global__ void __launch_bounds__(Shape::threads) gemmE4m3Entry(const E4m3 *x, const E4m3 *weights, Epilogue epilogue, int rows) {
#if __CUDA_ARCH__ >= 890
  gemmE4m3<Shape>(x, weights, epilogue, rows);
#endif
}
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define IN_CLUSTERS(blocks) __cluster_dims__(blocks, 1, 1)
#else
#define IN_CLUSTERS(blocks)
#endif
template <class Shape, class Epilogue>
__global__ void IN_CLUSTERS(Shape::cluster) __launch_bounds__(Shape::threads, 1)
    gemmHopperEntry(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap weights, const __grid_constant__ TensorMap residual,
                    Epilogue epilogue, const int *rows) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  gemmHopper<Shape>({&x, &weights, *rows, &residual}, epilogue);
#endif
}
template <class Shape, class Epilogue>
__global__ void IN_CLUSTERS(Shape::cluster) __launch_bounds__(Shape::threads, 1)
    gemmNormEntry(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap weights, const __grid_constant__ TensorMap residual,
                  Epilogue epilogue, const int *rows) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  gemmNorm<Shape>({&x, &weights, &residual, *rows}, epilogue);
#endif
}
template <class Shape, class Epilogue>
__global__ void IN_CLUSTERS(Shape::cluster) __launch_bounds__(Shape::threads, 3)
    skinnyChainEntry(const typename Shape::T *x, const typename Shape::T *first, Epilogue epilogue, typename Shape::Middle middle,
                     const typename Shape::T *second, float *parts, int rows) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  skinnyChain<Shape>(x, first, epilogue, middle, second, parts, rows);
#endif
}
template <class Shape, class Product, class End>
__global__ void IN_CLUSTERS(Shape::cluster) __launch_bounds__(Shape::threads, 2)
    chainToNormEntry(typename Product::Arguments from, const typename Shape::T *weights, typename End::Arguments to, ChainNext next, int rows) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  readParameters(to.norm.sums, to.norm.moments, to.norm.z, to.norm.scale, to.epilogue.bias, to.epilogue.residual, next.weights);
  chainToNorm<Shape, Product, End>(from, weights, to, next, rows);
#endif
}
template <class Shape, class Product, class Norm, class End>
__global__ void __launch_bounds__(Shape::threads, 2)
    chainFromNormEntry(typename Product::Arguments from, typename Norm::Arguments norm, const typename Shape::T *weights, typename End::Arguments to, ChainNext next, int rows) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  readParameters(to.y0, to.y1, to.y2, to.epilogue.bias, to.epilogue.residual, next.weights);
  chainFromNorm<Shape, Product, Norm, End>(from, norm, weights, to, next, rows);
#endif
}
template <int cluster> __global__ void IN_CLUSTERS(cluster) __launch_bounds__(1024) sampleEntry(SampleArguments a) { sampleRows<cluster>(a); }

} // namespace transom::cuda
