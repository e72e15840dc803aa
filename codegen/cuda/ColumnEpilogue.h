// What follows a product of few rows, as the struct `Epilogue` that kernels/Epilogues.cuh describes: a thread has one column of a row, and by
// a shuffle that of its partner.
#pragma once

#include "codegen/cuda/ProductColumns.h"

#include <array>

namespace transom::cuda {

class ColumnEpilogue : public RowExpressions {
public:
  enum class End {
    store,
    argmax, ///< also raises `best`, to the largest of a row's one result
    value   ///< gives the one result of a column, for SkinnyChain.cuh; no column may need a partner
  };
  /// product: as the ops of `program` name it, with `outputs` columns.
  ColumnEpilogue(KernelText &text, const RowProgram &program, mlir::Value product, int64_t outputs, End end)
      : RowExpressions(text, program, 1), product(product), outputs(outputs), end(end) {}

  /// False where no thread has the columns that a result needs.
  bool findColumns();
  /// Which rows of the matrix a tile of 16 takes: a type of kernels/Gemv.cuh, and how many tiles there are.
  const std::string &pairs() const { return pairsText; }
  int64_t tiles() const { return tileCount; }
  /// Adds the struct to the kernel's text. Fails after a diagnostic.
  mlir::LogicalResult emit();
  /// The struct's value, for an entry with variables `symbols` and `rows`, when all buffers are known. best: a pointer, for End::argmax.
  std::string value(const std::string &best = "") const;

private:
  std::string row() const override { return "m"; }
  std::string special(mlir::Value value, const Column &column) override;
  Column partner(const Column &own, const std::string &expression) override { return {"(" + expression + ")", "", Column::Role::partner, own.shift}; }
  std::string load(const std::string &pointer, DType dtype, const std::string &index, bool same) override;
  std::string loadInteger(const std::string &pointer, DType dtype, const std::string &index) override;
  std::string place(const std::string &expression) override { return "(" + expression + ")"; }
  std::string angle(RotaryOp op, const std::string &pair) override;
  /// What all results are slices of, each of its own columns of the product; or null.
  mlir::Value wholeOfSlices() const;
  void result(size_t index, const Column &column);
  void define(const std::string &constantsText, const std::string &earlyText, const std::string &prepareText, const std::string &storeText);

  mlir::Value product;
  int64_t outputs;
  End end;
  ProductColumns columns;
  std::string pairsText = "NeighbourPairs";
  int partnerLane = 1;
  int64_t tileCount = 0;
  const ProductColumns::Band *band = nullptr;
  std::array<int, 4> counts = {}, most = {}; ///< of floats, ints, doubles and angles that a thread reads early: of the band at hand, of any
  std::string constants, early, prepare; ///< statements of the band at hand
  llvm::StringMap<std::string> loaded;
};

} // namespace transom::cuda
