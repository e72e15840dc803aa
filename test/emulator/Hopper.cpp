// When the units of sm_90 begin, work and end; what they do is in Barriers.cpp, Boxes.cpp and Products.cpp.
#include "test/emulator/Cluster.h"

#include <algorithm>
#include <cstdlib>

namespace transom::emulator {

static constexpr uint32_t registersOfMultiprocessor = 65536;

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
      return fmt::format("at its end, the barrier at {} of shared memory {} {} bytes", key & 0xffffff,
                         b.bytes > 0 ? "still expects" : "was never told to expect", std::abs(b.bytes));
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
    return fmt::format("the barrier at {} of shared memory for parity {}, which lacks {} arrivals and {} bytes", key & 0xffffff, what & 1,
                       b.pending, b.bytes);
  }
  case Waits::registers:
    return fmt::format("setmaxnreg for {} registers", what);
  default:
    return "nothing";
  }
}

} // namespace transom::emulator
