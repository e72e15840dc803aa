// Matrix products on a GPU by cuBLASLt, which is loaded when a model first needs it. A product is planned once: layouts,
// epilogue, algorithm; running it allocates nothing and may be captured into a graph.
#pragma once

#include "runtime/cuda/CublasLtApi.h"
#include "runtime/cuda/Device.h"
#include "runtime/format/Contents.h"

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace transom {

namespace cuda {

/// cuBLASLt as a table of functions; none is null in a table that get() returns.
struct CublasLt {
#define TRANSOM_DECLARE(name, parameters) cublasStatus_t(*name) parameters = nullptr;
  TRANSOM_CUBLASLT_FUNCTIONS(TRANSOM_DECLARE)
#undef TRANSOM_DECLARE
  size_t (*cublasLtGetVersion)() = nullptr;
  const char *(*cublasLtGetStatusName)(cublasStatus_t status) = nullptr;

  /// Loads the library once per process: TRANSOM_CUBLASLT, the system's, /usr/local/cuda, NVIDIA's wheels in a venv; or
  /// gives what replace() has put in its place. Error: notFound, saying where it was looked for.
  static Result<const CublasLt *> get();
  /// For tests: get() returns `library` until replace(nullptr). What was made by the old table must be gone before.
  static void replace(const CublasLt *library);

  /// "`what`: NAME" with the code outOfMemory, unsupported or internal.
  Status check(cublasStatus_t status, std::string_view what) const;
};

} // namespace cuda

/// The library on a device. Safe to use from many threads.
class CublasLtHandle {
public:
  /// Errors: CublasLt::get's, outOfMemory, unsupported.
  static Result<std::shared_ptr<const CublasLtHandle>> create(std::shared_ptr<const CudaDevice> device);
  CublasLtHandle(const CublasLtHandle &) = delete;
  CublasLtHandle &operator=(const CublasLtHandle &) = delete;
  ~CublasLtHandle();

  const cuda::CublasLt &library() const { return *library_; }
  cuda::cublasLtHandle_t get() const { return handle_; }
  const CudaDevice &device() const { return *device_; }

private:
  CublasLtHandle() = default;
  std::shared_ptr<const CudaDevice> device_;
  const cuda::CublasLt *library_ = nullptr;
  cuda::cublasLtHandle_t handle_ = nullptr;
};

/// out[m, n] = activation(lhs[m, k] * rhs[n, k]^T + bias[n]) + residual[m, n], row-major, fp32 accumulation.
struct GemmSpec {
  DType type = DType::f32; ///< of lhs and rhs: f32, f16 or bf16
  DType out = DType::f32;  ///< of out, bias and residual: f32 or `type`
  int64_t m = 0, n = 0, k = 0; ///< each at least 1
  artifact::GemmCompute compute = artifact::GemmCompute::f32;
  artifact::GemmActivation activation = artifact::GemmActivation::none;
  bool bias = false, residual = false; ///< no residual with an activation
  uint64_t workspace = 0;              ///< bytes the library may use
  bool operator==(const GemmSpec &) const = default;
};

/// A cublasLtMatmulAlgo_t as an artifact stores it.
using GemmAlgorithm = std::array<uint8_t, 64>;

/// An algorithm that the library proposes.
struct GemmCandidate {
  GemmAlgorithm algorithm;
  uint64_t workspace = 0; ///< bytes it needs
  float waves = 0;        ///< of thread blocks over the GPU
};

/// Where a product's operands lie on the device: all aligned to 64 bytes. bias and residual are 0 exactly where the spec
/// has none; residual may be `out`.
struct GemmOperands {
  cuda::CUdeviceptr lhs = 0, rhs = 0, out = 0, bias = 0, residual = 0;
  cuda::CUdeviceptr workspace = 0; ///< GemmSpec::workspace bytes, aligned to 256; for one stream at a time
};

/// A product that is ready to run. Move-only; used by one thread at a time.
class GemmPlan {
public:
  /// `algorithm` is empty or 64 bytes, as an artifact has them. One that the library refuses for this product on this GPU,
  /// or that needs more workspace, is passed over: the library chooses instead, once per product and device in a process.
  /// Makes the device current. Errors: unsupported where the library has no algorithm, naming the product.
  static Result<GemmPlan> create(std::shared_ptr<const CublasLtHandle> handle, const GemmSpec &spec,
                                 std::span<const uint8_t> algorithm = {});
  /// With one algorithm for every m from 1 to `most`: equal arguments but for spec.m give equal algorithms, on one GPU with one version of
  /// the library. With a workspace of 0 it splits no sum. Errors: unsupported where none serves all, naming the product.
  static Result<GemmPlan> createForAllRows(std::shared_ptr<const CublasLtHandle> handle, const GemmSpec &spec, int64_t most,
                                           std::span<const uint8_t> algorithm = {});
  GemmPlan(GemmPlan &&other) noexcept { *this = std::move(other); }
  GemmPlan &operator=(GemmPlan &&other) noexcept;
  ~GemmPlan();

  /// Launches it. The device is current. The library loads its kernel at the first run of an algorithm, so run a plan once
  /// before a capture.
  Status run(cuda::CUstream stream, const GemmOperands &operands);

  /// At most `most` algorithms that fit the spec's workspace, the library's favourite first.
  Result<std::vector<GemmCandidate>> candidates(int most) const;
  const GemmSpec &spec() const { return spec_; }
  GemmAlgorithm algorithm() const;
  /// Whether the algorithm that create() was given is used.
  bool usesGivenAlgorithm() const { return given_; }

private:
  GemmPlan() = default;
  static Result<GemmPlan> described(std::shared_ptr<const CublasLtHandle> handle, const GemmSpec &spec);
  static Result<GemmAlgorithm> algorithmForAllRows(const std::shared_ptr<const CublasLtHandle> &handle, const GemmSpec &spec, int64_t most,
                                                   std::span<const uint8_t> algorithm);
  Status describe();
  Status choose();
  bool take(std::span<const uint8_t> algorithm);
  std::shared_ptr<const CublasLtHandle> handle_;
  GemmSpec spec_;
  cuda::cublasLtMatmulDesc_t desc_ = nullptr;
  cuda::cublasLtMatrixLayout_t lhs_ = nullptr, rhs_ = nullptr, out_ = nullptr;
  cuda::cublasLtMatmulAlgo_t algorithm_ = {};
  bool given_ = false;
};

} // namespace transom
