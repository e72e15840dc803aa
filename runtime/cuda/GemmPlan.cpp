// See CublasLt.h: planned products. cuBLASLt counts columns first, so out^T[n, m] = rhs^T^T * lhs^T is what it computes: its A
// is rhs, transposed, its B is lhs, and a bias goes along its rows, which are our columns.
#include "runtime/cuda/CublasLt.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>

namespace transom {

using namespace cuda;

namespace {

constexpr int heuristicResults = 8;
constexpr uint32_t operandAlignment = 64; // KernelAbi.h, bufferAlignment

cudaDataType_t dataType(DType type) {
  return type == DType::f16 ? CUDA_R_16F : type == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

uint32_t epilogueOf(const GemmSpec &spec) {
  uint32_t epilogue = 0;
  if (spec.bias)
    epilogue |= CUBLASLT_EPILOGUE_BIAS;
  if (spec.activation == artifact::GemmActivation::relu)
    epilogue |= CUBLASLT_EPILOGUE_RELU;
  if (spec.activation == artifact::GemmActivation::geluTanh)
    epilogue |= CUBLASLT_EPILOGUE_GELU;
  return epilogue ? epilogue : uint32_t(CUBLASLT_EPILOGUE_DEFAULT);
}

std::string textOf(const GemmSpec &spec) {
  constexpr const char *activations[] = {"", ", with relu", ", with gelu_tanh"}; // by GemmActivation
  return fmt::format("the product of [{}, {}] and [{}, {}] of {} to {}{}{}{}", spec.m, spec.k, spec.n, spec.k, name(spec.type),
                     name(spec.out), spec.bias ? ", with a bias" : "", activations[static_cast<size_t>(spec.activation)],
                     spec.residual ? ", with a residual" : "");
}

/// What a choice depends on; where it is for all rows up to m, also on the algorithm that was given.
using ChoiceKey = std::tuple<const CublasLt *, int, DType, DType, int64_t, int64_t, int64_t, artifact::GemmCompute,
                             artifact::GemmActivation, bool, bool, uint64_t, std::optional<std::vector<uint8_t>>>;

ChoiceKey keyOf(const CublasLtHandle &handle, const GemmSpec &s, std::optional<std::vector<uint8_t>> forAllRows = {}) {
  return {&handle.library(), handle.device().ordinal(), s.type, s.out, s.m, s.n, s.k, s.compute, s.activation, s.bias, s.residual,
          s.workspace, std::move(forAllRows)};
}

GemmAlgorithm bytesOf(const cublasLtMatmulAlgo_t &algorithm) {
  GemmAlgorithm bytes;
  std::memcpy(&bytes, &algorithm, sizeof algorithm);
  return bytes;
}

/// The choices of this process.
class Choices {
public:
  std::optional<cublasLtMatmulAlgo_t> find(const ChoiceKey &key) {
    std::lock_guard lock(mutex_);
    auto found = choices_.find(key);
    return found == choices_.end() ? std::nullopt : std::optional(found->second);
  }
  void keep(const ChoiceKey &key, const cublasLtMatmulAlgo_t &algorithm) {
    std::lock_guard lock(mutex_);
    if (choices_.size() >= limit)
      choices_.clear();
    choices_[key] = algorithm;
  }

private:
  static constexpr size_t limit = 1 << 14;
  std::mutex mutex_;
  std::map<ChoiceKey, cublasLtMatmulAlgo_t> choices_;
};

Choices &choices() {
  static Choices shared;
  return shared;
}

Status checkSpec(const GemmSpec &spec) {
  bool types = spec.type == DType::f32 || spec.type == DType::f16 || spec.type == DType::bf16;
  if (!types || (spec.out != DType::f32 && spec.out != spec.type))
    return error(StatusCode::unsupported, "{}: expected f32, f16 or bf16, to f32 or the same", textOf(spec));
  if (spec.m < 1 || spec.n < 1 || spec.k < 1)
    return error(StatusCode::invalidArgument, "{}: expected sizes from 1 on", textOf(spec));
  if (spec.residual && spec.activation != artifact::GemmActivation::none)
    return error(StatusCode::unsupported, "{}: no residual can follow an activation", textOf(spec));
  return {};
}

} // namespace

Result<GemmPlan> GemmPlan::described(std::shared_ptr<const CublasLtHandle> handle, const GemmSpec &spec) {
  TRANSOM_RETURN_IF_ERROR(checkSpec(spec));
  TRANSOM_RETURN_IF_ERROR(handle->device().makeCurrent());
  GemmPlan plan;
  plan.handle_ = std::move(handle);
  plan.spec_ = spec;
  TRANSOM_RETURN_IF_ERROR(plan.describe());
  return plan;
}

Result<GemmPlan> GemmPlan::create(std::shared_ptr<const CublasLtHandle> handle, const GemmSpec &spec,
                                  std::span<const uint8_t> algorithm) {
  TRANSOM_ASSIGN(GemmPlan plan, described(std::move(handle), spec));
  plan.given_ = plan.take(algorithm);
  if (!plan.given_)
    TRANSOM_RETURN_IF_ERROR(plan.choose());
  return plan;
}

Result<GemmPlan> GemmPlan::createForAllRows(std::shared_ptr<const CublasLtHandle> handle, const GemmSpec &spec, int64_t most,
                                            std::span<const uint8_t> algorithm) {
  assert(spec.m <= most && "m is one of them");
  TRANSOM_ASSIGN(GemmPlan plan, described(handle, spec));
  TRANSOM_ASSIGN(GemmAlgorithm one, algorithmForAllRows(handle, spec, most, algorithm));
  plan.given_ = std::equal(one.begin(), one.end(), algorithm.begin(), algorithm.end());
  if (!plan.take(one))
    return error(StatusCode::unsupported, "cuBLASLt refuses for {} the algorithm that it takes for 1 and {} rows", textOf(spec), most);
  return plan;
}

/// The first of the one given and those that the library proposes for the most rows that serves these and a single one.
Result<GemmAlgorithm> GemmPlan::algorithmForAllRows(const std::shared_ptr<const CublasLtHandle> &handle, const GemmSpec &spec, int64_t most,
                                                    std::span<const uint8_t> algorithm) {
  GemmSpec ofMost = spec, ofOne = spec;
  ofMost.m = most, ofOne.m = 1;
  ChoiceKey key = keyOf(*handle, ofMost, std::vector<uint8_t>(algorithm.begin(), algorithm.end()));
  if (std::optional<cublasLtMatmulAlgo_t> kept = choices().find(key))
    return bytesOf(*kept);
  TRANSOM_ASSIGN(GemmPlan largest, described(handle, ofMost));
  TRANSOM_ASSIGN(GemmPlan smallest, described(handle, ofOne));
  auto serves = [&](std::span<const uint8_t> bytes) { return largest.take(bytes) && smallest.take(bytes); };
  if (!serves(algorithm)) {
    TRANSOM_ASSIGN(std::vector<GemmCandidate> found, largest.candidates(heuristicResults));
    if (std::none_of(found.begin(), found.end(), [&](const GemmCandidate &candidate) { return serves(candidate.algorithm); }))
      return error(StatusCode::unsupported, "cuBLASLt has no algorithm for {} that serves 1 row too in {} bytes of workspace", textOf(ofMost),
                   spec.workspace);
  }
  choices().keep(key, smallest.algorithm_);
  return smallest.algorithm();
}

Status GemmPlan::describe() {
  const CublasLt &library = handle_->library();
  std::string what = textOf(spec_);
  bool tf32 = spec_.compute == artifact::GemmCompute::tf32 && spec_.type == DType::f32;
  TRANSOM_RETURN_IF_ERROR(library.check(
      library.cublasLtMatmulDescCreate(&desc_, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F), what));
  auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto &value) {
    return library.check(library.cublasLtMatmulDescSetAttribute(desc_, attribute, &value, sizeof value), what);
  };
  TRANSOM_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_TRANSA, int32_t(CUBLAS_OP_T)));
  TRANSOM_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogueOf(spec_)));
  // Until run() knows the address, one of the alignment that it will have: the choice of an algorithm reads no more of it.
  if (spec_.bias)
    TRANSOM_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, CUdeviceptr(operandAlignment)));
  auto layout = [&](cublasLtMatrixLayout_t &to, DType type, int64_t rows, int64_t columns) {
    return library.check(library.cublasLtMatrixLayoutCreate(&to, dataType(type), static_cast<uint64_t>(rows),
                                                            static_cast<uint64_t>(columns), rows),
                         what);
  };
  TRANSOM_RETURN_IF_ERROR(layout(rhs_, spec_.type, spec_.k, spec_.n));
  TRANSOM_RETURN_IF_ERROR(layout(lhs_, spec_.type, spec_.k, spec_.m));
  return layout(out_, spec_.out, spec_.n, spec_.m);
}

bool GemmPlan::take(std::span<const uint8_t> algorithm) {
  if (algorithm.size() != sizeof algorithm_)
    return false;
  cublasLtMatmulHeuristicResult_t result = {};
  std::memcpy(&algorithm_, algorithm.data(), sizeof algorithm_);
  cublasStatus_t status =
      handle_->library().cublasLtMatmulAlgoCheck(handle_->get(), desc_, rhs_, lhs_, out_, out_, &algorithm_, &result);
  return status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= spec_.workspace;
}

Status GemmPlan::choose() {
  ChoiceKey key = keyOf(*handle_, spec_);
  if (std::optional<cublasLtMatmulAlgo_t> kept = choices().find(key)) {
    algorithm_ = *kept;
    return {};
  }
  TRANSOM_ASSIGN(std::vector<GemmCandidate> found, candidates(heuristicResults));
  if (found.empty())
    return error(StatusCode::unsupported, "cuBLASLt has no algorithm for {} in {} bytes of workspace", textOf(spec_),
                 spec_.workspace);
  std::memcpy(&algorithm_, found.front().algorithm.data(), sizeof algorithm_);
  choices().keep(key, algorithm_);
  return {};
}

Result<std::vector<GemmCandidate>> GemmPlan::candidates(int most) const {
  const CublasLt &library = handle_->library();
  std::string what = "algorithms for " + textOf(spec_);
  cublasLtMatmulPreference_t preference = nullptr;
  TRANSOM_RETURN_IF_ERROR(library.check(library.cublasLtMatmulPreferenceCreate(&preference), what));
  auto destroy = [&](cublasLtMatmulPreference_t owned) { library.cublasLtMatmulPreferenceDestroy(owned); };
  std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, decltype(destroy)> owner(preference, destroy);
  auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto &value) {
    return library.check(library.cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value), what);
  };
  TRANSOM_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, spec_.workspace));
  // Parts of a sum meet in fp32 and in a fixed order, never in the output's type; without a workspace a sum has no parts.
  TRANSOM_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                              uint32_t(spec_.workspace ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE)));
  for (auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                         CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    TRANSOM_RETURN_IF_ERROR(set(attribute, operandAlignment));

  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(std::max(most, 1)));
  int found = 0;
  cublasStatus_t status =
      library.cublasLtMatmulAlgoGetHeuristic(handle_->get(), desc_, rhs_, lhs_, out_, out_, preference,
                                             static_cast<int>(results.size()), results.data(), &found);
  if (status != CUBLAS_STATUS_NOT_SUPPORTED) // which stands for none
    TRANSOM_RETURN_IF_ERROR(library.check(status, what));
  else
    found = 0;
  std::vector<GemmCandidate> candidates;
  for (int i = 0; i < found; ++i) {
    const cublasLtMatmulHeuristicResult_t &result = results[static_cast<size_t>(i)];
    if (result.state != CUBLAS_STATUS_SUCCESS || result.workspaceSize > spec_.workspace)
      continue;
    GemmCandidate candidate = {{}, result.workspaceSize, result.wavesCount};
    std::memcpy(candidate.algorithm.data(), &result.algo, sizeof result.algo);
    candidates.push_back(candidate);
  }
  return candidates;
}

GemmAlgorithm GemmPlan::algorithm() const { return bytesOf(algorithm_); }

Status GemmPlan::run(CUstream stream, const GemmOperands &operands) {
  assert((operands.bias != 0) == spec_.bias && (operands.residual != 0) == spec_.residual && "operands are those of the spec");
  const CublasLt &library = handle_->library();
  auto at = [](CUdeviceptr address) { return reinterpret_cast<void *>(static_cast<uintptr_t>(address)); };
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  if (spec_.bias)
    status = library.cublasLtMatmulDescSetAttribute(desc_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &operands.bias, sizeof operands.bias);
  const float one = 1.0f, beta = spec_.residual ? 1.0f : 0.0f;
  if (status == CUBLAS_STATUS_SUCCESS)
    status = library.cublasLtMatmul(handle_->get(), desc_, &one, at(operands.rhs), rhs_, at(operands.lhs), lhs_, &beta,
                                    at(spec_.residual ? operands.residual : operands.out), out_, at(operands.out), out_, &algorithm_,
                                    at(operands.workspace), spec_.workspace, stream);
  return status == CUBLAS_STATUS_SUCCESS ? Status() : library.check(status, textOf(spec_));
}

GemmPlan &GemmPlan::operator=(GemmPlan &&other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(spec_, other.spec_);
  std::swap(desc_, other.desc_);
  std::swap(lhs_, other.lhs_);
  std::swap(rhs_, other.rhs_);
  std::swap(out_, other.out_);
  std::swap(algorithm_, other.algorithm_);
  std::swap(given_, other.given_);
  return *this;
}

GemmPlan::~GemmPlan() {
  for (cublasLtMatrixLayout_t layout : {lhs_, rhs_, out_})
    if (layout)
      handle_->library().cublasLtMatrixLayoutDestroy(layout);
  if (desc_)
    handle_->library().cublasLtMatmulDescDestroy(desc_);
}

} // namespace transom
