// The toy models of ArtifactFixture.h and GenerationFixture.h with programs for CUDA, whose kernels the emulator runs.
#pragma once

#include "GenerationFixture.h"

#include "runtime/support/File.h"
#include "test/emulator/Build.h"
#include "test/unit/FakeCuda.h"

namespace transom::test {

/// Adds a kernel with a fake image for sm_80.
inline uint32_t addKernel(ArtifactBuilder &b, const std::string &name, const std::string &body, const std::string &parameters,
                          uint32_t threads = 32) {
  std::string source = "extern \"C\" __global__ void " + name + "(" + parameters + ", const long long *symbols";
  source += name == "count_rows" ? ", int *workspace) {\n" : ") {\n";
  b.contents.cudaKernels.push_back({name, source + body + "\n}\n", {threads}, 0, 0});
  b.contents.code.push_back({"cuda:sm_80", {}, {name}, {}});
  b.input.codeBytes.push_back(fake::imageOf({name}));
  return static_cast<uint32_t>(b.contents.cudaKernels.size() - 1);
}

/// Makes the fake run the artifact's kernels.
inline void emulateKernels(fake::FakeCuda &fake, const artifact::Contents &contents) {
  std::vector<emulator::Text> headers, kernels;
  for (const artifact::CudaHeader &header : contents.cudaHeaders)
    headers.push_back({header.name, header.text});
  for (const artifact::CudaKernel &kernel : contents.cudaKernels)
    kernels.push_back({kernel.name, kernel.source});
  Result<std::string> path = emulator::buildKernels(headers, kernels);
  ASSERT_EQ(path.status().message(), "");
  auto library = emulator::KernelLibrary::open(*path);
  ASSERT_EQ(library.status().message(), "");
  fake.addKernels(*library);
}

/// No code for the CPU, nor programs.
inline void clearCpu(ArtifactBuilder &b) {
  b.contents.code.clear();
  b.input.codeBytes.clear();
  b.contents.programs.clear();
}

/// Program main on CUDA: y[batch, 4] = 2 * x[batch, 4], then z[batch, 3] = relu(y * w^T + bias); `runs` counts in a workspace how often
/// rows were scaled since the session began. Beside the program for the CPU of scaleThenMultiply where `both`.
inline ArtifactBuilder scaleThenMultiplyOnCuda(int64_t maxBatch = 64, bool both = false) {
  using namespace artifact;
  ArtifactBuilder b = scaleThenMultiply(maxBatch);
  if (!both)
    clearCpu(b);
  Expr batch = Expr::symbol(0), four = Expr::constant(4), three = Expr::constant(3), one = Expr::constant(1);
  std::vector<float> w(12);
  for (size_t i = 0; i < w.size(); ++i)
    w[i] = static_cast<float>(i);
  uint32_t weight = b.weight("w.cuda", DType::f32, {3, 4}, w), bias = b.weight("bias", DType::f32, {3}, std::vector<float>{1, 2, 3});
  uint32_t scale = addKernel(b, "scale_rows", R"(
  long long i = blockIdx.x * 32 + threadIdx.x;
  if (i < symbols[0] * 4)
    y[i] = 2 * x[i];)", "const float *x, float *y");
  uint32_t count = addKernel(b, "count_rows", R"(
  if (threadIdx.x == 0) {
    *workspace += (int)symbols[0];
    *out = *workspace;
  })", "int *out");
  Program &p = b.program("main");
  p.device = Device::cuda;
  uint32_t x = b.value(p, BufferKind::input, "x", DType::f32, {batch, four});
  uint32_t y = b.buffer(p, BufferKind::arena, 0, DType::f32, {batch, four});
  uint32_t wBuffer = b.buffer(p, BufferKind::weight, weight, DType::f32, {three, four});
  uint32_t biasBuffer = b.buffer(p, BufferKind::weight, bias, DType::f32, {three});
  uint32_t counter = b.buffer(p, BufferKind::workspace, 0, DType::i32, {one});
  uint32_t z = b.value(p, BufferKind::output, "z", DType::f32, {batch, three});
  uint32_t runs = b.value(p, BufferKind::output, "runs", DType::i32, {one});
  CudaLaunch first = cudaLaunch(scale, {x, y}, {Expr{{{4, {0}}}}}), last = cudaLaunch(count, {runs}, {one});
  first.choices[0].per = {32};
  last.workspace = int32_t(counter);
  last.dependent = true;
  p.steps.push_back({first, "scale"});
  p.steps.push_back({CudaGemm{.lhs = y, .rhs = wBuffer, .out = z, .m = batch, .n = three, .k = four, .compute = GemmCompute::f32,
                              .bias = int32_t(biasBuffer), .residual = -1, .activation = GemmActivation::relu, .workspace = 1024,
                              .algorithm = {}},
                     "multiply"});
  p.steps.push_back({last, "count"});
  return b;
}

/// packedTokens for CUDA with kernels that run: the first that launch up to 16 numbers, and one for more.
inline ArtifactBuilder packedTokensThatRun(artifact::SizeSource from = artifact::SizeSource::nonzero) {
  using namespace artifact;
  ArtifactBuilder b = packedTokens();
  Program program = b.contents.programs[0];
  clearCpu(b);
  uint32_t find = addKernel(b, "valid_tokens", R"(
  if (threadIdx.x)
    return;
  int count = 0;
  for (int i = 0; i < symbols[0] * symbols[1]; ++i) {
    if (mask[i] && count < symbols[2])
      index[count++] = i;
    cumulative[i / symbols[1] + 1] = count;
  })", "const int *mask, int *index, int *cumulative");
  const char *body = "if (blockIdx.x < symbols[2] && threadIdx.x == 0)\n    y[blockIdx.x] = x[blockIdx.x];";
  uint32_t few = addKernel(b, "copy_few", body, "const int *x, int *y"), many = addKernel(b, "copy_many", body, "const int *x, int *y");
  program.device = Device::cuda;
  program.steps[0].kind = cudaLaunch(find, {0, 1, 2}, {Expr::constant(1)});
  program.steps[1].kind = Size{2, 2, from, 0, Expr::symbol(1)};
  CudaLaunch copy = cudaLaunch(few, {1, 3}, {Expr::symbol(2)});
  copy.rows = Expr::symbol(2);
  copy.choices = {{16, many, {Expr::symbol(2)}, {}, 90}, {16, few, {Expr::symbol(2)}}, {INT64_MAX, many, {Expr::symbol(2)}}};
  program.steps[2].kind = copy;
  b.contents.programs.push_back(program);
  return b;
}

enum class StepInputs { none, greedy, sampling };

/// cachedToy on CUDA, with program step of these inputs.
inline ArtifactBuilder cachedToyOnCuda(StepInputs inputs = StepInputs::sampling) {
  using namespace artifact;
  ArtifactBuilder b = cachedToy();
  std::vector<Program> onCpu = b.contents.programs;
  clearCpu(b);
  std::string sampling = *readTextFile(std::string(TRANSOM_SOURCE_FOLDER) + "/runtime/format/Sampling.h", 1 << 20);
  sampling.erase(sampling.find("#include <cstdint>"), 18);
  b.contents.cudaHeaders.push_back({"Sampling.h", sampling});
  auto sum = [&](const std::string &name, const std::string &width) {
    return addKernel(b, name, R"(
  long long row = blockIdx.x, seq = )" + width + R"(;
  if (row >= symbols[0] || threadIdx.x)
    return;
  if (lengths[row] > 0 && past[row] + lengths[row] > 32)
    __trap();
  for (int i = 0; i < lengths[row]; ++i)
    cache[row * 32 + past[row] + i] = ids[row * seq + i];
  sum[row] = 0;
  for (int i = 0; i < past[row] + lengths[row]; ++i)
    sum[row] += cache[row * 32 + i];)", "const int *ids, const int *lengths, const int *past, int *cache, int *sum");
  };
  uint32_t sumMany = sum("sum_tokens", "symbols[1]"), sumOne = sum("sum_tokens_one", "1");
  uint32_t logits = addKernel(b, "one_hot_logits", R"(
  long long row = blockIdx.x;
  if (row < symbols[0] && threadIdx.x < 16)
    logits[row * 16 + threadIdx.x] = sum[row] == 456 ? nanf("") : sum[row] % 16 == (int)threadIdx.x ? 1.0f : 0.0f;)",
                             "const int *sum, float *logits");
  for (Program program : onCpu) {
    program.device = Device::cuda;
    program.steps[0].kind = cudaLaunch(program.name == "decode" ? sumOne : sumMany, {0, 1, 2, 3, 4}, {Expr::symbol(0)});
    CudaLaunch second = cudaLaunch(logits, {4, 5}, {Expr::symbol(0)});
    second.dependent = true;
    program.steps[1].kind = second;
    b.contents.programs.push_back(program);
  }
  if (inputs == StepInputs::none)
    return b;
  bool samples = inputs == StepInputs::sampling;
  std::string advance = R"(
  long long row = blockIdx.x;
  if (row >= symbols[0] || threadIdx.x || lengths[row] == 0)
    return;
  tokens[row] = token;
  ids[row] = token < 0 ? 0 : token;
  past[row] += lengths[row];)";
  std::string parameters = "const float *logits, int *ids, int *lengths, int *past, int *tokens", body = advance;
  std::string chosen = samples ? R"(int token = (int)transom::sampling::sample(logits + row * 16, 16, {temperature[row], top_k[row], top_p[row]},
      transom::sampling::uniform(seed[row], index[row], number[row]));
  index[row] += 1;)"
                               : "int token = (int)transom::sampling::argmax(logits + row * 16, 16);";
  body.insert(body.find("  tokens[row]"), "  " + chosen + "\n");
  if (samples)
    parameters += ", const float *temperature, const float *top_p, const int *top_k, const long long *seed, const long long *number, long long *index";
  uint32_t choose = addKernel(b, "choose", body, parameters);
  b.contents.cudaKernels[choose].source.insert(0, "#include \"Sampling.h\"\n");
  Expr batch = Expr::symbol(0), one = Expr::constant(1), vocab = Expr::constant(16), capacity = Expr::constant(toyContext);
  Program &p = b.program("step");
  p.device = Device::cuda;
  uint32_t ids = b.value(p, BufferKind::input, "input_ids", DType::i32, {batch, one});
  uint32_t lengths = b.value(p, BufferKind::input, "lengths", DType::i32, {batch});
  uint32_t past = b.value(p, BufferKind::input, "past_lengths", DType::i32, {batch});
  std::vector<uint32_t> chooseBuffers;
  if (samples)
    for (auto [name, dtype] : {std::pair("temperature", DType::f32), {"top_p", DType::f32}, {"top_k", DType::i32}, {"seed", DType::i64},
                               {"row", DType::i64}, {"token_index", DType::i64}})
      chooseBuffers.push_back(b.value(p, BufferKind::input, name, dtype, {batch}));
  uint32_t cache = b.buffer(p, BufferKind::state, 0, DType::i32, {batch, one, capacity, one});
  uint32_t sums = b.buffer(p, BufferKind::arena, 0, DType::i32, {batch});
  uint32_t scores = b.buffer(p, BufferKind::arena, 0, DType::f32, {batch, vocab});
  uint32_t tokens = b.value(p, BufferKind::output, "tokens", DType::i32, {batch});
  chooseBuffers.insert(chooseBuffers.begin(), {scores, ids, lengths, past, tokens});
  p.steps.push_back({cudaLaunch(sumOne, {ids, lengths, past, cache, sums}, {batch}), "sum"});
  p.steps.push_back({cudaLaunch(logits, {sums, scores}, {batch}), "logits"});
  p.steps.push_back({cudaLaunch(choose, chooseBuffers, {batch}), "choose"});
  return b;
}

} // namespace transom::test
