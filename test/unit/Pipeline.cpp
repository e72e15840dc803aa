// The pipeline's options: names of passes, sizes, the dump folder, rejections.
#include "NaiveGraphs.h"

#include "compiler/Bounds.h"
#include "compiler/Pipeline.h"
#include "ir/DimAnalysis.h"
#include "ir/Plan.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

using namespace transom;

namespace {

class Pipeline : public testing::Test {
protected:
  Pipeline() {
    context.disableMultithreading();
    context.loadDialect<mlir::arith::ArithDialect, mlir::func::FuncDialect, mlir::math::MathDialect, TransomDialect, plan::PlanDialect>();
    module = mlir::parseSourceString<mlir::ModuleOp>(test::naiveLlama({}), &context);
  }
  void expectError(const CompilerOptions &options, const std::string &message) {
    Status status = runPipeline(*module, options);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.code(), StatusCode::invalidArgument);
    EXPECT_EQ(status.message(), message);
  }
  int64_t maximum(const char *name) { return boundsOf(*module, name)->max; }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  CompilerOptions options;
};

} // namespace

// An unknown pass is an error that lists the ones that can be disabled.
TEST_F(Pipeline, UnknownPass) {
  options.disabled = {"fuse-all"};
  expectError(options, "no pass is named 'fuse-all'; these can be disabled: fold-constants, make-kv-static, eliminate-transposes, remove-padding, assign-layouts, choose-tokens-early, merge-projections, quantise-products, fuse-epilogue, fuse-norm, fuse-elementwise, plan-memory");
}

// A pass without which nothing can be compiled cannot be disabled.
TEST_F(Pipeline, FixedPass) {
  options.disabled = {"fuse-elementwise", "lower-to-plan"};
  expectError(options, "pass 'lower-to-plan' cannot be disabled; these can: fold-constants, make-kv-static, eliminate-transposes, remove-padding, assign-layouts, choose-tokens-early, merge-projections, quantise-products, fuse-epilogue, fuse-norm, fuse-elementwise, plan-memory");
}

// Sizes beyond the model's, and sizes that are not positive, are errors.
TEST_F(Pipeline, SizesOutOfRange) {
  options.maxContext = 17;
  expectError(options, "max context: expected 1 to 16, found 17");
  options = {};
  options.maxSeq = 17;
  expectError(options, "max seq: expected 1 to 16, found 17");
  options = {};
  options.maxBatch = -1;
  expectError(options, "max batch: expected 1 to 65536, found -1");
}

// A size that the model does not have cannot be limited.
TEST_F(Pipeline, SizeOfAnotherKindOfModel) {
  module = mlir::parseSourceString<mlir::ModuleOp>(test::naiveBert(), &context);
  options.maxContext = 8;
  expectError(options, "max context: the model has no size 'past'");
}

// A smaller context limits the past, the chunk and the metadata.
TEST_F(Pipeline, SmallerContext) {
  options.maxContext = 8;
  options.maxBatch = 2;
  ASSERT_TRUE(applyBounds(*module, options).ok());
  EXPECT_EQ(maximum("batch"), 2);
  EXPECT_EQ(maximum("seq"), 8);
  EXPECT_EQ(maximum("past"), 7);
  auto metadata = (*module)->getAttrOfType<mlir::DictionaryAttr>("transom.metadata");
  EXPECT_EQ(metadata.getAs<mlir::StringAttr>("context_length").getValue(), "8");
}

// A smaller chunk leaves the context as it is.
TEST_F(Pipeline, SmallerChunk) {
  options.maxSeq = 4;
  ASSERT_TRUE(applyBounds(*module, options).ok());
  EXPECT_EQ(maximum("seq"), 4);
  EXPECT_EQ(maximum("past"), 15);
}

// Every stage is reported and dumped, in order; a disabled pass is neither, and says nothing.
TEST_F(Pipeline, Stages) {
  std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "transom_pipeline_stages";
  std::filesystem::remove_all(folder);
  options.dumpDir = folder.string();
  options.disabled = {"fuse-elementwise"};
  std::vector<std::string> stages;
  std::vector<Finding> findings;
  Status status = runPipeline(
      *module, options,
      [&](llvm::StringRef stage, mlir::ModuleOp) {
        stages.push_back(stage.str());
        return Status();
      },
      &findings);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(stages, (std::vector<std::string>{"import", "fold-constants", "make-kv-static", "eliminate-transposes", "remove-padding", "assign-layouts", "choose-tokens-early", "merge-projections", "quantise-products", "fuse-epilogue", "fuse-norm", "lower-to-plan", "plan-memory"}));
  // A dump begins with what was done, what holds now and what is left, and is still a graph.
  std::ifstream dump(folder / "02-make-kv-static.mlir");
  std::string text{std::istreambuf_iterator<char>(dump), {}};
  EXPECT_TRUE(llvm::StringRef(text).starts_with("// after make-kv-static: ")) << text.substr(0, 200);
  EXPECT_NE(text.find("\n// holds: "), std::string::npos);
  EXPECT_NE(text.find("\n// @decode: "), std::string::npos);
  EXPECT_TRUE(mlir::parseSourceString<mlir::ModuleOp>(text, &context));
  for (const Finding &finding : findings)
    EXPECT_NE(finding.pass, "fuse-elementwise");
  std::filesystem::remove_all(folder);
}

// What a pass leaves alone reaches the caller, with its condition.
TEST_F(Pipeline, Rejections) {
  module = mlir::parseSourceString<mlir::ModuleOp>(test::naiveBert(), &context);
  std::vector<Finding> findings;
  Status status = runPipeline(*module, options, {}, &findings);
  ASSERT_TRUE(status.ok()) << status.message();
  auto cache = llvm::find_if(findings, [](const Finding &finding) { return finding.pass == "make-kv-static"; });
  ASSERT_NE(cache, findings.end());
  EXPECT_EQ(cache->op, "func.func");
  EXPECT_EQ(cache->text, "K1: expected a result that is an argument extended by concat, found none");
}

// With every switchable pass off the naive graph itself is lowered.
TEST_F(Pipeline, NothingSwitchable) {
  options.disableAll = true;
  Status status = runPipeline(*module, options);
  EXPECT_TRUE(status.ok()) << status.message();
}
