// make-kv-static:
// 1. Match @main as a decoder whose past/present pairs are caches (KvCache.h lists the conditions).
// 2. Build @prefill and @decode: caches, `lengths` and `past_lengths` in place of past, mask and positions; decode has
//    one new token a row.
// 3. In each, choose the last token's row before the head instead of behind it (SinkLastToken.h).
// 4. Drop @main and the bounds of sizes that are gone.
#include "passes/KvCache.h"
#include "passes/Passes.h"
#include "passes/RefineTypes.h"
#include "passes/SinkLastToken.h"

#include "llvm/ADT/StringSet.h"

using namespace mlir;
using llvm::SmallVector;
using llvm::StringRef;

namespace transom {

#define GEN_PASS_DEF_MAKEKVSTATICPASS
#include "passes/Passes.h.inc"

namespace {

/// `expr` where the size `name` is 1.
DimExpr withOne(const DimExpr &expr, StringRef name) {
  if (expr.isUnknown())
    return expr;
  DimExpr sum(0);
  for (auto &[monomial, coefficient] : expr.polynomial()) {
    DimExpr term(coefficient);
    for (const std::string &factor : monomial)
      if (factor != name)
        term = term * DimExpr::symbol(factor);
    sum = sum + term;
  }
  return sum;
}

/// "past.3.key" to "cache.3.key".
std::string cacheName(func::FuncOp main, unsigned argument) {
  auto attribute = main.getArgAttrOfType<StringAttr>(argument, "transom.name");
  StringRef name = attribute ? attribute.getValue() : StringRef();
  if (name.consume_front("past"))
    return "cache" + name.str();
  return "cache." + (name.empty() ? std::to_string(argument) : name.str());
}

/// Builds one of the two entry functions.
class EntryBuilder {
public:
  enum class Kind { prefill, decode };
  EntryBuilder(func::FuncOp main, const KvGraph &graph, Kind kind)
      : main(main), graph(graph), kind(kind), builder(main->getContext()), analysis(main) {}

  /// The function before `main`; null, and nothing left behind, if an op does not take the new sizes (`refused`).
  func::FuncOp build();
  Operation *refused = nullptr;

private:
  void addArgument(Type type, const Dims &dims, StringRef name);
  void addArguments();
  void cloneBody();
  void finish();
  Dims sizes(Dims dims) const {
    for (DimExpr &dim : dims)
      dim = kind == Kind::decode ? withOne(dim, graph.seq) : dim;
    return dims;
  }
  DictionaryAttr describe(StringRef name, const Dims &dims) {
    return builder.getDictionaryAttr({builder.getNamedAttr("transom.dims", dimsAttribute(builder.getContext(), dims)),
                                      builder.getNamedAttr("transom.name", builder.getStringAttr(name))});
  }
  bool isState(unsigned argument) const {
    return argument == graph.mask || llvm::is_contained(graph.positions, argument) ||
           llvm::any_of(graph.caches, [&](const CachePair &pair) { return pair.argument == argument; });
  }
  Dims sizesOf(Value value) const { return sizes(analysis.of(value)); }
  Value append(const CachePair &pair, Value state, Value tokens);
  void clonePositions();
  void cloneAttention(AttentionOp attention);

  func::FuncOp main;
  const KvGraph &graph;
  Kind kind;
  OpBuilder builder;
  DimAnalysis analysis;
  func::FuncOp function;
  IRMapping mapping;
  Value lengths, pastLengths;
  SmallVector<Value> states; ///< the caches after their appends, in the order of graph.caches
  llvm::DenseMap<Operation *, size_t> cacheOf;
};

void EntryBuilder::addArgument(Type type, const Dims &dims, StringRef name) {
  unsigned index = function.getNumArguments();
  function.insertArguments({index}, {type}, {describe(name, dims)}, {main.getLoc()});
}

void EntryBuilder::addArguments() {
  for (BlockArgument argument : main.getArguments()) {
    unsigned index = argument.getArgNumber();
    if (isState(index))
      continue;
    Dims dims = sizes(argumentDims(main, index));
    auto name = main.getArgAttrOfType<StringAttr>(index, "transom.name");
    addArgument(RankedTensorType::get(shapeOf(dims), elementOf(argument.getType())), dims, name ? name.getValue() : "");
    mapping.map(argument, function.getArguments().back());
  }
  Dims rows = {graph.batch};
  Type rowType = RankedTensorType::get(shapeOf(rows), builder.getI32Type());
  addArgument(rowType, rows, "lengths");
  lengths = function.getArguments().back();
  addArgument(rowType, rows, "past_lengths");
  pastLengths = function.getArguments().back();
  for (auto [index, pair] : llvm::enumerate(graph.caches)) {
    Dims dims = {graph.batch, pair.heads, DimExpr(graph.capacity), pair.headDim};
    Type element = elementOf(main.getArgument(pair.argument).getType());
    addArgument(CacheType::get(builder.getContext(), shapeOf(dims), element), dims, cacheName(main, pair.argument));
    states.push_back(function.getArguments().back());
    cacheOf[pair.concat] = index;
  }
}

void EntryBuilder::clonePositions() {
  if (graph.positions.empty())
    return;
  Value like = mapping.lookup(main.getArgument(*graph.like));
  Value positions = builder.create<PositionsOp>(main.getLoc(), pastLengths, like);
  for (unsigned index : graph.positions)
    mapping.map(main.getArgument(index), positions);
}

/// Writes the new tokens of a cache behind its past ones: in the layout of the two that they come in, else transposed to one.
Value EntryBuilder::append(const CachePair &pair, Value state, Value tokens) {
  ConcatOp concat = pair.concat;
  DimExpr seq = kind == Kind::decode ? DimExpr(1) : DimExpr::symbol(graph.seq);
  RoleSizes sizes = {graph.batch, pair.heads, seq, pair.headDim};
  SmallVector<KvRole, 4> order = flattened(pair.roles);
  Dims from = sizesOf(concat.getInputs()[1]), apart;
  for (KvRole role : order)
    apart.push_back(sizes[size_t(role)]);
  Location loc = concat.getLoc();
  auto shape = reshapeShape(from, apart);
  if (!shape)
    refused = concat;
  else if (!llvm::equal(from, apart))
    tokens = builder.create<ReshapeOp>(loc, RankedTensorType::get(shapeOf(apart), elementOf(tokens.getType())), tokens, *shape);
  HeadLayout layout = order == flattened(rolesOf(HeadLayout::bhsd)) ? HeadLayout::bhsd : HeadLayout::bshd;
  SmallVector<KvRole, 4> wanted = flattened(rolesOf(layout));
  Permutation permutation;
  for (KvRole role : wanted)
    permutation.push_back(llvm::find(order, role) - order.begin());
  if (!isIdentity(permutation)) {
    auto type = RankedTensorType::get(shapeOf(permuted(apart, permutation)), elementOf(tokens.getType()));
    tokens = builder.create<TransposeOp>(loc, type, tokens, permutation);
  }
  return builder.create<CacheAppendOp>(loc, state, tokens, pastLengths, lengths, layout);
}

void EntryBuilder::cloneAttention(AttentionOp attention) {
  Value query = mapping.lookup(attention.getQuery());
  Value key = mapping.lookup(attention.getKey()), value = mapping.lookup(attention.getValue());
  Value result = builder.create<AttentionOp>(attention.getLoc(), query.getType(), query, key, value, /*mask=*/Value(),
                                             /*bias=*/Value(), pastLengths, lengths, /*cumulative_lengths=*/Value(),
                                             attention.getLayoutAttr(), attention.getScaleAttr(), attention.getCausalAttr(),
                                             attention.getWindowAttr(), attention.getSoftcapAttr());
  mapping.map(attention.getResult(), result);
}

void EntryBuilder::cloneBody() {
  clonePositions();
  for (Operation &op : main.getBody().front().without_terminator()) {
    if (auto cached = cacheOf.find(&op); cached != cacheOf.end()) {
      Value &state = states[cached->second];
      state = append(graph.caches[cached->second], state, mapping.lookup(op.getOperand(1)));
      if (refused)
        return;
      mapping.map(op.getResult(0), state);
    } else if (graph.views.contains(&op)) {
      // Of a past tensor nothing is left; a joined one is its cache in any view.
      if (Value state = mapping.lookupOrNull(op.getOperand(0)))
        mapping.map(op.getResult(0), state);
    } else if (auto attention = dyn_cast<AttentionOp>(op); attention && isa<CacheType>(mapping.lookup(attention.getKey()).getType())) {
      cloneAttention(attention);
    } else if (!cloneRefined(builder, &op, mapping)) {
      refused = &op;
      return;
    }
  }
}

/// Ends the function: logits of one token a row, then the caches.
void EntryBuilder::finish() {
  Operation *exit = main.getBody().front().getTerminator();
  Value found = mapping.lookup(exit->getOperand(graph.logits));
  if (graph.sequenceFirst)
    found = swapBatchAndSeq(builder, found);
  SmallVector<Value> results = {found};
  llvm::append_range(results, states);
  auto returned = builder.create<func::ReturnOp>(exit->getLoc(), results);
  bool decode = kind == Kind::decode;
  selectToken(function, returned->getOpOperand(0), decode ? Value() : lengths, decode ? SinkReach::oneMatmul : SinkReach::everything);
  function.setFunctionType(builder.getFunctionType(function.getArgumentTypes(), returned->getOperandTypes()));

  Dims logits = sizes(analysis.of(exit->getOperand(graph.logits)));
  logits.erase(logits.begin() + (graph.sequenceFirst ? 0 : 1));
  auto name = main.getResultAttrOfType<StringAttr>(graph.logits, "transom.name");
  function.setResultAttrs(0, describe(name ? name.getValue() : "logits", logits));
  unsigned firstCache = function.getNumArguments() - states.size();
  for (size_t i = 0; i < states.size(); ++i)
    function.setResultAttrs(i + 1, function.getArgAttrDict(firstCache + i));
}

func::FuncOp EntryBuilder::build() {
  builder.setInsertionPoint(main);
  function = builder.create<func::FuncOp>(main.getLoc(), kind == Kind::prefill ? "prefill" : "decode", builder.getFunctionType({}, {}));
  builder.setInsertionPointToStart(function.addEntryBlock());
  addArguments();
  cloneBody();
  if (refused) {
    function.erase();
    return {};
  }
  finish();
  return function;
}

/// Removes bounds of sizes that no entry function names.
void dropUnusedBounds(ModuleOp module) {
  auto bounds = module->getAttrOfType<DictionaryAttr>("transom.bounds");
  if (!bounds)
    return;
  llvm::StringSet<> used;
  for (auto function : module.getOps<func::FuncOp>())
    for (unsigned index = 0; index < function.getNumArguments(); ++index)
      if (isa<RankedTensorType, CacheType>(function.getArgumentTypes()[index]))
        for (const DimExpr &dim : argumentDims(function, index))
          if (!dim.isUnknown())
            for (auto &term : dim.polynomial())
              for (const std::string &name : term.first)
                used.insert(name);
  SmallVector<NamedAttribute> kept = llvm::to_vector(llvm::make_filter_range(
      bounds.getValue(), [&](NamedAttribute bound) { return used.contains(bound.getName().getValue()); }));
  module->setAttr("transom.bounds", DictionaryAttr::get(module.getContext(), kept));
}

class MakeKvStaticPass : public impl::MakeKvStaticPassBase<MakeKvStaticPass> {
  using MakeKvStaticPassBase::MakeKvStaticPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    Reporter reporter(getArgument(), report);
    auto main = module.lookupSymbol<func::FuncOp>("main");
    if (!main || main.isExternal())
      return;
    for (StringRef name : {"prefill", "decode"})
      if (Operation *other = module.lookupSymbol(name))
        return reporter.reject(other, "expected no function of this name beside @main");
    FailureOr<KvGraph> graph = matchKvGraph(main, reporter);
    if (failed(graph))
      return;
    EntryBuilder prefill(main, *graph, EntryBuilder::Kind::prefill), decode(main, *graph, EntryBuilder::Kind::decode);
    func::FuncOp first = prefill.build();
    if (!first || !decode.build()) {
      reporter.reject(first ? decode.refused : prefill.refused, "expected an op that takes sizes of one token a row");
      if (first)
        first.erase();
      return;
    }
    for (const CachePair &pair : graph->caches)
      reporter.applied(ConcatOp(pair.concat), "became a cache of " + llvm::Twine(graph->capacity) + " tokens a row");
    main.erase();
    dropUnusedBounds(module);
  }
};

} // namespace
} // namespace transom
