// The tokenizer as a whole, built from small specs: each stage, the builders, serialisation, chat, streaming.
// Equality with the reference library on real text is test/e2e/tokenizer's business.
#include "runtime/tokenizer/PreTokenizer.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

using namespace transom;
using namespace transom::tokenizer;

namespace {

using Ids = std::vector<int32_t>;

/// A byte-level GGUF vocabulary: ids 0 to 255 are the bytes, then merges, then special tokens.
GgufTokenizerFields byteFields(std::vector<std::string> merges = {"h e", "l l", "he ll", "\xC4\xA0 w"}) {
  GgufTokenizerFields fields;
  fields.model = "gpt2";
  fields.pre = "smollm";
  fields.fileName = "m.gguf";
  for (char32_t c : byteLevelChars())
    appendUtf8(fields.tokens.emplace_back(), c);
  for (const std::string &merge : merges) {
    std::string token = merge;
    token.erase(token.find(' '), 1);
    fields.tokens.push_back(token);
  }
  fields.merges = std::move(merges);
  fields.tokenTypes.assign(fields.tokens.size(), 1);
  for (const char *special : {"<|im_start|>", "<|im_end|>"}) {
    fields.tokens.push_back(special);
    fields.tokenTypes.push_back(3);
  }
  return fields;
}

Tokenizer make(Result<TokenizerSpec> spec) {
  EXPECT_TRUE(spec.ok()) << spec.status().message();
  Result<Tokenizer> tokenizer = Tokenizer::create(std::move(*spec));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return *tokenizer;
}

std::string wordPieceJson(std::string_view extra = "") {
  return fmt::format(R"({{"added_tokens":[{{"id":1,"content":"[CLS]","special":true}},{{"id":2,"content":"[SEP]","special":true}}],
    "normalizer":{{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}},
    "pre_tokenizer":{{"type":"BertPreTokenizer"}},
    "post_processor":{{"type":"BertProcessing","sep":["[SEP]",2],"cls":["[CLS]",1]}},
    "decoder":{{"type":"WordPiece","prefix":"##","cleanup":true}}{},
    "model":{{"type":"WordPiece","unk_token":"[UNK]","max_input_chars_per_word":8,"vocab":
      {{"[UNK]":0,"[CLS]":1,"[SEP]":2,"un":3,"##able":4,"##a":5,"cafe":6,",":7,"漢":8,"unable":9,"##字":10}}}}}})",
                     extra);
}

std::string messageOf(const Result<TokenizerSpec> &spec) { return spec.ok() ? "accepted" : spec.status().message(); }
/// What the tokens of a text, or of two, stand for; "" is one of the template.
std::vector<std::string> covered(const Tokenizer &tokenizer, std::string_view first, std::optional<std::string_view> second = {}) {
  std::vector<std::string> out;
  for (const TokenSpan &span : tokenizer.encodePair(first, second, {.spans = true}).spans)
    out.emplace_back(span.text < 0 ? "" : (span.text ? *second : first).substr(span.begin, span.end - span.begin));
  return out;
}
using Texts = std::vector<std::string>;

bool contains(const std::string &text, std::string_view part) { return text.find(part) != std::string::npos; }

} // namespace

// Merges apply by rank, then from the left; every byte has a token.
TEST(Tokenizer, byteLevelMerges) {
  Tokenizer tokenizer = make(specFromGguf(byteFields()));
  EXPECT_EQ(tokenizer.encode("hello w"), (Ids{258, 'o', 259}));
  EXPECT_EQ(tokenizer.encode("llll"), (Ids{257, 257}));
  EXPECT_EQ(tokenizer.encode("lll"), (Ids{257, 'l'}));
  EXPECT_EQ(tokenizer.encode("\xC3\xA9"), (Ids{0xC3, 0xA9}));
  EXPECT_TRUE(tokenizer.encode("").empty());
}

// Ill-formed UTF-8 counts as one U+FFFD for each maximal subpart.
TEST(Tokenizer, illFormedText) {
  Tokenizer tokenizer = make(specFromGguf(byteFields()));
  Ids replacement = {0xEF, 0xBF, 0xBD};
  EXPECT_EQ(tokenizer.encode("\xFF"), replacement);
  EXPECT_EQ(tokenizer.encode("\xF0\x9F\x98"), replacement); // three bytes of one character
  EXPECT_EQ(tokenizer.encode("\xE2\x82"), replacement);
  EXPECT_EQ(tokenizer.encode("\xED\xA0\x80").size(), 9u); // a surrogate: three subparts
}

// Text round-trips; a streaming decoder yields whole characters and the same text.
TEST(Tokenizer, decodeAndStream) {
  Tokenizer tokenizer = make(specFromGguf(byteFields()));
  std::string text = "hello \xF0\x9F\x98\x80 w\xC3\xA9";
  Ids ids = tokenizer.encode(text);
  EXPECT_EQ(tokenizer.decode(ids), text);
  StreamingDecoder stream(tokenizer);
  std::string streamed;
  for (int32_t id : ids) {
    std::string part = stream.push(id);
    EXPECT_TRUE(isValidUtf8(part));
    streamed += part;
  }
  EXPECT_EQ(streamed + stream.finish(), text);
  stream.push(0xF0);
  stream.push(0x9F);
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD"); // an unfinished character
  EXPECT_EQ(tokenizer.decode(Ids{'a', -1, 1 << 30, 'b'}), "ab");
}

// Special tokens are found in text, unless the caller says that the text is from a stranger; decode can keep them.
TEST(Tokenizer, specialTokens) {
  Tokenizer tokenizer = make(specFromGguf(byteFields()));
  EXPECT_EQ(tokenizer.encode("a<|im_end|>b"), (Ids{'a', 261, 'b'}));
  EXPECT_EQ(tokenizer.encode("<|im_end|>", {.parseSpecialTokens = false}).size(), 10u);
  EXPECT_EQ(tokenizer.decode(Ids{'a', 261}), "a");
  EXPECT_EQ(tokenizer.decode(Ids{'a', 261}, false), "a<|im_end|>");
  EXPECT_EQ(tokenizer.idOf("<|im_end|>"), 261);
  EXPECT_EQ(tokenizer.tokenOf(258), "hell");
  EXPECT_EQ(tokenizer.vocabSize(), 262);
  EXPECT_FALSE(tokenizer.tokenOf(262).has_value());
}

// Added tokens: the longest wins, lstrip and rstrip take white space along, singleWord needs word borders.
TEST(Tokenizer, addedTokenRules) {
  Result<TokenizerSpec> spec = specFromGguf(byteFields());
  ASSERT_TRUE(spec.ok());
  spec->addedTokens = {{.content = "ab", .id = 300}, {.content = "abc", .id = 301},
                       {.content = "L", .id = 302, .lstrip = true}, {.content = "R", .id = 303, .rstrip = true},
                       {.content = "one", .id = 304, .singleWord = true}};
  Tokenizer tokenizer = make(*spec);
  EXPECT_EQ(tokenizer.encode("abcab"), (Ids{301, 300}));
  EXPECT_EQ(tokenizer.encode("x \t L R\n y"), (Ids{'x', 302, ' ', 303, 'y'}));
  EXPECT_EQ(tokenizer.encode("one"), (Ids{304}));
  EXPECT_EQ(tokenizer.encode("ones").size(), 4u);
  EXPECT_EQ(tokenizer.encode("\xC3\xA9one").size(), 5u);
}

// A word of 300,000 letters takes n log n, not n squared (which would be minutes).
TEST(Tokenizer, longWord) {
  Tokenizer tokenizer = make(specFromGguf(byteFields({"a a", "aa aa", "aaaa aaaa"})));
  EXPECT_EQ(tokenizer.encode(std::string(300000, 'a')).size(), 37500u);
}

// WordPiece takes the longest token; accents and case go; a word with an unknown rest, or too long, is unknown whole.
TEST(Tokenizer, wordPiece) {
  Tokenizer tokenizer = make(specFromTokenizerJson(wordPieceJson(), "t.json"));
  EXPECT_EQ(tokenizer.encode("Unable, Caf\xC3\xA9"), (Ids{1, 9, 7, 6, 2}));
  EXPECT_EQ(tokenizer.encode("una unb", {.addSpecialTokens = false}), (Ids{3, 5, 0}));
  EXPECT_EQ(tokenizer.encode("unaaaaaaa", {.addSpecialTokens = false}), (Ids{0}));
  EXPECT_EQ(tokenizer.encode("漢字", {.addSpecialTokens = false}), (Ids{8, 0})); // spaces around each
  EXPECT_EQ(tokenizer.decode(Ids{1, 3, 4, 7, 6, 2}), "unable, cafe");
}

// Pairs carry type ids.
TEST(Tokenizer, pairs) {
  Tokenizer tokenizer = make(specFromTokenizerJson(wordPieceJson(), "t.json"));
  Encoding encoding = tokenizer.encodePair("cafe", "un");
  EXPECT_EQ(encoding.ids, (Ids{1, 6, 2, 3, 2}));
  EXPECT_EQ(encoding.typeIds, (Ids{0, 0, 0, 1, 1}));
}

// Spans are of the original text, through accents that go, spaces that come, and words that are unknown.
TEST(Tokenizer, wordPieceSpans) {
  Tokenizer tokenizer = make(specFromTokenizerJson(wordPieceJson(), "t.json"));
  EXPECT_EQ(covered(tokenizer, "  Unable,Cafe\xCC\x81 \xC3\x9Cna"), (Texts{"", "Unable", ",", "Cafe", "\xC3\x9Cn", "a", ""}));
  EXPECT_EQ(covered(tokenizer, "x漢y"), (Texts{"", "x", "漢", "y", ""}));
  EXPECT_EQ(covered(tokenizer, "un", "a [SEP] cafe"), (Texts{"", "un", "", "a", "[SEP]", "cafe", ""}));
  EXPECT_TRUE(tokenizer.encodePair("un", {}).spans.empty());
}

// A token of some bytes of a character stands for the whole of it; white space belongs to spans or not as the file says.
TEST(Tokenizer, byteLevelSpans) {
  Result<TokenizerSpec> spec = specFromGguf(byteFields());
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(covered(make(*spec), "hello w\xC3\xA9"), (Texts{"hell", "o", " w", "\xC3\xA9", "\xC3\xA9"}));
  spec->addedTokens.push_back({.content = "<mask>", .id = 300, .special = true, .lstrip = true});
  spec->trimSpans = true;
  EXPECT_EQ(covered(make(*spec), " w  <mask>  w"), (Texts{"w", "<mask>", "", "w"}));
  // A space that the tokenizer put before the text is no part of it; one that the text has there is kept, as in the reference.
  spec->preTokenizers = {{.kind = PreTokenizerKind::byteLevel, .addPrefixSpace = true, .useRegex = true}};
  spec->prefixSpace = true;
  EXPECT_EQ(covered(make(*spec), "w w"), (Texts{"w", "w"}));
  EXPECT_EQ(covered(make(*spec), " w w"), (Texts{" w", "w"}));
}

// Texts are cut from their ends, the longer one first; what the template adds stays.
TEST(Tokenizer, truncation) {
  Tokenizer tokenizer = make(specFromTokenizerJson(wordPieceJson(), "t.json"));
  auto ids = [&](std::string_view first, std::optional<std::string_view> second, size_t most) {
    return tokenizer.encodePair(first, second, {.maxTokens = most}).ids;
  };
  EXPECT_EQ(ids("un cafe un cafe", {}, 4), (Ids{1, 3, 6, 2}));
  EXPECT_EQ(ids("un cafe", {}, 4), (Ids{1, 3, 6, 2}));
  EXPECT_EQ(ids("un cafe", {}, 1), (Ids{1, 2}));
  EXPECT_EQ(ids("un cafe un cafe", "un", 6), (Ids{1, 3, 6, 2, 3, 2}));
  EXPECT_EQ(ids("cafe", "un un un un", 6), (Ids{1, 6, 2, 3, 3, 2}));
  EXPECT_EQ(ids("cafe cafe cafe", "un un un", 8), (Ids{1, 6, 6, 2, 3, 3, 3, 2})); // the second has what is odd
  EXPECT_TRUE(tokenizer.encodePair("un cafe", {}, {.maxTokens = 3}).truncated);
  EXPECT_FALSE(tokenizer.encodePair("un cafe", {}, {.maxTokens = 4}).truncated);
}

// Unknown components are named, with what is supported.
TEST(TokenizerJson, unsupported) {
  std::string decoder = R"(,"decoder":{"type":"CTC"})";
  std::string message = messageOf(specFromTokenizerJson(wordPieceJson(decoder), "t.json"));
  EXPECT_TRUE(contains(message, "t.json") && contains(message, "'CTC'") && contains(message, "ByteLevel")) << message;
  for (const char *part : {R"("normalizer":{"type":"ByteLevel"})", R"("pre_tokenizer":{"type":"CharDelimiterSplit"})",
                           R"("post_processor":{"type":"X"})"})
    EXPECT_TRUE(contains(messageOf(specFromTokenizerJson(wordPieceJson(std::string(",") + part), "t")), "supported:"));
  EXPECT_TRUE(contains(messageOf(specFromTokenizerJson(R"({"model":{"type":"WordLevel","vocab":{}}})", "t")), "'WordLevel'"));
}

// Malformed files are refused in one line: bad JSON, deep nesting, absurd ids, shared ids, merges of no tokens.
TEST(TokenizerJson, malformed) {
  auto refuses = [](const std::string &json) {
    std::string message = messageOf(specFromTokenizerJson(json, "t.json"));
    return message != "accepted" && !contains(message, "\n");
  };
  EXPECT_TRUE(refuses(""));
  EXPECT_TRUE(refuses("[]"));
  EXPECT_TRUE(refuses(std::string(200000, '[')));
  EXPECT_TRUE(refuses(R"({"model":{"type":"BPE","vocab":{"a":99999999},"merges":[]}})"));
  EXPECT_TRUE(refuses(R"({"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}})"));
  EXPECT_TRUE(refuses(R"({"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}})"));
  EXPECT_TRUE(refuses(R"({"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}})"));
  std::string nested;
  for (int i = 0; i < 50; ++i)
    nested += R"({"type":"Sequence","normalizers":[)";
  for (int i = 0; i < 50; ++i)
    nested += "]}";
  EXPECT_TRUE(refuses(wordPieceJson(",\"normalizer\":" + nested)));
}

// Merges may be written as strings or as pairs.
TEST(TokenizerJson, mergeForms) {
  for (const char *merges : {R"(["a b"])", R"([["a","b"]])"}) {
    std::string json = fmt::format(R"({{"model":{{"type":"BPE","vocab":{{"a":0,"b":1,"ab":2}},"merges":{}}}}})", merges);
    EXPECT_EQ(make(specFromTokenizerJson(json, "t")).encode("abb"), (Ids{2, 1}));
  }
}

// tokenizer_config.json gives ids and the chat format.
TEST(TokenizerJson, config) {
  Result<TokenizerSpec> spec = specFromTokenizerJson(wordPieceJson(), "t.json");
  ASSERT_TRUE(spec.ok());
  ASSERT_TRUE(applyTokenizerConfig(*spec, R"({"eos_token":{"content":"[SEP]"},"bos_token":"[CLS]","pad_token":null})", "c").ok());
  EXPECT_EQ(spec->bosId, 1);
  EXPECT_EQ(spec->eosId, 2);
  EXPECT_EQ(spec->padId, noToken);
  EXPECT_EQ(spec->maskId, noToken);
  ASSERT_TRUE(applyTokenizerConfig(*spec, R"({"mask_token":"cafe"})", "c").ok());
  EXPECT_EQ(spec->maskId, 6);
  EXPECT_FALSE(applyTokenizerConfig(*spec, R"({"eos_token":7})", "c").ok());
}

// Names of pre-tokenisers decide splitting and defaults; unknown ones are listed.
TEST(TokenizerGguf, preTokenizers) {
  GgufTokenizerFields fields = byteFields();
  fields.pre = "llama-bpe";
  fields.bosId = 260;
  EXPECT_EQ(make(specFromGguf(fields)).encode("x").front(), 260);
  fields.addBos = GgufTokenizerFields::Flag::off;
  EXPECT_EQ(make(specFromGguf(fields)).encode("x"), (Ids{'x'}));
  for (const char *pre : {"qwen2", "tekken", "gpt-4o", "gpt-2", "default", ""}) {
    fields.pre = pre;
    EXPECT_EQ(make(specFromGguf(fields)).encode("hello  1\n"), (Ids{258, 'o', ' ', ' ', '1', '\n'})) << pre;
  }
  fields.pre = "nonsense";
  EXPECT_TRUE(contains(messageOf(specFromGguf(fields)), "'nonsense' is not supported; supported: smollm"));
}

// Inconsistent metadata is refused.
TEST(TokenizerGguf, malformed) {
  GgufTokenizerFields fields = byteFields();
  fields.tokenTypes.pop_back();
  EXPECT_TRUE(contains(messageOf(specFromGguf(fields)), "m.gguf: tokenizer.ggml.token_type"));
  fields = byteFields();
  fields.merges.push_back("q");
  EXPECT_TRUE(contains(messageOf(specFromGguf(fields)), "tokenizer.ggml.merges 4"));
  fields = byteFields();
  fields.eosId = 5000;
  EXPECT_TRUE(contains(messageOf(specFromGguf(fields)), "5000"));
  fields.model = "llama";
  EXPECT_TRUE(contains(messageOf(specFromGguf(fields)), "supported: gpt2, bert"));
}

// The artifact's bytes are the same each time, give the same spec back, and damage is refused.
TEST(TokenizerArtifact, roundTrip) {
  for (Result<TokenizerSpec> spec : {specFromGguf(byteFields()), specFromTokenizerJson(wordPieceJson(), "t")}) {
    ASSERT_TRUE(spec.ok());
    std::vector<std::byte> bytes = serialize(*spec);
    EXPECT_EQ(bytes, serialize(*spec));
    Result<TokenizerSpec> back = deserialize(bytes);
    ASSERT_TRUE(back.ok()) << back.status().message();
    EXPECT_EQ(serialize(*back), bytes);
    EXPECT_EQ(make(*back).encode("unable cafe hello"), make(*spec).encode("unable cafe hello"));
    for (size_t size = 0; size < bytes.size(); size += 37)
      EXPECT_FALSE(deserialize(std::span(bytes).first(size)).ok());
  }
}

// SmolLM2's template text is known and puts its system prompt first; other templates mean no chat format.
TEST(TokenizerChat, smolLm2) {
  GgufTokenizerFields fields = byteFields();
  fields.chatTemplate =
      "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou "
      "are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
      "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
      "'<|im_start|>assistant\n' }}{% endif %}";
  Tokenizer tokenizer = make(specFromGguf(fields));
  std::vector<ChatMessage> messages = {{"user", "Hi"}};
  Result<std::string> prompt = tokenizer.applyChat(messages);
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(*prompt, "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
                     "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  messages.insert(messages.begin(), {"system", "S"});
  EXPECT_EQ(*tokenizer.applyChat(messages), "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
                                            "<|im_start|>assistant\n");
  fields.chatTemplate = "{{ messages }}";
  EXPECT_EQ(make(specFromGguf(fields)).applyChat(messages).status().code(), StatusCode::unsupported);
}

// One tokenizer serves several threads.
TEST(Tokenizer, threads) {
  Tokenizer tokenizer = make(specFromGguf(byteFields()));
  Ids expected = tokenizer.encode("hello world, 123 times");
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 200; ++k)
        wrong += tokenizer.encode("hello world, 123 times") != expected;
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
}
