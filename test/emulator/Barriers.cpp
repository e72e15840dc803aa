// Barriers in shared memory, named ones and a cluster's, and registers that warps hand over; after the PTX ISA's chapters on mbarrier,
// bar, barrier.cluster and setmaxnreg.
#include "test/emulator/Cluster.h"

#include <algorithm>
#include <cstring>

namespace transom::emulator {

namespace {

constexpr uint32_t mostArrivals = (1u << 20) - 1;
constexpr int64_t mostBytes = (1 << 20) - 1;
constexpr uint32_t registersOfMultiprocessor = 65536;

/// What the 64 opaque bits of an mbarrier hold here. Memory that nothing was written to (0xff...) is none.
struct MemoryBarrier {
  uint32_t pending, expected; ///< arrivals
  uint32_t parity;            ///< of the phase under way
  int64_t bytes;              ///< expected and not yet there; negative: there and not yet expected
  bool valid;

  static MemoryBarrier read(const char *from) {
    uint64_t bits;
    std::memcpy(&bits, from, sizeof bits);
    auto part = [&](int shift, int width) { return static_cast<uint32_t>(bits >> shift & ((uint64_t(1) << width) - 1)); };
    MemoryBarrier b{part(0, 20), part(20, 20), part(40, 1), int64_t(part(41, 22)) - (1 << 21), part(63, 1) == 0};
    b.valid = b.valid && b.expected != 0 && b.pending <= b.expected;
    return b;
  }
  void write(char *to) const {
    uint64_t bits = uint64_t(pending) | uint64_t(expected) << 20 | uint64_t(parity) << 40 | static_cast<uint64_t>(bytes + (1 << 21)) << 41;
    std::memcpy(to, &bits, sizeof bits);
  }
};

} // namespace

bool HopperUnit::lazy() const { return cluster_.options().timing == Timing::lazy; }

void HopperUnit::begin() {
  barriers_.clear();
  clusterPhase_ = atCluster_ = 0;
  clusterArrival_.clear();
  registers_.clear();
  loads_.clear();
  stores_.clear();
  products_.clear();
  instructions_.clear();
  due_.clear();
}

void HopperUnit::beginBlock(uint32_t block) {
  uint32_t warps = cluster_.stride() / 32, each = registersOfMultiprocessor / cluster_.threadCount() / 8 * 8;
  Block &state = cluster_.block(block);
  state.named.fill({});
  state.freeRegisters = 0;
  clusterArrival_.resize((block + 1) * cluster_.stride(), arrivedNot);
  registers_.resize((block + 1) * warps, {std::min(each, 256u), 0});
  products_.resize((block + 1) * warps);
  instructions_.resize((block + 1) * warps);
}

void HopperUnit::endThread() {
  uint32_t thread = cluster_.self();
  WarpProducts &warp = products_[thread / 32];
  if (!warp.open.empty() || !warp.groups.empty())
    cluster_.fail("the thread ends before its products (wgmma) are waited for");
  if (auto found = stores_.find(thread); found != stores_.end() && (!found->second.open.empty() || !found->second.groups.empty()))
    cluster_.fail("the thread ends before its copies from shared memory are waited for");
  if (clusterArrival_[thread] == clusterPhase_)
    --atCluster_;
  clusterArrival_[thread] = arrivedNot;
  if (atCluster_ != 0 && atCluster_ == cluster_.live() - 1)
    completeCluster();
}

bool HopperUnit::performOne() {
  auto waitedFor = [&](const Copy &copy) {
    MemoryBarrier b = MemoryBarrier::read(cluster_.block(copy.barrier >> 24).shared + (copy.barrier & 0xffffff));
    return cluster_.someoneWaits(Waits::memoryBarrier, uint64_t(copy.barrier) << 1 | b.parity);
  };
  auto load = std::find_if(loads_.rbegin(), loads_.rend(), waitedFor);
  bool others = due_.empty() || cluster_.options().order == Order::reverse;
  if (load == loads_.rend() && others)
    load = loads_.rbegin();
  if (load != loads_.rend()) {
    if (cluster_.live() == 0)
      return false; // problemAtEnd() tells
    Copy copy = *load;
    loads_.erase(std::next(load).base());
    perform(copy);
    return true;
  }
  if (due_.empty())
    return false;
  Due due = due_.front();
  due_.pop_front();
  if (due.products)
    finishProducts(due.who, due.pending);
  else
    finishStores(due.who, due.pending);
  cluster_.wakeAll(due.products ? Waits::products : Waits::stores, due.who);
  return true;
}

std::string HopperUnit::problemAtEnd() const {
  if (!loads_.empty())
    return fmt::format("it ended before {} copies to its shared memory", loads_.size());
  for (Key key : barriers_) {
    MemoryBarrier b = MemoryBarrier::read(cluster_.block(key >> 24).shared + (key & 0xffffff));
    if (!b.valid)
      return fmt::format("at its end, the barrier at {} of shared memory is overwritten", key & 0xffffff);
    if (b.bytes != 0)
      return fmt::format("at its end, the barrier at {} of shared memory {} {} bytes", key & 0xffffff, b.bytes > 0 ? "still expects" : "was never told to expect",
                         std::abs(b.bytes));
  }
  return "";
}

std::string HopperUnit::describe(Waits why, uint64_t what) const {
  switch (why) {
  case Waits::blockBarrier:
    return "__syncthreads";
  case Waits::warp:
    return "a collective of their warp";
  case Waits::clusterBarrier:
    return "barrier.cluster";
  case Waits::namedBarrier: {
    const NamedBarrier &named = cluster_.block(static_cast<uint32_t>(what >> 8)).named[what & 0xff];
    return fmt::format("barrier {}, where {} of {} have arrived", what & 0xff, named.arrived, named.threads);
  }
  case Waits::memoryBarrier: {
    auto key = static_cast<Key>(what >> 1);
    MemoryBarrier b = MemoryBarrier::read(cluster_.block(key >> 24).shared + (key & 0xffffff));
    return fmt::format("the barrier at {} of shared memory for parity {}, which lacks {} arrivals and {} bytes", key & 0xffffff, what & 1, b.pending, b.bytes);
  }
  case Waits::registers:
    return fmt::format("setmaxnreg for {} registers", what);
  default:
    return "nothing";
  }
}

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
    cluster_.fail("setmaxnreg.{} to {} registers of {}: a multiple of 8 from 24 to 256, no {} than there are", more ? "inc" : "dec", count, own.has,
                  more ? "fewer" : "more");
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
