// Fuzzes what reads tokenizers from strangers: tokenizer.json, its config, and the artifact's section. Truncated and
// flipped seeds, absurd values, deep nesting. What is accepted must also tokenise without harm.
#include "runtime/tokenizer/Tokenizer.h"
#include "test/fuzz/Fuzz.h"

#include <cstdio>
#include <cstring>

using namespace transom;
using namespace transom::tokenizer;

namespace {

constexpr std::string_view bpeSeed = R"({"added_tokens":[{"id":6,"content":"<|x|>","special":true,"lstrip":true,"normalized":false},
{"id":7,"content":"é","special":false,"single_word":true,"rstrip":true,"normalized":true}],
"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"Regex":"\\s{2,9}"},"content":" "},
{"type":"Strip","strip_left":true,"strip_right":false},{"type":"Prepend","prepend":"_"},{"type":"Lowercase"},{"type":"StripAccents"}]},
"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},
{"type":"Split","pattern":{"Regex":"(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s+(?!\\S)|\\s+"},
"behavior":"Isolated","invert":false},{"type":"Split","pattern":{"String":"b"},"behavior":"MergedWithNext","invert":true},
{"type":"Punctuation","behavior":"Contiguous"},{"type":"ByteLevel","add_prefix_space":true,"use_regex":false}]},
"post_processor":{"type":"Sequence","processors":[{"type":"ByteLevel","trim_offsets":false},{"type":"TemplateProcessing",
"single":[{"SpecialToken":{"id":"<|x|>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],
"special_tokens":{"<|x|>":{"id":"<|x|>","ids":[6],"tokens":["<|x|>"]}}}]},
"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"_"},"content":" "},{"type":"Fuse"},
{"type":"Strip","content":" ","start":1,"stop":0},{"type":"ByteLevel"}]},
"model":{"type":"BPE","dropout":null,"unk_token":"?","fuse_unk":true,"ignore_merges":true,
"vocab":{"a":0,"b":1,"ab":2,"?":3,"Ġ":4,"Ġa":5},"merges":["a b",["Ġ","a"]]}})";

constexpr std::string_view wordPieceSeed = R"({"added_tokens":[{"id":1,"content":"[CLS]","special":true}],
"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},
"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"BertProcessing","sep":["[UNK]",0],"cls":["[CLS]",1]},
"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece","unk_token":"[UNK]",
"continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0,"[CLS]":1,"a":2,"##b":3,",":4}}})";

constexpr std::string_view unigramSeed = R"({"added_tokens":[{"id":1,"content":"<s>","special":true}],
"normalizer":{"type":"Sequence","normalizers":[{"type":"Precompiled","precompiled_charsmap":"EAAAAACAAQBhDQAAAAAAgAAAAAB4AA=="},
{"type":"Nmt"}]},"pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"first","split":true},
"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],
"special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}},
"decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Metaspace","replacement":"_","prepend_scheme":"always"}]},
"model":{"type":"Unigram","unk_id":0,"byte_fallback":true,
"vocab":[["<unk>",0.0],["<s>",0.0],["_",-2.5],["_a",-1e-3],["ab",-4],["<0xC3>",0],["<0xA9>",0]]}})";

constexpr std::string_view configSeed = R"({"bos_token":"a","eos_token":{"content":"b"},"pad_token":null,
"chat_template":[{"name":"default","template":"{{ x }}"}]})";

size_t accepted = 0, refused = 0;

/// One-line errors only; what was accepted is put to use.
void judge(Result<TokenizerSpec> spec) {
  Result<Tokenizer> tokenizer = spec.ok() ? Tokenizer::create(std::move(*spec)) : Result<Tokenizer>(spec.status());
  ++(tokenizer.ok() ? accepted : refused);
  if (!tokenizer.ok()) {
    if (tokenizer.status().message().empty())
      std::abort();
    return;
  }
  std::string text = "a ab  <|x|>é, 漢b\xFF\u0301 1234\n\n 's [CLS]";
  Encoding encoding = tokenizer->encodePair(text, "b a");
  if (encoding.ids.size() != encoding.typeIds.size() || !isValidUtf8(tokenizer->decode(encoding.ids, false)))
    std::abort();
  StreamingDecoder stream(*tokenizer);
  for (int32_t id : encoding.ids)
    stream.push(id);
  stream.finish();
  if (serialize(tokenizer->spec()) != serialize(*deserialize(serialize(tokenizer->spec()))))
    std::abort();
}

void readJson(std::string_view json) { judge(specFromTokenizerJson(json, "tokenizer.json")); }

fuzz::Bytes bytesOf(std::string_view text) {
  auto *begin = reinterpret_cast<const std::byte *>(text.data());
  return fuzz::Bytes(begin, begin + text.size());
}
std::string_view textOf(const fuzz::Bytes &bytes) {
  return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

/// Replaces one number, string or literal of the seed by an absurd value.
void forEachAbsurdValue(std::string_view seed, auto read) {
  static constexpr std::string_view values[] = {"-1",   "1e308", "18446744073709551616", "4294967296", "2147483647", "16777215",
                                                "null", "true",  "\"\"", "\"\\u0000\"", "[]", "{}", "[[[[]]]]", "\"(((((((((a{99}){99}){99}\""};
  for (size_t at = 0; at < seed.size(); ++at) {
    size_t end = at;
    if (std::isdigit(static_cast<uint8_t>(seed[at])))
      end = seed.find_first_not_of("0123456789", at);
    else if (seed[at] == '"')
      end = seed.find('"', at + 1) + 1;
    else if (seed.substr(at).starts_with("true") || seed.substr(at).starts_with("null"))
      end = at + 4;
    if (end == at || end == 0 || end > seed.size())
      continue;
    for (std::string_view value : values)
      read(std::string(seed.substr(0, at)) + std::string(value) + std::string(seed.substr(end)));
    at = end - 1;
  }
}

void nestingBombs() {
  for (std::string_view open : {"[", "{\"a\":", "{\"model\":", "{\"type\":\"Sequence\",\"normalizers\":["}) {
    std::string bomb;
    for (int i = 0; i < 100000; ++i)
      bomb += open;
    readJson(bomb);
    readJson("{\"normalizer\":" + bomb);
  }
  // Groups inside groups, in a pattern of legal length.
  std::string pattern = std::string(30000, '(') + std::string(30000, ')');
  readJson(fmt::format(R"({{"model":{{"type":"BPE","vocab":{{"a":0}},"merges":[]}},
    "pre_tokenizer":{{"type":"Split","pattern":{{"Regex":"{}"}},"behavior":"Isolated"}}}})", pattern));
}

} // namespace

int main() {
  for (std::string_view seed : {bpeSeed, wordPieceSeed, unigramSeed}) {
    Result<TokenizerSpec> sound = specFromTokenizerJson(seed, "seed");
    if (!sound.ok())
      return std::fprintf(stderr, "seed refused: %s\n", sound.status().message().c_str()), 1;
    judge(*sound);
    fuzz::forEachMutation(bytesOf(seed), 0, [](const fuzz::Bytes &bytes) { readJson(textOf(bytes)); });
    forEachAbsurdValue(seed, readJson);
    fuzz::forEachMutation(serialize(*sound), 0, [](const fuzz::Bytes &bytes) { judge(deserialize(bytes)); });
    auto configure = [&](std::string_view config) {
      TokenizerSpec spec = *sound;
      ++(applyTokenizerConfig(spec, config, "config").ok() ? accepted : refused);
    };
    fuzz::forEachMutation(bytesOf(configSeed), 0, [&](const fuzz::Bytes &bytes) { configure(textOf(bytes)); });
    forEachAbsurdValue(configSeed, configure);
  }
  nestingBombs();
  std::printf("tokenizers: %zu accepted, %zu refused\n", accepted, refused);
  return accepted > 0 && refused > 0 ? 0 : 1;
}
