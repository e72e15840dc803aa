// How kernels read weights: as the plan has them, converted, or as planes of quantised blocks.
#pragma once

#include "codegen/cuda/KernelText.h"

namespace transom::cuda {

/// The C++ name of a weight's format for matrix-vector products: "PlainFormat<BFloat, 2048>", "Q4Format<2048, true>".
std::string formatText(mlir::RankedTensorType type, DType dtype);

/// Weights in forms of their own, each once.
class WeightForms {
public:
  explicit WeightForms(std::vector<CudaWeight> &weights) : weights(weights) {}
  /// What kernels read instead of the plan's weight buffer: planes where it is quantised.
  CudaBuffer read(mlir::Value buffer);
  /// The same with plain numbers converted to `dtype`: for the matrices of products.
  CudaBuffer matrix(mlir::Value buffer, DType dtype);

private:
  CudaBuffer add(mlir::Value buffer, CudaWeight::Form form, DType dtype, std::vector<int64_t> shape);
  std::vector<CudaWeight> &weights;
};

/// Lanes [column, column + 8) of row `row` of a table of planes.
std::string planesLanes(KernelText &text, const CudaBuffer &table, mlir::RankedTensorType type, const std::string &row, const std::string &column);
/// Lines that decode a matrix of planes to plain numbers of type `to` at `out`, in blocks of 256 threads; how many threads that takes.
int64_t emitUnpack(KernelText &text, const CudaBuffer &matrix, mlir::RankedTensorType type, DType to, const CudaBuffer &out);
/// The View of a matrix as `format` wants it.
std::string viewText(KernelText &text, const CudaBuffer &matrix, mlir::RankedTensorType type, const std::string &format);

} // namespace transom::cuda
