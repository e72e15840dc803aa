// Rows in E4M3 with a scale each: how they are stored, where the scales lie, and the warpgroup's product of 8-bit operands (sm_90a).
//
// [rows, width] numbers of 8 bits, then [rows] scales in fp32; runtime/format/E4m3.h says what a scale is and how numbers are rounded.
//
// The tensor cores of Hopper add products of 8-bit numbers with fewer bits than fp32 has: 13 behind the point of the largest
// (DeepSeek-V3 Technical Report, 3.3.2, which adds every 128 of K to sums in fp32 instead). Here sums stay in the tensor cores, as in
// cuBLASLt's fast accumulation: two tiles' sums would take all registers, and what is lost is below what rounding the operands loses.
#pragma once

#include "Lanes.cuh"
#include "Wgmma.cuh"

namespace transom::cuda {

/// Numbers that were multiplied by 1 / scale.
template <int count> DEVICE void storeLanes(E4m3 *p, const Lanes<count> &lanes) {
  static_assert(count % 2 == 0, "numbers of 8 bits are stored in pairs");
  detail::Pieces<uint16, count / 2> pieces;
  UNROLL
  for (int i = 0; i < count / 2; ++i)
    pieces.numbers[i] = Type<E4m3>::pack(lanes.v[2 * i], lanes.v[2 * i + 1]);
  UNROLL
  for (int i = 0; i < pieces.bytes / pieces.wide; ++i)
    ((typename detail::Pieces<uint16, count / 2>::Wide *)p)[i] = pieces.words[i];
}

template <int count> DEVICE Lanes<count> scaledLanes(const Lanes<count> &lanes, float factor) {
  Lanes<count> scaled;
  UNROLL
  for (int i = 0; i < count; ++i)
    scaled.v[i] = lanes.v[i] * factor;
  return scaled;
}

/// Of a row whose largest magnitude is `top`.
DEVICE float e4m3Scale(float top) {
  const float scale = top * (1.0f / 448.0f), least = 0x1p-120f;
  return scale < least ? least : scale;
}
/// Behind `rows` rows of `width`, a multiple of 4.
DEVICE float *scalesOf(E4m3 *p, int64 rows, int width) { return (float *)(p + rows * width); }
DEVICE const float *scalesOf(const E4m3 *p, int64 rows, int width) { return (const float *)(p + rows * width); }

/// The shape of an attention kernel that rounds its result to E4M3, by one scale for all rows.
template <class Shape> struct RoundedResult : Shape { using Result = E4m3; };

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// c = (add ? c : 0) + a b, a [64, 32] and b [128, 32] in shared memory.
template <> struct Wgmma<E4m3, 128> {
  static DEVICE void inShared(float (&c)[64], uint64 a, uint64 b, int add) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
      "}, %64, %65, p, 1, 1; }"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]), "+f"(c[4]), "+f"(c[5]), "+f"(c[6]), "+f"(c[7]),
        "+f"(c[8]), "+f"(c[9]), "+f"(c[10]), "+f"(c[11]), "+f"(c[12]), "+f"(c[13]), "+f"(c[14]), "+f"(c[15]),
        "+f"(c[16]), "+f"(c[17]), "+f"(c[18]), "+f"(c[19]), "+f"(c[20]), "+f"(c[21]), "+f"(c[22]), "+f"(c[23]),
        "+f"(c[24]), "+f"(c[25]), "+f"(c[26]), "+f"(c[27]), "+f"(c[28]), "+f"(c[29]), "+f"(c[30]), "+f"(c[31]),
        "+f"(c[32]), "+f"(c[33]), "+f"(c[34]), "+f"(c[35]), "+f"(c[36]), "+f"(c[37]), "+f"(c[38]), "+f"(c[39]),
        "+f"(c[40]), "+f"(c[41]), "+f"(c[42]), "+f"(c[43]), "+f"(c[44]), "+f"(c[45]), "+f"(c[46]), "+f"(c[47]),
        "+f"(c[48]), "+f"(c[49]), "+f"(c[50]), "+f"(c[51]), "+f"(c[52]), "+f"(c[53]), "+f"(c[54]), "+f"(c[55]),
        "+f"(c[56]), "+f"(c[57]), "+f"(c[58]), "+f"(c[59]), "+f"(c[60]), "+f"(c[61]), "+f"(c[62]), "+f"(c[63])
      : "l"(a), "l"(b), "r"(add));
  }
};

#endif

} // namespace transom::cuda
