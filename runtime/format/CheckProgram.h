// Checks of one program of an artifact; see Check.cpp. CheckCuda.cpp has those of CUDA's steps.
#pragma once

#include "runtime/format/Artifact.h"

#include <unordered_set>

namespace transom::artifact {

template <typename... Args> Status invalid(fmt::format_string<Args...> format, Args &&...args) {
  return error(StatusCode::invalidFile, format, std::forward<Args>(args)...);
}

inline constexpr size_t maxRank = 8;

/// Names go into messages, which are one line.
Status checkText(std::string_view text, std::string_view what);

template <typename Range> Status checkNames(const Range &range, std::string_view what) {
  std::unordered_set<std::string_view> seen;
  for (const auto &item : range) {
    TRANSOM_RETURN_IF_ERROR(checkText(item.name, fmt::format("{} {}: name", what, seen.size())));
    if (item.name.empty())
      return invalid("{} {}: its name is empty", what, seen.size());
    if (!seen.insert(item.name).second)
      return invalid("{} \"{}\": the name appears twice", what, item.name);
  }
  return {};
}

/// CUDA kernels and the code sections for CUDA, apart from programs.
Status checkCudaKernels(const Contents &contents);

/// Remembers which symbols the program's sizes use, and which of them have a value.
class ProgramChecker {
public:
  ProgramChecker(const Contents &contents, const Program &program)
      : contents_(contents), program_(program), used_(contents.symbols.size()), known_(contents.symbols.size()) {}
  Status run() const;

  /// The dtype and shape of a value or buffer, and that `bytes` is what they take, up to padding.
  Status checkTensor(DType dtype, const Shape &shape, uint64_t bytes) const;

private:
  Status checkExpr(const Expr &expr, std::string_view field, uint64_t limit = INT64_MAX) const;
  Status checkValue(const Value &value, BufferKind kind, const std::vector<Value> &table) const;
  Status checkBuffer(const Buffer &buffer) const;
  /// That a buffer outside the arena fits the weight, input, output or state it stands for.
  Status checkStorage(const Buffer &buffer) const;
  /// That a buffer lies in `limit` bytes of memory called `what`.
  Status checkPlace(const Buffer &buffer, std::string_view what, uint64_t limit) const;
  Status checkKernel(uint64_t kernel, std::string_view field) const;
  Status checkBufferIndex(uint64_t index, std::string_view field) const;
  /// That the work of a step does not depend on a symbol that a later step sets.
  Status checkWork(const Expr &expr, std::string_view field, uint64_t limit = INT64_MAX) const;
  Status checkMatrix(uint32_t index, std::string_view field, const Expr &rows, const Expr &columns) const;
  /// That lhs, rhs and out of a Gemm or CudaGemm hold the numbers of their matrices. Libraries of products count in 32 bits.
  template <typename Product> Status checkProduct(const Product &gemm) const {
    TRANSOM_RETURN_IF_ERROR(checkWork(gemm.m, "m", INT32_MAX));
    TRANSOM_RETURN_IF_ERROR(checkWork(gemm.n, "n", INT32_MAX));
    TRANSOM_RETURN_IF_ERROR(checkWork(gemm.k, "k", INT32_MAX));
    TRANSOM_RETURN_IF_ERROR(checkMatrix(gemm.lhs, "lhs", gemm.m, gemm.k));
    TRANSOM_RETURN_IF_ERROR(checkMatrix(gemm.rhs, "rhs", gemm.n, gemm.k));
    return checkMatrix(gemm.out, "out", gemm.m, gemm.n);
  }
  Status checkWritten(uint32_t index, std::string_view field) const;
  Status checkStep(const Step &step) const;
  Status checkStep(const Size &size) const;
  Status checkSource(const Size &size) const;
  Status checkStep(const Launch &launch) const;
  Status checkStep(const Gemm &gemm) const;
  Status checkCondition(const CudaCondition &when) const;
  Status checkStep(const CudaLaunch &launch) const;
  Status checkStep(const CudaGemm &gemm) const;
  Status checkChoice(const CudaChoice &choice) const;
  Status checkMap(const TensorMap &map) const;
  Status checkEpilogue(const Gemm &gemm) const;
  Status checkAddends(const CudaGemm &gemm) const;
  /// A run takes the symbols from its inputs' shapes and its steps: each one used must be a whole dimension of some input,
  /// or set.
  Status checkBinding() const;

  const Contents &contents_;
  const Program &program_;
  mutable std::vector<bool> used_, known_;
  mutable std::vector<bool> given_; ///< known from the inputs
};

} // namespace transom::artifact
