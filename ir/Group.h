// What a transom.group computes, in the three parts a device operation has.
#pragma once

#include "ir/Transom.h"

namespace transom {

/// The ops of a group's body, each part in the order of the block.
struct GroupForm {
  llvm::SmallVector<mlir::Operation *> prologue; ///< what operand lhs of the root is made by
  MatmulOp root;                                 ///< null if the group has no matrix product
  llvm::SmallVector<mlir::Operation *> epilogue; ///< all others
};

/// Takes the body apart. Fails if it has more than one matrix product.
mlir::FailureOr<GroupForm> matchGroup(GroupOp group);

} // namespace transom
