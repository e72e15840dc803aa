// Hugging Face's RoBERTa and XLM-R (Liu et al., RoBERTa, 2019; Conneau et al., XLM-R, 2020): BERT's graph,
// with positions that count valid tokens. transformers counts tokens that are not `pad_token_id`, here the
// mask counts: the same for any padding that the mask leaves out. Defaults are those of transformers'
// RobertaConfig.
#include "compiler/import/HfEncoder.h"

using namespace mlir;

namespace transom {

namespace {

bool isIgnored(llvm::StringRef name) {
  return name.ends_with("embeddings.position_ids") || name.ends_with("embeddings.token_type_ids") ||
         name.starts_with("pooler.dense.") || name.starts_with("roberta.pooler.dense.") ||
         name.starts_with("lm_head.decoder.");
}

} // namespace

Result<OwningOpRef<ModuleOp>> importHfRoberta(const HfFolder &folder, const ImportOptions &options,
                                              MLIRContext &context) {
  EncoderConfig config;
  config.architecture = llvm::StringRef(folder.architecture).starts_with("XLM") ? "xlm-roberta" : "roberta";
  config.names = hfBertNames;
  config.ignored = isIgnored;
  config.rule = Positions::byMask;
  TRANSOM_RETURN_IF_ERROR(readHfEncoder(folder.config, config));
  TRANSOM_ASSIGN(config.padding, folder.config.integerOr("pad_token_id", 1));
  if (config.padding < 0 || config.padding >= config.positions)
    return error(StatusCode::invalidFile, "{}: field pad_token_id: expected 0 to {}, found {}", config.where,
                 config.positions - 1, config.padding);
  using Kind = EncoderHead::Kind;
  const HfHeads heads = {
      {Kind::sequence, "classifier.dense", "tanh", "", "classifier.out_proj", ""},
      {Kind::token, "", "", "", "classifier", ""},
      {Kind::words, "lm_head.dense", "gelu", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"}};
  TRANSOM_RETURN_IF_ERROR(readHfHead(folder, "roberta.", heads, config));
  return buildEncoder(config, folder, options, context);
}

} // namespace transom
