// Making transom.group of ops of one block: used by every pass that makes groups.
#pragma once

#include "ir/DimAnalysis.h"
#include "ir/Group.h"
#include "passes/Report.h"

#include "llvm/ADT/SetVector.h"

namespace transom {

/// Ops of one block, none of them in a group.
using Members = llvm::SmallSetVector<mlir::Operation *, 16>;

/// Ops outside `members`, from the first of them to the last, that depend on a member, in the order of the block. A group
/// stands behind its last member, and these behind the group: no member may depend on one of them.
llvm::SmallVector<mlir::Operation *> dependentsBetween(const Members &members);

/// Whether no member depends on a member by way of an op outside, as makeGroup asks.
bool isConvex(const Members &members);

/// Whether an op that is no member reads `value`.
bool isReadOutside(mlir::Value value, const Members &members);

/// Moves the members into a group where the last of them stood. Its inputs are what they read from outside, its results
/// what is read outside, both in the order of the block. `named` gives the group its name in the model. `dims` learns the
/// sizes of the results.
GroupOp makeGroup(const Members &members, mlir::Operation *named, DimAnalysis &dims);

/// "rms_norm, matmul, slice": the ops of a group, for reports.
std::string describe(GroupOp group);

/// What it costs that a tensor is written by one operation and read by another, at the bounds of its sizes.
Cost costOf(mlir::Value intermediate, const DimAnalysis &dims);
/// What a group saves: launches, and its intermediate tensors written and read again.
Cost savedBy(GroupOp group, const DimAnalysis &dims);

} // namespace transom
