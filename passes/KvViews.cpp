// See KvViews.h.
#include "passes/KvViews.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom {

DimRoles rolesOf(HeadLayout layout) {
  if (layout == HeadLayout::bhsd)
    return {{KvRole::batch}, {KvRole::heads}, {KvRole::seq}, {KvRole::headDim}};
  return {{KvRole::batch}, {KvRole::seq}, {KvRole::heads}, {KvRole::headDim}};
}

SmallVector<KvRole, 4> flattened(const DimRoles &roles) {
  SmallVector<KvRole, 4> all;
  for (auto &dim : roles)
    all.append(dim.begin(), dim.end());
  return all;
}

/// The dimension that `op` repeats, which had size 1.
static std::optional<unsigned> repeatedAxis(Operation *op, const DimAnalysis &dims) {
  if (!isa_and_nonnull<ConcatOp, BroadcastOp>(op))
    return std::nullopt;
  const Dims &from = dims.of(op->getOperand(0)), &to = dims.of(op->getResult(0));
  if (auto concat = dyn_cast<ConcatOp>(op)) {
    bool same = llvm::all_equal(concat.getInputs()) && from[concat.getAxis()] == DimExpr(1);
    return same ? std::optional<unsigned>(concat.getAxis()) : std::nullopt;
  }
  std::optional<unsigned> axis;
  if (from.size() != to.size())
    return std::nullopt;
  for (auto [index, size] : llvm::enumerate(from)) {
    if (size == to[index])
      continue;
    if (axis || !(size == DimExpr(1)))
      return std::nullopt;
    axis = index;
  }
  return axis;
}

bool isKvView(Operation *op, const DimAnalysis &dims) { return isa<TransposeOp, ReshapeOp>(op) || repeatedAxis(op, dims); }

/// Gives dimensions of `sizes` the roles in `all`, in order; false where their sizes do not fit.
static bool distribute(ArrayRef<KvRole> all, ArrayRef<DimExpr> dims, const RoleSizes &sizes, DimRoles &result) {
  for (const DimExpr &dim : dims) {
    auto &roles = result.emplace_back();
    DimExpr filled(1);
    while (!(filled == dim)) {
      if (all.empty())
        return false;
      roles.push_back(all.front());
      filled = filled * sizes[size_t(all.front())];
      all = all.drop_front();
    }
  }
  // A size of 1 has its role where it can, behind the others.
  for (KvRole role : all)
    if (!(sizes[size_t(role)] == DimExpr(1)))
      return false;
  if (!all.empty() && result.empty())
    return false;
  for (KvRole role : all)
    result.back().push_back(role);
  return true;
}

static FailureOr<DimRoles> before(ReshapeOp op, const DimRoles &roles, RoleSizes &sizes, const DimAnalysis &dims) {
  std::optional<ReshapeGroups> groups = reshapeGroups(op, dims.of(op.getInput()));
  if (!groups)
    return failure();
  std::optional<unsigned> repeated = repeatedAxis(op.getInput().getDefiningOp(), dims);
  DimRoles result;
  for (const ReshapeGroup &group : groups->groups) {
    auto outs = ArrayRef(roles).slice(group.outBegin, group.outEnd - group.outBegin);
    auto ins = ArrayRef(groups->input).slice(group.inBegin, group.inEnd - group.inBegin);
    // [kv_heads, group] joined to [heads]: each key/value head stands for a group of query heads, one behind the other.
    if (repeated && ins.size() == 2 && *repeated == group.inBegin + 1 && outs.size() == 1 && ArrayRef(outs[0]).equals({KvRole::heads})) {
      sizes[size_t(KvRole::heads)] = ins[0];
      result.push_back({KvRole::heads});
      result.push_back({});
      continue;
    }
    SmallVector<KvRole, 4> all;
    for (auto &dim : outs)
      all.append(dim.begin(), dim.end());
    if (!distribute(all, ins, sizes, result))
      return failure();
  }
  return result;
}

FailureOr<DimRoles> rolesBefore(Operation *view, const DimRoles &roles, RoleSizes &sizes, const DimAnalysis &dims) {
  if (auto transpose = dyn_cast<TransposeOp>(view)) {
    DimRoles result(roles.size());
    for (auto [index, axis] : llvm::enumerate(transpose.getPermutation()))
      result[axis] = roles[index];
    return result;
  }
  if (auto reshape = dyn_cast<ReshapeOp>(view))
    return before(reshape, roles, sizes, dims);
  // What is repeated has been taken out of the heads; no other role can be repeated.
  if (std::optional<unsigned> axis = repeatedAxis(view, dims); axis && roles[*axis].empty())
    return roles;
  return failure();
}

FailureOr<DimRoles> rolesAfter(Operation *view, const DimRoles &roles, const RoleSizes &sizes, const DimAnalysis &dims) {
  DimRoles result;
  if (auto transpose = dyn_cast<TransposeOp>(view)) {
    for (int64_t axis : transpose.getPermutation())
      result.push_back(roles[axis]);
    return result;
  }
  auto reshape = dyn_cast<ReshapeOp>(view);
  std::optional<ReshapeGroups> groups = reshape ? reshapeGroups(reshape, dims.of(reshape.getInput())) : std::nullopt;
  if (!groups)
    return failure();
  for (const ReshapeGroup &group : groups->groups) {
    SmallVector<KvRole, 4> all;
    for (auto &dim : ArrayRef(roles).slice(group.inBegin, group.inEnd - group.inBegin))
      all.append(dim.begin(), dim.end());
    if (!distribute(all, ArrayRef(groups->result).slice(group.outBegin, group.outEnd - group.outBegin), sizes, result))
      return failure();
  }
  return result;
}

} // namespace transom
