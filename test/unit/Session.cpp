// Models and sessions: results, checks of inputs, and the promise that a run allocates nothing.
#include "ArtifactFixture.h"

#include "runtime/Session.h"

#include <atomic>
#include <cstdlib>
#include <new>

using namespace transom;
using namespace transom::test;

namespace {
std::atomic<bool> counting = false;
std::atomic<int> allocations = 0;
} // namespace

[[gnu::noinline]] void *operator new(size_t bytes) {
  if (counting)
    ++allocations;
  if (void *data = std::malloc(bytes))
    return data;
  throw std::bad_alloc();
}
[[gnu::noinline]] void *operator new(size_t bytes, const std::nothrow_t &) noexcept {
  allocations += counting;
  return std::malloc(bytes);
}
[[gnu::noinline]] void operator delete(void *data) noexcept { std::free(data); }
[[gnu::noinline]] void operator delete(void *data, size_t) noexcept { std::free(data); }

namespace {

class SessionTest : public testing::Test {
protected:
  std::shared_ptr<const Model> load(ArtifactBuilder builder) {
    EXPECT_EQ(artifact::write(folder.file("a"), builder.input).message(), "");
    Result<std::shared_ptr<const Model>> model = Model::load(folder.file("a"));
    EXPECT_EQ(model.status().message(), "");
    return model.ok() ? *model : nullptr;
  }
  std::unique_ptr<Session> open(ArtifactBuilder builder, SessionOptions options = {.threads = 2}) {
    Result<std::unique_ptr<Session>> session = Session::create(load(std::move(builder)), options);
    EXPECT_EQ(session.status().message(), "");
    return std::move(*session);
  }
  TemporaryFolder folder;
};

std::vector<float> ramp(int64_t batch) {
  std::vector<float> x(static_cast<size_t>(batch * 4));
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(i) * 0.5f - 1;
  return x;
}

/// z of scaleThenMultiply.
float expectedZ(const std::vector<float> &x, int64_t row, int64_t column) {
  float sum = 0;
  for (int64_t i = 0; i < 4; ++i)
    sum += 2 * x[static_cast<size_t>(row * 4 + i)] * static_cast<float>(column * 4 + i);
  return sum;
}

} // namespace

// Launches and products give the right numbers for every batch, on one thread and on several.
TEST_F(SessionTest, Runs) {
  for (uint32_t threads : {1u, 3u}) {
    std::unique_ptr<Session> session = open(scaleThenMultiply(3000), {.threads = threads});
    for (int64_t batch : {1, 3, 700, 3000}) {
      std::vector<float> x = ramp(batch);
      int64_t shape[] = {batch, 4};
      TensorView input{"x", DType::f32, shape, x.data()};
      auto outputs = session->run(0, {&input, 1});
      ASSERT_EQ(outputs.status().message(), "");
      const TensorView &z = outputs->front();
      ASSERT_EQ(std::vector(z.shape.begin(), z.shape.end()), (std::vector<int64_t>{batch, 3}));
      for (int64_t row = 0; row < batch; ++row)
        for (int64_t column = 0; column < 3; ++column)
          ASSERT_FLOAT_EQ(static_cast<const float *>(z.data)[row * 3 + column], expectedZ(x, row, column));
    }
  }
}

// What follows a product runs on all its rows.
TEST_F(SessionTest, RunsEpilogues) {
  for (uint32_t threads : {1u, 3u}) {
    std::unique_ptr<Session> session = open(multiplyThenScale(3000), {.threads = threads});
    for (int64_t batch : {1, 5, 3000}) {
      std::vector<float> x = ramp(batch);
      int64_t shape[] = {batch, 4};
      TensorView input{"x", DType::f32, shape, x.data()};
      auto outputs = session->run(0, {&input, 1});
      ASSERT_EQ(outputs.status().message(), "");
      for (int64_t row = 0; row < batch; ++row)
        for (int64_t column = 0; column < 4; ++column)
          ASSERT_FLOAT_EQ(static_cast<const float *>(outputs->front().data)[row * 4 + column], expectedZ(x, row, column));
    }
  }
}

// A run allocates nothing, the first one included.
TEST_F(SessionTest, AllocatesNothing) {
  std::unique_ptr<Session> session = open(scaleThenMultiply());
  std::vector<float> x = ramp(8);
  auto run = [&](int64_t batch) {
    int64_t shape[] = {batch, 4};
    TensorView input{"x", DType::f32, shape, x.data()};
    counting = true;
    bool ok = session->run(0, {&input, 1}).ok();
    counting = false;
    return ok;
  };
  // oneDNN makes its kernels in the first call; what is counted is C++ allocations, its own included after that.
  auto *library = session->model().gemmLibrary();
  float a[4] = {}, b[12] = {}, c[24] = {};
  ASSERT_TRUE(library->multiply(1, 3, 4, a, b, c, 3));
  ASSERT_TRUE(run(2));
  allocations = 0;
  EXPECT_TRUE(run(2));
  EXPECT_TRUE(run(5));
  EXPECT_TRUE(run(8));
  EXPECT_EQ(allocations, 0);
}

// A size that a step finds holds from there on, in the work and in the output's shape; it may be none, change from run to
// run with the sizes of the inputs unchanged, and allocates nothing.
TEST_F(SessionTest, SizesThatStepsFind) {
  std::unique_ptr<Session> session = open(packedTokens());
  for (std::vector<int32_t> mask : {std::vector<int32_t>{1, 0, 1, 0, 1, 1}, {0, 0, 0, 0, 0, 0}, {1, 1, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 1}}) {
    int64_t shape[] = {2, 3};
    TensorView input{"mask", DType::i32, shape, mask.data()};
    allocations = 0;
    counting = true;
    auto outputs = session->run(0, {&input, 1});
    counting = false;
    EXPECT_EQ(allocations, 0);
    ASSERT_EQ(outputs.status().message(), "");
    std::vector<int32_t> expected;
    for (int32_t i = 0; i < 6; ++i)
      if (mask[size_t(i)])
        expected.push_back(i);
    const TensorView &places = outputs->front();
    ASSERT_EQ(std::vector(places.shape.begin(), places.shape.end()), std::vector<int64_t>{std::ssize(expected)});
    auto *found = static_cast<const int32_t *>(places.data);
    EXPECT_EQ(std::vector(found, found + expected.size()), expected);
  }
}

// A number outside the size's bounds ends the run, and the session stays usable.
TEST_F(SessionTest, RefusesSizesOutOfBounds) {
  std::unique_ptr<Session> session = open(packedTokens());
  int64_t shape[] = {1, 2};
  std::vector<int32_t> wrong = {-1, 1}, right = {1, 1};
  TensorView input{"mask", DType::i32, shape, wrong.data()};
  EXPECT_EQ(session->run(0, {&input, 1}).status().message(), "step 1 (tokens): tokens must be 0 to 64, found -1");
  input.data = right.data();
  EXPECT_TRUE(session->run(0, {&input, 1}).ok());
}

// Wrong inputs are refused by name, and the session stays usable.
TEST_F(SessionTest, RefusesWrongInputs) {
  std::unique_ptr<Session> session = open(scaleThenMultiply());
  std::vector<float> x = ramp(9);
  auto message = [&](std::vector<TensorView> inputs) { return session->run(0, inputs).status().message(); };
  int64_t good[] = {2, 4}, large[] = {9, 4}, zero[] = {0, 4}, wide[] = {2, 5}, flat[] = {8};
  EXPECT_EQ(message({}), "input \"x\" of program main is missing");
  EXPECT_EQ(message({{"y", DType::f32, good, x.data()}}), "no input \"y\"; program main has x");
  EXPECT_EQ(message({{"x", DType::i32, good, x.data()}}), "input \"x\": expected f32, found i32");
  EXPECT_EQ(message({{"x", DType::f32, flat, x.data()}}), "input \"x\": expected the shape [batch, 4], found [8]");
  EXPECT_EQ(message({{"x", DType::f32, large, x.data()}}), "input \"x\": batch (dimension 0) must be 1 to 8, found 9");
  EXPECT_EQ(message({{"x", DType::f32, zero, x.data()}}), "input \"x\": batch (dimension 0) must be 1 to 8, found 0");
  EXPECT_EQ(message({{"x", DType::f32, wide, x.data()}}), "input \"x\": dimension 1 must be 4 = 4, found 5");
  EXPECT_EQ(message({{"x", DType::f32, good, nullptr}}), "input \"x\": its data is null");
  TensorView twice{"x", DType::f32, good, x.data()};
  EXPECT_EQ(message({twice, twice}), "input \"x\" is given twice");
  EXPECT_EQ(message({twice}), "");
}

// The memory a session takes is known before it exists.
TEST_F(SessionTest, MemoryIsPredicted) {
  std::shared_ptr<const Model> model = load(scaleThenMultiply());
  MemoryPlan plan = model->memoryPlan(2);
  EXPECT_EQ(plan.weights, 12u);
  EXPECT_EQ(plan.arena, 128u);
  EXPECT_EQ(plan.staging, 128u + 128u);
  EXPECT_EQ(plan.states, 0u);
  EXPECT_EQ(plan.scratch, 2 * gemmScratch({.n = 3, .k = 4, .unpacks = true}));
}

// Sessions of one model run at the same time.
TEST_F(SessionTest, Concurrent) {
  std::shared_ptr<const Model> model = load(scaleThenMultiply(64));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int64_t id = 1; id <= 4; ++id)
    threads.emplace_back([&, id] {
      auto session = Session::create(model, {.threads = 2});
      std::vector<float> x = ramp(id * 16);
      int64_t shape[] = {id * 16, 4};
      TensorView input{"x", DType::f32, shape, x.data()};
      for (int repeat = 0; repeat < 200; ++repeat) {
        auto outputs = (*session)->run(0, {&input, 1});
        if (!outputs.ok() || static_cast<const float *>((*outputs)[0].data)[3] != expectedZ(x, 1, 0))
          ++wrong;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
}

// Models loaded at the same time have code of their own.
TEST_F(SessionTest, TwoModels) {
  std::unique_ptr<Session> first = open(scaleThenMultiply());
  ArtifactBuilder other = scaleThenMultiply();
  other.contents.code[0].kernels.resize(2);
  other.input.codeBytes[0] = readBytes(TRANSOM_OTHER_KERNELS);
  std::unique_ptr<Session> second = open(std::move(other));
  std::vector<float> x = {1, 2, 3, 4};
  int64_t shape[] = {1, 4};
  TensorView input{"x", DType::f32, shape, x.data()};
  for (auto [session, factor] : {std::pair(first.get(), 1.0f), std::pair(second.get(), 3.0f)}) {
    auto outputs = session->run(0, {&input, 1});
    ASSERT_EQ(outputs.status().message(), "");
    EXPECT_FLOAT_EQ(static_cast<const float *>(outputs->front().data)[0], factor * expectedZ(x, 0, 0));
  }
}

// Code for another machine is refused by the feature that is missing.
TEST_F(SessionTest, MissingFeature) {
  ArtifactBuilder b = scaleThenMultiply();
  b.contents.code[0].features = {"sse2", "warp9"};
  ASSERT_TRUE(artifact::write(folder.file("a"), b.input).ok());
  EXPECT_NE(Model::load(folder.file("a")).status().message().find("needs the CPU feature warp9"), std::string::npos);
}

// A kernel that the code lacks is found at load.
TEST_F(SessionTest, MissingKernel) {
  ArtifactBuilder b = scaleThenMultiply();
  b.contents.code[0].kernels[0] = "absent";
  ASSERT_TRUE(artifact::write(folder.file("a"), b.input).ok());
  EXPECT_NE(Model::load(folder.file("a")).status().message().find("kernel absent is missing"), std::string::npos);
}

// Code that is no shared object is an error, not a crash.
TEST_F(SessionTest, BrokenCode) {
  ArtifactBuilder b = scaleThenMultiply();
  b.input.codeBytes[0].resize(100);
  ASSERT_TRUE(artifact::write(folder.file("a"), b.input).ok());
  EXPECT_NE(Model::load(folder.file("a")).status().message().find("cannot load code"), std::string::npos);
}

// Profiling counts time for each step.
TEST_F(SessionTest, Profile) {
  std::unique_ptr<Session> session = open(scaleThenMultiply(), {.threads = 1, .profile = true});
  std::vector<float> x = ramp(8);
  int64_t shape[] = {8, 4};
  TensorView input{"x", DType::f32, shape, x.data()};
  ASSERT_TRUE(session->run(0, {&input, 1}).ok());
  ASSERT_EQ(session->stepNanoseconds(0).size(), 2u);
  EXPECT_GT(session->stepNanoseconds(0)[1], 0u);
}
