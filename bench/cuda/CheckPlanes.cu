// Checks of quantised planes: repacked on the device, decoded to matrices and embedding rows, bit for bit the numbers of the
// blocks.
#include "Blocks.h"
#include "Checks.h"

namespace lab {
namespace {

/// The planes of one matrix behind one another, as an artifact has them.
template <class Format, class Host, class Repack> struct PackedPlanes {
  std::vector<double> values;
  Device<uint8> planes;
  explicit PackedPlanes(int rows) : planes((size_t)rows * Format::steps * 128 + 4 * 256) {
    constexpr int K = Format::K;
    std::vector<uint8_t> blocks = randomBlocks<Host>(rows, K);
    values = decodeBlocks<Host>(blocks);
    size_t at = 0;
    auto take = [&](size_t bytes) {
      uint8 *plane = planes + at;
      at += (bytes + 255) / 256 * 256;
      return plane;
    };
    constexpr bool six = Format::halves, high = requires(typename Format::View v) { v.high; };
    Planes p = {};
    p.quants = take((size_t)rows * Format::steps * 64);
    p.high = high ? take((size_t)rows * Format::steps * (six ? 32 : 16)) : nullptr;
    p.scales = six ? take((size_t)rows * Format::steps * 8) : planes + at;
    p.outer = six ? planes + at : nullptr;
    Device<uint8> from(blocks);
    int perRow = Format::steps * Repack::blocksPerStep;
    launch(repackEntry<Repack, K>, {dim3((unsigned)ceilDiv(rows * perRow, 128)), 128, 0, nullptr, false}, (const uint8 *)from.p, p, rows, K / Host::weights * Host::bytes);
    CHECK(cudaDeviceSynchronize());
  }
};

template <class Y> bool sameBits(const std::vector<Y> &out, const std::vector<float> &ref) {
  if (out.size() != ref.size())
    return false;
  for (size_t i = 0; i < out.size(); ++i) {
    Y wanted = rounded<Y>(ref[i]);
    if (std::memcmp(&out[i], &wanted, sizeof(Y)) != 0)
      return false;
  }
  return true;
}

template <class Format, class Host, class Repack, class Y> void checkPlanes(const std::string &name, int rows) {
  constexpr int K = Format::K;
  PackedPlanes<Format, Host, Repack> w(rows);
  std::vector<float> exact(w.values.begin(), w.values.end());
  Device<Y> y((size_t)rows * K);
  launch(unpackPlanesEntry<Format, Y>, {dim3((unsigned)unpackBlocks<Format, 256>(rows)), 256}, (const uint8 *)w.planes.p, y.p, (int64)rows);
  report(sameBits(y.host(), exact), name + " matrix", "bit for bit");
  std::vector<int> indices = {rows - 1, 0, -1, rows, 1 % rows}, places = {0, 1, 2, 1, 0};
  auto table = randomNumbers<float>(3 * K);
  Device<int> di(indices), dp(places);
  Device<float> dt(table);
  for (bool withPlaces : {false, true}) {
    Device<Y> rowsOfTable(indices.size() * K);
    Device<int> live(std::vector<int>{4});
    launch(embeddingPlanesEntry<Format, Y>, {dim3((unsigned)indices.size()), 128}, (const uint8 *)w.planes.p, (const int *)di.p, rows,
           (const float *)(withPlaces ? dt.p : nullptr), (const int *)dp.p, rowsOfTable.p, LiveRows{live, 1});
    auto out = rowsOfTable.host();
    bool untouched = number(out[4 * K]) != number(out[4 * K]);
    out.resize(4 * K);
    std::vector<float> ref(out.size());
    for (size_t i = 0; i < ref.size(); ++i) {
      int index = indices[i / K];
      bool inside = index >= 0 && index < rows;
      ref[i] = withPlaces ? (inside ? exact[(size_t)index * K + i % K] : 0.0f) + table[places[i / K] * K + i % K] : inside ? exact[(size_t)index * K + i % K] : 0.0f;
    }
    report(sameBits(out, ref), name + (withPlaces ? " rows and places" : " rows"), "bit for bit");
    report(untouched, name + " rows past the live ones", "stay poisoned");
  }
}

} // namespace

static void checkQuantPlanes() {
  checkPlanes<Q80Format<2048>, HostQ80, RepackQ80, float>("planes q8_0 fp32", 33);
  checkPlanes<Q80Format<96>, HostQ80, RepackQ80, BFloat>("planes q8_0 bf16 K96", 7);
  checkPlanes<Q4Format<1024, false>, HostQ4<false>, RepackQ4<false>, float>("planes q4_0 fp32", 21);
  checkPlanes<Q4Format<160, false>, HostQ4<false>, RepackQ4<false>, Half>("planes q4_0 fp16 K160", 5);
  checkPlanes<Q4Format<576, true>, HostQ4<true>, RepackQ4<true>, float>("planes q4_1 fp32", 40);
  checkPlanes<Q5Format<1024, false>, HostQ5<false>, RepackQ5<false>, float>("planes q5_0 fp32", 21);
  checkPlanes<Q5Format<288, true>, HostQ5<true>, RepackQ5<true>, float>("planes q5_1 fp32 K288", 40);
  checkPlanes<Q4KFormat<768>, HostQ4K, RepackQ4K, float>("planes q4_K fp32", 17);
  checkPlanes<Q5KFormat<768>, HostQ5K, RepackQ5K, float>("planes q5_K fp32", 17);
  checkPlanes<Q5KFormat<256>, HostQ5K, RepackQ5K, BFloat>("planes q5_K bf16", 1);
  checkPlanes<Q6KFormat<1024>, HostQ6K, RepackQ6K, float>("planes q6_K fp32", 9);
}
static Register checkQuantPlanesGroup("planes", checkQuantPlanes);

} // namespace lab
