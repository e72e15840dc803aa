// Every pass leaves what a graph computes: the reference interpreter in fp64, before and after, on small naive graphs.
#include "NaiveGraphs.h"

#include "compiler/interpreter/Interpreter.h"
#include "passes/Passes.h"

#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

#include <gtest/gtest.h>

namespace transom::test {

using interpreter::Interpreter, interpreter::Precision, interpreter::Tensor;
using Tensors = std::vector<Tensor>;

namespace {

constexpr double tolerance = 1e-12;

class Graph {
public:
  explicit Graph(const std::string &text, const std::string &passes = "") : context(registry(), mlir::MLIRContext::Threading::DISABLED) {
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    EXPECT_TRUE(module);
    static bool registered = (registerTransomPasses(), true);
    (void)registered;
    mlir::PassManager manager(&context);
    EXPECT_TRUE(succeeded(mlir::parsePassPipeline(passes, manager)));
    EXPECT_TRUE(succeeded(manager.run(*module)));
  }

  Tensors run(const std::string &name, Tensors inputs) {
    auto function = module->lookupSymbol<mlir::func::FuncOp>(name);
    if (!function) {
      ADD_FAILURE() << "no function @" << name;
      return {};
    }
    Result<Tensors> results = Interpreter(Precision::f64).run(function, std::move(inputs));
    EXPECT_TRUE(results.ok()) << results.status().message();
    return results.ok() ? *results : Tensors();
  }
  template <typename Op> int count() {
    int found = 0;
    module->walk([&](Op) { ++found; });
    return found;
  }
  bool has(const std::string &name) { return module->lookupSymbol(name) != nullptr; }

private:
  static const mlir::DialectRegistry &registry() {
    static mlir::DialectRegistry dialects;
    dialects.insert<mlir::arith::ArithDialect, mlir::func::FuncDialect, mlir::math::MathDialect, TransomDialect>();
    return dialects;
  }
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

Tensor integers(std::vector<int64_t> shape, std::vector<int64_t> numbers) {
  return Tensor::ofIntegers(DType::i32, std::move(shape), std::move(numbers));
}

/// Numbers that differ from place to place.
Tensor floats(std::vector<int64_t> shape) {
  int64_t size = 1;
  for (int64_t dim : shape)
    size *= dim;
  std::vector<double> numbers;
  for (int64_t i = 0; i < size; ++i)
    numbers.push_back(std::sin(double(7 * i + 1)));
  return Tensor::ofFloats(DType::f32, std::move(shape), numbers);
}

/// Fails where a number differs by more than the tolerance, relative to the larger of it and 1; NaN equals nothing.
void expectEqual(const Tensor &found, const Tensor &expected) {
  ASSERT_EQ(found.shape(), expected.shape());
  for (int64_t i = 0; i < found.size(); ++i)
    ASSERT_LE(std::abs(found.at(i) - expected.at(i)), tolerance * std::max(1.0, std::abs(expected.at(i)))) << "at " << i;
}

/// `count` rows of `tensor`, row-major, from row `first`; a row is what the last dimension holds.
std::vector<double> rowsOf(const Tensor &tensor, int64_t first, int64_t count) {
  int64_t width = tensor.shape().back();
  std::span<const double> all = tensor.floats();
  return {all.begin() + first * width, all.begin() + (first + count) * width};
}

const LlamaSizes sizes;
const LlamaSizes sequenceFirst{.sequenceFirst = true};

Tensor emptyPast(const LlamaSizes &sizes) {
  Tensor::Shape heads = {1, sizes.kvHeads, 0, sizes.headDim}, tokens = {0, 1, sizes.kvHeads, sizes.headDim};
  return Tensor::ofFloats(DType::f32, sizes.sequenceFirst ? tokens : heads, {});
}

/// Inputs of the naive decoder: rows of ids behind `past` (one tensor per cache) whose tokens are all valid.
Tensors naiveInputs(const std::vector<int64_t> &ids, Tensors past, int axis = 2) {
  int64_t before = past[0].dim(axis), count = ids.size();
  std::vector<int64_t> mask(before + count, 1), positions;
  for (int64_t i = 0; i < count; ++i)
    positions.push_back(before + i);
  Tensors inputs = {integers({1, count}, ids), integers({1, before + count}, mask), integers({1, count}, positions)};
  inputs.insert(inputs.end(), past.begin(), past.end());
  return inputs;
}

/// Logits of the last token of one row, computed by the naive graph in one run.
std::vector<double> lastLogits(Graph &naive, const std::vector<int64_t> &ids, const LlamaSizes &sizes = {}) {
  Tensors results = naive.run("main", naiveInputs(ids, Tensors(2 * sizes.layers, emptyPast(sizes)), sizes.sequenceFirst ? 0 : 2));
  return rowsOf(results[0], ids.size() - 1, 1);
}

/// Rows of tokens fed to @prefill and @decode, with the caches between calls.
class Session {
public:
  Session(Graph &graph, int64_t batch) : graph(graph), batch(batch), past(batch, 0) {
    // Slots that nothing wrote must not be read.
    std::vector<double> poison(batch * sizes.kvHeads * sizes.context * sizes.headDim, std::nan(""));
    for (int64_t i = 0; i < 2 * sizes.layers; ++i)
      caches.push_back(Tensor::ofFloats(DType::f32, {batch, sizes.kvHeads, sizes.context, sizes.headDim}, poison));
  }

  /// Logits [batch, vocab] after each row's tokens; rows may be of different lengths, empty included.
  Tensor step(const std::string &function, const std::vector<std::vector<int64_t>> &rows) {
    int64_t longest = 1;
    for (auto &row : rows)
      longest = std::max<int64_t>(longest, row.size());
    std::vector<int64_t> ids, lengths;
    for (auto &row : rows) {
      ids.insert(ids.end(), row.begin(), row.end());
      ids.resize(ids.size() + longest - row.size(), 3); // padding is no special token
      lengths.push_back(row.size());
    }
    Tensors inputs = {integers({batch, longest}, ids), integers({batch}, lengths), integers({batch}, past)};
    inputs.insert(inputs.end(), caches.begin(), caches.end());
    Tensors results = graph.run(function, inputs);
    for (int64_t row = 0; row < batch; ++row)
      past[row] += lengths[row];
    caches.assign(results.begin() + 1, results.end());
    return results[0];
  }

private:
  Graph &graph;
  int64_t batch;
  std::vector<int64_t> past;
  Tensors caches;
};

void expectRow(const Tensor &logits, int64_t row, const std::vector<double> &expected) {
  std::vector<double> found = rowsOf(logits, row, 1);
  expectEqual(Tensor::ofFloats(DType::f32, {sizes.vocab}, found), Tensor::ofFloats(DType::f32, {sizes.vocab}, expected));
}

std::vector<int64_t> concat(std::vector<int64_t> a, const std::vector<int64_t> &b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

void expectSameMain(const std::string &text, const std::string &passes, const Tensors &inputs) {
  Graph before(text), after(text, passes);
  Tensors expected = before.run("main", inputs), found = after.run("main", inputs);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i)
    expectEqual(found[i], expected[i]);
}

/// The same for an encoder's hidden states [batch, seq, ...] of valid tokens and vectors [batch, ...] of rows that have any;
/// input 1 is the mask.
void expectSameValid(const std::string &text, const std::string &passes, const Tensors &inputs) {
  Graph before(text), after(text, passes);
  Tensors expected = before.run("main", inputs), found = after.run("main", inputs);
  ASSERT_EQ(found.size(), expected.size());
  std::span<const int64_t> mask = inputs[1].integers();
  int64_t batch = inputs[1].dim(0), seq = inputs[1].dim(1);
  auto expectRows = [&](size_t result, int64_t row) {
    auto pick = [&](const Tensor &tensor) { return Tensor::ofFloats(tensor.dtype(), {tensor.shape().back()}, rowsOf(tensor, row, 1)); };
    expectEqual(pick(found[result]), pick(expected[result]));
  };
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].shape(), expected[i].shape());
    for (int64_t row = 0; row < batch; ++row) {
      bool any = std::any_of(mask.begin() + row * seq, mask.begin() + (row + 1) * seq, [](int64_t valid) { return valid != 0; });
      if (found[i].rank() == 2 && any)
        expectRows(i, row);
      for (int64_t token = row * seq; found[i].rank() == 3 && token < (row + 1) * seq; ++token)
        if (mask[token])
          expectRows(i, token);
    }
  }
}

/// The encoder in fp64: a region holds gelu's constants in the element's type, the interpreter's gelu has them exactly.
std::string doubleBert() {
  std::string text = naiveBert();
  for (size_t at = 0; (at = text.find("f32", at)) != std::string::npos;)
    text.replace(at, 3, "f64");
  return text;
}

Tensors bertInputs() {
  return {integers({2, 4}, {5, 1, 12, 7, 0, 3, 9, 9}), integers({2, 4}, {1, 1, 1, 1, 1, 1, 0, 0}), integers({2, 4}, {0, 0, 1, 1, 0, 1, 0, 0})};
}
Tensors llamaInputs(const LlamaSizes &sizes = {}) {
  return naiveInputs({4, 9, 16, 2, 7}, Tensors(2 * sizes.layers, emptyPast(sizes)), sizes.sequenceFirst ? 0 : 2);
}

const char *const everyPass = "fold-constants,make-kv-static,eliminate-transposes,remove-padding,func.func(assign-layouts),func.func(choose-tokens-early),"
                             "merge-projections,func.func(fuse-epilogue,fuse-norm,fuse-elementwise)";
const char *const groupPasses = "fold-constants,make-kv-static,eliminate-transposes,func.func(fuse-epilogue,fuse-norm)";

} // namespace

// fold-constants keeps the results of both graphs.
TEST(PassEquivalence, FoldConstants) {
  expectSameMain(naiveLlama(sizes), "fold-constants", llamaInputs());
  expectSameMain(doubleBert(), "fold-constants", bertInputs());
  EXPECT_GT(Graph(naiveBert(), "fold-constants").count<RecipeOp>(), 0);
}

// eliminate-transposes keeps the results of both graphs. With growing caches it leaves those of the caches' layout.
TEST(PassEquivalence, EliminateTransposes) {
  expectSameMain(naiveLlama(sizes), "eliminate-transposes", llamaInputs());
  expectSameMain(doubleBert(), "eliminate-transposes", bertInputs());
  EXPECT_EQ(Graph(naiveBert(), "fold-constants,eliminate-transposes").count<TransposeOp>(), 0);
  EXPECT_EQ(Graph(naiveLlama(sizes), "fold-constants,make-kv-static,eliminate-transposes").count<TransposeOp>(), 0);
}

// assign-layouts keeps the results of both graphs, in the plain form and in the one that its predecessors leave.
TEST(PassEquivalence, AssignLayouts) {
  expectSameMain(naiveLlama(sizes), "func.func(assign-layouts)", llamaInputs());
  for (const char *passes : {"func.func(assign-layouts)", "eliminate-transposes,func.func(assign-layouts)"})
    expectSameMain(doubleBert(), passes, bertInputs());
}

// A graph whose trunk and caches stand sequence-first keeps its results, and has no transpose behind static caches.
TEST(PassEquivalence, SequenceFirst) {
  expectSameMain(naiveLlama(sequenceFirst), "eliminate-transposes,func.func(assign-layouts)", llamaInputs(sequenceFirst));
  Graph graph(naiveLlama(sequenceFirst), "fold-constants,make-kv-static,eliminate-transposes");
  EXPECT_FALSE(graph.has("main"));
  EXPECT_EQ(graph.count<TransposeOp>(), 0);
  EXPECT_EQ(graph.count<ConcatOp>(), 0);
}

// merge-projections keeps the results of both graphs: query, key and value, gate and up.
TEST(PassEquivalence, MergeProjections) {
  expectSameMain(naiveLlama(sizes), "fold-constants,merge-projections", llamaInputs());
  expectSameMain(doubleBert(), "fold-constants,merge-projections", bertInputs());
  EXPECT_EQ(Graph(naiveBert(), "fold-constants,merge-projections").count<MatmulOp>(), 2 * 4);
}

// fuse-epilogue and fuse-norm keep the results of both graphs, each alone and one after the other.
TEST(PassEquivalence, Groups) {
  for (std::string passes : {"func.func(fuse-epilogue)", "func.func(fuse-norm)", "func.func(fuse-epilogue,fuse-norm)"}) {
    expectSameMain(naiveLlama(sizes), passes, llamaInputs());
    expectSameMain(naiveBert(), "fold-constants,eliminate-transposes,merge-projections," + passes, bertInputs());
  }
  EXPECT_GE(Graph(naiveBert(), groupPasses).count<GroupOp>(), 2 * 3);
}

// fuse-elementwise keeps the results of both graphs.
TEST(PassEquivalence, FuseElementwise) {
  expectSameMain(naiveLlama(sizes), "func.func(fuse-elementwise)", llamaInputs());
  expectSameMain(doubleBert(), "func.func(fuse-elementwise)", bertInputs());
  EXPECT_GT(Graph(naiveBert(), "func.func(fuse-elementwise)").count<FusedOp>(), 0);
}

// An encoder passes through the whole pipeline unchanged in meaning.
TEST(PassEquivalence, EveryPassOnEncoder) { expectSameValid(doubleBert(), everyPass, bertInputs()); }

// remove-padding keeps hidden states of valid tokens and sentence vectors: rows padded right, left and inside, rows of one
// token and of none, no padding, and nothing but padding. Any number but 0 is valid.
TEST(PassEquivalence, RemovePaddingFromEncoder) {
  const char *const passes = "fold-constants,eliminate-transposes,remove-padding";
  Graph packed(naiveBert(), passes);
  EXPECT_EQ(packed.count<ValidTokensOp>(), 1);
  EXPECT_EQ(packed.count<UnpackOp>(), 1);
  EXPECT_EQ(packed.count<ReduceOp>(), 1); // the norm of the sentence vector
  EXPECT_EQ(packed.count<ReducePackedOp>(), 2);
  for (std::vector<int64_t> mask : std::vector<std::vector<int64_t>>{
           {1, 1, 1, 1, 1, 1, 0, 0}, {0, 0, 1, 1, 0, 1, 1, 1}, {1, 0, 0, 1, 0, 1, 0, 1}, {0, 0, 0, 1, 1, 0, 0, 0},
           {0, 0, 0, 0, 1, 0, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 0, 0, 0}, {2, -1, 0, 7, 0, 0, 0, 3}}) {
    Tensors inputs = bertInputs();
    inputs[1] = integers({2, 4}, mask);
    SCOPED_TRACE(fmt::format("mask {}", fmt::join(mask, " ")));
    expectSameValid(doubleBert(), passes, inputs);
  }
}

// The chosen token of each row is what it was; where the last layer's query stands, there is one a row.
TEST(PassEquivalence, ChooseTokensEarly) {
  for (bool last : {false, true}) {
    std::string text = fmt::format(R"(
      module attributes {{transom.bounds = {{batch = [1, 4], seq = [1, 32], tokens = [0, 128]}}}} {{
      func.func @main(%x: tensor<?x?x4xf32> {{transom.dims = ["batch", "seq", "4"]}}, %mask: tensor<?x?xi32> {{transom.dims = ["batch", "seq"]}}) -> tensor<?x4xf32> {{
        %w = transom.constant dense<[[0.5, -1.0, 0.25, 2.0], [1.5, 0.0, -0.5, 1.0], [0.0, 1.0, 1.0, -1.0], [-2.0, 0.5, 0.75, 0.25]]> : tensor<4x4xf32>
        %s = transom.constant dense<[1.0, 2.0, 0.5, -1.0]> : tensor<4xf32>
        %index, %ends = transom.valid_tokens %mask size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
        %p = transom.pack %x, %index : (tensor<?x?x4xf32>, tensor<?xi32>) -> tensor<?x4xf32>
        %q = transom.matmul %p, %w transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
        %qh = transom.reshape %q [0, 2, 2] : (tensor<?x4xf32>) -> tensor<?x2x2xf32>
        %kh = transom.reshape %p [0, 2, 2] : (tensor<?x4xf32>) -> tensor<?x2x2xf32>
        %a = transom.attention thd %qh, %kh, %kh cumulative %ends {{scale = 0.5 : f64{0}}}
           : (tensor<?x2x2xf32>, tensor<?x2x2xf32>, tensor<?x2x2xf32>, tensor<?xi32>) -> tensor<?x2x2xf32>
        %m = transom.reshape %a [0, 4] : (tensor<?x2x2xf32>) -> tensor<?x4xf32>
        %r = transom.add %m, %p : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
        %h = transom.layer_norm %r, %s epsilon 1.0e-05 : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
        %y = transom.{1}_token %h cumulative %ends : (tensor<?x4xf32>, tensor<?xi32>) -> tensor<?x4xf32>
        return %y : tensor<?x4xf32>
      }}}})",
                                   last ? ", causal, window = 3 : i64" : "", last ? "last" : "first");
    Graph early(text, "func.func(choose-tokens-early)");
    EXPECT_EQ(early.count<IotaOp>(), 1);
    EXPECT_EQ(early.count<FirstTokenOp>() + early.count<LastTokenOp>(), 1);
    expectSameMain(text, "func.func(choose-tokens-early)", {floats({3, 5, 4}), integers({3, 5}, {1, 1, 1, 1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 1})});
  }
}

// Encoder and decoder rows of their own lengths, and cross-attention from the one to the other.
TEST(PassEquivalence, RemovePaddingFromCrossAttention) {
  std::string text = naiveTranslator();
  Graph naive(text), packed(text, "fold-constants,eliminate-transposes,remove-padding");
  EXPECT_EQ(packed.count<ValidTokensOp>(), 2);
  EXPECT_EQ(packed.count<TransposeOp>(), 0);
  EXPECT_EQ(packed.count<UnpackOp>(), 1);
  for (std::vector<int64_t> source : {std::vector<int64_t>{1, 1, 1, 0, 1, 0, 0, 0, 1}, {1, 1, 1, 0, 0, 0, 0, 0, 1}, {0, 1, 1, 1, 0, 1, 1, 1, 1}})
    for (std::vector<int64_t> target : {std::vector<int64_t>{1, 1, 0, 1, 1, 0}, {0, 0, 0, 1, 0, 1}, {1, 1, 1, 1, 1, 1}}) {
      Tensors inputs = {integers({3, 3}, {4, 1, 2, 6, 6, 3, 0, 5, 1}), integers({3, 3}, source), integers({3, 2}, {1, 2, 3, 4, 5, 6}),
                        integers({3, 2}, target)};
      Tensor expected = naive.run("main", inputs)[0], found = packed.run("main", inputs)[0];
      ASSERT_EQ(found.shape(), expected.shape());
      for (int64_t token = 0; token < 6; ++token)
        if (target[token])
          expectEqual(Tensor::ofFloats(DType::f32, {9}, rowsOf(found, token, 1)), Tensor::ofFloats(DType::f32, {9}, rowsOf(expected, token, 1)));
    }
}

// A query that is the bias too: one is read in another order, the other as it was written.
TEST(PassEquivalence, BiasIsQuery) {
  const char *text = R"(
    func.func @main(%x: tensor<2x3x3x3xf32>) -> tensor<2x3x3x3xf32> {
      %q = transom.transpose %x [0, 2, 1, 3] : (tensor<2x3x3x3xf32>) -> tensor<2x3x3x3xf32>
      %a = transom.attention bhsd %q, %q, %q bias %q {scale = 0.5 : f64}
         : (tensor<2x3x3x3xf32>, tensor<2x3x3x3xf32>, tensor<2x3x3x3xf32>, tensor<2x3x3x3xf32>) -> tensor<2x3x3x3xf32>
      %y = transom.transpose %a [0, 2, 1, 3] : (tensor<2x3x3x3xf32>) -> tensor<2x3x3x3xf32>
      return %y : tensor<2x3x3x3xf32>
    })";
  expectSameMain(text, "eliminate-transposes", {floats({2, 3, 3, 3})});
}

// As many rows as places, and one value that is added to each row, then to each place; a size of what all share is not known.
TEST(PassEquivalence, RemovePaddingSpreads) {
  const char *text = R"(
    module attributes {transom.bounds = {n = [1, 8], d = [1, 8]}} {
    func.func @main(%x: tensor<?x?x1xf32> {transom.dims = ["n", "n", "1"]}, %mask: tensor<?x?xi32> {transom.dims = ["n", "n"]},
                    %r: tensor<?x1x1xf32> {transom.dims = ["n", "1", "1"]}, %z: tensor<1x1x1x?xf32> {transom.dims = ["1", "1", "1", "d"]})
        -> tensor<?x?x?xf32> {
      %1 = transom.add %x, %r : (tensor<?x?x1xf32>, tensor<?x1x1xf32>) -> tensor<?x?x1xf32>
      %2 = transom.reshape %1 [0, 0, 1, 1] : (tensor<?x?x1xf32>) -> tensor<?x?x1x1xf32>
      %3 = transom.add %2, %r : (tensor<?x?x1x1xf32>, tensor<?x1x1xf32>) -> tensor<?x?x1x1xf32>
      %4 = transom.attention bshd %3, %3, %3 mask %mask {scale = 0.5 : f64}
         : (tensor<?x?x1x1xf32>, tensor<?x?x1x1xf32>, tensor<?x?x1x1xf32>, tensor<?x?xi32>) -> tensor<?x?x1x1xf32>
      %5 = transom.add %4, %z : (tensor<?x?x1x1xf32>, tensor<1x1x1x?xf32>) -> tensor<?x?x1x?xf32>
      %y = transom.reshape %5 [0, 0, -1] : (tensor<?x?x1x?xf32>) -> tensor<?x?x?xf32>
      return %y : tensor<?x?x?xf32>
    }})";
  EXPECT_EQ(Graph(text, "remove-padding").count<ValidTokensOp>(), 1);
  expectSameValid(text, "remove-padding", {floats({3, 3, 1}), integers({3, 3}, {1, 1, 0, 1, 0, 0, 1, 1, 1}), floats({3, 1, 1}), floats({1, 1, 1, 2})});
}

// A mask cast behind the embeddings of ids and of positions that are a sum.
TEST(PassEquivalence, RemovePaddingByLateMask) {
  const char *text = R"(
    module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
    func.func @main(%ids: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}, %given: tensor<?x?xi64> {transom.dims = ["batch", "seq"]},
                    %p: tensor<?xi32> {transom.dims = ["seq"]}, %q: tensor<?xi32> {transom.dims = ["seq"]}, %t: tensor<9x8xf32>) -> tensor<?x?x8xf32> {
      %w = transom.embedding %t, %ids : (tensor<9x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32>
      %s = transom.add %p, %q : (tensor<?xi32>, tensor<?xi32>) -> tensor<?xi32>
      %e = transom.embedding %t, %s : (tensor<9x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
      %x = transom.add %w, %e : (tensor<?x?x8xf32>, tensor<?x8xf32>) -> tensor<?x?x8xf32>
      %h = transom.reshape %x [0, 0, 2, 4] : (tensor<?x?x8xf32>) -> tensor<?x?x2x4xf32>
      %mask = transom.cast %given to i32 : (tensor<?x?xi64>) -> tensor<?x?xi32>
      %a = transom.attention bshd %h, %h, %h mask %mask {scale = 0.5 : f64}
         : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
      %y = transom.reshape %a [0, 0, 8] : (tensor<?x?x2x4xf32>) -> tensor<?x?x8xf32>
      return %y : tensor<?x?x8xf32>
    }})";
  EXPECT_EQ(Graph(text, "remove-padding").count<ValidTokensOp>(), 1);
  Tensor mask = Tensor::ofIntegers(DType::i64, {2, 3}, {0, 1, 1, 1, 1, 0});
  expectSameValid(text, "remove-padding", {integers({2, 3}, {5, 1, 8, 0, 3, 2}), mask, integers({3}, {4, 0, 1}), integers({3}, {1, 2, 3}), floats({9, 8})});
}

class Caches : public testing::TestWithParam<std::tuple<const char *, bool>> {
protected:
  LlamaSizes shape{.sequenceFirst = std::get<1>(GetParam())};
  Graph naive{naiveLlama(shape)}, graph{naiveLlama(shape), std::get<0>(GetParam())};
  std::vector<double> lastLogits(Graph &graph, const std::vector<int64_t> &ids) { return test::lastLogits(graph, ids, shape); }
};
INSTANTIATE_TEST_SUITE_P(PassEquivalence, Caches,
                         testing::Combine(testing::Values("make-kv-static", groupPasses, "make-kv-static,eliminate-transposes,remove-padding", everyPass),
                                          testing::Bool()));

// A prompt in one prefill gives the naive graph's logits of its last token.
TEST_P(Caches, Prefill) {
  ASSERT_FALSE(graph.has("main"));
  std::vector<int64_t> prompt = {4, 9, 16, 2, 7};
  expectRow(Session(graph, 1).step("prefill", {prompt}), 0, lastLogits(naive, prompt));
}

// A prefill and then one token at a time give what one naive run over all of them gives, at every step.
TEST_P(Caches, DecodeSteps) {
  Session session(graph, 1);
  std::vector<int64_t> tokens = {4, 9, 16};
  session.step("prefill", {tokens});
  for (int64_t next : {2, 7, 0, 11, 5}) {
    tokens.push_back(next);
    expectRow(session.step("decode", {{next}}), 0, lastLogits(naive, tokens));
  }
}

// A prompt in two chunks gives what one run gives.
TEST_P(Caches, ChunkedPrefill) {
  Session session(graph, 1);
  session.step("prefill", {{4, 9, 16}});
  expectRow(session.step("prefill", {{2, 7}}), 0, lastLogits(naive, {4, 9, 16, 2, 7}));
}

// Rows of different lengths in one batch give what each gives alone, up to a full context, idle rows between.
TEST_P(Caches, RaggedRows) {
  Session session(graph, 3);
  std::vector<std::vector<int64_t>> rows = {{4, 9, 16, 2, 7}, {1}, {8, 8, 3}};
  auto step = [&](const std::string &function, const std::vector<std::vector<int64_t>> &next) {
    Tensor logits = session.step(function, next);
    for (size_t row = 0; row < rows.size(); ++row) {
      rows[row] = concat(rows[row], next[row]);
      if (!next[row].empty())
        expectRow(logits, row, lastLogits(naive, rows[row]));
    }
  };
  auto first = rows;
  rows = {{}, {}, {}};
  step("prefill", first);
  step("decode", {{5}, {6}, {}});
  step("prefill", {{1, 2}, {}, {3, 4, 5, 6}});
  step("decode", {{}, {7}, {10}});
  step("prefill", {{}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {1}});
}

// The naive graph with its past fed back agrees too, so that leaving the pass out stays right.
TEST(PassEquivalence, PastFedBack) {
  Graph naive(naiveLlama(sizes));
  Tensors first = naive.run("main", llamaInputs());
  Tensors second = naive.run("main", naiveInputs({0}, {first.begin() + 1, first.end()}));
  Tensor all = Tensor::ofFloats(DType::f32, {sizes.vocab}, lastLogits(naive, {4, 9, 16, 2, 7, 0}));
  expectEqual(Tensor::ofFloats(DType::f32, {sizes.vocab}, rowsOf(second[0], 0, 1)), all);
}

} // namespace transom::test
