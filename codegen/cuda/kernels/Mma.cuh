// The tensor cores' m16n8k16 product of 16-bit operands with fp32 sums (sm_80 up), and how fragments lie in lanes.
//
// Lane = 4 g + t. A [16, 16]: a.x holds row g, columns 2t and 2t+1; a.y row g+8; a.z and a.w the same rows, columns
// 8 further. B [16, 8]: b0 holds rows 2t and 2t+1 of column g, b1 rows 8 further. Sums [16, 8]: c[0], c[1] are row g,
// columns 2t and 2t+1; c[2], c[3] row g+8. The inner dimension may come in any order, the same for A and B: so kernels
// feed it straight from 16-byte loads, where lane t of four holds eight neighbours of 32.
#pragma once

#include "Base.cuh"

namespace transom::cuda {

template <class T> DEVICE void mma(float (&c)[4], uint4 a, uint32 b0, uint32 b1);
template <> DEVICE void mma<BFloat>(float (&c)[4], uint4 a, uint32 b0, uint32 b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
#endif
}
template <> DEVICE void mma<Half>(float (&c)[4], uint4 a, uint32 b0, uint32 b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
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

/// 16 bytes from global to shared memory behind the thread's back; zeros where not `valid`.
DEVICE void copyAsync16(uint32 to, const void *from, bool valid) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
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
