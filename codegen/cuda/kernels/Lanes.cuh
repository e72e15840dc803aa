// Several neighbouring numbers in a thread's registers, as generated kernels work on them: loads and stores as wide as they
// can be, conversion to and from fp32. Addresses are multiples of the lanes' bytes, 16 at most.
#pragma once

#include "Base.cuh"

namespace transom::cuda {

template <int count> struct Lanes { float v[count]; };

namespace detail {
template <int bytes> struct Word;
template <> struct Word<2> { using Type = uint16; };
template <> struct Word<4> { using Type = uint32; };
template <> struct Word<8> { using Type = uint2; };
template <> struct Word<16> { using Type = uint4; };
template <class T, int count> union Pieces {
  static constexpr int bytes = sizeof(T) * count, wide = bytes < 16 ? bytes : 16;
  using Wide = typename Word<wide>::Type;
  Wide words[bytes / wide];
  T numbers[count];
  DEVICE Pieces() {}
};
} // namespace detail

/// As they lie in memory: loaded before they are needed.
template <int count, class T> using Stored = detail::Pieces<T, count>;
template <int count, class T> DEVICE Stored<count, T> loadStored(const T *p) {
  Stored<count, T> stored;
  UNROLL
  for (int i = 0; i < stored.bytes / stored.wide; ++i) {
    static_assert(stored.wide == 16, "");
    uint4 &w = stored.words[i];
    asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w) : "l"((const uint4 *)p + i) : "memory");
  }
  return stored;
}
template <class T, int count> DEVICE Lanes<count> lanesOf(const detail::Pieces<T, count> &stored) {
  Lanes<count> lanes;
  UNROLL
  for (int i = 0; i < count; ++i)
    lanes.v[i] = toFloat(stored.numbers[i]);
  return lanes;
}
/// The same, which the compiler may move to where it is needed.
template <int count, class T> DEVICE Stored<count, T> storedAt(const T *p) {
  Stored<count, T> stored;
  UNROLL
  for (int i = 0; i < stored.bytes / stored.wide; ++i)
    stored.words[i] = ((const typename detail::Pieces<T, count>::Wide *)p)[i];
  return stored;
}
template <int count, class T> DEVICE Lanes<count> loadLanes(const T *p) { return lanesOf(storedAt<count>(p)); }
/// p: global memory.
template <int count, class T> DEVICE void storeLanes(T *p, const Lanes<count> &lanes) {
  using Pieces = detail::Pieces<T, count>;
  Pieces pieces;
  UNROLL
  for (int i = 0; i < count; ++i)
    pieces.numbers[i] = fromFloat<T>(lanes.v[i]);
  UNROLL
  for (int i = 0; i < Pieces::bytes / Pieces::wide; ++i)
    if constexpr (Pieces::wide == 16)
      storeGlobal((uint4 *)p + i, pieces.words[i]);
    else
      ((typename Pieces::Wide *)p)[i] = pieces.words[i];
}
template <int count> DEVICE Lanes<count> sameLanes(float v) {
  Lanes<count> lanes;
  UNROLL
  for (int i = 0; i < count; ++i)
    lanes.v[i] = v;
  return lanes;
}

} // namespace transom::cuda
