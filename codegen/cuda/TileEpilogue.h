// What follows a product in tiles, as a struct for kernels/GemmHopper.cuh, GemmE4m3.cuh and GemmNorm.cuh: a thread has eight columns of a row at once,
// and those of their partners.
#pragma once

#include "codegen/cuda/ProductColumns.h"

namespace transom::cuda {

class TileEpilogue : public RowExpressions {
public:
  static constexpr int64_t atOnce = 8, group = 32, tileRows = 128; ///< columns of a thread, of four together (HopperGemmShape)

  enum class End {
    store,
    value ///< gives the one result's columns back
  };
  TileEpilogue(KernelText &text, const ProductProgram &program, End end = End::store) : RowExpressions(text, program.epilogue, int(atOnce)), gemm(program), end(end) {}

  /// False where no thread has the columns that a result needs.
  bool findColumns();
  const std::string &partnerText() const { return partner_; }

  /// Tensor maps of the product, as kernels/GemmHopper.cuh has them, by their addresses: of its rows, of its weights in tiles of so many columns, and of a residual
  /// in boxes of so many.
  std::string rowsMap();
  std::string weightMap(int64_t columns);
  std::string residualMap(const CudaBuffer &residual, int64_t boxColumns);

  /// What HopperGemmShape is for this product. When the struct's members are there.
  struct Shape {
    int64_t columns, sharedBytes;
    std::optional<CudaBuffer> residual;
    std::string text; ///< its arguments behind the cluster
  };
  Shape shape() const;
  /// What is read of rows, if that is one matrix of 16 bits, as wide as the product.
  std::optional<CudaBuffer> residual() const;
  /// Whether anything is.
  bool readsRows() const { return !ofPiece.types.empty(); }
  /// Bytes of the struct's OfColumns.
  int64_t columnBytes() const;

  /// The struct `Epilogue`; buffers become its fields.
  mlir::LogicalResult emit();
  /// Its parts: fields, but for buffers and sizes; the types OfColumns, OfRow and OfPiece, whose statements to read them, and to end, are beside.
  struct Members {
    std::string fields, band, ofColumns, ofRow, ofPiece, columns, row, pieces, end;
    std::string readers() const; ///< all but the fields and the end
  };
  /// columns: the name of the type OfColumns.
  Members members(const std::string &columns = "OfColumns");
  /// Declares `own` and `other` of the sums, whose parameters have these names.
  std::string sumsText(const std::string &ownSums, const std::string &otherSums) const;
  /// The struct's value, for an entry with variables `symbols` and `rows`.
  std::string value() const { return "Epilogue{" + text.structValues() + factorValues + "}"; }
  /// Of the value: what is behind the buffers and sizes.
  const std::string &factors() const { return factorValues; }
  bool isNarrow() const { return storedType(gemm.lhs) == DType::f8e4m3; }

protected:
  std::string special(mlir::Value value, const Column &column) override;
  std::string load(const std::string &pointer, DType dtype, const std::string &index, bool same) override;
  const ProductProgram &gemm;

private:
  /// The statements of one band. pointers: the buffers it names, in their order.
  struct BandText {
    std::string columns, pieces, end;
    std::vector<size_t> pointers;
  };
  /// Fields for what is read before the product is there; bands share them.
  struct Fields {
    std::vector<std::string> types;
    std::vector<bool> taken; ///< by the band at hand
    std::string reads;       ///< the band's statements
    void begin() { taken.assign(types.size(), false), reads.clear(); }
    std::string take(const std::string &type);
    std::string text(const std::string &name) const;
  };

  uint32_t lineNumbers() const { return uint32_t(128 / layoutOf(storedType(gemm.lhs)).bytes); } // of K in a box
  bool halves() const { return product.partner == ProductColumns::Partner::half; }
  int64_t tileColumns() const;
  bool isShort() const;
  bool mayChoose() const;
  bool isPlain() const;
  bool sameBut(const BandText &a, const BandText &b) const;
  std::vector<BandText> emitBands();
  std::string bandText(const std::vector<BandText> &bands) const;
  std::string inBand(const std::string &pointer);
  std::string scaleOfRow();
  void result(size_t index, const Column &column);
  void rounded(size_t index, const Column &column);

  std::string row() const override { return "m"; }
  Column partner(const Column &own, const std::string &expression) override { return {"(" + expression + ")", "", Column::Role::partner, own.shift}; }
  std::string place(const std::string &expression) override;
  std::string shifted(const Column &column, int64_t start) override;
  std::string loadInteger(const std::string &pointer, DType, const std::string &index) override { return "(int)" + pointer + "[" + index + "]"; }
  std::string angle(RotaryOp op, const std::string &pair) override;

  End end;
  ProductColumns product; ///< which of its columns results need
  const ProductColumns::Band *band = nullptr;
  Fields ofColumns, ofPiece;
  std::vector<std::pair<std::string, std::string>> pieceLoads; ///< pointers and indices
  bool chosen = false; ///< the band's buffers are chosen once for all threads
  std::vector<size_t> pointers;
  std::string partner_ = "NoPartner";
  std::string factorFields, factorValues; ///< of the struct: 1 / scale of results in 8 bits
};

} // namespace transom::cuda
