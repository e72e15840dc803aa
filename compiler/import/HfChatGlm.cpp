// ChatGLM2 and ChatGLM3 under their own checkpoint names (Du et al., GLM, 2022; GLM team, ChatGLM, 2024), as
// their published code runs them: everything is [seq, batch, ...] from the embedding to the logits, caches
// are [past, batch, kv_heads, head_dim], and attention sits behind permutations. Half of each head turns, in
// pairs of neighbours. The quantised and the prefix-tuned variants are not read.
#include "compiler/import/HfDecoder.h"

using namespace mlir;

namespace transom {

namespace {

struct ChatGlmConfig : DecoderSizes {
  bool normIsRms = true, residualBehindNorm = false, finalNorm = true, tiedHead = false;
  Bias projectionBias = Bias::none, otherBias = Bias::none;
};

constexpr const char *tensorNames =
    "transformer.embedding.word_embeddings, transformer.encoder.layers.N.{input_layernorm,"
    "self_attention.query_key_value,self_attention.dense,post_attention_layernorm,mlp.dense_h_to_4h,"
    "mlp.dense_4h_to_h}, transformer.encoder.final_layernorm, transformer.output_layer";

bool isFrequencies(llvm::StringRef name) { return name == "transformer.rotary_pos_emb.inv_freq"; }

/// Settings with one supported value, which is what the published checkpoints have.
Status checkFixed(const JsonObject &json) {
  using Fixed = std::pair<const char *, nlohmann::json>;
  for (const auto &[field, value] :
       {Fixed("original_rope", true), Fixed("rope_ratio", 1), Fixed("pre_seq_len", nullptr),
        Fixed("prefix_projection", false), Fixed("quantization_bit", 0)})
    TRANSOM_RETURN_IF_ERROR(json.expect(field, value));
  return {};
}

Result<ChatGlmConfig> readConfig(const JsonObject &json) {
  ChatGlmConfig c;
  c.where = json.where();
  c.caches = CacheOrder::pastBatchHeads;
  TRANSOM_RETURN_IF_ERROR(checkFixed(json));
  TRANSOM_ASSIGN(c.layers, json.integer("num_layers"));
  TRANSOM_ASSIGN(c.hidden, json.integer("hidden_size"));
  TRANSOM_ASSIGN(c.heads, json.integer("num_attention_heads"));
  TRANSOM_ASSIGN(c.headDim, json.integer("kv_channels"));
  TRANSOM_ASSIGN(c.feedForward, json.integer("ffn_hidden_size"));
  TRANSOM_ASSIGN(c.vocab, json.integer("padded_vocab_size"));
  TRANSOM_ASSIGN(c.contextLength, json.integer("seq_length"));
  TRANSOM_ASSIGN(c.epsilon, json.numberOr("layernorm_epsilon", 1e-5));
  TRANSOM_ASSIGN(c.kvHeads, json.integerOr("multi_query_group_num", 1));
  TRANSOM_ASSIGN(bool grouped, json.booleanOr("multi_query_attention", false));
  if (!grouped)
    return error(StatusCode::unsupported,
                 "{}: field multi_query_attention: expected true, found false, which orders the rows of "
                 "query_key_value by head",
                 c.where);
  TRANSOM_ASSIGN(c.normIsRms, json.booleanOr("rmsnorm", true));
  TRANSOM_ASSIGN(c.residualBehindNorm, json.booleanOr("apply_residual_connection_post_layernorm", false));
  TRANSOM_ASSIGN(c.finalNorm, json.booleanOr("post_layer_norm", true));
  TRANSOM_ASSIGN(c.tiedHead, json.booleanOr("tie_word_embeddings", false));
  TRANSOM_ASSIGN(bool bias, json.booleanOr("add_bias_linear", false));
  TRANSOM_ASSIGN(bool projectionBias, json.booleanOr("add_qkv_bias", false));
  c.otherBias = bias ? Bias::required : Bias::none;
  c.projectionBias = bias || projectionBias ? Bias::required : Bias::none;
  TRANSOM_RETURN_IF_ERROR(checkSizes(c));
  if (c.headDim % 4 != 0)
    return error(
        StatusCode::invalidFile,
        "{}: field kv_channels: expected a multiple of 4, as half of each head turns in pairs, found {}",
        c.where, c.headDim);
  return c;
}

class ChatGlmGraph : public DecoderGraph {
public:
  ChatGlmGraph(const ChatGlmConfig &config, const TensorSource &tensors, MLIRContext &context)
      : DecoderGraph(config, tensors, context), c_(config) {}

private:
  Result<Value> embed() override;
  Result<Value> layer(Value x, int64_t layer) override;
  Result<Value> logits(Value x) override;
  Status checkTensors() const override { return g_.checkAllUsed(isFrequencies, tensorNames); }

  Result<Value> attention(Value x, int64_t layer, const std::string &name);
  Result<Value> feedForward(Value x, const std::string &name);
  Result<Value> norm(Value x, const std::string &name) {
    return c_.normIsRms ? g_.rmsNorm(x, name, c_.hidden, c_.epsilon)
                        : g_.layerNorm(x, name, c_.hidden, c_.epsilon);
  }
  /// Heads [seq, batch, heads, head_dim] turned by their positions.
  Value rotary(Value heads) {
    return g_.op<RotaryOp>(heads, turned_, /*factors=*/Value(), HeadLayout::bshd,
                           static_cast<uint64_t>(c_.headDim / 2), llvm::APFloat(10000.0), llvm::APFloat(1.0),
                           /*interleaved=*/true);
  }

  const ChatGlmConfig &c_;
  Value turned_; ///< positions [seq, batch]
};

Result<Value> ChatGlmGraph::embed() {
  TRANSOM_ASSIGN(Value words,
                 g_.embedding(ids(), "transformer.embedding.word_embeddings.weight", c_.vocab, c_.hidden));
  turned_ = g_.transpose(positions(), {1, 0});
  return g_.transpose(words, {1, 0, 2});
}

Result<Value> ChatGlmGraph::attention(Value x, int64_t layer, const std::string &name) {
  g_.at(fmt::format("layers.{}.attention", layer));
  int64_t width = c_.heads * c_.headDim, kvWidth = c_.kvHeads * c_.headDim;
  TRANSOM_ASSIGN(Value all,
                 g_.linear(x, name + ".query_key_value", c_.hidden, width + 2 * kvWidth, c_.projectionBias));
  auto heads = [&](int64_t start, int64_t count) {
    return g_.reshape(g_.slice(all, 2, start, count * c_.headDim), {0, 0, count, c_.headDim});
  };
  Value query = rotary(heads(0, c_.heads));
  Value key = extend(layer, Part::key, rotary(heads(width, c_.kvHeads)));
  Value value = extend(layer, Part::value, heads(width + kvWidth, c_.kvHeads));
  auto toAttention = [&](Value x) { return g_.transpose(x, {1, 2, 0, 3}); }; // [batch, heads, seq, head_dim]
  query = toAttention(query);
  key = toAttention(key);
  value = toAttention(value);
  Value mixed = attend(query, key, value, usualScale());
  Value merged = g_.reshape(g_.transpose(mixed, {2, 0, 1, 3}), {0, 0, width});
  return g_.linear(merged, name + ".dense", width, c_.hidden, c_.otherBias);
}

Result<Value> ChatGlmGraph::feedForward(Value x, const std::string &name) {
  TRANSOM_ASSIGN(Value both,
                 g_.linear(x, name + ".dense_h_to_4h", c_.hidden, 2 * c_.feedForward, c_.otherBias));
  Value gate = g_.slice(both, 2, 0, c_.feedForward);
  Value up = g_.slice(both, 2, c_.feedForward, c_.feedForward);
  return g_.linear(g_.op<MulOp>(g_.op<SiluOp>(gate), up), name + ".dense_4h_to_h", c_.feedForward, c_.hidden,
                   c_.otherBias);
}

Result<Value> ChatGlmGraph::layer(Value x, int64_t layer) {
  std::string name = fmt::format("transformer.encoder.layers.{}", layer);
  TRANSOM_ASSIGN(Value normed, norm(x, name + ".input_layernorm"));
  TRANSOM_ASSIGN(Value mixed, attention(normed, layer, name + ".self_attention"));
  x = g_.op<AddOp>(c_.residualBehindNorm ? normed : x, mixed);
  TRANSOM_ASSIGN(Value again, norm(x, name + ".post_attention_layernorm"));
  g_.at(fmt::format("layers.{}.feed_forward", layer));
  TRANSOM_ASSIGN(Value fed, feedForward(again, name + ".mlp"));
  return g_.op<AddOp>(c_.residualBehindNorm ? again : x, fed);
}

Result<Value> ChatGlmGraph::logits(Value x) {
  if (c_.finalNorm) {
    TRANSOM_ASSIGN(x, norm(x, "transformer.encoder.final_layernorm"));
  }
  const char *head = c_.tiedHead ? "transformer.embedding.word_embeddings" : "transformer.output_layer";
  TRANSOM_ASSIGN(Value scores, g_.linear(x, head, c_.hidden, c_.vocab, Bias::none));
  return g_.transpose(scores, {1, 0, 2});
}

} // namespace

Result<OwningOpRef<ModuleOp>> importHfChatGlm(const HfFolder &folder, const ImportOptions &options,
                                              MLIRContext &context) {
  TRANSOM_ASSIGN(ChatGlmConfig config, readConfig(folder.config));
  TRANSOM_ASSIGN(ModelInfo info, readHfDecoderInfo(folder, "chatglm"));
  return ChatGlmGraph(config, folder.tensors, context).build(std::move(info), options);
}

} // namespace transom
