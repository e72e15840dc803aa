// See Graphs.h.
#include "test/random/Graphs.h"

#include "test/random/Mutations.h"
#include "test/random/Random.h"
#include "test/random/Writer.h"

#include "mlir/IR/Verifier.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

using namespace mlir;

namespace transom::random {

namespace {

class GraphMaker {
public:
  GraphMaker(MLIRContext &context, const Spec &spec) : s(spec), g(context, spec) {}
  OwningOpRef<ModuleOp> make();

private:
  std::string layerName(int layer) const { return fmt::format("layers.{}", s.sharedLayers ? 0 : layer); }
  void makeArguments();
  /// Ids in the order of the trunk.
  Value inTrunkOrder(Value ids) { return s.sequenceFirst ? g.op<TransposeOp>(ids, g.axes({1, 0})) : ids; }
  Value embeddings(Value ids);
  Value positionTable(Value x, Value ids);
  struct Heads {
    Value query, key, value; ///< in the trunk's order
  };
  Heads project(Value x, Value memory, const std::string &name);
  Value rotate(Value x, int64_t heads);
  /// Keys or values with the past before them, in the attention's layout.
  Value extend(Value tokens, int layer, const char *what);
  Value mergeHeads(Value mixed);
  Value attention(Value query, Value key, Value value, Value mask, bool causal, const std::string &name);
  Value selfAttention(Value x, int layer);
  Value memoryAttention(Value x, int layer);
  Value activate(Value x);
  Value feedForward(Value x, const std::string &name);
  Value residual(Value x, const std::string &name, llvm::function_ref<Value(Value)> block);
  Value makeMemory();
  void addOutputs(Value x);
  void addPooled(Value x);
  Value inBatchOrder(Value x) { return s.sequenceFirst ? g.op<TransposeOp>(x, g.axes({1, 0, 2})) : x; }

  const Spec &s;
  Writer g;
  Value ids, mask, positions, types, memory, memoryMask;
  std::vector<std::pair<Value, Value>> caches; ///< of each layer, in the attention's layout
  std::vector<std::pair<std::string, Value>> presents;
  std::vector<Value> pasts;
  Value attentionMask; ///< what attention reads: the argument, or made of it
};

void GraphMaker::makeArguments() {
  ids = g.argument("input_ids", g.i32(), {g.batch(), g.seq()});
  if (s.mask)
    mask = g.argument("attention_mask", g.i32(), {g.batch(), g.total()});
  if (s.rotary || s.learnedPositions == 1)
    positions = g.argument("position_ids", g.i32(), {g.batch(), g.seq()});
  if (s.types)
    types = g.argument("token_type_ids", g.i32(), {g.batch(), g.seq()});
  if (s.family == crossAttention) {
    if (s.memoryEncoded)
      memory = g.argument("memory_ids", g.i32(), {g.batch(), "memory"});
    else
      memory = g.argument("memory", g.f32(), {g.batch(), "memory", std::to_string(s.hidden)});
    if (s.mask)
      memoryMask = g.argument("memory_mask", g.i32(), {g.batch(), "memory"});
  }
  attentionMask = mask;
  if (mask && g.is("computed mask"))
    attentionMask = g.op<CastOp>(g.op<CompareOp>(ComparePredicate::gt, mask, g.op<ConstantOp>(DenseElementsAttr::get(
                                     RankedTensorType::get({}, g.i32()), int32_t(0)))), g.i32());
}

Value GraphMaker::positionTable(Value x, Value from) {
  int64_t rows = s.seqMax + s.pastMax;
  if (s.learnedPositions == 1)
    return g.op<AddOp>(x, g.embedding(inTrunkOrder(positions), "positions", rows, s.hidden));
  Value places = g.op<IotaOp>(from, uint64_t(1));
  Value table = g.embedding(places, "positions", rows, s.hidden); // [seq, hidden]
  if (s.sequenceFirst)
    table = g.op<ReshapeOp>(table, g.axes({0, 1, s.hidden}));
  return g.op<AddOp>(x, table);
}

Value GraphMaker::embeddings(Value from) {
  g.at("embeddings");
  Value x;
  // ChatGLM turns the vectors, others the ids.
  if (s.sequenceFirst && s.seed % 2)
    x = g.op<TransposeOp>(g.embedding(from, "embedding", s.vocab, s.hidden), g.axes({1, 0, 2}));
  else
    x = g.embedding(inTrunkOrder(from), "embedding", s.vocab, s.hidden);
  if (types)
    x = g.op<AddOp>(x, g.embedding(inTrunkOrder(types), "types", 2, s.hidden));
  if (s.learnedPositions)
    x = positionTable(x, from);
  return s.embedNorm ? g.norm(x, "embeddings.norm") : x;
}

GraphMaker::Heads GraphMaker::project(Value x, Value from, const std::string &name) {
  int64_t width = s.heads * s.headDim, kvWidth = s.kvHeads * s.headDim;
  Heads heads;
  bool bias = s.bias;
  if (s.merged && from == x) {
    Value all = g.linear(x, name + ".qkv", width + 2 * kvWidth, bias);
    heads = {g.slice(all, 2, 0, width), g.slice(all, 2, width, kvWidth), g.slice(all, 2, width + kvWidth, kvWidth)};
  } else {
    Value other = g.is("query of another value") ? g.op<NegOp>(x) : x;
    heads.query = g.linear(other, name + ".query", width, bias != g.is("bias on one projection"));
    heads.key = g.linear(from, name + ".key", kvWidth, bias);
    heads.value = g.linear(from, name + ".value", kvWidth, bias);
    if (g.is("bias of another shape"))
      heads.key = g.op<AddOp>(heads.key, g.numbers(name + ".odd_bias", {1, 1, kvWidth}, 0.5));
  }
  return {g.splitHeads(heads.query, s.heads, s.headDim), g.splitHeads(heads.key, s.kvHeads, s.headDim),
          g.splitHeads(heads.value, s.kvHeads, s.headDim)};
}

Value GraphMaker::rotate(Value x, int64_t) {
  int64_t dims = s.rotary == partialRotary ? (s.headDim / 2) & ~int64_t(1) : s.headDim;
  dims = std::max<int64_t>(dims, 2);
  Value factors;
  if (s.factors) {
    std::vector<float> numbers;
    for (int64_t i = 0; i < dims / 2; ++i)
      numbers.push_back(1 + 0.5f * float(i));
    factors = g.op<ConstantOp>(DenseElementsAttr::get(RankedTensorType::get({dims / 2}, g.f32()), llvm::ArrayRef(numbers)));
  }
  return g.op<RotaryOp>(x, positions, factors, HeadLayout(s.rotaryLayout), uint64_t(dims), llvm::APFloat(100.0), llvm::APFloat(0.5),
                        bool(s.interleaved));
}

Value GraphMaker::extend(Value tokens, int layer, const char *what) {
  // tokens are in the cache's order.
  std::string kv = std::to_string(s.kvHeads), size = std::to_string(s.headDim), past = "past";
  std::vector<std::string> dims = s.cacheLayout == bhsd   ? std::vector<std::string>{g.batch(), kv, past, size}
                                  : s.cacheLayout == bshd ? std::vector<std::string>{g.batch(), past, kv, size}
                                                          : std::vector<std::string>{past, g.batch(), kv, size};
  int64_t axis = s.cacheLayout == bhsd ? 2 : s.cacheLayout == bshd ? 1 : 0;
  bool aliased = g.is("two layers extend one past") && layer > 0 && pasts.size() >= 2;
  Value before = aliased ? pasts[what[0] == 'v'] : g.argument(fmt::format("past.{}.{}", layer, what), g.f32(), dims);
  pasts.push_back(before);
  if (g.is("past cast on its way"))
    before = g.op<CastOp>(g.op<CastOp>(before, g.builder.getF64Type()), g.f32());
  llvm::SmallVector<Value> parts = {before, tokens};
  if (g.is("new tokens before the past"))
    std::swap(parts[0], parts[1]);
  Value present = g.op<ConcatOp>(ValueRange(parts), uint64_t(axis));
  presents.emplace_back(fmt::format("present.{}.{}", layer, what), present);
  return g.arrange(present, Layout(s.cacheLayout), Layout(s.attentionLayout));
}

Value GraphMaker::mergeHeads(Value mixed) {
  Value tokens = g.arrange(mixed, Layout(s.attentionLayout), g.trunk());
  return g.op<ReshapeOp>(tokens, g.axes({0, 0, s.heads * s.headDim}));
}

Value GraphMaker::attention(Value query, Value key, Value value, Value allowed, bool causal, const std::string &name) {
  OpBuilder &b = g.builder;
  Value bias;
  if (g.is("attention bias"))
    bias = g.numbers(name + ".bias", {1, s.heads, 1, 1}, 0.5);
  IntegerAttr window = causal && s.window ? b.getI64IntegerAttr(s.window) : IntegerAttr();
  FloatAttr softcap = s.softcap ? b.getF64FloatAttr(3.0) : FloatAttr();
  if (causal && g.is("not causal"))
    causal = false, window = {};
  return g.op<AttentionOp>(query, key, value, allowed, bias, /*past_lengths=*/Value(), /*lengths=*/Value(), /*cumulative_lengths=*/Value(),
                           HeadLayout(s.attentionLayout), llvm::APFloat(0.5), causal, window, softcap);
}

Value GraphMaker::selfAttention(Value x, int layer) {
  std::string name = layerName(layer) + ".attention";
  g.at(fmt::format("layers.{}.attention", layer));
  Heads heads = project(x, x, name);
  Layout from = g.trunk(), to = Layout(s.attentionLayout), rotaryLayout = Layout(s.rotaryLayout);
  if (s.rotary) {
    heads.query = rotate(g.arrange(heads.query, from, rotaryLayout), s.heads);
    heads.key = rotate(g.arrange(heads.key, from, rotaryLayout), s.kvHeads);
  }
  Layout rotated = s.rotary ? rotaryLayout : from;
  heads.query = g.arrange(heads.query, rotated, to);
  if (s.cached && s.sharedCache && layer == 1) {
    std::tie(heads.key, heads.value) = caches[0];
  } else if (s.cached) {
    Layout cache = Layout(s.cacheLayout);
    heads.key = extend(g.arrange(heads.key, rotated, cache), layer, "key");
    heads.value = extend(g.arrange(heads.value, from, cache), layer, "value");
  } else {
    heads.key = g.arrange(heads.key, rotated, to);
    heads.value = g.arrange(heads.value, from, to);
  }
  caches.emplace_back(heads.key, heads.value);
  Value mixed = attention(heads.query, heads.key, heads.value, attentionMask, s.family != encoder, name);
  return g.linear(mergeHeads(mixed), name + ".output", s.hidden, s.bias);
}

Value GraphMaker::memoryAttention(Value x, int layer) {
  std::string name = layerName(layer) + ".cross";
  g.at(fmt::format("layers.{}.cross", layer));
  Heads heads = project(x, memory, name);
  Layout to = Layout(s.attentionLayout);
  // The memory is [batch, memory, hidden] whatever the trunk's order.
  Value mixed = attention(g.arrange(heads.query, g.trunk(), to), g.arrange(heads.key, bshd, to), g.arrange(heads.value, bshd, to),
                          memoryMask, false, name);
  return g.linear(mergeHeads(mixed), name + ".output", s.hidden, s.bias);
}

Value GraphMaker::activate(Value x) {
  switch (s.activation) {
  case 0: return g.op<SiluOp>(x);
  case 1: return g.op<GeluOp>(x, GeluForm::erf);
  case 2: return g.op<GeluOp>(x, GeluForm::tanh);
  default: return g.op<ReluOp>(x);
  }
}

Value GraphMaker::feedForward(Value x, const std::string &name) {
  if (!s.gated)
    return g.linear(activate(g.linear(x, name + ".up", s.feedForward, s.bias)), name + ".down", s.hidden, s.bias);
  Value gate, up;
  if (s.mergedGate) {
    Value both = g.linear(x, name + ".gate_up", 2 * s.feedForward, s.bias);
    gate = g.slice(both, 2, 0, s.feedForward), up = g.slice(both, 2, s.feedForward, s.feedForward);
  } else {
    gate = g.linear(x, name + ".gate", s.feedForward, s.bias);
    up = g.linear(g.is("gate and up of different values") ? g.op<AbsOp>(x) : x, name + ".up", s.feedForward, s.bias);
  }
  return g.linear(g.op<MulOp>(activate(gate), up), name + ".down", s.hidden, s.bias);
}

Value GraphMaker::residual(Value x, const std::string &name, llvm::function_ref<Value(Value)> block) {
  if (!s.postNorm)
    return g.op<AddOp>(x, block(g.norm(x, name + ".norm")));
  Value inner = block(x);
  return g.norm(s.seed % 3 ? g.op<AddOp>(inner, x) : g.op<AddOp>(x, inner), name + ".norm");
}

Value GraphMaker::makeMemory() {
  if (!s.memoryEncoded)
    return memory;
  g.at("memory");
  Value x = g.embedding(memory, "memory_embedding", s.vocab, s.hidden);
  int64_t width = s.heads * s.headDim, kvWidth = s.kvHeads * s.headDim;
  Value inner = g.norm(x, "memory.norm");
  auto heads = [&](const char *what, int64_t count, int64_t size) {
    return g.arrange(g.splitHeads(g.linear(inner, std::string("memory.") + what, size, s.bias), count, s.headDim), bshd, Layout(s.attentionLayout));
  };
  Value query = heads("query", s.heads, width), key = heads("key", s.kvHeads, kvWidth), value = heads("value", s.kvHeads, kvWidth);
  Value mixed = g.arrange(attention(query, key, value, memoryMask, false, "memory"), Layout(s.attentionLayout), bshd);
  x = g.op<AddOp>(x, g.linear(g.op<ReshapeOp>(mixed, g.axes({0, 0, width})), "memory.output", s.hidden, s.bias));
  return g.norm(x, "memory.last");
}

void GraphMaker::addPooled(Value x) {
  g.at("pooling");
  if (s.pooling == firstToken) {
    Value first = g.op<ReshapeOp>(g.slice(x, 1, 0, 1), g.axes({0, s.hidden}));
    return g.result("first_token", g.op<TanhOp>(g.linear(first, "pooler", s.hidden, true)));
  }
  if (!mask) // a mean over tokens that are all valid
    return g.result("pooled", g.op<ReduceOp>(s.pooling == maximum ? ReduceKind::max : ReduceKind::mean, x, g.axes({1}), false));
  Value weights = g.op<ReshapeOp>(g.op<CastOp>(mask, g.f32()), g.axes({0, 0, 1}));
  if (s.pooling == maximum) {
    Value valid = g.op<CompareOp>(ComparePredicate::gt, weights, g.scalar(0));
    return g.result("pooled", g.op<ReduceOp>(ReduceKind::max, g.op<SelectOp>(valid, x, g.scalar(std::array{-64.0, 0.0, 1.0}[s.seed % 3])), g.axes({1}), false));
  }
  Value sum = g.op<ReduceOp>(ReduceKind::sum, g.op<MulOp>(x, weights), g.axes({1}), false);
  Value count = g.op<MaxOp>(g.op<ReduceOp>(ReduceKind::sum, weights, g.axes({1}), false), g.scalar(1.0 / 1024));
  Value pooled = g.op<DivOp>(sum, count);
  if (s.pooling == normalisedMean) {
    Value square = g.op<ReduceOp>(ReduceKind::sum, g.op<MulOp>(pooled, pooled), g.axes({1}), true);
    pooled = g.op<DivOp>(pooled, g.op<MaxOp>(g.op<SqrtOp>(square), g.scalar(1.0 / 1024)));
  }
  g.result("pooled", pooled);
}

void GraphMaker::addOutputs(Value x) {
  g.at("head");
  if (s.headNorm)
    x = g.norm(x, "head.norm");
  if (s.family == encoder) {
    x = inBatchOrder(x);
    if (s.pooling == noPooling || s.seed % 2)
      g.result("last_hidden_state", x);
    if (s.pooling != noPooling)
      addPooled(x);
    return;
  }
  Value logits = s.tiedHead ? g.op<MatmulOp>(x, g.matrix("embedding", s.vocab, s.hidden), true) : g.linear(x, "head", s.vocab, false);
  g.result("logits", inBatchOrder(logits));
  for (auto &[name, value] : presents)
    g.result(name, value);
  if (g.is("present returned twice") && !presents.empty())
    g.result("again", presents.front().second);
}

OwningOpRef<ModuleOp> GraphMaker::make() {
  makeArguments();
  Value x = embeddings(ids);
  if (s.family == crossAttention)
    memory = makeMemory();
  for (int layer = 0; layer < s.layers; ++layer) {
    std::string name = layerName(layer);
    g.at(fmt::format("layers.{}", layer));
    x = residual(x, name + ".attention", [&](Value y) { return selfAttention(y, layer); });
    if (s.family == crossAttention)
      x = residual(x, name + ".cross", [&](Value y) { return memoryAttention(y, layer); });
    g.at(fmt::format("layers.{}.feed_forward", layer));
    x = residual(x, name + ".feed_forward", [&](Value y) { return feedForward(y, name + ".feed_forward"); });
  }
  addOutputs(x);
  return g.finish();
}

} // namespace

OwningOpRef<ModuleOp> makeGraph(MLIRContext &context, const Spec &spec) {
  OwningOpRef<ModuleOp> module = GraphMaker(context, spec).make();
  Random random(spec.seed, "mutation");
  mutate(module->lookupSymbol<func::FuncOp>("main"), perturbations()[spec.perturbation], random);
  return succeeded(verify(*module)) ? std::move(module) : OwningOpRef<ModuleOp>();
}

} // namespace transom::random
