// Barriers in shared memory, named ones and a cluster's, and registers that warps hand over; after the PTX ISA's chapters on mbarrier,
// bar, barrier.cluster and setmaxnreg.
#include "test/emulator/Cluster.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace transom::emulator {

namespace {

constexpr uint32_t mostArrivals = (1u << 20) - 1;
constexpr int64_t mostBytes = (1 << 20) - 1;

} // namespace

//===-- Clusters and named barriers ---------------------------------------------------------------------------------===//

void HopperUnit::formCluster(uint32_t blocks) { cluster_.formCluster(blocks); }
uint32_t HopperUnit::atRank(uint32_t address, uint32_t rank) { return cluster_.atRank(address, rank); }

void HopperUnit::completeCluster() {
  cluster_.wakeAll(Waits::clusterBarrier, clusterPhase_);
  ++clusterPhase_;
  atCluster_ = 0;
}
void HopperUnit::arriveCluster() {
  uint32_t &arrival = clusterArrival_[cluster_.self()];
  if (arrival != arrivedNot)
    cluster_.fail("barrier.cluster.arrive twice without a wait");
  arrival = clusterPhase_;
  if (++atCluster_ == cluster_.live())
    completeCluster();
}
void HopperUnit::waitCluster() {
  uint32_t thread = cluster_.self(), phase = clusterArrival_[thread];
  if (phase == arrivedNot)
    cluster_.fail("barrier.cluster.wait without an arrive");
  if (phase == clusterPhase_)
    cluster_.wait(Waits::clusterBarrier, phase);
  clusterArrival_[thread] = arrivedNot;
}

/// Whether it completes.
bool HopperUnit::arriveAtNamed(uint32_t id, uint32_t threads) {
  if (id >= 16 || threads == 0 || threads % 32 != 0 || threads > maxThreads)
    cluster_.fail("barrier {} of {} threads: there are 16, of multiples of 32 threads", id, threads);
  NamedBarrier &named = cluster_.ownBlock().named[id];
  if (named.arrived != 0 && named.threads != threads)
    cluster_.fail("barrier {} of {} threads, where others say {}", id, threads, named.threads);
  named.threads = threads;
  if (++named.arrived < threads)
    return false;
  named = {};
  uint32_t block = cluster_.self() / cluster_.stride();
  cluster_.wakeAllOf(block, Waits::namedBarrier, uint64_t(block) << 8 | id);
  return true;
}
void HopperUnit::arriveNamed(uint32_t id, uint32_t threads) { arriveAtNamed(id, threads); }
void HopperUnit::syncNamed(uint32_t id, uint32_t threads) {
  if (!arriveAtNamed(id, threads))
    cluster_.wait(Waits::namedBarrier, uint64_t(cluster_.self() / cluster_.stride()) << 8 | id);
}

//===-- Registers ---------------------------------------------------------------------------------------------------===//

/// To warps that wait for them, as far as they go.
void HopperUnit::handRegisters() {
  uint32_t warps = cluster_.stride() / 32;
  for (uint32_t warp = 0; warp < registers_.size(); ++warp) {
    Registers &own = registers_[warp];
    uint32_t &free = cluster_.block(warp / warps).freeRegisters, more = 32 * (own.wants - own.has);
    if (own.wants == 0 || more > free)
      continue;
    free -= more;
    own = {own.wants, 0};
    for (uint32_t lane = 0; lane < 32; ++lane)
      cluster_.wakeOne(32 * warp + lane, Waits::registers);
  }
}

void HopperUnit::changeRegisters(uint32_t warp, uint32_t count, bool more) {
  Registers &own = registers_[warp];
  if (count % 8 != 0 || count < 24 || count > 256 || (more ? count < own.has : count > own.has))
    cluster_.fail("setmaxnreg.{} to {} registers of {}: a multiple of 8 from 24 to 256, no {} than there are", more ? "inc" : "dec", count,
                  own.has, more ? "fewer" : "more");
  if (more) {
    own.wants = count;
  } else {
    cluster_.ownBlock().freeRegisters += 32 * (own.has - count);
    own.has = count;
  }
  handRegisters();
}

void HopperUnit::setRegisters(uint32_t count, bool more) {
  auto change = [](WarpExchange &warp) {
    uint32_t in[2];
    std::memcpy(in, warp.lanes[0].in, sizeof in);
    theCluster().hopper().changeRegisters(theCluster().self() / 32, in[0], in[1] != 0);
  };
  uint32_t in[] = {count, more};
  std::memcpy(cluster_.machine.ownLane()->in, in, sizeof in);
  cluster_.syncWarp(~0u, change);
  if (registers_[cluster_.self() / 32].wants != 0)
    cluster_.wait(Waits::registers, count);
}

//===-- Barriers in shared memory -----------------------------------------------------------------------------------===//

HopperUnit::Key HopperUnit::barrierAt(uint32_t address) {
  Cluster::Place place = cluster_.placeOf(address, 8);
  if (place.offset % 8 != 0)
    cluster_.fail("a barrier at {} of shared memory, no multiple of 8", place.offset);
  return keyOf(place.block, place.offset);
}

void HopperUnit::initBarrier(uint32_t address, uint32_t arrivals) {
  Key key = barrierAt(address);
  if (arrivals == 0 || arrivals > mostArrivals)
    cluster_.fail("a barrier for {} arrivals: there may be 1 to {}", arrivals, mostArrivals);
  if (!barriers_.insert(key).second)
    cluster_.fail("the barrier at {} of shared memory is made twice", key & 0xffffff);
  MemoryBarrier{arrivals, arrivals, 0, 0, true}.write(cluster_.block(key >> 24).shared + (key & 0xffffff));
}
void HopperUnit::endBarrier(uint32_t address) {
  Key key = barrierAt(address);
  if (barriers_.erase(key) == 0)
    cluster_.fail("mbarrier.inval: there is no barrier at {} of shared memory", key & 0xffffff);
}

/// On behalf of `thread`. bytes: that are expected, or negative: that are there.
void HopperUnit::change(Key key, uint32_t thread, uint32_t arrivals, int64_t bytes) {
  char *at = cluster_.block(key >> 24).shared + (key & 0xffffff);
  MemoryBarrier b = MemoryBarrier::read(at);
  if (!b.valid)
    cluster_.failFor(thread, "there is no barrier at {} of shared memory", key & 0xffffff);
  b.bytes += bytes;
  if (std::abs(b.bytes) > mostBytes)
    cluster_.failFor(thread, "the barrier at {} of shared memory counts to {} bytes, not {}", key & 0xffffff, mostBytes, b.bytes);
  if (arrivals > b.pending)
    cluster_.failFor(thread, "more arrivals at the barrier at {} of shared memory than the {} of its phase", key & 0xffffff, b.expected);
  b.pending -= arrivals;
  bool complete = b.pending == 0 && b.bytes == 0;
  uint32_t parity = b.parity;
  if (complete)
    b.parity ^= 1, b.pending = b.expected;
  b.write(at);
  if (complete)
    cluster_.wakeAll(Waits::memoryBarrier, uint64_t(key) << 1 | parity);
}

void HopperUnit::arrive(uint32_t address, uint32_t arrivals, uint32_t bytes) { change(barrierAt(address), cluster_.self(), arrivals, bytes); }

void HopperUnit::complete(uint32_t address, uint32_t bytes) { change(barrierAt(address), cluster_.self(), 0, -int64_t(bytes)); }

void HopperUnit::waitBarrier(uint32_t address, uint32_t parity) {
  Key key = barrierAt(address);
  MemoryBarrier b = MemoryBarrier::read(cluster_.block(key >> 24).shared + (key & 0xffffff));
  if (!b.valid)
    cluster_.fail("there is no barrier at {} of shared memory", key & 0xffffff);
  if (parity > 1)
    cluster_.fail("a parity of {}", parity);
  if (b.parity == parity)
    cluster_.wait(Waits::memoryBarrier, uint64_t(key) << 1 | parity);
}

void HopperUnit::fenceProxy() {
  Block &own = cluster_.ownBlock();
  std::memcpy(own.proxy, own.shared, cluster_.sharedBytes());
}

} // namespace transom::emulator
