// See WeightUpload.h. The block is cut into chunks, which threads claim; each thread has two buffers, and waits for the copy
// from one only when it has filled the other.
#include "runtime/cuda/WeightUpload.h"

#include "runtime/cuda/DeviceMemory.h"
#include "runtime/cuda/Stream.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace transom {

using namespace cuda;

namespace {

/// One thread copies about 10 GB/s into page-locked memory, a PCIe 5 link takes 55 GB/s; more buffers take longer to lock.
constexpr uint64_t largestChunk = uint64_t(4) << 20;
constexpr uint64_t mostThreads = 8;

class Upload {
public:
  Upload(const CudaDevice &device, CUdeviceptr block, uint64_t bytes, std::span<const UploadPiece> pieces)
      : device_(device), block_(block), bytes_(bytes), pieces_(pieces) {}

  Status run(const std::shared_ptr<const CudaDevice> &device) {
    chunk_ = std::min(bytes_, largestChunk);
    uint64_t chunks = (bytes_ + chunk_ - 1) / chunk_;
    uint64_t threads = std::clamp<uint64_t>(std::thread::hardware_concurrency(), 1, std::min(mostThreads, chunks));
    TRANSOM_ASSIGN(buffers_, PinnedMemory::allocate(device, threads * 2 * chunk_, "uploading weights"));
    TRANSOM_ASSIGN(stream_, CudaStream::create(device));
    for (uint64_t i = 0; i < threads * 2; ++i) {
      TRANSOM_ASSIGN(CudaEvent event, CudaEvent::create(device, EventUse::order));
      events_.push_back(std::move(event));
    }
    {
      std::vector<std::jthread> others;
      try {
        for (uint64_t i = 1; i < threads; ++i)
          others.emplace_back([this, i] { work(i); });
      } catch (const std::system_error &) {
        // The threads that there are do it all.
      }
      work(0);
    }
    // The buffers may be freed only when no copy reads them.
    Status done = stream_.synchronize();
    return status_.ok() ? done : status_;
  }

private:
  void work(uint64_t thread) {
    if (Status status = copyChunks(thread); !status.ok()) {
      std::lock_guard lock(mutex_);
      if (status_.ok())
        status_ = std::move(status);
      failed_ = true;
    }
  }

  Status copyChunks(uint64_t thread) {
    const Driver &driver = device_.driver();
    TRANSOM_RETURN_IF_ERROR(device_.makeCurrent());
    uint64_t turn = 0;
    for (uint64_t begin; !failed_ && (begin = next_.fetch_add(chunk_)) < bytes_; ++turn) {
      uint64_t slot = thread * 2 + turn % 2, count = std::min(chunk_, bytes_ - begin);
      CUevent copied = events_[slot].get();
      std::byte *buffer = buffers_.data() + slot * chunk_;
      if (turn >= 2)
        TRANSOM_RETURN_IF_ERROR(driver.check(driver.cuEventSynchronize(copied), "uploading weights"));
      fill(buffer, begin, begin + count);
      TRANSOM_RETURN_IF_ERROR(
          driver.check(driver.cuMemcpyHtoDAsync(block_ + begin, buffer, count, stream_.get()), "uploading weights"));
      TRANSOM_RETURN_IF_ERROR(driver.check(driver.cuEventRecord(copied, stream_.get()), "uploading weights"));
    }
    return {};
  }

  /// Bytes [begin, end) of the block.
  void fill(std::byte *to, uint64_t begin, uint64_t end) const {
    auto piece = std::partition_point(pieces_.begin(), pieces_.end(),
                                      [&](const UploadPiece &p) { return p.to + p.from.size() <= begin; });
    uint64_t at = begin;
    for (; piece != pieces_.end() && piece->to < end; ++piece) {
      uint64_t from = std::max(piece->to, begin), until = std::min(piece->to + piece->from.size(), end);
      std::memset(to + (at - begin), 0, from - at);
      std::memcpy(to + (from - begin), piece->from.data() + (from - piece->to), until - from);
      at = until;
    }
    std::memset(to + (at - begin), 0, end - at);
  }

  const CudaDevice &device_;
  CUdeviceptr block_;
  uint64_t bytes_, chunk_ = 0;
  std::span<const UploadPiece> pieces_;
  PinnedMemory buffers_;
  std::vector<CudaEvent> events_;
  CudaStream stream_;
  std::atomic<uint64_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  Status status_;
};

} // namespace

Status uploadWeights(const std::shared_ptr<const CudaDevice> &device, CUdeviceptr block, uint64_t bytes,
                     std::span<const UploadPiece> pieces) {
  return bytes == 0 ? Status() : Upload(*device, block, bytes, pieces).run(device);
}

} // namespace transom
