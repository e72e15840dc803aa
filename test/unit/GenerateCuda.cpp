// Generation on CUDA, with the fake driver and emulated kernels: tokens chosen on the device are those that the host would choose, in
// the same events; the host does not wait for single steps.
#include "CudaFixture.h"

#include "runtime/generate/Generator.h"

using namespace transom;
using namespace transom::test;

namespace {

using Prompts = std::vector<std::vector<int32_t>>;

/// All that a request gives.
struct Answer {
  Generated generated;
  std::vector<std::tuple<size_t, int32_t, FinishReason>> events;
  std::string error;
  bool operator==(const Answer &other) const {
    return generated.tokens == other.generated.tokens && generated.finish == other.generated.finish &&
           generated.stats.newTokens == other.generated.stats.newTokens && generated.stats.decodeSteps == other.generated.stats.decodeSteps &&
           generated.stats.promptTokens == other.generated.stats.promptTokens && events == other.events && error == other.error;
  }
};
void PrintTo(const Answer &answer, std::ostream *stream) {
  *stream << "error \"" << answer.error << "\", steps " << answer.generated.stats.decodeSteps << ", tokens";
  for (const auto &tokens : answer.generated.tokens)
    *stream << fmt::format(" [{}]", fmt::join(tokens, " "));
}

class GenerateCuda : public testing::Test {
protected:
  GenerateCuda() {
    EXPECT_EQ(artifact::write(folder.file("cpu"), cachedToy().input).message(), "");
    for (StepInputs inputs : {StepInputs::none, StepInputs::greedy, StepInputs::sampling}) {
      ArtifactBuilder b = cachedToyOnCuda(inputs);
      EXPECT_EQ(artifact::write(path(inputs), b.input).message(), "");
    }
    restart();
  }
  std::string path(StepInputs inputs) const { return folder.file(std::to_string(static_cast<int>(inputs))); }
  std::unique_ptr<Session> open(const std::string &file) {
    auto model = Model::load(file);
    EXPECT_EQ(model.status().message(), "");
    auto session = Session::create(*model, {.threads = 1});
    EXPECT_EQ(session.status().message(), "");
    return std::move(*session);
  }
  static Answer ask(Session &session, const Prompts &prompts, const GenerateOptions &options, size_t stopAfter = SIZE_MAX) {
    Answer answer;
    auto generator = Generator::create(session);
    EXPECT_EQ(generator.status().message(), "");
    auto generated = generator->generate(prompts, options, [&](const TokenEvent &event) {
      answer.events.emplace_back(event.row, event.token, event.finish);
      return answer.events.size() < stopAfter;
    });
    answer.error = generated.status().message();
    if (generated.ok())
      answer.generated = std::move(*generated);
    return answer;
  }
  void TearDown() override { EXPECT_EQ(gpu->problems(), ""); }
  /// Another fake GPU, as nothing has run on one.
  void restart() {
    gpu.reset();
    gpu = std::make_unique<fake::FakeCuda>(fake::Options{.timing = fake::Timing::lazy});
    emulateKernels(*gpu, cachedToyOnCuda(StepInputs::sampling).contents);
  }
  TemporaryFolder folder;
  std::unique_ptr<fake::FakeCuda> gpu;
};

const Prompts uneven = {{3, 5}, {1}, {7, 7, 7, 7, 7, 7, 7}, {2, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8}, {15}};

} // namespace

// Tokens, events, reasons and counts are those of the CPU, for prompts of all lengths and all ways to end; twice on one session.
TEST_F(GenerateCuda, AsOnTheCpu) {
  std::unique_ptr<Session> cpu = open(folder.file("cpu"));
  for (StepInputs inputs : {StepInputs::none, StepInputs::sampling}) {
    std::unique_ptr<Session> session = open(path(inputs));
    EXPECT_EQ(session->device(), DeviceChoice::cuda());
    for (int round = 0; round < 2; ++round)
      for (GenerateOptions options : {GenerateOptions{}, {.maxNewTokens = 1}, {.maxNewTokens = 2}, {.maxNewTokens = 9, .ignoreEos = true},
                                      {.maxNewTokens = 100, .ignoreEos = true}})
        for (const Prompts &prompts : {uneven, Prompts{{1}}, Prompts{std::vector<int32_t>(30, 1), {2}}, Prompts{std::vector<int32_t>(31, 1)}})
          EXPECT_EQ(ask(*session, prompts, options), ask(*cpu, prompts, options)) << options.maxNewTokens;
  }
}

// Sampled tokens depend on seed, row, number and logits alone, wherever they are chosen.
TEST_F(GenerateCuda, SamplesAsTheHost) {
  std::unique_ptr<Session> cpu = open(folder.file("cpu")), device = open(path(StepInputs::sampling)), host = open(path(StepInputs::none));
  uint64_t launches = gpu->count("kernel choose");
  for (GenerateOptions options : {GenerateOptions{.maxNewTokens = 12, .temperature = 5, .seed = 42, .ignoreEos = true},
                                  {.maxNewTokens = 12, .temperature = 2, .topK = 3, .seed = 7},
                                  {.maxNewTokens = 12, .temperature = 1, .topP = 0.7f, .seed = UINT64_MAX, .ignoreEos = true},
                                  {.maxNewTokens = 12, .temperature = 3, .topK = 1}}) {
    Answer expected = ask(*cpu, uneven, options);
    EXPECT_EQ(ask(*device, uneven, options), expected);
    EXPECT_EQ(ask(*host, uneven, options), expected);
  }
  EXPECT_GT(gpu->count("kernel choose"), launches);
}

// Profiled, each step of the loop is launched by itself and timed, with the same tokens.
TEST_F(GenerateCuda, Profile) {
  std::unique_ptr<Session> cpu = open(folder.file("cpu"));
  auto session = Session::create(*Model::load(path(StepInputs::sampling)), {.device = DeviceChoice::cuda(), .profile = true});
  ASSERT_EQ(session.status().message(), "");
  EXPECT_EQ(ask(**session, uneven, {}), ask(*cpu, uneven, {}));
  size_t step = *(*session)->programIndex("step");
  ASSERT_EQ((*session)->stepNanoseconds(step).size(), 3u);
  EXPECT_GT((*session)->stepNanoseconds(step)[2], 0u);
  EXPECT_EQ(gpu->count("cuGraphLaunch"), 0u);
}

// A loop's graphs may be made ahead.
TEST_F(GenerateCuda, PreparedLoops) {
  std::unique_ptr<Session> session = open(path(StepInputs::sampling));
  int64_t sizes[] = {1, 4};
  for (const char *program : {"prefill", "step"})
    ASSERT_EQ(session->prepare(*session->programIndex(program), sizes).message(), "");
  uint64_t captures = gpu->count("cuStreamBeginCapture");
  EXPECT_EQ(ask(*session, {{3, 5, 1, 1}}, {}).generated.tokens[0], toyAnswer({3, 5, 1, 1}, 128));
  EXPECT_EQ(gpu->count("cuStreamBeginCapture"), captures);
}

// A callback that stops the request stops it at that token, and the next request begins anew.
TEST_F(GenerateCuda, StopsWhereTheCallbackSays) {
  std::unique_ptr<Session> cpu = open(folder.file("cpu")), session = open(path(StepInputs::sampling));
  GenerateOptions options{.maxNewTokens = 10, .ignoreEos = true};
  for (size_t after = 1; after <= 21; after += 5)
    EXPECT_EQ(ask(*session, {{3, 5}, {1}}, options, after), ask(*cpu, {{3, 5}, {1}}, options, after)) << after;
}

// The host waits for a step only when several are under way, launches no more than can be needed, and copies tokens alone.
TEST_F(GenerateCuda, StepsUnderWay) {
  std::unique_ptr<Session> session = open(path(StepInputs::sampling));
  ask(*session, {{1}}, {.maxNewTokens = 20, .ignoreEos = true});
  uint64_t launches = gpu->count("cuGraphLaunch"), waits = gpu->count("cuStreamSynchronize"), captures = gpu->count("cuStreamBeginCapture");
  Answer answer = ask(*session, {{1}}, {.maxNewTokens = 20, .ignoreEos = true});
  EXPECT_EQ(answer.generated.tokens[0].size(), 20u);
  EXPECT_EQ(gpu->count("cuGraphLaunch") - launches, 1u + 19u);
  // For what was under way before, the prompt, and the loop's inputs.
  EXPECT_LE(gpu->count("cuStreamSynchronize") - waits, 4u);
  EXPECT_EQ(gpu->count("cuStreamBeginCapture"), captures);
  // 1, 2, 4, 8, then 0 ends the text: what was under way then is lost.
  launches = gpu->count("cuGraphLaunch");
  answer = ask(*session, {{1}}, {});
  EXPECT_EQ(answer.generated.tokens[0], (std::vector<int32_t>{1, 2, 4, 8, 0}));
  EXPECT_LE(gpu->count("cuGraphLaunch") - launches, 1u + 4u + 4u);
}

// Logits that are no numbers are an error that names prompt and token, wherever the token is chosen.
TEST_F(GenerateCuda, NotNumbers) {
  std::vector<int32_t> prompt(31, 15);
  prompt.back() = 2;
  for (StepInputs inputs : {StepInputs::none, StepInputs::sampling}) {
    std::unique_ptr<Session> session = open(path(inputs));
    Answer answer = ask(*session, {prompt}, {});
    EXPECT_EQ(answer.error, "prompt 0: the model gave NaN or infinite logits for token 1");
    EXPECT_EQ(answer.events.size(), 1u);
    EXPECT_EQ(ask(*session, {{1}}, {}).generated.tokens[0], toyAnswer({1}, 128));
  }
}

// A step program that lacks the inputs for sampling chooses greedily; other requests go through the host.
TEST_F(GenerateCuda, GreedyStep) {
  emulateKernels(*gpu, cachedToyOnCuda(StepInputs::greedy).contents);
  std::unique_ptr<Session> cpu = open(folder.file("cpu")), session = open(path(StepInputs::greedy));
  EXPECT_EQ(ask(*session, uneven, {}), ask(*cpu, uneven, {}));
  uint64_t chosen = gpu->count("kernel choose");
  EXPECT_GT(chosen, 0u);
  GenerateOptions options{.maxNewTokens = 6, .temperature = 4, .seed = 3};
  EXPECT_EQ(ask(*session, uneven, options), ask(*cpu, uneven, options));
  // Steps that were under way when the last text ended are done later.
  EXPECT_LE(gpu->count("kernel choose"), chosen + 4);
}

// A step program whose values are not those of a step is refused by name.
TEST_F(GenerateCuda, RefusesOtherSteps) {
  ArtifactBuilder b = cachedToyOnCuda();
  b.contents.programs.back().inputs[3].name = "warmth";
  ASSERT_EQ(artifact::write(folder.file("b"), b.input).message(), "");
  std::unique_ptr<Session> session = open(folder.file("b"));
  EXPECT_EQ(Generator::create(*session).status().message(), "program step: no \"temperature\"");
}

// An error at each call in turn: a status or the right answer, and nothing is left behind.
TEST_F(GenerateCuda, ErrorsAtEveryCall) {
  auto scenario = [&]() -> Status {
    TRANSOM_ASSIGN(auto model, Model::load(path(StepInputs::sampling)));
    TRANSOM_ASSIGN(auto session, Session::create(model, {.device = DeviceChoice::cuda()}));
    TRANSOM_ASSIGN(Generator generator, Generator::create(*session));
    Prompts prompts = {{3, 5}, {1}};
    TRANSOM_ASSIGN(Generated generated, generator.generate(prompts, {.maxNewTokens = 7}));
    for (size_t i = 0; i < prompts.size(); ++i)
      EXPECT_EQ(generated.tokens[i], toyAnswer(prompts[i], 7));
    return {};
  };
  uint64_t before = gpu->calls();
  ASSERT_EQ(scenario().message(), "");
  uint64_t calls = gpu->calls() - before;
  size_t failures = 0;
  for (uint64_t call = 1; call <= calls; ++call) {
    gpu->failAt(call, cuda::CUDA_ERROR_INVALID_VALUE);
    failures += !scenario().ok();
    // A device that cannot be taken cannot be cleaned up.
    if (gpu->failedIn() != "cuCtxSetCurrent")
      ASSERT_EQ(gpu->problems(), "") << "call " << call << " in " << gpu->failedIn();
    restart();
  }
  EXPECT_GT(failures, calls / 2);
}
