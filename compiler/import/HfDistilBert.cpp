// Hugging Face's DistilBERT (Sanh et al., DistilBERT, 2019): BERT's graph without token types and pooler,
// under names of its own. Defaults are those of transformers' DistilBertConfig; its norms' epsilon is no
// setting.
#include "compiler/import/HfEncoder.h"

using namespace mlir;

namespace transom {

namespace {

const EncoderNames names = {"embeddings.word_embeddings",
                            "embeddings.position_embeddings",
                            "",
                            "embeddings.LayerNorm",
                            "transformer.layer.{}.attention.q_lin",
                            "transformer.layer.{}.attention.k_lin",
                            "transformer.layer.{}.attention.v_lin",
                            "transformer.layer.{}.attention.out_lin",
                            "transformer.layer.{}.sa_layer_norm",
                            "transformer.layer.{}.ffn.lin1",
                            "transformer.layer.{}.ffn.lin2",
                            "transformer.layer.{}.output_layer_norm",
                            ""};

bool isIgnored(llvm::StringRef name) {
  return name.ends_with("embeddings.position_ids") || name == "vocab_projector.weight";
}

/// Sinusoidal positions are written into the table when the model is made, so the setting changes nothing.
Status readConfig(const JsonObject &json, EncoderConfig &c) {
  c.where = json.where();
  c.architecture = "distilbert";
  c.names = names;
  c.ignored = isIgnored;
  c.types = 1;
  c.epsilon = 1e-12;
  TRANSOM_ASSIGN(c.layers, json.integerOr("n_layers", 6));
  TRANSOM_ASSIGN(c.hidden, json.integerOr("dim", 768));
  TRANSOM_ASSIGN(c.heads, json.integerOr("n_heads", 12));
  TRANSOM_ASSIGN(c.feedForward, json.integerOr("hidden_dim", 3072));
  TRANSOM_ASSIGN(c.vocab, json.integerOr("vocab_size", 30522));
  TRANSOM_ASSIGN(c.positions, json.integerOr("max_position_embeddings", 512));
  TRANSOM_ASSIGN(c.activation, json.stringOr("activation", "gelu"));
  return {};
}

} // namespace

Result<OwningOpRef<ModuleOp>> importHfDistilBert(const HfFolder &folder, const ImportOptions &options,
                                                 MLIRContext &context) {
  EncoderConfig config;
  TRANSOM_RETURN_IF_ERROR(readConfig(folder.config, config));
  using Kind = EncoderHead::Kind;
  const HfHeads heads = {{Kind::sequence, "pre_classifier", "relu", "", "classifier", ""},
                         {Kind::token, "", "", "", "classifier", ""},
                         {Kind::words, "vocab_transform", config.activation, "vocab_layer_norm",
                          "vocab_projector", "vocab_projector.bias"}};
  TRANSOM_RETURN_IF_ERROR(readHfHead(folder, "distilbert.", heads, config));
  return buildEncoder(config, folder, options, context);
}

} // namespace transom
