// A collective of fewer than 32 lanes is an error: the instructions are .aligned.
#include "test/emulator/Tensor.h"

#include <cstring>

namespace transom::emulator {

namespace {

float fromBits(uint32_t bits) {
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
float halfToFloat(uint16_t h) {
  float v = fromBits(static_cast<uint32_t>(h & 0x7fff) << 13) * 0x1p112f;
  if ((h & 0x7c00) == 0x7c00)
    v = fromBits(static_cast<uint32_t>(h & 0x3ff) << 13 | 0x7f800000u);
  return h & 0x8000 ? -v : v;
}
float bfloatToFloat(uint16_t h) { return fromBits(static_cast<uint32_t>(h) << 16); }

bool whole(const WarpExchange &warp) {
  if (warp.taking != ~0u)
    theMachine().fail("an instruction of whole warps is executed by some of the lanes");
  return warp.taking == ~0u;
}

/// Lane 4 g + t holds, of A [16, 16], rows g and g + 8 and columns 2t.. and 8 + 2t..; of B [16, 8], rows 2t.. and 8 + 2t.. of column
/// g; of the sums, columns 2t.. of rows g and g + 8.
template <float toFloat(uint16_t)> void multiply(WarpExchange &warp) {
  if (!whole(warp))
    return;
  float a[16][16], b[16][8], sums[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    int g = lane / 4, t = lane % 4;
    uint32_t in[10];
    std::memcpy(in, warp.lanes[lane].in, sizeof in);
    for (int i = 0; i < 2; ++i) {
      int shift = 16 * i;
      auto part = [&](int word) { return toFloat(static_cast<uint16_t>(in[word] >> shift)); };
      a[g][2 * t + i] = part(0), a[g + 8][2 * t + i] = part(1);
      a[g][8 + 2 * t + i] = part(2), a[g + 8][8 + 2 * t + i] = part(3);
      b[2 * t + i][g] = part(4), b[8 + 2 * t + i][g] = part(5);
      sums[g][2 * t + i] = fromBits(in[6 + i]), sums[g + 8][2 * t + i] = fromBits(in[8 + i]);
    }
  }
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < 16; ++k)
      for (int n = 0; n < 8; ++n)
        sums[m][n] += a[m][k] * b[k][n];
  for (int lane = 0; lane < 32; ++lane) {
    int g = lane / 4, t = lane % 4;
    float out[] = {sums[g][2 * t], sums[g][2 * t + 1], sums[g + 8][2 * t], sums[g + 8][2 * t + 1]};
    std::memcpy(warp.lanes[lane].out, out, sizeof out);
  }
}

/// Four tiles of 8 rows of 16 bytes; lane 8 i + r gives the address of row r of tile i. Word i of lane 4 g + t gets columns 2t, 2t + 1
/// of row g of tile i, or, transposed, of column g of rows 2t, 2t + 1.
template <bool transposed> void load(WarpExchange &warp) {
  if (!whole(warp))
    return;
  uint16_t tiles[4][8][8];
  for (int lane = 0; lane < 32; ++lane) {
    uint32_t address;
    std::memcpy(&address, warp.lanes[lane].in, sizeof address);
    if (address % 16 != 0)
      theMachine().fail("an address of ldmatrix is no multiple of 16 bytes");
    std::memcpy(tiles[lane / 8][lane % 8], theMachine().sharedAt(address, 16), 16);
  }
  for (int lane = 0; lane < 32; ++lane) {
    int g = lane / 4, t = lane % 4;
    uint32_t out[4];
    for (int i = 0; i < 4; ++i) {
      auto &tile = tiles[i];
      out[i] = transposed ? tile[2 * t][g] | static_cast<uint32_t>(tile[2 * t + 1][g]) << 16
                          : tile[g][2 * t] | static_cast<uint32_t>(tile[g][2 * t + 1]) << 16;
    }
    std::memcpy(warp.lanes[lane].out, out, sizeof out);
  }
}

} // namespace

void multiplyHalf(WarpExchange &warp) { multiply<halfToFloat>(warp); }
void multiplyBFloat(WarpExchange &warp) { multiply<bfloatToFloat>(warp); }
void loadMatrices(WarpExchange &warp) { load<false>(warp); }
void loadMatricesTransposed(WarpExchange &warp) { load<true>(warp); }

} // namespace transom::emulator
