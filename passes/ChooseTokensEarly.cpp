// choose-tokens-early, for each first_token or last_token of packed rows:
// 1. While an op that computes each token on its own is read by this choice alone, choose of what it reads instead: the op then computes
//    the chosen tokens, one a row.
// 2. Attention among them keeps the keys and values of all tokens, and gets one query a row.
#include "ir/DimAnalysis.h"
#include "passes/FusedRegion.h"
#include "passes/Passes.h"
#include "passes/RefineTypes.h"
#include "passes/Report.h"
#include "passes/SinkLastToken.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

#define GEN_PASS_DEF_CHOOSETOKENSEARLYPASS
#include "passes/Passes.h.inc"

namespace {

/// Moves the choices of one kind, by one tensor of cumulative lengths, in one function.
template <typename ChoiceOp> class Chooser {
public:
  Chooser(func::FuncOp function, const DimAnalysis &dims, Value cumulative, const Reporter &reporter)
      : function(function), dims(dims), cumulative(cumulative), reporter(reporter) {}

  void run() {
    for (auto choice : llvm::make_early_inc_range(function.getOps<ChoiceOp>()))
      if (choice.getCumulative() == cumulative)
        begin(choice);
    while (moveOne())
      ;
    if (moved > 0)
      reporter.applied(function, llvm::Twine(moved) + " ops, " + llvm::Twine(attentions) + " of them attention, compute one token a row");
  }

private:
  void begin(ChoiceOp choice) {
    auto [known, isNew] = choices.try_emplace(choice.getInput(), choice);
    if (isNew) {
      OpBuilder builder = behind(choice.getInput());
      choice->moveBefore(builder.getInsertionBlock(), builder.getInsertionPoint());
      return;
    }
    choice.getResult().replaceAllUsesWith(known->second.getResult());
    choice.erase();
  }

  /// Where choices of `value` stand: behind it and the lengths.
  OpBuilder behind(Value value) {
    OpBuilder builder(function.getContext());
    Operation *ends = cumulative.getDefiningOp(), *own = value.getDefiningOp();
    builder.setInsertionPointAfterValue(ends && (!own || own->isBeforeInBlock(ends)) ? cumulative : value);
    return builder;
  }

  /// The chosen tokens of `value` [tokens, ...], in front of `reader`, which stands behind the value and the lengths.
  Value choose(Value value, Operation *reader) {
    ChoiceOp &choice = choices[value];
    if (!choice) {
      OpBuilder builder = behind(value);
      choice = builder.create<ChoiceOp>(value.getLoc(), value, /*lengths=*/Value(), cumulative);
    }
    if (reader->isBeforeInBlock(choice))
      choice->moveBefore(reader);
    return choice.getResult();
  }

  /// [0, 1, 2, ...]: one query a row.
  Value oneEach() {
    if (!ones) {
      OpBuilder builder(function.getContext());
      builder.setInsertionPointAfterValue(cumulative);
      ones = builder.create<IotaOp>(cumulative.getLoc(), cumulative, /*axis=*/uint64_t(0));
    }
    return ones;
  }

  bool hasTokens(Value value, const DimExpr &tokens) const {
    return isa<RankedTensorType>(value.getType()) && !dims.of(value).empty() && dims.of(value)[0] == tokens;
  }

  /// Operands of `op` to choose tokens of, if it computes each token of its result from that token of theirs.
  std::optional<SmallVector<unsigned>> tokenOperands(Operation *op) const {
    using Operands = std::optional<SmallVector<unsigned>>;
    const Dims &result = dims.of(op->getResult(0));
    const DimExpr &tokens = result[0];
    auto only = [&](bool fits, unsigned operand = 0) {
      return fits && hasTokens(op->getOperand(operand), tokens) ? Operands(SmallVector<unsigned>{operand}) : Operands();
    };
    if (isPointwise(op)) {
      SmallVector<unsigned> operands;
      for (OpOperand &operand : op->getOpOperands()) {
        const Dims &own = dims.of(operand.get());
        if (own.size() == result.size() && own[0] == tokens)
          operands.push_back(operand.getOperandNumber());
        else if (own.size() == result.size() && !(own[0] == DimExpr(1)))
          return std::nullopt;
      }
      return operands;
    }
    return llvm::TypeSwitch<Operation *, Operands>(op)
        .Case([&](MatmulOp matmul) { return only(matmul.getRhs().getType().getRank() == 2 && result.size() >= 2); })
        .template Case<RmsNormOp, LayerNormOp>([&](auto) { return only(result.size() >= 2); })
        .template Case<SliceOp, SoftmaxOp>([&](auto along) { return only(along.getAxis() >= 1); })
        .Case([&](TransposeOp transpose) { return only(transpose.getPermutation()[0] == 0); })
        .Case([&](ReshapeOp reshape) { return only(reshape.getShape()[0] == 0); })
        .Case([&](EmbeddingOp) { return only(true, 1); })
        .Case([&](RotaryOp rotary) { return rotary.getLayout() == HeadLayout::thd ? Operands(SmallVector<unsigned>{0, 1}) : Operands(); })
        .Case([&](AttentionOp attention) { return only(fits(attention)); })
        .Default([](Operation *) { return Operands(); });
  }

  /// Whether a row's chosen token sees what it sees now where it is the row's only query: as the last of the row's places.
  bool fits(AttentionOp attention) const {
    const bool last = std::is_same_v<ChoiceOp, LastTokenOp>;
    return attention.getLayout() == HeadLayout::thd && attention.getCumulativeLengths() == cumulative && !attention.getPastLengths() &&
           (last || !(attention.getCausal() || attention.getWindow()));
  }

  /// `op` on chosen tokens, in front of `place`.
  Operation *cloneForChosen(Operation *op, IRMapping &mapping, Operation *place) {
    OpBuilder builder(place);
    if (auto attention = dyn_cast<AttentionOp>(op)) {
      Value keys = attention.getKeyCumulativeLengths() ? attention.getKeyCumulativeLengths() : cumulative;
      ++attentions;
      return builder.create<AttentionOp>(op->getLoc(), mapping.lookup(attention.getQuery()), attention.getKey(), attention.getValue(), /*mask=*/Value(),
                                         /*bias=*/Value(), /*past=*/Value(), /*lengths=*/Value(), oneEach(), keys, HeadLayout::thd, attention.getScale(),
                                         attention.getCausal(), attention.getWindowAttr(), attention.getSoftcapAttr());
    }
    Operation *clone = cloneRefined(builder, op, mapping);
    assert(clone && "an op that computes each token on its own takes fewer of them");
    return clone;
  }

  bool moveOne() {
    for (auto [value, choice] : choices) { // copies: choosing more moves the table
      Operation *op = value.getDefiningOp();
      if (!op || op->getNumResults() != 1 || !value.hasOneUse())
        continue;
      std::optional<SmallVector<unsigned>> operands = tokenOperands(op);
      if (!operands) {
        if (auto attention = dyn_cast<AttentionOp>(op); attention && refused.insert(op).second)
          reporter.reject(op, "C1: expected attention over the rows' own tokens, without caches, and for the first token neither causal nor windowed");
        continue;
      }
      IRMapping mapping;
      for (unsigned index : *operands)
        mapping.map(op->getOperand(index), choose(op->getOperand(index), choice));
      Value narrow = cloneForChosen(op, mapping, choice)->getResult(0);
      choice.getResult().replaceAllUsesWith(narrow);
      choices.erase(value);
      choice.erase();
      op->erase();
      ++moved;
      return true;
    }
    return false;
  }

  func::FuncOp function;
  const DimAnalysis &dims;
  Value cumulative, ones;
  const Reporter &reporter;
  llvm::MapVector<Value, ChoiceOp> choices;
  llvm::DenseSet<Operation *> refused;
  int64_t moved = 0, attentions = 0;
};

class ChooseTokensEarlyPass : public impl::ChooseTokensEarlyPassBase<ChooseTokensEarlyPass> {
  using ChooseTokensEarlyPassBase::ChooseTokensEarlyPassBase;

  void runOnOperation() override {
    Reporter reporter(getArgument(), report);
    func::FuncOp function = getOperation();
    if (function.isExternal() || !function.getBody().hasOneBlock())
      return;
    move<FirstTokenOp>(function, reporter);
    move<LastTokenOp>(function, reporter);
  }

  template <typename ChoiceOp> void move(func::FuncOp function, const Reporter &reporter) {
    DimAnalysis dims(function);
    auto module = function->getParentOfType<ModuleOp>();
    llvm::SetVector<Value> all;
    for (auto choice : function.getOps<ChoiceOp>()) {
      Value cumulative = choice.getCumulative();
      if (cumulative && maximumOf(module, dims.of(choice.getInput())[0]).value_or(fewTokens + 1) > fewTokens)
        all.insert(cumulative);
    }
    for (Value cumulative : all)
      Chooser<ChoiceOp>(function, dims, cumulative, reporter).run();
  }
};

} // namespace
} // namespace transom
