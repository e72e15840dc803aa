// The tokenizer.* metadata of a GGUF file, gathered for specFromGguf. What it means is the tokenizer
// library's business.
#include "compiler/import/Importers.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <limits>

namespace transom {

namespace {

using Fields = tokenizer::GgufTokenizerFields;

Result<int32_t> tokenId(const GgufFile &file, std::string_view key) {
  TRANSOM_ASSIGN(int64_t id, file.integerOr(key, tokenizer::noToken));
  // Files mark "none" as the largest unsigned number.
  if (id == std::numeric_limits<uint32_t>::max())
    return tokenizer::noToken;
  if (id < tokenizer::noToken || id > std::numeric_limits<int32_t>::max())
    return error(StatusCode::invalidFile, "{}: metadata {}: {} is no token id", file.path(), key, id);
  return static_cast<int32_t>(id);
}

Result<Fields::Flag> flag(const GgufFile &file, std::string_view key) {
  if (!file.has(key))
    return Fields::Flag::absent;
  TRANSOM_ASSIGN(bool on, file.boolean(key));
  return on ? Fields::Flag::on : Fields::Flag::off;
}

Status readArrays(const GgufFile &file, Fields &fields) {
  TRANSOM_ASSIGN(std::vector<std::string_view> tokens, file.strings("tokenizer.ggml.tokens"));
  fields.tokens.assign(tokens.begin(), tokens.end());
  if (file.has("tokenizer.ggml.token_type")) {
    TRANSOM_ASSIGN(std::vector<int64_t> types, file.integers("tokenizer.ggml.token_type"));
    for (int64_t type : types)
      // Anything that is no type stays none when cut to its width.
      fields.tokenTypes.push_back(static_cast<int32_t>(std::clamp<int64_t>(type, -1, 255)));
  }
  if (file.has("tokenizer.ggml.merges")) {
    TRANSOM_ASSIGN(std::vector<std::string_view> merges, file.strings("tokenizer.ggml.merges"));
    fields.merges.assign(merges.begin(), merges.end());
  }
  return {};
}

Status readIdsAndFlags(const GgufFile &file, Fields &fields) {
  TRANSOM_ASSIGN(fields.bosId, tokenId(file, "tokenizer.ggml.bos_token_id"));
  TRANSOM_ASSIGN(fields.eosId, tokenId(file, "tokenizer.ggml.eos_token_id"));
  TRANSOM_ASSIGN(fields.unknownId, tokenId(file, "tokenizer.ggml.unknown_token_id"));
  TRANSOM_ASSIGN(fields.padId, tokenId(file, "tokenizer.ggml.padding_token_id"));
  TRANSOM_ASSIGN(fields.clsId, tokenId(file, "tokenizer.ggml.cls_token_id"));
  // Writers have spelled it both ways.
  TRANSOM_ASSIGN(fields.sepId, tokenId(file, file.has("tokenizer.ggml.seperator_token_id")
                                                 ? "tokenizer.ggml.seperator_token_id"
                                                 : "tokenizer.ggml.separator_token_id"));
  TRANSOM_ASSIGN(fields.addBos, flag(file, "tokenizer.ggml.add_bos_token"));
  TRANSOM_ASSIGN(fields.addEos, flag(file, "tokenizer.ggml.add_eos_token"));
  TRANSOM_ASSIGN(fields.addSpacePrefix, flag(file, "tokenizer.ggml.add_space_prefix"));
  return {};
}

} // namespace

Result<std::optional<tokenizer::TokenizerSpec>> ggufTokenizer(const GgufFile &file) {
  if (!file.has("tokenizer.ggml.model"))
    return std::optional<tokenizer::TokenizerSpec>();
  Fields fields;
  fields.fileName = file.path();
  TRANSOM_ASSIGN(std::string_view model, file.string("tokenizer.ggml.model"));
  TRANSOM_ASSIGN(std::string_view pre, file.stringOr("tokenizer.ggml.pre", ""));
  TRANSOM_ASSIGN(std::string_view chatTemplate, file.stringOr("tokenizer.chat_template", ""));
  fields.model = model;
  fields.pre = pre;
  fields.chatTemplate = chatTemplate;
  TRANSOM_RETURN_IF_ERROR(readArrays(file, fields));
  TRANSOM_RETURN_IF_ERROR(readIdsAndFlags(file, fields));
  TRANSOM_ASSIGN(tokenizer::TokenizerSpec spec, specFromGguf(fields));
  TRANSOM_RETURN_IF_ERROR(tokenizer::Tokenizer::create(spec).status().within(file.path()));
  return std::optional(std::move(spec));
}

} // namespace transom
