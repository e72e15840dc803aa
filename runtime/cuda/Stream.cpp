// See Stream.h.
#include "runtime/cuda/Stream.h"

namespace transom {

using namespace cuda;

Result<CudaStream> CudaStream::create(std::shared_ptr<const CudaDevice> device) {
  TRANSOM_RETURN_IF_ERROR(device->makeCurrent());
  CudaStream stream;
  TRANSOM_RETURN_IF_ERROR(
      device->driver().check(device->driver().cuStreamCreate(&stream.stream_, CU_STREAM_NON_BLOCKING), "creating a stream"));
  stream.device_ = std::move(device);
  return stream;
}

CudaStream &CudaStream::operator=(CudaStream &&other) noexcept {
  std::swap(device_, other.device_);
  std::swap(stream_, other.stream_);
  return *this;
}

CudaStream::~CudaStream() {
  if (!device_)
    return;
  device_->makeCurrentToFree();
  device_->driver().cuStreamDestroy(stream_);
}

Status CudaStream::synchronize() const {
  return device_->driver().check(device_->driver().cuStreamSynchronize(stream_), "waiting for the GPU");
}

Result<CudaEvent> CudaEvent::create(std::shared_ptr<const CudaDevice> device, EventUse use) {
  TRANSOM_RETURN_IF_ERROR(device->makeCurrent());
  CudaEvent event;
  unsigned flags = use == EventUse::timing ? CU_EVENT_DEFAULT : CU_EVENT_DISABLE_TIMING;
  TRANSOM_RETURN_IF_ERROR(device->driver().check(device->driver().cuEventCreate(&event.event_, flags), "creating an event"));
  event.device_ = std::move(device);
  return event;
}

CudaEvent &CudaEvent::operator=(CudaEvent &&other) noexcept {
  std::swap(device_, other.device_);
  std::swap(event_, other.event_);
  return *this;
}

CudaEvent::~CudaEvent() {
  if (!device_)
    return;
  device_->makeCurrentToFree();
  device_->driver().cuEventDestroy(event_);
}

} // namespace transom
