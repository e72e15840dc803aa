// See KvCache.h.
#include "passes/KvCache.h"

#include "passes/RowFlow.h"

using namespace mlir;
using llvm::SmallVector;
using llvm::Twine;

namespace transom {

namespace {

class Matcher {
public:
  Matcher(func::FuncOp function, const Reporter &reporter)
      : function(function), module(function->getParentOfType<ModuleOp>()), reporter(reporter), dims(function),
        exit(cast<func::ReturnOp>(function.getBody().front().getTerminator())) {}

  FailureOr<KvGraph> match() {
    if (failed(findCaches()) || failed(checkReaders()) || failed(classifyArguments()) || failed(checkSizes()) ||
        failed(findLogits()) || failed(checkTokens()) || failed(findCapacity()))
      return failure();
    return graph;
  }

private:
  LogicalResult reject(Operation *op, const Twine &condition) {
    reporter.reject(op, condition);
    return failure();
  }
  std::string nameOf(unsigned argument) {
    auto name = function.getArgAttrOfType<StringAttr>(argument, "transom.name");
    return name ? "'" + name.getValue().str() + "'" : "argument " + std::to_string(argument);
  }
  bool isCached(Value value) {
    return llvm::any_of(graph.caches, [&](CachePair &pair) { return pair.concat.getResult() == value; });
  }

  LogicalResult findCaches();
  LogicalResult addCache(ConcatOp concat, BlockArgument past);
  LogicalResult checkReaders();
  LogicalResult checkAttention(AttentionOp attention, const CachePair &pair);
  LogicalResult classifyArguments();
  LogicalResult checkSizes();
  LogicalResult findLogits();
  LogicalResult checkTokens();
  LogicalResult findCapacity();

  func::FuncOp function;
  ModuleOp module;
  const Reporter &reporter;
  DimAnalysis dims;
  func::ReturnOp exit;
  KvGraph graph;
  DimExpr batch;
  Value maskValue;
};

LogicalResult Matcher::findCaches() {
  for (auto concat : function.getBody().front().getOps<ConcatOp>()) {
    auto past = dyn_cast<BlockArgument>(concat.getInputs().front());
    bool returned = llvm::is_contained(exit.getOperands(), concat.getResult());
    if (past && returned && failed(addCache(concat, past)))
      return failure();
  }
  if (graph.caches.empty())
    return reject(function, "K1: expected a result that is an argument extended by concat, found none");
  llvm::sort(graph.caches, [](auto &a, auto &b) { return a.argument < b.argument; });
  return success();
}

LogicalResult Matcher::addCache(ConcatOp concat, BlockArgument past) {
  unsigned argument = past.getArgNumber();
  if (!past.hasOneUse())
    return reject(concat, "K2: expected one use of " + nameOf(argument) + ", found more");
  const Dims &shape = dims.of(past);
  int64_t axis = concat.getAxis();
  if (concat.getInputs().size() != 2 || shape.size() != 4 || (axis != 1 && axis != 2))
    return reject(concat, "K3: expected " + nameOf(argument) + " of rank 4 joined with one tensor along dimension 1 or 2");
  if (!shape[3 - axis].constant() || !shape[3].constant() || !isa<FloatType>(elementOf(past.getType())))
    return reject(concat, "K3: expected floats with static heads and head_dim, found " + nameOf(argument) + " " + str(shape));
  std::optional<std::string> pastName = shape[axis].asSymbol();
  std::optional<std::string> seqName = dims.of(concat.getInputs()[1])[axis].asSymbol();
  if (!pastName || !seqName)
    return reject(concat, "K4: expected named sizes along dimension " + Twine(axis) + ", found " + shape[axis].str() + " and " +
                              dims.of(concat.getInputs()[1])[axis].str());
  if (graph.caches.empty())
    graph.past = *pastName, graph.seq = *seqName, batch = shape[0];
  if (*pastName != graph.past || *seqName != graph.seq || !(shape[0] == batch))
    return reject(concat, "K4: expected sizes as in the first cache, " + batch.str() + ", " + graph.past + " and " + graph.seq +
                              ", found " + shape[0].str() + ", " + *pastName + " and " + *seqName);
  auto results = llvm::count(exit.getOperands(), concat.getResult());
  if (results != 1)
    return reject(concat, "K5: expected to be returned once, found " + Twine(results) + " times");
  unsigned result = llvm::find(exit.getOperands(), concat.getResult()) - exit.getOperands().begin();
  graph.caches.push_back({argument, result, concat, axis == 2 ? HeadLayout::bhsd : HeadLayout::bshd});
  return success();
}

LogicalResult Matcher::checkReaders() {
  for (CachePair &pair : graph.caches)
    for (OpOperand &use : pair.concat.getResult().getUses()) {
      if (use.getOwner() == exit)
        continue;
      auto attention = dyn_cast<AttentionOp>(use.getOwner());
      if (!attention || (use.get() != attention.getKey() && use.get() != attention.getValue()))
        return reject(pair.concat, "K5: expected only attention to read it as key or value, found '" +
                                       use.getOwner()->getName().getStringRef() + "'");
      if (failed(checkAttention(attention, pair)))
        return failure();
    }
  return success();
}

LogicalResult Matcher::checkAttention(AttentionOp attention, const CachePair &pair) {
  if (attention.getLayout() != pair.layout)
    return reject(attention, "K5: expected layout " + stringifyHeadLayout(pair.layout) + " as the cache has, found " +
                                 stringifyHeadLayout(attention.getLayout()));
  if (!attention.getCausal())
    return reject(attention, "K6: expected causal attention");
  if (attention.getBias())
    return reject(attention, "K6: expected attention without bias");
  if (!isCached(attention.getKey()) || !isCached(attention.getValue()) || isCached(attention.getQuery()))
    return reject(attention, "K6: expected key and value to be caches and query to be none");
  const DimExpr &queries = dims.of(attention.getQuery())[pair.layout == HeadLayout::bhsd ? 2 : 1];
  if (!(queries == DimExpr::symbol(graph.seq)))
    return reject(attention, "K6: expected queries of " + graph.seq + " tokens, found " + queries.str());
  Value mask = attention.getMask();
  if (!mask)
    return success();
  auto argument = dyn_cast<BlockArgument>(mask);
  if (!argument || (maskValue && maskValue != mask))
    return reject(attention, "K7: expected the mask to be one argument");
  maskValue = mask;
  graph.mask = argument.getArgNumber();
  for (OpOperand &use : mask.getUses())
    if (auto reader = dyn_cast<AttentionOp>(use.getOwner()); !reader || reader.getMask() != mask || !isCached(reader.getKey()))
      return reject(use.getOwner(), "K7: expected only attention over caches to read " + nameOf(*graph.mask));
  return success();
}

LogicalResult Matcher::classifyArguments() {
  Dims tokens = {batch, DimExpr::symbol(graph.seq)};
  auto isTokens = [&](Value value) {
    const Dims &found = dims.of(value);
    return found.size() == 2 && found[0] == tokens[0] && found[1] == tokens[1];
  };
  for (BlockArgument argument : function.getArguments()) {
    unsigned index = argument.getArgNumber();
    bool past = llvm::any_of(graph.caches, [&](CachePair &pair) { return pair.argument == index; });
    if (past || graph.mask == index || !isa<RankedTensorType>(argument.getType()) || !isTokens(argument))
      continue;
    // What turns rotary embeddings is a position; a table of positions looks like any other, so there the name tells.
    bool rotates = llvm::any_of(argument.getUses(), [](OpOperand &use) {
      auto rotary = dyn_cast<RotaryOp>(use.getOwner());
      return rotary && use.get() == rotary.getPositions();
    });
    auto name = function.getArgAttrOfType<StringAttr>(index, "transom.name");
    if (elementOf(argument.getType()).isInteger(32) && (rotates || (name && name.getValue() == "position_ids")))
      graph.positions.push_back(index);
    else if (!graph.like)
      graph.like = index;
  }
  if (!graph.positions.empty() && !graph.like)
    return reject(function, "K11: expected an argument " + str(tokens) + " beside " + nameOf(graph.positions.front()));
  return success();
}

LogicalResult Matcher::checkSizes() {
  auto dependsOnPast = [&](const DimExpr &size) {
    return size.isUnknown() || llvm::any_of(size.polynomial(), [&](auto &term) { return llvm::is_contained(term.first, graph.past); });
  };
  for (BlockArgument argument : function.getArguments()) {
    unsigned index = argument.getArgNumber();
    bool past = llvm::any_of(graph.caches, [&](CachePair &pair) { return pair.argument == index; });
    if (!past && graph.mask != index && llvm::any_of(dims.of(argument), dependsOnPast))
      return reject(function, "K8: expected sizes that do not depend on " + graph.past + ", found " + nameOf(index) + " " +
                                  str(dims.of(argument)));
  }
  for (Operation &op : function.getBody().front())
    for (Value result : op.getResults())
      if (!isCached(result) && isa<RankedTensorType>(result.getType()) && llvm::any_of(dims.of(result), dependsOnPast))
        return reject(&op, "K8: expected sizes that do not depend on " + graph.past + ", found " + str(dims.of(result)));
  if (graph.mask) {
    const Dims &mask = dims.of(maskValue);
    DimExpr total = DimExpr::symbol(graph.past) + DimExpr::symbol(graph.seq);
    if (!(mask[0] == batch) || !(mask[1] == total || mask[1].asSymbol()))
      return reject(function, "K7: expected " + nameOf(*graph.mask) + " [" + batch.str() + ", " + total.str() + "], found " + str(mask));
  }
  return success();
}

LogicalResult Matcher::findLogits() {
  SmallVector<unsigned> others;
  for (auto [index, value] : llvm::enumerate(exit.getOperands()))
    if (!isCached(value))
      others.push_back(index);
  if (others.size() != 1)
    return reject(function, "K9: expected one result beside the caches, found " + Twine(others.size()));
  graph.logits = others.front();
  Value logits = exit.getOperand(graph.logits);
  const Dims &shape = dims.of(logits);
  if (shape.size() < 3 || !(shape[0] == batch) || !(shape[1] == DimExpr::symbol(graph.seq)) || !isa<FloatType>(elementOf(logits.getType())))
    return reject(function, "K9: expected a result of floats [" + batch.str() + ", " + graph.seq + ", ...], found " + str(shape));
  return success();
}

LogicalResult Matcher::checkTokens() {
  if (Operation *op = findMixingOp(function, dims, {batch, DimExpr::symbol(graph.seq), graph.past}))
    return reject(op, "K12: expected each row and token to be computed from itself alone, but for attention over caches");
  return success();
}

LogicalResult Matcher::findCapacity() {
  std::optional<int64_t> total = maximumOf(module, DimExpr::symbol(graph.past) + DimExpr::symbol(graph.seq));
  if (!total || *total < 1)
    return reject(function, "K10: expected bounds of " + graph.past + " and " + graph.seq);
  graph.capacity = *total;
  // A full context leaves no room for a full chunk behind it, so the declared context can be the smaller one.
  auto metadata = module->getAttrOfType<DictionaryAttr>("transom.metadata");
  auto text = metadata ? metadata.getAs<StringAttr>("context_length") : StringAttr();
  int64_t context;
  if (text && !text.getValue().getAsInteger(10, context) && context > 0)
    graph.capacity = std::min(graph.capacity, context);
  return success();
}

} // namespace

FailureOr<KvGraph> matchKvGraph(func::FuncOp function, const Reporter &reporter) {
  return Matcher(function, reporter).match();
}

} // namespace transom
