// See CudaCubins.h.
#include "compiler/CudaCubins.h"

#include "runtime/cuda/JitCache.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace transom {

Result<std::vector<Cubin>> compileCubins(const std::vector<artifact::CudaKernel> &kernels, const std::vector<artifact::CudaHeader> &headers,
                                         const std::vector<std::string> &architectures, const std::function<void(double)> &progress) {
  TRANSOM_ASSIGN(const Nvrtc *nvrtc, Nvrtc::get());
  const JitCache cache = JitCache::standard();
  std::vector<NvrtcHeader> texts;
  for (const artifact::CudaHeader &header : headers)
    texts.push_back({header.name, header.text});
  std::vector<Cubin> cubins(architectures.size() * kernels.size());
  std::vector<Status> statuses(cubins.size());
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::condition_variable changed;
  size_t done = 0;
  auto work = [&] {
    for (size_t i; (i = next++) < cubins.size();) {
      const artifact::CudaKernel &kernel = kernels[i % kernels.size()];
      const std::string &architecture = architectures[i / kernels.size()];
      Result<std::vector<std::byte>> bytes = cache.compile(*nvrtc, {kernel.name, kernel.source, texts, architecture, kernel.maxRegisters});
      if (bytes.ok())
        cubins[i] = {architecture, kernel.name, std::move(*bytes)};
      else
        statuses[i] = bytes.status();
      std::lock_guard lock(mutex);
      ++done;
      changed.notify_one();
    }
  };
  size_t count = std::min<size_t>(std::max(1u, std::thread::hardware_concurrency()), cubins.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < count; ++i)
    threads.emplace_back(work);
  for (size_t seen = 0; seen < cubins.size();) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done > seen; });
    seen = done;
    lock.unlock();
    if (progress)
      progress(double(seen) / double(cubins.size()));
  }
  for (std::thread &thread : threads)
    thread.join();
  for (Status &status : statuses)
    TRANSOM_RETURN_IF_ERROR(std::move(status));
  return cubins;
}

} // namespace transom
