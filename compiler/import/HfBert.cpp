// Hugging Face's BertModel (Devlin et al., BERT, 2018), alone or as the encoder of a sentence-transformers
// model. The pooler, which neither uses, is left out. Defaults are those of transformers' BertConfig.
#include "compiler/import/SentencePooling.h"

#include <cmath>

using namespace mlir;

namespace transom {

namespace {

constexpr int64_t maxSize = 1 << 24;

struct BertConfig {
  std::string where;
  int64_t layers = 0, hidden = 0, heads = 0, feedForward = 0, vocab = 0, positions = 0, types = 0;
  double epsilon = 0;
  std::string activation;
};

constexpr const char *tensorNames =
    "embeddings.{word_embeddings,position_embeddings,token_type_embeddings,LayerNorm}, "
    "encoder.layer.N.attention.self.{query,key,value}, encoder.layer.N.attention.output.{dense,LayerNorm}, "
    "encoder.layer.N.intermediate.dense, encoder.layer.N.output.{dense,LayerNorm}, pooler.dense (not used)";

bool isIgnored(llvm::StringRef name) {
  return name == "embeddings.position_ids" || name == "embeddings.token_type_ids" ||
         name.starts_with("pooler.dense.");
}

Result<BertConfig> readConfig(const JsonObject &json) {
  BertConfig c;
  c.where = json.where();
  TRANSOM_ASSIGN(c.layers, json.integer("num_hidden_layers"));
  TRANSOM_ASSIGN(c.hidden, json.integer("hidden_size"));
  TRANSOM_ASSIGN(c.heads, json.integer("num_attention_heads"));
  TRANSOM_ASSIGN(c.feedForward, json.integer("intermediate_size"));
  TRANSOM_ASSIGN(c.vocab, json.integer("vocab_size"));
  TRANSOM_ASSIGN(c.positions, json.integerOr("max_position_embeddings", 512));
  TRANSOM_ASSIGN(c.types, json.integerOr("type_vocab_size", 2));
  TRANSOM_ASSIGN(c.epsilon, json.numberOr("layer_norm_eps", 1e-12));
  TRANSOM_ASSIGN(c.activation, json.stringOr("hidden_act", "gelu"));
  TRANSOM_ASSIGN(std::string positions, json.stringOr("position_embedding_type", "absolute"));
  if (positions != "absolute")
    return error(StatusCode::unsupported,
                 "{}: position_embedding_type '{}' is not supported; supported: absolute", c.where,
                 printable(positions));
  for (const char *field : {"is_decoder", "add_cross_attention"}) {
    TRANSOM_ASSIGN(bool on, json.booleanOr(field, false));
    if (on)
      return error(StatusCode::unsupported, "{}: {} is not supported: BertModel is imported as an encoder",
                   c.where, field);
  }
  for (auto [what, value] : {std::pair("num_hidden_layers", c.layers),
                             {"hidden_size", c.hidden},
                             {"num_attention_heads", c.heads},
                             {"intermediate_size", c.feedForward},
                             {"vocab_size", c.vocab},
                             {"max_position_embeddings", c.positions},
                             {"type_vocab_size", c.types}})
    if (value < 1 || value > maxSize)
      return error(StatusCode::invalidFile, "{}: {}: expected 1 to {}, found {}", c.where, what, maxSize,
                   value);
  if (c.hidden % c.heads != 0)
    return error(StatusCode::invalidFile, "{}: {} heads do not divide the hidden size {}", c.where, c.heads,
                 c.hidden);
  if (!std::isfinite(c.epsilon) || c.epsilon <= 0)
    return error(StatusCode::invalidFile, "{}: layer_norm_eps: expected a positive number, found {}", c.where,
                 c.epsilon);
  return c;
}

class BertGraph {
public:
  BertGraph(const BertConfig &config, const TensorSource &tensors, MLIRContext &context)
      : c_(config), g_(context, tensors, inputs(context)) {}

  Status build(const SentenceConfig &sentence);
  Result<OwningOpRef<ModuleOp>> finish(const ModelInfo &info) { return g_.finish(info); }

private:
  static std::vector<Port> inputs(MLIRContext &context) {
    Type i32 = IntegerType::get(&context, 32);
    return {{"input_ids", i32, {"batch", "seq"}},
            {"attention_mask", i32, {"batch", "seq"}},
            {"token_type_ids", i32, {"batch", "seq"}}};
  }
  Result<Value> embeddings();
  Result<Value> attention(Value x, const std::string &layer);
  Result<Value> feedForward(Value x, const std::string &layer);
  Result<Value> addAndNorm(Value x, Value residual, const std::string &name) {
    return g_.layerNorm(g_.op<AddOp>(x, residual), name, c_.hidden, c_.epsilon);
  }

  const BertConfig &c_;
  GraphBuilder g_;
};

Result<Value> BertGraph::embeddings() {
  g_.at("embeddings");
  Value ids = g_.input(0);
  TRANSOM_ASSIGN(Value words, g_.embedding(ids, "embeddings.word_embeddings.weight", c_.vocab, c_.hidden));
  TRANSOM_ASSIGN(Value types,
                 g_.embedding(g_.input(2), "embeddings.token_type_embeddings.weight", c_.types, c_.hidden));
  Value places = g_.op<IotaOp>(ids, uint64_t(1));
  TRANSOM_ASSIGN(Value positions,
                 g_.embedding(places, "embeddings.position_embeddings.weight", c_.positions, c_.hidden));
  Value sum = g_.op<AddOp>(g_.op<AddOp>(words, types), positions);
  return g_.layerNorm(sum, "embeddings.LayerNorm", c_.hidden, c_.epsilon);
}

Result<Value> BertGraph::attention(Value x, const std::string &layer) {
  g_.at(layer + ".attention");
  int64_t headDim = c_.hidden / c_.heads;
  std::string self = layer + ".attention.self.";
  TRANSOM_ASSIGN(Value query, g_.linear(x, self + "query", c_.hidden, c_.hidden, Bias::required));
  TRANSOM_ASSIGN(Value key, g_.linear(x, self + "key", c_.hidden, c_.hidden, Bias::required));
  TRANSOM_ASSIGN(Value value, g_.linear(x, self + "value", c_.hidden, c_.hidden, Bias::required));
  query = g_.splitHeads(query, c_.heads, headDim);
  key = g_.splitHeads(key, c_.heads, headDim);
  value = g_.splitHeads(value, c_.heads, headDim);
  llvm::APFloat scale(1 / std::sqrt(static_cast<double>(headDim)));
  Value mixed =
      g_.op<AttentionOp>(query, key, value, /*mask=*/g_.input(1), /*bias=*/Value(), /*past_lengths=*/Value(),
                         /*lengths=*/Value(), /*cumulative_lengths=*/Value(), HeadLayout::bhsd, scale,
                         /*causal=*/false, /*window=*/IntegerAttr(), /*softcap=*/FloatAttr());
  TRANSOM_ASSIGN(Value out, g_.linear(g_.mergeHeads(mixed, c_.hidden), layer + ".attention.output.dense",
                                      c_.hidden, c_.hidden, Bias::required));
  return addAndNorm(out, x, layer + ".attention.output.LayerNorm");
}

Result<Value> BertGraph::feedForward(Value x, const std::string &layer) {
  g_.at(layer + ".feed_forward");
  TRANSOM_ASSIGN(Value wide,
                 g_.linear(x, layer + ".intermediate.dense", c_.hidden, c_.feedForward, Bias::required));
  TRANSOM_ASSIGN(Value active, g_.activation(wide, c_.activation));
  TRANSOM_ASSIGN(Value out,
                 g_.linear(active, layer + ".output.dense", c_.feedForward, c_.hidden, Bias::required));
  return addAndNorm(out, x, layer + ".output.LayerNorm");
}

Status BertGraph::build(const SentenceConfig &sentence) {
  TRANSOM_ASSIGN(Value x, embeddings());
  for (int64_t i = 0; i < c_.layers; ++i) {
    std::string layer = fmt::format("encoder.layer.{}", i);
    TRANSOM_ASSIGN(Value mixed, attention(x, layer));
    TRANSOM_ASSIGN(x, feedForward(mixed, layer));
  }
  std::string width = std::to_string(c_.hidden);
  g_.addResult({"last_hidden_state", g_.f32(), {"batch", "seq", width}}, x);
  if (sentence.pooling != Pooling::none) {
    g_.at("pooling");
    Value vectors = pool(g_, sentence.pooling, x, g_.input(1), c_.hidden);
    if (sentence.normalize)
      vectors = normalizeRows(g_, vectors);
    g_.addResult({"sentence_embedding", g_.f32(), {"batch", width}}, vectors);
  }
  return g_.checkAllUsed(isIgnored, tensorNames);
}

} // namespace

Result<OwningOpRef<ModuleOp>> importHfBert(const HfFolder &folder, const ImportOptions &options,
                                           MLIRContext &context) {
  TRANSOM_ASSIGN(BertConfig config, readConfig(folder.config));
  TRANSOM_ASSIGN(SentenceConfig sentence, readSentenceConfig(folder.path));
  int64_t longest = std::min(config.positions, sentence.maxTokens.value_or(config.positions));
  TRANSOM_ASSIGN(ContextBounds bounds, contextBounds(options, longest, 16));
  BertGraph graph(config, folder.tensors, context);
  TRANSOM_RETURN_IF_ERROR(graph.build(sentence).within(config.where));

  ModelInfo info;
  info.model = folder.name;
  info.architecture = "bert";
  bool embeds = sentence.pooling != Pooling::none;
  info.task = embeds ? "embed" : "run";
  info.bounds["batch"] = {1, bounds.batch};
  info.bounds["seq"] = {1, bounds.seq};
  info.metadata["source"] = "huggingface";
  info.metadata["max_sequence_length"] = std::to_string(bounds.seq);
  if (embeds) {
    info.metadata["embedding_dim"] = std::to_string(config.hidden);
    info.metadata["pooling"] = name(sentence.pooling);
    info.metadata["normalize"] = sentence.normalize ? "true" : "false";
  }
  return graph.finish(info);
}

} // namespace transom
