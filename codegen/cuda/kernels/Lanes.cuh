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

template <int count, class T> DEVICE Lanes<count> loadLanes(const T *p) {
  detail::Pieces<T, count> pieces;
  UNROLL
  for (int i = 0; i < pieces.bytes / pieces.wide; ++i)
    pieces.words[i] = ((const typename detail::Pieces<T, count>::Wide *)p)[i];
  Lanes<count> lanes;
  UNROLL
  for (int i = 0; i < count; ++i)
    lanes.v[i] = toFloat(pieces.numbers[i]);
  return lanes;
}
template <int count, class T> DEVICE void storeLanes(T *p, const Lanes<count> &lanes) {
  detail::Pieces<T, count> pieces;
  UNROLL
  for (int i = 0; i < count; ++i)
    pieces.numbers[i] = fromFloat<T>(lanes.v[i]);
  UNROLL
  for (int i = 0; i < pieces.bytes / pieces.wide; ++i)
    ((typename detail::Pieces<T, count>::Wide *)p)[i] = pieces.words[i];
}
template <int count> DEVICE Lanes<count> sameLanes(float v) {
  Lanes<count> lanes;
  UNROLL
  for (int i = 0; i < count; ++i)
    lanes.v[i] = v;
  return lanes;
}

} // namespace transom::cuda
