// See HfEncoder.h.
#include "compiler/import/HfEncoder.h"

namespace transom {

namespace {

/// Names of labels, from id2label or as transformers makes them up.
Result<std::vector<std::string>> readLabels(const JsonObject &config) {
  if (!config.has("id2label")) {
    TRANSOM_ASSIGN(int64_t count, config.integerOr("num_labels", 2));
    if (count < 1 || count > maxModelSize)
      return error(StatusCode::invalidFile, "{}: field num_labels: expected 1 to {}, found {}",
                   config.where(), maxModelSize, count);
    std::vector<std::string> labels;
    for (int64_t i = 0; i < count; ++i)
      labels.push_back(fmt::format("LABEL_{}", i));
    return labels;
  }
  TRANSOM_ASSIGN(JsonObject names, config.object("id2label"));
  std::vector<std::string> labels;
  for (size_t i = 0; i < names.json().size(); ++i) {
    TRANSOM_ASSIGN(std::string label, names.string(std::to_string(i)));
    labels.push_back(printable(label));
  }
  if (labels.empty())
    return error(StatusCode::invalidFile, "{}: expected a label, found none", names.where());
  return labels;
}

/// The activation that sentence-transformers' CrossEncoder was saved with; empty where the folder is none of its.
Result<std::string> readCrossEncoderActivation(const JsonObject &config) {
  if (!config.has("sentence_transformers"))
    return config.stringOr("sbert_ce_default_activation_function", "");
  TRANSOM_ASSIGN(JsonObject settings, config.object("sentence_transformers"));
  return settings.stringOr("activation_fn", "");
}

/// What makes scores of a classifier's logits: transformers' rules for `problem_type`; with one label, CrossEncoder's first.
Result<std::string> readScoreFunction(const JsonObject &config, size_t labels) {
  TRANSOM_ASSIGN(std::string activation, readCrossEncoderActivation(config));
  if (labels == 1 && !activation.empty()) {
    std::string_view name = std::string_view(activation).substr(activation.rfind('.') + 1);
    if (name != "Identity" && name != "Sigmoid")
      return error(StatusCode::unsupported, "{}: activation of a cross-encoder: expected Identity or Sigmoid, found {}", config.where(),
                   activation);
    return std::string(name == "Sigmoid" ? "sigmoid" : "none");
  }
  TRANSOM_ASSIGN(std::string type, config.stringOr("problem_type", "single_label_classification"));
  if (type == "regression")
    return std::string("none");
  if (type == "multi_label_classification")
    return std::string("sigmoid");
  if (type == "single_label_classification")
    return std::string(labels == 1 ? "sigmoid" : "softmax");
  return error(StatusCode::unsupported,
               "{}: field problem_type: expected regression, single_label_classification or multi_label_classification, found {}",
               config.where(), type);
}

} // namespace

const EncoderNames hfBertNames = {"embeddings.word_embeddings",
                                  "embeddings.position_embeddings",
                                  "embeddings.token_type_embeddings",
                                  "embeddings.LayerNorm",
                                  "encoder.layer.{}.attention.self.query",
                                  "encoder.layer.{}.attention.self.key",
                                  "encoder.layer.{}.attention.self.value",
                                  "encoder.layer.{}.attention.output.dense",
                                  "encoder.layer.{}.attention.output.LayerNorm",
                                  "encoder.layer.{}.intermediate.dense",
                                  "encoder.layer.{}.output.dense",
                                  "encoder.layer.{}.output.LayerNorm",
                                  "pooler.dense"};

Status readHfHead(const HfFolder &folder, std::string_view prefix, const HfHeads &heads, EncoderConfig &out) {
  llvm::StringRef architecture = folder.architecture;
  if (architecture.ends_with("ForSequenceClassification"))
    out.head = heads.sequence;
  else if (architecture.ends_with("ForTokenClassification"))
    out.head = heads.token;
  else if (architecture.ends_with("ForMaskedLM"))
    out.head = heads.words;
  if (folder.tensors.find(fmt::format("{}{}.weight", prefix, out.names.words)))
    out.prefix = prefix;
  TRANSOM_ASSIGN(out.tiedHead, folder.config.booleanOr("tie_word_embeddings", true));
  if (out.head.kind == EncoderHead::Kind::sequence || out.head.kind == EncoderHead::Kind::token) {
    TRANSOM_ASSIGN(out.labels, readLabels(folder.config));
  }
  if (out.head.kind == EncoderHead::Kind::sequence) {
    TRANSOM_ASSIGN(out.scoreFunction, readScoreFunction(folder.config, out.labels.size()));
  }
  return {};
}

Status readHfEncoder(const JsonObject &config, EncoderConfig &out) {
  out.where = config.where();
  TRANSOM_ASSIGN(out.layers, config.integer("num_hidden_layers"));
  TRANSOM_ASSIGN(out.hidden, config.integer("hidden_size"));
  TRANSOM_ASSIGN(out.heads, config.integer("num_attention_heads"));
  TRANSOM_ASSIGN(out.feedForward, config.integer("intermediate_size"));
  TRANSOM_ASSIGN(out.vocab, config.integer("vocab_size"));
  TRANSOM_ASSIGN(out.positions, config.integerOr("max_position_embeddings", 512));
  TRANSOM_ASSIGN(out.types, config.integerOr("type_vocab_size", 2));
  TRANSOM_ASSIGN(out.epsilon, config.numberOr("layer_norm_eps", 1e-12));
  TRANSOM_ASSIGN(out.activation, config.stringOr("hidden_act", "gelu"));
  TRANSOM_RETURN_IF_ERROR(config.expect("position_embedding_type", "absolute"));
  TRANSOM_RETURN_IF_ERROR(config.expect("is_decoder", false));
  return config.expect("add_cross_attention", false);
}

} // namespace transom
