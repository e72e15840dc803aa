// See PaddedTokens.h. Spaces are candidates first; one that fails a condition is dropped and the rest is proved anew, until
// all that are left hold.
#include "passes/PaddedTokens.h"

using namespace mlir;
using llvm::SmallVector;
using llvm::Twine;

namespace transom {

namespace {

using Kind = PackedExit::Kind;

std::string shortName(Operation *op) { return "'" + op->getName().getStringRef().str() + "'"; }

class Matcher {
public:
  Matcher(func::FuncOp function, const DimAnalysis &dims, const Reporter &reporter)
      : function(function), module(function->getParentOfType<ModuleOp>()), dims(dims), reporter(reporter) {}

  PaddedGraph match() {
    for (auto attention : function.getBody().front().getOps<AttentionOp>())
      addCandidate(attention);
    while (!graph.spaces.empty() && !(proveAll() && allUsed()))
      ;
    if (graph.spaces.empty()) // what the last proof found before it failed
      return {};
    return graph;
  }

private:
  /// Drops the space at work.
  LogicalResult reject(Operation *op, const Twine &condition, const Cost &cost = {}) {
    reporter.reject(op, condition, cost);
    return failure();
  }

  //===-- Spaces ----------------------------------------------------------------------------------------------------===//

  void addCandidate(AttentionOp attention);
  LogicalResult checkCandidate(AttentionOp attention, const TokenSpace &space);
  std::optional<size_t> spaceOf(Value value) const {
    for (auto [index, space] : llvm::enumerate(graph.spaces))
      if (space.holds(dims.of(value)))
        return index;
    return std::nullopt;
  }

  //===-- Proof -----------------------------------------------------------------------------------------------------===//

  /// False if a space was dropped.
  bool proveAll();
  bool allUsed();
  LogicalResult proveAttention(AttentionOp attention);
  LogicalResult checkForm(AttentionOp attention, const TokenSpace &space);
  LogicalResult proveUses(Operation *op);
  LogicalResult proveUse(OpOperand &use, size_t space);
  LogicalResult proveReduce(ReduceOp reduce, size_t space, bool deep);
  void exit(Kind kind, OpOperand &use, size_t space, TypedAttr filler = {}) {
    graph.exits.push_back({kind, use.getOwner(), use.getOperandNumber(), space, filler});
  }

  func::FuncOp function;
  ModuleOp module;
  const DimAnalysis &dims;
  const Reporter &reporter;
  PaddedGraph graph;
  SmallVector<Dims> seen; ///< sizes of all candidates
  llvm::DenseMap<Value, size_t> deep; ///< depends on attention; the space
  size_t failed = 0;                  ///< the space that a failed proof blames
};

void Matcher::addCandidate(AttentionOp attention) {
  HeadLayout layout = attention.getLayout();
  if (layout == HeadLayout::thd)
    return;
  size_t axis = layout == HeadLayout::bhsd ? 2 : 1;
  bool cached = bool(attention.getLengths());
  if (!cached && !attention.getMask())
    return;
  const Dims &tokens = dims.of(cached ? attention.getQuery() : attention.getKey());
  TokenSpace space{tokens[0], tokens[axis], cached ? Value() : attention.getMask(), attention.getLengths()};
  if (maximumOf(module, space.seq).value_or(2) < 2)
    return; // one token a row, as in decode: there is no padding
  if (llvm::any_of(seen, [&](const Dims &known) { return known[0] == space.batch && known[1] == space.seq; }))
    return; // whether the mask is the same one is part of the proof
  seen.push_back({space.batch, space.seq});
  if (space.lengths)
    for (BlockArgument argument : function.getArguments())
      if (!space.rows && isa<RankedTensorType>(argument.getType()) && space.holds(dims.of(argument)) && dims.of(argument).size() == 2)
        space.rows = argument;
  if (succeeded(checkCandidate(attention, space)))
    graph.spaces.push_back(space);
}

LogicalResult Matcher::checkCandidate(AttentionOp attention, const TokenSpace &space) {
  std::optional<int64_t> rows = maximumOf(module, space.batch), longest = maximumOf(module, space.seq);
  std::string sizes = str(Dims{space.batch, space.seq});
  if (!rows || !longest || *rows > INT32_MAX / std::max<int64_t>(*longest, 1))
    return reject(attention, "P1: expected rows of tokens of bounded size, found " + sizes);
  if (space.seq.asSymbol() == std::nullopt && !space.seq.constant())
    return reject(attention, "P1: expected a mask of the new tokens alone, found " + sizes + ": past ones go into caches first");
  if (*rows < 2)
    return reject(attention, "P2: expected rows of which some are shorter, found at most one of " + Twine(*longest) + " tokens", Cost{0, 0});
  if (!space.rows)
    return reject(attention, "P8: expected an argument of sizes " + sizes);
  return success();
}

bool Matcher::proveAll() {
  deep.clear();
  graph.exits.clear();
  graph.attention.clear();
  for (Operation &op : function.getBody().front()) {
    auto attention = dyn_cast<AttentionOp>(op);
    if (succeeded(attention ? proveAttention(attention) : success()) && succeeded(proveUses(&op)))
      continue;
    graph.spaces.erase(graph.spaces.begin() + failed);
    return false;
  }
  return true;
}

/// Rows of which attention reads nothing packed have nothing to gain.
bool Matcher::allUsed() {
  for (size_t index = 0; index < graph.spaces.size(); ++index)
    if (llvm::none_of(graph.attention, [&](auto &entry) { return entry.second.query == index || entry.second.key == index; })) {
      graph.spaces.erase(graph.spaces.begin() + index);
      return false;
    }
  return true;
}

LogicalResult Matcher::checkForm(AttentionOp attention, const TokenSpace &space) {
  if (attention.getLayout() != HeadLayout::bshd)
    return reject(attention, "P4: expected layout bshd as eliminate-transposes leaves it, found " + stringifyHeadLayout(attention.getLayout()));
  if (attention.getBias())
    return reject(attention, "P5: expected attention without bias");
  if (!space.lengths && attention.getWindow())
    return reject(attention, "P5: expected attention without a window, as a mask with holes would change distances");
  return success();
}

LogicalResult Matcher::proveAttention(AttentionOp attention) {
  size_t axis = attention.getLayout() == HeadLayout::bhsd ? 2 : 1;
  auto find = [&](const Dims &tokens) -> std::optional<size_t> {
    for (auto [index, space] : llvm::enumerate(graph.spaces))
      if (tokens.size() == 4 && tokens[0] == space.batch && tokens[axis] == space.seq)
        return index;
    return std::nullopt;
  };
  bool cached = isa<CacheType>(attention.getKey().getType());
  std::optional<size_t> query = attention.getLayout() == HeadLayout::thd ? std::nullopt : find(dims.of(attention.getQuery()));
  std::optional<size_t> key = cached || attention.getLayout() == HeadLayout::thd ? query : find(dims.of(attention.getKey()));
  if (!query && !key)
    return success();
  failed = query ? *query : *key;
  const TokenSpace &space = graph.spaces[failed];
  if (failed < graph.spaces.size() && mlir::failed(checkForm(attention, space)))
    return failure();
  if (cached) {
    if (attention.getLengths() != space.lengths || attention.getMask())
      return reject(attention, "P3: expected the lengths that other attention over " + str(Dims{space.batch, space.seq}) + " has, and no mask");
    graph.attention[attention] = {*query, *query};
    return success();
  }
  if (query && !key)
    return reject(attention, "P6: expected keys of packed rows, found " + str(dims.of(attention.getKey())));
  failed = *key;
  const TokenSpace &keys = graph.spaces[*key];
  if (keys.lengths || attention.getMask() != keys.rows)
    return reject(attention, "P3: expected the mask that other attention over " + str(Dims{keys.batch, keys.seq}) + " has");
  if (mlir::failed(checkForm(attention, keys)))
    return failure();
  if (!query)
    return success(); // padded queries: its keys and values are unpacked
  failed = *query;
  if (attention.getCausal() && query != key)
    return reject(attention, "P5: expected causal attention over the queries' own rows");
  graph.attention[attention] = {*query, *key};
  return success();
}

LogicalResult Matcher::proveUses(Operation *op) {
  if (auto found = graph.attention.find(op); found != graph.attention.end()) {
    for (size_t space : {found->second.query, found->second.key})
      if (deep.contains(graph.spaces[space].rows)) {
        failed = space;
        return reject(op, "P7: expected a mask that does not depend on attention");
      }
    deep[op->getResult(0)] = found->second.query;
    return success();
  }
  // A sum over tokens that depend on nothing but the mask is one of packed tokens as well; so are new keys of a first layer.
  if (auto reduce = dyn_cast<ReduceOp>(op); reduce && !deep.contains(reduce.getInput()))
    if (std::optional<size_t> space = isa<RankedTensorType>(reduce.getInput().getType()) ? spaceOf(reduce.getInput()) : std::nullopt)
      return proveReduce(reduce, *space, /*deep=*/false);
  if (auto append = dyn_cast<CacheAppendOp>(op))
    if (std::optional<size_t> space = append.getLayout() == HeadLayout::bshd ? spaceOf(append.getTokens()) : std::nullopt)
      return proveUse(append.getTokensMutable(), *space);
  for (OpOperand &operand : op->getOpOperands()) {
    auto found = deep.find(operand.get());
    if (found == deep.end())
      continue;
    size_t space = found->second;
    std::optional<SmallVector<Reading>> readings = readingsOf(op, graph.spaces[space], dims);
    if (readings && (*readings)[operand.getOperandNumber()] == Reading::token) {
      for (Value result : op->getResults())
        deep[result] = space;
    } else if (mlir::failed(proveUse(operand, space))) {
      return failure();
    }
  }
  return success();
}

/// Whether `op` makes one list of all tokens, of which readers choose by places that they are given.
static bool isTableOfTokens(Operation *op) {
  return isa<ReshapeOp>(op) && llvm::all_of(op->getUses(), [](OpOperand &use) {
           auto chosen = dyn_cast<EmbeddingOp>(use.getOwner());
           return chosen && use.get() == chosen.getTable() && isa<BlockArgument>(chosen.getIndices());
         });
}

LogicalResult Matcher::proveUse(OpOperand &use, size_t index) {
  Operation *op = use.getOwner();
  const TokenSpace &space = graph.spaces[index];
  failed = index;
  auto attention = dyn_cast<AttentionOp>(op); // not packed: padded queries over masked keys
  if (isa<func::ReturnOp>(op) || isTableOfTokens(op) || (attention && (use.get() == attention.getKey() || use.get() == attention.getValue()))) {
    exit(Kind::padded, use, index);
  } else if (auto iota = dyn_cast<IotaOp>(op); iota && iota.getAxis() < 2) {
    exit(Kind::sizes, use, index);
  } else if (auto append = dyn_cast<CacheAppendOp>(op)) {
    if (append.getLayout() != HeadLayout::bshd)
      return reject(op, "P4: expected layout bshd as eliminate-transposes leaves it, found " + stringifyHeadLayout(append.getLayout()));
    if (!space.lengths || append.getLengths() != space.lengths)
      return reject(op, "P3: expected the lengths that attention over " + str(Dims{space.batch, space.seq}) + " has");
    exit(Kind::cacheAppend, use, index);
  } else if (auto last = dyn_cast<LastTokenOp>(op); last && space.lengths && last.getLengths() == space.lengths) {
    exit(Kind::lastToken, use, index);
  } else if (auto slice = dyn_cast<SliceOp>(op); slice && slice.getAxis() == 1 && slice.getStart() == 0 && slice.getSize() == 1) {
    // The rows [batch, ...] become [batch, 1, ...] by a reshape, which infers one size.
    if (llvm::count_if(llvm::drop_begin(dims.of(slice), 2), [](const DimExpr &dim) { return !dim.constant(); }) > 1)
      return reject(op, "P7: expected at most one unknown size behind [batch, seq], found " + str(dims.of(slice.getInput())));
    exit(Kind::firstToken, use, index);
  } else if (auto reduce = dyn_cast<ReduceOp>(op)) {
    return proveReduce(reduce, index, /*deep=*/true);
  } else {
    return reject(op, "P7: expected an op that reads " + str(Dims{space.batch, space.seq}) + " token by token, found " + shortName(op));
  }
  return success();
}

LogicalResult Matcher::proveReduce(ReduceOp reduce, size_t space, bool deep) {
  failed = space;
  TypedAttr filler = numberAtPadding(reduce.getInput(), graph.spaces[space], dims);
  bool overRows = reduce.getAxes() == llvm::ArrayRef<int64_t>{1} && !graph.spaces[space].lengths;
  bool oneDynamic = llvm::count_if(llvm::drop_begin(dims.of(reduce.getInput()), 2), [](const DimExpr &dim) { return !dim.constant(); }) <= 1;
  bool isSum = reduce.getKind() == ReduceKind::sum;
  auto isZero = [](TypedAttr number) {
    if (auto floating = dyn_cast<FloatAttr>(number))
      return floating.getValue().isZero();
    return cast<IntegerAttr>(number).getValue().isZero();
  };
  if (overRows && oneDynamic && filler && reduce.getKind() != ReduceKind::mean && (!isSum || isZero(filler))) {
    exit(isSum ? Kind::sum : Kind::extremum, reduce.getInputMutable(), space, filler);
    return success();
  }
  if (!deep)
    return success();
  return reject(reduce, "P7: expected a reduction over rows to which the padding adds nothing, found " +
                            stringifyReduceKind(reduce.getKind()) + " of " + str(dims.of(reduce.getInput())));
}

} // namespace

PaddedGraph matchPaddedGraph(func::FuncOp function, const DimAnalysis &dims, const Reporter &reporter) {
  return Matcher(function, dims, reporter).match();
}

} // namespace transom
