// The C API and its C++ wrapper through the shared library, and the examples as programs.
#include "GenerationFixture.h"

#include <cstdio>
#include <transom/transom.hpp>

using namespace transom;
using namespace transom::test;

namespace {

class CApi : public testing::Test {
protected:
  std::string artifact(const std::string &name, ArtifactBuilder builder) {
    EXPECT_EQ(artifact::write(folder.file(name), builder.input).message(), "");
    return folder.file(name);
  }
  TemporaryFolder folder;
};

/// What a command prints, its exit code last.
std::string outputOf(const std::string &command) {
  std::string text;
  FILE *pipe = ::popen((command + " 2>&1").c_str(), "r");
  for (int c; (c = std::fgetc(pipe)) != EOF;)
    text += static_cast<char>(c);
  return text + "[" + std::to_string(WEXITSTATUS(::pclose(pipe))) + "]";
}

} // namespace

// Errors come as a status with a code and one line; null arguments are errors; freeing null is fine.
TEST_F(CApi, Errors) {
  transom_model *model = nullptr;
  transom_status *status = transom_model_load("/nonexistent", &model);
  ASSERT_NE(status, nullptr);
  EXPECT_EQ(transom_status_code(status), TRANSOM_NOT_FOUND);
  EXPECT_STREQ(transom_status_message(status), "/nonexistent: cannot open: No such file or directory");
  EXPECT_EQ(model, nullptr);
  transom_status_free(status);
  status = transom_model_load(nullptr, &model);
  EXPECT_EQ(transom_status_code(status), TRANSOM_INVALID_ARGUMENT);
  transom_status_free(status);
  status = transom_session_create(nullptr, 0, nullptr);
  EXPECT_EQ(transom_status_code(status), TRANSOM_INVALID_ARGUMENT);
  transom_status_free(status);
  transom_status_free(nullptr);
  transom_model_free(nullptr);
  transom_session_free(nullptr);
  transom_tokens_free(nullptr);
  transom_string_free(nullptr);
  transom_texts_free(nullptr, 3);
  EXPECT_EQ(transom_status_code(nullptr), TRANSOM_OK);
  EXPECT_STREQ(transom_version(), "0.1.0");
}

// Tensors in and out.
TEST_F(CApi, Run) {
  api::Model model(artifact("a", scaleThenMultiply()));
  api::Session session(model, 2);
  EXPECT_EQ(model.memory(1).weights, 12u);
  EXPECT_EQ(model.metadata("source"), "test");
  EXPECT_EQ(model.metadata("task"), "run");
  EXPECT_EQ(model.metadata("absent"), "");
  float x[] = {1, 0, 0, 0, 0, 1, 0, 0};
  int64_t shape[] = {2, 4};
  transom_tensor input{"x", TRANSOM_F32, 2, shape, x};
  auto outputs = session.run("main", {&input, 1});
  ASSERT_EQ(outputs.size(), 1u);
  EXPECT_STREQ(outputs[0].name, "z");
  EXPECT_EQ(outputs[0].rank, 2u);
  EXPECT_EQ(outputs[0].shape[1], 3);
  auto *z = static_cast<const float *>(outputs[0].data);
  EXPECT_EQ(std::vector(z, z + 6), (std::vector<float>{0, 8, 16, 2, 10, 18}));
  try {
    session.run("other", {});
    FAIL();
  } catch (const api::Error &error) {
    EXPECT_EQ(error.code(), TRANSOM_NOT_FOUND);
    EXPECT_STREQ(error.what(), "no program \"other\"; the artifact has main");
  }
}

// Sessions name their device; one that artifact or machine lack is an error that says so.
TEST_F(CApi, Devices) {
  api::Model model(artifact("a", scaleThenMultiply()));
  EXPECT_EQ(api::Session(model, "cpu", 1).device(), "cpu");
  EXPECT_EQ(api::Session(model, "auto", 1).deviceName(), "CPU");
  EXPECT_EQ(model.memoryOn("cpu", 1).scratch, model.memory(1).scratch);
  EXPECT_EQ(model.memoryOn("cpu", 1).pinned, 0u);
  auto failure = [](auto call) -> std::string {
    try {
      call();
    } catch (const api::Error &error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(failure([&] { api::Session(model, "tpu"); }), "device: expected auto, cpu, cuda or cuda:N, found \"tpu\"");
  EXPECT_EQ(failure([&] { api::Session(model, "cuda:0"); }),
            "device cuda:0: the artifact has programs for the CPU only; compile it with --target=cuda:sm_...");
  EXPECT_EQ(failure([&] { model.memoryOn("cuda"); }),
            "device cuda:0: the artifact has programs for the CPU only; compile it with --target=cuda:sm_...");
  transom_session *session = nullptr;
  transom_status *status = transom_session_create_on(model.get(), nullptr, 0, &session);
  EXPECT_EQ(transom_status_code(status), TRANSOM_INVALID_ARGUMENT);
  EXPECT_EQ(session, nullptr);
  transom_status_free(status);
}

// Text generation with streaming; sessions outlive the model's handle.
TEST_F(CApi, Generate) {
  auto model = std::make_unique<api::Model>(artifact("a", cachedToy()));
  api::Session session(*model);
  EXPECT_EQ(model->tokenize("bé"), (std::vector<int32_t>{1, 14, 15}));
  std::vector<int32_t> tokens = {14, 15, 0, 2};
  EXPECT_EQ(model->detokenize(tokens), "éc");
  model.reset();
  std::vector<std::string> prompts = {"b", "df"}, streamed(2);
  auto texts = session.generate(prompts, {}, [&](size_t row, std::string_view text, transom_finish) {
    streamed[row] += text;
    return true;
  });
  EXPECT_EQ(texts, (std::vector<std::string>{"bcei", "i"}));
  EXPECT_EQ(streamed, texts);
  auto thrower = [](size_t, std::string_view, transom_finish) -> bool { throw std::runtime_error("mine"); };
  EXPECT_THROW(session.generate(prompts, {}, thrower), std::runtime_error);
  api::GenerateOptions options;
  options.top_p = 2;
  EXPECT_THROW(session.generate(prompts, options), api::Error);
}

// Embedding through the wrapper.
TEST_F(CApi, Embed) {
  api::Session session{api::Model(artifact("a", embeddingToy()))};
  std::vector<std::string> texts = {"bcd", "e"};
  EXPECT_EQ(session.embeddingDim(), 2u);
  EXPECT_EQ(session.embed(texts), (std::vector<float>{2, 3, 4, 1}));
}

// Labels of texts, pairs and token ids; what another head is for is named.
TEST_F(CApi, Classify) {
  api::Session session{api::Model(artifact("a", classifierToy("sequence_classification")))};
  EXPECT_EQ(session.labels(), (std::vector<std::string>{"mean", "count"}));
  std::vector<api::Text> texts = {{"bcd"}, {"b", "c"}, {std::vector<int32_t>{4, 4}}};
  api::LabelScores found = session.classify(texts);
  EXPECT_EQ(found.logits, (std::vector<float>{2, 3, 1, 3, 4, 2}));
  EXPECT_FLOAT_EQ(found.scores[0] + found.scores[1], 1);
  transom_text text{"b", nullptr, nullptr, nullptr, 0}, nothing{nullptr, nullptr, nullptr, nullptr, 1};
  EXPECT_EQ(transom_classify(session.get(), &text, 1, nullptr, nullptr), nullptr);
  for (auto [input, count] : {std::pair<transom_text *, size_t>(nullptr, 1), {&nothing, 1}}) {
    transom_status *status = transom_classify(session.get(), input, count, nullptr, nullptr);
    EXPECT_EQ(transom_status_code(status), TRANSOM_INVALID_ARGUMENT);
    transom_status_free(status);
  }
  try {
    session.fillMask(texts);
    FAIL();
  } catch (const api::Error &error) {
    EXPECT_EQ(error.code(), TRANSOM_UNSUPPORTED);
    EXPECT_STREQ(error.what(), "expected a model whose head is masked_lm, found sequence_classification: use classify");
  }
  texts = {{std::vector<int32_t>{4, 4}, {0}}};
  EXPECT_THROW(session.classify(texts), api::Error);
}

// Labels of tokens with their places, and tokens for masks.
TEST_F(CApi, TokensAndMasks) {
  api::Session tokens{api::Model(artifact("t", classifierToy("token_classification")))};
  std::vector<api::Text> texts = {{"b", "c"}};
  auto labels = tokens.classifyTokens(texts);
  ASSERT_EQ(labels.size(), 2u);
  EXPECT_EQ(labels[1].position, 2u);
  EXPECT_EQ(labels[1].token, 2);
  EXPECT_EQ(labels[1].part, 1);
  EXPECT_EQ(labels[1].end, 1u);
  EXPECT_EQ(tokens.labels()[labels[1].label], "L5");
  EXPECT_EQ(tokens.classifyTokens(std::vector<api::Text>{{std::vector<int32_t>{1}}})[0].part, -1);
  EXPECT_TRUE(tokens.classifyTokens({}).empty());
  api::Session words{api::Model(artifact("w", classifierToy("masked_lm")))};
  texts = {{"b<end>"}};
  auto found = words.fillMask(texts, 1);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].position, 1u);
  EXPECT_EQ(found[0].token, 2);
  EXPECT_EQ(words.fillMask(texts, 1, /*maskToken=*/1)[0].position, 0u);
  EXPECT_THROW(words.fillMask(texts, 0), api::Error);
  transom_token_labels_free(nullptr);
  transom_mask_tokens_free(nullptr);
}

// The examples run, and fail with one line where the file is none.
TEST_F(CApi, Examples) {
  std::string generate = TRANSOM_EXAMPLE_GENERATE, embed = TRANSOM_EXAMPLE_EMBED;
  EXPECT_EQ(outputOf(generate + " " + artifact("g", cachedToy()) + " b 3"), "bce\n[0]");
  EXPECT_EQ(outputOf(embed + " " + artifact("e", embeddingToy()) + " bcd bcd"),
            " 1.0000  bcd\n 1.0000  bcd\n[0]");
  EXPECT_EQ(outputOf(generate + " /nonexistent b"), "error: /nonexistent: cannot open: No such file or directory\n[1]");
  EXPECT_NE(outputOf(embed + " " + folder.file("g") + " b").find("the model does not embed texts"), std::string::npos);
}
