// tokenizer.json and tokenizer_config.json: model, vocabulary, added tokens. Components are in TokenizerJsonSteps.
#include "runtime/tokenizer/Model.h"
#include "runtime/tokenizer/Spec.h"
#include "runtime/tokenizer/TokenizerJsonSteps.h"

namespace transom::tokenizer {

namespace {

constexpr int64_t maxTokenId = (1 << 24) - 1;

/// Unigram's list of tokens with their scores, by id.
void readScoredVocab(JsonReader &reader, const Json &model, TokenizerSpec &spec) {
  for (const Json &entry : reader.list(model, "vocab", "model")) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      return reader.invalid(fmt::format("model vocab {}", spec.vocab.size()), "expected a token and its score");
    spec.vocab.push_back(entry[0].get<std::string>());
    spec.scores.push_back(entry[1].get<double>());
  }
}

/// Tokens by id. Ids may leave gaps, but not so many that the table dwarfs the file.
std::vector<std::string> readVocab(JsonReader &reader, const Json &model) {
  const Json &vocab = reader.member(model, "vocab");
  std::vector<std::string> out;
  if (!vocab.is_object()) {
    reader.invalid("model vocab", fmt::format("expected an object, found {}", vocab.type_name()));
    return out;
  }
  int64_t limit = std::min<int64_t>(maxTokenId, static_cast<int64_t>(vocab.size()) * 4 + 65536);
  for (const auto &[token, value] : vocab.items()) {
    int64_t id = reader.number(value, "model vocab id", limit);
    if (!reader.ok())
      return out;
    if (static_cast<size_t>(id) >= out.size())
      out.resize(id + 1);
    if (!out[id].empty())
      reader.invalid("model vocab", fmt::format("tokens '{}' and '{}' share id {}", out[id], token, id));
    out[id] = token;
  }
  return out;
}

void readMerges(JsonReader &reader, const Json &model, const VocabIndex &vocab, std::vector<Merge> &out) {
  for (const Json &entry : reader.list(model, "merges", "model")) {
    if (!reader.ok())
      return;
    std::string left, right;
    if (entry.is_string()) {
      const std::string &line = entry.get_ref<const std::string &>();
      if (line.starts_with("#version"))
        continue;
      size_t space = line.find(' ');
      left = line.substr(0, space);
      right = space == std::string::npos ? std::string() : line.substr(space + 1);
    } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
      left = entry[0].get<std::string>();
      right = entry[1].get<std::string>();
    }
    Merge merge{vocab.find(left), vocab.find(right), vocab.find(left + right)};
    if (left.empty() || right.empty() || merge.left == noToken || merge.right == noToken || merge.result == noToken)
      return reader.invalid(fmt::format("model merge {}", out.size()),
                            fmt::format("expected two tokens that join to a token, found '{}' and '{}'", left, right));
    out.push_back(merge);
  }
}

int32_t findToken(JsonReader &reader, const VocabIndex &vocab, const std::string &token, std::string_view what) {
  int32_t id = token.empty() ? noToken : vocab.find(token);
  if (!token.empty() && id == noToken)
    reader.invalid("model", fmt::format("{} '{}' is not in the vocabulary", what, token));
  return id;
}

void readBpe(JsonReader &reader, const Json &model, TokenizerSpec &spec) {
  auto refuse = [&](const char *option) {
    reader.fail(StatusCode::unsupported, "model BPE",
                fmt::format("option {} is not supported; supported: unk_token, fuse_unk, ignore_merges, byte_fallback", option));
  };
  const Json &dropout = reader.member(model, "dropout");
  if (!dropout.is_null() && !(dropout.is_number() && dropout.get<double>() == 0.0))
    refuse("dropout");
  if (!reader.text(model, "continuing_subword_prefix", "model BPE").empty())
    refuse("continuing_subword_prefix");
  if (!reader.text(model, "end_of_word_suffix", "model BPE").empty())
    refuse("end_of_word_suffix");
  spec.model = ModelKind::bpe;
  spec.byteFallback = reader.flag(model, "byte_fallback", "model BPE", false);
  spec.fuseUnknown = reader.flag(model, "fuse_unk", "model BPE", false);
  spec.ignoreMerges = reader.flag(model, "ignore_merges", "model BPE", false);
  VocabIndex vocab(spec.vocab);
  spec.unknownId = findToken(reader, vocab, reader.text(model, "unk_token", "model BPE"), "unk_token");
  readMerges(reader, model, vocab, spec.merges);
}

void readWordPiece(JsonReader &reader, const Json &model, TokenizerSpec &spec) {
  spec.model = ModelKind::wordPiece;
  VocabIndex vocab(spec.vocab);
  spec.unknownId = findToken(reader, vocab, reader.text(model, "unk_token", "model WordPiece", "[UNK]"), "unk_token");
  spec.continuingPrefix = reader.text(model, "continuing_subword_prefix", "model WordPiece", "##");
  const Json &limit = reader.member(model, "max_input_chars_per_word");
  if (!limit.is_null())
    spec.maxCharsPerWord = static_cast<uint32_t>(
        reader.number(limit, "model WordPiece max_input_chars_per_word", std::numeric_limits<uint32_t>::max()));
}

void readUnigram(JsonReader &reader, const Json &model, TokenizerSpec &spec) {
  spec.model = ModelKind::unigram;
  readScoredVocab(reader, model, spec);
  const Json &unknown = reader.member(model, "unk_id");
  if (unknown.is_null())
    return reader.fail(StatusCode::unsupported, "model Unigram", "unk_id is missing; vocabularies without unknown token are not supported");
  spec.unknownId = static_cast<int32_t>(reader.number(unknown, "model Unigram unk_id", maxTokenId));
  spec.byteFallback = reader.flag(model, "byte_fallback", "model Unigram", false);
}

void readModel(JsonReader &reader, const Json &model, TokenizerSpec &spec) {
  std::string type = reader.text(model, "type", "model");
  if (type.empty()) // old files do not say; the members do
    type = !reader.member(model, "merges").is_null()                      ? "BPE"
           : !reader.member(model, "continuing_subword_prefix").is_null() ? "WordPiece"
                                                                          : "";
  if (type == "Unigram")
    return readUnigram(reader, model, spec);
  if (type != "BPE" && type != "WordPiece")
    return reader.fail(StatusCode::unsupported, "model",
                       fmt::format("type '{}' is not supported; supported: BPE, WordPiece, Unigram", type));
  spec.vocab = readVocab(reader, model);
  if (!reader.ok())
    return;
  if (type == "BPE")
    readBpe(reader, model, spec);
  else
    readWordPiece(reader, model, spec);
}

void readAddedTokens(JsonReader &reader, const Json &root, TokenizerSpec &spec) {
  if (reader.member(root, "added_tokens").is_null())
    return;
  VocabIndex vocab(spec.vocab);
  for (const Json &from : reader.list(root, "added_tokens", "added_tokens")) {
    AddedToken token;
    token.content = reader.requiredText(from, "content", "added token");
    if (token.content.empty())
      continue;
    std::string where = fmt::format("added token '{}'", token.content);
    token.id = vocab.find(token.content); // the model's own id wins over the declared one, as in the reference
    if (token.id == noToken) {
      token.id = static_cast<int32_t>(reader.number(reader.member(from, "id"), where, maxTokenId));
      if (static_cast<size_t>(token.id) < spec.vocab.size() && !spec.vocab[token.id].empty())
        reader.invalid(where, fmt::format("id {} belongs to token '{}'", token.id, spec.vocab[token.id]));
    }
    token.special = reader.flag(from, "special", where, false);
    token.singleWord = reader.flag(from, "single_word", where, false);
    token.lstrip = reader.flag(from, "lstrip", where, false);
    token.rstrip = reader.flag(from, "rstrip", where, false);
    token.normalized = reader.flag(from, "normalized", where, !token.special);
    spec.addedTokens.push_back(std::move(token));
  }
}

/// The mask token that the classes of BERT's and RoBERTa's tokenizers have where tokenizer_config.json names none.
int32_t usualMask(const TokenizerSpec &spec) {
  for (const AddedToken &token : spec.addedTokens)
    if (token.special && (token.content == "[MASK]" || token.content == "<mask>"))
      return token.id;
  return noToken;
}

Result<Json> parseObject(std::string_view text, std::string_view name) {
  Json root = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded() || !root.is_object())
    return error(StatusCode::invalidFile, "{}: {}", name, root.is_discarded() ? "not valid JSON" : "expected an object");
  return root;
}

} // namespace

Result<TokenizerSpec> specFromTokenizerJson(std::string_view json, std::string_view name) {
  TRANSOM_ASSIGN(Json root, parseObject(json, name));
  JsonReader reader(name);
  TokenizerSpec spec;
  readModel(reader, reader.member(root, "model"), spec);
  readAddedTokens(reader, root, spec);
  spec.maskId = usualMask(spec);
  readNormalizer(reader, reader.member(root, "normalizer"), spec.normalizers);
  readPreTokenizer(reader, reader.member(root, "pre_tokenizer"), spec.preTokenizers);
  readPostProcessor(reader, reader.member(root, "post_processor"), spec);
  readDecoder(reader, reader.member(root, "decoder"), spec.decoders);
  TRANSOM_RETURN_IF_ERROR(reader.status());
  TRANSOM_RETURN_IF_ERROR(validate(spec).within(name));
  return spec;
}

Status applyTokenizerConfig(TokenizerSpec &spec, std::string_view json, std::string_view name) {
  TRANSOM_ASSIGN(Json root, parseObject(json, name));
  JsonReader reader(name);
  VocabIndex vocab(spec.vocab);
  auto idOf = [&](const char *key) {
    const Json &value = reader.member(root, key); // a string, or an object with its content
    std::string token = value.is_object() ? reader.text(value, "content", key) : reader.text(root, key, key);
    for (const AddedToken &added : spec.addedTokens)
      if (added.content == token)
        return added.id;
    return token.empty() ? noToken : vocab.find(token);
  };
  spec.bosId = idOf("bos_token");
  spec.eosId = idOf("eos_token");
  spec.padId = idOf("pad_token");
  if (int32_t mask = idOf("mask_token"); mask != noToken)
    spec.maskId = mask;
  const Json &chat = reader.member(root, "chat_template");
  if (chat.is_string())
    spec.chatFormat = recognizeChatTemplate(chat.get_ref<const std::string &>());
  else if (chat.is_array())
    for (const Json &entry : chat)
      if (reader.text(entry, "name", "chat_template") == "default")
        spec.chatFormat = recognizeChatTemplate(reader.text(entry, "template", "chat_template"));
  return reader.status();
}

} // namespace transom::tokenizer
