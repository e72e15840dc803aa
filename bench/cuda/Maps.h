// Tensor maps of the lab, as the runtime makes them.
#pragma once

#include "Lab.h"

#include <cudaTypedefs.h>

namespace lab {

inline cudaDeviceProp device() {
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0));
  return properties;
}
/// The code of Hopper's kernels is for compute capability 9.0 alone.
inline bool runsHopper() { return device().major == 9 && device().minor == 0; }

/// Numbers of 2 to 5 dimensions, innermost first, in boxes with rows of 128 bytes, which are swizzled, or of fewer, which are not. strides: in elements of `width` bytes, of all but the first.
inline TensorMap encodeMap(const void *data, CUtensorMapDataType type, int width, std::vector<int64_t> sizes, std::vector<int64_t> strides, std::vector<int> box) {
  TensorMap map = {};
  static PFN_cuTensorMapEncodeTiled_v12000 encode = [] {
    void *entry = nullptr;
    cudaDriverEntryPointQueryResult result;
    CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &result));
    return (PFN_cuTensorMapEncodeTiled_v12000)entry;
  }();
  cuuint64_t extent[5] = {}, bytes[5] = {};
  cuuint32_t boxes[5] = {}, steps[5] = {1, 1, 1, 1, 1};
  for (size_t i = 0; i < sizes.size(); ++i) {
    extent[i] = (cuuint64_t)sizes[i], boxes[i] = (cuuint32_t)box[i];
    if (i > 0)
      bytes[i - 1] = (cuuint64_t)(strides[i - 1] * width);
  }
  CUresult r = encode((CUtensorMap *)&map, type, (cuuint32_t)sizes.size(), (void *)data,
                      extent, bytes, boxes, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, box[0] * width == 128 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (r != CUDA_SUCCESS) {
    std::printf("cuTensorMapEncodeTiled: error %d\n", (int)r);
    std::exit(1);
  }
  return map;
}

/// Of 16 bits.
inline TensorMap tensorMap(const void *data, bool half, std::vector<int64_t> sizes, std::vector<int64_t> strides, std::vector<int> box) {
  return encodeMap(data, half ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, std::move(sizes), std::move(strides), std::move(box));
}

/// [rows, columns], boxes of 64 columns.
inline TensorMap matrixMap(const void *data, bool half, int64_t columns, int64_t rows, int boxRows) {
  return tensorMap(data, half, {columns, rows}, {columns}, {64, boxRows});
}
/// The same, boxes of 32 columns.
inline TensorMap narrowMap(const void *data, bool half, int64_t columns, int64_t rows, int boxRows) {
  return tensorMap(data, half, {columns, rows}, {columns}, {32, boxRows});
}

/// W [rows, columns] as GemmHopper.cuh takes it.
inline TensorMap groupedMap(const void *data, CUtensorMapDataType type, int width, int64_t columns, int64_t rows, int boxGroups) {
  return encodeMap(data, type, width, {columns, 2, 4, 4, rows / 32}, {columns, 8 * columns, 2 * columns, 32 * columns}, {128 / width, 2, 4, 4, boxGroups});
}
inline TensorMap groupedMap(const void *data, bool half, int64_t columns, int64_t rows, int boxGroups) {
  return groupedMap(data, half ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, columns, rows, boxGroups);
}
inline TensorMap groupedMap8(const void *data, int64_t columns, int64_t rows, int boxGroups) { return groupedMap(data, CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, columns, rows, boxGroups); }
/// The same of 8 bits, boxes of 128 columns.
inline TensorMap matrixMap8(const void *data, int64_t columns, int64_t rows, int boxRows) {
  return encodeMap(data, CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, {columns, rows}, {columns}, {128, boxRows});
}

} // namespace lab
