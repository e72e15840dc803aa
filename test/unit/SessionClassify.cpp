// Classification on toy models whose logits are known: scores, spans, order, and what is refused.
#include "GenerationFixture.h"

#include "runtime/Classifier.h"
#include "runtime/Embedder.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace transom;
using namespace transom::test;
using tokenizer::Encoding;

namespace {

using Texts = std::vector<std::string>;

class Classification : public testing::Test {
protected:
  Result<Classifier> create(const ArtifactBuilder &builder) {
    EXPECT_EQ(artifact::write(folder.file("a"), builder.input).message(), "");
    session = std::move(*Session::create(*Model::load(folder.file("a")), {.threads = 1}));
    return Classifier::create(*session);
  }
  Classifier classifier(const std::string &head) {
    Result<Classifier> made = create(classifierToy(head));
    EXPECT_EQ(made.status().message(), "");
    return std::move(*made);
  }
  static std::vector<Encoding> rows(const Classifier &classifier, const Texts &texts) {
    std::vector<Encoding> out;
    for (const std::string &text : texts)
      out.push_back(*classifier.encode(text));
    return out;
  }

  TemporaryFolder folder;
  std::unique_ptr<Session> session;
};

void setMetadata(ArtifactBuilder &builder, const std::string &key, const std::string &value) {
  auto &metadata = builder.contents.metadata;
  std::erase_if(metadata, [&](const artifact::Metadata &entry) { return entry.key == key; });
  metadata.push_back({key, value});
  std::ranges::sort(metadata, {}, &artifact::Metadata::key);
}

} // namespace

// Logits (mean, count) come back in the texts' order, and scores are their softmax.
TEST_F(Classification, Labels) {
  Classifier made = classifier("sequence_classification");
  EXPECT_EQ(made.labels(), (Texts{"mean", "count"}));
  EncoderStats stats;
  auto found = made.classify(rows(made, {"b", "bcd", "cccccccccccccccccccc", "d", "ee"}), &stats);
  ASSERT_EQ(found.status().message(), "");
  EXPECT_EQ(found->logits, (std::vector<float>{1, 1, 2, 3, 2, 10, 3, 1, 4, 2}));
  EXPECT_FLOAT_EQ(found->scores[0], 0.5f);
  EXPECT_FLOAT_EQ(found->scores[2], 1 / (1 + std::exp(1.0f)));
  EXPECT_FLOAT_EQ(found->scores[2] + found->scores[3], 1);
  EXPECT_EQ(stats.tokens, 1 + 3 + 10 + 1 + 2);
  EXPECT_TRUE(made.classify({})->logits.empty());
}

// Metadata says what makes scores of logits; without it one label has a sigmoid, several a softmax.
TEST_F(Classification, ScoreFunctions) {
  for (auto [function, score] : {std::pair("sigmoid", 1 / (1 + std::exp(-3.0f))), {"none", 3.0f}}) {
    ArtifactBuilder builder = classifierToy("sequence_classification");
    setMetadata(builder, "score_function", function);
    auto made = create(builder);
    ASSERT_EQ(made.status().message(), "");
    EXPECT_FLOAT_EQ(made->classify(rows(*made, {"bcd"}))->scores[1], score);
  }
  ArtifactBuilder builder = classifierToy("sequence_classification");
  setMetadata(builder, "score_function", "magic");
  EXPECT_EQ(create(builder).status().message(), "metadata score_function: expected softmax, sigmoid or none, found magic");
}

// Pairs go through the pair template: "b" <end> "c" is three tokens.
TEST_F(Classification, Pairs) {
  Classifier made = classifier("sequence_classification");
  std::vector<Encoding> pair = {*made.encode("b", "c")};
  EXPECT_EQ(made.classify(pair)->logits, (std::vector<float>{1, 3}));
  ArtifactBuilder builder = classifierToy("sequence_classification");
  builder.contents.tokenizer = stored(letterSpec());
  auto without = create(builder);
  EXPECT_EQ(without->encode("b", "c").status().message(), "a pair of texts: the model's tokenizer has no template for pairs");
}

// Each token's best label, with where the token stands; tokens of the template have none, given ids all do.
TEST_F(Classification, Tokens) {
  Classifier made = classifier("token_classification");
  std::vector<Encoding> given = {*made.encode("bé"), *made.encode("b", "c"), *made.encode(std::vector<int32_t>{3, 0}, {})};
  auto found = made.classifyTokens(given);
  ASSERT_EQ(found.status().message(), "");
  std::vector<std::vector<size_t>> places;
  for (const TokenLabel &token : *found)
    places.push_back({token.row, token.position, token.label});
  EXPECT_EQ(places, (std::vector<std::vector<size_t>>{{0, 0, 14}, {0, 1, 15}, {0, 2, 0}, {1, 0, 3}, {1, 2, 5}, {2, 0, 3}, {2, 1, 4}}));
  EXPECT_EQ(given[0].spans[2].begin, 1u); // both tokens of é stand for its two bytes
  EXPECT_EQ(given[0].spans[2].end, 3u);
  EXPECT_EQ(given[1].spans[2].text, 1);
  double sum = std::exp(2.0);
  for (int v = 0; v < 16; ++v)
    sum += v == 14 ? 0 : std::exp(-v / 16.0);
  EXPECT_FLOAT_EQ((*found)[0].score, static_cast<float>(std::exp(2.0) / sum));
}

// For each mask the best tokens in order; a text without a mask is refused, by its number.
TEST_F(Classification, Masks) {
  Classifier made = classifier("masked_lm");
  EXPECT_TRUE(made.labels().empty());
  auto found = made.fillMasks(rows(made, {"b<end>", "<end>c<end>"}), 2);
  ASSERT_EQ(found.status().message(), "");
  std::vector<std::vector<int64_t>> tokens;
  for (const MaskToken &token : *found)
    tokens.push_back({int64_t(token.row), int64_t(token.position), token.token});
  EXPECT_EQ(tokens, (std::vector<std::vector<int64_t>>{{0, 1, 2}, {0, 1, 0}, {1, 0, 2}, {1, 0, 0}, {1, 2, 4}, {1, 2, 0}}));
  EXPECT_GT((*found)[0].score, (*found)[1].score);
  EXPECT_EQ(made.fillMasks(rows(made, {"<end>", "b"}), 2).status().message(), "text 1: expected a mask token (<end>), found none");
  EXPECT_EQ(made.fillMasks(rows(made, {"b"}), 99, /*mask=*/1)->size(), 16u); // all there are
}

// A call for another head names the head that was found, and its call.
TEST_F(Classification, WrongHeads) {
  Classifier words = classifier("masked_lm");
  EXPECT_EQ(words.classify({}).status().message(), "expected a model whose head is sequence_classification, found masked_lm: use fill_mask");
  EXPECT_EQ(words.classifyTokens({}).status().code(), StatusCode::unsupported);
  Classifier token = classifier("token_classification");
  EXPECT_EQ(token.fillMasks({}, 1).status().message(), "expected a model whose head is masked_lm, found token_classification: use classify_tokens");
  std::string wanted = "expected a model whose head is sequence_classification, token_classification or masked_lm, found ";
  EXPECT_EQ(create(embeddingToy()).status().message(), wanted + "sentence_embedding: use embed");
  EXPECT_EQ(create(cachedToy()).status().message(), wanted + "a decoder's: use generate");
  EXPECT_EQ(create(scaleThenMultiply()).status().message(), wanted + "none: use run");
}

// Metadata comes from a file: what does not fit the program is refused.
TEST_F(Classification, WrongMetadata) {
  for (const char *labels : {"", "[", "7", R"(["a"])", R"(["a",1])", R"(["a","b","c"])"}) {
    ArtifactBuilder builder = classifierToy("sequence_classification");
    setMetadata(builder, "labels", labels);
    EXPECT_EQ(create(builder).status().message(), fmt::format("metadata labels: expected a JSON list of 2 names, found {}", labels));
  }
  ArtifactBuilder builder = classifierToy("sequence_classification");
  setMetadata(builder, "head", "token_classification");
  EXPECT_EQ(create(builder).status().message(), "token_classification: \"logits\": expected f32 of rank 3, found f32 of rank 2");
}

// Rows that are no rows.
TEST_F(Classification, WrongRows) {
  Classifier made = classifier("sequence_classification");
  EXPECT_EQ(made.encode("\xFF").status().message(), "the text is not UTF-8");
  EXPECT_EQ(made.encode("b", "\xFF").status().code(), StatusCode::invalidArgument);
  EXPECT_EQ(made.encode(std::vector<int32_t>{1}, {0}).status().message(), "token types: the model takes none");
  EXPECT_NE(made.classify(rows(made, {"b", ""})).status().message().find("text 1: expected 1 to 10 tokens, found 0"), std::string::npos);
  ArtifactBuilder builder = classifierToy("masked_lm");
  builder.contents.tokenizer.clear();
  auto bare = create(builder);
  EXPECT_NE(bare->encode("b").status().message().find("no tokenizer"), std::string::npos);
  Encoding ids = *bare->encode(std::vector<int32_t>{1, 2, 1}, {});
  EXPECT_NE(bare->masksOf(ids).status().message().find("give the id of the mask token"), std::string::npos);
  EXPECT_EQ(*bare->masksOf(ids, 1), (std::vector<size_t>{0, 2}));
}

// Ties keep their order, NaN comes last.
TEST(Largest, TiesAndNaN) {
  float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(largest(std::vector<float>{1, nan, 3, 1, nan}, 9), (std::vector<size_t>{2, 0, 3, 1, 4}));
  EXPECT_EQ(largest(std::vector<float>{1, 2, 3}, 1), (std::vector<size_t>{2}));
  EXPECT_TRUE(largest({}, 3).empty());
}
