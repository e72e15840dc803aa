// What dimensions of a tensor of keys or values mean, followed through ops that only show it in another shape.
#pragma once

#include "ir/DimAnalysis.h"
#include "passes/Permutations.h"

#include <array>

namespace transom {

enum class KvRole { batch, heads, seq, headDim };

/// For each dimension the roles that it is made of, outermost first; none for a size of 1.
using DimRoles = llvm::SmallVector<llvm::SmallVector<KvRole, 2>, 4>;
/// The size of each role.
using RoleSizes = std::array<DimExpr, 4>;

/// The roles of a tensor with heads in `layout`, which is not thd.
DimRoles rolesOf(HeadLayout layout);
/// All roles of a tensor in the order of its numbers.
llvm::SmallVector<KvRole, 4> flattened(const DimRoles &roles);

/// Whether `op` shows its first operand in another shape and does nothing else that the functions below cannot follow: a
/// transpose, a reshape, or a repetition of a dimension of size 1.
bool isKvView(mlir::Operation *op, const DimAnalysis &dims);
/// The roles of the operand of a view whose result has `roles`. Where the view is the last step of repeating key/value heads
/// for each query head of a group, `sizes` has fewer heads afterwards. Fails where a dimension mixes roles in another way.
mlir::FailureOr<DimRoles> rolesBefore(mlir::Operation *view, const DimRoles &roles, RoleSizes &sizes, const DimAnalysis &dims);
/// The roles of the result of a view whose operand has `roles`; of transposes and reshapes alone.
mlir::FailureOr<DimRoles> rolesAfter(mlir::Operation *view, const DimRoles &roles, const RoleSizes &sizes, const DimAnalysis &dims);

} // namespace transom
