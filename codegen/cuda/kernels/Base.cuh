// Element types, memory access and block-wide sums of all CUDA kernels. Needs no header of CUDA, the host or a standard
// library, so that NVRTC compiles kernels on machines without a toolkit.
#pragma once

#define DEVICE __device__ __forceinline__
#define UNROLL _Pragma("unroll")

namespace transom::cuda {

using int8 = signed char;
using uint8 = unsigned char;
using uint16 = unsigned short;
using uint32 = unsigned int;
using int64 = long long;
using uint64 = unsigned long long;

#ifdef __CUDA_ARCH__
constexpr int architecture = __CUDA_ARCH__;
#else
constexpr int architecture = 0;
#endif

//===-- Types of elements -------------------------------------------------------------------------------------------===//

struct Half { uint16 bits; };
struct BFloat { uint16 bits; };
struct E4m3 { uint8 bits; }; // runtime/format/E4m3.h

DEVICE float toFloat(float v) { return v; }
DEVICE float toFloat(Half v) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
  return f;
}
DEVICE float toFloat(BFloat v) { return __uint_as_float((uint32)v.bits << 16); }

template <class T> struct Type;
template <> struct Type<float> {
  static DEVICE float from(float v) { return v; }
};
template <> struct Type<Half> {
  static DEVICE Half from(float v) {
    Half h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(v));
    return h;
  }
  /// Two numbers in one register, `low` in the low half.
  static DEVICE uint32 pack(float low, float high) {
#if __CUDA_ARCH__ >= 800
    uint32 both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
#else
    return from(low).bits | (uint32)from(high).bits << 16;
#endif
  }
};
template <> struct Type<BFloat> {
  static DEVICE BFloat from(float v) {
#if __CUDA_ARCH__ >= 800
    BFloat h;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h.bits) : "f"(v));
    return h;
#else
    uint32 bits = __float_as_uint(v);
    return {(uint16)(v != v ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
#endif
  }
  static DEVICE uint32 pack(float low, float high) {
#if __CUDA_ARCH__ >= 800
    uint32 both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
#else
    return from(low).bits | (uint32)from(high).bits << 16;
#endif
  }
};
template <> struct Type<E4m3> {
  /// Two numbers, to nearest even and at most 448; `low` in the low byte. From compute capability 8.9 on.
  static DEVICE uint16 pack(float low, float high) {
    uint16 both = 0;
#if __CUDA_ARCH__ >= 890
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(both) : "f"(high), "f"(low));
#endif
    return both;
  }
};
template <class T> DEVICE T fromFloat(float v) { return Type<T>::from(v); }
/// v rounded to T.
template <class T> DEVICE float roundTo(float v) { return toFloat(fromFloat<T>(v)); }

/// Both halves of a register of two 16-bit numbers.
template <class T> DEVICE float lowFloat(uint32 both) { return toFloat(T{(uint16)both}); }
template <class T> DEVICE float highFloat(uint32 both) { return toFloat(T{(uint16)(both >> 16)}); }
template <> DEVICE float highFloat<BFloat>(uint32 both) { return __uint_as_float(both & 0xffff0000u); }

/// A CUtensorMap: what the copy engine must know about a tensor. Only as a __grid_constant__ parameter.
struct alignas(64) TensorMap { uint64 words[16]; };

//===-- Memory ------------------------------------------------------------------------------------------------------===//

/// 16 bytes that are read once: past L1. For constants only (weights), since it may run ahead of the producer's writes.
DEVICE uint4 loadStream(const void *address) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(address));
  return v;
}
/// 16 bytes to global memory by one instruction: where an index is a difference or a remainder, the compiler makes four of it (queries, keys
/// and values of XLM-R large by GemmHopper.cuh on an H200: 67% of the tensor cores' cycles, where a product whose stores stay whole has 77%).
DEVICE void storeGlobal(void *address, uint4 v) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(address), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
/// The same, where it is wanted, without a branch.
DEVICE void storeGlobalIf(bool wanted, void *address, uint4 v) {
  asm volatile("{\n"
               ".reg .pred wanted;\n"
               "setp.ne.b32 wanted, %5, 0;\n"
               "@wanted st.global.v4.u32 [%0], {%1, %2, %3, %4};\n"
               "}" ::"l"(address), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w), "r"((uint32)wanted) : "memory");
}
/// Bytes [address, address + bytes) towards L2, a hint. address and bytes: multiples of 16.
DEVICE void prefetchL2(const void *address, uint32 bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(address), "r"(bytes));
#elif defined(__CUDA_ARCH__)
  for (uint32 at = 0; at < bytes; at += 128)
    asm volatile("prefetch.global.L2 [%0];" ::"l"((const char *)address + at));
#endif
}

/// Eight neighbours as floats; the address is a multiple of 16 bytes (32 for fp32: two loads).
struct Eight { float v[8]; };
DEVICE Eight load8(const float *p) {
  float4 a = *(const float4 *)p, b = *(const float4 *)(p + 4);
  return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}
template <class T> DEVICE Eight unpack8(uint4 b) {
  return {{lowFloat<T>(b.x), highFloat<T>(b.x), lowFloat<T>(b.y), highFloat<T>(b.y), lowFloat<T>(b.z),
           highFloat<T>(b.z), lowFloat<T>(b.w), highFloat<T>(b.w)}};
}
template <class T> DEVICE Eight load8(const T *p) { return unpack8<T>(*(const uint4 *)p); }
/// Eight neighbours as they come from memory.
template <class T> struct Packed8 {
  uint4 bits;
  static DEVICE Packed8 load(const T *p) { return {*(const uint4 *)p}; }
  DEVICE Eight floats() const { return unpack8<T>(bits); }
};
template <> struct Packed8<float> {
  Eight values;
  static DEVICE Packed8 load(const float *p) { return {load8(p)}; }
  DEVICE Eight floats() const { return values; }
};
DEVICE void store8(float *p, const Eight &e) {
  *(float4 *)p = make_float4(e.v[0], e.v[1], e.v[2], e.v[3]);
  *(float4 *)(p + 4) = make_float4(e.v[4], e.v[5], e.v[6], e.v[7]);
}
template <class T> DEVICE void store8(T *p, const Eight &e) {
  *(uint4 *)p = make_uint4(Type<T>::pack(e.v[0], e.v[1]), Type<T>::pack(e.v[2], e.v[3]),
                           Type<T>::pack(e.v[4], e.v[5]), Type<T>::pack(e.v[6], e.v[7]));
}

/// Loads that precede it in the text are under way before what stands behind them: a branch that is never taken, without which ptxas takes them in
/// turn with what is computed of them, to save registers (seen in SASS: three of sixteen addends). blocks: of a dimension of the grid, each
/// time another one, since a branch on the same is folded.
DEVICE void keepAhead(uint32 blocks) {
  if (blocks == 0)
    asm volatile("trap;");
}

//===-- Programmatic dependent launch -------------------------------------------------------------------------------===//
// Every kernel of a decode step lets its successor start at once, loads constants, and only then waits: what it reads
// of predecessors, and everything it writes, comes after the wait.

DEVICE void launchDependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
DEVICE void waitProducers() {
#if __CUDA_ARCH__ >= 900
  // Never true. Without a branch, ptxas schedules the wait before loads that precede it in the text: a prefetch of
  // constants would start after the predecessor's end (seen in SASS; 5.0 instead of 3.3 us for 8 MB of weights).
  keepAhead(gridDim.z);
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

//===-- Sums and maxima over warps and blocks -----------------------------------------------------------------------===//

DEVICE int laneId() { return threadIdx.x & 31; }
DEVICE int warpId() { return threadIdx.x >> 5; }

DEVICE float infinity() { return __int_as_float(0x7f800000); }
DEVICE float warpSum(float v) {
  UNROLL
  for (int apart = 16; apart > 0; apart >>= 1)
    v += __shfl_xor_sync(~0u, v, apart);
  return v;
}
/// The larger, NaN if either is.
DEVICE float maxNan(float a, float b) { return a > b || a != a ? a : b; }
DEVICE float warpMax(float v) {
  UNROLL
  for (int apart = 16; apart > 0; apart >>= 1)
    v = maxNan(v, __shfl_xor_sync(~0u, v, apart));
  return v;
}
/// Of this lane and those below.
template <class T> DEVICE T sumUpTo(T v) {
  UNROLL
  for (int apart = 1; apart < 32; apart <<= 1) {
    const T lower = __shfl_up_sync(~0u, v, apart);
    v += laneId() >= apart ? lower : T(0);
  }
  return v;
}
/// Of each of a thread's numbers what `both` makes of those of all warps, in all threads and in a fixed order. `scratch`: a float per warp for each
/// number; two barriers.
template <int warps, int count, class OfWarp, class Both> DEVICE void overBlock(float (&v)[count], float (*scratch)[warps], float first, OfWarp ofWarp, Both both) {
  UNROLL
  for (int i = 0; i < count; ++i)
    v[i] = ofWarp(v[i]);
  __syncthreads();
  if (laneId() == 0)
    UNROLL
    for (int i = 0; i < count; ++i)
      scratch[i][warpId()] = v[i];
  __syncthreads();
  UNROLL
  for (int i = 0; i < count; ++i) {
    v[i] = first;
    UNROLL
    for (int warp = 0; warp < warps; ++warp)
      v[i] = both(v[i], scratch[i][warp]);
  }
}
template <int warps, int count> DEVICE void blockSums(float (&v)[count], float (*scratch)[warps]) {
  overBlock(v, scratch, 0.0f, warpSum, [](float a, float b) { return a + b; });
}
template <int warps, int count> DEVICE void blockMaxima(float (&v)[count], float (*scratch)[warps]) { overBlock(v, scratch, -infinity(), warpMax, maxNan); }
/// Of one number. `scratch`: a float per warp.
template <int warps> DEVICE float blockSum(float v, float *scratch) {
  float one[1] = {v};
  blockSums<warps>(one, (float(*)[warps])scratch);
  return one[0];
}
template <int warps> DEVICE float blockMax(float v, float *scratch) {
  float one[1] = {v};
  blockMaxima<warps>(one, (float(*)[warps])scratch);
  return one[0];
}

//===-- Scalars -----------------------------------------------------------------------------------------------------===//

constexpr float log2E = 1.4426950408889634f;
/// 2^x to 2 units in the last place, denormals as zero.
DEVICE float exp2Fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
DEVICE float silu(float x) { return x / (1.0f + exp2Fast(-x * log2E)); }
/// 1 + erf(y), without its cancellation for y < 0: erfc(|y|) is 2 to the power of a polynomial, fitted so that y erfc(y) is within 1.5e-7.
DEVICE float onePlusErf(float y) {
  float a = fabsf(y), p = -2.7046367e-5f;
  p = fmaf(p, a, 2.8378469e-4f), p = fmaf(p, a, -9.1569935e-4f), p = fmaf(p, a, -1.8291034e-3f), p = fmaf(p, a, 2.9333541e-2f);
  p = fmaf(p, a, -1.4909827e-1f), p = fmaf(p, a, -9.1823089e-1f), p = fmaf(p, a, -1.6279342f), p = fmaf(p, a, 1.1324883e-6f);
  float complement = exp2Fast(p);
  return y < 0.0f ? complement : 2.0f - complement;
}
/// 1 + tanh(y), without its cancellation for y < 0.
DEVICE float onePlusTanh(float y) {
  float inverse;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(1.0f + exp2Fast(-2.0f * log2E * y)));
  return 2.0f * inverse;
}
DEVICE float geluErf(float x) { return 0.5f * x * onePlusErf(x * 0.70710678f); }
DEVICE float geluTanh(float x) { return 0.5f * x * onePlusTanh(0.79788456f * (x + 0.044715f * x * x * x)); }
/// GELU (erf) for a result that is kept as T: max(x, 0) - |x| Phi(-|x|), where Phi is 2 to the power of a polynomial. Its error is at most 2^-13.5
/// of the result, a third of half a unit of fp16, and 2^-27.5 where the result is below 2^-14: less exact than bf16 there. For E4M3 2^-7.8, an eighth of
/// half a unit. Of +infinity NaN.
template <class T> DEVICE float geluErfFor(float x) {
  const float a = fabsf(x);
  float p;
  if constexpr (sizeof(T) == 1) {
    p = fmaf(-1.5529904e-2f, a, -5.3480029e-1f), p = fmaf(p, a, -1.0972135f), p = fmaf(p, a, -1.0061893f);
  } else {
    p = fmaf(-3.2034982e-4f, a, 5.8253631e-3f), p = fmaf(p, a, -4.8228897e-2f), p = fmaf(p, a, -4.6413681e-1f);
    p = fmaf(p, a, -1.1491635f), p = fmaf(p, a, -1.0001235f);
  }
  return fmaf(-a, exp2Fast(p), fmaxf(x, 0.0f));
}
template <> DEVICE float geluErfFor<float>(float x) { return geluErf(x); }

__host__ __device__ constexpr int ceilDiv(int a, int b) { return (a + b - 1) / b; }
__host__ __device__ constexpr int minInt(int a, int b) { return a < b ? a : b; }

/// Angle of rotary pair `turns` (a frequency over 2 pi) at a position: reduced in double, so exact at any position.
struct SinCos { float sine, cosine; };
DEVICE SinCos rotaryAngle(int position, double turns) {
  double angle = position * turns;
  SinCos both;
  sincospif(2.0f * (float)(angle - rint(angle)), &both.sine, &both.cosine);
  return both;
}

} // namespace transom::cuda
