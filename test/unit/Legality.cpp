// What passes promise to leave: each promise on a graph that breaks it. The check says so, a report of the pass excuses it,
// and a pass that is off promises nothing.
#include "compiler/Legality.h"
#include "compiler/Pipeline.h"
#include "ir/Plan.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

using namespace transom;

namespace {

struct Breach {
  const char *name; ///< of the test
  const char *pass;
  const char *op, *promise; ///< what is left, and what was promised
  const char *body;         ///< of @main(%x: [rows, 4], %mask: [batch, seq], %heads: [batch, seq, 2, 4]); a place is layers.0.found
};

constexpr const char *attentionOfPadding = R"(
  %h = transom.attention bshd %heads, %heads, %heads mask %mask {scale = 0.5 : f64}
    : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32> loc("layers.0.found"))";
constexpr const char *lateChoice = R"(
  %index, %ends = transom.valid_tokens %mask size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
  %ids = transom.pack %mask, %index : (tensor<?x?xi32>, tensor<?xi32>) -> tensor<?xi32>
  %0 = transom.embedding %w, %ids : (tensor<4x4xf32>, tensor<?xi32>) -> tensor<?x4xf32>
  %1 = transom.matmul %0, %v transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %y = transom.first_token %1 cumulative %ends : (tensor<?x4xf32>, tensor<?xi32>) -> tensor<?x4xf32> loc("layers.0.found"))";
constexpr const char *twoProducts = R"(
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32> loc("layers.0.found")
  %1 = transom.matmul %x, %v transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %y = transom.mul %0, %1 : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>)";
constexpr const char *productAlone = R"(
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %y = transom.silu %0 : (tensor<?x4xf32>) -> tensor<?x4xf32> loc("layers.0.found"))";
constexpr const char *normBeforeProduct = R"(
  %0 = transom.rms_norm %x, %s epsilon 1.0e-05 : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32> loc("layers.0.found")
  %y = transom.matmul %0, %w transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>)";
constexpr const char *normBehindSum = R"(
  %0 = transom.add %x, %x : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32> loc("layers.0.found")
  %y = transom.rms_norm %0, %s epsilon 1.0e-05 : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>)";

const Breach breaches[] = {
    {"PaddedAttention", "remove-padding", "transom.attention", "no attention reads padded rows of its own tokens", attentionOfPadding},
    {"LateChoice", "choose-tokens-early", "transom.first_token", "one token of each packed row is chosen in front of norms and products that only the choice reads", lateChoice},
    {"TwoProducts", "merge-projections", "transom.matmul", "no two products with weights [N, K] of one type read the same rows", twoProducts},
    {"ProductAlone", "fuse-epilogue", "transom.matmul", "no product with a weight [N, K] is read by one elementwise op alone", productAlone},
    {"NormBeforeProduct", "fuse-epilogue", "transom.rms_norm", "no norm of at most 16 rows is read by one such product alone", normBeforeProduct},
    {"NormBehindSum", "fuse-norm", "transom.rms_norm", "no elementwise op or lookup makes the input of a norm, and no quantize reads one", normBehindSum},
};

class Legality : public testing::TestWithParam<Breach> {
protected:
  Legality() {
    context.disableMultithreading();
    context.loadDialect<mlir::arith::ArithDialect, mlir::func::FuncDialect, mlir::math::MathDialect, TransomDialect, plan::PlanDialect>();
    std::string body = GetParam().body, rows = body.find("%y") == std::string::npos ? "%x" : "%y";
    std::string heads = body.find("%h =") == std::string::npos ? "%heads" : "%h";
    module = mlir::parseSourceString<mlir::ModuleOp>(R"(
module attributes {transom.bounds = {batch = [1, 4], rows = [1, 8], seq = [1, 32], tokens = [0, 128]}, transom.task = "run"} {
func.func @main(%x: tensor<?x4xf32> {transom.name = "x", transom.dims = ["rows", "4"]},
                %mask: tensor<?x?xi32> {transom.name = "attention_mask", transom.dims = ["batch", "seq"]},
                %heads: tensor<?x?x2x4xf32> {transom.name = "heads", transom.dims = ["batch", "seq", "2", "4"]})
    -> (tensor<?x4xf32> {transom.name = "y"}, tensor<?x?x2x4xf32> {transom.name = "h"}) {
  %w = transom.weight "w" : tensor<4x4xf32>
  %v = transom.weight "v" : tensor<4x4xf32>
  %s = transom.weight "s" : tensor<4xf32>)" + body +
                                                         "\n  return " + rows + ", " + heads + " : tensor<?x4xf32>, tensor<?x?x2x4xf32>\n}\n}\n",
                                                     &context);
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

} // namespace

// The check finds the op, and names pass, op and promise.
TEST_P(Legality, IsChecked) {
  ASSERT_TRUE(module);
  const Breach &breach = GetParam();
  Status status = checkLegality(breach.pass, *module, {});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.code(), StatusCode::internal);
  std::string expected = fmt::format("{} left '{}'", breach.pass, breach.op), promise = fmt::format("promises that {};", breach.promise);
  EXPECT_EQ(status.message().find(expected), 0u) << status.message();
  EXPECT_NE(status.message().find(promise), std::string::npos) << status.message();
}

// A rejection by the pass is a reason; one by another pass, or a rewrite, is none.
TEST_P(Legality, IsExcusedByReports) {
  ASSERT_TRUE(module);
  const Breach &breach = GetParam();
  Finding finding{Finding::Kind::rejected, breach.pass, breach.op, "layers.0.found", "expected another graph"};
  EXPECT_TRUE(checkLegality(breach.pass, *module, finding).ok());
  finding.kind = Finding::Kind::applied;
  EXPECT_FALSE(checkLegality(breach.pass, *module, finding).ok());
  finding = {Finding::Kind::rejected, "fold-constants", breach.op, "layers.0.found", "expected another graph"};
  EXPECT_FALSE(checkLegality(breach.pass, *module, finding).ok());
}

// Without the pass nobody promises anything, and the graph is lowered as it is.
TEST_P(Legality, IsNotPromisedByPassesThatAreOff) {
  ASSERT_TRUE(module);
  CompilerOptions options;
  options.disabled = {GetParam().pass};
  Status status = runPipeline(*module, options);
  EXPECT_TRUE(status.ok()) << status.message();
}

// With the pass there is nothing to find.
TEST_P(Legality, IsKept) {
  ASSERT_TRUE(module);
  CompilerOptions options;
  Status status = runPipeline(*module, options);
  EXPECT_TRUE(status.ok()) << status.message();
}

INSTANTIATE_TEST_SUITE_P(Promises, Legality, testing::ValuesIn(breaches), [](const auto &info) { return info.param.name; });
