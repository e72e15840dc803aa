// Turns, barriers of blocks and warps, shared memory; see Cluster.h.
#include "test/emulator/Cluster.h"
#include "test/emulator/Tensor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

namespace transom::emulator {

Cluster &theCluster() {
  static Cluster it;
  return it;
}
Machine &theMachine() { return theCluster().machine; }

Cluster::Cluster() : hopper_(*this) {
  machine = {};
  machine.reserveShared = [](uint32_t bytes, uint32_t align) { return theCluster().reserveShared(bytes, align); };
  machine.sharedAt = [](uint32_t address, uint32_t bytes) { return theCluster().sharedAt(address, bytes); };
  machine.syncBlock = [](int value) { return theCluster().syncBlock(value); };
  machine.ownLane = [] {
    Cluster &c = theCluster();
    return &c.warps_[c.self() / 32].exchange.lanes[c.self() % 32];
  };
  machine.syncWarp = [](uint32_t mask, WarpFunction function) { theCluster().syncWarp(mask, function); };
  machine.activeLanes = [] {
    Cluster &c = theCluster();
    return c.warps_[c.self() / 32].live;
  };
  machine.fail = [](const char *message) { theCluster().fail("{}", message); };
  machine.mmaHalf = multiplyHalf;
  machine.mmaBFloat = multiplyBFloat;
  machine.mmaE4m3 = multiplyE4m3;
  machine.loadMatrices = loadMatrices;
  machine.loadMatricesTransposed = loadMatricesTransposed;
  machine.storeMatrices = storeMatrices;
  machine.hopper = &hopper_;
}

//===-- Turns -------------------------------------------------------------------------------------------------------===//

/// The fiber that is to run now, or the one that waits outside for the blocks' end or failure.
size_t Cluster::next() {
  while (waiting_ == 0)
    if (!hopper_.performOne())
      return Fibers::outside;
  uint32_t thread = queue_[head_];
  head_ = (head_ + 1) % queue_.size();
  --waiting_;
  return thread;
}

/// What kernels see of themselves from now on.
void Cluster::enter(size_t thread) {
  if (thread == Fibers::outside)
    return;
  Block &block = blocks_[thread / stride_];
  machine.thread = &threads_[thread % stride_];
  machine.blockIdx = block.index;
  machine.shared = block.shared;
}

void Cluster::wait(Waits why, uint64_t what) {
  waits_[self()] = {why, what};
  size_t to = next();
  enter(to);
  fibers_.switchTo(to);
}

/// In the reverse order, who is woken last goes first.
void Cluster::wake(uint32_t thread) {
  waits_[thread] = {Waits::no, 0};
  if (!forward())
    head_ = (head_ + queue_.size() - 1) % queue_.size();
  queue_[(head_ + (forward() ? waiting_ : 0)) % queue_.size()] = thread;
  ++waiting_;
}

void Cluster::note(uint32_t thread, const std::string &what) {
  const Dim3 &index = threads_[thread % stride_].index;
  if (failure_.empty())
    failure_ = fmt::format("thread ({}, {}, {}): {}", index.x, index.y, index.z, what);
  machine.blockIdx = blocks_[thread / stride_].index;
}
void Cluster::leave() {
  fibers_.leaveTo(Fibers::outside);
  std::abort(); // nothing comes back to a fiber that left
}

void Cluster::threadMain(void *) {
  Cluster &c = theCluster();
  c.kernel_->call(c.arguments_);
  c.exitThread();
}

void Cluster::exitThread() {
  hopper_.endThread();
  uint32_t own = self();
  waits_[own] = {Waits::ended, 0};
  Block &block = ownBlock();
  --block.live;
  Warp &warp = warps_[own / 32];
  warp.live &= ~(1u << own % 32);
  // Those that wait for this one only may go on.
  for (Collective &collective : warp.collectives)
    if (collective.mask != 0 && collective.arrived == (collective.mask & warp.live))
      release(own / 32, collective);
  if (block.atBarrier > 0 && block.atBarrier == block.live)
    releaseBarrier(own / stride_);
  size_t to = next();
  enter(to);
  fibers_.leaveTo(to);
}

//===-- Barriers ----------------------------------------------------------------------------------------------------===//

void Cluster::releaseBarrier(uint32_t index) {
  Block &block = blocks_[index];
  block.barrierResult = block.barrierSum;
  block.barrierSum = 0;
  block.atBarrier = 0;
  wakeAllOf(index, Waits::blockBarrier, 0);
}

int Cluster::syncBlock(int value) {
  Block &block = ownBlock();
  uint32_t own = self(), index = own / stride_;
  block.barrierSum += value;
  ++block.atBarrier;
  waits_[own] = {Waits::blockBarrier, 0};
  if (block.atBarrier == block.live)
    releaseBarrier(index); // this thread takes its turn with the others
  wait(waits_[own].why, waits_[own].what);
  return block.barrierResult;
}

void Cluster::release(uint32_t index, Collective &collective) {
  Warp &warp = warps_[index];
  warp.exchange.taking = collective.arrived;
  collective.function(warp.exchange);
  for (uint32_t lane = 0; lane < 32; ++lane)
    if (collective.arrived >> lane & 1)
      wakeOne(index * 32 + lane, Waits::warp);
  collective = {};
}

void Cluster::syncWarp(uint32_t mask, WarpFunction function) {
  uint32_t own = self(), bit = 1u << own % 32;
  Warp &warp = warps_[own / 32];
  if (!(mask & bit))
    fail("a collective of the lanes {:08x}, which the thread is not one of", mask);
  Collective *place = nullptr;
  for (Collective &collective : warp.collectives) {
    if (collective.mask == mask) {
      place = &collective;
      break;
    }
    if (collective.mask != 0 && (collective.mask & mask & warp.live) != 0)
      fail("a collective of the lanes {:08x}, while others of the warp are at one of {:08x}", mask, collective.mask);
    if (collective.mask == 0 && !place)
      place = &collective;
  }
  if (!place)
    fail("more collectives of one warp at once than the emulator keeps");
  if (place->mask == 0)
    *place = {mask, 0, function};
  if (place->function != function)
    fail("lanes of one warp are at different collectives");
  place->arrived |= bit;
  if (place->arrived == (mask & warp.live)) {
    release(own / 32, *place);
    return;
  }
  wait(Waits::warp, 0);
}

//===-- Shared memory -----------------------------------------------------------------------------------------------===//

/// At the same place in all blocks.
uint32_t Cluster::reserveShared(uint32_t bytes, uint32_t align) {
  uint32_t place = (sharedUsed_ + align - 1) / align * align, end = place + bytes;
  if (end > options_.mostSharedBytes)
    fail("{} bytes of shared memory, more than the {} of the device", end, options_.mostSharedBytes);
  for (uint32_t i = 0; i < blockCount_; ++i) {
    std::memset(blocks_[i].shared + place, 0xff, bytes);
    std::memset(blocks_[i].proxy + place, 0xff, bytes);
  }
  sharedUsed_ = end;
  return place;
}

/// Bits 24 and up of an address: 0 for the thread's own block, or one more than a rank.
constexpr uint32_t rankShift = 24;

uint32_t Cluster::atRank(uint32_t address, uint32_t rank) const {
  return (address & ((1u << rankShift) - 1)) | (rank + 1) << rankShift;
}

Cluster::Place Cluster::placeOf(uint32_t address, uint32_t bytes) {
  uint32_t offset = address & ((1u << rankShift) - 1), rank = address >> rankShift;
  if (rank > blockCount_)
    fail("shared memory of block {} of a cluster of {}", rank - 1, blockCount_);
  uint32_t block = rank == 0 ? self() / stride_ : forward() ? rank - 1 : blockCount_ - rank;
  if (blocks_[block].live == 0)
    fail("shared memory of block {} of the cluster, which has ended", rank - 1);
  if (offset > sharedUsed_ || bytes > sharedUsed_ - offset)
    fail("an access of {} bytes at {} of shared memory, of which there are {}", bytes, offset, sharedUsed_);
  return {block, offset};
}

char *Cluster::sharedAt(uint32_t address, uint32_t bytes) {
  Place place = placeOf(address, bytes);
  return blocks_[place.block].shared + place.offset;
}

//===-- Launches ----------------------------------------------------------------------------------------------------===//

uint32_t Cluster::live() const {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < blockCount_; ++i)
    sum += blocks_[i].live;
  return sum;
}

std::string Cluster::whereThreadsWait() {
  struct Group {
    uint32_t count = 0, first = ~0u;
  };
  std::map<std::pair<Waits, uint64_t>, Group> groups;
  for (uint32_t block = 0; block < blockCount_; ++block)
    for (uint32_t i = 0; i < count_; ++i) {
      Waiting &waiting = waits_[block * stride_ + i];
      Group &group = groups[{waiting.why, waiting.what}];
      ++group.count;
      group.first = std::min(group.first, i);
    }
  std::string text = "deadlock:";
  for (auto &[key, group] : groups)
    if (key.first != Waits::ended)
      text += fmt::format(" {}{} at {} (the first is {}),", group.count, text.back() == ':' ? " threads" : "",
                          hopper_.describe(key.first, key.second), group.first);
  return text + fmt::format(" {} have ended", groups[{Waits::ended, 0}].count);
}

/// The block at `place` of the cluster, counted in the order in which blocks take their turns.
void Cluster::startBlock(uint32_t place) {
  Block &block = blocks_[place];
  if (!block.shared) {
    block.shared = static_cast<char *>(std::aligned_alloc(1024, sharedCapacity));
    block.proxy = static_cast<char *>(std::aligned_alloc(1024, sharedCapacity));
  }
  std::memset(block.shared, 0xff, sharedUsed_);
  std::memset(block.proxy, 0xff, sharedUsed_);
  uint64_t at = forward() ? firstBlock_ + place : firstBlock_ - place;
  const Dim3 &grid = machine.gridDim;
  block.index = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y), static_cast<unsigned>(at / grid.x / grid.y)};
  block.live = count_;
  block.atBarrier = 0;
  block.barrierSum = 0;
  for (uint32_t i = place * stride_; i < (place + 1) * stride_; i += 32) {
    warps_[i / 32].live = 0;
    for (Collective &collective : warps_[i / 32].collectives)
      collective = {};
  }
  hopper_.beginBlock(place);
  for (uint32_t thread = place * stride_; thread < place * stride_ + count_; ++thread) {
    warps_[thread / 32].live |= 1u << thread % 32;
    fibers_.prepare(thread, threadMain, nullptr);
    wake(thread);
  }
}

void Cluster::formCluster(uint32_t blocks) {
  if (blockCount_ == blocks)
    return;
  if (blocks > maxBlocks || machine.gridDim.x % blocks != 0)
    fail("a cluster of {} blocks in a grid of {}", blocks, machine.gridDim.x);
  if (!fibers_.reserve(size_t(blocks) * stride_))
    fail("no memory for the stacks of {} blocks", blocks);
  for (; blockCount_ < blocks; ++blockCount_)
    startBlock(blockCount_);
}

/// Those of a cluster, where the first thread says that they are one.
void Cluster::runBlocks() {
  head_ = waiting_ = 0;
  blockCount_ = 1;
  hopper_.begin();
  startBlock(0);
  size_t first = next();
  enter(first);
  fibers_.switchTo(first);
  if (!failure_.empty())
    return;
  if (live() != 0)
    failure_ = whereThreadsWait();
  else
    failure_ = hopper_.problemAtEnd();
}

Status Cluster::run(const Entry &kernel, const LaunchShape &shape, void **arguments, const LaunchOptions &options) {
  uint64_t threads = uint64_t(shape.block.x) * shape.block.y * shape.block.z, blocks = uint64_t(shape.grid.x) * shape.grid.y * shape.grid.z;
  auto context = fmt::format("kernel {}", kernel.name);
  if (threads == 0 || threads > maxThreads || blocks == 0)
    return error(StatusCode::invalidArgument, "{}: a grid of {}x{}x{} blocks of {}x{}x{} threads", context, shape.grid.x, shape.grid.y,
                 shape.grid.z, shape.block.x, shape.block.y, shape.block.z);
  if (shape.sharedBytes > options.mostSharedBytes || options.mostSharedBytes > sharedCapacity)
    return error(StatusCode::invalidArgument, "{}: {} bytes of dynamic shared memory, more than {}", context, shape.sharedBytes,
                 options.mostSharedBytes);
  count_ = static_cast<uint32_t>(threads);
  stride_ = (count_ + 31) / 32 * 32;
  if (!fibers_.reserve(stride_))
    return error(StatusCode::outOfMemory, "{}: no memory for the stacks of {} threads", context, threads);
  kernel_ = &kernel;
  arguments_ = arguments;
  options_ = options;
  sharedUsed_ = shape.sharedBytes;
  ++machine.launch;
  machine.blockDim = shape.block;
  machine.gridDim = shape.grid;
  for (uint32_t i = 0; i < count_; ++i)
    threads_[i] = {{i % shape.block.x, i / shape.block.x % shape.block.y, i / shape.block.x / shape.block.y}, i % 32};
  failure_.clear();
  for (uint64_t i = 0; i < blocks; i += blockCount_) {
    firstBlock_ = forward() ? i : blocks - 1 - i;
    runBlocks();
    if (!failure_.empty())
      return error(StatusCode::internal, "{}: block ({}, {}, {}): {}", context, machine.blockIdx.x, machine.blockIdx.y,
                   machine.blockIdx.z, failure_);
  }
  return {};
}

} // namespace transom::emulator
