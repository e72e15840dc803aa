// See LlamaGraph.h.
#include "compiler/import/LlamaGraph.h"

#include <cmath>

using namespace mlir;

namespace transom {

namespace {

Status checkConfig(const LlamaConfig &c) {
  TRANSOM_RETURN_IF_ERROR(checkSizes(c));
  if (c.rope.dims < 2 || c.rope.dims % 2 != 0 || c.rope.dims > c.headDim)
    return error(StatusCode::invalidFile, "{}: rotary dimensions: expected an even number up to {}, found {}",
                 c.where, c.headDim, c.rope.dims);
  for (auto [what, value] : {std::pair("rope base", c.rope.base), {"rope scale", c.rope.scale}})
    if (!std::isfinite(value) || value <= 0)
      return error(StatusCode::invalidFile, "{}: {}: expected a positive number, found {}", c.where, what,
                   value);
  for (int64_t window : c.windows)
    if (window < 0 || window > maxModelSize)
      return error(StatusCode::invalidFile, "{}: sliding window: expected 1 to {}, found {}", c.where,
                   maxModelSize, window);
  assert((c.windows.empty() || std::ssize(c.windows) == c.layers) && "a window for each layer");
  return {};
}

class LlamaGraph : public DecoderGraph {
public:
  LlamaGraph(const LlamaConfig &config, const TensorSource &tensors, MLIRContext &context)
      : DecoderGraph(config, tensors, context), c_(config) {}

private:
  Result<Value> embed() override;
  Result<Value> layer(Value x, int64_t layer) override;
  Result<Value> logits(Value x) override;
  Status checkTensors() const override { return g_.checkAllUsed(c_.ignored, c_.names.list()); }

  Result<Value> attention(Value x, int64_t layer);
  Result<Value> feedForward(Value x, int64_t layer);
  Result<Value> norm(Value x, const std::string &name) { return g_.rmsNorm(x, name, c_.hidden, c_.epsilon); }
  Value rotary(Value x) {
    return g_.op<RotaryOp>(x, positions(), factors_, HeadLayout::bhsd, static_cast<uint64_t>(c_.rope.dims),
                           llvm::APFloat(c_.rope.base), llvm::APFloat(c_.rope.scale), c_.rope.interleaved);
  }

  const LlamaConfig &c_;
  Value factors_;
};

Result<Value> LlamaGraph::embed() {
  if (!c_.rope.factorsTensor.empty()) {
    TRANSOM_ASSIGN(factors_, g_.vector(c_.rope.factorsTensor, c_.rope.dims / 2));
  } else if (!c_.rope.factors.empty()) {
    factors_ = g_.constant(c_.rope.factors);
  }
  return g_.embedding(ids(), c_.names.embedding + ".weight", c_.vocab, c_.hidden);
}

Result<Value> LlamaGraph::attention(Value x, int64_t layer) {
  g_.at(fmt::format("layers.{}.attention", layer));
  int64_t width = c_.heads * c_.headDim, kvWidth = c_.kvHeads * c_.headDim;
  const LlamaNames &names = c_.names;
  TRANSOM_ASSIGN(Value query,
                 g_.linear(x, layerName(names.query, layer), c_.hidden, width, c_.projectionBias));
  TRANSOM_ASSIGN(Value key, g_.linear(x, layerName(names.key, layer), c_.hidden, kvWidth, c_.projectionBias));
  TRANSOM_ASSIGN(Value value,
                 g_.linear(x, layerName(names.value, layer), c_.hidden, kvWidth, c_.projectionBias));
  query = rotary(g_.splitHeads(query, c_.heads, c_.headDim));
  key = extend(layer, Part::key, rotary(g_.splitHeads(key, c_.kvHeads, c_.headDim)));
  value = extend(layer, Part::value, g_.splitHeads(value, c_.kvHeads, c_.headDim));
  int64_t window = c_.windows.empty() ? 0 : c_.windows[static_cast<size_t>(layer)];
  Value mixed = attend(query, key, value, usualScale(), window);
  return g_.linear(g_.mergeHeads(mixed, width), layerName(names.attentionOutput, layer), width, c_.hidden,
                   c_.outputBias);
}

Result<Value> LlamaGraph::feedForward(Value x, int64_t layer) {
  g_.at(fmt::format("layers.{}.feed_forward", layer));
  bool fused = c_.names.up.empty();
  TRANSOM_ASSIGN(Value gate, g_.linear(x, layerName(c_.names.gate, layer), c_.hidden,
                                       fused ? 2 * c_.feedForward : c_.feedForward, c_.feedForwardBias));
  Value up;
  if (fused) {
    up = g_.slice(gate, 2, c_.feedForward, c_.feedForward);
    gate = g_.slice(gate, 2, 0, c_.feedForward);
  } else {
    TRANSOM_ASSIGN(
        up, g_.linear(x, layerName(c_.names.up, layer), c_.hidden, c_.feedForward, c_.feedForwardBias));
  }
  TRANSOM_ASSIGN(Value active, g_.activation(gate, c_.activation));
  return g_.linear(g_.op<MulOp>(active, up), layerName(c_.names.down, layer), c_.feedForward, c_.hidden,
                   c_.feedForwardBias);
}

Result<Value> LlamaGraph::layer(Value x, int64_t layer) {
  TRANSOM_ASSIGN(Value normed, norm(x, layerName(c_.names.attentionNorm, layer)));
  TRANSOM_ASSIGN(Value mixed, attention(normed, layer));
  x = g_.op<AddOp>(x, mixed);
  TRANSOM_ASSIGN(Value again, norm(x, layerName(c_.names.feedForwardNorm, layer)));
  TRANSOM_ASSIGN(Value fed, feedForward(again, layer));
  return g_.op<AddOp>(x, fed);
}

Result<Value> LlamaGraph::logits(Value x) {
  TRANSOM_ASSIGN(Value last, norm(x, c_.names.outputNorm));
  return g_.linear(last, c_.tiedHead ? c_.names.embedding : c_.names.head, c_.hidden, c_.vocab, Bias::none);
}

} // namespace

std::string LlamaNames::list() const {
  std::vector<std::string> all = {embedding, attentionNorm,   query,           key,
                                  value,     attentionOutput, feedForwardNorm, gate};
  if (!up.empty())
    all.push_back(up);
  all.insert(all.end(), {down, outputNorm, head});
  return listed(all);
}

Result<OwningOpRef<ModuleOp>> buildLlama(const LlamaConfig &config, ModelInfo info,
                                         const TensorSource &tensors, const ImportOptions &options,
                                         MLIRContext &context) {
  TRANSOM_RETURN_IF_ERROR(checkConfig(config));
  return LlamaGraph(config, tensors, context).build(std::move(info), options);
}

} // namespace transom
