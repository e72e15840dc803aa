// A tensor as the tensor memory accelerator is told of it. CUDA keeps what a CUtensorMap holds to itself; here it holds this.
#pragma once

#include "runtime/cuda/DriverApi.h"

#include <cstdint>
#include <string>

namespace transom::emulator {

struct TensorMap {
  static constexpr uint32_t maxRank = 5;
  static constexpr uint64_t isOne = 0x70616d206c616572;
  uint64_t mark; ///< isOne
  uint64_t address;
  uint64_t strides[maxRank]; ///< bytes; of dimension 0 an element's
  uint32_t last[maxRank];    ///< sizes, less one
  uint16_t box[maxRank];     ///< elements
  uint8_t rank;
  uint8_t span; ///< bytes in which 16-byte pieces change places ("swizzle"): 32, 64 or 128; 0: none do
};
static_assert(sizeof(TensorMap) <= sizeof(cuda::CUtensorMap));

/// cuTensorMapEncodeTiled by the rules of the "CUDA Driver API" ("Tensor Map Object Management"), but for interleaving and steps between
/// elements, which it does not have. strides: bytes, from dimension 1 on. What is wrong is the result; empty: `map` holds a TensorMap.
std::string encodeTensorMap(cuda::CUtensorMap *map, cuda::CUtensorMapDataType type, uint32_t rank, const void *address, const uint64_t *sizes,
                            const uint64_t *strides, const uint32_t *box, const uint32_t *steps, cuda::CUtensorMapInterleave interleave,
                            cuda::CUtensorMapSwizzle swizzle);

/// From the first byte to the last.
uint64_t tensorBytes(const cuda::CUtensorMap &map);

/// Where a byte of shared memory lies under a swizzle.
constexpr uint32_t swizzled(uint32_t address, uint32_t span) {
  return span == 0 ? address : address ^ ((address >> 7 & (span / 16 - 1)) << 4);
}

} // namespace transom::emulator
