// What tensor cores and ldmatrix do for a whole warp, on the fragments that the PTX ISA lays out ("Matrix fragments for
// mma.m16n8k16", "mma.m16n8k32", "ldmatrix"). Products are exact, sums are in fp32 in the order of the inner dimension.
#pragma once

#include "test/emulator/Abi.h"

namespace transom::emulator {

/// The machine of this process.
Machine &theMachine();

void multiplyHalf(WarpExchange &warp);
void multiplyBFloat(WarpExchange &warp);
void multiplyE4m3(WarpExchange &warp);
void loadMatrices(WarpExchange &warp);
void loadMatricesTransposed(WarpExchange &warp);
void storeMatrices(WarpExchange &warp);

/// Rows [16 * quarter, 16 * quarter + 16) of a wgmma.mma_async: adds to `sums` [32, n / 2], as lanes hold them, or replaces them. `shared`:
/// the block's memory. registers: A's, where it is in registers. What is wrong with the descriptors is the result; null: nothing.
const char *multiplyWarp(const Product &product, const char *shared, uint32_t sharedBytes, uint32_t quarter, const uint32_t (*registers)[4],
                         float *sums);

} // namespace transom::emulator
