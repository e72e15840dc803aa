// Inline PTX of sm_90: as Ptx.h, for the machine's Hopper.
#pragma once

namespace emulated {

//===-- Registers and predicates ------------------------------------------------------------------------------------===//

inline void ptx_setp_ne_b32(bool &d, unsigned a, unsigned b) { d = a != b; }

//===-- Shared memory -----------------------------------------------------------------------------------------------===//

template <class T> T &sharedNumber(unsigned address) {
  if (address % sizeof(T) != 0)
    machine->fail("an access of shared memory is not aligned");
  return *reinterpret_cast<T *>(machine->sharedAt(address, sizeof(T)));
}
/// T: any number of 32 bits.
template <class T> void ptx_ld_shared_u32(T &d, unsigned a) { d = bitsAs<T>(sharedNumber<unsigned>(a)); }
inline void ptx_st_shared_u16(unsigned a, unsigned short v) { sharedNumber<unsigned short>(a) = v; }
inline void ptx_st_shared_u32(unsigned a, unsigned v) { sharedNumber<unsigned>(a) = v; }
template <class T> void ptx_ld_shared_v4_u32(T &x, T &y, T &z, T &w, unsigned a) {
  uint4 v = sharedNumber<uint4>(a);
  x = bitsAs<T>(v.x), y = bitsAs<T>(v.y), z = bitsAs<T>(v.z), w = bitsAs<T>(v.w);
}
inline void ptx_st_shared_v4_u32(unsigned a, unsigned x, unsigned y, unsigned z, unsigned w) { sharedNumber<uint4>(a) = {x, y, z, w}; }
inline void ptx_stmatrix_sync_aligned_m8n8_x4_shared_b16(unsigned address, unsigned x, unsigned y, unsigned z, unsigned w) {
  const unsigned in[5] = {address, x, y, z, w};
  __builtin_memcpy(machine->ownLane()->in, in, sizeof in);
  machine->syncWarp(~0u, machine->storeMatrices);
}

//===-- Barriers ----------------------------------------------------------------------------------------------------===//

inline void ptx_mbarrier_init_shared_b64(unsigned barrier, unsigned arrivals) { machine->hopper->initBarrier(barrier, arrivals); }
inline void ptx_mbarrier_inval_shared_b64(unsigned barrier) { machine->hopper->endBarrier(barrier); }
inline void ptx_mbarrier_arrive_shared_b64(unsigned barrier, unsigned arrivals = 1) { machine->hopper->arrive(barrier, arrivals, 0); }
inline void ptx_mbarrier_arrive_expect_tx_shared_b64(unsigned barrier, unsigned bytes) { machine->hopper->arrive(barrier, 1, bytes); }
inline void ptx_mbarrier_expect_tx_relaxed_cta_shared_b64(unsigned barrier, unsigned bytes) { machine->hopper->arrive(barrier, 0, bytes); }
inline void ptx_mbarrier_arrive_release_cluster_shared_cluster_b64(unsigned barrier) { machine->hopper->arrive(barrier, 1, 0); }
inline void ptx_mbarrier_arrive_shared_cluster_b64(unsigned barrier) { machine->hopper->arrive(barrier, 1, 0); }
/// It may wait as long as it likes, so here until the phase is over.
inline void ptx_mbarrier_try_wait_parity_shared_b64(bool &done, unsigned barrier, unsigned parity) {
  machine->hopper->waitBarrier(barrier, parity);
  done = true;
}
inline void ptx_fence_mbarrier_init_release_cluster() { machine->hopper->fenceProxy(); }
inline void ptx_fence_proxy_async_shared() { machine->hopper->fenceProxy(); }
inline void ptx_fence_proxy_async() { machine->hopper->fenceProxy(); }
inline void ptx_bar_sync(unsigned id, unsigned threads) { machine->hopper->syncNamed(id, threads); }
inline void ptx_bar_arrive(unsigned id, unsigned threads) { machine->hopper->arriveNamed(id, threads); }
inline void ptx_setmaxnreg_inc_sync_aligned_u32(unsigned count) { machine->hopper->setRegisters(count, true); }
inline void ptx_setmaxnreg_dec_sync_aligned_u32(unsigned count) { machine->hopper->setRegisters(count, false); }

//===-- Clusters ----------------------------------------------------------------------------------------------------===//

inline void ptx_barrier_cluster_arrive_aligned() { machine->hopper->arriveCluster(); }
inline void ptx_barrier_cluster_wait_aligned() { machine->hopper->waitCluster(); }
inline void ptx_barrier_cluster_arrive_release() { machine->hopper->arriveCluster(); }
inline void ptx_barrier_cluster_arrive_relaxed() { machine->hopper->arriveCluster(); }
inline void ptx_barrier_cluster_wait_acquire() { machine->hopper->waitCluster(); }
inline void ptx_mapa_shared_cluster_u32(unsigned &d, unsigned a, unsigned rank) { d = machine->hopper->atRank(a, rank); }
inline void ptx_ld_shared_cluster_u32(unsigned &d, unsigned a) { d = sharedNumber<unsigned>(a); }
inline void ptx_st_async_shared_cluster_mbarrier_complete_tx_bytes_v2_b32(unsigned a, unsigned x, unsigned y, unsigned barrier) {
  sharedNumber<uint2>(a) = {x, y};
  machine->hopper->complete(barrier, sizeof(uint2));
}
inline void ptx_st_async_shared_cluster_mbarrier_complete_tx_bytes_v4_b32(unsigned a, float x, float y, float z, float w, unsigned barrier) {
  sharedNumber<float4>(a) = {x, y, z, w};
  machine->hopper->complete(barrier, sizeof(float4));
}
inline void ptx_ld_shared_cluster_u64(unsigned long long &d, unsigned a) { d = sharedNumber<unsigned long long>(a); }

//===-- Boxes -------------------------------------------------------------------------------------------------------===//

inline void ptx_cp_async_bulk_shared_cluster_global_mbarrier_complete_tx_bytes(unsigned to, const void *from, unsigned bytes, unsigned barrier) {
  machine->hopper->loadBytes(to, from, bytes, barrier);
}
inline void ptx_prefetch_tensormap(const void *map) { machine->hopper->checkMap(map); }
#define EMULATED_LOAD(rank, parameters, ...)                                                                           \
  inline void ptx_cp_async_bulk_tensor_##rank##d_shared_cluster_global_mbarrier_complete_tx_bytes(                      \
      unsigned to, const void *map, EMULATED_LIST parameters, unsigned barrier) {                                      \
    int place[] = {__VA_ARGS__};                                                                                       \
    machine->hopper->loadBox(to, map, place, rank, barrier, 0);                                                        \
  }                                                                                                                    \
  inline void ptx_cp_async_bulk_tensor_##rank##d_shared_cluster_global_mbarrier_complete_tx_bytes_multicast_cluster(    \
      unsigned to, const void *map, EMULATED_LIST parameters, unsigned barrier, unsigned short ranks) {                \
    int place[] = {__VA_ARGS__};                                                                                       \
    machine->hopper->loadBox(to, map, place, rank, barrier, ranks);                                                    \
  }
#define EMULATED_LIST(...) __VA_ARGS__
EMULATED_LOAD(2, (int x, int y), x, y)
EMULATED_LOAD(3, (int x, int y, int z), x, y, z)
EMULATED_LOAD(4, (int x, int y, int z, int w), x, y, z, w)
EMULATED_LOAD(5, (int x, int y, int z, int w, int v), x, y, z, w, v)
#undef EMULATED_LOAD
#undef EMULATED_LIST
inline void ptx_cp_async_bulk_tensor_2d_global_shared_bulk_group(const void *map, int x, int y, unsigned from) {
  int place[] = {x, y};
  machine->hopper->storeBox(map, place, 2, from);
}
inline void ptx_cp_async_bulk_commit_group() { machine->hopper->commitStores(); }
inline void ptx_cp_async_bulk_wait_group(unsigned pending) { machine->hopper->waitStores(pending); }
/// What is read is also written.
inline void ptx_cp_async_bulk_wait_group_read(unsigned pending) { machine->hopper->waitStores(pending); }

//===-- wgmma -------------------------------------------------------------------------------------------------------===//

inline void ptx_wgmma_fence_sync_aligned() { machine->hopper->fenceProducts(); }
inline void ptx_wgmma_commit_group_sync_aligned() { machine->hopper->commitProducts(); }
inline void ptx_wgmma_wait_group_sync_aligned(unsigned pending) { machine->hopper->waitProducts(pending); }

/// One operand of the text: a sum's register, or a number.
struct WgmmaOperand {
  float *sum = nullptr;
  unsigned long long bits = 0;
  WgmmaOperand(float &v) : sum(&v) {}
  template <class T> WgmmaOperand(const T &v) : bits((unsigned long long)v) {}
};
/// {sums}, a, b, scale-d, imm-scale-a, imm-scale-b[, imm-trans-a][, imm-trans-b]; a: a descriptor, or {four registers}, which are never
/// transposed.
template <Number number, unsigned n, class... A> void wgmma(A &&...operands) {
  constexpr unsigned wide = number != Number::e4m3, sums = n / 2, rest = sizeof...(A) - sums;
  constexpr bool inShared = rest == 5 + 2 * wide;
  static_assert(inShared || rest == 8 + wide, "the operands of wgmma.mma_async");
  const WgmmaOperand all[] = {operands...};
  float *places[sums];
  for (unsigned i = 0; i < sums; ++i)
    places[i] = all[i].sum;
  const WgmmaOperand *at = all + sums;
  Product product = {number, n, wide ? 16u : 32u, places, inShared};
  if (inShared)
    product.a = (at++)->bits;
  else
    for (unsigned &v : product.registers)
      v = (unsigned)(at++)->bits;
  product.b = (at++)->bits;
  product.add = (at++)->bits;
  product.negateA = (int)(at++)->bits < 0;
  product.negateB = (int)(at++)->bits < 0;
  if (wide) {
    product.transposeA = inShared && (at++)->bits;
    product.transposeB = (at++)->bits;
  }
  machine->hopper->multiply(product);
}

#define EMULATED_WGMMA(n)                                                                                              \
  template <class... A> void ptx_wgmma_mma_async_sync_aligned_m64n##n##k16_f32_f16_f16(A &&...a) {                     \
    wgmma<Number::half, n>(a...);                                                                                      \
  }                                                                                                                    \
  template <class... A> void ptx_wgmma_mma_async_sync_aligned_m64n##n##k16_f32_bf16_bf16(A &&...a) {                   \
    wgmma<Number::bfloat, n>(a...);                                                                                    \
  }                                                                                                                    \
  template <class... A> void ptx_wgmma_mma_async_sync_aligned_m64n##n##k32_f32_e4m3_e4m3(A &&...a) {                   \
    wgmma<Number::e4m3, n>(a...);                                                                                      \
  }
EMULATED_WGMMA(8) EMULATED_WGMMA(16) EMULATED_WGMMA(24) EMULATED_WGMMA(32) EMULATED_WGMMA(40) EMULATED_WGMMA(48) EMULATED_WGMMA(56)
EMULATED_WGMMA(64) EMULATED_WGMMA(72) EMULATED_WGMMA(80) EMULATED_WGMMA(88) EMULATED_WGMMA(96) EMULATED_WGMMA(104) EMULATED_WGMMA(112)
EMULATED_WGMMA(120) EMULATED_WGMMA(128) EMULATED_WGMMA(136) EMULATED_WGMMA(144) EMULATED_WGMMA(152) EMULATED_WGMMA(160) EMULATED_WGMMA(168)
EMULATED_WGMMA(176) EMULATED_WGMMA(184) EMULATED_WGMMA(192) EMULATED_WGMMA(200) EMULATED_WGMMA(208) EMULATED_WGMMA(216) EMULATED_WGMMA(224)
EMULATED_WGMMA(232) EMULATED_WGMMA(240) EMULATED_WGMMA(248) EMULATED_WGMMA(256)
#undef EMULATED_WGMMA

} // namespace emulated
