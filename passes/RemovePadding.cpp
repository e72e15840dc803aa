// remove-padding:
// 1. Find the padded rows of each function and prove that nothing depends on their padding (PaddedTokens.h).
// 2. Name the number of valid tokens, with its bounds, and make the packed form of what tokens compute (PackTokens.h).
// 3. Let the ops that end it read packed tokens: caches, pooling, choices of a token; unpack what must have the padded form.
// 4. Erase the padded ops that nothing reads any more.
#include "passes/PackTokens.h"
#include "passes/Passes.h"

#include <map>

using namespace mlir;
using llvm::SmallVector;
using llvm::StringRef;

namespace transom {

#define GEN_PASS_DEF_REMOVEPADDINGPASS
#include "passes/Passes.h.inc"

namespace {

/// A new size for the tokens of `space`, with its bounds in the module.
std::string nameTokens(ModuleOp module, const TokenSpace &space) {
  std::string seq = space.seq.asSymbol().value_or("seq"), stem = seq == "seq" ? "tokens" : seq + "_tokens", name = stem;
  for (int number = 2; boundsOf(module, name); ++number)
    name = stem + "_" + std::to_string(number);
  Builder builder(module.getContext());
  NamedAttrList bounds(module->getAttrOfType<DictionaryAttr>("transom.bounds"));
  auto integer = [&](int64_t value) -> Attribute { return builder.getI64IntegerAttr(value); };
  bounds.set(name, builder.getArrayAttr({integer(0), integer(*maximumOf(module, space.batch * space.seq))}));
  module->setAttr("transom.bounds", bounds.getDictionary(module.getContext()));
  return name;
}

/// Rewrites the exits of one function.
class Rewriter {
public:
  Rewriter(const PaddedGraph &graph, const DimAnalysis &dims, TokenPacker &packer) : graph(graph), dims(dims), packer(packer) {}

  void rewrite(const PackedExit &exit) {
    OpBuilder builder(exit.op);
    Location loc = exit.op->getLoc();
    Value cumulative = packer.cumulative(exit.space);
    if (exit.kind == PackedExit::Kind::sizes)
      return exit.op->setOperand(exit.operand, graph.spaces[exit.space].rows);
    Value packed = packer.packed(exit.op->getOperand(exit.operand));
    switch (exit.kind) {
    case PackedExit::Kind::cacheAppend: {
      auto append = cast<CacheAppendOp>(exit.op);
      return replace(exit.op, builder.create<CacheAppendOp>(loc, append.getCache(), packed, append.getPastLengths(), /*lengths=*/Value(),
                                                            cumulative, HeadLayout::thd));
    }
    case PackedExit::Kind::sum:
      return replace(exit.op, keepDims(builder, exit.op, builder.create<ReducePackedOp>(loc, ReduceKind::sum, packed, cumulative)));
    case PackedExit::Kind::extremum: return replace(exit.op, keepDims(builder, exit.op, extremum(builder, exit, packed)));
    case PackedExit::Kind::firstToken: {
      Value first = builder.create<FirstTokenOp>(loc, packed, /*lengths=*/Value(), cumulative);
      return replace(exit.op, withRowDim(builder, exit.op, first));
    }
    case PackedExit::Kind::lastToken: return replace(exit.op, builder.create<LastTokenOp>(loc, packed, /*lengths=*/Value(), cumulative));
    case PackedExit::Kind::padded: return exit.op->setOperand(exit.operand, unpack(builder, exit, packed));
    case PackedExit::Kind::sizes: break;
    }
    llvm_unreachable("every kind of exit is rewritten");
  }

private:
  /// In the type that readers know, which may say less of the sizes.
  static void replace(Operation *op, Value value) {
    value.setType(op->getResult(0).getType());
    op->getResult(0).replaceAllUsesWith(value);
  }

  /// [batch, ...] as [batch, 1, ...], the type of the result of `op`.
  Value withRowDim(OpBuilder &builder, Operation *op, Value rows) const {
    SmallVector<int64_t> shape = {0, 1};
    for (const DimExpr &size : llvm::drop_begin(dims.of(op->getResult(0)), 2))
      shape.push_back(size.constant().value_or(-1));
    return builder.create<ReshapeOp>(op->getLoc(), rows, builder.getDenseI64ArrayAttr(shape));
  }
  Value keepDims(OpBuilder &builder, Operation *op, Value rows) const {
    return cast<ReduceOp>(op).getKeepDims() ? withRowDim(builder, op, rows) : rows;
  }

  /// The filler takes part in rows that have padding; of rows without tokens it is all there is.
  Value extremum(OpBuilder &builder, const PackedExit &exit, Value packed) {
    Location loc = exit.op->getLoc();
    ReduceKind kind = cast<ReduceOp>(exit.op).getKind();
    auto larger = [&](Value a, Value b) -> Value {
      return kind == ReduceKind::max ? builder.create<MaxOp>(loc, a, b).getResult() : builder.create<MinOp>(loc, a, b).getResult();
    };
    auto constant = [&](Attribute number) {
      return builder.create<ConstantOp>(loc, DenseElementsAttr::get(RankedTensorType::get({}, elementOf(packed.getType())), number));
    };
    Value found = builder.create<ReducePackedOp>(loc, kind, packed, packer.cumulative(exit.space));
    Value isValid = builder.create<CastOp>(loc, graph.spaces[exit.space].rows, TypeAttr::get(builder.getI1Type()));
    Value fillers = builder.create<SelectOp>(loc, isValid, constant(neutralOf(exit.filler, kind)), constant(exit.filler)); // [batch, seq]
    SmallVector<int64_t> shape(cast<RankedTensorType>(found.getType()).getRank(), 1);
    shape[0] = 0;
    Value ofRow = builder.create<ReduceOp>(loc, kind, fillers, builder.getDenseI64ArrayAttr({1}), /*keep_dims=*/false);
    return larger(found, builder.create<ReshapeOp>(loc, ofRow, builder.getDenseI64ArrayAttr(shape)));
  }

  /// The number that a reduction of this kind does not notice, of the type of `like`.
  static Attribute neutralOf(TypedAttr like, ReduceKind kind) {
    if (auto floating = dyn_cast<FloatAttr>(like))
      return FloatAttr::get(like.getType(), APFloat::getInf(floating.getValue().getSemantics(), /*Negative=*/kind == ReduceKind::max));
    unsigned width = like.getType().getIntOrFloatBitWidth();
    if (width == 1) // false < true
      return IntegerAttr::get(like.getType(), kind == ReduceKind::max ? 0 : 1);
    return IntegerAttr::get(like.getType(), kind == ReduceKind::max ? APInt::getSignedMinValue(width) : APInt::getSignedMaxValue(width));
  }

  /// Padded rows of the packed tokens; once for each value.
  Value unpack(OpBuilder &builder, const PackedExit &exit, Value packed) {
    Value &padded = unpacked[packed];
    if (!padded) {
      builder.setInsertionPointAfterValue(packed);
      padded = builder.create<UnpackOp>(packed.getLoc(), packed, packer.index(exit.space), graph.spaces[exit.space].rows);
      padded.setType(exit.op->getOperand(exit.operand).getType());
    }
    return padded;
  }

  const PaddedGraph &graph;
  const DimAnalysis &dims;
  TokenPacker &packer;
  llvm::DenseMap<Value, Value> unpacked;
};

class RemovePaddingPass : public impl::RemovePaddingPassBase<RemovePaddingPass> {
  using RemovePaddingPassBase::RemovePaddingPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    Reporter reporter(getArgument(), report);
    std::map<std::string, std::string> names; // of the tokens of [batch, seq]: functions that share these sizes share the name
    for (auto function : module.getOps<func::FuncOp>())
      if (!function.isExternal() && function.getBody().hasOneBlock())
        packFunction(module, function, names, reporter);
  }

  void packFunction(ModuleOp module, func::FuncOp function, std::map<std::string, std::string> &known, const Reporter &reporter) {
    DimAnalysis dims(function);
    PaddedGraph graph = matchPaddedGraph(function, dims, reporter);
    if (graph.attention.empty())
      return;
    SmallVector<std::string> names = llvm::map_to_vector(graph.spaces, [&](const TokenSpace &space) {
      auto [entry, isNew] = known.try_emplace(str(Dims{space.batch, space.seq}));
      if (isNew)
        entry->second = nameTokens(module, space);
      return entry->second;
    });
    TokenPacker packer(function, graph, dims, names);
    packer.pack(graph.exits);
    Rewriter rewriter(graph, dims, packer);
    for (const PackedExit &exit : graph.exits)
      if (!packer.isAtFront(exit.op))
        rewriter.rewrite(exit);
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
      if (isOpTriviallyDead(&op))
        op.erase();
    for (auto [space, name] : llvm::zip(graph.spaces, names))
      reporter.applied(function, "packed " + str(Dims{space.batch, space.seq}) + " as [" + name + "], by " +
                                     (space.lengths ? "lengths" : "the mask") + " of attention");
  }
};

} // namespace
} // namespace transom
