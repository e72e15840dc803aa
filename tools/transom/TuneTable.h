// Algorithms of cuBLASLt that tuning has found, as a text file, and in an artifact's steps.
#pragma once

#include "runtime/cuda/CublasLt.h"

#include <string>
#include <vector>

namespace transom::cli {

/// The best algorithm of a product on one GPU with one version of the library.
struct TunedProduct {
  std::string device; ///< "NVIDIA H200"; no '|', no line ends
  uint64_t version = 0; ///< of cuBLASLt, as it counts: 130100
  GemmSpec spec;        ///< m at the artifact's bounds
  std::vector<int64_t> rows; ///< the m that were measured
  GemmAlgorithm algorithm;
};

/// A product step at the bounds of the artifact's symbols.
GemmSpec specAtBounds(const artifact::Contents &contents, const artifact::Program &program, const artifact::CudaGemm &gemm);
/// The different products of programs for CUDA, in the order of their first steps.
std::vector<GemmSpec> productsOf(const artifact::Contents &contents);

/// How many product steps there are, and how many got an algorithm.
struct Applied {
  size_t steps = 0, set = 0;
};
/// Puts each algorithm into all steps of its product; other steps stay as they are.
Applied setAlgorithms(std::span<const TunedProduct> products, artifact::Contents &contents);

/// A comment, then a line for each product: device | version | lhs out compute activation bias residual | m n k workspace | rows | algorithm.
std::string formatTable(std::span<const TunedProduct> products);
/// Reads what formatTable() writes; '#' starts a comment line. Errors: invalidFile, "FILE:LINE: " with what was expected and found; two
/// lines for one product.
Result<std::vector<TunedProduct>> parseTable(std::string_view text, const std::string &file);

} // namespace transom::cli
