// Owners of a stream and of an event.
#pragma once

#include "runtime/cuda/Device.h"

#include <utility>

namespace transom {

/// A stream that does not wait for the default one. Move-only. Destroying it does not wait for its work.
class CudaStream {
public:
  CudaStream() = default;
  /// Makes the device current.
  static Result<CudaStream> create(std::shared_ptr<const CudaDevice> device);
  CudaStream(CudaStream &&other) noexcept { *this = std::move(other); }
  CudaStream &operator=(CudaStream &&other) noexcept;
  ~CudaStream();
  /// Null where empty.
  cuda::CUstream get() const { return stream_; }
  /// Waits until all its work is done, and says how that went.
  Status synchronize() const;

private:
  std::shared_ptr<const CudaDevice> device_;
  cuda::CUstream stream_ = nullptr;
};

/// What an event is for.
enum class EventUse : uint8_t { order, timing };

/// Move-only.
class CudaEvent {
public:
  CudaEvent() = default;
  /// Makes the device current.
  static Result<CudaEvent> create(std::shared_ptr<const CudaDevice> device, EventUse use);
  CudaEvent(CudaEvent &&other) noexcept { *this = std::move(other); }
  CudaEvent &operator=(CudaEvent &&other) noexcept;
  ~CudaEvent();
  /// Null where empty.
  cuda::CUevent get() const { return event_; }

private:
  std::shared_ptr<const CudaDevice> device_;
  cuda::CUevent event_ = nullptr;
};

} // namespace transom
