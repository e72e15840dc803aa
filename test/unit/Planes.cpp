// Quantised planes: random blocks repacked and read back, number by number as the GPU's kernels read them,
// against the reference decoder.
#include "runtime/format/Planes.h"
#include "compiler/import/files/BlockDecode.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <vector>

using namespace transom;
using planes::Layout;

namespace {

constexpr DType formats[] = {DType::q8_0, DType::q4_0, DType::q4_1, DType::q5_0,
                             DType::q5_1, DType::q4_k, DType::q5_k, DType::q6_k};

template <class T> T at(const std::byte *p, int64_t index) {
  T value;
  std::memcpy(&value, p + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}
float halfAt(const std::byte *p, int64_t index) { return halfToFloat(at<uint16_t>(p, index)); }

/// Random blocks whose scales are finite.
std::vector<std::byte> randomBlocks(DType dtype, size_t bytes) {
  std::mt19937 random(static_cast<unsigned>(bytes) + static_cast<unsigned>(dtype));
  std::vector<std::byte> blocks(bytes);
  for (std::byte &b : blocks)
    b = static_cast<std::byte>(random());
  size_t block = layoutOf(dtype).bytes;
  for (size_t i = 0; i < bytes; i += block)
    for (size_t half : {i + 1, i + 3, i + block - 1}) // exponents below infinity's, wherever fp16 numbers end
      blocks[half] &= std::byte{0xbf};
  return blocks;
}

/// Weight k of row n from the planes, after the layouts that GemvFormats.cuh and GemvFormats5.cuh describe.
float fromPlanes(DType dtype, const std::byte *data, const Layout &layout, int64_t steps, int64_t n,
                 int64_t k) {
  const std::byte *plane[Layout::count];
  for (int i = 0; i < Layout::count; ++i)
    plane[i] = data + layout.offset[i];
  if (dtype == DType::q8_0) {
    int64_t step = n * steps + k / 64, block = k / 32 % 2, t = k % 32 / 8;
    return halfAt(plane[Layout::scales], step * 2 + block) *
           static_cast<float>(at<int8_t>(plane[Layout::quants], step * 64 + t * 16 + block * 8 + k % 8));
  }
  const int64_t step = n * steps + k / 128, block = k / 32 % 4, place = k % 32;
  const bool halves = dtype == DType::q6_k;
  const int64_t t = halves ? place % 16 / 4 : place / 8, e = halves ? place / 16 * 4 + place % 4 : place % 8;
  const int64_t order = e / 2 + e % 2 * 4; // which nibble of the word
  int q = at<uint32_t>(plane[Layout::quants], step * 16 + t * 4 + block) >> 4 * order & 15;
  if (dtype == DType::q6_k)
    q |= (at<uint16_t>(plane[Layout::high], step * 16 + t * 4 + block) >> 2 * order & 3) << 4;
  else if (layout.bytes[Layout::high] > 0)
    q |= (at<uint8_t>(plane[Layout::high], step * 16 + t * 4 + block) >> order & 1) << 4;
  const int64_t scale = step * 4 + block;
  switch (dtype) {
  case DType::q4_0:
    return halfAt(plane[Layout::scales], scale) * static_cast<float>(q - 8);
  case DType::q5_0:
    return halfAt(plane[Layout::scales], scale) * static_cast<float>(q - 16);
  case DType::q4_1:
  case DType::q5_1:
    return halfAt(plane[Layout::scales], 2 * scale) * static_cast<float>(q) +
           halfAt(plane[Layout::scales], 2 * scale + 1);
  case DType::q6_k:
    return halfAt(plane[Layout::outer], step / 2) *
           static_cast<float>(at<int8_t>(plane[Layout::scales], step * 8 + block * 2 + place / 16)) *
           static_cast<float>(q - 32);
  default: {
    const std::byte *head = plane[Layout::scales] + step / 2 * 16;
    int64_t sub = k / 32 % 8;
    auto byte = [&](int64_t i) { return static_cast<int>(head[4 + i]); };
    int s = sub < 4 ? byte(sub) & 63 : (byte(sub + 4) & 15) | byte(sub - 4) >> 6 << 4;
    int m = sub < 4 ? byte(sub + 4) & 63 : byte(sub + 4) >> 4 | byte(sub) >> 6 << 4;
    return halfAt(head, 0) * static_cast<float>(s) * static_cast<float>(q) -
           halfAt(head, 1) * static_cast<float>(m);
  }
  }
}

std::vector<std::byte> repack(DType dtype, const std::vector<std::byte> &rows, int64_t k, int64_t n) {
  std::vector<std::byte> out;
  Status status = planes::repackPlanes(dtype, rows, k, n, [&](std::span<const std::byte> piece) {
    out.insert(out.end(), piece.begin(), piece.end());
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.message();
  return out;
}

} // namespace

// Every weight comes back as the reference decodes it, also where rows end within a step.
TEST(Planes, RoundTrip) {
  for (DType dtype : formats)
    for (int64_t k : {32, 96, 160, 256, 768}) {
      if (k % layoutOf(dtype).elements != 0)
        continue;
      for (int64_t n : {1, 7, 300}) {
        const int64_t shape[] = {n, k};
        std::vector<std::byte> rows = randomBlocks(dtype, bytesFor(dtype, shape).value());
        std::vector<float> expected(static_cast<size_t>(n * k));
        decodeElements(dtype, rows, std::span<float>(expected));
        std::vector<std::byte> out = repack(dtype, rows, k, n);
        Layout layout = planes::layoutOf(dtype, n, k);
        ASSERT_EQ(out.size(), planes::planesBytes(dtype, n, k));
        int64_t steps = (k / 32 + planes::stepsOf(dtype).blocks - 1) / planes::stepsOf(dtype).blocks;
        for (int64_t i = 0; i < n * k; ++i)
          ASSERT_EQ(fromPlanes(dtype, out.data(), layout, steps, i / k, i % k),
                    expected[static_cast<size_t>(i)])
              << name(dtype) << " [" << n << ", " << k << "] weight " << i;
      }
    }
}

// Planes follow one another at multiples of 256 bytes; what no weight fills is zero.
TEST(Planes, LayoutAndPadding) {
  constexpr Layout layout = planes::layoutOf(DType::q5_1, 3, 160);
  static_assert(layout.offset[Layout::high] == 512 && layout.offset[Layout::scales] == 768 &&
                layout.total == 1024);
  static_assert(layout.bytes[Layout::quants] == 3 * 2 * 64 && layout.bytes[Layout::outer] == 0);
  std::vector<std::byte> out =
      repack(DType::q5_1, std::vector<std::byte>(3 * 5 * 24, std::byte{0xff}), 160, 3);
  size_t ones = 0;
  for (std::byte b : out)
    ones += b == std::byte{0xff};
  EXPECT_EQ(ones, 3u * 5 * 24) << "each byte of the blocks is there once, the rest is zero";
}

// Many rows go through in several pieces, and an error of the sink ends the work.
TEST(Planes, PiecesAndErrors) {
  const int64_t n = 40000, k = 64;
  std::vector<std::byte> rows = randomBlocks(DType::q8_0, static_cast<size_t>(n * k / 32 * 34));
  std::vector<std::byte> whole = repack(DType::q8_0, rows, k, n), part;
  for (int64_t row : {int64_t(0), int64_t(16384), n - 1}) {
    part = repack(DType::q8_0, {rows.begin() + row * 68, rows.begin() + (row + 1) * 68}, k, 1);
    EXPECT_TRUE(std::equal(part.begin(), part.begin() + 64, whole.begin() + row * 64)) << row;
  }
  int calls = 0;
  Status status = planes::repackPlanes(DType::q8_0, rows, k, n, [&](std::span<const std::byte>) {
    return ++calls == 2 ? error(StatusCode::io, "disk full") : Status();
  });
  EXPECT_EQ(status.code(), StatusCode::io);
  EXPECT_EQ(calls, 2);
}
