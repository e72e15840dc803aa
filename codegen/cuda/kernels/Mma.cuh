// The tensor cores' m16n8k16 product of 16-bit operands with fp32 sums, and how fragments lie in lanes. On sm_75 it is two of
// inner size 8 in fp16, and in bf16, which its tensor cores do not know, the same sums by FMA.
//
// Lane = 4 g + t. A [16, 16]: a.x holds row g, columns 2t and 2t+1; a.y row g+8; a.z and a.w the same rows, columns
// 8 further. B [16, 8]: b0 holds rows 2t and 2t+1 of column g, b1 rows 8 further. Sums [16, 8]: c[0], c[1] are row g,
// columns 2t and 2t+1; c[2], c[3] row g+8. The inner dimension may come in any order, the same for A and B: so kernels
// feed it straight from 16-byte loads, where lane t of four holds eight neighbours of 32.
#pragma once

#include "Base.cuh"

namespace transom::cuda {

#if __CUDA_ARCH__ < 800
/// c + A B: each lane fetches the rows and columns of its sums from the lanes that hold them. A function that is called: kernels have
/// up to a hundred products, and this is some 200 instructions.
inline __device__ __noinline__ float4 mmaByFma(float4 c, uint4 a, uint32 b0, uint32 b1) {
  float sums[4] = {c.x, c.y, c.z, c.w};
  const int lane = threadIdx.x % 32, row = lane / 4 * 4, column = lane % 4 * 8;
  UNROLL
  for (int t = 0; t < 4; ++t) {
    const uint32 low[2] = {__shfl_sync(~0u, a.x, row + t), __shfl_sync(~0u, a.z, row + t)};
    const uint32 high[2] = {__shfl_sync(~0u, a.y, row + t), __shfl_sync(~0u, a.w, row + t)};
    UNROLL
    for (int i = 0; i < 2; ++i) {
      const uint32 v[2] = {__shfl_sync(~0u, b0, column + 4 * i + t), __shfl_sync(~0u, b1, column + 4 * i + t)};
      UNROLL
      for (int k = 0; k < 2; ++k) {
        const float first = lowFloat<BFloat>(v[k]), second = highFloat<BFloat>(v[k]);
        sums[i] = fmaf(highFloat<BFloat>(low[k]), second, fmaf(lowFloat<BFloat>(low[k]), first, sums[i]));
        sums[2 + i] = fmaf(highFloat<BFloat>(high[k]), second, fmaf(lowFloat<BFloat>(high[k]), first, sums[2 + i]));
      }
    }
  }
  return make_float4(sums[0], sums[1], sums[2], sums[3]);
}
/// The product of inner size 8: rows g and g + 8 of A, columns 2t and 2t+1.
DEVICE void mma8(float (&c)[4], uint32 low, uint32 high, uint32 b) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(low), "r"(high), "r"(b));
}
#endif

template <class T> DEVICE void mma(float (&c)[4], uint4 a, uint32 b0, uint32 b1);
template <> DEVICE void mma<BFloat>(float (&c)[4], uint4 a, uint32 b0, uint32 b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
#else
  const float4 sums = mmaByFma(make_float4(c[0], c[1], c[2], c[3]), a, b0, b1);
  c[0] = sums.x, c[1] = sums.y, c[2] = sums.z, c[3] = sums.w;
#endif
}
template <> DEVICE void mma<Half>(float (&c)[4], uint4 a, uint32 b0, uint32 b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
#else
  mma8(c, a.x, a.y, b0);
  mma8(c, a.z, a.w, b1);
#endif
}

/// Two products over 32 inner elements: rows `low` (g) and `high` (g+8) of A, column g of B, eight neighbours each.
template <class T> DEVICE void mma32(float (&c)[4], uint4 low, uint4 high, uint4 b) {
  mma<T>(c, make_uint4(low.x, high.x, low.y, high.y), b.x, b.y);
  mma<T>(c, make_uint4(low.z, high.z, low.w, high.w), b.z, b.w);
}

/// Four 8x8 tiles of 16-bit numbers from shared memory; lane i gives the address of row i % 8 of tile i / 8.
DEVICE uint4 loadMatrices(uint32 address) {
  uint4 v;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(address));
  return v;
}
DEVICE uint4 loadMatricesTransposed(uint32 address) {
  uint4 v;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(address));
  return v;
}
DEVICE uint32 sharedAddress(const void *p) { return (uint32)__cvta_generic_to_shared(p); }
/// 16 bytes from shared memory and to it.
DEVICE uint4 loadShared(uint32 from) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(from) : "memory");
  return v;
}
DEVICE void storeShared(uint32 to, uint4 v) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

/// 16 bytes from global to shared memory behind the thread's back (on sm_75 at once); zeros where not `valid`.
DEVICE void copyAsync16(uint32 to, const void *from, bool valid) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
#else
  storeShared(to, valid ? *(const uint4 *)from : make_uint4(0, 0, 0, 0));
#endif
}
DEVICE void commitCopies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int pending> DEVICE void waitCopies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#endif
}

} // namespace transom::cuda
