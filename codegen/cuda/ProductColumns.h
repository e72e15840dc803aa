// Which columns of a product the results behind it need at once: what decides how a kernel's threads share the product's columns.
#pragma once

#include "codegen/cuda/RowExpressions.h"

namespace transom::cuda {

/// lhs [rows, k] times weight [n, k]^T, both in one 16-bit type, or both in 8 bits and lhs with a scale for each row, with what follows it,
/// column by column.
struct ProductProgram {
  mlir::Value product; ///< as the epilogue's ops name it; [rows, n]
  CudaBuffer lhs, weight;
  int64_t n = 0, k = 0;
  RowProgram epilogue;
};

struct ProductColumns {
  /// Results that need the same columns.
  struct Band {
    llvm::SmallVector<int64_t, 2> products; ///< column 0 of the results needs these columns of the product, column n those n further
    int64_t columns = 0;                    ///< of each result
    llvm::SmallVector<size_t> results;      ///< into RowProgram::results
  };
  /// Which other column a result may need beside its own: that of the same pair of neighbours, of the other half of the numbers of
  /// its head that turn, or of the other half of the product.
  enum class Partner { none, neighbour, head, half };

  std::vector<Band> bands;
  Partner partner = Partner::none;
  int64_t apart = 0;            ///< half: columns to the partner
  int64_t headDim = 0, dims = 0; ///< head: of each head the first `dims` columns turn, in pairs (i, i + dims / 2)

  /// For the results of `program` behind `product` of `columns` columns. Nothing where a result needs more than two columns, or columns
  /// that no pairing brings together.
  static std::optional<ProductColumns> of(const RowProgram &program, mlir::Value product, int64_t columns);
};

} // namespace transom::cuda
