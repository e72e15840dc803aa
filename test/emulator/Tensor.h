// What tensor cores and ldmatrix do for a whole warp, on the fragments that the PTX ISA lays out ("Matrix fragments for
// mma.m16n8k16", "ldmatrix"). Products are exact, sums are in fp32 in the order of the inner dimension.
#pragma once

#include "test/emulator/Abi.h"

namespace transom::emulator {

/// Room for the shared memory of any block.
constexpr uint32_t sharedCapacity = 256 * 1024;

/// The machine of this process.
Machine &theMachine();

void multiplyHalf(WarpExchange &warp);
void multiplyBFloat(WarpExchange &warp);
void loadMatrices(WarpExchange &warp);
void loadMatricesTransposed(WarpExchange &warp);

} // namespace transom::emulator
