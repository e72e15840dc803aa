// Tokenizers that come from SentencePiece: Unigram, its precompiled normalisation, Metaspace, byte fallback.
// Equality with the reference library on real text is test/e2e/tokenizer's business.
#include "runtime/tokenizer/Charsmap.h"
#include "runtime/tokenizer/PrefixTree.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <gtest/gtest.h>

#include <cstring>

using namespace transom;
using namespace transom::tokenizer;

namespace {

using Ids = std::vector<int32_t>;
using Texts = std::vector<std::string>;

/// "abcd" is best whole; "ab" + "cd" ties with nothing.
TokenizerSpec unigram() {
  TokenizerSpec spec;
  spec.model = ModelKind::unigram;
  spec.vocab = {"<unk>", "a", "b", "c", "ab", "bc", "abc", "\xE2\x96\x81", "\xE2\x96\x81" "a"};
  spec.scores = {0, -2, -2, -2, -3, -2.5, -7, -4, -5};
  spec.unknownId = 0;
  spec.single = {{PieceKind::sequenceA}};
  spec.pair = {{PieceKind::sequenceA}, {PieceKind::sequenceB}};
  return spec;
}

Tokenizer make(Result<TokenizerSpec> spec) {
  EXPECT_TRUE(spec.ok()) << spec.status().message();
  Result<Tokenizer> tokenizer = Tokenizer::create(std::move(*spec));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return *tokenizer;
}

Texts covered(const Tokenizer &tokenizer, std::string_view text) {
  Texts out;
  for (const TokenSpan &span : tokenizer.encodePair(text, {}, {.spans = true}).spans)
    out.emplace_back(text.substr(span.begin, span.end - span.begin));
  return out;
}

Tokenizer withMetaspace(PrependScheme prepend, bool split = true) {
  TokenizerSpec spec = unigram();
  spec.preTokenizers = {{.kind = PreTokenizerKind::metaspace, .replacement = "\xE2\x96\x81", .prepend = prepend, .split = split}};
  spec.addedTokens = {{.content = "<x>", .id = 9, .special = true}};
  return make(spec);
}

/// A charsmap that makes `replacement` of "a", from its units up.
std::string charsmap(std::string_view replacement, uint32_t value = 0x80000000) {
  // Unit 0 is the root; 0 ^ 0x60 ^ 'a' leads to unit 1, which has a value at 1 ^ 3.
  uint32_t units[] = {0x60u << 10, 3u << 10 | 1u << 8 | 'a', value, 0}, size = sizeof units;
  std::string out(sizeof size + sizeof units, 0);
  std::memcpy(out.data(), &size, sizeof size);
  std::memcpy(out.data() + sizeof size, units, sizeof units);
  return out + std::string(replacement) + '\0';
}

std::string normalized(const std::string &map, std::string text) {
  Result<Charsmap> charsmap = Charsmap::create(map);
  EXPECT_TRUE(charsmap.ok()) << charsmap.status().message();
  return charsmap->apply({std::move(text)}).text;
}

std::string messageOf(const std::string &part) {
  std::string json = R"({"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["a",-1.5]]},)" + part + "}";
  Result<TokenizerSpec> spec = specFromTokenizerJson(json, "t.json");
  return spec.ok() ? Tokenizer::create(*spec).status().message() : spec.status().message();
}

} // namespace

// The best sum of scores wins over the longest token and over fewer tokens; of equal sums the one found first.
TEST(Unigram, bestCut) {
  Tokenizer tokenizer = make(unigram());
  EXPECT_EQ(tokenizer.encode("abc"), (Ids{1, 5})); // -4.5, against -5 for ab c and -7 for abc
  EXPECT_EQ(tokenizer.encode("abab"), (Ids{4, 4}));
  EXPECT_TRUE(tokenizer.encode("").empty());
}

// A run of unknown characters is one token; with byte fallback it is its bytes, each of which stands for the whole.
TEST(Unigram, unknown) {
  TokenizerSpec spec = unigram();
  EXPECT_EQ(make(spec).encode("ax\xC3\xA9" "b"), (Ids{1, 0, 2}));
  EXPECT_EQ(covered(make(spec), "ax\xC3\xA9" "b"), (Texts{"a", "x\xC3\xA9", "b"}));
  spec.byteFallback = true;
  EXPECT_EQ(make(spec).encode("a\xC3\xA9"), (Ids{1, 0})); // no token for these bytes
  for (const char *byte : {"<0xC3>", "<0xA9>"}) {
    spec.vocab.push_back(byte);
    spec.scores.push_back(0);
  }
  spec.decoders = {{.kind = DecoderKind::byteFallback}};
  EXPECT_EQ(make(spec).encode("a\xC3\xA9"), (Ids{1, 9, 10}));
  EXPECT_EQ(covered(make(spec), "a\xC3\xA9"), (Texts{"a", "\xC3\xA9", "\xC3\xA9"}));
  EXPECT_EQ(make(spec).decode(Ids{1, 9, 10, 2}), "a\xC3\xA9" "b");
  EXPECT_EQ(make(spec).decode(Ids{9, 9, 1, 10}), "\xEF\xBF\xBD\xEF\xBF\xBD" "a\xEF\xBF\xBD");
}

// Byte-pair encoding falls back to bytes as well, character by character.
TEST(Unigram, byteFallbackOfBpe) {
  Tokenizer tokenizer = make(specFromTokenizerJson(R"({"model":{"type":"BPE","byte_fallback":true,"unk_token":"?",
    "vocab":{"?":0,"a":1,"<0xC3>":2,"<0xA9>":3},"merges":[]}})", "t"));
  EXPECT_EQ(tokenizer.encode("\xC3\xA9" "ax"), (Ids{2, 3, 1, 0}));
}

// A space goes before every piece, before the text alone, or nowhere; never where there is one.
TEST(Metaspace, prependSchemes) {
  EXPECT_EQ(withMetaspace(PrependScheme::always).encode("a<x>a"), (Ids{8, 9, 8}));
  EXPECT_EQ(withMetaspace(PrependScheme::first).encode("a<x>a"), (Ids{8, 9, 1}));
  EXPECT_EQ(withMetaspace(PrependScheme::never).encode("a<x>a"), (Ids{1, 9, 1}));
  EXPECT_EQ(withMetaspace(PrependScheme::always).encode(" a"), (Ids{8}));
  EXPECT_EQ(covered(withMetaspace(PrependScheme::always), "a b"), (Texts{"a", " ", "b"}));
}

// Pieces begin at spaces, or all is one piece: then a token may hold a space inside.
TEST(Metaspace, split) {
  TokenizerSpec spec = unigram();
  spec.vocab.push_back("a\xE2\x96\x81" "b");
  spec.scores.push_back(0);
  spec.preTokenizers = {{.kind = PreTokenizerKind::metaspace, .replacement = "\xE2\x96\x81", .split = true}};
  EXPECT_EQ(make(spec).encode("a b"), (Ids{1, 7, 2}));
  spec.preTokenizers[0].split = false;
  EXPECT_EQ(make(spec).encode("a b"), (Ids{9}));
}

// Decoding gives spaces back, but not the one that was put first; streamed text is the same.
TEST(Metaspace, decode) {
  TokenizerSpec spec = unigram();
  spec.decoders = {{.kind = DecoderKind::metaspace, .dropFirst = true, .content = "\xE2\x96\x81"}};
  Ids ids = {8, 8, 2};
  EXPECT_EQ(make(spec).decode(ids), "a ab");
  StreamingDecoder stream(make(spec));
  std::string streamed;
  for (int32_t id : ids)
    streamed += stream.push(id);
  EXPECT_EQ(streamed + stream.finish(), "a ab");
  spec.decoders[0].dropFirst = false;
  EXPECT_EQ(make(spec).decode(ids), " a ab");
}

// What the table has is replaced, by more, fewer or no characters, and spans follow.
TEST(Charsmap, replaces) {
  EXPECT_EQ(normalized(charsmap("xyz"), "bab"), "bxyzb");
  EXPECT_EQ(normalized(charsmap(""), "bab"), "bb");
  TokenizerSpec spec = unigram();
  spec.normalizers = {{.kind = NormalizerKind::precompiled, .charsmap = charsmap("abc")}};
  EXPECT_EQ(covered(make(spec), "ca\xC3\xA9"), (Texts{"c", "a", "a", "\xC3\xA9"}));
}

// A short user-perceived character goes whole by its beginning; in a long one, code points go one by one.
TEST(Charsmap, userPerceivedCharacters) {
  EXPECT_EQ(normalized(charsmap("x"), "a\u0301b"), "xb");
  EXPECT_EQ(normalized(charsmap("x"), "a\u0301\u0301b"), "xb");
  EXPECT_EQ(normalized(charsmap("x"), "a\u0301\u0301\u0301b"), "x\u0301\u0301\u0301b");
  EXPECT_EQ(normalized(charsmap("x"), "a\u1AE0"), "x"); // a mark newer than the Unicode library
}

// Values that lead out of the table or into a character replace nothing; sizes that cannot be are refused.
TEST(Charsmap, damaged) {
  EXPECT_EQ(normalized(charsmap("x", 0x80000000 | 99), "a"), "a");
  EXPECT_EQ(normalized(charsmap("\xC3\xA9", 0x80000000 | 1), "a"), "a");
  std::string far = charsmap("x");
  far[6] = '\xFF'; // the root's children
  EXPECT_EQ(normalized(far, "a"), "a");
  for (std::string_view bad : {std::string_view(""), std::string_view("\4\0\0", 3), std::string_view("\0\0\0\0", 4),
                               std::string_view("\2\0\0\0ab", 6), std::string_view("\x8\0\0\0abcd", 8),
                               std::string_view("\4\0\0\0abcd\xFF", 9)})
    EXPECT_FALSE(Charsmap::create(bad).ok()) << bad.size();
}

// All texts of a vocabulary that a text begins with, shortest first; of equal texts the last.
TEST(PrefixTree, prefixes) {
  PrefixTree tree({"ab", "a", "", "abcd", "b", "a", "\xFF"});
  auto of = [&](std::string_view text) {
    std::vector<std::pair<int32_t, size_t>> out;
    tree.forEachPrefix(text, [&](int32_t index, size_t size) { out.emplace_back(index, size); });
    return out;
  };
  EXPECT_EQ(of("abcde"), (std::vector<std::pair<int32_t, size_t>>{{5, 1}, {0, 2}, {3, 4}}));
  EXPECT_EQ(of("\xFFz"), (std::vector<std::pair<int32_t, size_t>>{{6, 1}}));
  EXPECT_TRUE(of("").empty());
  EXPECT_TRUE(of("zab").empty());
}

// The file's forms: Base64 with padding, old and new prepend settings; what is wrong is named.
TEST(TokenizerJson, sentencePiece) {
  EXPECT_EQ(messageOf(R"("normalizer":{"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAAB4AA=="})"), "");
  EXPECT_EQ(messageOf(R"("pre_tokenizer":{"type":"Metaspace","replacement":"_","add_prefix_space":true,"prepend_scheme":"first"})"), "");
  auto refuses = [](const std::string &part, std::string_view says) {
    std::string message = messageOf(part);
    EXPECT_TRUE(message.find(says) != message.npos) << part << ": " << message;
  };
  for (const char *text : {"BAAA=AAA", "BAA", "B===", "BAA*"})
    refuses(fmt::format(R"("normalizer":{{"type":"Precompiled","precompiled_charsmap":"{}"}})", text), "is not Base64");
  refuses(R"("normalizer":{"type":"Precompiled","precompiled_charsmap":""})", "too short");
  refuses(R"("pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"last"})", "known: never, first, always");
  refuses(R"("pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"first","add_prefix_space":false})", "contradicts");
  refuses(R"("pre_tokenizer":{"type":"Metaspace","replacement":"__"})", "one character");
  refuses(R"("decoder":{"type":"Metaspace","replacement":""})", "one character");
  auto refusesModel = [](const char *model, std::string_view says) {
    std::string message = specFromTokenizerJson(fmt::format(R"({{"model":{{"type":"Unigram",{}}}}})", model), "t").status().message();
    EXPECT_TRUE(message.find(says) != message.npos) << model << ": " << message;
  };
  refusesModel(R"("vocab":[["a",0]])", "unk_id is missing");
  refusesModel(R"("unk_id":1,"vocab":[["a",0]])", "expected an id of the vocabulary");
  refusesModel(R"("unk_id":0,"vocab":[["a"]])", "expected a token and its score");
  refusesModel(R"("unk_id":0,"vocab":{"a":0})", "expected a list");
}
