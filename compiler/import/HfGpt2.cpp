// Hugging Face's GPT2LMHeadModel (Radford et al., Language Models are Unsupervised Multitask Learners, 2019):
// norms before, learned positions, one weight for query, key and value, weights stored [in, out]. Defaults
// are those of transformers' GPT2Config.
#include "compiler/import/HfDecoder.h"

using namespace mlir;

namespace transom {

namespace {

struct Gpt2Config : DecoderSizes {
  std::string activation;
  std::string prefix; ///< of all tensors but the head
  bool scaled = true, scaledByLayer = false, tiedHead = true;
};

constexpr const char *tensorNames =
    "wte, wpe, h.N.ln_1, h.N.attn.{c_attn,c_proj}, h.N.ln_2, h.N.mlp.{c_fc,c_proj}, ln_f, lm_head";

/// Causal masks that old checkpoints carry.
bool isBuffer(llvm::StringRef name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}
bool isBufferOrHead(llvm::StringRef name) { return isBuffer(name) || name == "lm_head.weight"; }

Result<Gpt2Config> readConfig(const HfFolder &folder) {
  const JsonObject &json = folder.config;
  Gpt2Config c;
  c.where = json.where();
  TRANSOM_ASSIGN(c.layers, json.integerOr("n_layer", 12));
  TRANSOM_ASSIGN(c.hidden, json.integerOr("n_embd", 768));
  TRANSOM_ASSIGN(c.heads, json.integerOr("n_head", 12));
  TRANSOM_ASSIGN(c.vocab, json.integerOr("vocab_size", 50257));
  TRANSOM_ASSIGN(c.contextLength, json.integerOr("n_positions", 1024));
  TRANSOM_ASSIGN(c.epsilon, json.numberOr("layer_norm_epsilon", 1e-5));
  TRANSOM_ASSIGN(c.activation, json.stringOr("activation_function", "gelu_new"));
  TRANSOM_ASSIGN(c.scaled, json.booleanOr("scale_attn_weights", true));
  TRANSOM_ASSIGN(c.scaledByLayer, json.booleanOr("scale_attn_by_inverse_layer_idx", false));
  TRANSOM_ASSIGN(c.tiedHead, json.booleanOr("tie_word_embeddings", true));
  TRANSOM_RETURN_IF_ERROR(json.expect("add_cross_attention", false));
  TRANSOM_RETURN_IF_ERROR(json.expect("is_causal", true));
  c.kvHeads = c.heads;
  c.headDim = c.heads > 0 ? c.hidden / c.heads : 0;
  if (c.heads > 0 && c.hidden % c.heads != 0)
    return error(StatusCode::invalidFile, "{}: {} heads do not divide the hidden size {}", c.where, c.heads,
                 c.hidden);
  // Wide enough for any size that passes the check, and no wider.
  int64_t usual = 4 * std::clamp<int64_t>(c.hidden, 0, maxModelSize);
  TRANSOM_ASSIGN(c.feedForward, json.integerOr("n_inner", usual));
  if (folder.tensors.find("transformer.wte.weight"))
    c.prefix = "transformer.";
  return c;
}

class Gpt2Graph : public DecoderGraph {
public:
  Gpt2Graph(const Gpt2Config &config, const TensorSource &tensors, MLIRContext &context)
      : DecoderGraph(config, tensors, context), c_(config) {}

private:
  Result<Value> embed() override;
  Result<Value> layer(Value x, int64_t layer) override;
  Result<Value> logits(Value x) override;
  Status checkTensors() const override {
    return g_.checkAllUsed(c_.tiedHead ? isBufferOrHead : isBuffer, tensorNames);
  }

  Result<Value> attention(Value x, int64_t layer, const std::string &name);
  Result<Value> feedForward(Value x, const std::string &name);
  Result<Value> norm(Value x, const std::string &name) {
    return g_.layerNorm(x, name, c_.hidden, c_.epsilon);
  }
  /// x * W + b of "<name>.weight" [in, out], the order of the original TensorFlow code.
  Result<Value> projection(Value x, const std::string &name, int64_t in, int64_t out) {
    TRANSOM_ASSIGN(Value matrix, g_.weight(name + ".weight", {in, out}));
    TRANSOM_ASSIGN(Value bias, g_.vector(name + ".bias", out));
    return g_.op<AddOp>(g_.op<MatmulOp>(x, matrix, /*transpose_rhs=*/false), bias);
  }

  const Gpt2Config &c_;
};

Result<Value> Gpt2Graph::embed() {
  TRANSOM_ASSIGN(Value words, g_.embedding(ids(), c_.prefix + "wte.weight", c_.vocab, c_.hidden));
  TRANSOM_ASSIGN(Value places,
                 g_.embedding(positions(), c_.prefix + "wpe.weight", c_.contextLength, c_.hidden));
  return g_.op<AddOp>(words, places);
}

Result<Value> Gpt2Graph::attention(Value x, int64_t layer, const std::string &name) {
  g_.at(fmt::format("layers.{}.attention", layer));
  TRANSOM_ASSIGN(Value all, projection(x, name + ".c_attn", c_.hidden, 3 * c_.hidden));
  auto heads = [&](int64_t which) {
    return g_.splitHeads(g_.slice(all, 2, which * c_.hidden, c_.hidden), c_.heads, c_.headDim);
  };
  Value query = heads(0);
  Value key = extend(layer, Part::key, heads(1));
  Value value = extend(layer, Part::value, heads(2));
  double scale = c_.scaled ? usualScale() : 1;
  if (c_.scaledByLayer)
    scale /= static_cast<double>(layer + 1);
  Value mixed = attend(query, key, value, scale);
  return projection(g_.mergeHeads(mixed, c_.hidden), name + ".c_proj", c_.hidden, c_.hidden);
}

Result<Value> Gpt2Graph::feedForward(Value x, const std::string &name) {
  TRANSOM_ASSIGN(Value wide, projection(x, name + ".c_fc", c_.hidden, c_.feedForward));
  TRANSOM_ASSIGN(Value active, g_.activation(wide, c_.activation));
  return projection(active, name + ".c_proj", c_.feedForward, c_.hidden);
}

Result<Value> Gpt2Graph::layer(Value x, int64_t layer) {
  std::string name = fmt::format("{}h.{}", c_.prefix, layer);
  TRANSOM_ASSIGN(Value normed, norm(x, name + ".ln_1"));
  TRANSOM_ASSIGN(Value mixed, attention(normed, layer, name + ".attn"));
  x = g_.op<AddOp>(mixed, x);
  TRANSOM_ASSIGN(Value again, norm(x, name + ".ln_2"));
  g_.at(fmt::format("layers.{}.feed_forward", layer));
  TRANSOM_ASSIGN(Value fed, feedForward(again, name + ".mlp"));
  return g_.op<AddOp>(x, fed);
}

Result<Value> Gpt2Graph::logits(Value x) {
  TRANSOM_ASSIGN(Value last, norm(x, c_.prefix + "ln_f"));
  return g_.linear(last, c_.tiedHead ? c_.prefix + "wte" : "lm_head", c_.hidden, c_.vocab, Bias::none);
}

} // namespace

Result<OwningOpRef<ModuleOp>> importHfGpt2(const HfFolder &folder, const ImportOptions &options,
                                           MLIRContext &context) {
  TRANSOM_ASSIGN(Gpt2Config config, readConfig(folder));
  TRANSOM_RETURN_IF_ERROR(checkSizes(config));
  TRANSOM_ASSIGN(ModelInfo info, readHfDecoderInfo(folder, "gpt2"));
  return Gpt2Graph(config, folder.tensors, context).build(std::move(info), options);
}

} // namespace transom
