// Comparing two devices: errors of tensors, which tensors are paired, and a program on the CPU and on the fake GPU.
#include "tools/transom/DeviceDiff.h"

#include "CudaFixture.h"

#include <bit>
#include <cmath>
#include <limits>

using namespace transom;
using namespace transom::cli;
using namespace transom::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

template <typename T> Observed tensor(std::string source, DType dtype, const std::vector<T> &numbers) {
  auto bytes = std::as_bytes(std::span(numbers));
  return {std::move(source), dtype, {std::ssize(numbers)}, {bytes.begin(), bytes.end()}};
}
Observed floats(std::string source, const std::vector<float> &numbers) { return tensor(std::move(source), DType::f32, numbers); }

/// "place in the reference:place in what was found" of each pair.
std::string pairsOf(const RunDiff &diff, const ObservedRun &a, const ObservedRun &b) {
  std::string text;
  for (const TensorDiff &pair : diff.tensors)
    text += fmt::format("{}{}:{}", text.empty() ? "" : " ", pair.reference - a.steps.data(), pair.found - b.steps.data());
  return text;
}

} // namespace

// The error is that of the whole tensor, and each type's numbers are read right.
TEST(DeviceDiff, Errors) {
  TensorError error = errorBetween(floats("a", {3, 4}), floats("a", {3, 4.5f}));
  EXPECT_DOUBLE_EQ(error.relative, 0.1);
  EXPECT_DOUBLE_EQ(error.largest, 0.5);
  EXPECT_FALSE(error.nan);
  Observed numbers = floats("a", {1, -2, 0.5f, 6.103515625e-05f, 5.9604644775390625e-08f, infinity});
  EXPECT_EQ(errorBetween(numbers, tensor<uint16_t>("a", DType::f16, {0x3c00, 0xc000, 0x3800, 0x0400, 0x0001, 0x7c00})).relative, 0);
  EXPECT_EQ(errorBetween(floats("a", {1, -2, 3.140625f}), tensor<uint16_t>("a", DType::bf16, {0x3f80, 0xc000, 0x4049})).relative, 0);
  EXPECT_EQ(errorBetween(tensor<int64_t>("a", DType::i64, {7, -1}), tensor<int32_t>("a", DType::i32, {7, -1})).relative, 0);
  EXPECT_EQ(errorBetween(floats("a", {0, 0}), floats("a", {0, 0})).relative, 0);
  EXPECT_TRUE(std::isinf(errorBetween(floats("a", {0, 0}), floats("a", {0, 1})).relative));
}

// NaN on either side differs at any tolerance, also where both have it, and so does infinity on one side.
TEST(DeviceDiff, NotFinite) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (auto &[a, b] : std::vector<std::pair<float, float>>{{nan, 1}, {1, nan}, {nan, nan}, {infinity, 1}, {1, infinity}, {infinity, -infinity}}) {
    ObservedRun first{.steps = {floats("a", {a, 1})}, .outputs = {}}, second{.steps = {floats("a", {b, 1})}, .outputs = {}};
    RunDiff diff = compareRuns(first, second, 1e9);
    ASSERT_EQ(diff.tensors.size(), 1u);
    EXPECT_TRUE(diff.tensors[0].differs) << a << " " << b;
    EXPECT_EQ(diff.tensors[0].error.nan, std::isnan(a) || std::isnan(b));
  }
}

// The tolerance is for floating-point numbers; others differ by anything.
TEST(DeviceDiff, Tolerance) {
  ObservedRun a{.steps = {floats("x", {1}), tensor<int32_t>("y", DType::i32, {1000000})}, .outputs = {}};
  ObservedRun b{.steps = {floats("x", {1.09f}), tensor<int32_t>("y", DType::i32, {1000001})}, .outputs = {}};
  EXPECT_FALSE(compareRuns(a, b, 0.1).tensors[0].differs);
  EXPECT_TRUE(compareRuns(a, b, 0.08).tensors[0].differs);
  EXPECT_TRUE(compareRuns(a, b, 0.1).tensors[1].differs);
}

// Equal sources in order; where one run has more, the nearest; never other sizes or kinds of numbers; a bad one is still paired.
TEST(DeviceDiff, Pairs) {
  ObservedRun a{.steps = {floats("l0", {1, 2}), floats("l0", {5, -7}), floats("l1", {1, 2}), floats("l1", {1, 2, 3})}, .outputs = {}};
  ObservedRun b{.steps = {floats("l0", {9, 9}), floats("l0", {1, 2}), floats("l0", {5, -7}), floats("l1", {4, 4}), floats("l2", {1, 2})}, .outputs = {}};
  RunDiff diff = compareRuns(a, b, 0.1);
  EXPECT_EQ(pairsOf(diff, a, b), "0:1 1:2 2:3");
  EXPECT_EQ(diff.skipped, 3u);
  EXPECT_FALSE(diff.tensors[1].differs);
  EXPECT_TRUE(diff.tensors[2].differs);
  ObservedRun whole{.steps = {tensor<int32_t>("l0", DType::i32, {1, 2})}, .outputs = {}};
  EXPECT_EQ(compareRuns(a, whole, 0.1).tensors.size(), 0u);
}

// Outputs come last, by their names, and other sizes are a difference.
TEST(DeviceDiff, Outputs) {
  ObservedRun a{.steps = {floats("l0", {1})}, .outputs = {floats("logits", {1, 2}), floats("more", {1})}};
  ObservedRun b{.steps = {floats("l0", {1})}, .outputs = {floats("more", {1}), floats("logits", {1, 2, 3})}};
  RunDiff diff = compareRuns(a, b, 0.1);
  ASSERT_EQ(diff.tensors.size(), 3u);
  EXPECT_EQ(diff.tensors[1].reference->source, "logits");
  EXPECT_TRUE(diff.tensors[1].differs);
  EXPECT_FALSE(diff.tensors[2].differs);
}

namespace {

/// Program main on both devices; on CUDA rows are scaled by `factor`, where the CPU doubles them.
RunDiff diffOnFake(const std::string &factor) {
  ArtifactBuilder builder = scaleThenMultiplyOnCuda(64, /*both=*/true);
  for (artifact::CudaKernel &kernel : builder.contents.cudaKernels)
    if (size_t at = kernel.source.find("2 * x"); at != std::string::npos)
      kernel.source.replace(at, 1, factor);
  // The CPU's program has no bias.
  builder.contents.programs[0].outputs[0].name = "z of the CPU";
  TemporaryFolder folder;
  fake::FakeCuda gpu({.timing = fake::Timing::lazy});
  emulateKernels(gpu, builder.contents);
  EXPECT_EQ(artifact::write(folder.file("a"), builder.input).message(), "");
  static ObservedRun runs[2];
  {
    auto model = Model::load(folder.file("a"));
    EXPECT_EQ(model.status().message(), "");
    std::vector<float> x = {1, 2, 3, 4, -5, 6, 7, 8};
    int64_t shape[] = {2, 4};
    TensorView input{"x", DType::f32, shape, x.data()};
    for (DeviceChoice device : {DeviceChoice::cpu(), DeviceChoice::cuda()}) {
      auto session = Session::create(*model, {.device = device});
      EXPECT_EQ(session.status().message(), "");
      auto run = observeRun(**session, *(*session)->programIndex("main"), {&input, 1});
      EXPECT_EQ(run.status().message(), "");
      runs[device == DeviceChoice::cuda()] = std::move(*run);
    }
  }
  EXPECT_EQ(gpu.problems(), "");
  return compareRuns(runs[0], runs[1], 1e-4);
}

} // namespace

// A step that both devices have is compared, and a kernel that computes something else is found.
TEST(DeviceDiff, RunsOnBothDevices) {
  RunDiff same = diffOnFake("2");
  ASSERT_EQ(same.tensors.size(), 1u);
  EXPECT_EQ(same.tensors[0].reference->source, "scale");
  EXPECT_EQ(same.tensors[0].found->shape, (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(same.tensors[0].error.relative, 0);
  EXPECT_EQ(same.skipped, 1u); // the output of another name
  RunDiff other = diffOnFake("3");
  ASSERT_EQ(other.tensors.size(), 1u);
  EXPECT_TRUE(other.tensors[0].differs);
  EXPECT_DOUBLE_EQ(other.tensors[0].error.relative, 0.5);
}

// The tolerance follows the narrowest type that values are kept in, whatever weights are.
TEST(DeviceDiff, UsualTolerance) {
  artifact::Program program;
  auto add = [&](artifact::BufferKind kind, DType dtype) { program.buffers.push_back({kind, 0, 0, dtype, {}, 0}); };
  add(artifact::BufferKind::arena, DType::f32);
  add(artifact::BufferKind::arena, DType::i32);
  add(artifact::BufferKind::weight, DType::bf16);
  EXPECT_EQ(usualTolerance(narrowestOf(program)), 1e-4);
  add(artifact::BufferKind::arena, DType::f16);
  EXPECT_EQ(usualTolerance(narrowestOf(program)), 1e-2);
  add(artifact::BufferKind::state, DType::bf16);
  EXPECT_EQ(usualTolerance(narrowestOf(program)), 5e-2);
  add(artifact::BufferKind::arena, DType::f8e4m3);
  EXPECT_EQ(usualTolerance(narrowestOf(program)), 1e-1);
}
