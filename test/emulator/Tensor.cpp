// A collective of fewer than 32 lanes is an error: the instructions are .aligned.
#include "test/emulator/Tensor.h"
#include "test/emulator/TensorMap.h"

#include <algorithm>
#include <cmath>
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

/// OCP 8-bit floating point, E4M3: no infinities, NaN where all bits but the sign are set.
float e4m3ToFloat(uint8_t v) {
  int exponent = v >> 3 & 15, mantissa = v & 7;
  float size = (v & 127) == 127 ? fromBits(0x7fc00000)
               : exponent == 0  ? std::ldexp(float(mantissa), -9)
                                : std::ldexp(float(8 + mantissa), exponent - 10);
  return v & 128 ? -size : size;
}
uint32_t bytesOf(Number number) { return number == Number::e4m3 ? 1 : 2; }
/// The number at byte `at`.
float numberAt(Number number, const char *at) {
  if (number == Number::e4m3)
    return e4m3ToFloat(static_cast<uint8_t>(*at));
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return number == Number::half ? halfToFloat(bits) : bfloatToFloat(bits);
}

bool whole(const WarpExchange &warp) {
  if (warp.taking != ~0u)
    theMachine().fail("an instruction of whole warps is executed by some of the lanes");
  return warp.taking == ~0u;
}

/// Lane 4 g + t holds, of A [16, inner], rows g and g + 8, and of B [inner, 8], column g: of the inner dimension the numbers of 4 bytes at 4t,
/// and those 16 bytes further; of the sums, columns 2t.. of rows g and g + 8.
template <Number number> void multiply(WarpExchange &warp) {
  if (!whole(warp))
    return;
  constexpr int each = number == Number::e4m3 ? 4 : 2, inner = 8 * each; // numbers of a word
  float a[16][inner], b[inner][8], sums[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    int g = lane / 4, t = lane % 4;
    uint32_t in[10];
    std::memcpy(in, warp.lanes[lane].in, sizeof in);
    for (int i = 0; i < each; ++i) {
      auto part = [&](int word) { return numberAt(number, reinterpret_cast<const char *>(&in[word]) + i * (4 / each)); };
      a[g][each * t + i] = part(0), a[g + 8][each * t + i] = part(1);
      a[g][inner / 2 + each * t + i] = part(2), a[g + 8][inner / 2 + each * t + i] = part(3);
      b[each * t + i][g] = part(4), b[inner / 2 + each * t + i][g] = part(5);
    }
    for (int i = 0; i < 2; ++i)
      sums[g][2 * t + i] = fromBits(in[6 + i]), sums[g + 8][2 * t + i] = fromBits(in[8 + i]);
  }
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < inner; ++k)
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

/// The way back, not transposed: word 1 + i of lane 4 g + t goes to columns 2t, 2t + 1 of row g of tile i.
void store(WarpExchange &warp) {
  if (!whole(warp))
    return;
  uint32_t in[32][5];
  for (int lane = 0; lane < 32; ++lane)
    std::memcpy(in[lane], warp.lanes[lane].in, sizeof in[lane]);
  for (int lane = 0; lane < 32; ++lane) {
    if (in[lane][0] % 16 != 0)
      theMachine().fail("an address of stmatrix is no multiple of 16 bytes");
    char *row = static_cast<char *>(theMachine().sharedAt(in[lane][0], 16));
    for (int t = 0; t < 4; ++t)
      std::memcpy(row + 4 * t, &in[lane % 8 * 4 + t][1 + lane / 8], 4);
  }
}

//===-- wgmma -------------------------------------------------------------------------------------------------------===//

/// An operand in shared memory: PTX ISA, "Asynchronous Warpgroup Level Matrix Shared Memory Layout" and "Matrix Descriptor Format".
struct Operand {
  uint32_t start, leading, stride; ///< bytes
  uint32_t span;                   ///< of the swizzle; 0: none
  bool baseOffset;
  explicit Operand(uint64_t bits) {
    auto part = [&](int shift) { return static_cast<uint32_t>(bits >> shift & 0x3fff) << 4; };
    start = part(0), leading = part(16), stride = part(32);
    constexpr uint32_t spans[] = {0, 128, 64, 32};
    span = spans[bits >> 62];
    baseOffset = (bits >> 49 & 7) != 0;
  }
  /// Element `k` of the inner dimension, `outer` of the other. Cores are 8 rows of 16 bytes, or of `span`.
  uint32_t at(uint32_t outer, uint32_t k, uint32_t bytes, bool transposed) const {
    uint32_t row = transposed ? k : outer, byte = (transposed ? outer : k) * bytes, width = std::max(span, 16u);
    uint32_t down = transposed && span == 0 ? leading : stride, across = transposed && span == 0 ? stride : leading;
    uint32_t offset = row % 8 * width + row / 8 * down + byte / width * across + byte % width;
    return swizzled(start + offset, span);
  }
};

/// to[outer * k + inner]; false: it leaves the block's memory.
bool readOperand(const Operand &operand, const Product &p, bool transposed, bool negate, const char *shared, uint32_t sharedBytes, uint32_t first,
                 uint32_t count, float *to) {
  uint32_t bytes = bytesOf(p.number);
  for (uint32_t outer = 0; outer < count; ++outer)
    for (uint32_t k = 0; k < p.k; ++k) {
      uint32_t at = operand.at(first + outer, k, bytes, transposed);
      if (at + bytes > sharedBytes)
        return false;
      float v = numberAt(p.number, shared + at);
      to[outer * p.k + k] = negate ? -v : v;
    }
  return true;
}

} // namespace

const char *multiplyWarp(const Product &p, const char *shared, uint32_t sharedBytes, uint32_t quarter, const uint32_t (*registers)[4],
                         float *sums) {
  static float a[16 * 32], b[256 * 32], columns[32][256], tile[16][256];
  uint32_t bytes = bytesOf(p.number), numbers = 4 / bytes;
  Operand left(p.a), right(p.b);
  if ((p.inShared && left.baseOffset) || right.baseOffset)
    return "a descriptor with a base offset, which the emulator does not have";
  if (p.inShared && !readOperand(left, p, p.transposeA, p.negateA, shared, sharedBytes, 16 * quarter, 16, a))
    return "the first operand leaves the block's shared memory";
  if (!readOperand(right, p, p.transposeB, p.negateB, shared, sharedBytes, 0, p.n, b))
    return "the second operand leaves the block's shared memory";
  // Lane 4 g + t holds rows g and g + 8, of A four bytes at a time of each half of the inner dimension.
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t i = 0; i < 4; ++i) {
      uint32_t row = lane / 4 + i % 2 * 8, k = i / 2 * p.k / 2 + lane % 4 * numbers;
      for (uint32_t j = 0; j < numbers && !p.inShared; ++j) {
        float v = numberAt(p.number, reinterpret_cast<const char *>(&registers[lane][i]) + j * bytes);
        a[row * p.k + k + j] = p.negateA ? -v : v;
      }
    }
  auto each = [&](auto f) { // f(of the tile, of the lane's sums)
    for (uint32_t lane = 0; lane < 32; ++lane)
      for (uint32_t i = 0; i < p.n / 2; ++i)
        f(tile[lane / 4 + i / 2 % 2 * 8][i / 4 * 8 + lane % 4 * 2 + i % 2], sums[lane * (p.n / 2) + i]);
  };
  each([&](float &sum, float &held) { sum = p.add ? held : 0.0f; });
  for (uint32_t n = 0; n < p.n; ++n)
    for (uint32_t k = 0; k < p.k; ++k)
      columns[k][n] = b[n * p.k + k];
  for (uint32_t m = 0; m < 16; ++m)
    for (uint32_t k = 0; k < p.k; ++k)
      for (uint32_t n = 0; n < p.n; ++n)
        tile[m][n] += a[m * p.k + k] * columns[k][n];
  each([](float &sum, float &held) { held = sum; });
  return nullptr;
}

void multiplyHalf(WarpExchange &warp) { multiply<Number::half>(warp); }
void multiplyBFloat(WarpExchange &warp) { multiply<Number::bfloat>(warp); }
void multiplyE4m3(WarpExchange &warp) { multiply<Number::e4m3>(warp); }
void loadMatrices(WarpExchange &warp) { load<false>(warp); }
void loadMatricesTransposed(WarpExchange &warp) { load<true>(warp); }
void storeMatrices(WarpExchange &warp) { store(warp); }

} // namespace transom::emulator
