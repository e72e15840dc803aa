// What explain is made of: names of layers, costs in reports, promises of passes.
#include "NaiveGraphs.h"

#include "compiler/ExplainNames.h"
#include "compiler/Legality.h"
#include "compiler/MissCost.h"
#include "compiler/Pipeline.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

using namespace transom;

namespace {

class Explain : public testing::Test {
protected:
  Explain() {
    context.disableMultithreading();
    context.loadDialect<mlir::arith::ArithDialect, mlir::func::FuncDialect, mlir::math::MathDialect, TransomDialect>();
  }
  mlir::ModuleOp parse(const std::string &text) {
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    EXPECT_TRUE(module);
    return *module;
  }
  mlir::Operation *opNamed(llvm::StringRef name) {
    mlir::Operation *found = nullptr;
    module->walk([&](mlir::Operation *op) { found = op->getName().getStringRef() == name ? op : found; });
    return found;
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

constexpr const char *transposed = R"(
module attributes {transom.bounds = {rows = [1, 8]}} {
  func.func @main(%x: tensor<?x4xf32> {transom.dims = ["rows", "4"]}) -> tensor<4x?xf32> {
    %0 = transom.transpose %x [1, 0] : (tensor<?x4xf32>) -> tensor<4x?xf32> loc("layers.2.turned")
    return %0 : tensor<4x?xf32>
  }
}
)";

} // namespace

// Numbers in names of layers, and nothing else, are what like layers differ in.
TEST(ExplainNames, Layers) {
  EXPECT_EQ(layerPattern("layers.13.attention"), "layers.*.attention");
  EXPECT_EQ(layerPattern("blk.0"), "blk.*");
  EXPECT_EQ(layerPattern("conv2d.x3"), "conv2d.x3");
  EXPECT_EQ(layerPattern(""), "");
  EXPECT_EQ(layerStem("encoder.layer.11.feed_forward"), "encoder.layer.11");
  EXPECT_EQ(layerStem("layers.3"), "layers.3");
  EXPECT_EQ(layerStem("embedding"), "");
  EXPECT_EQ(layerStem("graph.mlir:12:3"), "");
}

// Weights' names in a text are alike in like layers; sizes and fractions stay.
TEST(ExplainNames, Texts) {
  EXPECT_EQ(textPattern("stored as blk.30.attn_norm.weight.cast"), "stored as blk.*.attn_norm.weight.cast");
  EXPECT_EQ(textPattern("found [batch, 1, 576] and 1.5.2"), "found [batch, 1, 576] and 1.5.2");
  EXPECT_EQ(conditionOf("F12: expected one"), "F12");
  EXPECT_EQ(conditionOf("expected: one"), "");
  EXPECT_EQ(conditionOf("F: expected"), "");
}

// What a pass says of a cost reaches the collector, and the text is without it.
TEST_F(Explain, CostsInReports) {
  parse(transposed);
  std::vector<Finding> findings;
  FindingCollector collector(&context, findings);
  Reporter reporter("eliminate-transposes", true);
  mlir::Operation *op = opNamed("transom.transpose");
  reporter.reject(op, "T1: expected [cost: none]", {.bytes = 4096, .launches = 2});
  reporter.applied(op, "moved", {.launches = 1});
  reporter.reject(op, "T2: expected nothing");
  ASSERT_EQ(findings.size(), 3u);
  EXPECT_EQ(findings[0].text, "T1: expected [cost: none]");
  EXPECT_EQ(findings[0].cost.bytes, 4096);
  EXPECT_EQ(findings[0].cost.launches, 2);
  EXPECT_EQ(findings[1].kind, Finding::Kind::applied);
  EXPECT_EQ(findings[1].text, "moved");
  EXPECT_EQ(findings[1].cost.bytes, std::nullopt);
  EXPECT_EQ(findings[1].cost.launches, 1);
  EXPECT_EQ(findings[2].cost.bytes, std::nullopt);
  EXPECT_EQ(findings[2].layer, "layers.2.turned");
}

// Where a pass does not say, the result is written and read once more: 4 * 8 floats, twice.
TEST_F(Explain, EstimatedCosts) {
  MissCosts costs(parse(transposed));
  Finding finding{Finding::Kind::rejected, "eliminate-transposes", "transom.transpose", "layers.2.turned", "T1: expected"};
  costs.fill(finding);
  EXPECT_EQ(finding.cost.bytes, 2 * 4 * 8 * 4);
  EXPECT_EQ(finding.cost.launches, 1);
  Finding known = finding;
  known.cost = {.bytes = 7};
  costs.fill(known);
  EXPECT_EQ(known.cost.bytes, 7);
  Finding unknown{Finding::Kind::rejected, "plan-memory", "transom.transpose", "layers.2.turned", ""};
  costs.fill(unknown);
  EXPECT_EQ(unknown.cost.bytes, std::nullopt);
}

// Rows that stay padded cost half of all that is computed for them: 2 * 8 * 4 floats twice, by two ops; no launch.
TEST_F(Explain, CostOfPadding) {
  MissCosts costs(parse(R"(
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 8]}} {
  func.func @main(%x: tensor<?x1x?x4xf32> {transom.dims = ["batch", "1", "seq", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]},
                  %y: tensor<?x4xf32> {transom.dims = ["batch", "4"]}) -> (tensor<?x?x1x4xf32>, tensor<?x4xf32>) {
    %0 = transom.attention bhsd %x, %x, %x mask %mask {scale = 0.5 : f64}
      : (tensor<?x1x?x4xf32>, tensor<?x1x?x4xf32>, tensor<?x1x?x4xf32>, tensor<?x?xi32>) -> tensor<?x1x?x4xf32> loc("layers.0")
    %1 = transom.transpose %0 [0, 2, 1, 3] : (tensor<?x1x?x4xf32>) -> tensor<?x?x1x4xf32>
    %2 = transom.exp %y : (tensor<?x4xf32>) -> tensor<?x4xf32>
    return %1, %2 : tensor<?x?x1x4xf32>, tensor<?x4xf32>
  }
}
)"));
  Finding finding{Finding::Kind::rejected, "remove-padding", "transom.attention", "layers.0", "P4: expected"};
  costs.fill(finding);
  EXPECT_EQ(finding.cost.bytes, 2 * (2 * 8 * 4 * 4));
  EXPECT_EQ(finding.cost.launches, 0);
}

// An op that a pass promises not to leave is an error that names pass, op and layer, unless it was reported there.
TEST_F(Explain, BrokenPromise) {
  parse(transposed);
  Status status = checkLegality("eliminate-transposes", *module, {});
  EXPECT_EQ(status.code(), StatusCode::internal);
  EXPECT_EQ(status.message(), "eliminate-transposes left 'transom.transpose' at layers.2.turned, but promises that no transpose is left; "
                              "this is a bug of Transom, and --disable=eliminate-transposes may avoid it");
  Finding reported{Finding::Kind::rejected, "eliminate-transposes", "transom.reshape", "layers.2.turned", "T1: expected"};
  EXPECT_TRUE(checkLegality("eliminate-transposes", *module, reported).ok());
  reported.layer = "layers.3.turned";
  EXPECT_FALSE(checkLegality("eliminate-transposes", *module, reported).ok());
  reported = {Finding::Kind::applied, "eliminate-transposes", "transom.transpose", "layers.2.turned", "moved"};
  EXPECT_FALSE(checkLegality("eliminate-transposes", *module, reported).ok());
  EXPECT_TRUE(checkLegality("make-kv-static", *module, {}).ok());
}

// A graph op behind the lowering is found too.
TEST_F(Explain, OnlyPlans) {
  parse(transposed);
  EXPECT_EQ(checkLegality("lower-to-plan", *module, {}).code(), StatusCode::internal);
  EXPECT_EQ(countOps(*module), "@main: 1 ops: 1 transom.transpose\n");
}

// Every pass promises something.
TEST(Legality, EveryPassPromises) {
  for (const PipelinePass &pass : pipelinePasses())
    EXPECT_FALSE(promisesOf(pass.name).empty()) << pass.name.str();
}
