// The threads that run kernels. Made for many short tasks in a row: a dispatch costs about a microsecond.
// No queue, no futures, no nesting.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace transom {

/// `threads` threads in all, the caller's among them. Used by one thread at a time.
class ThreadPool {
public:
  /// Runs chunk `chunk` of a task on the pool's thread `thread` (0 is the caller's).
  using Chunk = void (*)(void *context, uint32_t chunk, uint32_t thread);

  /// At least one thread. Where the system refuses to start one, the pool is smaller.
  explicit ThreadPool(uint32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;

  uint32_t threads() const { return static_cast<uint32_t>(workers_.size()) + 1; }

  /// Runs chunks 0 to chunks-1, each once, and returns when all are done. Allocates nothing. The caller takes part, so
  /// a worker that wakes late costs nothing; one chunk runs on the caller alone.
  void run(uint32_t chunks, Chunk function, void *context);

  /// The number of processors this process may run on.
  static uint32_t availableProcessors();

private:
  void work(uint32_t thread);
  /// Claims and runs chunks of the task numbered `epoch` until none is left.
  void claim(uint32_t epoch, uint32_t thread);

  // The task. Written by run() while no chunk is left to claim; a worker that reads it late fails to claim.
  std::atomic<Chunk> function_ = nullptr;
  std::atomic<void *> context_ = nullptr;
  /// Upper half: the task's number. Lower half: chunks not claimed yet.
  alignas(64) std::atomic<uint64_t> ticket_ = 0;
  alignas(64) std::atomic<uint32_t> pending_ = 0; ///< chunks not finished yet
  alignas(64) std::atomic<uint32_t> epoch_ = 0;   ///< what sleeping workers wait on
  std::atomic<uint32_t> sleepers_ = 0;
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> workers_;
};

} // namespace transom
