// Hugging Face's BERT (Devlin et al., BERT, 2018), alone, under a head, or as the encoder of a
// sentence-transformers model. Defaults are those of transformers' BertConfig. Next-sentence scores, which
// pre-training leaves in some files, are not read.
#include "compiler/import/HfEncoder.h"

using namespace mlir;

namespace transom {

namespace {

/// Buffers, the pooler where nothing asks for it, and what pre-training leaves behind.
bool isIgnored(llvm::StringRef name) {
  return name.ends_with("embeddings.position_ids") || name.ends_with("embeddings.token_type_ids") ||
         name.starts_with("pooler.dense.") || name.starts_with("bert.pooler.dense.") ||
         name.starts_with("cls.seq_relationship.") || name.starts_with("cls.predictions.decoder.");
}

} // namespace

Result<OwningOpRef<ModuleOp>> importHfBert(const HfFolder &folder, const ImportOptions &options,
                                           MLIRContext &context) {
  EncoderConfig config;
  config.architecture = "bert";
  config.names = hfBertNames;
  config.ignored = isIgnored;
  TRANSOM_RETURN_IF_ERROR(readHfEncoder(folder.config, config));
  using Kind = EncoderHead::Kind;
  std::string transform = "cls.predictions.transform.";
  const HfHeads heads = {{Kind::sequence, "bert.pooler.dense", "tanh", "", "classifier", ""},
                         {Kind::token, "", "", "", "classifier", ""},
                         {Kind::words, transform + "dense", config.activation, transform + "LayerNorm",
                          "cls.predictions.decoder", "cls.predictions.bias"}};
  TRANSOM_RETURN_IF_ERROR(readHfHead(folder, "bert.", heads, config));
  return buildEncoder(config, folder, options, context);
}

} // namespace transom
