// Small artifacts for tests, with kernels from FixtureKernels.cpp (compiled into TRANSOM_FIXTURE_KERNELS).
#pragma once

#include "runtime/format/ArtifactWriter.h"

#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <unistd.h>

namespace transom::test {

/// A folder that is gone with the object.
class TemporaryFolder {
public:
  TemporaryFolder() { EXPECT_NE(::mkdtemp(path_.data()), nullptr); }
  ~TemporaryFolder() { std::system(("rm -rf " + path_).c_str()); }
  std::string file(const std::string &name) const { return path_ + "/" + name; }

private:
  std::string path_ = "/tmp/transom-test-XXXXXX";
};

inline std::vector<std::byte> readBytes(const std::string &path) {
  std::ifstream stream(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

inline void writeBytes(const std::string &path, std::span<const std::byte> bytes) {
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char *>(bytes.data()), std::streamsize(bytes.size()));
}

/// The kernels of the fixture, in the order of the code section's table.
enum Kernel : uint32_t { scaleRows, unpackI8, sumTokens, oneHotLogits, naiveStep, meanEmbed, validTokens, copyTokens, tokenLogits, kernelCount };

/// Builds WriteInput step by step.
struct ArtifactBuilder {
  artifact::WriteInput input;
  artifact::Contents &contents = input.contents;

  ArtifactBuilder(const std::string &task = "run") {
    contents.producer = "test";
    contents.model = "fixture";
    contents.architecture = "none";
    contents.task = task;
    contents.plan = "plan";
    artifact::Code code;
    code.target = "cpu:x86-64-v3";
    code.features = {"sse2"};
    code.kernels = {"scale_rows", "unpack_i8", "sum_tokens", "one_hot_logits", "naive_step", "mean_embed", "valid_tokens",
                    "copy_tokens", "token_logits"};
    contents.code.push_back(code);
    input.codeBytes.push_back(readBytes(TRANSOM_FIXTURE_KERNELS));
  }
  artifact::Expr symbol(const std::string &name, int64_t min, int64_t max) {
    contents.symbols.push_back({name, min, max});
    return artifact::Expr::symbol(static_cast<uint16_t>(contents.symbols.size() - 1));
  }
  static artifact::Expr plus(artifact::Expr a, const artifact::Expr &b) {
    a.terms.insert(a.terms.end(), b.terms.begin(), b.terms.end());
    return a;
  }
  uint64_t bytes(DType dtype, const artifact::Shape &shape) const {
    return artifact::bytesAtBounds(dtype, shape, contents.symbols).value();
  }
  template <typename T> uint32_t weight(const std::string &name, DType dtype, std::vector<int64_t> shape, std::vector<T> values) {
    contents.weights.push_back({name, dtype, std::move(shape), {}});
    input.weights.push_back([values](const artifact::ByteSink &sink) { return sink(std::as_bytes(std::span(values))); });
    return static_cast<uint32_t>(contents.weights.size() - 1);
  }
  uint32_t state(const std::string &name, DType dtype, const artifact::Shape &shape) {
    contents.states.push_back({name, dtype, shape, bytes(dtype, shape)});
    return static_cast<uint32_t>(contents.states.size() - 1);
  }
  artifact::Program &program(const std::string &name) {
    contents.programs.emplace_back().name = name;
    return contents.programs.back();
  }
  uint32_t buffer(artifact::Program &p, artifact::BufferKind kind, uint32_t index, DType dtype, const artifact::Shape &shape) {
    artifact::Buffer buffer{kind, index, 0, dtype, shape, bytes(dtype, shape)};
    if (kind == artifact::BufferKind::arena || kind == artifact::BufferKind::workspace) {
      uint64_t &used = kind == artifact::BufferKind::arena ? p.arenaBytes : p.workspaceBytes;
      buffer.offset = used;
      used += (buffer.bytes + 63) / 64 * 64;
    }
    p.buffers.push_back(buffer);
    return static_cast<uint32_t>(p.buffers.size() - 1);
  }
  /// A kernel for CUDA with an image for each of `targets`, "sm_90a" or the like.
  uint32_t cudaKernel(const std::string &name, const std::vector<std::string> &targets) {
    contents.cudaKernels.push_back({name, "extern \"C\" __global__ void " + name + "() {}", {128}, 0, 0});
    for (const std::string &target : targets) {
      contents.code.push_back({"cuda:" + target, {}, {name}, {}});
      std::string image = "image of " + name + " for " + target;
      auto bytes = std::as_bytes(std::span(image));
      input.codeBytes.emplace_back(bytes.begin(), bytes.end());
    }
    return static_cast<uint32_t>(contents.cudaKernels.size() - 1);
  }
  uint32_t value(artifact::Program &p, artifact::BufferKind kind, const std::string &name, DType dtype, const artifact::Shape &shape) {
    auto &table = kind == artifact::BufferKind::input ? p.inputs : p.outputs;
    uint32_t index = buffer(p, kind, static_cast<uint32_t>(table.size()), dtype, shape);
    table.push_back({name, dtype, shape, bytes(dtype, shape), index});
    return index;
  }
};

/// Program main: y[batch, 4] = 2 * x[batch, 4], then z[batch, 3] = y * w^T with w stored as i8 [3, 4] = 0..11; outputs
/// z. An arena buffer holds y.
inline ArtifactBuilder scaleThenMultiply(int64_t maxBatch = 8) {
  using namespace artifact;
  ArtifactBuilder b;
  Expr batch = b.symbol("batch", 1, maxBatch), four = Expr::constant(4), three = Expr::constant(3);
  std::vector<int8_t> w(12);
  for (size_t i = 0; i < w.size(); ++i)
    w[i] = static_cast<int8_t>(i);
  uint32_t weight = b.weight("w", DType::i8, {3, 4}, w);
  Program &p = b.program("main");
  uint32_t x = b.value(p, BufferKind::input, "x", DType::f32, {batch, four});
  uint32_t y = b.buffer(p, BufferKind::arena, 0, DType::f32, {batch, four});
  uint32_t wBuffer = b.buffer(p, BufferKind::weight, weight, DType::i8, {three, four});
  uint32_t z = b.value(p, BufferKind::output, "z", DType::f32, {batch, three});
  p.steps.push_back({Launch{scaleRows, {x, y}, {batch, batch}, batch, 1, 0}, "scale"});
  p.steps.push_back({Gemm{y, wBuffer, z, batch, three, four, unpackI8}, "multiply"});
  b.contents.metadata = {{"context_length", "16"}, {"source", "test"}};
  b.contents.tokenizer = {};
  return b;
}

/// Program main: the places of what mask [batch, seq] leaves, found when it runs, copied from the arena to the output
/// places [tokens].
inline ArtifactBuilder packedTokens(int64_t maxTokens = 64) {
  using namespace artifact;
  ArtifactBuilder b;
  Expr batch = b.symbol("batch", 1, 4), seq = b.symbol("seq", 1, 16), tokens = b.symbol("tokens", 0, maxTokens);
  Program &p = b.program("main");
  Expr ends = ArtifactBuilder::plus(batch, Expr::constant(1)), area{{{1, {0, 1}}}};
  uint32_t mask = b.value(p, BufferKind::input, "mask", DType::i32, {batch, seq});
  uint32_t index = b.buffer(p, BufferKind::arena, 0, DType::i32, {tokens});
  uint32_t cumulative = b.buffer(p, BufferKind::arena, 0, DType::i32, {ends});
  uint32_t places = b.value(p, BufferKind::output, "places", DType::i32, {tokens});
  p.steps.push_back({Launch{validTokens, {mask, index, cumulative}, {batch, seq, tokens, ends}, Expr::constant(1), 1, 0}, "find"});
  p.steps.push_back({Size{2, cumulative, SizeSource::steps, 0, {}}, "tokens"});
  p.steps.push_back({Launch{copyTokens, {index, places}, {tokens, tokens}, tokens, 1, 0}, "copy"});
  return b;
}

/// Program main: y[batch, 4] = 2 * (x[batch, 4] * w^T) with w stored as i8 [4, 4] = 0..15: a product with an epilogue.
inline ArtifactBuilder multiplyThenScale(int64_t maxBatch = 8) {
  using namespace artifact;
  ArtifactBuilder b;
  Expr batch = b.symbol("batch", 1, maxBatch), four = Expr::constant(4);
  std::vector<int8_t> w(16);
  for (size_t i = 0; i < w.size(); ++i)
    w[i] = static_cast<int8_t>(i);
  uint32_t weight = b.weight("w", DType::i8, {4, 4}, w);
  Program &p = b.program("main");
  uint32_t x = b.value(p, BufferKind::input, "x", DType::f32, {batch, four});
  uint32_t product = b.buffer(p, BufferKind::arena, 0, DType::f32, {batch, four});
  uint32_t wBuffer = b.buffer(p, BufferKind::weight, weight, DType::i8, {four, four});
  uint32_t y = b.value(p, BufferKind::output, "y", DType::f32, {batch, four});
  p.steps.push_back({Gemm{.lhs = x, .rhs = wBuffer, .out = product, .m = batch, .n = four, .k = four, .unpack = unpackI8,
                          .epilogue = scaleRows, .extras = {}, .results = {y}, .sizes = {batch, batch}, .scratch = 64},
                     "multiply"});
  return b;
}

/// scaleThenMultiply for both devices: on CUDA by a kernel with a workspace and cuBLASLt, all f32, with a bias.
inline ArtifactBuilder scaleThenMultiplyOnBoth(int64_t maxBatch = 8) {
  using namespace artifact;
  ArtifactBuilder b = scaleThenMultiply(maxBatch);
  Expr batch = Expr::symbol(0), four = Expr::constant(4), three = Expr::constant(3), two = Expr::constant(2);
  uint32_t weight = b.weight("w.cuda", DType::f32, {3, 4}, std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  uint32_t bias = b.weight("bias", DType::f32, {3}, std::vector<float>{0, 0, 0});
  uint32_t kernel = b.cudaKernel("scale_rows", {"sm_80", "sm_90a"});
  Program &p = b.program("main");
  p.device = Device::cuda;
  uint32_t x = b.value(p, BufferKind::input, "x", DType::f32, {batch, four});
  uint32_t y = b.buffer(p, BufferKind::arena, 0, DType::f32, {batch, four});
  uint32_t wBuffer = b.buffer(p, BufferKind::weight, weight, DType::f32, {three, four});
  uint32_t biasBuffer = b.buffer(p, BufferKind::weight, bias, DType::f32, {three});
  uint32_t counters = b.buffer(p, BufferKind::workspace, 0, DType::i32, {two});
  uint32_t z = b.value(p, BufferKind::output, "z", DType::f32, {batch, three});
  p.steps.push_back({CudaLaunch{.choices = {{2, kernel, {batch, two}, {4, 1}, 90}, {INT64_MAX, kernel, {batch}}}, .rows = batch, .buffers = {x, y},
                                .maps = {}, .workspace = int32_t(counters), .dependent = true, .when = {}},
                     "scale"});
  p.steps.push_back({CudaGemm{.lhs = y, .rhs = wBuffer, .out = z, .m = batch, .n = three, .k = four, .compute = GemmCompute::tf32,
                              .bias = int32_t(biasBuffer), .residual = -1, .activation = GemmActivation::relu, .workspace = 1024,
                              .algorithm = std::vector<uint8_t>(64, 7), .when = {}},
                     "multiply"});
  return b;
}

/// A launch of one kernel, whatever its rows.
inline artifact::CudaLaunch cudaLaunch(uint32_t kernel, std::vector<uint32_t> buffers, std::vector<artifact::Expr> grid) {
  return {.choices = {{INT64_MAX, kernel, std::move(grid)}}, .rows = artifact::Expr::constant(1), .buffers = std::move(buffers),
          .maps = {}, .workspace = -1, .dependent = false, .when = {}};
}

/// packedTokens for CUDA, and for it alone.
inline ArtifactBuilder packedTokensOnCuda() {
  using namespace artifact;
  ArtifactBuilder b = packedTokens();
  b.contents.code.clear();
  b.input.codeBytes.clear();
  uint32_t find = b.cudaKernel("valid_tokens", {"sm_90a"}), copy = b.cudaKernel("copy_tokens", {});
  Program &p = b.contents.programs[0];
  p.device = Device::cuda;
  p.steps[0].kind = cudaLaunch(find, {0, 1, 2}, {Expr::constant(1)});
  p.steps[1].kind = Size{2, 2, SizeSource::nonzero, 0, {}};
  p.steps[2].kind = cudaLaunch(copy, {1, 3}, {Expr::symbol(2)});
  return b;
}

/// Program main on CUDA: y[64, 64] f16 from x[64, 64] f16 by a kernel with a map of x, which includes a header.
inline ArtifactBuilder mappedOnCuda() {
  using namespace artifact;
  ArtifactBuilder b;
  b.contents.code.clear();
  b.input.codeBytes.clear();
  b.contents.cudaHeaders.push_back({"Scale.cuh", "#define SCALE 2"});
  uint32_t kernel = b.cudaKernel("scale_tiles", {"sm_90a"});
  Program &p = b.program("main");
  p.device = Device::cuda;
  Expr rows = b.symbol("rows", 1, 64), columns = Expr::constant(64);
  uint32_t x = b.value(p, BufferKind::input, "x", DType::f16, {rows, columns});
  uint32_t y = b.value(p, BufferKind::output, "y", DType::f16, {rows, columns});
  CudaLaunch launch = cudaLaunch(kernel, {x, y}, {rows});
  launch.maps.push_back({x, {columns, rows}, {columns}, {64, 8}});
  p.steps.push_back({launch, "scale"});
  return b;
}

} // namespace transom::test
