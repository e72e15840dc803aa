// What row-wise ops compute, as text: any columns of any value of a row from the columns of its operands, back to what lies in
// memory. Nothing between is stored. Row kernels and the epilogues of products are built on it.
#pragma once

#include "codegen/cuda/Regions.h"
#include "ir/Group.h"

namespace transom::cuda {

/// Ops on rows with what they read and make: the body of a group or of a kernel of one op.
struct RowProgram {
  llvm::SmallVector<mlir::Operation *> ops;
  llvm::SmallVector<mlir::Value> results;
  llvm::DenseMap<mlir::Value, unsigned> leading; ///< how many dimensions count rows; 0: whole
  llvm::DenseMap<mlir::Value, CudaBuffer> memory; ///< of what the ops read, and of results
  std::vector<CudaBuffer> outputs;                ///< of results
  mlir::Value parts; ///< a value whose memory is f32 [addends, most rows, width], or null: it is their sum
  DimExpr rows;

  /// Static sizes of a row of `value`, and their product.
  llvm::SmallVector<int64_t> rowShape(mlir::Value value) const;
  int64_t width(mlir::Value value) const;
};

/// Columns of a row: the first one as a C++ int expression.
struct Column {
  std::string text;
  std::string piece; ///< the index of the thread's own columns into arrays of its registers; empty for any others
  enum class Role { any, own, partner } role = Role::any; ///< in epilogues: which column of the product the thread has
  int64_t shift = 0; ///< columns of the value behind those of the result at work: what slices skip
};

/// What LayerNorm or RMSNorm adds to the mean of squares.
double epsilonOf(mlir::Operation *norm);

class RowExpressions {
public:
  RowExpressions(KernelText &text, const RowProgram &program, int lanes) : text(text), program(program), lanes(lanes) {}
  virtual ~RowExpressions() = default;

  /// The name of a Lanes<lanes> with columns [column, column + lanes) of `value`. Empty after a diagnostic.
  std::string at(mlir::Value value, const Column &column);
  /// Whether all went well so far.
  bool failed() const { return !ok; }
  /// Names stand for what was computed before; forgotten where a scope of the text ends.
  void endScope() { known.clear(); }

  /// Batch row and slot of the cache that row `row()` of an append goes to; -1 where it goes nowhere.
  struct Slot {
    std::string batch, slot;
  };

protected:
  /// A value that is neither an op's nor in memory: a product, registers. Empty: none.
  virtual std::string special(mlir::Value, const Column &) { return ""; }
  /// Lanes at `pointer`[`index`]; `same`: one number for all lanes.
  virtual std::string load(const std::string &pointer, DType dtype, const std::string &index, bool same) = 0;
  /// An i32 at `pointer`[`index`].
  virtual std::string loadInteger(const std::string &pointer, DType dtype, const std::string &index) = 0;
  /// SinCos of pair `pair` (an int expression) of the row.
  virtual std::string angle(RotaryOp op, const std::string &pair) = 0;
  virtual std::string row() const = 0;
  /// The text of a column `start` further on, in what a slice that begins there was cut from.
  virtual std::string shifted(const Column &column, int64_t start);
  /// An int expression that is used more than once.
  virtual std::string place(const std::string &expression);
  /// Columns that are not the thread's own, as an expression that may stand anywhere.
  virtual Column partner(const Column &own, const std::string &text);

  std::string fail(mlir::Operation *op, const llvm::Twine &why);
  /// Lines that compute `expression`(e) for each lane; the name of the result.
  std::string eachLane(llvm::function_ref<std::string(const std::string &e)> expression);
  std::string name(const std::string &lanes, const std::string &e) const { return lanes + ".v[" + e + "]"; }
  /// A table of constants with the turns of a rotary op's pairs: scale * base^(-2i/dims) / 2 pi.
  std::string turns(RotaryOp op);

  KernelText &text;
  const RowProgram &program;
  int lanes;
  bool ok = true;

private:
  std::string ofRow(mlir::Value value, const Column &column);
  std::string whole(mlir::Value value, llvm::ArrayRef<int64_t> row, const Column &column);
  /// The type whose precision is enough for what `op` makes: what it is rounded to at once, or the kernel stores.
  DType keptAs(mlir::Operation *op) const;
  std::string pointwise(mlir::Operation *op, const Column &column);
  std::string rotary(RotaryOp op, const Column &column);
  std::string embedding(EmbeddingOp op, const Column &column);

  llvm::StringMap<std::string> known;
  llvm::DenseMap<mlir::Operation *, std::string> tables;
};

/// The largest number of lanes, at most `most`, with which all of the program's rows, slices and heads can be cut into pieces.
int lanesOf(const RowProgram &program, int most);

} // namespace transom::cuda
