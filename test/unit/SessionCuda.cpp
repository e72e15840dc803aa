// Sessions on CUDA, with the fake driver and emulated kernels: results, sizes that the host finds, graphs by bucket, memory, devices,
// errors at every call.
#include "CudaFixture.h"

#include "runtime/Session.h"
#include "runtime/cuda/CudaGraphs.h"
#include "runtime/format/Buckets.h"

#include <algorithm>
#include <thread>

using namespace transom;
using namespace transom::test;

namespace {

class SessionCuda : public testing::Test {
protected:
  std::shared_ptr<const Model> load(ArtifactBuilder builder) {
    EXPECT_EQ(artifact::write(folder.file("a"), builder.input).message(), "");
    Result<std::shared_ptr<const Model>> model = Model::load(folder.file("a"));
    EXPECT_EQ(model.status().message(), "");
    return model.ok() ? *model : nullptr;
  }
  /// A fake GPU that runs the builder's kernels.
  void start(const ArtifactBuilder &builder, fake::Options options = {.timing = fake::Timing::lazy}) {
    gpu = std::make_unique<fake::FakeCuda>(options);
    emulateKernels(*gpu, builder.contents);
  }
  std::unique_ptr<Session> open(ArtifactBuilder builder, SessionOptions options = {.device = DeviceChoice::cuda()}) {
    if (!gpu)
      start(builder);
    Result<std::unique_ptr<Session>> session = Session::create(load(std::move(builder)), options);
    EXPECT_EQ(session.status().message(), "");
    return session.ok() ? std::move(*session) : nullptr;
  }
  /// A run of mappedOnCuda on a device of its own, which stays to be looked at.
  Status runMapped(ArtifactBuilder b, const fake::Options &options, int64_t rows) {
    b.input.codeBytes[0] = fake::imageOf({"scale_tiles"});
    if (gpu)
      EXPECT_EQ(gpu->problems(), "");
    gpu.reset();
    gpu = std::make_unique<fake::FakeCuda>(options);
    auto session = Session::create(load(std::move(b)), {});
    if (!session.ok())
      return session.status();
    std::vector<uint16_t> x(static_cast<size_t>(64 * rows));
    int64_t shape[] = {rows, 64};
    TensorView input{"x", DType::f16, shape, x.data()};
    return (*session)->run(0, {&input, 1}).status();
  }
  void TearDown() override {
    if (gpu)
      EXPECT_EQ(gpu->problems(), "");
  }
  TemporaryFolder folder;
  std::unique_ptr<fake::FakeCuda> gpu;
};

std::vector<float> ramp(int64_t batch) {
  std::vector<float> x(static_cast<size_t>(batch * 4));
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(i % 37) * 0.5f - 1;
  return x;
}

/// z of scaleThenMultiplyOnCuda.
std::vector<float> expectedZ(const std::vector<float> &x) {
  std::vector<float> z;
  for (size_t row = 0; row < x.size() / 4; ++row)
    for (size_t column = 0; column < 3; ++column) {
      float sum = static_cast<float>(column + 1);
      for (size_t i = 0; i < 4; ++i)
        sum += 2 * x[row * 4 + i] * static_cast<float>(column * 4 + i);
      z.push_back(std::max(sum, 0.0f));
    }
  return z;
}

Result<std::span<const TensorView>> runRows(Session &session, size_t program, int64_t batch, const std::vector<float> &x) {
  int64_t shape[] = {batch, 4};
  TensorView input{"x", DType::f32, shape, x.data()};
  return session.run(program, {&input, 1});
}

template <typename T> std::vector<T> numbersOf(const TensorView &view) {
  auto *data = static_cast<const T *>(view.data);
  int64_t count = 1;
  for (int64_t size : view.shape)
    count *= size;
  return {data, data + count};
}

} // namespace

// Kernels and products give the right numbers for every batch, in any order of sizes; what kernels keep outlives runs.
TEST_F(SessionCuda, Runs) {
  std::unique_ptr<Session> session = open(scaleThenMultiplyOnCuda());
  int32_t rows = 0;
  for (int64_t batch : {1, 3, 64, 5, 3, 17, 1}) {
    std::vector<float> x = ramp(batch);
    auto outputs = runRows(*session, 0, batch, x);
    ASSERT_EQ(outputs.status().message(), "");
    const TensorView &z = outputs->front();
    EXPECT_EQ(std::vector(z.shape.begin(), z.shape.end()), (std::vector<int64_t>{batch, 3}));
    EXPECT_EQ(numbersOf<float>(z), expectedZ(x));
    rows += static_cast<int32_t>(batch);
    EXPECT_EQ(numbersOf<int32_t>((*outputs)[1]), std::vector<int32_t>{rows});
  }
  // z comes of the library and is copied; the other output is small and one kernel's, which writes it to the host's memory.
  uint64_t copies = gpu->count("cuMemcpyDtoHAsync");
  ASSERT_EQ(runRows(*session, 0, 1, ramp(1)).status().message(), "");
  EXPECT_EQ(gpu->count("cuMemcpyDtoHAsync") - copies, 1u);
  EXPECT_EQ(session->device(), DeviceChoice::cuda(0));
}

// Wrong inputs are refused as on the CPU, and the session stays usable.
TEST_F(SessionCuda, RefusesWrongInputs) {
  std::unique_ptr<Session> session = open(scaleThenMultiplyOnCuda());
  std::vector<float> x = ramp(65);
  EXPECT_EQ(runRows(*session, 0, 65, x).status().message(), "input \"x\": batch (dimension 0) must be 1 to 64, found 65");
  EXPECT_EQ(runRows(*session, 1, 2, x).status().message(), "program 1 of 1");
  EXPECT_TRUE(runRows(*session, 0, 2, x).ok());
}

// A size that a step sets is found on the host, by counting or by adding up; kernels and outputs have it, and it chooses the kernel.
TEST_F(SessionCuda, SizesThatTheHostFinds) {
  std::unique_ptr<Session> session = open(packedTokensThatRun());
  auto run = [&](std::vector<int32_t> mask, int64_t batch) {
    int64_t shape[] = {batch, std::ssize(mask) / batch};
    TensorView input{"mask", DType::i32, shape, mask.data()};
    auto outputs = session->run(0, {&input, 1});
    EXPECT_EQ(outputs.status().message(), "");
    std::vector<int32_t> expected;
    for (size_t i = 0; i < mask.size(); ++i)
      if (mask[i])
        expected.push_back(static_cast<int32_t>(i));
    EXPECT_EQ(outputs->front().shape[0], std::ssize(expected));
    EXPECT_EQ(numbersOf<int32_t>(outputs->front()), expected);
  };
  run({1, 0, 1, 0, 1, 1}, 2);
  run({0, 0, 0, 0, 0, 0}, 2);
  EXPECT_EQ(gpu->count("kernel copy_many"), 0u);
  run(std::vector<int32_t>(40, 1), 4);
  EXPECT_EQ(gpu->count("kernel copy_few"), 1u);
  EXPECT_EQ(gpu->count("kernel copy_many"), 1u);
}

// Sums count each number within its limit.
TEST_F(SessionCuda, SizesThatAreSums) {
  std::unique_ptr<Session> session = open(packedTokensThatRun(artifact::SizeSource::sum));
  std::vector<int32_t> mask = {1, 0, -7, 9, 1, 0};
  int64_t shape[] = {2, 3};
  TensorView input{"mask", DType::i32, shape, mask.data()};
  auto outputs = session->run(0, {&input, 1});
  ASSERT_EQ(outputs.status().message(), "");
  EXPECT_EQ(outputs->front().shape[0], 1 + 0 + 0 + 3 + 1 + 0);
}

// A number outside the size's bounds ends the run before anything is launched, and the session stays usable.
TEST_F(SessionCuda, RefusesSizesOutOfBounds) {
  ArtifactBuilder b = packedTokensThatRun();
  b.contents.symbols[2].min = 1;
  std::unique_ptr<Session> session = open(std::move(b));
  int64_t shape[] = {1, 2};
  std::vector<int32_t> none = {0, 0}, some = {0, 1};
  TensorView input{"mask", DType::i32, shape, none.data()};
  EXPECT_EQ(session->run(0, {&input, 1}).status().message(), "step 1 (tokens): tokens must be 1 to 64, found 0 in input \"mask\"");
  EXPECT_EQ(gpu->count("cuGraphLaunch"), 0u);
  input.data = some.data();
  EXPECT_TRUE(session->run(0, {&input, 1}).ok());
}

// What falls with a symbol is counted at the symbol's least, so that a bucket's grid covers every size in it.
TEST(CudaBuckets, MostOfDifferences) {
  std::vector<artifact::Symbol> symbols = {{"total", 1, 100}, {"seq", 2, 50}};
  artifact::Expr difference{{{1, {0}}, {-1, {1}}}}, product{{{3, {0, 1}}}}, negative{{{-1, {0}}}};
  int64_t bucket[] = {16, 16};
  EXPECT_EQ(mostInBucket(difference, bucket, symbols), 14);
  EXPECT_EQ(mostInBucket(product, bucket, symbols), 768);
  EXPECT_EQ(mostInBucket(negative, bucket, symbols), 0);
}

// One graph serves all sizes of a bucket; prepare() makes it ahead.
TEST_F(SessionCuda, GraphsByBucket) {
  std::unique_ptr<Session> session = open(scaleThenMultiplyOnCuda());
  std::vector<float> x = ramp(64);
  auto captures = [&] { return gpu->count("cuStreamBeginCapture"); };
  int64_t eight[] = {8}, wrong[] = {65};
  ASSERT_EQ(session->prepare(0, eight).message(), "");
  EXPECT_EQ(captures(), 1u);
  for (int64_t batch : {5, 8, 6, 7})
    ASSERT_TRUE(runRows(*session, 0, batch, x).ok());
  EXPECT_EQ(captures(), 1u);
  EXPECT_EQ(gpu->count("cuGraphLaunch"), 4u);
  ASSERT_TRUE(runRows(*session, 0, 9, x).ok());
  EXPECT_EQ(captures(), 2u);
  EXPECT_EQ(session->prepare(0, wrong).message(), "sizes: batch must be 1 to 64, found 65");
  EXPECT_EQ(session->prepare(1, eight).message(), "program 1 of 1");
}

// There are at most so many graphs of a program; the one used longest ago goes first.
TEST_F(SessionCuda, GraphsAreBounded) {
  ArtifactBuilder b = packedTokensThatRun();
  for (int64_t tokens = 1; tokens <= b.contents.symbols[2].max; ++tokens)
    b.contents.symbols[2].buckets.push_back(tokens);
  std::unique_ptr<Session> session = open(b);
  auto run = [&](int64_t batch, int64_t seq, int64_t tokens) {
    std::vector<int32_t> mask(static_cast<size_t>(batch * seq));
    std::fill_n(mask.begin(), tokens, 1);
    int64_t shape[] = {batch, seq};
    TensorView input{"mask", DType::i32, shape, mask.data()};
    auto outputs = session->run(0, {&input, 1});
    ASSERT_EQ(outputs.status().message(), "");
    ASSERT_EQ(outputs->front().shape[0], tokens);
  };
  size_t distinct = 0;
  auto each = [&](auto visit) {
    distinct = 0;
    for (int64_t batch : {1, 2, 4})
      for (int64_t seq : {1, 2, 4, 8, 16})
        for (int64_t tokens = 0; tokens <= batch * seq; ++tokens)
          visit(batch, seq, tokens), ++distinct;
  };
  each(run);
  ASSERT_GT(distinct, artifact::mostGraphs);
  EXPECT_EQ(gpu->count("cuStreamBeginCapture"), distinct);
  EXPECT_EQ(gpu->count("cuGraphExecDestroy"), distinct - artifact::mostGraphs);
  run(4, 16, 64); // used last
  EXPECT_EQ(gpu->count("cuStreamBeginCapture"), distinct);
  run(1, 1, 0); // used first
  EXPECT_EQ(gpu->count("cuStreamBeginCapture"), distinct + 1);
}

// The memory that a session takes on a GPU is known before it exists, and runs take no more.
TEST_F(SessionCuda, MemoryIsPredicted) {
  for (ArtifactBuilder b : {scaleThenMultiplyOnCuda(), cachedToyOnCuda(), packedTokensThatRun()}) {
    gpu.reset();
    start(b);
    std::shared_ptr<const Model> model = load(b);
    MemoryPlan plan = model->memoryPlan(artifact::Device::cuda, 1);
    {
      auto session = Session::create(model, {.device = DeviceChoice::cuda()});
      ASSERT_EQ(session.status().message(), "");
      EXPECT_EQ(gpu->allocatedBytes(), plan.weights + plan.session());
    }
    EXPECT_EQ(gpu->allocatedBytes(), plan.weights);
  }
}

// What only the other device's programs use takes no memory.
TEST_F(SessionCuda, MemoryByDevice) {
  ArtifactBuilder b = scaleThenMultiplyOnCuda(8, /*both=*/true);
  artifact::Expr eight = artifact::Expr::constant(8);
  for (size_t program : {0, 1}) {
    uint32_t state = b.state(program == 0 ? "cache.cpu" : "cache.cuda", DType::f32, {artifact::Expr::constant(program == 0 ? 64 : 640)});
    b.buffer(b.contents.programs[program], artifact::BufferKind::state, state, DType::f32, {eight});
  }
  start(b);
  std::shared_ptr<const Model> model = load(b);
  MemoryPlan cpu = model->memoryPlan(artifact::Device::cpu, 1), cuda = model->memoryPlan(artifact::Device::cuda, 1);
  EXPECT_EQ(cpu.weights, 12u);
  EXPECT_EQ(cpu.states, 256u);
  EXPECT_EQ(cpu.pinned, 0u);
  EXPECT_EQ(cuda.weights, 256u + 256u); // 12 and 3 numbers of f32
  EXPECT_EQ(cuda.states, 2560u);
  EXPECT_GE(cuda.pinned, cuda.staging);
  auto session = Session::create(model, {.device = DeviceChoice::cuda()});
  ASSERT_EQ(session.status().message(), "");
  EXPECT_EQ(gpu->allocatedBytes(), cuda.weights + cuda.session());
  std::vector<float> x = ramp(2);
  EXPECT_EQ(runRows(**session, 1, 2, x).status().message(), "");
}

// A device without room says what is needed and what is there, before anything is allocated for the session.
TEST_F(SessionCuda, TooLittleMemory) {
  ArtifactBuilder b = scaleThenMultiplyOnCuda(4096);
  start(b, {.memoryBytes = 64 << 10});
  auto session = Session::create(load(b), {.device = DeviceChoice::cuda()});
  EXPECT_EQ(session.status().code(), StatusCode::outOfMemory);
  EXPECT_NE(session.status().message().find("needs 0.2 MiB of GPU memory for a session"), std::string::npos) << session.status().message();
}

// "auto" takes the GPU where artifact and machine have one; what is missing is named.
TEST_F(SessionCuda, Devices) {
  ArtifactBuilder both = scaleThenMultiplyOnCuda(8, /*both=*/true), cudaOnly = scaleThenMultiplyOnCuda(8), cpuOnly = scaleThenMultiply();
  auto deviceOf = [&](const ArtifactBuilder &b, const char *wanted, int devices) {
    gpu.reset();
    start(b, {.devices = devices});
    auto session = Session::create(load(b), {.device = *DeviceChoice::parse(wanted), .threads = 1});
    return session.ok() ? (*session)->device().toString() : session.status().message();
  };
  EXPECT_EQ(deviceOf(both, "auto", 1), "cuda:0");
  EXPECT_EQ(deviceOf(both, "auto", 0), "cpu");
  EXPECT_EQ(deviceOf(both, "cpu", 1), "cpu");
  EXPECT_EQ(deviceOf(both, "cuda:1", 2), "cuda:1");
  EXPECT_EQ(deviceOf(both, "cuda:1", 1), "no GPU 1: there is 1, counted from 0");
  EXPECT_EQ(deviceOf(cpuOnly, "auto", 1), "cpu");
  EXPECT_EQ(deviceOf(cpuOnly, "cuda", 1), "device cuda:0: the artifact has programs for the CPU only; compile it with --target=cuda:sm_...");
  EXPECT_EQ(deviceOf(cudaOnly, "auto", 1), "cuda:0");
  EXPECT_EQ(deviceOf(cudaOnly, "cpu", 1), "device cpu: the artifact has programs for CUDA only; compile it with --target=cpu");
  EXPECT_EQ(deviceOf(cudaOnly, "auto", 0),
            "the artifact has programs for CUDA only, and this machine cannot run them: the NVIDIA driver sees no GPU");
}

// Without a driver at all "auto" falls back where it can, and says why where it cannot.
TEST_F(SessionCuda, NoDriver) {
  EXPECT_EQ((*resolveDevice(scaleThenMultiplyOnCuda(8, true).contents, {})).toString(), "cpu");
  std::string message = resolveDevice(scaleThenMultiplyOnCuda(8).contents, {}).status().message();
  EXPECT_NE(message.find("the artifact has programs for CUDA only, and this machine cannot run them: no NVIDIA driver"), std::string::npos)
      << message;
}

// Text and value of a choice.
TEST(DeviceChoices, Text) {
  for (const char *text : {"auto", "cpu", "cuda:0", "cuda:7"})
    EXPECT_EQ(DeviceChoice::parse(text)->toString(), text);
  EXPECT_EQ(*DeviceChoice::parse("cuda"), DeviceChoice::cuda(0));
  for (const char *text : {"", "gpu", "cuda:", "cuda:-1", "cuda:1x", "CPU", "cuda:99999999999"})
    EXPECT_EQ(DeviceChoice::parse(text).status().message(), fmt::format("device: expected auto, cpu, cuda or cuda:N, found \"{}\"", text));
}

// Code for the CPU that cannot be loaded is no hindrance on a GPU, and an error on the CPU.
TEST_F(SessionCuda, CpuCodeStaysUntouched) {
  ArtifactBuilder b = scaleThenMultiplyOnCuda(8, /*both=*/true);
  b.input.codeBytes[0].resize(100);
  start(b);
  std::shared_ptr<const Model> model = load(b);
  EXPECT_EQ(model->gemmLibrary(), nullptr);
  auto onGpu = Session::create(model, {.device = DeviceChoice::cuda()});
  ASSERT_EQ(onGpu.status().message(), "");
  std::vector<float> x = ramp(2);
  EXPECT_TRUE(runRows(**onGpu, 1, 2, x).ok());
  EXPECT_EQ(runRows(**onGpu, 0, 2, x).status().message(), "program main is for cpu, and this session runs on cuda:0");
  EXPECT_NE(Session::create(model, {.device = DeviceChoice::cpu()}).status().message().find("cannot load code"), std::string::npos);
}

// Profiling runs step by step and counts time for each.
TEST_F(SessionCuda, Profile) {
  std::unique_ptr<Session> session = open(scaleThenMultiplyOnCuda(), {.device = DeviceChoice::cuda(), .profile = true});
  std::vector<float> x = ramp(3);
  auto outputs = runRows(*session, 0, 3, x);
  ASSERT_EQ(outputs.status().message(), "");
  EXPECT_EQ(numbersOf<float>(outputs->front()), expectedZ(x));
  ASSERT_EQ(session->stepNanoseconds(0).size(), 3u);
  EXPECT_GT(session->stepNanoseconds(0)[0], 0u);
  EXPECT_EQ(gpu->count("cuGraphLaunch"), 0u);
}

// Observers see what each step writes, on either device the same.
TEST_F(SessionCuda, ObservesSteps) {
  ArtifactBuilder b = scaleThenMultiplyOnCuda(8, /*both=*/true);
  start(b);
  std::shared_ptr<const Model> model = load(b);
  std::vector<float> x = ramp(3);
  for (DeviceChoice device : {DeviceChoice::cpu(), DeviceChoice::cuda()}) {
    auto session = Session::create(model, {.device = device, .threads = 1});
    ASSERT_EQ(session.status().message(), "");
    std::vector<std::string> seen;
    std::vector<float> scaled;
    auto observer = [&](const StepValue &value) -> Status {
      seen.push_back(fmt::format("{} {} [{}] {}", value.step, value.source, fmt::join(value.shape, ", "), value.bytes.size()));
      if (value.source == "scale")
        scaled.assign(reinterpret_cast<const float *>(value.bytes.data()), reinterpret_cast<const float *>(value.bytes.data()) + 12);
      return {};
    };
    int64_t shape[] = {3, 4};
    TensorView input{"x", DType::f32, shape, x.data()};
    size_t program = *(*session)->programIndex("main");
    auto outputs = (*session)->observe(program, {&input, 1}, observer);
    ASSERT_EQ(outputs.status().message(), "");
    std::vector<std::string> expected = {"0 scale [3, 4] 48", "1 multiply [3, 3] 36"};
    if (device == DeviceChoice::cuda())
      expected.push_back("2 count [1] 4");
    EXPECT_EQ(seen, expected);
    for (size_t i = 0; i < scaled.size(); ++i)
      EXPECT_EQ(scaled[i], 2 * x[i]);
    auto refuse = [](const StepValue &) { return error(StatusCode::internal, "enough"); };
    EXPECT_EQ((*session)->observe(program, {&input, 1}, refuse).status().message(), "enough");
    EXPECT_TRUE((*session)->run(program, {&input, 1}).ok());
  }
}

// On a device of compute capability 9.0 kernels get the maps of their tensors.
TEST_F(SessionCuda, MapsTensors) {
  ArtifactBuilder b = mappedOnCuda();
  for (int major : {8, 9}) {
    b.contents.code[0].target = major == 8 ? "cuda:sm_80" : "cuda:sm_90a";
    EXPECT_EQ(runMapped(b, {.major = major}, 3).message(), "");
    EXPECT_EQ(gpu->count("cuTensorMapEncodeTiled"), major == 9 ? 1u : 0u);
    EXPECT_EQ(gpu->count("kernel scale_tiles"), 1u);
  }
}

// Of a kernel whose blocks stay no more clusters are launched than the device has room for, and none where it has no room for one.
TEST_F(SessionCuda, BlocksThatStay) {
  ArtifactBuilder b = mappedOnCuda();
  b.contents.cudaKernels[0].stays = 2;
  for (auto [clusters, blocks] : {std::pair(3, 6u), std::pair(1000, 64u), std::pair(0, 0u)}) {
    Status ran = runMapped(b, {.major = 9, .clusters = clusters}, 64);
    EXPECT_EQ(ran.ok(), clusters > 0) << ran.message();
    EXPECT_EQ(clusters > 0 || ran.message().find("has no room for a cluster of 2 blocks") != std::string::npos, true) << ran.message();
    EXPECT_EQ(gpu->count("blocks of kernel scale_tiles"), blocks);
  }
}

// An error at each call of driver and library in turn: a status that says so, nothing left behind, and where the device can go on the
// session can.
TEST_F(SessionCuda, ErrorsAtEveryCall) {
  ArtifactBuilder b = scaleThenMultiplyOnCuda(8);
  start(b);
  std::shared_ptr<const Model> model;
  std::vector<float> x = ramp(5);
  auto scenario = [&]() -> Status {
    model = load(b);
    TRANSOM_ASSIGN(auto session, Session::create(model, {.device = DeviceChoice::cuda()}));
    int64_t eight[] = {8};
    TRANSOM_RETURN_IF_ERROR(session->prepare(0, eight));
    for (int64_t batch : {5, 2})
      if (Status status = runRows(*session, 0, batch, x).status(); !status.ok()) {
        auto again = runRows(*session, 0, batch, x);
        EXPECT_EQ(again.status().message(), "") << "after " << status.message();
        if (again.ok())
          EXPECT_EQ(numbersOf<float>(again->front()), expectedZ({x.begin(), x.begin() + batch * 4}));
        return status;
      }
    return {};
  };
  uint64_t before = gpu->calls();
  ASSERT_EQ(scenario().message(), "");
  model.reset();
  uint64_t calls = gpu->calls() - before;
  ASSERT_EQ(gpu->problems(), "");
  for (cuda::CUresult result : {cuda::CUDA_ERROR_OUT_OF_MEMORY, cuda::CUDA_ERROR_INVALID_VALUE})
    for (uint64_t call = 1; call <= calls; ++call) {
      gpu->failAt(call, result);
      Status status = scenario();
      model.reset();
      std::string where = gpu->failedIn();
      EXPECT_EQ(status.message().find('\n'), std::string::npos);
      for (const char *vital : {"cuGraphLaunch", "cuGraphInstantiateWithFlags", "cuStreamBeginCapture", "cuStreamEndCapture",
                                "cuLaunchKernelEx", "cuMemAlloc", "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cublasLtMatmul"})
        if (where == vital)
          EXPECT_FALSE(status.ok()) << where;
      // A device that cannot be taken cannot be cleaned up.
      if (where != "cuCtxSetCurrent")
        ASSERT_EQ(gpu->problems(), "") << "call " << call << " in " << where;
      gpu.reset();
      start(b);
    }
}

// After an error that stays with the device, every later call of the session says so at once.
TEST_F(SessionCuda, StickyErrors) {
  ArtifactBuilder b = scaleThenMultiplyOnCuda(8);
  std::vector<float> x = ramp(5);
  std::unique_ptr<Session> session = open(b);
  ASSERT_TRUE(runRows(*session, 0, 5, x).ok());
  gpu->failAt(4, cuda::CUDA_ERROR_ILLEGAL_ADDRESS);
  Status first = runRows(*session, 0, 5, x).status(), second = runRows(*session, 0, 5, x).status();
  EXPECT_EQ(first.code(), StatusCode::internal);
  EXPECT_NE(first.message().find("CUDA_ERROR_ILLEGAL_ADDRESS"), std::string::npos) << first.message();
  EXPECT_EQ(second.code(), StatusCode::internal);
  EXPECT_TRUE(second.message().starts_with("the GPU failed in this session, nothing runs on it any more: ")) << second.message();
  uint64_t calls = gpu->calls();
  EXPECT_EQ(runRows(*session, 0, 5, x).status().message(), second.message());
  EXPECT_EQ(gpu->calls(), calls);
  // Freeing fails as well.
  session.reset();
  gpu.reset();
}

// Sessions in several threads give what they give alone.
TEST_F(SessionCuda, Concurrent) {
  ArtifactBuilder b = scaleThenMultiplyOnCuda();
  start(b);
  std::shared_ptr<const Model> model = load(b);
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int64_t id = 1; id <= 4; ++id)
      threads.emplace_back([&, id] {
        auto session = Session::create(model, {.device = DeviceChoice::cuda()});
        for (int64_t repeat = 0; repeat < 40; ++repeat) {
          int64_t batch = 1 + (id * 13 + repeat * 7) % 64;
          std::vector<float> x = ramp(batch);
          auto outputs = session.ok() ? runRows(**session, 0, batch, x) : session.status();
          wrong += !outputs.ok() || numbersOf<float>(outputs->front()) != expectedZ(x);
        }
      });
  }
  EXPECT_EQ(wrong, 0);
}
