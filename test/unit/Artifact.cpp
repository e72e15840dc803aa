// The artifact's writer and reader.
#include "ArtifactFixture.h"

#include "runtime/format/Artifact.h"
#include "runtime/format/Preamble.h"

#include <filesystem>

using namespace transom;
using namespace transom::artifact;
using namespace transom::test;

namespace {

/// The reader's message for contents that one edit made wrong; "" if it takes them.
template <typename Edit> std::string messageAfter(Edit edit) {
  ArtifactBuilder b = scaleThenMultiply();
  b.contents.weights[0].section.bytes = 12;
  edit(b.contents);
  return check(b.contents).message();
}

#define EXPECT_REFUSED(text, ...) EXPECT_NE(messageAfter(__VA_ARGS__).find(text), std::string::npos) << messageAfter(__VA_ARGS__)

} // namespace

// What was written is what is read.
TEST(Artifact, RoundTrip) {
  TemporaryFolder folder;
  ArtifactBuilder b = scaleThenMultiply();
  b.contents.tokenizer = {1, 2, 3};
  ASSERT_EQ(write(folder.file("a"), b.input).message(), "");
  Result<Artifact> artifact = Artifact::open(folder.file("a"));
  ASSERT_EQ(artifact.status().message(), "");
  const Contents &read = artifact->contents();
  EXPECT_EQ(read.symbols, b.contents.symbols);
  EXPECT_EQ(read.tokenizer, b.contents.tokenizer);
  ASSERT_EQ(read.programs.size(), 1u);
  EXPECT_EQ(read.programs[0].steps[1].source, "multiply");
  EXPECT_EQ(std::get<Gemm>(read.programs[0].steps[1].kind).unpack, int32_t(unpackI8));
  EXPECT_EQ(*read.findMetadata("source"), "test");
  EXPECT_EQ(static_cast<int>(artifact->bytes(read.weights[0].section)[11]), 11);
  EXPECT_EQ(read.weights[0].section.offset % 64, 0u);
}

// Steps that set sizes are read as they were written, and each rule for them is checked.
TEST(Artifact, SizesThatStepsFind) {
  TemporaryFolder folder;
  ASSERT_EQ(write(folder.file("a"), packedTokens().input).message(), "");
  Result<Artifact> artifact = Artifact::open(folder.file("a"));
  ASSERT_EQ(artifact.status().message(), "");
  auto *size = std::get_if<Size>(&artifact->contents().programs[0].steps[1].kind);
  ASSERT_TRUE(size);
  EXPECT_EQ(size->symbol, 2);
  EXPECT_EQ(size->buffer, 2u);

  auto refused = [](auto edit) {
    ArtifactBuilder b = packedTokens();
    edit(b.contents.programs[0].steps);
    return check(b.contents).message();
  };
  EXPECT_EQ(refused([](auto &steps) { std::get<Size>(steps[1].kind).symbol = 3; }), "program main: step 1 (tokens): symbol: 3 of 3");
  EXPECT_EQ(refused([](auto &steps) { std::get<Size>(steps[1].kind).symbol = 0; }),
            "program main: step 1 (tokens): symbol: \"batch\" has a value");
  EXPECT_EQ(refused([](auto &steps) { std::get<Size>(steps[1].kind).buffer = 9; }), "program main: step 1 (tokens): buffer: 9 of 4");
  EXPECT_EQ(refused([](auto &steps) { std::get<Size>(steps[1].kind).buffer = 0; }),
            "program main: step 1 (tokens): buffer: expected i32 of rank 1, found [batch, seq] of i32");
  EXPECT_EQ(refused([](auto &steps) { std::swap(steps[1], steps[2]); }),
            "program main: step 1 (copy): work: symbol \"tokens\" has no value yet: it is no dimension of an input, and no step "
            "before this one sets it");
  EXPECT_EQ(refused([](auto &steps) { steps.push_back(steps[1]); }), "program main: step 3 (tokens): symbol: \"tokens\" has a value");
}

// Programs of one name on two devices, kernels with their images and CUDA's steps are read as they were written.
TEST(Artifact, CudaRoundTrip) {
  TemporaryFolder folder;
  ASSERT_EQ(write(folder.file("a"), scaleThenMultiplyOnBoth().input).message(), "");
  Result<Artifact> artifact = Artifact::open(folder.file("a"));
  ASSERT_EQ(artifact.status().message(), "");
  const Contents &read = artifact->contents();
  EXPECT_TRUE(read.runsOn(Device::cuda));
  EXPECT_EQ(read.findProgram("main"), &read.programs[0]);
  const Program *program = read.findProgram("main", Device::cuda);
  ASSERT_EQ(program, &read.programs[1]);
  EXPECT_EQ(program->workspaceBytes, 64u);
  EXPECT_EQ(program->buffers[4].kind, BufferKind::workspace);
  auto &launch = std::get<CudaLaunch>(program->steps[0].kind);
  EXPECT_EQ(launch.buffers, (std::vector<uint32_t>{0, 1}));
  ASSERT_EQ(launch.choices.size(), 2u);
  EXPECT_EQ(launch.choices[0].most, 2);
  EXPECT_EQ(launch.choices[0].grid, (std::vector<Expr>{Expr::symbol(0), Expr::constant(2)}));
  EXPECT_EQ(launch.choices[0].per, (std::vector<uint32_t>{4, 1}));
  EXPECT_EQ(launch.choices[0].sm, 90u);
  EXPECT_EQ(blocksOf(launch.choices[0], 0, 5), 2);
  EXPECT_EQ(launch.choices[1].most, INT64_MAX);
  EXPECT_EQ(launch.choices[1].sm, 0u);
  EXPECT_EQ(launch.choices[1].grid, std::vector<Expr>{Expr::symbol(0)});
  EXPECT_EQ(launch.rows, Expr::symbol(0));
  EXPECT_EQ(launch.workspace, 4);
  EXPECT_TRUE(launch.dependent);
  auto &gemm = std::get<CudaGemm>(program->steps[1].kind);
  EXPECT_EQ(gemm.compute, GemmCompute::tf32);
  EXPECT_EQ(gemm.activation, GemmActivation::relu);
  EXPECT_EQ(gemm.bias, 3);
  EXPECT_EQ(gemm.residual, -1);
  EXPECT_EQ(gemm.workspace, 1024u);
  EXPECT_EQ(gemm.algorithm, std::vector<uint8_t>(64, 7));
  ASSERT_EQ(read.cudaKernels.size(), 1u);
  EXPECT_EQ(read.cudaKernels[0].source, "extern \"C\" __global__ void scale_rows() {}");
  EXPECT_EQ(read.cudaKernels[0].block, std::vector<uint32_t>{128});
  ASSERT_EQ(read.code.size(), 3u);
  EXPECT_TRUE(read.code[2].isFor(Device::cuda));
  std::string image = "image of scale_rows for sm_90a";
  auto bytes = artifact->bytes(read.code[2].section);
  EXPECT_EQ(std::string(reinterpret_cast<const char *>(bytes.data()), bytes.size()), image);
}

// Maps of tensors, the headers of kernels and the sources of sizes are read as they were written.
TEST(Artifact, CudaMapsHeadersAndSources) {
  TemporaryFolder folder;
  ASSERT_EQ(write(folder.file("a"), mappedOnCuda().input).message(), "");
  ASSERT_EQ(write(folder.file("b"), packedTokensOnCuda().input).message(), "");
  Result<Artifact> mapped = Artifact::open(folder.file("a")), packed = Artifact::open(folder.file("b"));
  ASSERT_EQ(mapped.status().message(), "");
  ASSERT_EQ(packed.status().message(), "");
  auto &launch = std::get<CudaLaunch>(mapped->contents().programs[0].steps[0].kind);
  ASSERT_EQ(launch.maps.size(), 1u);
  EXPECT_EQ(launch.maps[0].buffer, 0u);
  EXPECT_EQ(launch.maps[0].sizes, (std::vector<Expr>{Expr::constant(64), Expr::symbol(0)}));
  EXPECT_EQ(launch.maps[0].strides, std::vector<Expr>{Expr::constant(64)});
  EXPECT_EQ(launch.maps[0].box, (std::vector<uint32_t>{64, 8}));
  ASSERT_EQ(mapped->contents().cudaHeaders.size(), 1u);
  EXPECT_EQ(mapped->contents().cudaHeaders[0].name, "Scale.cuh");
  EXPECT_EQ(mapped->contents().cudaHeaders[0].text, "#define SCALE 2");
  auto &size = std::get<Size>(packed->contents().programs[0].steps[1].kind);
  EXPECT_EQ(size.from, SizeSource::nonzero);
  EXPECT_EQ(size.input, 0u);
}

// The same input gives the same bytes.
TEST(Artifact, Deterministic) {
  TemporaryFolder folder;
  ASSERT_TRUE(write(folder.file("a"), scaleThenMultiply().input).ok());
  ASSERT_TRUE(write(folder.file("b"), scaleThenMultiply().input).ok());
  EXPECT_EQ(readBytes(folder.file("a")), readBytes(folder.file("b")));
}

// A failing weight source leaves no file behind.
TEST(Artifact, FailedWriteLeavesNothing) {
  TemporaryFolder folder;
  ArtifactBuilder b = scaleThenMultiply();
  b.input.weights[0] = [](const ByteSink &) { return error(StatusCode::io, "disk gone"); };
  EXPECT_EQ(write(folder.file("a"), b.input).message(), "weight w: disk gone");
  b.input.weights[0] = [](const ByteSink &sink) { return sink(std::vector<std::byte>(13)); };
  EXPECT_EQ(write(folder.file("a"), b.input).message(), "weight w: more than the expected 12 bytes");
  EXPECT_TRUE(std::filesystem::is_empty(folder.file("")));
  EXPECT_EQ(Artifact::open(folder.file("a")).status().code(), StatusCode::notFound);
}

// A newer version is refused by its number.
TEST(Artifact, NewerVersion) {
  TemporaryFolder folder;
  ASSERT_TRUE(write(folder.file("a"), scaleThenMultiply().input).ok());
  std::vector<std::byte> bytes = readBytes(folder.file("a"));
  bytes[offsetof(Preamble, version)] = std::byte(formatVersion + 1);
  writeBytes(folder.file("a"), bytes);
  Status status = Artifact::open(folder.file("a")).status();
  EXPECT_EQ(status.code(), StatusCode::unsupported);
  EXPECT_NE(status.message().find(fmt::format("version: the file has {}", formatVersion + 1)), std::string::npos) << status.message();
}

// Files that are no artifacts.
TEST(Artifact, OtherFiles) {
  TemporaryFolder folder;
  writeBytes(folder.file("text"), std::vector<std::byte>(100, std::byte('x')));
  EXPECT_NE(Artifact::open(folder.file("text")).status().message().find("magic"), std::string::npos);
  writeBytes(folder.file("short"), std::vector<std::byte>(10, std::byte('x')));
  EXPECT_NE(Artifact::open(folder.file("short")).status().message().find("preamble"), std::string::npos);
  writeBytes(folder.file("empty"), {});
  EXPECT_NE(Artifact::open(folder.file("empty")).status().message().find("empty"), std::string::npos);
  EXPECT_NE(Artifact::open("/tmp").status().message().find("directory"), std::string::npos);
}

// Each inconsistent field is refused by its name.
TEST(Artifact, Inconsistent) {
  EXPECT_EQ(messageAfter([](Contents &) {}), "");
  EXPECT_REFUSED("task", [](Contents &c) { c.task = "dance"; });
  EXPECT_REFUSED("symbol \"batch\": the bounds", [](Contents &c) { c.symbols[0].min = 9; });
  EXPECT_REFUSED("bounds", [](Contents &c) { c.symbols[0].max = int64_t(1) << 40; });
  EXPECT_REFUSED("weight \"w\": the name appears twice", [](Contents &c) { c.weights.push_back(c.weights[0]); });
  EXPECT_REFUSED("weight w: dtype: 99", [](Contents &c) { c.weights[0].dtype = static_cast<DType>(99); });
  EXPECT_REFUSED("weight w: shape", [](Contents &c) { c.weights[0].shape = {int64_t(1) << 62, 8}; });
  EXPECT_REFUSED("metadata", [](Contents &c) { c.metadata = {{"b", ""}, {"a", ""}}; });
  EXPECT_REFUSED("no code", [](Contents &c) { c.code.clear(); });
  EXPECT_REFUSED("unpack: 1 of the 1", [](Contents &c) { c.code[0].kernels.resize(1); });
  EXPECT_REFUSED("input x: bytes", [](Contents &c) { c.programs[0].inputs[0].bytes += 64; });
  EXPECT_REFUSED("input x: buffer", [](Contents &c) { c.programs[0].inputs[0].buffer = 1; });
  EXPECT_REFUSED("output z: buffer: 77 of 4", [](Contents &c) { c.programs[0].outputs[0].buffer = 77; });
  EXPECT_REFUSED("dtype: 19", [](Contents &c) { c.programs[0].outputs[0].dtype = static_cast<DType>(19); });
  EXPECT_REFUSED("buffer 1: offset: 64 and 128 bytes", [](Contents &c) { c.programs[0].buffers[1].offset = 64; });
  EXPECT_REFUSED("multiple of 64", [](Contents &c) { c.programs[0].buffers[1].offset = 1; });
  EXPECT_REFUSED("pass the arena's end", [](Contents &c) { c.programs[0].buffers[1].offset = UINT64_MAX - 63; });
  EXPECT_REFUSED("buffer 1: bytes: expected 128", [](Contents &c) { c.programs[0].buffers[1].bytes = 8; });
  EXPECT_REFUSED("kind: 7", [](Contents &c) { c.programs[0].buffers[1].kind = static_cast<BufferKind>(7); });
  EXPECT_REFUSED("weight 5 of 1", [](Contents &c) { c.programs[0].buffers[2].index = 5; });
  EXPECT_REFUSED("symbol 9 of 1", [](Contents &c) { c.programs[0].buffers[1].shape[0] = Expr::symbol(9); });
  EXPECT_REFUSED(fmt::format("kernel: {0} of the {0}", int(kernelCount)), [](Contents &c) { std::get<Launch>(c.programs[0].steps[0].kind).kernel = kernelCount; });
  EXPECT_REFUSED("buffers: 4 of 4", [](Contents &c) { std::get<Launch>(c.programs[0].steps[0].kind).buffers[0] = 4; });
  EXPECT_REFUSED("grain", [](Contents &c) { std::get<Launch>(c.programs[0].steps[0].kind).grain = 0; });
  EXPECT_REFUSED("scratch", [](Contents &c) { std::get<Launch>(c.programs[0].steps[0].kind).scratch = UINT64_MAX; });
  EXPECT_REFUSED("do not hold", [](Contents &c) { std::get<Gemm>(c.programs[0].steps[1].kind).n = Expr::constant(5); });
  EXPECT_REFUSED("unpack", [](Contents &c) { std::get<Gemm>(c.programs[0].steps[1].kind).unpack = -1; });
  EXPECT_REFUSED("step 1 (multiply): out", [](Contents &c) { std::get<Gemm>(c.programs[0].steps[1].kind).out = 0; });
  EXPECT_REFUSED("epilogue: -1, with buffers", [](Contents &c) { std::get<Gemm>(c.programs[0].steps[1].kind).extras = {0}; });
  EXPECT_REFUSED(fmt::format("epilogue: {0} of the {0}", int(kernelCount)), [](Contents &c) { std::get<Gemm>(c.programs[0].steps[1].kind).epilogue = kernelCount; });
  EXPECT_REFUSED("results: 9 of 4", [](Contents &c) {
    auto &gemm = std::get<Gemm>(c.programs[0].steps[1].kind);
    gemm.epilogue = 0, gemm.results = {9};
  });
  EXPECT_REFUSED("epilogue: 34 buffers", [](Contents &c) {
    auto &gemm = std::get<Gemm>(c.programs[0].steps[1].kind);
    gemm.epilogue = 0, gemm.extras.assign(33, 0);
  });
  EXPECT_REFUSED("scratch", [](Contents &c) {
    auto &gemm = std::get<Gemm>(c.programs[0].steps[1].kind);
    gemm.epilogue = 0, gemm.scratch = UINT64_MAX;
  });
  EXPECT_REFUSED("work", [](Contents &c) { std::get<Launch>(c.programs[0].steps[0].kind).work = {{{INT64_MAX, {0}}}}; });
  EXPECT_REFUSED("symbol \"seq\" has no value yet: it is no dimension of an input", [](Contents &c) {
    c.symbols.push_back({"seq", 1, 4});
    std::get<Launch>(c.programs[0].steps[0].kind).work = Expr::symbol(1);
  });
}

// Each inconsistent field of what is for CUDA is refused by its name.
TEST(Artifact, InconsistentCuda) {
  auto refused = [](auto edit) {
    ArtifactBuilder b = scaleThenMultiplyOnBoth();
    Contents &c = b.contents;
    auto &steps = c.programs[1].steps;
    edit(c, c.programs[1], std::get<CudaLaunch>(steps[0].kind), std::get<CudaGemm>(steps[1].kind));
    return check(c).message();
  };
#define EXPECT_CUDA(text, edit)                                                                                        \
  EXPECT_NE(refused([]([[maybe_unused]] Contents & c, [[maybe_unused]] Program & p, [[maybe_unused]] CudaLaunch & launch, \
                       [[maybe_unused]] CudaGemm & gemm) { edit; }).find(text),                                        \
            std::string::npos)                                                                                         \
      << refused([]([[maybe_unused]] Contents & c, [[maybe_unused]] Program & p, [[maybe_unused]] CudaLaunch & launch,  \
                    [[maybe_unused]] CudaGemm & gemm) { edit; })
  EXPECT_EQ(refused([](auto &...) {}), "");
  EXPECT_CUDA("program main: device: 2 is none", p.device = static_cast<Device>(2));
  EXPECT_CUDA("a step for cuda in a program for cpu", c.programs[0].steps = p.steps);
  EXPECT_CUDA("a step for cpu in a program for cuda", p.steps = c.programs[0].steps);
  EXPECT_CUDA("program \"main\": the name appears twice", c.programs.push_back(p));
  EXPECT_CUDA("kind: 5 is none this version knows on cpu", c.programs[0].buffers[1].kind = BufferKind::workspace);
  EXPECT_CUDA("workspace_bytes: expected 0 on the CPU", c.programs[0].workspaceBytes = 64);
  EXPECT_CUDA("pass the workspace's end at 0", p.workspaceBytes = 0);
  EXPECT_CUDA("kernel: 1 of 1", launch.choices[0].kernel = 1);
  EXPECT_CUDA("choices: none", launch.choices.clear());
  EXPECT_CUDA("choices: 1 rows after 2", launch.choices[1].most = 1);
  EXPECT_CUDA("choices: the last is for compute capability 90 only", launch.choices[1].sm = 90);
  EXPECT_CUDA("per: expected none or 2 numbers above 0", launch.choices[0].per.pop_back());
  EXPECT_CUDA("per: expected none or 2 numbers above 0", launch.choices[0].per[1] = 0);
  EXPECT_CUDA("choices: none is for the 8 rows at the bounds", (launch.choices.pop_back(), launch.choices[0].sm = 0));
  EXPECT_CUDA("least and most: expected rows, found 3 to 2", (launch.when.least = 3, launch.when.most = 2));
  EXPECT_CUDA("least and most: expected rows, found -1 to 8", (gemm.when.least = -1, gemm.when.most = 8));
  EXPECT_CUDA("architectures: 3 is none this version knows", gemm.when.architectures = static_cast<Architectures>(3));
  EXPECT_EQ(refused([](Contents &, Program &, CudaLaunch &launch, CudaGemm &) { launch.choices.pop_back(), launch.choices[0].sm = 0, launch.when.most = 2; }), "");
  EXPECT_CUDA("buckets: expected sizes that rise from 1 or more to 8, found 4, 2, 8", (c.symbols[0].buckets = {4, 2, 8}));
  EXPECT_CUDA("buckets: expected sizes that rise from 1 or more to 8, found 2, 4", (c.symbols[0].buckets = {2, 4}));
  EXPECT_CUDA("rows: symbol 4 of 1", launch.rows = Expr::symbol(4));
  EXPECT_CUDA("buffers: 6 of 6", launch.buffers[1] = 6);
  EXPECT_CUDA("buffers: expected 1 to 382, found 383", launch.buffers.assign(383, 0));
  EXPECT_CUDA("grid: expected 1 to 3 dimensions, found 0", launch.choices[1].grid.clear());
  EXPECT_CUDA("grid: 65536 is too large", launch.choices[0].grid[1] = Expr::constant(65536));
  EXPECT_CUDA("grid: symbol 4 of 1", launch.choices[0].grid[0] = Expr::symbol(4));
  EXPECT_CUDA("workspace: 6 of 6", launch.workspace = 6);
  EXPECT_CUDA("workspace: expected a buffer or -1", launch.workspace = -2);
  EXPECT_CUDA("lhs: 128 bytes do not hold [batch, 5]", gemm.k = Expr::constant(5));
  EXPECT_CUDA("out: 6 of 6", gemm.out = 6);
  EXPECT_CUDA("out: a buffer of kind input is not written", (gemm.out = 0, gemm.n = Expr::constant(1)));
  EXPECT_CUDA("lhs and rhs: expected f32, f16 or bf16 for both, found f32 and i32", p.buffers[2].dtype = DType::i32);
  EXPECT_CUDA("compute and activation: 2 and 1", gemm.compute = static_cast<GemmCompute>(2));
  EXPECT_CUDA("compute and activation: 1 and 3", gemm.activation = static_cast<GemmActivation>(3));
  EXPECT_CUDA("workspace: 2147483648 bytes", gemm.workspace = uint64_t(1) << 31);
  EXPECT_CUDA("one_algorithm: expected no workspace, found 1024 bytes", gemm.oneAlgorithm = true);
  EXPECT_CUDA("algorithm: expected none or 64 bytes, found 63", gemm.algorithm.pop_back());
  EXPECT_CUDA("bias: 6 of 6", gemm.bias = 6);
  EXPECT_CUDA("bias and residual: expected buffers or -1", gemm.bias = -2);
  EXPECT_CUDA("bias: expected f32 as out has, found i32", gemm.bias = (p.buffers[4].shape = {Expr::constant(3)}, p.buffers[4].bytes = 12, 4));
  EXPECT_CUDA("residual: none can follow an activation", gemm.residual = int32_t(gemm.out));
  EXPECT_CUDA("cuda kernel scale_rows: source", c.cudaKernels[0].source.clear());
  EXPECT_CUDA("name: not an identifier", (c.cudaKernels[0].name = "2x"));
  EXPECT_CUDA("cuda kernel \"scale_rows\": the name appears twice", c.cudaKernels.push_back(c.cudaKernels[0]));
  EXPECT_CUDA("block: expected 1 to 3 dimensions, found 0", c.cudaKernels[0].block.clear());
  EXPECT_CUDA("block: 1025 is none that CUDA has", c.cudaKernels[0].block = {1025});
  EXPECT_CUDA("block: 1x1x65 is none", (c.cudaKernels[0].block = {1, 1, 65}));
  EXPECT_CUDA("block: 65536x65536 is none", (c.cudaKernels[0].block = {65536, 65536}));
  EXPECT_CUDA("shared_bytes: 4294967295", c.cudaKernels[0].sharedBytes = UINT32_MAX);
  EXPECT_CUDA("max_registers: 256", c.cudaKernels[0].maxRegisters = 256);
  EXPECT_CUDA("stays: clusters of 17 blocks, more than 16", c.cudaKernels[0].stays = 17);
  EXPECT_CUDA("target: expected an architecture", c.code[1].target = "cuda:sm_9");
  EXPECT_CUDA("kernels: \"other\" is no cuda kernel", c.code[1].kernels = {"other"});
  EXPECT_CUDA("kernels: \"scale_rows\" appears twice", c.code[1].target = c.code[2].target);
  EXPECT_CUDA("the artifact has no code for CPUs", c.code.erase(c.code.begin()));
#undef EXPECT_CUDA
}

// Each rule for maps of tensors and for headers of kernels is checked.
TEST(Artifact, InconsistentCudaMaps) {
  auto refused = [](auto edit) {
    ArtifactBuilder b = mappedOnCuda();
    edit(b.contents, std::get<CudaLaunch>(b.contents.programs[0].steps[0].kind));
    return check(b.contents).message();
  };
  auto withMap = [&](auto edit) { return refused([&](Contents &, CudaLaunch &launch) { edit(launch.maps[0]); }); };
  auto expect = [](const std::string &message, const char *text) { EXPECT_NE(message.find(text), std::string::npos) << message; };
  EXPECT_EQ(refused([](auto &...) {}), "");
  expect(refused([](Contents &, CudaLaunch &launch) { launch.maps.assign(9, launch.maps[0]); }), "maps: expected at most 8, found 9");
  expect(refused([](Contents &c, CudaLaunch &) { c.programs[0].buffers[0].dtype = DType::i16; }), "map: expected f16, bf16 or f8e4m3, found i16");
  expect(withMap([](TensorMap &map) { map.buffer = 2; }), "map: 2 of 2");
  expect(withMap([](TensorMap &map) { map.strides.clear(); }), "map: expected 1 to 5 sizes, a stride less and as many of a box, found 2, 0 and 2");
  expect(withMap([](TensorMap &map) { map.box.push_back(1); }), "found 2, 1 and 3");
  expect(withMap([](TensorMap &map) { map.sizes.assign(6, Expr::constant(1)), map.strides.assign(5, Expr::constant(8)), map.box.assign(6, 1); }),
         "found 6, 5 and 6");
  expect(withMap([](TensorMap &map) { map.strides[0] = Expr::constant(60); }), "map: a stride of 60 is no multiple of 16 bytes");
  expect(withMap([](TensorMap &map) { map.box[0] = 16; }), "map: a box of 16 in dimension 0");
  expect(withMap([](TensorMap &map) { map.box[1] = 257; }), "map: a box of 257 in dimension 1");
  expect(withMap([](TensorMap &map) { map.box[1] = 0; }), "map: a box of 0 in dimension 1");
  expect(withMap([](TensorMap &map) { map.sizes[1] = Expr::constant(65); }), "map: it passes the end of its buffer of 8192 bytes");
  expect(withMap([](TensorMap &map) { map.strides[0] = Expr::constant(128); }), "map: it passes the end");
  expect(withMap([](TensorMap &map) { map.sizes[1] = Expr::symbol(1); }), "map: symbol 1 of 1");
  expect(refused([](Contents &c, CudaLaunch &) { c.cudaHeaders.push_back(c.cudaHeaders[0]); }),
         "cuda header \"Scale.cuh\": the name appears twice");
  expect(refused([](Contents &c, CudaLaunch &) { c.cudaHeaders[0].text += '\0'; }), "cuda header Scale.cuh: text: it holds a zero byte");
}

// On CUDA the host finds a size's number from an input, before the program runs.
TEST(Artifact, CudaSizesThatStepsFind) {
  TemporaryFolder folder;
  EXPECT_EQ(write(folder.file("a"), packedTokensOnCuda().input).message(), "");
  auto refused = [](auto edit) {
    ArtifactBuilder b = packedTokensOnCuda();
    edit(b.contents, std::get<Size>(b.contents.programs[0].steps[1].kind));
    return check(b.contents).message();
  };
  EXPECT_EQ(refused([](Contents &, Size &size) { size.from = SizeSource::sum, size.limit = Expr::symbol(1); }), "");
  EXPECT_EQ(refused([](Contents &, Size &size) { size.from = SizeSource::steps; }),
            "program main: step 1 (tokens): from: expected a sum or a count of an input, found 0");
  EXPECT_EQ(refused([](Contents &, Size &size) { size.from = static_cast<SizeSource>(3); }),
            "program main: step 1 (tokens): from: expected a sum or a count of an input, found 3");
  EXPECT_EQ(refused([](Contents &, Size &size) { size.input = 1; }), "program main: step 1 (tokens): input: 1 of 1");
  auto withDType = [&](DType dtype, SizeSource from) {
    return refused([&](Contents &c, Size &size) {
      Program &p = c.programs[0];
      p.inputs[0].dtype = p.buffers[0].dtype = dtype;
      p.inputs[0].bytes = p.buffers[0].bytes = bytesAtBounds(dtype, p.inputs[0].shape, c.symbols).value();
      size.from = from;
    });
  };
  EXPECT_EQ(withDType(DType::i64, SizeSource::nonzero), "");
  EXPECT_EQ(withDType(DType::i64, SizeSource::sum),
            "program main: step 1 (tokens): input: \"mask\" holds i64, not whole numbers that can be counted");
  EXPECT_EQ(withDType(DType::f32, SizeSource::nonzero),
            "program main: step 1 (tokens): input: \"mask\" holds f32, not whole numbers that can be counted");
  EXPECT_EQ(refused([](Contents &, Size &size) { size.limit = Expr::symbol(2); }),
            "program main: step 1 (tokens): limit: it depends on symbol \"tokens\", which a step sets");
}

// Expressions: text, value, bound.
TEST(Artifact, Expressions) {
  std::vector<Symbol> symbols = {{"past", 0, 511}, {"seq", 1, 512}};
  Expr total = {{{1, {0}}, {1, {1}}}}, product = {{{-2, {0, 1}}, {7, {}}}};
  EXPECT_EQ(toString(total, symbols), "past+seq");
  EXPECT_EQ(toString(product, symbols), "-2*past*seq+7");
  EXPECT_EQ(toString(Expr{}, symbols), "0");
  int64_t values[] = {3, 4};
  EXPECT_EQ(evaluate(total, values), 7);
  EXPECT_EQ(evaluate(product, values), -17);
  EXPECT_EQ(upperBound(total, symbols).value(), 1023u);
  EXPECT_EQ(upperBound(product, symbols).value(), 7u);
  EXPECT_FALSE(upperBound({{{INT64_MAX, {0}}}}, symbols).valid());
}
