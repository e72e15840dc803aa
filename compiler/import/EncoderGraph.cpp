// See EncoderGraph.h.
#include "compiler/import/EncoderGraph.h"

#include <cmath>

using namespace mlir;

namespace transom {

namespace {

Status checkConfig(const EncoderConfig &c) {
  for (auto [what, value] : {std::pair("layers", c.layers),
                             {"hidden size", c.hidden},
                             {"heads", c.heads},
                             {"feed-forward size", c.feedForward},
                             {"vocabulary size", c.vocab},
                             {"positions", longestRow(c)},
                             {"token types", c.types}})
    if (value < 1 || value > maxModelSize)
      return error(StatusCode::invalidFile, "{}: {}: expected 1 to {}, found {}", c.where, what, maxModelSize,
                   value);
  if (c.hidden % c.heads != 0)
    return error(StatusCode::invalidFile, "{}: {} heads do not divide the hidden size {}", c.where, c.heads,
                 c.hidden);
  if (!std::isfinite(c.epsilon) || c.epsilon <= 0)
    return error(StatusCode::invalidFile, "{}: norm epsilon: expected a positive number, found {}", c.where,
                 c.epsilon);
  return {};
}

class EncoderGraph {
public:
  EncoderGraph(const EncoderConfig &config, const TensorSource &tensors, MLIRContext &context)
      : c_(config), g_(context, tensors, inputs(config, context)) {}

  Status build(const SentenceConfig &sentence);
  Result<OwningOpRef<ModuleOp>> finish(const ModelInfo &info) { return g_.finish(info); }

private:
  static std::vector<Port> inputs(const EncoderConfig &c, MLIRContext &context) {
    Type i32 = IntegerType::get(&context, 32);
    std::vector<Port> ports = {{"input_ids", i32, {"batch", "seq"}},
                               {"attention_mask", i32, {"batch", "seq"}}};
    if (c.types > 1)
      ports.push_back({"token_type_ids", i32, {"batch", "seq"}});
    return ports;
  }

  /// The vectors of all tokens behind the last layer, [batch, seq, hidden].
  Result<Value> hiddenStates();
  Value mask() { return g_.input(1); }
  std::string name(const std::string &pattern, int64_t layer) const {
    return c_.prefix + fmt::format(fmt::runtime(pattern), layer);
  }
  Result<Value> norm(Value x, const std::string &name) {
    return g_.layerNorm(x, name, c_.hidden, c_.epsilon);
  }
  Result<Value> positions();
  Result<Value> types();
  Result<Value> embeddings();
  Result<Value> attention(Value x, int64_t layer);
  Result<Value> feedForward(Value x, int64_t layer);
  /// The vector of each row's first token, [batch, hidden].
  Value first(Value x) { return g_.reshape(g_.slice(x, 1, 0, 1), {0, c_.hidden}); }
  Status addHidden(Value x, const SentenceConfig &sentence);
  Status addScores(Value x);
  /// A program for the words at few places: the head computes these alone.
  Status addMaskedScores();
  Result<Value> scores(Value x);
  std::string tensorNames() const;

  const EncoderConfig &c_;
  GraphBuilder g_;
};

Result<Value> EncoderGraph::positions() {
  Value places;
  if (c_.rule == Positions::byPlace) {
    places = g_.op<IotaOp>(g_.input(0), uint64_t(1));
  } else {
    Value counted = g_.op<MulOp>(g_.op<CumulativeSumOp>(mask(), uint64_t(1)), mask());
    places = g_.op<AddOp>(counted, g_.integer(static_cast<int32_t>(c_.padding)));
  }
  return g_.embedding(places, c_.prefix + c_.names.positions + ".weight", c_.positions, c_.hidden);
}

/// The vectors of token types; the table's only row where there is one type.
Result<Value> EncoderGraph::types() {
  std::string table = c_.prefix + c_.names.types + ".weight";
  if (c_.types > 1)
    return g_.embedding(g_.input(2), table, c_.types, c_.hidden);
  return g_.matrix(table, {1, c_.hidden});
}

Result<Value> EncoderGraph::embeddings() {
  g_.at("embeddings");
  TRANSOM_ASSIGN(Value sum,
                 g_.embedding(g_.input(0), c_.prefix + c_.names.words + ".weight", c_.vocab, c_.hidden));
  if (!c_.names.types.empty()) {
    TRANSOM_ASSIGN(Value kinds, types());
    sum = g_.op<AddOp>(sum, kinds);
  }
  TRANSOM_ASSIGN(Value places, positions());
  return norm(g_.op<AddOp>(sum, places), c_.prefix + c_.names.embeddingNorm);
}

Result<Value> EncoderGraph::attention(Value x, int64_t layer) {
  int64_t headDim = c_.hidden / c_.heads;
  auto heads = [&](const std::string &pattern) -> Result<Value> {
    TRANSOM_ASSIGN(Value all, g_.linear(x, name(pattern, layer), c_.hidden, c_.hidden, Bias::required));
    return g_.splitHeads(all, c_.heads, headDim);
  };
  TRANSOM_ASSIGN(Value query, heads(c_.names.query));
  TRANSOM_ASSIGN(Value key, heads(c_.names.key));
  TRANSOM_ASSIGN(Value value, heads(c_.names.value));
  double scale = 1 / std::sqrt(static_cast<double>(headDim));
  Value mixed = g_.attention(query, key, value, mask(), {.scale = scale});
  TRANSOM_ASSIGN(Value out, g_.linear(g_.mergeHeads(mixed, c_.hidden), name(c_.names.attentionOutput, layer),
                                      c_.hidden, c_.hidden, Bias::required));
  return norm(g_.op<AddOp>(out, x), name(c_.names.attentionNorm, layer));
}

Result<Value> EncoderGraph::feedForward(Value x, int64_t layer) {
  TRANSOM_ASSIGN(Value wide,
                 g_.linear(x, name(c_.names.up, layer), c_.hidden, c_.feedForward, Bias::required));
  TRANSOM_ASSIGN(Value active, g_.activation(wide, c_.activation));
  TRANSOM_ASSIGN(Value out,
                 g_.linear(active, name(c_.names.down, layer), c_.feedForward, c_.hidden, Bias::required));
  return norm(g_.op<AddOp>(out, x), name(c_.names.outputNorm, layer));
}

Status EncoderGraph::addHidden(Value x, const SentenceConfig &sentence) {
  std::string width = std::to_string(c_.hidden);
  g_.addResult({"last_hidden_state", g_.f32(), {"batch", "seq", width}}, x);
  if (sentence.pooling != Pooling::none) {
    g_.at("pooling");
    Value vectors = pool(g_, sentence.pooling, x, mask(), c_.hidden);
    if (sentence.normalize)
      vectors = normalizeRows(g_, vectors);
    g_.addResult({"sentence_embedding", g_.f32(), {"batch", width}}, vectors);
  } else if (!c_.names.pooler.empty() && g_.hasTensor(c_.prefix + c_.names.pooler + ".weight")) {
    g_.at("pooler");
    TRANSOM_ASSIGN(Value dense,
                   g_.linear(first(x), c_.prefix + c_.names.pooler, c_.hidden, c_.hidden, Bias::required));
    g_.addResult({"pooler_output", g_.f32(), {"batch", width}}, g_.op<TanhOp>(dense));
  }
  return {};
}

/// Of each row or token: dense, activation, norm, then the projection to scores.
Result<Value> EncoderGraph::scores(Value x) {
  const EncoderHead &head = c_.head;
  if (!head.dense.empty()) {
    TRANSOM_ASSIGN(Value dense, g_.linear(x, head.dense, c_.hidden, c_.hidden, Bias::required));
    TRANSOM_ASSIGN(x, g_.activation(dense, head.activation));
  }
  if (!head.norm.empty()) {
    TRANSOM_ASSIGN(x, norm(x, head.norm));
  }
  if (head.kind != EncoderHead::Kind::words)
    return g_.linear(x, head.output, c_.hidden, std::ssize(c_.labels), Bias::required);
  TRANSOM_ASSIGN(Value scores, g_.linear(x, c_.tiedHead ? c_.prefix + c_.names.words : head.output, c_.hidden,
                                         c_.vocab, Bias::none));
  TRANSOM_ASSIGN(Value bias, g_.vector(head.outputBias, c_.vocab));
  return g_.op<AddOp>(scores, bias);
}

Status EncoderGraph::addScores(Value x) {
  g_.at("head");
  bool perRow = c_.head.kind == EncoderHead::Kind::sequence;
  TRANSOM_ASSIGN(Value logits, scores(perRow ? first(x) : x));
  std::vector<std::string> dims = {"batch"};
  if (!perRow)
    dims.push_back("seq");
  dims.push_back(std::to_string(c_.head.kind == EncoderHead::Kind::words ? c_.vocab : std::ssize(c_.labels)));
  g_.addResult({"logits", g_.f32(), std::move(dims)}, logits);
  return {};
}

Status EncoderGraph::addMaskedScores() {
  std::vector<Port> ports = inputs(c_, *g_.i32().getContext());
  ports.push_back({"masked_positions", g_.i32(), {"masks"}}); // row * seq + position of each
  g_.start("masked", ports);
  TRANSOM_ASSIGN(Value x, hiddenStates());
  g_.at("head");
  Value chosen = g_.op<EmbeddingOp>(g_.reshape(x, {-1, c_.hidden}), g_.input(ports.size() - 1), TypeAttr());
  TRANSOM_ASSIGN(Value logits, scores(chosen));
  g_.addResult({"logits", g_.f32(), {"masks", std::to_string(c_.vocab)}}, logits);
  return {};
}

std::string EncoderGraph::tensorNames() const {
  const EncoderNames &n = c_.names;
  std::vector<std::string> all;
  for (const std::string &name : {n.words, n.positions, n.types, n.embeddingNorm, n.query, n.key, n.value,
                                  n.attentionOutput, n.attentionNorm, n.up, n.down, n.outputNorm, n.pooler})
    if (!name.empty())
      all.push_back(c_.prefix + name);
  for (const std::string &name : {c_.head.dense, c_.head.norm, c_.head.output, c_.head.outputBias})
    if (!name.empty())
      all.push_back(name);
  return listed(all);
}

Result<Value> EncoderGraph::hiddenStates() {
  TRANSOM_ASSIGN(Value x, embeddings());
  for (int64_t i = 0; i < c_.layers; ++i) {
    g_.at(fmt::format("encoder.layer.{}.attention", i));
    TRANSOM_ASSIGN(Value mixed, attention(x, i));
    g_.at(fmt::format("encoder.layer.{}.feed_forward", i));
    TRANSOM_ASSIGN(x, feedForward(mixed, i));
  }
  return x;
}

Status EncoderGraph::build(const SentenceConfig &sentence) {
  TRANSOM_ASSIGN(Value x, hiddenStates());
  TRANSOM_RETURN_IF_ERROR(c_.head.kind == EncoderHead::Kind::hidden ? addHidden(x, sentence) : addScores(x));
  if (c_.head.kind == EncoderHead::Kind::words)
    TRANSOM_RETURN_IF_ERROR(addMaskedScores());
  return g_.checkAllUsed(c_.ignored, tensorNames());
}

const char *nameOf(EncoderHead::Kind kind) {
  switch (kind) {
  case EncoderHead::Kind::hidden:
    return "hidden_states";
  case EncoderHead::Kind::sequence:
    return "sequence_classification";
  case EncoderHead::Kind::token:
    return "token_classification";
  case EncoderHead::Kind::words:
    return "masked_lm";
  }
  llvm_unreachable("every head has a name");
}

/// What the runtime and people ask an artifact.
ModelInfo describe(const EncoderConfig &c, const HfFolder &folder, const SentenceConfig &sentence,
                   const ContextBounds &bounds) {
  ModelInfo info;
  info.model = folder.name;
  info.architecture = c.architecture;
  bool embeds = c.head.kind == EncoderHead::Kind::hidden && sentence.pooling != Pooling::none;
  info.task = embeds ? "embed" : "run";
  info.bounds["batch"] = {1, bounds.batch};
  info.bounds["seq"] = {1, bounds.seq};
  if (c.head.kind == EncoderHead::Kind::words)
    info.bounds["masks"] = {1, bounds.seq};
  info.metadata["source"] = "huggingface";
  info.metadata["max_sequence_length"] = std::to_string(bounds.seq);
  info.metadata["head"] = embeds ? "sentence_embedding" : nameOf(c.head.kind);
  if (!c.labels.empty())
    info.metadata["labels"] = nlohmann::json(c.labels).dump();
  if (!c.scoreFunction.empty())
    info.metadata["score_function"] = c.scoreFunction;
  if (embeds) {
    info.metadata["embedding_dim"] = std::to_string(c.hidden);
    info.metadata["pooling"] = name(sentence.pooling);
    info.metadata["normalize"] = sentence.normalize ? "true" : "false";
  }
  return info;
}

} // namespace

int64_t longestRow(const EncoderConfig &c) {
  // Positions count from behind the one that stands for padding.
  return c.rule == Positions::byPlace ? c.positions : c.positions - c.padding - 1;
}

Result<OwningOpRef<ModuleOp>> buildEncoder(const EncoderConfig &config, const HfFolder &folder,
                                           const ImportOptions &options, MLIRContext &context) {
  TRANSOM_RETURN_IF_ERROR(checkConfig(config));
  TRANSOM_ASSIGN(SentenceConfig sentence, readSentenceConfig(folder.path));
  if (sentence.pooling != Pooling::none && config.head.kind != EncoderHead::Kind::hidden)
    return error(StatusCode::unsupported,
                 "{}: expected an encoder without a head beside modules.json, found one for {}", config.where,
                 nameOf(config.head.kind));
  int64_t longest = longestRow(config);
  TRANSOM_ASSIGN(ContextBounds bounds,
                 contextBounds(options, std::min(longest, sentence.maxTokens.value_or(longest)), 16));
  EncoderGraph graph(config, folder.tensors, context);
  TRANSOM_RETURN_IF_ERROR(graph.build(sentence).within(config.where));
  return graph.finish(describe(config, folder, sentence, bounds));
}

} // namespace transom
