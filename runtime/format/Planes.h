// How GGML's quantised blocks lie in artifacts for the GPU: as planes (quants, high bits, scales, outer
// scales), so that every load of codegen/cuda/kernels/GemvFormats.cuh is aligned. The numbers stay the same
// bit for bit. Header only, plain C++; Repack.cuh does the same on a GPU. Block layouts: ggml-common.h; the
// planes' order: GemvFormats.cuh.
#pragma once

#include "runtime/format/DType.h"
#include "runtime/support/Status.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace transom::planes {

inline constexpr uint64_t alignment = 256;

/// Bytes of a step (what the four lanes of a row load at once) in each plane. Rows are padded to whole steps.
struct Steps {
  int blocks; ///< of 32 weights
  int quants, high, scales, outer;
};

/// Only for block formats.
constexpr Steps stepsOf(DType dtype) {
  switch (dtype) {
  case DType::q8_0:
    return {2, 64, 0, 4, 0};
  case DType::q4_0:
    return {4, 64, 0, 8, 0};
  case DType::q4_1:
    return {4, 64, 0, 16, 0};
  case DType::q5_0:
    return {4, 64, 16, 8, 0};
  case DType::q5_1:
    return {4, 64, 16, 16, 0};
  case DType::q4_k:
    return {4, 64, 0, 8, 0};
  case DType::q5_k:
    return {4, 64, 16, 8, 0};
  case DType::q6_k:
    return {4, 64, 32, 8, 1};
  default:
    assert(false && "a block format has planes");
    return {};
  }
}

/// Where the planes of a matrix [n, k] lie, from its first byte on. Planes that a format lacks have no bytes.
struct Layout {
  enum Plane { quants, high, scales, outer, count };
  uint64_t offset[count], bytes[count];
  uint64_t total; ///< a multiple of `alignment`
};

/// k must be a multiple of the format's block, and the matrix one that bytesFor() finds a size for.
constexpr Layout layoutOf(DType dtype, int64_t n, int64_t k) {
  Steps steps = stepsOf(dtype);
  int64_t perRow = (k / 32 + steps.blocks - 1) / steps.blocks;
  const int widths[Layout::count] = {steps.quants, steps.high, steps.scales, steps.outer};
  Layout layout = {};
  for (int plane = 0; plane < Layout::count; ++plane) {
    layout.offset[plane] = layout.total;
    layout.bytes[plane] =
        static_cast<uint64_t>(n) * static_cast<uint64_t>(perRow) * static_cast<uint64_t>(widths[plane]);
    layout.total = (layout.total + layout.bytes[plane] + alignment - 1) / alignment * alignment;
  }
  return layout;
}

/// Bytes of all planes with the padding between and behind them.
constexpr uint64_t planesBytes(DType dtype, int64_t n, int64_t k) { return layoutOf(dtype, n, k).total; }

namespace detail {

/// What a block of 32 weights of a row says, by format: `low` and `high` bits of weight i.
template <DType dtype> struct Blocks {
  static constexpr bool superblocks = transom::layoutOf(dtype).elements == 256;
  static constexpr int bytes = static_cast<int>(transom::layoutOf(dtype).bytes);
  /// Bytes before the nibbles.
  static constexpr int head = superblocks ? bytes - 128 : bytes - 16;
  const uint8_t *from;
  int index; ///< within its superblock

  Blocks(const uint8_t *row, int block)
      : from(row + (superblocks ? block / 8 : block) * bytes), index(superblocks ? block % 8 : 0) {}

  uint32_t low(int i) const {
    if constexpr (dtype == DType::q6_k)
      return from[64 * (index / 4) + 32 * (index & 1) + i] >> 4 * (index / 2 & 1) & 15u;
    else if constexpr (superblocks)
      return from[head + index / 2 * 32 + i] >> 4 * (index & 1) & 15u;
    else
      return from[head + i % 16] >> (i < 16 ? 0 : 4) & 15u;
  }
  uint32_t high(int i) const {
    if constexpr (dtype == DType::q6_k)
      return from[128 + 32 * (index / 4) + i] >> 2 * (index % 4) & 3u;
    else if constexpr (superblocks)
      return from[16 + i] >> index & 1u;
    else
      return from[head - 4 + i / 8] >> i % 8 & 1u;
  }
  /// Place in the block of number e of lane t.
  static int place(int t, int e) {
    return dtype == DType::q6_k ? (e < 4 ? 4 * t + e : 12 + 4 * t + e) : 8 * t + e;
  }
};

inline void put(std::byte *to, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i)
    to[i] = static_cast<std::byte>(value >> 8 * i);
}

/// One row's part of the quants and the high bits; `to` begins zeroed. Of a lane's eight numbers 2i is at
/// place i and 2i + 1 at place i + 4 (nibblePairs of GemvFormats.cuh).
template <DType dtype> void packQuants(const uint8_t *row, int blocks, std::byte *to) {
  for (int block = 0; block < blocks; ++block) {
    if constexpr (dtype == DType::q8_0) {
      for (int t = 0; t < 4; ++t)
        std::memcpy(to + block / 2 * 64 + block % 2 * 8 + t * 16, row + block * 34 + 2 + t * 8, 8);
    } else {
      Blocks<dtype> from(row, block);
      for (int t = 0; t < 4; ++t) {
        uint32_t word = 0;
        for (int i = 0; i < 4; ++i)
          word |= from.low(from.place(t, 2 * i)) << 4 * i | from.low(from.place(t, 2 * i + 1)) << 4 * (i + 4);
        put(to + block / 4 * 64 + t * 16 + block % 4 * 4, word, 4);
      }
    }
  }
}
template <DType dtype> void packHigh(const uint8_t *row, int blocks, std::byte *to) {
  constexpr int bits = dtype == DType::q6_k ? 2 : 1;
  for (int block = 0; block < blocks; ++block) {
    Blocks<dtype> from(row, block);
    for (int t = 0; t < 4; ++t) {
      uint32_t word = 0;
      for (int i = 0; i < 4; ++i)
        word |= from.high(from.place(t, 2 * i)) << bits * i | from.high(from.place(t, 2 * i + 1))
                                                                  << bits * (i + 4);
      put(to + (block / 4 * 4 + t) * 4 * bits + block % 4 * bits, word, bits);
    }
  }
}
template <DType dtype> void packScales(const uint8_t *row, int blocks, std::byte *to) {
  if constexpr (dtype == DType::q6_k) {
    for (int i = 0; i < blocks / 8; ++i)
      std::memcpy(to + i * 16, row + i * 210 + 192, 16);
  } else if constexpr (Blocks<dtype>::superblocks) {
    for (int i = 0; i < blocks / 8; ++i)
      std::memcpy(to + i * 16, row + i * Blocks<dtype>::bytes, 16);
  } else {
    constexpr int width = stepsOf(dtype).scales / stepsOf(dtype).blocks;
    for (int i = 0; i < blocks; ++i)
      std::memcpy(to + i * width, row + i * Blocks<dtype>::bytes, width);
  }
}

template <DType dtype> void packRow(int plane, const uint8_t *row, int blocks, std::byte *to) {
  if (plane == Layout::quants)
    packQuants<dtype>(row, blocks, to);
  if constexpr (stepsOf(dtype).high > 0)
    if (plane == Layout::high)
      packHigh<dtype>(row, blocks, to);
  if (plane == Layout::scales)
    packScales<dtype>(row, blocks, to);
  if constexpr (dtype == DType::q6_k)
    if (plane == Layout::outer)
      for (int i = 0; i < blocks / 8; ++i)
        std::memcpy(to + i * 2, row + i * 210 + 208, 2);
}

using PackRow = void (*)(int plane, const uint8_t *row, int blocks, std::byte *to);
inline PackRow packerOf(DType dtype) {
  switch (dtype) {
  case DType::q8_0:
    return packRow<DType::q8_0>;
  case DType::q4_0:
    return packRow<DType::q4_0>;
  case DType::q4_1:
    return packRow<DType::q4_1>;
  case DType::q5_0:
    return packRow<DType::q5_0>;
  case DType::q5_1:
    return packRow<DType::q5_1>;
  case DType::q4_k:
    return packRow<DType::q4_k>;
  case DType::q5_k:
    return packRow<DType::q5_k>;
  case DType::q6_k:
    return packRow<DType::q6_k>;
  default:
    assert(false && "a block format has planes");
    return nullptr;
  }
}

} // namespace detail

/// The planes of `rows`, n rows of k weights in blocks: sink(std::span<const std::byte>) takes bytes [0,
/// total) in order, in pieces of about a megabyte, and returns a Status; an error ends the work and is
/// returned. n and k as for layoutOf; rows.size() is bytesFor(dtype, {n, k}).
template <class Sink>
Status repackPlanes(DType dtype, std::span<const std::byte> rows, int64_t k, int64_t n, Sink &&sink) {
  if (n == 0)
    return {};
  assert(rows.size() % static_cast<size_t>(n) == 0 && "whole rows");
  const Layout layout = layoutOf(dtype, n, k);
  const detail::PackRow pack = detail::packerOf(dtype);
  const size_t rowBytes = rows.size() / static_cast<size_t>(n);
  const auto *first = reinterpret_cast<const uint8_t *>(rows.data());
  std::vector<std::byte> piece;
  for (int plane = 0; plane < Layout::count; ++plane) {
    if (layout.bytes[plane] == 0)
      continue;
    const uint64_t end = plane + 1 < Layout::count ? layout.offset[plane + 1] : layout.total;
    const auto width = static_cast<size_t>(layout.bytes[plane] / static_cast<uint64_t>(n));
    const int64_t together = static_cast<int64_t>(std::max<size_t>(1, (size_t(1) << 20) / width));
    for (int64_t row = 0; row < n; row += together) {
      const int64_t last = std::min(row + together, n);
      const uint64_t padding = last == n ? end - layout.offset[plane] - layout.bytes[plane] : 0;
      piece.assign(static_cast<size_t>(last - row) * width + padding, std::byte{0});
      for (int64_t i = row; i < last; ++i)
        pack(plane, first + static_cast<size_t>(i) * rowBytes, static_cast<int>(k / 32),
             piece.data() + static_cast<size_t>(i - row) * width);
      TRANSOM_RETURN_IF_ERROR(sink(std::span<const std::byte>(piece)));
    }
  }
  return {};
}

} // namespace transom::planes
