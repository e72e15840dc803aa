// Values that stand in another order of dimensions than their readers were written for: the book that eliminate-transposes
// keeps while it moves transposes down. The old ops stay until all of a function is rewritten.
#pragma once

#include "ir/DimAnalysis.h"
#include "passes/Permutations.h"
#include "passes/Recipes.h"
#include "passes/Report.h"

namespace transom {

/// Stands for `transpose base order`.
struct Placed {
  mlir::Value base;
  Permutation order;
};

class PlacedValues {
public:
  PlacedValues(mlir::func::FuncOp function, RecipeNames &names);

  const Dims &dimsOf(mlir::Value value) const { return dims.of(value); }
  /// Where `value`, one of the old function's, stands now; where it always stood if nothing has moved it.
  Placed at(mlir::Value value) const;
  void place(mlir::Value value, mlir::Value base, Permutation order) { places[value] = {base, std::move(order)}; }

  /// What `value` would have to be transposed by so that it stands for `transpose result order`.
  Permutation wayTo(mlir::Value value, llvm::ArrayRef<int64_t> order) const;
  /// Most bytes that this would read and write; 0 where it takes no time, and 1 where nothing bounds them.
  int64_t costOf(mlir::Value value, llvm::ArrayRef<int64_t> order) const;
  /// A value that `value` is `transpose result order` of. A view or a rewritten weight costs nothing; else a transpose is made
  /// before `stop`, and `condition` says what of `stop` made it necessary.
  mlir::Value settle(mlir::Value value, llvm::ArrayRef<int64_t> order, mlir::Operation *stop, const llvm::Twine &condition);
  /// In the order that its readers were written for.
  mlir::Value settle(mlir::Value value, mlir::Operation *stop, const llvm::Twine &condition);
  /// A reshape of `base`, which has sizes `from`; null if its shape cannot be written.
  mlir::Value reshape(mlir::Value base, const Dims &from, const Dims &to, mlir::Operation *before);
  /// A weight, recipe or constant with its dimensions in another order; null if it has quantised blocks that would move.
  mlir::Value transposedWeight(mlir::Value weight, llvm::ArrayRef<int64_t> permutation, mlir::Operation *before);

  /// A copy of `op` that stands before it, to be erased by undo().
  mlir::Operation *clone(mlir::Operation *op);

  /// A transpose that had to stay.
  struct Stop {
    mlir::Operation *op;
    std::string condition;
    int64_t cost;
  };
  llvm::ArrayRef<Stop> stops() const { return stopped; }
  /// Erases all that has been made.
  void undo();

private:
  mlir::Value keep(mlir::Operation *op) {
    made.push_back(op);
    return op->getResult(0);
  }
  Dims baseDims(mlir::Value value) const;

  DimAnalysis dims;
  mlir::ModuleOp module;
  RecipeNames &names;
  llvm::DenseMap<mlir::Value, Placed> places;
  llvm::DenseMap<std::pair<mlir::Value, mlir::Attribute>, mlir::Value> settled;
  llvm::SmallVector<mlir::Operation *> made;
  llvm::SmallVector<Stop> stopped;
};

/// Whether `value` is a weight, a recipe or a constant: rewriting it costs nothing when the program runs.
bool isStored(mlir::Value value);

} // namespace transom
