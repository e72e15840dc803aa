// The generation loop and embedding on toy models: both forms of decoders, uneven batches, all ways to stop.
#include "GenerationFixture.h"

#include "runtime/Embedder.h"
#include "runtime/generate/TextGenerator.h"

using namespace transom;
using namespace transom::test;

namespace {

using Prompts = std::vector<std::vector<int32_t>>;

class Generation : public testing::TestWithParam<bool> {
protected:
  void SetUp() override { open(GetParam() ? cachedToy() : naiveToy()); }
  void open(ArtifactBuilder builder) {
    ASSERT_EQ(artifact::write(folder.file("a"), builder.input).message(), "");
    auto model = Model::load(folder.file("a"));
    ASSERT_EQ(model.status().message(), "");
    auto created = Session::create(*model, {.threads = 2});
    ASSERT_EQ(created.status().message(), "");
    session = std::move(*created);
  }
  Generated generate(const Prompts &prompts, const GenerateOptions &options = {}, const TokenCallback &onToken = {}) {
    auto generator = Generator::create(*session);
    EXPECT_EQ(generator.status().message(), "");
    auto generated = generator->generate(prompts, options, onToken);
    EXPECT_EQ(generated.status().message(), "");
    return generated.ok() ? std::move(*generated) : Generated();
  }
  std::string failure(const Prompts &prompts, const GenerateOptions &options = {}) {
    auto generator = Generator::create(*session);
    return generator->generate(prompts, options).status().message();
  }
  TemporaryFolder folder;
  std::unique_ptr<Session> session;
};

INSTANTIATE_TEST_SUITE_P(Forms, Generation, testing::Bool(),
                         [](const auto &info) { return info.param ? "cached" : "naive"; });

} // namespace

// Prompts of all lengths, longer than a chunk and more than a batch, get the answers they get alone.
TEST_P(Generation, UnevenPrompts) {
  Prompts prompts = {{3, 5}, {1}, {7, 7, 7, 7, 7, 7, 7}, {2, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8}, {15}};
  Generated all = generate(prompts);
  ASSERT_EQ(all.tokens.size(), prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(all.tokens[i], toyAnswer(prompts[i], 128)) << i;
    EXPECT_EQ(all.finish[i], FinishReason::eos);
    EXPECT_EQ(generate({prompts[i]}).tokens[0], all.tokens[i]);
  }
  EXPECT_EQ(all.stats.promptTokens, 2 + 1 + 7 + 12 + 1);
}

// Generation stops at the number of tokens asked for, and goes past the end token where it is ignored.
TEST_P(Generation, Length) {
  Generated out = generate({{1}}, {.maxNewTokens = 3});
  EXPECT_EQ(out.tokens[0], (std::vector<int32_t>{1, 2, 4}));
  EXPECT_EQ(out.finish[0], FinishReason::length);
  EXPECT_EQ(generate({{1}}, {.maxNewTokens = 9, .ignoreEos = true}).tokens[0], toyAnswer({1}, 9, true));
}

// The callback sees every token in order with the reason of the last, and can stop everything.
TEST_P(Generation, Callback) {
  std::vector<TokenEvent> events;
  generate({{3, 5}, {1}}, {}, [&](const TokenEvent &event) {
    events.push_back(event);
    return true;
  });
  ASSERT_EQ(events.size(), 2u + 5u);
  EXPECT_EQ(events[0].row, 0u);
  EXPECT_EQ(events[0].token, 8);
  EXPECT_EQ(events[0].finish, FinishReason::none);
  EXPECT_EQ(events.back().row, 1u);
  EXPECT_EQ(events.back().finish, FinishReason::eos);
  Generated stopped = generate({{3, 5}, {1}}, {}, [](const TokenEvent &event) { return event.token != 2; });
  EXPECT_EQ(stopped.finish[1], FinishReason::stopped);
}

// A full context ends a row.
TEST_P(Generation, ContextEnds) {
  std::vector<int32_t> prompt(30, 1);
  Generated out = generate({prompt}, {.maxNewTokens = 100, .ignoreEos = true});
  EXPECT_EQ(out.finish[0], FinishReason::context);
  EXPECT_GE(out.tokens[0].size(), 2u);
  EXPECT_LE(out.tokens[0].size(), 16u);
  EXPECT_NE(failure({std::vector<int32_t>(50, 1)}).find("context"), std::string::npos);
}

// Sampling: the seed decides, and a request's tokens do not depend on its neighbours' content.
TEST_P(Generation, Sampling) {
  GenerateOptions options{.maxNewTokens = 12, .temperature = 5, .seed = 42, .ignoreEos = true};
  Generated first = generate({{1}, {2}}, options), again = generate({{1}, {2}}, options);
  EXPECT_EQ(first.tokens, again.tokens);
  EXPECT_EQ(generate({{1}, {9, 9, 9}}, options).tokens[0], first.tokens[0]);
  options.seed = 43;
  EXPECT_NE(generate({{1}, {2}}, options).tokens, first.tokens);
}

// Wrong options and prompts are refused by name.
TEST_P(Generation, RefusesWrongRequests) {
  EXPECT_NE(failure({{}}).find("prompt 0: it has no tokens"), std::string::npos);
  EXPECT_NE(failure({{1}, {16}}).find("prompt 1: token 16 is not in the vocabulary of 16"), std::string::npos);
  EXPECT_NE(failure({{-1}}).find("token -1"), std::string::npos);
  EXPECT_NE(failure({{1}}, {.maxNewTokens = 0}).find("max_new_tokens"), std::string::npos);
  EXPECT_NE(failure({{1}}, {.temperature = -1}).find("temperature"), std::string::npos);
  EXPECT_NE(failure({{1}}, {.topK = -1}).find("top_k"), std::string::npos);
  EXPECT_NE(failure({{1}}, {.topP = 1.5f}).find("top_p"), std::string::npos);
  EXPECT_EQ(failure({}), "");
}

// Text in, text out, in whole pieces; special tokens are not part of the text.
TEST_P(Generation, Text) {
  auto generator = TextGenerator::create(*session);
  ASSERT_EQ(generator.status().message(), "");
  std::string streamed;
  std::vector<std::string> prompts = {"b"};
  auto out = generator->generate(prompts, PromptForm::plain, {}, [&](const TextEvent &event) {
    streamed += event.text;
    return true;
  });
  ASSERT_EQ(out.status().message(), "");
  EXPECT_EQ(out->texts[0], "bcei"); // 1, 2, 4, 8, then 0
  EXPECT_EQ(streamed, out->texts[0]);
  EXPECT_NE(generator->generate(prompts, PromptForm::chat, {}).status().message().find("chat"), std::string::npos);
}

// Embeddings come back in order, whatever the batches; long texts are cut.
TEST(Embedding, OrderAndLength) {
  TemporaryFolder folder;
  ASSERT_EQ(artifact::write(folder.file("a"), embeddingToy().input).message(), "");
  auto session = Session::create(*Model::load(folder.file("a")), {.threads = 1});
  auto embedder = Embedder::create(**session);
  ASSERT_EQ(embedder.status().message(), "");
  EXPECT_EQ(embedder->dimension(), 2);
  EXPECT_EQ(embedder->maxTokens(), 10);
  std::vector<std::string> texts = {"b", "bcd", "cccccccccccccccccccc", "d", "ee", "fffffff", "g"};
  EncoderStats stats;
  auto vectors = embedder->embed(texts, &stats);
  ASSERT_EQ(vectors.status().message(), "");
  EXPECT_EQ(*vectors, (std::vector<float>{1, 1, 2, 3, 2, 10, 3, 1, 4, 2, 5, 7, 6, 1}));
  EXPECT_EQ(stats.truncated, 1);
  EXPECT_EQ(stats.tokens, 1 + 3 + 10 + 1 + 2 + 7 + 1);
  texts = {""};
  EXPECT_NE(embedder->embed(texts).status().message().find("text 0: expected 1 to 10 tokens, found 0"),
            std::string::npos);
}

// A model that does something else says so.
TEST(Embedding, WrongModel) {
  TemporaryFolder folder;
  ASSERT_TRUE(artifact::write(folder.file("a"), scaleThenMultiply().input).ok());
  auto session = Session::create(*Model::load(folder.file("a")), {.threads = 1});
  EXPECT_NE(Embedder::create(**session).status().message().find("input_ids"), std::string::npos);
  EXPECT_NE(Generator::create(**session).status().message().find("its task is run"), std::string::npos);
}
