// Copies weights from the mapped file to the GPU. Lays nothing out.
#pragma once

#include "runtime/cuda/Device.h"

#include <span>

namespace transom {

/// Bytes of the host and where they go, counted from the start of the block on the device.
struct UploadPiece {
  std::span<const std::byte> from;
  uint64_t to = 0;
};

/// Fills `bytes` bytes at `block`: the pieces, which rise and do not overlap, and zeros between them. Several threads fill
/// page-locked buffers while the GPU copies from others. The bytes are there for every stream when it returns.
Status uploadWeights(const std::shared_ptr<const CudaDevice> &device, cuda::CUdeviceptr block, uint64_t bytes,
                     std::span<const UploadPiece> pieces);

} // namespace transom
