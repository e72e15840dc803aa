// Inline PTX of the kernels, one function per instruction: the rewriter turns `asm("add.f32 %0, %1, %2;" ...)` into
// ptx_add_f32(...) with the operands in the order of the text, braces and brackets dropped, outputs by reference. An
// instruction that is missing here fails to compile under that name. After the PTX ISA's chapters of the same names.
#pragma once

namespace emulated {

/// Round to nearest even, NaN to the canonical one: what the hardware's conversions do.
inline unsigned short bfloatBits(float v) {
  unsigned bits = bitsAs<unsigned>(v);
  return v != v ? 0x7fff : (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float fromBFloat(unsigned short h) { return bitsAs<float>((unsigned)h << 16); }
inline unsigned short halfBits(float v) {
  unsigned bits = bitsAs<unsigned>(v), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
  if (size > 0x7f800000u)
    return 0x7fff;
  if (size >= 0x477ff000u) // 65520: rounds to infinity
    return (unsigned short)(sign | 0x7c00);
  if (size < 0x38800000u) { // below 2^-14: multiples of 2^-24, the sum rounds
    float shifted = bitsAs<float>(size) + 0.5f;
    return (unsigned short)(sign | (bitsAs<unsigned>(shifted) - 0x3f000000u));
  }
  unsigned rounded = size + 0xfff + (size >> 13 & 1);
  return (unsigned short)(sign | ((rounded - 0x38000000u) >> 13));
}
inline float fromHalf(unsigned short h) {
  float v = bitsAs<float>((unsigned)(h & 0x7fff) << 13) * 0x1p112f; // exact, denormals too
  if ((h & 0x7c00) == 0x7c00)
    v = bitsAs<float>((unsigned)(h & 0x3ff) << 13 | 0x7f800000u);
  return h & 0x8000 ? -v : v;
}
inline unsigned packed(unsigned short low, unsigned short high) { return low | (unsigned)high << 16; }
inline float flushed(float v) { return std::fabs(v) < 0x1p-126f ? std::copysign(0.0f, v) : v; }

//===-- Conversions and arithmetic ----------------------------------------------------------------------------------===//

inline void ptx_cvt_f32_f16(float &d, unsigned short a) { d = fromHalf(a); }
inline void ptx_cvt_f32_bf16(float &d, unsigned short a) { d = fromBFloat(a); }
inline void ptx_cvt_rn_f16_f32(unsigned short &d, float a) { d = halfBits(a); }
inline void ptx_cvt_rn_bf16_f32(unsigned short &d, float a) { d = bfloatBits(a); }
inline void ptx_cvt_rn_f16x2_f32(unsigned &d, float high, float low) { d = packed(halfBits(low), halfBits(high)); }
inline void ptx_cvt_rn_bf16x2_f32(unsigned &d, float high, float low) { d = packed(bfloatBits(low), bfloatBits(high)); }

/// OCP's E4M3, to nearest even: no infinities, the largest is 448.
inline unsigned e4m3Bits(float v) {
  unsigned sign = bitsAs<unsigned>(v) >> 24 & 0x80u;
  float size = std::fmin(std::fabs(v), 448.0f);
  if (v != v)
    return sign | 0x7f;
  if (size < 0x1p-6f)
    return sign | (unsigned)std::nearbyint(size * 0x1p9f);
  int exponent;
  float mantissa = std::frexp(size, &exponent);
  return sign | (((unsigned)exponent + 6) << 3) + (unsigned)std::nearbyint(mantissa * 16) - 8;
}
inline void ptx_cvt_rn_satfinite_e4m3x2_f32(unsigned short &d, float high, float low) { d = (unsigned short)(e4m3Bits(low) | e4m3Bits(high) << 8); }

/// f over both halves; the products of 8-bit mantissas are exact in float, sums in double.
template <class F> unsigned eachBFloat(unsigned a, unsigned b, unsigned c, F f) {
  auto one = [&](int shift) {
    auto part = [&](unsigned v) { return (double)fromBFloat((unsigned short)(v >> shift)); };
    return bfloatBits((float)f(part(a), part(b), part(c)));
  };
  return packed(one(0), one(16));
}
template <class F> unsigned eachHalf(unsigned a, unsigned b, unsigned c, F f) {
  auto one = [&](int shift) {
    auto part = [&](unsigned v) { return (double)fromHalf((unsigned short)(v >> shift)); };
    return halfBits((float)f(part(a), part(b), part(c)));
  };
  return packed(one(0), one(16));
}
inline void ptx_fma_rn_bf16x2(unsigned &d, unsigned a, unsigned b, unsigned c) {
  d = eachBFloat(a, b, c, [](double x, double y, double z) { return x * y + z; });
}
inline void ptx_add_rn_bf16x2(unsigned &d, unsigned a, unsigned b) {
  d = eachBFloat(a, b, 0, [](double x, double y, double) { return x + y; });
}
inline void ptx_sub_rn_bf16x2(unsigned &d, unsigned a, unsigned b) {
  d = eachBFloat(a, b, 0, [](double x, double y, double) { return x - y; });
}
inline void ptx_mul_rn_bf16x2(unsigned &d, unsigned a, unsigned b) {
  d = eachBFloat(a, b, 0, [](double x, double y, double) { return x * y; });
}
inline void ptx_fma_rn_f16x2(unsigned &d, unsigned a, unsigned b, unsigned c) {
  d = eachHalf(a, b, c, [](double x, double y, double z) { return x * y + z; });
}
inline void ptx_add_rn_f16x2(unsigned &d, unsigned a, unsigned b) {
  d = eachHalf(a, b, 0, [](double x, double y, double) { return x + y; });
}
inline void ptx_sub_rn_f16x2(unsigned &d, unsigned a, unsigned b) {
  d = eachHalf(a, b, 0, [](double x, double y, double) { return x - y; });
}
inline void ptx_mul_rn_f16x2(unsigned &d, unsigned a, unsigned b) {
  d = eachHalf(a, b, 0, [](double x, double y, double) { return x * y; });
}
inline void ptx_ex2_approx_ftz_f32(float &d, float a) { d = flushed(exp2f(flushed(a))); }
inline void ptx_max_NaN_f32(float &d, float a, float b) { d = a != a || b != b ? __builtin_nanf("") : a > b ? a : b; }
inline void ptx_ex2_approx_f32(float &d, float a) { d = exp2f(a); }
inline void ptx_lg2_approx_ftz_f32(float &d, float a) { d = flushed(log2f(flushed(a))); }
inline void ptx_rcp_approx_ftz_f32(float &d, float a) { d = flushed(1.0f / flushed(a)); }
inline void ptx_rsqrt_approx_ftz_f32(float &d, float a) { d = rsqrtf(flushed(a)); }
inline void ptx_tanh_approx_f32(float &d, float a) { d = tanhf(a); }

/// lop3.b32: bit i of the table is the result where (a, b, c) are the bits of i.
inline void ptx_lop3_b32(unsigned &d, unsigned a, unsigned b, unsigned c, unsigned table) {
  d = 0;
  for (unsigned i = 0; i < 8; ++i)
    if (table >> i & 1)
      d |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
}
inline void ptx_prmt_b32(unsigned &d, unsigned a, unsigned b, unsigned pick) { d = __byte_perm(a, b, pick); }

//===-- Memory ------------------------------------------------------------------------------------------------------===//

inline void loadFour(unsigned &x, unsigned &y, unsigned &z, unsigned &w, const void *from) {
  if ((uintptr_t)from % 16 != 0)
    machine->fail("a load of 16 bytes is not aligned");
  unsigned v[4];
  __builtin_memcpy(v, from, sizeof v);
  x = v[0], y = v[1], z = v[2], w = v[3];
}
inline void ptx_ld_global_nc_L1_no_allocate_v4_u32(unsigned &x, unsigned &y, unsigned &z, unsigned &w, const void *from) {
  loadFour(x, y, z, w, from);
}
inline void ptx_ld_global_v4_u32(unsigned &x, unsigned &y, unsigned &z, unsigned &w, const void *from) { loadFour(x, y, z, w, from); }
inline void ptx_st_global_v4_u32(void *to, unsigned x, unsigned y, unsigned z, unsigned w) {
  if ((uintptr_t)to % 16 != 0)
    machine->fail("a store of 16 bytes is not aligned");
  const unsigned v[4] = {x, y, z, w};
  __builtin_memcpy(to, v, sizeof v);
}
inline void ptx_ld_global_nc_v4_u32(unsigned &x, unsigned &y, unsigned &z, unsigned &w, const void *from) {
  loadFour(x, y, z, w, from);
}
inline void ptx_ld_global_nc_L1_no_allocate_L2_256B_v4_u32(unsigned &x, unsigned &y, unsigned &z, unsigned &w, const void *from) {
  loadFour(x, y, z, w, from);
}
inline void ptx_prefetch_global_L2(const void *) {}
inline void ptx_prefetch_global_L1(const void *) {}
inline void ptx_cp_async_bulk_prefetch_L2_global(const void *from, unsigned bytes) {
  if ((uintptr_t)from % 16 != 0 || bytes % 16 != 0)
    machine->fail("a bulk prefetch is not a multiple of 16 bytes");
}
/// Copies at once; the rest of `size` is zeros.
inline void ptx_cp_async_cg_shared_global(unsigned to, const void *from, int size, int given) {
  char *at = machine->sharedAt(to, (uint32_t)size);
  if (to % (unsigned)size != 0 || (uintptr_t)from % (unsigned)size != 0 || given > size)
    machine->fail("cp.async is not aligned, or copies more than its size");
  if (given > 0)
    __builtin_memcpy(at, from, (size_t)given);
  if (given < size)
    __builtin_memset(at + given, 0, (size_t)(size - given));
}
inline void ptx_cp_async_cg_shared_global(unsigned to, const void *from, int size) {
  ptx_cp_async_cg_shared_global(to, from, size, size);
}
inline void ptx_cp_async_ca_shared_global(unsigned to, const void *from, int size, int given) {
  ptx_cp_async_cg_shared_global(to, from, size, given);
}
inline void ptx_cp_async_ca_shared_global(unsigned to, const void *from, int size) {
  ptx_cp_async_cg_shared_global(to, from, size, size);
}
inline void ptx_cp_async_commit_group() {}
inline void ptx_cp_async_wait_group(int) {}
inline void ptx_cp_async_wait_all() {}

//===-- Warps and grids ---------------------------------------------------------------------------------------------===//

inline void multiply(WarpFunction function, float &d0, float &d1, float &d2, float &d3, unsigned a0, unsigned a1, unsigned a2,
                     unsigned a3, unsigned b0, unsigned b1, float c0, float c1, float c2, float c3) {
  WarpExchange::Lane *lane = machine->ownLane();
  unsigned in[] = {a0, a1, a2, a3, b0, b1, bitsAs<unsigned>(c0), bitsAs<unsigned>(c1), bitsAs<unsigned>(c2), bitsAs<unsigned>(c3)};
  __builtin_memcpy(lane->in, in, sizeof in);
  machine->syncWarp(~0u, function);
  float out[4];
  __builtin_memcpy(out, lane->out, sizeof out);
  d0 = out[0], d1 = out[1], d2 = out[2], d3 = out[3];
}
inline void ptx_mma_sync_aligned_m16n8k16_row_col_f32_f16_f16_f32(float &d0, float &d1, float &d2, float &d3, unsigned a0, unsigned a1,
                                                                  unsigned a2, unsigned a3, unsigned b0, unsigned b1, float c0,
                                                                  float c1, float c2, float c3) {
  multiply(machine->mmaHalf, d0, d1, d2, d3, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3);
}
inline void ptx_mma_sync_aligned_m16n8k16_row_col_f32_bf16_bf16_f32(float &d0, float &d1, float &d2, float &d3, unsigned a0,
                                                                    unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1,
                                                                    float c0, float c1, float c2, float c3) {
  multiply(machine->mmaBFloat, d0, d1, d2, d3, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3);
}
inline void ptx_mma_sync_aligned_m16n8k32_row_col_f32_e4m3_e4m3_f32(float &d0, float &d1, float &d2, float &d3, unsigned a0, unsigned a1,
                                                                    unsigned a2, unsigned a3, unsigned b0, unsigned b1, float c0,
                                                                    float c1, float c2, float c3) {
  multiply(machine->mmaE4m3, d0, d1, d2, d3, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3);
}
/// Inner size 8: the first half of 16.
inline void ptx_mma_sync_aligned_m16n8k8_row_col_f32_f16_f16_f32(float &d0, float &d1, float &d2, float &d3, unsigned a0, unsigned a1,
                                                                 unsigned b0, float c0, float c1, float c2, float c3) {
  multiply(machine->mmaHalf, d0, d1, d2, d3, a0, a1, 0, 0, b0, 0, c0, c1, c2, c3);
}
inline void loadTiles(WarpFunction function, unsigned &x, unsigned &y, unsigned &z, unsigned &w, unsigned address) {
  WarpExchange::Lane *lane = machine->ownLane();
  __builtin_memcpy(lane->in, &address, sizeof address);
  machine->syncWarp(~0u, function);
  unsigned out[4];
  __builtin_memcpy(out, lane->out, sizeof out);
  x = out[0], y = out[1], z = out[2], w = out[3];
}
inline void ptx_ldmatrix_sync_aligned_m8n8_x4_shared_b16(unsigned &x, unsigned &y, unsigned &z, unsigned &w, unsigned address) {
  loadTiles(machine->loadMatrices, x, y, z, w, address);
}
inline void ptx_ldmatrix_sync_aligned_m8n8_x4_trans_shared_b16(unsigned &x, unsigned &y, unsigned &z, unsigned &w, unsigned address) {
  loadTiles(machine->loadMatricesTransposed, x, y, z, w, address);
}

inline void ptx_griddepcontrol_launch_dependents() {}
inline void ptx_griddepcontrol_wait() {}
inline void ptx_trap() { machine->fail("the kernel executed a trap"); }

} // namespace emulated
