// One function a component kind. A component that is not known here is an error that lists the known ones.
#include "runtime/tokenizer/TokenizerJsonSteps.h"

namespace transom::tokenizer {

namespace {

constexpr int maxNesting = 16;
constexpr int64_t maxNumber = std::numeric_limits<int32_t>::max();

/// Calls `visit(component, type)` for a component and, in order, for the members of its sequences.
template <typename Visit>
void flatten(JsonReader &reader, const Json &component, std::string_view stage, const char *members, Visit visit,
             int depth = 0) {
  if (component.is_null() || !reader.ok())
    return;
  if (!component.is_object() || depth > maxNesting)
    return reader.invalid(stage, depth > maxNesting ? "sequences are nested too deeply" : "expected an object");
  std::string type = reader.requiredText(component, "type", stage);
  if (type != "Sequence")
    return visit(component, type);
  for (const Json &member : reader.list(component, members, fmt::format("{} Sequence", stage)))
    flatten(reader, member, stage, members, visit, depth + 1);
}

Pattern readPattern(JsonReader &reader, const Json &component, std::string_view where) {
  const Json &pattern = reader.member(component, "pattern");
  bool isRegex = !reader.member(pattern, "Regex").is_null();
  if (pattern.is_string())
    return {pattern.get<std::string>(), false};
  return {reader.requiredText(pattern, isRegex ? "Regex" : "String", where), isRegex};
}

SplitBehavior readBehavior(JsonReader &reader, const Json &component, std::string_view where) {
  static constexpr std::string_view names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                               "Contiguous"};
  std::string name = reader.text(component, "behavior", where, "Isolated");
  for (size_t i = 0; i < std::size(names); ++i)
    if (names[i] == name)
      return static_cast<SplitBehavior>(i);
  reader.invalid(where, fmt::format("behavior '{}' is unknown", name));
  return SplitBehavior::isolated;
}

/// Of a Metaspace; old files have `add_prefix_space` instead.
PrependScheme readPrependScheme(JsonReader &reader, const Json &component, std::string_view where) {
  static constexpr std::string_view names[] = {"never", "first", "always"};
  bool addPrefix = reader.flag(component, "add_prefix_space", where, true);
  std::string name = reader.text(component, "prepend_scheme", where, addPrefix ? "always" : "never");
  if (!addPrefix && name != "never")
    reader.invalid(where, fmt::format("prepend_scheme '{}' contradicts add_prefix_space false", name));
  for (size_t i = 0; i < std::size(names); ++i)
    if (names[i] == name)
      return static_cast<PrependScheme>(i);
  reader.invalid(where, fmt::format("prepend_scheme '{}' is unknown; known: never, first, always", name));
  return PrependScheme::never;
}

/// The bytes that padded Base64 (RFC 4648) stands for.
std::string readBase64(JsonReader &reader, const Json &component, const char *key, std::string_view where) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text = reader.requiredText(component, key, where), out;
  std::string_view digits = std::string_view(text).substr(0, text.find('='));
  bool sound = text.size() % 4 == 0 && text.size() - digits.size() <= 2 && text.find_first_not_of('=', digits.size()) == text.npos;
  uint32_t bits = 0;
  int held = 0; // of `bits`, the lowest, that are not in `out` yet
  for (char digit : digits) {
    size_t value = alphabet.find(digit);
    sound = sound && value != alphabet.npos;
    bits = bits << 6 | static_cast<uint32_t>(value & 63);
    if ((held += 6) >= 8)
      out += static_cast<char>(bits >> (held -= 8));
  }
  if (!sound)
    reader.invalid(where, fmt::format("{} is not Base64", key));
  return out;
}

void unsupported(JsonReader &reader, std::string_view stage, std::string_view type, std::string_view supported) {
  reader.fail(StatusCode::unsupported, stage, fmt::format("'{}' is not supported; supported: {}", type, supported));
}

} // namespace

void readNormalizer(JsonReader &reader, const Json &component, std::vector<NormalizerStep> &out) {
  flatten(reader, component, "normalizer", "normalizers", [&](const Json &from, const std::string &type) {
    NormalizerStep step;
    std::string where = "normalizer " + type;
    if (type == "BertNormalizer") {
      step.kind = NormalizerKind::bert;
      step.cleanText = reader.flag(from, "clean_text", where, true);
      step.chineseChars = reader.flag(from, "handle_chinese_chars", where, true);
      step.lowercase = reader.flag(from, "lowercase", where, true);
      step.accents = reader.flag(from, "strip_accents", where, step.lowercase);
    } else if (type == "Strip") {
      step.kind = NormalizerKind::strip;
      step.left = reader.flag(from, "strip_left", where, true);
      step.right = reader.flag(from, "strip_right", where, true);
    } else if (type == "Replace") {
      step.kind = NormalizerKind::replace;
      step.pattern = readPattern(reader, from, where);
      step.content = reader.requiredText(from, "content", where);
    } else if (type == "Prepend") {
      step.kind = NormalizerKind::prepend;
      step.content = reader.requiredText(from, "prepend", where);
    } else if (type == "Precompiled") {
      step.kind = NormalizerKind::precompiled;
      step.charsmap = readBase64(reader, from, "precompiled_charsmap", where);
    } else if (type == "Nmt") {
      step.kind = NormalizerKind::nmt;
    } else if (type == "NFC") {
      step.kind = NormalizerKind::nfc;
    } else if (type == "NFD") {
      step.kind = NormalizerKind::nfd;
    } else if (type == "NFKC") {
      step.kind = NormalizerKind::nfkc;
    } else if (type == "NFKD") {
      step.kind = NormalizerKind::nfkd;
    } else if (type == "Lowercase") {
      step.kind = NormalizerKind::lowercase;
    } else if (type == "StripAccents") {
      step.kind = NormalizerKind::stripAccents;
    } else {
      unsupported(reader, "normalizer", type,
                  "BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Replace, Prepend, Nmt, Precompiled, Sequence");
    }
    out.push_back(std::move(step));
  });
}

void readPreTokenizer(JsonReader &reader, const Json &component, std::vector<PreTokenizerStep> &out) {
  flatten(reader, component, "pre_tokenizer", "pretokenizers", [&](const Json &from, const std::string &type) {
    PreTokenizerStep step;
    std::string where = "pre_tokenizer " + type;
    if (type == "ByteLevel") {
      step.kind = PreTokenizerKind::byteLevel;
      step.addPrefixSpace = reader.flag(from, "add_prefix_space", where, true);
      step.useRegex = reader.flag(from, "use_regex", where, true);
    } else if (type == "Split") {
      step.kind = PreTokenizerKind::split;
      step.pattern = readPattern(reader, from, where);
      step.behavior = readBehavior(reader, from, where);
      step.invert = reader.flag(from, "invert", where, false);
    } else if (type == "Digits") {
      step.kind = PreTokenizerKind::digits;
      step.individualDigits = reader.flag(from, "individual_digits", where, false);
    } else if (type == "Punctuation") {
      step.kind = PreTokenizerKind::punctuation;
      step.behavior = readBehavior(reader, from, where);
    } else if (type == "BertPreTokenizer") {
      step.kind = PreTokenizerKind::bert;
    } else if (type == "Whitespace") {
      step.kind = PreTokenizerKind::whitespace;
    } else if (type == "WhitespaceSplit") {
      step.kind = PreTokenizerKind::whitespaceSplit;
    } else if (type == "Metaspace") {
      step.kind = PreTokenizerKind::metaspace;
      step.replacement = reader.requiredText(from, "replacement", where);
      step.prepend = readPrependScheme(reader, from, where);
      step.split = reader.flag(from, "split", where, true);
    } else {
      unsupported(reader, "pre_tokenizer", type,
                  "ByteLevel, Split, Digits, Punctuation, BertPreTokenizer, Whitespace, WhitespaceSplit, Metaspace, Sequence");
    }
    out.push_back(std::move(step));
  });
}

void readDecoder(JsonReader &reader, const Json &component, std::vector<DecoderStep> &out) {
  flatten(reader, component, "decoder", "decoders", [&](const Json &from, const std::string &type) {
    DecoderStep step;
    std::string where = "decoder " + type;
    if (type == "ByteLevel") {
      step.kind = DecoderKind::byteLevel;
    } else if (type == "WordPiece") {
      step.kind = DecoderKind::wordPiece;
      step.content = reader.text(from, "prefix", where, "##");
      step.cleanup = reader.flag(from, "cleanup", where, true);
    } else if (type == "Replace") {
      step.kind = DecoderKind::replace;
      step.pattern = readPattern(reader, from, where);
      step.content = reader.requiredText(from, "content", where);
    } else if (type == "Fuse") {
      step.kind = DecoderKind::fuse;
    } else if (type == "Strip") {
      step.kind = DecoderKind::strip;
      step.content = reader.requiredText(from, "content", where);
      step.start = static_cast<uint32_t>(reader.number(reader.member(from, "start"), where + " start", maxNumber));
      step.stop = static_cast<uint32_t>(reader.number(reader.member(from, "stop"), where + " stop", maxNumber));
    } else if (type == "Metaspace") {
      step.kind = DecoderKind::metaspace;
      step.content = reader.requiredText(from, "replacement", where);
      step.dropFirst = readPrependScheme(reader, from, where) != PrependScheme::never;
    } else if (type == "ByteFallback") {
      step.kind = DecoderKind::byteFallback;
    } else {
      unsupported(reader, "decoder", type, "ByteLevel, WordPiece, Replace, Fuse, Strip, Metaspace, ByteFallback, Sequence");
    }
    out.push_back(std::move(step));
  });
}

namespace {

TemplatePiece special(int64_t id, int32_t typeId) { return {PieceKind::special, static_cast<int32_t>(id), typeId}; }

/// "cls" and "sep" of the fixed processors: ["[CLS]", 101].
int64_t readTokenPair(JsonReader &reader, const Json &from, const char *key, std::string_view where) {
  const Json &pair = reader.list(from, key, where);
  if (pair.size() == 2)
    return reader.number(pair[1], fmt::format("{} {}", where, key), maxNumber);
  reader.invalid(where, fmt::format("{}: expected a token and its id", key));
  return 0;
}

void readFixed(JsonReader &reader, const Json &from, const std::string &type, TokenizerSpec &spec) {
  int64_t cls = readTokenPair(reader, from, "cls", type), sep = readTokenPair(reader, from, "sep", type);
  bool roberta = type == "RobertaProcessing";
  int32_t second = roberta ? 0 : 1; // RoBERTa has one type only
  TemplatePiece a{PieceKind::sequenceA, noToken, 0}, b{PieceKind::sequenceB, noToken, second};
  spec.single = {special(cls, 0), a, special(sep, 0)};
  spec.pair = spec.single;
  if (roberta)
    spec.pair.push_back(special(sep, 0));
  spec.pair.push_back(b);
  spec.pair.push_back(special(sep, second));
  spec.templateTypesAlways = false;
}

/// One list of a TemplateProcessing; a special token may stand for several ids.
std::vector<TemplatePiece> readPieces(JsonReader &reader, const Json &from, const char *key) {
  std::vector<TemplatePiece> out;
  std::string where = fmt::format("TemplateProcessing {}", key);
  for (const Json &piece : reader.list(from, key, where)) {
    const Json &sequence = reader.member(piece, "Sequence"), &token = reader.member(piece, "SpecialToken");
    const Json &body = sequence.is_null() ? token : sequence;
    std::string id = reader.requiredText(body, "id", where);
    auto typeId = static_cast<int32_t>(reader.number(reader.member(body, "type_id"), where + " type_id", maxNumber));
    if (!sequence.is_null()) {
      if (id != "A" && id != "B")
        reader.invalid(where, fmt::format("sequence '{}', expected A or B", id));
      out.push_back({id == "B" ? PieceKind::sequenceB : PieceKind::sequenceA, noToken, typeId});
      continue;
    }
    const Json &declared = reader.member(reader.member(from, "special_tokens"), id.c_str());
    for (const Json &number : reader.list(declared, "ids", fmt::format("{} token '{}'", where, id)))
      out.push_back(special(reader.number(number, where, maxNumber), typeId));
  }
  return out;
}

} // namespace

void readPostProcessor(JsonReader &reader, const Json &component, TokenizerSpec &spec) {
  TemplatePiece a{PieceKind::sequenceA, noToken, 0}, b{PieceKind::sequenceB, noToken, 1};
  spec.single = {a};
  spec.pair = {a, b};
  int templates = 0;
  flatten(reader, component, "post_processor", "processors", [&](const Json &from, const std::string &type) {
    if (type == "ByteLevel" || type == "RobertaProcessing") {
      spec.trimSpans = reader.flag(from, "trim_offsets", type, true);
      spec.prefixSpace = reader.flag(from, "add_prefix_space", type, true);
    }
    if (type == "ByteLevel")
      return;
    if (++templates > 1)
      return unsupported(reader, "post_processor", "Sequence of several templates", "one template");
    if (type == "TemplateProcessing") {
      spec.single = readPieces(reader, from, "single");
      spec.pair = readPieces(reader, from, "pair");
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      readFixed(reader, from, type, spec);
    } else {
      unsupported(reader, "post_processor", type,
                  "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence");
    }
  });
}

} // namespace transom::tokenizer
