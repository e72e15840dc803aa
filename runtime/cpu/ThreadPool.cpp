// See ThreadPool.h. Workers spin for a while after each task, as the next one mostly follows within microseconds, and
// then sleep on a futex.
#include "runtime/cpu/ThreadPool.h"

#include <algorithm>
#include <climits>
#include <immintrin.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

namespace transom {

namespace {

/// About 50 microseconds of pauses.
constexpr int spinsBeforeSleep = 2000;

void futexWait(std::atomic<uint32_t> &word, uint32_t value) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void futexWakeAll(std::atomic<uint32_t> &word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

uint32_t epochOf(uint64_t ticket) { return static_cast<uint32_t>(ticket >> 32); }
uint32_t chunksOf(uint64_t ticket) { return static_cast<uint32_t>(ticket); }

} // namespace

ThreadPool::ThreadPool(uint32_t threads) {
  workers_.reserve(threads);
  try {
    for (uint32_t thread = 1; thread < threads; ++thread)
      workers_.emplace_back([this, thread] { work(thread); });
  } catch (const std::system_error &) {
    // Fewer threads run the same work.
  }
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  ++epoch_;
  futexWakeAll(epoch_);
  for (std::thread &worker : workers_)
    worker.join();
}

uint32_t ThreadPool::availableProcessors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0)
    return std::max(1u, std::thread::hardware_concurrency());
  return std::max(1, CPU_COUNT(&set));
}

void ThreadPool::run(uint32_t chunks, Chunk function, void *context) {
  if (chunks <= 1 || workers_.empty()) {
    for (uint32_t chunk = 0; chunk < chunks; ++chunk)
      function(context, chunk, 0);
    return;
  }
  uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  function_.store(function, std::memory_order_relaxed);
  context_.store(context, std::memory_order_relaxed);
  pending_.store(chunks, std::memory_order_relaxed);
  ticket_.store(uint64_t(epoch) << 32 | chunks, std::memory_order_release);
  // Sequentially consistent with the workers' announcing that they go to sleep: one of the two sees the other.
  epoch_.store(epoch);
  if (sleepers_.load() != 0)
    futexWakeAll(epoch_);
  claim(epoch, 0);
  for (int spins = 0; pending_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < spinsBeforeSleep)
      _mm_pause();
    else
      ::sched_yield();
  }
}

void ThreadPool::claim(uint32_t epoch, uint32_t thread) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (epochOf(ticket) == epoch && chunksOf(ticket) != 0) {
    Chunk function = function_.load(std::memory_order_relaxed);
    void *context = context_.load(std::memory_order_relaxed);
    if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel))
      continue;
    function(context, chunksOf(ticket) - 1, thread);
    pending_.fetch_sub(1, std::memory_order_release);
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(uint32_t thread) {
  uint32_t seen = 0;
  while (true) {
    for (int spins = 0; epoch_.load(std::memory_order_acquire) == seen; ++spins) {
      if (spins < spinsBeforeSleep) {
        _mm_pause();
        continue;
      }
      ++sleepers_;
      if (epoch_.load() == seen)
        futexWait(epoch_, seen);
      --sleepers_;
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_)
      return;
    claim(seen, thread);
  }
}

} // namespace transom
