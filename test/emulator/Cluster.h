// The machine: the blocks of a cluster, nearly always one, and in them a queue of the fibers that can go on. A fiber runs until it
// waits for something; who completes that puts it back into the queue. For the emulator's own files.
#pragma once

#include "test/emulator/Emulator.h"
#include "test/emulator/Fibers.h"
#include "test/emulator/Hopper.h"

#include <algorithm>
#include <array>
#include <vector>

namespace transom::emulator {

/// Room for the shared memory of any block.
constexpr uint32_t sharedCapacity = 256 * 1024;
constexpr uint32_t maxThreads = 1024, maxBlocks = 16; ///< of a block, of a cluster

/// A collective that not all of its lanes have reached. Those of one warp at a time have disjoint masks.
struct Collective {
  uint32_t mask = 0, arrived = 0; ///< mask 0: free
  WarpFunction function = nullptr;
};

struct Warp {
  WarpExchange exchange;
  uint32_t live = 0;
  static constexpr int most = 4;
  Collective collectives[most];
};

struct NamedBarrier {
  uint32_t threads = 0, arrived = 0;
};

/// What a block has of its own. Asynchronous units see `proxy`: shared memory as it was when a fence last showed it to them.
struct Block {
  Dim3 index;
  char *shared = nullptr, *proxy = nullptr;
  uint32_t live = 0, atBarrier = 0;
  int barrierSum = 0, barrierResult = 0;
  std::array<NamedBarrier, 16> named;
  uint32_t freeRegisters = 0;
};

class Cluster {
public:
  Machine machine;

  Cluster();
  Status run(const Entry &kernel, const LaunchShape &shape, void **arguments, const LaunchOptions &options);

  // For the units of sm_90. Threads are numbered through the cluster; a block's begin at a multiple of stride(). A thread's block is
  // a place in the order in which blocks take their turns.
  HopperUnit &hopper() { return hopper_; }
  const LaunchOptions &options() const { return options_; }
  uint32_t self() const { return static_cast<uint32_t>(fibers_.running()); }
  uint32_t stride() const { return stride_; }
  uint32_t threadCount() const { return count_; } ///< of a block
  uint32_t blockCount() const { return blockCount_; }
  Block &ownBlock() { return ownBlockOf(self()); }
  Block &ownBlockOf(uint32_t thread) { return blocks_[thread / stride_]; }
  Block &block(uint32_t place) { return blocks_[place]; }
  uint32_t sharedBytes() const { return sharedUsed_; }
  uint32_t live() const;

  /// A block's place and the offset in its shared memory. Fails where there is no such block, or it has ended.
  struct Place {
    uint32_t block, offset;
  };
  Place placeOf(uint32_t address, uint32_t bytes);
  uint32_t atRank(uint32_t address, uint32_t rank) const;
  void formCluster(uint32_t blocks);

  void wait(Waits why, uint64_t what);
  void wake(uint32_t thread);
  void wakeOne(uint32_t thread, Waits why) {
    if (waits_[thread].why == why)
      wake(thread);
  }
  bool someoneWaits(Waits why, uint64_t what) const {
    return std::any_of(waits_.begin(), waits_.begin() + blockCount_ * stride_, [&](const Waiting &w) { return w.why == why && w.what == what; });
  }
  /// Those of a block, or of all, that wait for it.
  void wakeAllOf(uint32_t block, Waits why, uint64_t what) {
    for (uint32_t thread = block * stride_; thread < block * stride_ + count_; ++thread)
      if (waits_[thread].why == why && waits_[thread].what == what)
        wake(thread);
  }
  void wakeAll(Waits why, uint64_t what) {
    for (uint32_t block = 0; block < blockCount_; ++block)
      wakeAllOf(block, why, what);
  }
  void syncWarp(uint32_t mask, WarpFunction function);

  /// Ends the launch with an error; does not return. What lies on the stack that it leaves is never destroyed, so nothing there may
  /// own memory.
  template <class... A> [[noreturn]] void fail(fmt::format_string<A...> text, const A &...arguments) { failFor(self(), text, arguments...); }
  template <class... A> [[noreturn]] void failFor(uint32_t thread, fmt::format_string<A...> text, const A &...arguments) {
    note(thread, fmt::vformat(text, fmt::make_format_args(arguments...)));
    leave();
  }

private:
  Fibers fibers_;
  HopperUnit hopper_;
  std::vector<ThreadView> threads_ = std::vector<ThreadView>(maxThreads);
  struct Waiting {
    Waits why;
    uint64_t what;
  };
  std::vector<Waiting> waits_ = std::vector<Waiting>(maxThreads * maxBlocks);
  std::vector<Warp> warps_ = std::vector<Warp>(maxThreads / 32 * maxBlocks);
  std::vector<uint32_t> queue_ = std::vector<uint32_t>(maxThreads * maxBlocks); ///< a ring of the threads that can go on
  size_t head_ = 0, waiting_ = 0;
  std::array<Block, maxBlocks> blocks_;
  uint32_t blockCount_ = 1, count_ = 0, stride_ = 0;
  uint64_t firstBlock_ = 0; ///< in the grid
  uint32_t sharedUsed_ = 0;
  const Entry *kernel_ = nullptr;
  void **arguments_ = nullptr;
  LaunchOptions options_;
  std::string failure_;

  bool forward() const { return options_.order == Order::forward; }
  void startBlock(uint32_t place);
  void runBlocks();
  size_t next();
  void enter(size_t thread);
  void release(uint32_t warp, Collective &collective);
  void releaseBarrier(uint32_t block);
  void exitThread();
  uint32_t reserveShared(uint32_t bytes, uint32_t align);
  char *sharedAt(uint32_t address, uint32_t bytes);
  int syncBlock(int value);
  void note(uint32_t thread, const std::string &what);
  [[noreturn]] void leave();
  std::string whereThreadsWait();
  static void threadMain(void *);
};

/// The one of this process.
Cluster &theCluster();

} // namespace transom::emulator
