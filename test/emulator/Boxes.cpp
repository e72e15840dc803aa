// The tensor memory accelerator: boxes of tensors to shared memory and back, after the PTX ISA's chapter on cp.async.bulk.tensor.
#include "test/emulator/Cluster.h"

#include <algorithm>
#include <cstring>

namespace transom::emulator {

std::string encodeTensorMap(cuda::CUtensorMap *to, cuda::CUtensorMapDataType type, uint32_t rank, const void *address, const uint64_t *sizes,
                            const uint64_t *strides, const uint32_t *box, const uint32_t *steps, cuda::CUtensorMapInterleave interleave,
                            cuda::CUtensorMapSwizzle swizzle) {
  constexpr uint8_t bytesOfTypes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
  auto at = reinterpret_cast<uintptr_t>(address);
  if (rank < 1 || rank > TensorMap::maxRank || type < 0 || static_cast<size_t>(type) >= std::size(bytesOfTypes))
    return fmt::format("{} dimensions of numbers of type {}", rank, static_cast<int>(type));
  if (reinterpret_cast<uintptr_t>(to) % 64 != 0 || at % 16 != 0)
    return fmt::format("a map that is not aligned to 64 bytes, or a tensor at {:#x}, not aligned to 16", at);
  TensorMap map = {};
  for (uint32_t i = 0; i < rank; ++i) {
    uint64_t stride = i == 0 ? bytesOfTypes[type] : strides[i - 1];
    if (sizes[i] == 0 || sizes[i] > uint64_t(1) << 32 || box[i] == 0 || box[i] > 256 || steps[i] != 1)
      return fmt::format("dimension {}: size {}, box {}, step {}", i, sizes[i], box[i], steps[i]);
    if (i > 0 && (stride % 16 != 0 || stride >= uint64_t(1) << 40))
      return fmt::format("dimension {}: a stride of {} bytes", i, stride);
    map.strides[i] = stride, map.last[i] = static_cast<uint32_t>(sizes[i] - 1), map.box[i] = static_cast<uint16_t>(box[i]);
  }
  uint32_t inner = box[0] * bytesOfTypes[type], span = swizzle == cuda::CU_TENSOR_MAP_SWIZZLE_NONE ? 0 : 16u << swizzle;
  if (inner % 16 != 0 || interleave != cuda::CU_TENSOR_MAP_INTERLEAVE_NONE || swizzle > cuda::CU_TENSOR_MAP_SWIZZLE_128B ||
      (span != 0 && inner > span))
    return fmt::format("a box of {} bytes in the innermost dimension, swizzled by {}", inner, span);
  map.mark = TensorMap::isOne;
  map.address = at;
  map.rank = static_cast<uint8_t>(rank);
  map.span = static_cast<uint8_t>(span);
  *to = {};
  std::memcpy(to, &map, sizeof map);
  return "";
}

uint64_t tensorBytes(const cuda::CUtensorMap &from) {
  TensorMap map;
  std::memcpy(&map, &from, sizeof map);
  uint64_t bytes = map.strides[0];
  for (uint32_t i = 0; i < map.rank; ++i)
    bytes += map.last[i] * map.strides[i];
  return bytes;
}

namespace {

uint32_t innerBytes(const TensorMap &map) { return map.box[0] * static_cast<uint32_t>(map.strides[0]); }
uint32_t boxRows(const TensorMap &map) {
  uint32_t rows = 1;
  for (uint32_t i = 1; i < map.rank; ++i)
    rows *= map.box[i];
  return rows;
}

/// Bytes [from, to) of a box's row that lie in the tensor, and where the row would begin in memory.
struct RowPart {
  int64_t address;
  uint32_t from, to;
};
RowPart rowPart(const TensorMap &map, const std::array<int, TensorMap::maxRank> &place, uint32_t row) {
  auto element = static_cast<int64_t>(map.strides[0]);
  RowPart part{static_cast<int64_t>(map.address) + place[0] * element, 0, 0};
  for (uint32_t i = 1; i < map.rank; row /= map.box[i], ++i) {
    int64_t at = int64_t(place[i]) + row % map.box[i];
    if (at < 0 || at > map.last[i])
      return part;
    part.address += at * static_cast<int64_t>(map.strides[i]);
  }
  int64_t size = int64_t(map.last[0]) + 1;
  int64_t from = std::clamp<int64_t>(-int64_t(place[0]), 0, map.box[0]), to = std::clamp<int64_t>(size - place[0], from, map.box[0]);
  part.from = static_cast<uint32_t>(from * element), part.to = static_cast<uint32_t>(to * element);
  return part;
}

} // namespace

void HopperUnit::checkMap(const void *map) {
  auto address = reinterpret_cast<uintptr_t>(map);
  uint64_t mark = 0;
  if (map && address % 64 == 0)
    std::memcpy(&mark, map, sizeof mark);
  if (mark != TensorMap::isOne)
    cluster_.fail("there is no CUtensorMap at {:#x}", address);
}

HopperUnit::Copy HopperUnit::copyOf(uint32_t address, const void *map, const int *place, uint32_t rank) {
  checkMap(map);
  Copy copy = {};
  std::memcpy(&copy.map, map, sizeof copy.map);
  if (copy.map.rank != rank)
    cluster_.fail("a copy of {} dimensions by a CUtensorMap of {}", rank, copy.map.rank);
  if (copy.map.span != 0 && innerBytes(copy.map) != copy.map.span)
    cluster_.fail("a row of {} bytes swizzled by {}, which the emulator does not have", innerBytes(copy.map), copy.map.span);
  std::copy_n(place, rank, copy.place.begin());
  Cluster::Place at = cluster_.placeOf(address, innerBytes(copy.map) * boxRows(copy.map));
  // Of swizzled boxes the pattern would begin in its middle.
  uint32_t align = copy.map.span == 0 ? 128 : 8 * copy.map.span;
  if (at.offset % align != 0)
    cluster_.fail("a box at {} of shared memory, no multiple of {}", at.offset, align);
  copy.block = at.block, copy.offset = at.offset, copy.thread = cluster_.self();
  return copy;
}

void HopperUnit::perform(const Copy &copy) {
  const TensorMap &map = copy.map;
  Block &block = cluster_.block(copy.block);
  uint32_t inner = innerBytes(map), rows = boxRows(map);
  alignas(16) char line[256 * 8];
  for (uint32_t row = 0; row < rows; ++row) {
    RowPart part = rowPart(map, copy.place, row);
    auto *memory = reinterpret_cast<char *>(static_cast<uintptr_t>(part.address));
    if (!copy.store) {
      std::memset(line, 0, inner);
      if (part.to > part.from)
        std::memcpy(line + part.from, memory + part.from, part.to - part.from);
    }
    for (uint32_t i = 0; i < inner; i += 16) {
      uint32_t at = swizzled(copy.offset + row * inner + i, map.span);
      if (copy.store) {
        std::memcpy(line + i, block.proxy + at, 16);
      } else {
        std::memcpy(block.shared + at, line + i, 16);
        std::memcpy(block.proxy + at, line + i, 16);
      }
    }
    if (copy.store && part.to > part.from)
      std::memcpy(memory + part.from, line + part.from, part.to - part.from);
  }
  if (!copy.store)
    change(copy.barrier, copy.thread, 0, -int64_t(inner) * rows);
}

void HopperUnit::loadBox(uint32_t to, const void *map, const int *place, uint32_t rank, uint32_t barrier, uint32_t ranks) {
  for (uint32_t other = 0; ranks >> other != 0; ++other)
    if (ranks >> other & 1)
      loadBox(atRank(to, other), map, place, rank, atRank(barrier, other), 0);
  if (ranks != 0)
    return;
  load(copyOf(to, map, place, rank), barrier);
}

void HopperUnit::loadBytes(uint32_t to, const void *from, uint32_t bytes, uint32_t barrier) {
  auto address = reinterpret_cast<uintptr_t>(from);
  if (to % 16 != 0 || address % 16 != 0 || bytes % 16 != 0 || bytes == 0 || bytes / 16 > UINT16_MAX)
    cluster_.fail("a bulk copy of {} bytes from {:#x} to {} of shared memory: all are multiples of 16", bytes, address, to);
  Copy copy = {}; // a box of rows of 16 bytes
  copy.map.mark = TensorMap::isOne, copy.map.address = address, copy.map.rank = 2;
  copy.map.strides[0] = 1, copy.map.strides[1] = 16;
  copy.map.last[0] = 15, copy.map.last[1] = bytes / 16 - 1;
  copy.map.box[0] = 16, copy.map.box[1] = static_cast<uint16_t>(bytes / 16);
  Cluster::Place at = cluster_.placeOf(to, bytes);
  copy.block = at.block, copy.offset = at.offset, copy.thread = cluster_.self();
  load(copy, barrier);
}

void HopperUnit::load(Copy copy, uint32_t barrier) {
  copy.barrier = barrierAt(barrier);
  uint64_t seen;
  std::memcpy(&seen, cluster_.block(copy.barrier >> 24).proxy + (copy.barrier & 0xffffff), sizeof seen);
  if (seen == ~uint64_t(0))
    cluster_.fail("a copy for the barrier at {} of shared memory, which no fence behind its start has shown to copies", copy.barrier & 0xffffff);
  if (lazy())
    loads_.push_back(copy);
  else
    perform(copy);
}

void HopperUnit::storeBox(const void *map, const int *place, uint32_t rank, uint32_t from) {
  Copy copy = copyOf(from, map, place, rank);
  copy.store = true;
  if (!lazy())
    perform(copy);
  stores_[copy.thread].open.push_back(copy);
}

void HopperUnit::commitStores() {
  Stores &own = stores_[cluster_.self()];
  own.groups.push_back(std::move(own.open));
  own.open.clear();
}

/// All but the `pending` youngest groups of a thread.
void HopperUnit::finishStores(uint32_t thread, uint32_t pending) {
  for (Stores &own = stores_[thread]; own.groups.size() > pending; own.groups.pop_front())
    if (lazy())
      for (const Copy &copy : own.groups.front())
        perform(copy);
}

void HopperUnit::waitStores(uint32_t pending) {
  uint32_t thread = cluster_.self();
  if (!lazy() || stores_[thread].groups.size() <= pending)
    return finishStores(thread, pending);
  due_.push_back({false, thread, pending});
  cluster_.wait(Waits::stores, thread);
}

} // namespace transom::emulator
