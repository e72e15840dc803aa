// The thread pool: every chunk once, and cheap enough for hundreds of launches per token.
#include "runtime/cpu/ThreadPool.h"

#include <chrono>
#include <cstdio>
#include <gtest/gtest.h>

using transom::ThreadPool;

// Each chunk runs exactly once, whatever the number of chunks and threads, over many dispatches.
TEST(ThreadPool, EachChunkOnce) {
  for (uint32_t threads : {1u, 2u, 5u}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.threads(), threads);
    for (int repeat = 0; repeat < 3000; ++repeat) {
      uint32_t chunks = static_cast<uint32_t>(repeat % 23);
      std::vector<std::atomic<int>> counts(23);
      pool.run(chunks, [](void *context, uint32_t chunk, uint32_t) {
        ++(*static_cast<std::vector<std::atomic<int>> *>(context))[chunk];
      }, &counts);
      for (uint32_t i = 0; i < 23; ++i)
        ASSERT_EQ(counts[i], i < chunks ? 1 : 0);
    }
  }
}

// No two chunks run on the same thread number at the same time: scratch is private.
TEST(ThreadPool, ThreadNumbersAreExclusive) {
  ThreadPool pool(4);
  struct Context {
    std::atomic<int> inside[4] = {};
    std::atomic<int> clashes = 0;
  } context;
  for (int repeat = 0; repeat < 2000; ++repeat)
    pool.run(16, [](void *opaque, uint32_t, uint32_t thread) {
      auto &c = *static_cast<Context *>(opaque);
      if (c.inside[thread]++ != 0)
        ++c.clashes;
      --c.inside[thread];
    }, &context);
  EXPECT_EQ(context.clashes, 0);
}

// Workers that sleep wake for the next task, and pools can be destroyed while they sleep.
TEST(ThreadPool, WakesAfterSleep) {
  ThreadPool pool(3);
  std::atomic<int> ran = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    pool.run(3, [](void *context, uint32_t, uint32_t) { ++*static_cast<std::atomic<int> *>(context); }, &ran);
  }
  EXPECT_EQ(ran, 15);
}

// Prints the cost of a dispatch; a bound would fail on a busy machine.
TEST(ThreadPool, DispatchCost) {
  ThreadPool pool(2);
  auto nothing = [](void *, uint32_t, uint32_t) {};
  constexpr int count = 20000;
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < count; ++i)
      pool.run(2, nothing, nullptr);
    std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
    best = std::min(best, time.count() / count);
  }
  std::printf("a dispatch of 2 chunks to 2 threads: %.2f us\n", best);
  EXPECT_LT(best, 1000);
}
