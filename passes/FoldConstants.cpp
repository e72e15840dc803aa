// fold-constants:
// 1. Fold: op folders, elementwise ops on splat constants, shape ops on splat constants, small static iotas.
// 2. Merge equal ops, so that each weight and each rewrite of it stands once.
// 3. Walk each function backwards. A pure op that reads only weights and constants, and whose result something else
//    reads, becomes a recipe with its whole backward slice if that is cheap to store; otherwise its operands are tried.
// 4. Drop what is dead now.
#include "passes/Passes.h"
#include "passes/FusedRegion.h"
#include "passes/Recipes.h"
#include "passes/Report.h"
#include "passes/Views.h"

#include "mlir/IR/Dominance.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

#define GEN_PASS_DEF_FOLDCONSTANTSPASS
#include "passes/Passes.h.inc"

namespace {

/// Runs the scalar form of `op` on scalar constants; null if a step does not fold.
TypedAttr evaluate(ScalarOp op, ArrayRef<TypedAttr> operands) {
  Block scratch;
  OpBuilder builder(op.getContext());
  builder.setInsertionPointToStart(&scratch);
  SmallVector<Value> scalars;
  for (TypedAttr operand : operands)
    scalars.push_back(builder.create<arith::ConstantOp>(op.getLoc(), operand));
  Value result = op.emitScalar(builder, op.getLoc(), scalars);
  llvm::DenseMap<Value, TypedAttr> known;
  for (Operation &step : scratch) {
    SmallVector<Attribute> inputs;
    for (Value input : step.getOperands())
      inputs.push_back(known.lookup(input));
    SmallVector<OpFoldResult> folded;
    TypedAttr value;
    if (auto constant = dyn_cast<arith::ConstantOp>(step))
      value = constant.getValue();
    else if (succeeded(step.fold(inputs, folded)) && folded.size() == 1)
      value = isa<Attribute>(folded[0]) ? dyn_cast<TypedAttr>(cast<Attribute>(folded[0])) : known.lookup(cast<Value>(folded[0]));
    if (!value)
      return {};
    known[step.getResult(0)] = value;
  }
  return known.lookup(result);
}

/// Elementwise ops on splat constants.
struct FoldScalarOp : OpInterfaceRewritePattern<ScalarOp> {
  using OpInterfaceRewritePattern::OpInterfaceRewritePattern;
  LogicalResult matchAndRewrite(ScalarOp op, PatternRewriter &rewriter) const override {
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    SmallVector<TypedAttr> operands;
    for (Value operand : op->getOperands())
      operands.push_back(splatOf(operand));
    if (!type.hasStaticShape() || llvm::is_contained(operands, TypedAttr()))
      return failure();
    TypedAttr value = evaluate(op, operands);
    if (!value)
      return failure();
    rewriter.replaceOpWithNewOp<ConstantOp>(op, DenseElementsAttr::get(type, Attribute(value)));
    return success();
  }
};

/// Shape ops on splat constants: a splat constant of another shape.
template <typename Op> struct FoldShapeOp : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    TypedAttr value = splatOf(op->getOperand(0));
    if (!value || !type.hasStaticShape())
      return failure();
    rewriter.replaceOpWithNewOp<ConstantOp>(op, DenseElementsAttr::get(type, Attribute(value)));
    return success();
  }
};

struct FoldIota : OpRewritePattern<IotaOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(IotaOp op, PatternRewriter &rewriter) const override {
    RankedTensorType type = op.getType();
    // Longer ones are cheaper to compute than to store.
    if (!type.hasStaticShape() || type.getDimSize(0) > 4096)
      return failure();
    auto numbers = llvm::to_vector(llvm::seq<int32_t>(0, type.getDimSize(0)));
    rewriter.replaceOpWithNewOp<ConstantOp>(op, DenseElementsAttr::get(type, ArrayRef<int32_t>(numbers)));
    return success();
  }
};

class FoldConstantsPass : public impl::FoldConstantsPassBase<FoldConstantsPass> {
  using FoldConstantsPassBase::FoldConstantsPassBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FoldScalarOp, FoldIota, FoldShapeOp<ReshapeOp>, FoldShapeOp<TransposeOp>, FoldShapeOp<SliceOp>,
                 FoldShapeOp<BroadcastOp>>(&getContext());
    FrozenRewritePatternSet frozen(std::move(patterns));
    GreedyRewriteConfig config;
    config.enableRegionSimplification = GreedySimplifyRegionLevel::Disabled;
    Reporter reporter(getArgument(), report);
    RecipeNames names(getOperation());
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      if (function.isExternal())
        continue;
      if (failed(applyPatternsAndFoldGreedily(function, frozen, config)))
        return signalPassFailure();
      IRRewriter rewriter(&getContext());
      DominanceInfo dominance(function);
      eliminateCommonSubExpressions(rewriter, dominance, function);
      makeRecipes(function, names, reporter);
      eraseDead(function);
    }
  }
};

} // namespace
} // namespace transom
