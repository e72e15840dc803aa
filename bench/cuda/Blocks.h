// GGUF blocks on the host: random ones, and their exact values. Formats: ggml-common.h, ggml-quants.c.
#pragma once

#include "Lab.h"

namespace lab {

inline double halfAt(const uint8_t *p) { return fromHalfBits((uint16_t)(p[0] | p[1] << 8)); }
inline void putHalf(uint8_t *p, float v) {
  uint16_t h = toHalfBits(v);
  p[0] = (uint8_t)h, p[1] = (uint8_t)(h >> 8);
}
inline float randomScale() { return std::uniform_real_distribution<float>(0.001f, 0.01f)(generator()); }
inline std::vector<uint8_t> randomBytes(size_t n) {
  std::vector<uint8_t> v(n);
  for (uint8_t &b : v)
    b = (uint8_t)generator()();
  return v;
}

struct HostQ80 {
  static constexpr int weights = 32, bytes = 34;
  static void scales(uint8_t *b) { putHalf(b, randomScale()); }
  static void decode(const uint8_t *b, double *y) {
    for (int i = 0; i < 32; ++i)
      y[i] = halfAt(b) * (int8_t)b[2 + i];
  }
};
template <bool minimum> struct HostQ4 {
  static constexpr int weights = 32, head = minimum ? 4 : 2, bytes = head + 16;
  static void scales(uint8_t *b) {
    putHalf(b, randomScale());
    if (minimum)
      putHalf(b + 2, -8.0f * randomScale());
  }
  static void decode(const uint8_t *b, double *y) {
    for (int i = 0; i < 32; ++i) {
      int q = i < 16 ? b[head + i] & 15 : b[head + i - 16] >> 4;
      y[i] = minimum ? halfAt(b) * q + halfAt(b + 2) : halfAt(b) * (q - 8);
    }
  }
};
template <bool minimum> struct HostQ5 {
  static constexpr int weights = 32, head = minimum ? 4 : 2, bytes = head + 20;
  static void scales(uint8_t *b) { HostQ4<minimum>::scales(b); }
  static void decode(const uint8_t *b, double *y) {
    for (int i = 0; i < 32; ++i) {
      int q = (b[head + 4 + i % 16] >> (i < 16 ? 0 : 4) & 15) | (b[head + i / 8] >> i % 8 & 1) << 4;
      y[i] = minimum ? halfAt(b) * q + halfAt(b + 2) : halfAt(b) * (q - 16);
    }
  }
};
/// q4_K, or q5_K with fifth bits.
template <bool five> struct HostQ45K {
  static constexpr int weights = 256, head = five ? 48 : 16, bytes = head + 128;
  static void scales(uint8_t *b) { putHalf(b, 0.1f * randomScale()), putHalf(b + 2, 0.5f * randomScale()); }
  static void decode(const uint8_t *b, double *y) {
    const uint8_t *p = b + 4;
    for (int s = 0; s < 8; ++s) {
      int scale = s < 4 ? p[s] & 63 : (p[s + 4] & 15) | (p[s - 4] >> 6) << 4;
      int minimum = s < 4 ? p[s + 4] & 63 : p[s + 4] >> 4 | (p[s] >> 6) << 4;
      for (int i = 0; i < 32; ++i) {
        int q = (b[head + 32 * (s / 2) + i] >> 4 * (s & 1) & 15) | (five ? (b[16 + i] >> s & 1) << 4 : 0);
        y[32 * s + i] = halfAt(b) * scale * q - halfAt(b + 2) * minimum;
      }
    }
  }
};
using HostQ4K = HostQ45K<false>;
using HostQ5K = HostQ45K<true>;
struct HostQ6K {
  static constexpr int weights = 256, bytes = 210;
  static void scales(uint8_t *b) { putHalf(b + 208, 0.01f * randomScale()); }
  static void decode(const uint8_t *b, double *y) {
    for (int half = 0; half < 2; ++half)
      for (int i = 0; i < 32; ++i)
        for (int quarter = 0; quarter < 4; ++quarter) {
          int low = b[64 * half + 32 * (quarter & 1) + i] >> 4 * (quarter >> 1) & 15;
          int high = b[128 + 32 * half + i] >> 2 * quarter & 3, at = 128 * half + 32 * quarter + i;
          y[at] = halfAt(b + 208) * (int8_t)b[192 + at / 16] * ((low | high << 4) - 32);
        }
  }
};

template <class Host> std::vector<uint8_t> randomBlocks(size_t rows, int K) {
  size_t blocks = rows * (K / Host::weights);
  std::vector<uint8_t> v = randomBytes(blocks * Host::bytes);
  for (size_t i = 0; i < blocks; ++i)
    Host::scales(&v[i * Host::bytes]);
  return v;
}
template <class Host> std::vector<double> decodeBlocks(const std::vector<uint8_t> &blocks) {
  std::vector<double> y(blocks.size() / Host::bytes * Host::weights);
  for (size_t i = 0; i < blocks.size() / Host::bytes; ++i)
    Host::decode(&blocks[i * Host::bytes], &y[i * Host::weights]);
  return y;
}

/// A format on the host and on the device: random weights, their values (unless for timing alone), the planes.
template <class Format, class Host, class Repack> struct QuantWeights {
  static constexpr int K = Format::K;
  std::vector<double> values;
  Device<uint8_t> quants, high, scales, outer;
  QuantWeights(int rows, bool keepValues = true)
      : quants((size_t)rows * Format::steps * 64), high((size_t)rows * Format::steps * 32),
        scales((size_t)rows * Format::steps * 16), outer((size_t)rows * Format::steps * 4) {
    int rowBytes = K / Host::weights * Host::bytes, perRow = Format::steps * Repack::blocksPerStep;
    if (keepValues) {
      std::vector<uint8_t> blocks = randomBlocks<Host>(rows, K);
      values = decodeBlocks<Host>(blocks);
      Device<uint8_t> from(blocks);
      launch(repackEntry<Repack, K>, {dim3((unsigned)(((size_t)rows * perRow + 127) / 128)), 128, 0, nullptr, false},
             from.p, Planes{quants, high, scales, outer}, rows, rowBytes);
      CHECK(cudaDeviceSynchronize());
    } else { // for timing, bits do not matter but scales must be finite
      CHECK(cudaMemset(quants, 0x35, quants.n));
      CHECK(cudaMemset(high, 0x35, high.n));
      CHECK(cudaMemset(scales, 0x15, scales.n));
      CHECK(cudaMemset(outer, 0x15, outer.n));
    }
    CHECK(cudaDeviceSynchronize());
  }
  typename Format::View view() const {
    if constexpr (Format::halves)
      return {quants, high, (const int8 *)scales.p, (const Half *)outer.p};
    else if constexpr (requires(typename Format::View v) { v.heads; v.high; })
      return {quants, high, (const uint4 *)scales.p};
    else if constexpr (requires(typename Format::View v) { v.heads; })
      return {quants, (const uint4 *)scales.p};
    else if constexpr (requires(typename Format::View v) { v.high; })
      return {quants, high, (const Half *)scales.p};
    else
      return {quants, (const Half *)scales.p};
  }
};

} // namespace lab
