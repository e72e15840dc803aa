// What a transom.group computes, in the parts a device operation has, and what an op does within a row: which ops may
// stand in a group, and where. Passes ask before they make a group, backends when they emit one.
#pragma once

#include "ir/Transom.h"

#include <string>

namespace transom {

/// Up to as many rows a product with a weight is a matrix-vector kernel ("gemv form"), with more the matrix library's
/// ("gemm form"): passes and lower-to-plan decide by the bound of the rows.
inline constexpr int64_t maxGemvRows = 16;

//===-- Ops on rows -------------------------------------------------------------------------------------------------===//

/// An op is row-wise if row r of each of its results depends on row r of its row operands, and on all of its other operands,
/// which are whole: scales, biases, tables, lengths. The rows of a tensor are what its first `leading` dimensions count,
/// in row-major order: [rows, C] has one such dimension, [batch, seq, heads, d] two.
enum class RowKind {
  pointwise, ///< elementwise op or transom.fused without reduce, f32; whole operands broadcast within the row
  norm,      ///< rms_norm or layer_norm of whole rows
  slice,     ///< columns [start, start + size) of rows of one dimension
  reshape,   ///< reshape or split_rows: splits or joins the dimensions of the row, or those that count rows; moves nothing
  rotary,    ///< thd with one leading dimension, bshd with two; positions have the leading dimensions alone
  append,    ///< cache_append: tokens have one leading dimension in thd, two in bshd; cache and lengths are whole
  embedding, ///< rows of a whole table; the indices have the leading dimensions alone
  quantize,  ///< whole rows to q8_0, or rounded to E4M3
};

/// What kind of row-wise op `op` is; nullopt if none, whatever its operands.
std::optional<RowKind> rowKindOf(mlir::Operation *op);

/// Whether `op`, which may be null, is of RowKind::reshape.
bool isReshape(mlir::Operation *op);
/// The value of which `value` is another shape, back over all reshapes.
mlir::Value reshapedFrom(mlir::Value value);

/// How an op uses rows: for each operand, and for its result, how many leading dimensions count them; 0 for whole ones.
struct RowUse {
  RowKind kind;
  llvm::SmallVector<unsigned> operands;
  unsigned result = 0; ///< 0 for a cache
};

/// Sizes of a value. In a function DimAnalysis knows them. In a group types do: sizes `?` are then taken to be equal
/// wherever they must be, since whoever made the group has shown it.
using SizesOf = llvm::function_ref<Dims(mlir::Value)>;
enum class UnknownSizes { differ, agree };

/// Whether the first `a` and the first `b` dimensions count the same rows: those between are 1. A row of one head may be
/// taken either way, and each op takes it as it needs it.
bool countAlike(const Dims &dims, unsigned a, unsigned b);

/// How `op` uses rows if operand `index` has `leading` dimensions that count them. On failure `why` says what was expected
/// and found.
mlir::FailureOr<RowUse> rowUseOf(mlir::Operation *op, unsigned index, unsigned leading, SizesOf sizes, UnknownSizes unknown,
                                 std::string &why);

/// The operand from which the rows of an op are told where no other op says how its operands count them: the indices of
/// an embedding, else operand 0, a row of which is its last dimension.
std::pair<unsigned, unsigned> defaultRows(mlir::Operation *op);

//===-- Groups ------------------------------------------------------------------------------------------------------===//

/// What a group's body is made of. Forms that passes make:
///
/// gemv form (rows <= maxGemvRows): the prologue is nothing or one norm, whose result only the root reads. The root's rhs
///   is a static [N, K] matrix, transpose_rhs, lhs f32. The epilogue has no norm, embedding, quantize or round_e4m3: a result's column j
///   depends on the root's columns of one head (rotary), of one j in each slice (gate and up), or on j alone.
/// gemm form (more rows): no prologue; the epilogue may be any row-wise ops but embedding, at most one norm, whose input is
///   another result where ops outside read it.
/// rows form: no root. Row-wise ops from inputs to results.
struct GroupForm {
  llvm::SmallVector<mlir::Operation *> prologue; ///< what operand lhs of the root is made by, in the order of the block
  MatmulOp root;                                 ///< null if the group has no matrix product
  llvm::SmallVector<mlir::Operation *> epilogue; ///< all others, in the order of the block
  llvm::DenseMap<mlir::Operation *, RowUse> uses; ///< of every op but the root
  /// How many dimensions of a value of the body count rows; 0 for whole ones.
  llvm::DenseMap<mlir::Value, unsigned> leading;
};

/// Takes the body apart. Fails if it has more than one matrix product, an op that is not row-wise, or operands that do not
/// fit together; `why`, if not null, says which. Whether a backend can compute the form is not asked here.
mlir::FailureOr<GroupForm> matchGroup(GroupOp group, std::string *why = nullptr);

/// Puts the body's ops in place of the group, and erases it. What a group means; always legal.
void inlineGroup(GroupOp group);

} // namespace transom
