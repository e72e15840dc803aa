// Measures the algorithms that cuBLASLt proposes for a product, on the GPU.
#pragma once

#include "runtime/cuda/CudaGraphs.h"

namespace transom::cli {

/// How a product ran at one number of rows.
struct TunedRows {
  int64_t rows = 0;
  size_t candidates = 0; ///< algorithms measured
  double heuristic = 0;  ///< seconds, of the library's own choice for these rows
  double chosen = 0;     ///< of the algorithm that tuning chose for all rows, or the same
};

struct TunedGemm {
  std::vector<TunedRows> rows;
  std::optional<GemmAlgorithm> algorithm; ///< nothing where the library's own choice is as good
};

/// Of candidates' times by rows, seconds[rows][candidate] (infinite: refused there), the candidate with the least geometric mean of its
/// time over the library's own choice's; nothing where it gains less than 2%.
std::optional<size_t> bestCandidate(std::span<const std::vector<double>> seconds, std::span<const double> heuristic);

class GemmTuner {
public:
  static constexpr int mostCandidates = 16;

  /// Errors: CudaDevice::open's, CublasLtHandle::create's.
  static Result<GemmTuner> create(int ordinal);

  /// Measures the product at each of these numbers of rows in place of m, `repeat` times each, all from 1 on. Weights rotate, so that a
  /// cache does not hold them between launches, as far as 64 copies do. Errors: GemmPlan's; outOfMemory; the driver's.
  Result<TunedGemm> tune(const GemmSpec &spec, std::span<const int64_t> rows, int64_t repeat);

  const CudaDevice &device() const { return *device_; }
  /// Of cuBLASLt.
  uint64_t version() const { return library_->library().cublasLtGetVersion(); }

private:
  /// Memory that a product runs on, with several copies of its weights.
  struct Operands {
    DeviceMemory lhs, rhs, out, bias, residual, workspace;
    uint64_t rhsBytes = 0; ///< from copy to copy
    uint64_t copies = 1;
    GemmOperands at(uint64_t launch) const;
  };
  GemmTuner() = default;
  Status check(cuda::CUresult result) const { return device_->driver().check(result, "measuring a product"); }
  Result<Operands> allocate(const GemmSpec &spec);
  Result<DeviceMemory> numbers(DType type, uint64_t bytes);
  Result<CudaGraph> capture(GemmPlan &plan, const Operands &operands, uint64_t launches);
  /// Seconds of one launch of each plan, medians.
  Result<std::vector<double>> measure(std::span<GemmPlan> plans, const Operands &operands, int64_t repeat);

  std::shared_ptr<const CudaDevice> device_;
  std::shared_ptr<const CublasLtHandle> library_;
  CudaStream stream_;
  CudaEvent start_, end_;
};

} // namespace transom::cli
