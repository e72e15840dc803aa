// cuTensorMapEncodeTiled for the lab without CUDA: it fills the map that test/emulator reads.
#pragma once

#include "runtime/cuda/DriverApi.h"

namespace transom::cuda {
using cuuint64_t = uint64_t;
using cuuint32_t = uint32_t;
using PFN_cuTensorMapEncodeTiled_v12000 = CUresult (*)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *, const cuuint64_t *,
                                                       const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                                       CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
} // namespace transom::cuda
