// See KvCache.h.
#include "passes/KvCache.h"

#include "passes/RowFlow.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::SmallVectorImpl;
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
  bool isCached(Value value) { return cached.contains(value); }

  /// Where a joined tensor goes: its readers, each with the views on the way there.
  using Path = SmallVector<Operation *, 2>;
  struct Reader {
    OpOperand *use;
    Path path;
  };
  BlockArgument argumentBehind(Value value, Path &path);
  void findReaders(Value value, const Path &path, SmallVectorImpl<Reader> &readers);

  LogicalResult findCaches();
  LogicalResult addCache(ConcatOp concat, BlockArgument past, const Path &pastPath, ArrayRef<Reader> readers);
  LogicalResult findRoles(CachePair &pair, ArrayRef<Reader> readers, RoleSizes &sizes);
  LogicalResult checkOrder(CachePair &pair, const Path &pastPath, const Reader &result, const RoleSizes &sizes);
  LogicalResult checkReaders();
  LogicalResult checkAttention(AttentionOp attention);
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
  llvm::DenseSet<Value> cached; ///< joined tensors and views of them
  llvm::DenseSet<Value> behind; ///< views of past arguments
  SmallVector<std::pair<ConcatOp, OpOperand *>> uses;
};

/// The argument that `value` is a view of; null if it is none. Each view on the way has one reader.
BlockArgument Matcher::argumentBehind(Value value, Path &path) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<TransposeOp, ReshapeOp>(op) || !op->hasOneUse())
      return {};
    path.push_back(op);
    value = op->getOperand(0);
  }
  return cast<BlockArgument>(value);
}

void Matcher::findReaders(Value value, const Path &path, SmallVectorImpl<Reader> &readers) {
  llvm::SmallPtrSet<Operation *, 4> seen; // a repetition reads its operand more than once
  for (OpOperand &use : value.getUses()) {
    Operation *user = use.getOwner();
    bool shown = use.getOperandNumber() == 0 || isa<ConcatOp>(user);
    if (!shown || !isKvView(user, dims)) {
      readers.push_back({&use, path});
    } else if (seen.insert(user).second) {
      Path next = path;
      next.push_back(user);
      findReaders(user->getResult(0), next, readers);
    }
  }
}

LogicalResult Matcher::findCaches() {
  for (auto concat : function.getBody().front().getOps<ConcatOp>()) {
    Path pastPath;
    BlockArgument past = argumentBehind(concat.getInputs().front(), pastPath);
    SmallVector<Reader> readers;
    findReaders(concat, {}, readers);
    bool returned = llvm::any_of(readers, [&](Reader &reader) { return reader.use->getOwner() == exit; });
    if (past && returned && failed(addCache(concat, past, pastPath, readers)))
      return failure();
  }
  if (graph.caches.empty())
    return reject(function, "K1: expected a result that is an argument extended by concat, found none");
  llvm::sort(graph.caches, [](auto &a, auto &b) { return a.argument < b.argument; });
  return success();
}

/// What the dimensions of the joined tensor mean to the attention that reads it.
LogicalResult Matcher::findRoles(CachePair &pair, ArrayRef<Reader> readers, RoleSizes &sizes) {
  const Dims &joined = dims.of(pair.concat);
  bool known = false;
  for (const Reader &reader : readers) {
    auto attention = dyn_cast<AttentionOp>(reader.use->getOwner());
    if (!attention || attention.getLayout() == HeadLayout::thd)
      continue;
    DimRoles roles = rolesOf(attention.getLayout());
    const Dims &key = dims.of(reader.use->get());
    RoleSizes found;
    for (size_t axis = 0; axis < 4; ++axis)
      found[size_t(roles[axis][0])] = key[axis];
    for (Operation *view : llvm::reverse(reader.path)) {
      FailureOr<DimRoles> before = rolesBefore(view, roles, found, dims);
      if (failed(before))
        return reject(view, "K3: expected a view that keeps batch, heads, tokens and head_dim apart or joins them in order, found " +
                                str(dims.of(view->getOperand(0))) + " as " + str(dims.of(view->getResult(0))));
      roles = *before;
    }
    if (known && roles != pair.roles)
      return reject(attention, "K5: expected to read " + str(joined) + " as other attention does");
    pair.roles = roles;
    sizes = found;
    known = true;
  }
  if (known)
    return success();
  // Nothing reads it but the caller: the two orders that frameworks write.
  int64_t axis = pair.concat.getAxis();
  if (joined.size() != 4 || (axis != 1 && axis != 2))
    return reject(pair.concat, "K3: expected attention to tell what the dimensions of " + str(joined) + " mean");
  pair.roles = rolesOf(axis == 2 ? HeadLayout::bhsd : HeadLayout::bshd);
  for (size_t i = 0; i < 4; ++i)
    sizes[size_t(pair.roles[i][0])] = joined[i];
  return success();
}

/// Argument and result lay out what they hold alike, so that one can be fed back as the other.
LogicalResult Matcher::checkOrder(CachePair &pair, const Path &pastPath, const Reader &result, const RoleSizes &sizes) {
  RoleSizes before = sizes;
  before[size_t(KvRole::seq)] = dims.of(pair.concat.getInputs()[0])[pair.concat.getAxis()];
  FailureOr<DimRoles> argument = pair.roles, returned = pair.roles;
  for (Operation *view : pastPath)
    if (succeeded(argument))
      argument = rolesBefore(view, *argument, before, dims);
  for (Operation *view : result.path)
    if (succeeded(returned))
      returned = rolesAfter(view, *returned, sizes, dims);
  if (failed(argument) || failed(returned) || *argument != *returned)
    return reject(pair.concat, "K3: expected " + nameOf(pair.argument) + " and the result in one order");
  return success();
}

LogicalResult Matcher::addCache(ConcatOp concat, BlockArgument past, const Path &pastPath, ArrayRef<Reader> readers) {
  unsigned argument = past.getArgNumber();
  if (!past.hasOneUse())
    return reject(concat, "K2: expected one use of " + nameOf(argument) + ", found more");
  if (concat.getInputs().size() != 2)
    return reject(concat, "K3: expected " + nameOf(argument) + " joined with one tensor, found " + Twine(concat.getInputs().size() - 1));
  CachePair pair{argument, 0, concat, {}, {}, {}};
  RoleSizes sizes;
  if (failed(findRoles(pair, readers, sizes)))
    return failure();
  int64_t axis = concat.getAxis();
  SmallVector<KvRole, 2> along = pair.roles[axis];
  llvm::erase_if(along, [&](KvRole role) { return sizes[size_t(role)] == DimExpr(1) && role != KvRole::seq; });
  if (!ArrayRef(along).equals({KvRole::seq}))
    return reject(concat, "K3: expected to be joined along the tokens that attention reads, found dimension " + Twine(axis) + " of " +
                              str(dims.of(concat)));
  pair.heads = sizes[size_t(KvRole::heads)], pair.headDim = sizes[size_t(KvRole::headDim)];
  if (!pair.heads.constant() || !pair.headDim.constant() || !isa<FloatType>(elementOf(past.getType())))
    return reject(concat, "K3: expected floats with static heads and head_dim, found " + nameOf(argument) + " " + str(dims.of(past)));
  const DimExpr &before = dims.of(concat.getInputs()[0])[axis], &added = dims.of(concat.getInputs()[1])[axis];
  std::optional<std::string> pastName = before.asSymbol(), seqName = added.asSymbol();
  if (!pastName || !seqName)
    return reject(concat, "K4: expected named sizes along dimension " + Twine(axis) + ", found " + before.str() + " and " + added.str());
  const DimExpr &rows = sizes[size_t(KvRole::batch)];
  if (graph.caches.empty())
    graph.past = *pastName, graph.seq = *seqName, graph.batch = batch = rows;
  if (*pastName != graph.past || *seqName != graph.seq || !(rows == batch))
    return reject(concat, "K4: expected sizes as in the first cache, " + batch.str() + ", " + graph.past + " and " + graph.seq +
                              ", found " + rows.str() + ", " + *pastName + " and " + *seqName);
  auto results = llvm::make_filter_range(readers, [&](const Reader &reader) { return reader.use->getOwner() == exit; });
  if (!llvm::hasSingleElement(results))
    return reject(concat, "K5: expected to be returned once, found " + Twine(std::distance(results.begin(), results.end())) + " times");
  pair.result = (*results.begin()).use->getOperandNumber();
  if (failed(checkOrder(pair, pastPath, *results.begin(), sizes)))
    return failure();
  graph.views.insert(pastPath.begin(), pastPath.end());
  for (Operation *view : pastPath)
    behind.insert(view->getResult(0));
  cached.insert(concat);
  for (const Reader &reader : readers)
    for (Operation *view : reader.path) {
      graph.views.insert(view);
      cached.insert(view->getResult(0));
    }
  graph.caches.push_back(pair);
  for (const Reader &reader : readers)
    uses.push_back({concat, reader.use});
  return success();
}

LogicalResult Matcher::checkReaders() {
  for (auto &[concat, use] : uses) {
    if (use->getOwner() == exit)
      continue;
    auto attention = dyn_cast<AttentionOp>(use->getOwner());
    if (!attention || (use->get() != attention.getKey() && use->get() != attention.getValue()))
      return reject(concat, "K5: expected only attention to read it as key or value, found '" +
                                use->getOwner()->getName().getStringRef() + "'");
    if (failed(checkAttention(attention)))
      return failure();
  }
  return success();
}

LogicalResult Matcher::checkAttention(AttentionOp attention) {
  if (!attention.getCausal())
    return reject(attention, "K6: expected causal attention");
  if (attention.getBias())
    return reject(attention, "K6: expected attention without bias");
  if (!isCached(attention.getKey()) || !isCached(attention.getValue()) || isCached(attention.getQuery()))
    return reject(attention, "K6: expected key and value to be caches and query to be none");
  const DimExpr &queries = dims.of(attention.getQuery())[attention.getLayout() == HeadLayout::bhsd ? 2 : 1];
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
      if (!isCached(result) && !behind.contains(result) && isa<RankedTensorType>(result.getType()) && llvm::any_of(dims.of(result), dependsOnPast))
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
  DimExpr seq = DimExpr::symbol(graph.seq);
  bool batchFirst = shape.size() >= 3 && shape[0] == batch && shape[1] == seq;
  graph.sequenceFirst = !batchFirst && shape.size() >= 3 && shape[0] == seq && shape[1] == batch;
  if ((!batchFirst && !graph.sequenceFirst) || !isa<FloatType>(elementOf(logits.getType())))
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
