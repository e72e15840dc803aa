// See LlamaGraph.h.
#include "compiler/import/LlamaGraph.h"

#include <cmath>

using namespace mlir;

namespace transom {

namespace {

/// Sizes that later arithmetic multiplies in pairs; far above any model.
constexpr int64_t maxSize = 1 << 24;
/// The entry function's arguments are made per layer before any tensor is looked for.
constexpr int64_t maxLayers = 1 << 12;

Status checkConfig(const LlamaConfig &c) {
  for (auto [what, value] : {std::pair("hidden size", c.hidden),
                             {"heads", c.heads},
                             {"key/value heads", c.kvHeads},
                             {"head dimension", c.headDim},
                             {"feed-forward size", c.feedForward},
                             {"vocabulary size", c.vocab},
                             {"context length", c.contextLength},
                             {"rotary dimensions", c.rope.dims}})
    if (value < 1 || value > maxSize)
      return error(StatusCode::invalidFile, "{}: {}: expected 1 to {}, found {}", c.where, what, maxSize,
                   value);
  if (c.layers < 1 || c.layers > maxLayers)
    return error(StatusCode::invalidFile, "{}: layers: expected 1 to {}, found {}", c.where, maxLayers,
                 c.layers);
  if (c.heads % c.kvHeads != 0)
    return error(StatusCode::invalidFile, "{}: {} key/value heads do not divide {} heads", c.where, c.kvHeads,
                 c.heads);
  if (c.rope.dims % 2 != 0 || c.rope.dims > c.headDim)
    return error(StatusCode::invalidFile, "{}: rotary dimensions: expected an even number up to {}, found {}",
                 c.where, c.headDim, c.rope.dims);
  for (auto [what, value] :
       {std::pair("rms norm epsilon", c.epsilon), {"rope base", c.rope.base}, {"rope scale", c.rope.scale}})
    if (!std::isfinite(value) || value <= 0)
      return error(StatusCode::invalidFile, "{}: {}: expected a positive number, found {}", c.where, what,
                   value);
  return {};
}

class LlamaGraph {
public:
  LlamaGraph(const LlamaConfig &config, const TensorSource &tensors, MLIRContext &context)
      : c_(config), g_(context, tensors, inputs(config, context)) {}

  Status build();
  Result<OwningOpRef<ModuleOp>> finish(const ModelInfo &info) { return g_.finish(info); }

private:
  static Port cachePort(const LlamaConfig &c, MLIRContext &context, const char *when, int64_t layer,
                        const char *what, std::string length) {
    return {fmt::format("{}.{}.{}", when, layer, what),
            Float32Type::get(&context),
            {"batch", std::to_string(c.kvHeads), std::move(length), std::to_string(c.headDim)}};
  }
  static std::vector<Port> inputs(const LlamaConfig &c, MLIRContext &context) {
    Type i32 = IntegerType::get(&context, 32);
    std::vector<Port> ports = {{"input_ids", i32, {"batch", "seq"}},
                               {"attention_mask", i32, {"batch", "past+seq"}},
                               {"position_ids", i32, {"batch", "seq"}}};
    for (int64_t layer = 0; layer < c.layers; ++layer)
      for (const char *what : {"key", "value"})
        ports.push_back(cachePort(c, context, "past", layer, what, "past"));
    return ports;
  }

  std::string name(const std::string &pattern, int64_t layer) const {
    return fmt::format(fmt::runtime(pattern), layer);
  }
  Result<Value> rmsNorm(Value x, const std::string &name) {
    TRANSOM_ASSIGN(Value scale, g_.vector(name + ".weight", c_.hidden));
    return g_.op<RmsNormOp>(x, scale, llvm::APFloat(c_.epsilon));
  }
  Value rotary(Value x) {
    return g_.op<RotaryOp>(x, g_.input(2), factors_, HeadLayout::bhsd, static_cast<uint64_t>(c_.rope.dims),
                           llvm::APFloat(c_.rope.base), llvm::APFloat(c_.rope.scale), c_.rope.interleaved);
  }
  Status loadRopeFactors();
  /// `past` with the new keys or values behind it: also the layer's `present` result.
  Value extend(int64_t layer, int64_t which, Value tokens);
  Result<Value> attention(Value x, int64_t layer);
  Result<Value> feedForward(Value x, int64_t layer);

  const LlamaConfig &c_;
  GraphBuilder g_;
  Value factors_;
  std::vector<std::pair<Port, Value>> presents_;
};

Status LlamaGraph::loadRopeFactors() {
  if (!c_.rope.factorsTensor.empty()) {
    TRANSOM_ASSIGN(factors_, g_.vector(c_.rope.factorsTensor, c_.rope.dims / 2));
  } else if (!c_.rope.factors.empty()) {
    factors_ = g_.constant(c_.rope.factors);
  }
  return {};
}

Value LlamaGraph::extend(int64_t layer, int64_t which, Value tokens) {
  llvm::SmallVector<Value> parts = {g_.input(static_cast<size_t>(3 + 2 * layer + which)), tokens};
  Value present = g_.op<ConcatOp>(ValueRange(parts), uint64_t(2));
  presents_.emplace_back(
      cachePort(c_, *present.getContext(), "present", layer, which ? "value" : "key", "past+seq"), present);
  return present;
}

Result<Value> LlamaGraph::attention(Value x, int64_t layer) {
  g_.at(fmt::format("layers.{}.attention", layer));
  int64_t width = c_.heads * c_.headDim, kvWidth = c_.kvHeads * c_.headDim;
  TRANSOM_ASSIGN(Value query, g_.linear(x, name(c_.names.query, layer), c_.hidden, width, c_.attentionBias));
  TRANSOM_ASSIGN(Value key, g_.linear(x, name(c_.names.key, layer), c_.hidden, kvWidth, c_.attentionBias));
  TRANSOM_ASSIGN(Value value,
                 g_.linear(x, name(c_.names.value, layer), c_.hidden, kvWidth, c_.attentionBias));
  query = rotary(g_.splitHeads(query, c_.heads, c_.headDim));
  key = extend(layer, 0, rotary(g_.splitHeads(key, c_.kvHeads, c_.headDim)));
  value = extend(layer, 1, g_.splitHeads(value, c_.kvHeads, c_.headDim));
  llvm::APFloat scale(1 / std::sqrt(static_cast<double>(c_.headDim)));
  Value mixed =
      g_.op<AttentionOp>(query, key, value, /*mask=*/g_.input(1), /*bias=*/Value(), /*past_lengths=*/Value(),
                         /*lengths=*/Value(), /*cumulative_lengths=*/Value(), HeadLayout::bhsd, scale,
                         /*causal=*/true, /*window=*/IntegerAttr(), /*softcap=*/FloatAttr());
  return g_.linear(g_.mergeHeads(mixed, width), name(c_.names.attentionOutput, layer), width, c_.hidden,
                   c_.attentionBias);
}

Result<Value> LlamaGraph::feedForward(Value x, int64_t layer) {
  g_.at(fmt::format("layers.{}.feed_forward", layer));
  TRANSOM_ASSIGN(Value gate,
                 g_.linear(x, name(c_.names.gate, layer), c_.hidden, c_.feedForward, c_.feedForwardBias));
  TRANSOM_ASSIGN(Value up,
                 g_.linear(x, name(c_.names.up, layer), c_.hidden, c_.feedForward, c_.feedForwardBias));
  TRANSOM_ASSIGN(Value active, g_.activation(gate, c_.activation));
  return g_.linear(g_.op<MulOp>(active, up), name(c_.names.down, layer), c_.feedForward, c_.hidden,
                   c_.feedForwardBias);
}

Status LlamaGraph::build() {
  g_.at("embedding");
  TRANSOM_ASSIGN(Value x, g_.embedding(g_.input(0), c_.names.embedding + ".weight", c_.vocab, c_.hidden));
  TRANSOM_RETURN_IF_ERROR(loadRopeFactors());
  for (int64_t layer = 0; layer < c_.layers; ++layer) {
    g_.at(fmt::format("layers.{}", layer));
    TRANSOM_ASSIGN(Value normed, rmsNorm(x, name(c_.names.attentionNorm, layer)));
    TRANSOM_ASSIGN(Value mixed, attention(normed, layer));
    x = g_.op<AddOp>(x, mixed);
    TRANSOM_ASSIGN(Value again, rmsNorm(x, name(c_.names.feedForwardNorm, layer)));
    TRANSOM_ASSIGN(Value fed, feedForward(again, layer));
    x = g_.op<AddOp>(x, fed);
  }
  g_.at("head");
  TRANSOM_ASSIGN(Value last, rmsNorm(x, c_.names.outputNorm));
  TRANSOM_ASSIGN(Value logits, g_.linear(last, c_.tiedHead ? c_.names.embedding : c_.names.head, c_.hidden,
                                         c_.vocab, Bias::none));
  g_.addResult({"logits", g_.f32(), {"batch", "seq", std::to_string(c_.vocab)}}, logits);
  for (auto &[port, value] : presents_)
    g_.addResult(port, value);
  return g_.checkAllUsed(c_.ignored, c_.names.list());
}

} // namespace

std::string LlamaNames::list() const {
  return listed(std::initializer_list<std::string>{embedding, attentionNorm, query, key, value,
                                                   attentionOutput, feedForwardNorm, gate, up, down,
                                                   outputNorm, head});
}

Result<ContextBounds> contextBounds(const ImportOptions &options, int64_t declaredContext, int64_t defaultBatch) {
  int64_t batch = options.maxBatch ? options.maxBatch : defaultBatch;
  for (auto [what, value] : {std::pair("batch", batch), {"sequence", options.maxSeq}})
    if (value < 1 || value > maxSize)
      return error(StatusCode::invalidArgument, "largest {}: expected 1 to {}, found {}", what, maxSize,
                   value);
  if (options.maxContext < 0 || options.maxContext > declaredContext)
    return error(StatusCode::invalidArgument,
                 "largest context: expected up to the {} tokens of the model, found {}", declaredContext,
                 options.maxContext);
  int64_t context = options.maxContext ? options.maxContext : declaredContext;
  return ContextBounds{batch, std::min(options.maxSeq, context), context};
}

Result<OwningOpRef<ModuleOp>> buildLlama(const LlamaConfig &config, ModelInfo info,
                                         const TensorSource &tensors, const ImportOptions &options,
                                         MLIRContext &context) {
  TRANSOM_RETURN_IF_ERROR(checkConfig(config));
  TRANSOM_ASSIGN(ContextBounds bounds, contextBounds(options, config.contextLength, 1));
  LlamaGraph graph(config, tensors, context);
  TRANSOM_RETURN_IF_ERROR(graph.build().within(config.where));
  info.task = "generate";
  info.metadata["context_length"] = std::to_string(bounds.context);
  info.bounds["batch"] = {1, bounds.batch};
  info.bounds["seq"] = {1, bounds.seq};
  // The last token of a full context has all others before it.
  info.bounds["past"] = {0, std::max<int64_t>(bounds.context - 1, 1)};
  return graph.finish(info);
}

} // namespace transom
