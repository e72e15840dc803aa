// See Promises.h. The table at the end is all there is to know; it grows with the passes.
#include "compiler/Promises.h"

#include "ir/Group.h"
#include "ir/Plan.h"
#include "passes/FusedRegion.h"
#include "passes/Permutations.h"
#include "passes/SinkLastToken.h"

#include <algorithm>

using namespace mlir;
using llvm::StringRef;

namespace transom {

namespace {

//===-- Before fusion -----------------------------------------------------------------------------------------------===//

bool isStored(Value value) { return isa_and_nonnull<WeightOp, ConstantOp, RecipeOp>(value.getDefiningOp()); }

/// The ops that fold-constants takes into recipes.
bool couldBeStored(Operation *op) {
  return isa<TransomDialect>(op->getDialect()) && op->getNumRegions() == 0 && op->getNumResults() == 1 &&
         op->getNumOperands() != 0 && !isa<MatmulOp, AttentionOp, YieldOp>(op) && llvm::all_of(op->getOperands(), isStored) &&
         llvm::all_of(op->getResultTypes(), [](Type type) { return isa<RankedTensorType>(type) && cast<RankedTensorType>(type).hasStaticShape(); });
}

/// Whether the only reader of `op` could compute it.
bool couldBeInlined(const Place &place) {
  if (!isPointwise(place.op) || !place.op->hasOneUse())
    return false;
  Operation *reader = *place.op->user_begin();
  const Dims &mine = place.dims.of(place.op->getResult(0));
  if (!isPointwise(reader) || reader->getBlock() != place.op->getBlock())
    return false;
  const Dims &theirs = place.dims.of(reader->getResult(0));
  return mine.size() == theirs.size() && std::equal(mine.begin(), mine.end(), theirs.begin());
}

bool movesNumbers(const Place &place) {
  auto transpose = dyn_cast<TransposeOp>(place.op);
  return transpose && !movesOnlyUnits(transpose.getPermutation(), place.dims.of(transpose.getInput()));
}

bool extendsArgument(Operation *op) {
  auto function = op->getParentOfType<func::FuncOp>();
  bool hasCaches = llvm::any_of(function.getArgumentTypes(), [](Type type) { return isa<CacheType>(type); });
  return hasCaches && isa<ConcatOp>(op) && llvm::any_of(op->getOperands(), [](Value value) { return isa<BlockArgument>(value); });
}

/// Whether attention is over rows of its own tokens that can be padded: it reads [batch, seq, ...], some of it not valid.
bool readsPadding(const Place &place) {
  auto attention = dyn_cast<AttentionOp>(place.op);
  if (!attention || attention.getLayout() == HeadLayout::thd || !(attention.getMask() || attention.getLengths()))
    return false;
  unsigned axis = attention.getLayout() == HeadLayout::bhsd ? 2 : 1;
  const Dims &query = place.dims.of(attention.getQuery()), &key = place.dims.of(attention.getKey());
  bool ownTokens = attention.getLengths() || (query[0] == key[0] && query[axis] == key[axis]);
  return ownTokens && place.maximumOf(query[axis]).value_or(2) > 1;
}

/// Whether `op` is a product with a stored weight [N, K], as passes look for.
bool isProjection(Operation *op) {
  auto product = dyn_cast<MatmulOp>(op);
  return product && isStored(product.getRhs()) && plan::isGemv(product);
}

/// Whether an op computes each token of packed rows on its own for a choice of one of each alone.
bool couldBeChosenEarlier(const Place &place) {
  Value cumulative, input;
  if (auto first = dyn_cast<FirstTokenOp>(place.op))
    cumulative = first.getCumulative(), input = first.getInput();
  else if (auto last = dyn_cast<LastTokenOp>(place.op))
    cumulative = last.getCumulative(), input = last.getInput();
  Operation *op = cumulative && input.hasOneUse() ? input.getDefiningOp() : nullptr;
  if (!op || place.dims.of(input).size() < 2)
    return false;
  return (isa<RmsNormOp, LayerNormOp>(op) || isProjection(op)) &&
         place.maximumOf(place.dims.of(input)[0]).value_or(fewTokens + 1) > fewTokens;
}

bool couldBeMerged(const Place &place) {
  if (!isProjection(place.op))
    return false;
  auto product = cast<MatmulOp>(place.op);
  auto isLike = [&](Operation *other) {
    return other != place.op && other->getBlock() == place.op->getBlock() && isProjection(other) && cast<MatmulOp>(other).getLhs() == product.getLhs() &&
           elementOf(other->getOperand(1).getType()) == elementOf(product.getRhs().getType()) &&
           elementOf(other->getResult(0).getType()) == elementOf(product.getType()) && !place.isReported(other);
  };
  return llvm::any_of(product.getLhs().getUsers(), isLike);
}

/// Whether a product has a weight of 8 bits, but not such rows.
bool readsUnrounded(const Place &place) {
  auto product = dyn_cast<MatmulOp>(place.op);
  return product && isa<Float8E4M3FNType>(elementOf(product.getRhs().getType())) && !product.getLhs().getDefiningOp<RoundE4m3Op>();
}

//===-- Fusion ------------------------------------------------------------------------------------------------------===//

bool isNorm(Operation *op) { return isa<RmsNormOp, LayerNormOp>(op); }

/// Whether a product's only reader could be its epilogue.
bool lacksEpilogue(const Place &place) {
  return isProjection(place.op) && place.op->hasOneUse() && rowKindOf(*place.op->user_begin()) == RowKind::pointwise;
}

/// Whether a norm of few rows stands in front of the one product that could compute it.
bool couldBePrologue(const Place &place) {
  if (!isNorm(place.op) || !place.op->hasOneUse() || !isProjection(*place.op->user_begin()))
    return false;
  const Dims &dims = place.dims.of(place.op->getResult(0));
  return place.maximumOf(product(llvm::ArrayRef(dims).drop_back())).value_or(maxGemvRows + 1) <= maxGemvRows;
}

/// Whether a norm stands apart from what makes its input row by row, or from what quantises its result.
bool lacksNeighbours(const Place &place) {
  if (!isNorm(place.op))
    return false;
  Value input = place.op->getOperand(0);
  std::string why;
  auto sizes = [&](Value value) { return place.dims.of(value); };
  if (failed(rowUseOf(place.op, 0, place.dims.of(input).size() - 1, sizes, UnknownSizes::differ, why)))
    return false; // of no rows that groups have
  std::optional<RowKind> kind = input.getDefiningOp() ? rowKindOf(input.getDefiningOp()) : std::nullopt;
  return kind == RowKind::pointwise || kind == RowKind::embedding ||
         llvm::any_of(place.op->getUsers(), [](Operation *user) { return isa<QuantizeOp>(user); });
}

//===-- The table ---------------------------------------------------------------------------------------------------===//

const Promise promises[] = {
    {"fold-constants", "nothing is computed from weights and constants alone", Exception::reported,
     [](const Place &place) { return couldBeStored(place.op); }},
    {"make-kv-static", "no function with caches joins an argument with new tokens", Exception::none,
     [](const Place &place) { return extendsArgument(place.op); }},
    {"eliminate-transposes", "no transpose is left", Exception::reported, movesNumbers},
    {"remove-padding", "no attention reads padded rows of its own tokens", Exception::reportedAnywhere, readsPadding},
    {"assign-layouts", "rotary counts rows in one dimension", Exception::reported,
     [](const Place &place) {
       auto rotary = dyn_cast<RotaryOp>(place.op);
       return rotary && rotary.getLayout() != HeadLayout::thd;
     }},
    {"choose-tokens-early", "one token of each packed row is chosen in front of norms and products that only the choice reads", Exception::reported,
     couldBeChosenEarlier},
    {"merge-projections", "no two products with weights [N, K] of one type read the same rows", Exception::reported, couldBeMerged},
    {"quantise-products", "products with weights of 8 bits read rounded rows", Exception::reported, readsUnrounded},
    {"fuse-epilogue", "no product with a weight [N, K] is read by one elementwise op alone", Exception::reported, lacksEpilogue},
    {"fuse-epilogue", "no norm of at most 16 rows is read by one such product alone", Exception::reported, couldBePrologue},
    {"fuse-norm", "no elementwise op or lookup makes the input of a norm, and no quantize reads one", Exception::reported, lacksNeighbours},
    {"fuse-elementwise", "no elementwise op feeds only one other of its shape", Exception::reported, couldBeInlined},
};

} // namespace

llvm::ArrayRef<Promise> allPromises() { return promises; }

} // namespace transom
