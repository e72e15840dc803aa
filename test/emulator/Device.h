// CUDA C++ for g++: what kernels use of the language and its built-in functions, on the emulator's machine. Precedes the
// rewritten text of every kernel (Rewrite.h); inline PTX is in Ptx.h.
#pragma once

#include "Abi.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

#define __device__
#define __host__
#define __global__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__
#define __restrict__ __restrict
#define __align__(n) alignas(n)
#define __launch_bounds__(...)
/// Stands in a kernel's first statement, where the rewriter puts what precedes its name.
#define __cluster_dims__(blocks, ...) +(blocks)
#define __maxnreg__(...)
#define __grid_constant__

//===-- Vector types ------------------------------------------------------------------------------------------------===//

#define EMULATED_VECTORS(T, name, align2, align4)                                                                      \
  struct name##1 { T x; };                                                                                             \
  struct alignas(align2) name##2 { T x, y; };                                                                          \
  struct name##3 { T x, y, z; };                                                                                       \
  struct alignas(align4) name##4 { T x, y, z, w; };                                                                    \
  inline name##1 make_##name##1(T x) { return {x}; }                                                                   \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                                           \
  inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                                                   \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMULATED_VECTORS(signed char, char, 2, 4)
EMULATED_VECTORS(unsigned char, uchar, 2, 4)
EMULATED_VECTORS(short, short, 4, 8)
EMULATED_VECTORS(unsigned short, ushort, 4, 8)
EMULATED_VECTORS(int, int, 8, 16)
EMULATED_VECTORS(unsigned, uint, 8, 16)
EMULATED_VECTORS(float, float, 8, 16)
EMULATED_VECTORS(double, double, 16, 16)
EMULATED_VECTORS(long long, longlong, 16, 16)
EMULATED_VECTORS(unsigned long long, ulonglong, 16, 16)
#undef EMULATED_VECTORS

using dim3 = transom::emulator::Dim3;
using uint = unsigned;

namespace emulated {

using namespace transom::emulator;

inline Machine *machine = nullptr;

/// The block's variable of type T, a struct that the rewriter makes for each declaration of shared variables.
template <class T> T &sharedVariables() {
  static uint64_t launch = ~uint64_t(0);
  static uint32_t place = 0;
  if (launch != machine->launch) {
    place = machine->reserveShared(sizeof(T), alignof(T));
    launch = machine->launch;
  }
  return *reinterpret_cast<T *>(machine->shared + place);
}
inline void *dynamicShared() { return machine->shared; }
/// Of a kernel, 0 where it says nothing of clusters.
inline void formCluster(unsigned blocks) {
  if (blocks > 1)
    machine->hopper->formCluster(blocks);
}

template <class T, class V> T bitsAs(const V &v) {
  static_assert(sizeof(T) == sizeof(V));
  T t;
  std::memcpy(&t, &v, sizeof(T));
  return t;
}

template <class T> struct IsPointer { static constexpr bool value = false; };
template <class T> struct IsPointer<T *> { static constexpr bool value = true; };
/// An entry's call() and parameters from its type.
template <auto kernel> struct Caller;
template <class... P, void (*kernel)(P...)> struct Caller<kernel> {
  static constexpr uint32_t count = sizeof...(P);
  static constexpr Parameter parameters[] = {{sizeof(P), IsPointer<P>::value}..., {0, false}};
  template <int... i> struct Places {};
  template <int n, int... i> struct Count : Count<n - 1, n - 1, i...> {};
  template <int... i> struct Count<0, i...> { using type = Places<i...>; };
  template <int... i> static void expand(void **arguments, Places<i...>) { kernel(*static_cast<P *>(arguments[i])...); }
  static void call(void **arguments) { expand(arguments, typename Count<sizeof...(P)>::type{}); }
};

//===-- Warps -------------------------------------------------------------------------------------------------------===//

template <class T> struct Shuffled {
  T value;
  uint32_t from; ///< a lane
};
/// out = the value of lane `from`, which the lane has worked out; of a lane that takes no part, all bits set.
template <class T> void shuffleLanes(WarpExchange &warp) {
  for (int lane = 0; lane < 32; ++lane) {
    if (!(warp.taking >> lane & 1))
      continue;
    Shuffled<T> own, other;
    std::memcpy(&own, warp.lanes[lane].in, sizeof own);
    if (warp.taking >> own.from & 1) {
      std::memcpy(&other, warp.lanes[own.from].in, sizeof other);
      std::memcpy(warp.lanes[lane].out, &other.value, sizeof(T));
    } else {
      std::memset(warp.lanes[lane].out, 0xff, sizeof(T));
    }
  }
}
template <class T> T shuffle(uint32_t mask, T value, uint32_t from) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA shuffles numbers of 4 and 8 bytes");
  WarpExchange::Lane *lane = machine->ownLane();
  Shuffled<T> own{value, from};
  std::memcpy(lane->in, &own, sizeof own);
  machine->syncWarp(mask, shuffleLanes<T>);
  std::memcpy(&value, lane->out, sizeof value);
  return value;
}
/// To all that take part; others may not have read what an earlier collective gave them.
template <class T> void giveAll(WarpExchange &warp, const T &v) {
  for (int lane = 0; lane < 32; ++lane)
    if (warp.taking >> lane & 1)
      std::memcpy(warp.lanes[lane].out, &v, sizeof v);
}
inline void ballotLanes(WarpExchange &warp) {
  uint32_t votes = 0;
  for (int lane = 0; lane < 32; ++lane)
    if (int vote; warp.taking >> lane & 1) {
      std::memcpy(&vote, warp.lanes[lane].in, sizeof vote);
      votes |= (vote != 0 ? 1u : 0u) << lane;
    }
  uint32_t both[] = {votes, warp.taking};
  giveAll(warp, both);
}
/// The lanes whose vote is not 0, and all that vote.
inline uint2 ballot(uint32_t mask, int vote) {
  WarpExchange::Lane *lane = machine->ownLane();
  std::memcpy(lane->in, &vote, sizeof vote);
  machine->syncWarp(mask, ballotLanes);
  uint2 both;
  std::memcpy(&both, lane->out, sizeof both);
  return both;
}
inline void meetLanes(WarpExchange &) {}

/// `combine` over the lanes, from the lowest up.
template <class T, T (*combine)(T, T)> void reduceLanes(WarpExchange &warp) {
  T sum{};
  bool first = true;
  for (int lane = 0; lane < 32; ++lane)
    if (warp.taking >> lane & 1) {
      T v;
      std::memcpy(&v, warp.lanes[lane].in, sizeof v);
      sum = first ? v : combine(sum, v);
      first = false;
    }
  giveAll(warp, sum);
}
template <class T, T (*combine)(T, T)> T reduce(uint32_t mask, T v) {
  WarpExchange::Lane *lane = machine->ownLane();
  std::memcpy(lane->in, &v, sizeof v);
  machine->syncWarp(mask, reduceLanes<T, combine>);
  std::memcpy(&v, lane->out, sizeof v);
  return v;
}
template <class T> T addTwo(T a, T b) { return a + b; }
template <class T> T smaller(T a, T b) { return b < a ? b : a; }
template <class T> T larger(T a, T b) { return a < b ? b : a; }
template <class T> T andTwo(T a, T b) { return a & b; }
template <class T> T orTwo(T a, T b) { return a | b; }

/// Blocks run one after another and fibers only switch at collectives, so an atomic is an update.
template <class T, class F> T update(T *p, F f) {
  T old = *p;
  *p = f(old);
  return old;
}

} // namespace emulated

constexpr int warpSize = 32;

template <class T> T __shfl_sync(unsigned mask, T v, int from, int width = 32) {
  int lane = (int)::emulated::machine->thread->lane;
  return ::emulated::shuffle(mask, v, (uint32_t)((lane & ~(width - 1)) | (from & (width - 1))));
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int lanes, int width = 32) {
  int lane = (int)::emulated::machine->thread->lane, other = lane ^ lanes;
  return ::emulated::shuffle(mask, v, (uint32_t)(other < ((lane & ~(width - 1)) + width) ? other & 31 : lane));
}
template <class T> T __shfl_up_sync(unsigned mask, T v, unsigned apart, int width = 32) {
  int lane = (int)::emulated::machine->thread->lane, other = lane - (int)apart;
  return ::emulated::shuffle(mask, v, (uint32_t)(other >= (lane & ~(width - 1)) ? other : lane));
}
template <class T> T __shfl_down_sync(unsigned mask, T v, unsigned apart, int width = 32) {
  int lane = (int)::emulated::machine->thread->lane, other = lane + (int)apart;
  return ::emulated::shuffle(mask, v, (uint32_t)(other < (lane & ~(width - 1)) + width ? other : lane));
}
inline unsigned __ballot_sync(unsigned mask, int vote) { return ::emulated::ballot(mask, vote).x; }
inline int __any_sync(unsigned mask, int vote) { return ::emulated::ballot(mask, vote).x != 0; }
inline int __all_sync(unsigned mask, int vote) {
  uint2 both = ::emulated::ballot(mask, vote);
  return both.x == both.y;
}
inline unsigned __activemask() { return ::emulated::machine->activeLanes(); }
inline void __syncwarp(unsigned mask = ~0u) { ::emulated::machine->syncWarp(mask, ::emulated::meetLanes); }
inline unsigned __reduce_add_sync(unsigned mask, unsigned v) { return ::emulated::reduce<unsigned, ::emulated::addTwo<unsigned>>(mask, v); }
inline int __reduce_add_sync(unsigned mask, int v) { return ::emulated::reduce<int, ::emulated::addTwo<int>>(mask, v); }
inline unsigned __reduce_min_sync(unsigned mask, unsigned v) { return ::emulated::reduce<unsigned, ::emulated::smaller<unsigned>>(mask, v); }
inline int __reduce_min_sync(unsigned mask, int v) { return ::emulated::reduce<int, ::emulated::smaller<int>>(mask, v); }
inline unsigned __reduce_max_sync(unsigned mask, unsigned v) { return ::emulated::reduce<unsigned, ::emulated::larger<unsigned>>(mask, v); }
inline int __reduce_max_sync(unsigned mask, int v) { return ::emulated::reduce<int, ::emulated::larger<int>>(mask, v); }
inline unsigned __reduce_and_sync(unsigned mask, unsigned v) { return ::emulated::reduce<unsigned, ::emulated::andTwo<unsigned>>(mask, v); }
inline unsigned __reduce_or_sync(unsigned mask, unsigned v) { return ::emulated::reduce<unsigned, ::emulated::orTwo<unsigned>>(mask, v); }

inline void __syncthreads() { ::emulated::machine->syncBlock(0); }
inline int __syncthreads_count(int v) { return ::emulated::machine->syncBlock(v != 0); }
inline int __syncthreads_or(int v) { return ::emulated::machine->syncBlock(v != 0) != 0; }
inline int __syncthreads_and(int v) { return ::emulated::machine->syncBlock(v == 0) == 0; }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned) {}
inline void __trap() { ::emulated::machine->fail("the kernel executed a trap"); }

//===-- Atomics -----------------------------------------------------------------------------------------------------===//

#define EMULATED_ATOMIC(name, T, expression)                                                                           \
  inline T name(T *p, T v) { return ::emulated::update(p, [v](T old) -> T { return expression; }); }
#define EMULATED_ATOMICS(T)                                                                                            \
  EMULATED_ATOMIC(atomicAdd, T, old + v)                                                                               \
  EMULATED_ATOMIC(atomicMin, T, v < old ? v : old)                                                                     \
  EMULATED_ATOMIC(atomicMax, T, old < v ? v : old)                                                                     \
  EMULATED_ATOMIC(atomicAnd, T, old & v)                                                                               \
  EMULATED_ATOMIC(atomicOr, T, old | v)                                                                                \
  EMULATED_ATOMIC(atomicXor, T, old ^ v)                                                                               \
  EMULATED_ATOMIC(atomicExch, T, (old, v))                                                                             \
  inline T atomicCAS(T *p, T expected, T v) { return ::emulated::update(p, [=](T old) { return old == expected ? v : old; }); }
EMULATED_ATOMICS(int)
EMULATED_ATOMICS(unsigned)
EMULATED_ATOMICS(unsigned long long)
EMULATED_ATOMIC(atomicAdd, float, old + v)
EMULATED_ATOMIC(atomicAdd, double, old + v)
EMULATED_ATOMIC(atomicExch, float, (old, v))
EMULATED_ATOMIC(atomicSub, int, old - v)
EMULATED_ATOMIC(atomicSub, unsigned, old - v)
EMULATED_ATOMIC(atomicInc, unsigned, old >= v ? 0 : old + 1)
EMULATED_ATOMIC(atomicDec, unsigned, old == 0 || old > v ? v : old - 1)
#undef EMULATED_ATOMICS
#undef EMULATED_ATOMIC

//===-- Numbers -----------------------------------------------------------------------------------------------------===//

inline float __uint_as_float(unsigned v) { return ::emulated::bitsAs<float>(v); }
inline float __int_as_float(int v) { return ::emulated::bitsAs<float>(v); }
inline unsigned __float_as_uint(float v) { return ::emulated::bitsAs<unsigned>(v); }
inline int __float_as_int(float v) { return ::emulated::bitsAs<int>(v); }
inline long long __double_as_longlong(double v) { return ::emulated::bitsAs<long long>(v); }
inline double __longlong_as_double(long long v) { return ::emulated::bitsAs<double>(v); }
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
inline int __clz(int v) { return v == 0 ? 32 : __builtin_clz((unsigned)v); }
inline int __clzll(long long v) { return v == 0 ? 64 : __builtin_clzll((unsigned long long)v); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline int __ffsll(long long v) { return __builtin_ffsll(v); }
inline unsigned __brev(unsigned v) {
  unsigned r = 0;
  for (int i = 0; i < 32; ++i)
    r |= (v >> i & 1) << (31 - i);
  return r;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return (unsigned)((((unsigned long long)high << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return (unsigned)(((unsigned long long)high << 32 | low) >> (shift & 31));
}
/// Byte i of the result is the byte of (b, a) that nibble i of `pick` names; its bit 3 replicates the sign.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned pick) {
  unsigned long long both = (unsigned long long)b << 32 | a;
  unsigned r = 0;
  for (int i = 0; i < 4; ++i) {
    unsigned nibble = pick >> 4 * i & 15, byte = (unsigned)(both >> 8 * (nibble & 7)) & 255;
    r |= (nibble & 8 ? (byte & 128 ? 255u : 0u) : byte) << 8 * i;
  }
  return r;
}
template <class T> T __ldg(const T *p) { return *p; }
template <class T> T __ldcg(const T *p) { return *p; }
template <class T> T __ldcs(const T *p) { return *p; }
template <class T> void __stcg(T *p, T v) { *p = v; }
template <class T> void __stcs(T *p, T v) { *p = v; }

inline float rsqrtf(float v) { return (float)(1.0 / std::sqrt((double)v)); }
inline double rsqrt(double v) { return 1.0 / std::sqrt(v); }
inline void sincospif(float v, float *sine, float *cosine) {
  *sine = (float)std::sin((double)v * M_PI);
  *cosine = (float)std::cos((double)v * M_PI);
}
inline void sincospi(double v, double *sine, double *cosine) { *sine = std::sin(v * M_PI), *cosine = std::cos(v * M_PI); }
inline float __expf(float v) { return expf(v); }
inline float __logf(float v) { return logf(v); }
inline float __log2f(float v) { return log2f(v); }
inline float __powf(float a, float b) { return powf(a, b); }
inline float __sinf(float v) { return sinf(v); }
inline float __cosf(float v) { return cosf(v); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float v) { return sqrtf(v); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline float __frcp_rn(float v) { return 1.0f / v; }
inline float __saturatef(float v) { return v > 0.0f ? (v < 1.0f ? v : 1.0f) : 0.0f; }
inline int __float2int_rn(float v) { return (int)nearbyintf(v); }
inline int __float2int_rz(float v) { return (int)v; }
inline float __int2float_rn(int v) { return (float)v; }
inline float normcdff(float v) { return (float)(0.5 * std::erfc(-(double)v * M_SQRT1_2)); }
inline float exp10f(float v) { return (float)std::pow(10.0, (double)v); }
using std::isfinite;
using std::isinf;
using std::isnan;

#define EMULATED_MINMAX(T)                                                                                             \
  inline T min(T a, T b) { return b < a ? b : a; }                                                                     \
  inline T max(T a, T b) { return a < b ? b : a; }
EMULATED_MINMAX(int)
EMULATED_MINMAX(unsigned)
EMULATED_MINMAX(long)
EMULATED_MINMAX(unsigned long)
EMULATED_MINMAX(long long)
EMULATED_MINMAX(unsigned long long)
#undef EMULATED_MINMAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

/// An address in shared memory is its offset there.
inline unsigned long __cvta_generic_to_shared(const void *p) {
  return (unsigned long)((const char *)p - ::emulated::machine->shared);
}

#include "Ptx.h"
#include "PtxHopper.h"
