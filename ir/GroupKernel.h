// How one kernel computes a transom.group: which ops run on whole rows and which on columns of a matrix product, in what
// order, and where numbers between them are kept. Shared by lower-to-plan, which counts work and scratch, and by code
// generators. Emits nothing.
#pragma once

#include "ir/Group.h"
#include "ir/Plan.h"

#include <string>

namespace transom::plan {

/// An op at work on one row, or on some columns of one: on column `shift` of its result and what follows.
struct RowStep {
  static constexpr int inScratch = -1, asLhs = -2;
  mlir::Operation *op; ///< null: `value` is copied out
  mlir::Value value;   ///< the op's result
  int64_t shift = 0;
  int output = inScratch; ///< result of the group that is written, or one of the above
  int64_t scratch = 0;    ///< where in the thread's scratch the numbers of one row are kept, in bytes
};

/// Results that are computed together from the same columns of the product, tile by tile.
struct Band {
  int64_t columns = 0;                   ///< of each result
  int64_t step = 0, block = 0;           ///< columns of a work item; at most this many, whole items, are computed at a time
  llvm::SmallVector<int64_t, 2> products; ///< column 0 needs these columns of the product
  llvm::SmallVector<RowStep> steps;
  int64_t items() const { return (columns + step - 1) / step; }
};

class GroupKernel {
public:
  /// Takes the group apart. Fails where no kernel can compute it; `reason` then says what stands in the way.
  static mlir::FailureOr<GroupKernel> of(GroupOp group, std::string &reason);

  GroupForm form;
  llvm::SmallVector<RowStep> rows; ///< on whole rows: the prologue, or without a root all
  llvm::SmallVector<Band, 3> bands; ///< with a root: what follows, by columns

  /// Sizes of every value of the body, over names that sizeName() gives to the dynamic ones of the arguments.
  llvm::DenseMap<mlir::Value, Dims> sizes;
  static std::string sizeName(mlir::BlockArgument argument, size_t axis);

  /// Numbers of `value` in one row.
  int64_t rowElements(mlir::Value value) const;
  /// Rows of a group whose inputs, then results, have these sizes.
  DimExpr rowsOf(llvm::function_ref<Dims(unsigned)> sizesOf) const;
  /// The buffer (inputs, then results) that says how many rows there are, and its numbers in one row.
  unsigned rowBuffer = 0;
  int64_t rowBufferElements = 1;

  /// Work items of a launch: rows, or with a root tiles of columns, each for all rows. An item needs `grain` neighbours to
  /// be worth what the prologue costs.
  DimExpr items(const DimExpr &rows) const;
  int64_t grain() const;
  /// Scratch of a thread, in bytes: numbers of single rows, then lhs [rows, k], then the products' tiles [rows, block].
  int64_t lhsAt() const { return rowBytes; }
  int64_t lhsBytes() const; ///< of one row
  int64_t tileBytes() const; ///< of one row, all tiles of a band
  int64_t scratch(int64_t mostRows) const { return rowBytes + mostRows * (lhsBytes() + tileBytes()); }

private:
  friend class GroupKernelBuilder;
  int64_t rowFactor = 1; ///< the static part of the number of rows
  int64_t rowBytes = 0;
  bool keepsLhs = false;
};

/// The argument that a cache result of the group is the update of; nothing for other results.
std::optional<unsigned> updatedCache(GroupOp group, unsigned result);
/// Whether result `result` may be written over argument `index`, were both of one shape (see KernelOp::canOverwrite).
bool groupCanOverwrite(GroupOp group, unsigned index, unsigned result);

} // namespace transom::plan
