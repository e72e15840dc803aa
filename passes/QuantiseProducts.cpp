// quantise-products:
// 1. Take the products whose rows are tokens that attention reads too, and that lie between residual additions: those of layers.
// 2. With `observe`, give the largest magnitude that each of them reads as a result of its function.
// 3. Otherwise round its rows to E4M3, make its weight a recipe in E4M3, and multiply the result by the scales of the weight's rows. Both
//    recipes read the weight, once each, when the artifact is written.
#include "passes/Passes.h"
#include "passes/Recipes.h"
#include "passes/Report.h"

#include "ir/DimAnalysis.h"
#include "ir/Group.h"
#include "ir/Plan.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

#define GEN_PASS_DEF_QUANTISEPRODUCTSPASS
#include "passes/Passes.h.inc"

namespace {

/// The copy engine takes rows of 16 bytes or multiples; the kernel columns of the product in groups of 32.
constexpr int64_t innerStep = 16, outerStep = 32;
constexpr double largest = 448, leastScale = 0x1p-120;

RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }
bool isStored(Value value) { return isa_and_nonnull<WeightOp, RecipeOp, ConstantOp>(value.getDefiningOp()); }

DimExpr rowsOf(const Dims &dims, unsigned behind) { return product(llvm::ArrayRef(dims).drop_back(behind)); }

/// Tokens of attention's query.
DimExpr tokensOf(AttentionOp attention, const DimAnalysis &dims) {
  const Dims &query = dims.of(attention.getQuery());
  return attention.getLayout() == HeadLayout::bhsd ? query[0] * query[2] : rowsOf(query, 2);
}

/// Which products of a function the pass takes.
class Chooser {
public:
  Chooser(func::FuncOp function, const Reporter &reporter) : function(function), reporter(reporter), dims(function) {
    for (auto attention : function.getOps<AttentionOp>())
      if (DimExpr rows = tokensOf(attention, dims); !llvm::is_contained(tokens, rows))
        tokens.push_back(rows);
  }

  SmallVector<MatmulOp> run() {
    SmallVector<MatmulOp> chosen;
    if (llvm::any_of(function.getArgumentTypes(), [](Type type) { return isa<CacheType>(type); }))
      return chosen;
    for (auto product : function.getOps<MatmulOp>())
      if (std::string why = whyNot(product); why.empty())
        chosen.push_back(product);
      else
        reporter.reject(product, why);
    return chosen;
  }

private:
  std::string whyNot(MatmulOp op) {
    RankedTensorType weight = typeOf(op.getRhs());
    if (!isStored(op.getRhs()) || !plan::isGemv(op) || !isa<Float32Type, Float16Type, BFloat16Type>(weight.getElementType()))
      return "Q1: expected a stored weight of f32, f16 or bf16 [N, K] with transpose_rhs, and rows of f32";
    DimExpr rows = rowsOf(dims.of(op.getLhs()), 1);
    if (!llvm::is_contained(tokens, rows) || maximumOf(function->getParentOfType<ModuleOp>(), rows).value_or(maxGemvRows + 1) <= maxGemvRows)
      return ("Q2: expected rows that are tokens of attention, more than " + llvm::Twine(maxGemvRows) + " at their bounds, found " + rows.str()).str();
    if (weight.getDimSize(0) % outerStep != 0 || weight.getDimSize(1) % innerStep != 0)
      return ("Q3: expected a weight [N, K] of multiples of " + llvm::Twine(outerStep) + " and " + llvm::Twine(innerStep) + ", found " + llvm::Twine(weight.getDimSize(0)) + " x " +
              llvm::Twine(weight.getDimSize(1))).str();
    if (!reachesResidual(op))
      return "Q4: expected a product of a layer, which a residual addition follows";
    return "";
  }

  /// Whether `value`, or what is computed from it, is added to other rows: an addition of two operands of one shape, neither of them stored.
  bool reachesResidual(Value value) {
    llvm::SetVector<Value> open;
    open.insert(value);
    for (size_t i = 0; i < open.size(); ++i)
      for (Operation *user : open[i].getUsers()) {
        if (auto add = dyn_cast<AddOp>(user); add && dims.of(add.getLhs()).size() > 1 && llvm::equal(dims.of(add.getLhs()), dims.of(add.getRhs())) &&
                                              !isStored(add.getLhs()) && !isStored(add.getRhs()))
          return true;
        open.insert(user->result_begin(), user->result_end());
      }
    return false;
  }

  func::FuncOp function;
  const Reporter &reporter;
  DimAnalysis dims;
  SmallVector<DimExpr> tokens;
};

class Rewriter {
public:
  Rewriter(MatmulOp op, RecipeNames &names) : op(op), names(names), builder(op), loc(op.getLoc()) {}

  /// `scale`: of the rows it reads; none: each has its own.
  MatmulOp run(std::optional<double> scale) {
    Operation *before = op->getPrevNode(), *weight = op.getRhs().getDefiningOp();
    Value wide = op.getRhs();
    if (!elementOf(wide.getType()).isF32())
      wide = builder.create<CastOp>(loc, wide, TypeAttr::get(builder.getF32Type()));
    Value top = builder.create<ReduceOp>(loc, ReduceKind::max, builder.create<AbsOp>(loc, wide), builder.getDenseI64ArrayAttr({1}), /*keep_dims=*/true);
    Value of = builder.create<MaxOp>(loc, builder.create<MulOp>(loc, top, number(1 / largest)), number(leastScale));
    Operation *steps[] = {builder.create<CastOp>(loc, builder.create<DivOp>(loc, wide, of), TypeAttr::get(builder.getType<Float8E4M3FNType>())),
                          builder.create<ReshapeOp>(loc, of, builder.getDenseI64ArrayAttr({-1}))};
    Value codes = makeRecipe(steps[0], names), scales = makeRecipe(steps[1], names);
    Value rows = builder.create<RoundE4m3Op>(loc, op.getLhs().getType(), op.getLhs(), scale ? number(*scale) : Value());
    auto narrow = builder.create<MatmulOp>(loc, op.getType(), rows, codes, builder.getUnitAttr());
    Value result = builder.create<MulOp>(loc, op.getType(), narrow, scales);
    op.replaceAllUsesWith(result);
    op.erase();
    eraseUnused(steps[1], before);
    if (isOpTriviallyDead(weight))
      weight->erase();
    return narrow;
  }

private:
  Value number(double value) {
    return builder.create<ConstantOp>(loc, DenseElementsAttr::get(RankedTensorType::get({}, builder.getF32Type()), static_cast<float>(value)));
  }
  /// Ops that nothing reads, from `last` back to the one behind `before`: recipes hold copies of what weights are computed by.
  static void eraseUnused(Operation *last, Operation *before) {
    while (last != before) {
      Operation *step = last;
      last = step->getPrevNode();
      if (isOpTriviallyDead(step))
        step->erase();
    }
  }

  MatmulOp op;
  RecipeNames &names;
  OpBuilder builder;
  Location loc;
};

/// Gives the largest magnitude of each product's rows as a result.
void observe(func::FuncOp function, ArrayRef<MatmulOp> products) {
  Operation *end = function.getBody().front().getTerminator();
  OpBuilder builder(end);
  for (size_t i = 0; i < products.size(); ++i) {
    MatmulOp op = products[i];
    SmallVector<int64_t> axes = llvm::to_vector(llvm::seq<int64_t>(0, typeOf(op.getLhs()).getRank()));
    Value top = builder.create<ReduceOp>(op.getLoc(), ReduceKind::max, builder.create<AbsOp>(op.getLoc(), op.getLhs()), builder.getDenseI64ArrayAttr(axes),
                                         /*keep_dims=*/false);
    end->insertOperands(end->getNumOperands(), top);
    auto attributes = builder.getDictionaryAttr({builder.getNamedAttr("transom.dims", builder.getArrayAttr({})),
                                                 builder.getNamedAttr("transom.name", builder.getStringAttr("e4m3." + llvm::Twine(i)))});
    function.insertResult(function.getNumResults(), top.getType(), attributes);
  }
}

struct QuantiseProductsPass : impl::QuantiseProductsPassBase<QuantiseProductsPass> {
  using QuantiseProductsPassBase::QuantiseProductsPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    Reporter reporter(getArgument(), report);
    SmallVector<std::pair<func::FuncOp, SmallVector<MatmulOp>>> chosen;
    for (auto function : module.getOps<func::FuncOp>()) {
      if (function.isExternal())
        continue;
      SmallVector<MatmulOp> products = Chooser(function, reporter).run();
      if (products.empty())
        continue;
      if (!scales.empty() && scales.size() != products.size()) {
        function.emitError("scales: expected ") << products.size() << ", one for each product that is quantised, found " << scales.size();
        return signalPassFailure();
      }
      chosen.push_back({function, std::move(products)});
    }
    RecipeNames names(module);
    for (auto &[function, products] : chosen) {
      if (observe) {
        if (function.getSymName() == "main")
          transom::observe(function, products);
        continue;
      }
      for (auto [i, product] : llvm::enumerate(products)) {
        MatmulOp narrow = Rewriter(product, names).run(scales.empty() ? std::nullopt : std::optional(scales[i]));
        reporter.applied(narrow, "reads operands of E4M3");
      }
    }
  }
};

} // namespace
} // namespace transom
