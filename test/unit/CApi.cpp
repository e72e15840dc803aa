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

// The examples run, and fail with one line where the file is none.
TEST_F(CApi, Examples) {
  std::string generate = TRANSOM_EXAMPLE_GENERATE, embed = TRANSOM_EXAMPLE_EMBED;
  EXPECT_EQ(outputOf(generate + " " + artifact("g", cachedToy()) + " b 3"), "bce\n[0]");
  EXPECT_EQ(outputOf(embed + " " + artifact("e", embeddingToy()) + " bcd bcd"),
            " 1.0000  bcd\n 1.0000  bcd\n[0]");
  EXPECT_EQ(outputOf(generate + " /nonexistent b"), "error: /nonexistent: cannot open: No such file or directory\n[1]");
  EXPECT_NE(outputOf(embed + " " + folder.file("g") + " b").find("the model does not embed texts"), std::string::npos);
}
