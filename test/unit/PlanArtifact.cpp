// Artifacts from plans: what the reader finds is what the plan says.
#include "compiler/ArtifactBuilder.h"
#include "ir/Plan.h"
#include "runtime/format/Artifact.h"
#include "test/unit/ArtifactFixture.h"

#include "mlir/Parser/Parser.h"

namespace transom {
namespace {

constexpr const char *text = R"(
module attributes {transom.model = "tiny", transom.architecture = "llama", transom.task = "run",
                   transom.bounds = {batch = [1, 2], seq = [0, 16]}, transom.metadata = {source = "mlir"}} {
  plan.weight "up" : tensor<64x32x!transom.block<q8_0>>
  plan.weight "norm" = dense<1.0> : tensor<32xf32> : tensor<32xf32>
  plan.kernel @rms_norm_32(%x: tensor<?x?x32xf32>, %w: tensor<32xf32>) -> tensor<?x?x32xf32> {
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x?x32xf32>, tensor<32xf32>) -> tensor<?x?x32xf32>
    plan.yield %0 : tensor<?x?x32xf32>
  }
  plan.kernel @unpack(%w: tensor<64x32x!transom.block<q8_0>>) -> tensor<64x32xf32> unpack {
    %0 = transom.dequantize %w to f32 : (tensor<64x32x!transom.block<q8_0>>) -> tensor<64x32xf32>
    plan.yield %0 : tensor<64x32xf32>
  }
  plan.kernel @append(%c: !transom.cache<?x1x16x32xf32>, %t: tensor<?x1x?x32xf32>, %p: tensor<?xi32>, %l: tensor<?xi32>) -> !transom.cache<?x1x16x32xf32> {
    %0 = transom.cache_append bhsd %c, %t past %p lengths %l
       : (!transom.cache<?x1x16x32xf32>, tensor<?x1x?x32xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x1x16x32xf32>
    plan.yield %0 : !transom.cache<?x1x16x32xf32>
  }
  plan.program @main arena 4096 {
    %x = plan.buffer input "x" shape ["batch", "seq", "32"] bytes 4096 : tensor<?x?x32xf32>
    %l = plan.buffer input "lengths" shape ["batch"] bytes 8 : tensor<?xi32>
    %c = plan.buffer state "cache.0.key" shape ["batch", "1", "16", "32"] bytes 4096 : !transom.cache<?x1x16x32xf32>
    %y = plan.buffer output "y" shape ["batch*seq", "64"] bytes 8192 : tensor<?x64xf32>
    %n = plan.buffer weight "norm" shape ["32"] bytes 128 : tensor<32xf32>
    %w = plan.buffer weight "up" shape ["64", "32"] bytes 2176 : tensor<64x32x!transom.block<q8_0>>
    %0 = plan.buffer arena shape ["batch", "seq", "32"] bytes 4096 offset 0 : tensor<?x?x32xf32>
    plan.launch @rms_norm_32 ins(%x, %n) outs(%0) work "batch*seq" grain 4 source "blk.0.norm"
    %1 = plan.view %0 shape ["batch", "1", "seq", "32"] : tensor<?x1x?x32xf32>
    plan.launch @append ins(%c, %1, %l, %l) outs(%c) work "batch*seq"
    plan.gemm ins(%0, %w) outs(%y) m "batch*seq" n "64" k "32" unpack @unpack source "up"
  }
})";

class PlanArtifact : public testing::Test {
protected:
  PlanArtifact() {
    context.loadDialect<TransomDialect, plan::PlanDialect>();
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    code.sharedObject.assign(100, 'c');
    code.kernels = {"rms_norm_32", "unpack", "append"};
    code.kernelText = {"a", "b", "c"};
    code.features = {"avx2"};
    code.target = "x86-64-v3";
    EXPECT_TRUE(source.add({"up", DType::q8_0, {64, 32}, up}).ok());
  }
  Result<BuiltArtifact> build(const std::string &path) {
    CpuPart cpu{*module, code};
    return buildArtifact(path, {&cpu, nullptr, source, tokenizer}, [this](uint64_t done, uint64_t all) {
      EXPECT_GE(done, written);
      EXPECT_LE(done, all);
      written = done;
    });
  }

  mlir::MLIRContext context{mlir::MLIRContext::Threading::DISABLED};
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::vector<std::byte> up = std::vector<std::byte>(2176, std::byte(7));
  CpuCode code;
  TensorSource source;
  std::optional<tokenizer::TokenizerSpec> tokenizer;
  test::TemporaryFolder folder;
  uint64_t written = 0;
};

// The reader accepts the file and finds every part of the plan in it.
TEST_F(PlanArtifact, SaysWhatThePlanSays) {
  ASSERT_TRUE(module);
  auto built = build(folder.file("a"));
  ASSERT_TRUE(built.ok()) << built.status().message();
  auto artifact = Artifact::open(folder.file("a"));
  ASSERT_TRUE(artifact.ok()) << artifact.status().message();
  const artifact::Contents &contents = artifact->contents();
  EXPECT_EQ(built->fileBytes, artifact->fileBytes());
  EXPECT_EQ(built->weightBytes, 2176u + 128u);
  EXPECT_GT(written, built->weightBytes);
  EXPECT_EQ(contents.model, "tiny");
  EXPECT_EQ(contents.symbols, (std::vector<artifact::Symbol>{{"batch", 1, 2}, {"seq", 0, 16}}));
  EXPECT_EQ(*contents.findMetadata("source"), "mlir");
  EXPECT_NE(contents.plan.find("plan.launch @rms_norm_32"), std::string::npos);
  EXPECT_EQ(contents.kernelText, code.kernelText);
  EXPECT_EQ(contents.code.at(0).target, "cpu:x86-64-v3");
  ASSERT_EQ(contents.weights.size(), 2u);
  EXPECT_TRUE(std::ranges::equal(artifact->bytes(contents.weights[0].section), up));
  ASSERT_EQ(contents.states.size(), 1u);
  EXPECT_EQ(contents.states[0].name, "cache.0.key");
  // Programs share one arena: weights 2176 + 128, inputs 4096 + 64, output 8192, state 4096, arena 4096.
  EXPECT_EQ(*contents.findMetadata("predicted_bytes"), std::to_string(2176 + 128 + 4096 + 64 + 8192 + 4096 + 4096));
}

// A launch passes one size for every dimension that its kernel does not know, in order, and views lie where their base does.
TEST_F(PlanArtifact, PassesSizesAndViews) {
  ASSERT_TRUE(build(folder.file("a")).ok());
  auto artifact = Artifact::open(folder.file("a"));
  ASSERT_TRUE(artifact.ok()) << artifact.status().message();
  const artifact::Contents &contents = artifact->contents();
  const artifact::Program &program = contents.programs.at(0);
  auto sizes = [&](const artifact::Launch &launch) {
    std::string all;
    for (const artifact::Expr &size : launch.sizes)
      all += toString(size, contents.symbols) + " ";
    return all;
  };
  ASSERT_EQ(program.steps.size(), 3u);
  auto &norm = std::get<artifact::Launch>(program.steps[0].kind);
  EXPECT_EQ(sizes(norm), "batch seq batch seq ");
  EXPECT_EQ(norm.kernel, 0u);
  EXPECT_EQ(norm.grain, 4u);
  EXPECT_EQ(program.steps[0].source, "blk.0.norm");
  auto &append = std::get<artifact::Launch>(program.steps[1].kind);
  EXPECT_EQ(sizes(append), "batch batch seq batch batch batch ");
  EXPECT_EQ(append.buffers.front(), append.buffers.back());
  const artifact::Buffer &view = program.buffers[append.buffers[1]], &base = program.buffers[norm.buffers[2]];
  EXPECT_EQ(view.kind, artifact::BufferKind::arena);
  EXPECT_EQ(view.offset, base.offset);
  EXPECT_EQ(view.shape.size(), 4u);
  auto &gemm = std::get<artifact::Gemm>(program.steps[2].kind);
  EXPECT_EQ(gemm.unpack, 1);
  EXPECT_EQ(toString(gemm.m, contents.symbols), "batch*seq");
  EXPECT_EQ(program.inputs.at(1).name, "lengths");
  EXPECT_EQ(program.arenaBytes, 4096u);
}

// The same parts give the same bytes.
TEST_F(PlanArtifact, IsDeterministic) {
  ASSERT_TRUE(build(folder.file("a")).ok());
  written = 0;
  ASSERT_TRUE(build(folder.file("b")).ok());
  EXPECT_EQ(test::readBytes(folder.file("a")), test::readBytes(folder.file("b")));
}

// A tensor that the source lacks is an error that names it, and leaves no file.
TEST_F(PlanArtifact, LeavesNoFileOnErrors) {
  source = TensorSource();
  auto built = build(folder.file("a"));
  ASSERT_FALSE(built.ok());
  EXPECT_NE(built.status().message().find("up"), std::string::npos);
  EXPECT_FALSE(std::ifstream(folder.file("a")).good());
}

} // namespace
} // namespace transom
