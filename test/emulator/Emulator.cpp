// The machine: blocks one after another; in a block, a queue of fibers that can go on. A fiber runs until it meets a barrier that is
// not complete; the last to arrive completes it and puts the others back into the queue.
#include "test/emulator/Emulator.h"
#include "test/emulator/Fibers.h"
#include "test/emulator/Tensor.h"

#include <algorithm>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <mutex>
#include <vector>

namespace transom::emulator {

namespace {

constexpr uint32_t maxThreads = 1024, maxWarps = maxThreads / 32;

enum class Waits : uint8_t { no, atBlockBarrier, atWarp, done };

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

class Block {
public:
  Machine machine;

  Block();
  Status run(const Entry &kernel, const LaunchShape &shape, void **arguments, const LaunchOptions &options);

private:
  Fibers fibers_;
  std::vector<ThreadView> threads_ = std::vector<ThreadView>(maxThreads);
  std::vector<Waits> waits_ = std::vector<Waits>(maxThreads);
  std::vector<Warp> warps_ = std::vector<Warp>(maxWarps);
  std::vector<uint32_t> queue_; ///< a ring of the threads that can go on
  size_t head_ = 0, waiting_ = 0;
  uint32_t count_ = 0, live_ = 0, atBarrier_ = 0;
  int barrierSum_ = 0, barrierResult_ = 0;
  char *shared_ = nullptr;
  uint32_t sharedUsed_ = 0, dynamicBytes_ = 0;
  const Entry *kernel_ = nullptr;
  void **arguments_ = nullptr;
  LaunchOptions options_;
  std::string failure_;

  uint32_t self() const { return static_cast<uint32_t>(fibers_.running()); }
  void runBlock();
  void push(uint32_t thread) {
    queue_[(head_ + waiting_) % maxThreads] = thread;
    ++waiting_;
  }
  size_t next();
  void resume(size_t index);
  void wait(Waits why);
  void release(uint32_t warp, Collective &collective);
  void releaseBarrier();
  void exitThread();
  uint32_t reserveShared(uint32_t bytes, uint32_t align);
  char *sharedAt(uint32_t address, uint32_t bytes);
  int syncBlock(int value);
  void syncWarp(uint32_t mask, WarpFunction function);
  /// Notes what is wrong with the thread that runs; leave() must follow, in a statement of its own: what lies on the stack that
  /// it leaves is never destroyed.
  void note(const std::string &what);
  [[noreturn]] void leave();
  std::string whereThreadsWait() const;
  static void threadMain(void *);
};

Block &block() {
  static Block it;
  return it;
}

Block::Block() : queue_(maxThreads) {
  shared_ = static_cast<char *>(std::aligned_alloc(1024, sharedCapacity));
  machine = {};
  machine.shared = shared_;
  machine.reserveShared = [](uint32_t bytes, uint32_t align) { return block().reserveShared(bytes, align); };
  machine.sharedAt = [](uint32_t address, uint32_t bytes) { return block().sharedAt(address, bytes); };
  machine.syncBlock = [](int value) { return block().syncBlock(value); };
  machine.ownLane = [] {
    Block &b = block();
    return &b.warps_[b.self() / 32].exchange.lanes[b.self() % 32];
  };
  machine.syncWarp = [](uint32_t mask, WarpFunction function) { block().syncWarp(mask, function); };
  machine.activeLanes = [] {
    Block &b = block();
    return b.warps_[b.self() / 32].live;
  };
  machine.fail = [](const char *message) {
    block().note(message);
    block().leave();
  };
  machine.mmaHalf = multiplyHalf;
  machine.mmaBFloat = multiplyBFloat;
  machine.loadMatrices = loadMatrices;
  machine.loadMatricesTransposed = loadMatricesTransposed;
}

//===-- Turns -------------------------------------------------------------------------------------------------------===//

/// The fiber that is to run now, or the one that waits outside for the block's end or failure.
size_t Block::next() {
  if (waiting_ == 0)
    return Fibers::outside;
  uint32_t thread = queue_[head_];
  head_ = (head_ + 1) % maxThreads;
  --waiting_;
  return thread;
}

void Block::wait(Waits why) {
  uint32_t own = self();
  waits_[own] = why;
  size_t to = next();
  if (to != Fibers::outside)
    machine.thread = &threads_[to];
  fibers_.switchTo(to);
}

void Block::note(const std::string &what) {
  if (failure_.empty())
    failure_ = fmt::format("thread ({}, {}, {}): {}", machine.thread->index.x, machine.thread->index.y, machine.thread->index.z, what);
}
void Block::leave() {
  fibers_.leaveTo(Fibers::outside);
  std::abort(); // nothing comes back to a fiber that left
}

void Block::threadMain(void *) {
  Block &b = block();
  b.kernel_->call(b.arguments_);
  b.exitThread();
}

void Block::exitThread() {
  uint32_t own = self();
  waits_[own] = Waits::done;
  --live_;
  Warp &warp = warps_[own / 32];
  warp.live &= ~(1u << own % 32);
  // Those that wait for this one only may go on.
  for (Collective &collective : warp.collectives)
    if (collective.mask != 0 && collective.arrived == (collective.mask & warp.live))
      release(own / 32, collective);
  if (atBarrier_ > 0 && atBarrier_ == live_)
    releaseBarrier();
  size_t to = next();
  if (to != Fibers::outside)
    machine.thread = &threads_[to];
  fibers_.leaveTo(to);
}

//===-- Barriers ----------------------------------------------------------------------------------------------------===//

void Block::releaseBarrier() {
  barrierResult_ = barrierSum_;
  barrierSum_ = 0;
  atBarrier_ = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    uint32_t thread = options_.order == Order::forward ? i : count_ - 1 - i;
    if (waits_[thread] == Waits::atBlockBarrier) {
      waits_[thread] = Waits::no;
      push(thread);
    }
  }
}

int Block::syncBlock(int value) {
  barrierSum_ += value;
  ++atBarrier_;
  waits_[self()] = Waits::atBlockBarrier;
  if (atBarrier_ == live_)
    releaseBarrier(); // this thread takes its turn with the others
  wait(waits_[self()]);
  return barrierResult_;
}

void Block::release(uint32_t index, Collective &collective) {
  Warp &warp = warps_[index];
  warp.exchange.taking = collective.arrived;
  collective.function(warp.exchange);
  for (uint32_t i = 0; i < 32; ++i) {
    uint32_t lane = options_.order == Order::forward ? i : 31 - i, thread = index * 32 + lane;
    if (collective.arrived >> lane & 1 && waits_[thread] == Waits::atWarp) {
      waits_[thread] = Waits::no;
      push(thread);
    }
  }
  collective = {};
}

void Block::syncWarp(uint32_t mask, WarpFunction function) {
  uint32_t own = self(), bit = 1u << own % 32;
  Warp &warp = warps_[own / 32];
  if (!(mask & bit)) {
    note(fmt::format("a collective of the lanes {:08x}, which the thread is not one of", mask));
    leave();
  }
  Collective *place = nullptr;
  for (Collective &collective : warp.collectives) {
    if (collective.mask == mask) {
      place = &collective;
      break;
    }
    if (collective.mask != 0 && (collective.mask & mask & warp.live) != 0) {
      note(fmt::format("a collective of the lanes {:08x}, while others of the warp are at one of {:08x}", mask, collective.mask));
      leave();
    }
    if (collective.mask == 0 && !place)
      place = &collective;
  }
  if (!place) {
    note("more collectives of one warp at once than the emulator keeps");
    leave();
  }
  if (place->mask == 0)
    *place = {mask, 0, function};
  if (place->function != function) {
    note("lanes of one warp are at different collectives");
    leave();
  }
  place->arrived |= bit;
  if (place->arrived == (mask & warp.live)) {
    release(own / 32, *place);
    return;
  }
  wait(Waits::atWarp);
}

//===-- Shared memory -----------------------------------------------------------------------------------------------===//

uint32_t Block::reserveShared(uint32_t bytes, uint32_t align) {
  uint32_t place = (sharedUsed_ + align - 1) / align * align, end = place + bytes;
  if (end > options_.mostSharedBytes) {
    note(fmt::format("{} bytes of shared memory, more than the {} of the device", end, options_.mostSharedBytes));
    leave();
  }
  std::memset(shared_ + place, 0xff, bytes);
  sharedUsed_ = end;
  return place;
}

char *Block::sharedAt(uint32_t address, uint32_t bytes) {
  if (address > sharedUsed_ || bytes > sharedUsed_ - address) {
    note(fmt::format("an access of {} bytes at {} of shared memory, of which there are {}", bytes, address, sharedUsed_));
    leave();
  }
  return shared_ + address;
}

//===-- Launches ----------------------------------------------------------------------------------------------------===//

std::string Block::whereThreadsWait() const {
  uint32_t barrier = 0, atWarp = 0, done = 0, firstBarrier = ~0u, firstWarp = ~0u;
  for (uint32_t i = 0; i < count_; ++i) {
    if (waits_[i] == Waits::atBlockBarrier)
      ++barrier, firstBarrier = std::min(firstBarrier, i);
    else if (waits_[i] == Waits::atWarp)
      ++atWarp, firstWarp = std::min(firstWarp, i);
    else
      ++done;
  }
  std::string text = "deadlock:";
  if (barrier > 0)
    text += fmt::format(" {} threads at __syncthreads (the first is {}),", barrier, firstBarrier);
  if (atWarp > 0)
    text += fmt::format(" {} at a collective of their warp (the first is {}),", atWarp, firstWarp);
  return text + fmt::format(" {} have ended", done);
}

void Block::runBlock() {
  std::memset(shared_, 0xff, sharedUsed_);
  head_ = waiting_ = 0;
  live_ = count_;
  atBarrier_ = 0;
  barrierSum_ = 0;
  for (Warp &warp : warps_) {
    warp.live = 0;
    for (Collective &collective : warp.collectives)
      collective = {};
  }
  for (uint32_t i = 0; i < count_; ++i) {
    uint32_t thread = options_.order == Order::forward ? i : count_ - 1 - i;
    waits_[thread] = Waits::no;
    warps_[thread / 32].live |= 1u << thread % 32;
    fibers_.prepare(thread, threadMain, nullptr);
    push(thread);
  }
  size_t first = next();
  machine.thread = &threads_[first];
  fibers_.switchTo(first);
  if (failure_.empty() && live_ != 0)
    failure_ = whereThreadsWait();
}

Status Block::run(const Entry &kernel, const LaunchShape &shape, void **arguments, const LaunchOptions &options) {
  uint64_t threads = uint64_t(shape.block.x) * shape.block.y * shape.block.z, blocks = uint64_t(shape.grid.x) * shape.grid.y * shape.grid.z;
  auto context = fmt::format("kernel {}", kernel.name);
  if (threads == 0 || threads > maxThreads || blocks == 0)
    return error(StatusCode::invalidArgument, "{}: a grid of {}x{}x{} blocks of {}x{}x{} threads", context, shape.grid.x, shape.grid.y,
                 shape.grid.z, shape.block.x, shape.block.y, shape.block.z);
  if (shape.sharedBytes > options.mostSharedBytes || options.mostSharedBytes > sharedCapacity)
    return error(StatusCode::invalidArgument, "{}: {} bytes of dynamic shared memory, more than {}", context, shape.sharedBytes,
                 options.mostSharedBytes);
  if (!fibers_.reserve(threads))
    return error(StatusCode::outOfMemory, "{}: no memory for the stacks of {} threads", context, threads);
  kernel_ = &kernel;
  arguments_ = arguments;
  options_ = options;
  count_ = static_cast<uint32_t>(threads);
  sharedUsed_ = shape.sharedBytes;
  ++machine.launch;
  machine.blockDim = shape.block;
  machine.gridDim = shape.grid;
  for (uint32_t i = 0; i < count_; ++i)
    threads_[i] = {{i % shape.block.x, i / shape.block.x % shape.block.y, i / shape.block.x / shape.block.y}, i % 32};
  failure_.clear();
  for (uint64_t i = 0; i < blocks; ++i) {
    uint64_t at = options.order == Order::forward ? i : blocks - 1 - i;
    machine.blockIdx = {static_cast<unsigned>(at % shape.grid.x), static_cast<unsigned>(at / shape.grid.x % shape.grid.y),
                        static_cast<unsigned>(at / shape.grid.x / shape.grid.y)};
    runBlock();
    if (!failure_.empty())
      return error(StatusCode::internal, "{}: block ({}, {}, {}): {}", context, machine.blockIdx.x, machine.blockIdx.y,
                   machine.blockIdx.z, failure_);
  }
  return {};
}

} // namespace

Machine &theMachine() { return block().machine; }

Status launch(const Entry &kernel, const LaunchShape &shape, void **arguments, const LaunchOptions &options) {
  static std::mutex turn;
  std::lock_guard lock(turn);
  return block().run(kernel, shape, arguments, options);
}

Result<std::shared_ptr<const KernelLibrary>> KernelLibrary::open(const std::string &path) {
  std::shared_ptr<KernelLibrary> library(new KernelLibrary);
  library->handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library->handle_)
    return error(StatusCode::notFound, "kernels: {}", dlerror());
  library->table_ = static_cast<const EntryTable *>(dlsym(library->handle_, entryTableSymbol));
  if (!library->table_)
    return error(StatusCode::invalidFile, "{}: expected a library of emulated kernels", path);
  if (library->table_->version != EntryTable::currentVersion)
    return error(StatusCode::invalidFile, "{}: expected version {} of emulated kernels, found {}", path, EntryTable::currentVersion,
                 library->table_->version);
  *library->table_->machine = &theMachine();
  return std::shared_ptr<const KernelLibrary>(std::move(library));
}

KernelLibrary::~KernelLibrary() {
  if (handle_)
    dlclose(handle_);
}

const Entry *KernelLibrary::find(std::string_view name) const {
  for (const Entry &entry : entries())
    if (entry.name == name)
      return &entry;
  return nullptr;
}

} // namespace transom::emulator
