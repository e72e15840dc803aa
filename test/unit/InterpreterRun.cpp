// The interpreter as a library: results by value, caches updated in place or copied, the cache of decoded weights, sizes.
#include "compiler/interpreter/Interpreter.h"

#include "ir/Transom.h"

#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

#include <cstring>

using namespace transom::interpreter;
using transom::DType, transom::TensorSource, transom::Result;

namespace {

class InterpreterRun : public testing::Test {
protected:
  InterpreterRun() : context(registry(), mlir::MLIRContext::Threading::DISABLED) {}

  static mlir::DialectRegistry registry() {
    mlir::DialectRegistry registry;
    registry.insert<mlir::arith::ArithDialect, mlir::func::FuncDialect, mlir::math::MathDialect, transom::TransomDialect>();
    return registry;
  }

  /// The function @main of the text, kept alive by the fixture.
  mlir::func::FuncOp parse(const char *text) {
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    return module->lookupSymbol<mlir::func::FuncOp>("main");
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

const char *appendTwice = R"(
  func.func @main(%c: !transom.cache<1x1x2x1xf32>, %t: tensor<1x1x1x1xf32>, %p: tensor<1xi32>, %n: tensor<1xi32>)
      -> (!transom.cache<1x1x2x1xf32>, !transom.cache<1x1x2x1xf32>) {
    %0 = transom.cache_append bhsd %c, %t past %p lengths %n
       : (!transom.cache<1x1x2x1xf32>, tensor<1x1x1x1xf32>, tensor<1xi32>, tensor<1xi32>) -> !transom.cache<1x1x2x1xf32>
    %1 = transom.cache_append bhsd %0, %t past %n lengths %n
       : (!transom.cache<1x1x2x1xf32>, tensor<1x1x1x1xf32>, tensor<1xi32>, tensor<1xi32>) -> !transom.cache<1x1x2x1xf32>
    return %0, %1 : !transom.cache<1x1x2x1xf32>, !transom.cache<1x1x2x1xf32>
  })";

// An append leaves every other value alone: the older cache value, and the caller's copy of the input.
TEST_F(InterpreterRun, AppendKeepsValueSemantics) {
  Tensor cache(DType::f32, {1, 1, 2, 1}), token = Tensor::ofFloats(DType::f32, {1, 1, 1, 1}, {7});
  Tensor past = Tensor::ofIntegers(DType::i32, {1}, {0}), length = Tensor::ofIntegers(DType::i32, {1}, {1});
  Interpreter interpreter;
  auto results = interpreter.run(parse(appendTwice), {cache, token, past, length});
  ASSERT_TRUE(results.ok()) << results.status().message();
  EXPECT_EQ(format((*results)[0]), "tensor<1x1x2x1xf32>: [[[[7], [0]]]]");
  EXPECT_EQ(format((*results)[1]), "tensor<1x1x2x1xf32>: [[[[7], [7]]]]");
  EXPECT_EQ(format(cache), "tensor<1x1x2x1xf32>: [[[[0], [0]]]]");
}

// Where nobody else holds the cache, its storage is updated in place.
TEST_F(InterpreterRun, AppendReusesStorageThatHasNoOtherUse) {
  auto function = parse(R"(
    func.func @main(%c: !transom.cache<1x1x2x1xf32>, %t: tensor<1x1x1x1xf32>, %n: tensor<1xi32>) -> !transom.cache<1x1x2x1xf32> {
      %0 = transom.cache_append bhsd %c, %t past %n lengths %n
         : (!transom.cache<1x1x2x1xf32>, tensor<1x1x1x1xf32>, tensor<1xi32>, tensor<1xi32>) -> !transom.cache<1x1x2x1xf32>
      return %0 : !transom.cache<1x1x2x1xf32>
    })");
  std::vector<Tensor> inputs;
  inputs.push_back(Tensor::ofFloats(DType::f32, {1, 1, 2, 1}, {1, 2}));
  const double *storage = inputs[0].floats().data();
  inputs.push_back(Tensor::ofFloats(DType::f32, {1, 1, 1, 1}, {7}));
  inputs.push_back(Tensor::ofIntegers(DType::i32, {1}, {1}));
  Interpreter interpreter;
  auto results = interpreter.run(function, std::move(inputs));
  ASSERT_TRUE(results.ok()) << results.status().message();
  EXPECT_EQ(format((*results)[0]), "tensor<1x1x2x1xf32>: [[[[1], [7]]]]");
  EXPECT_EQ((*results)[0].floats().data(), storage);
}

/// A source of one weight "w" [4] f32 whose bytes the test owns and can change.
struct OneWeight {
  std::vector<std::byte> bytes = std::vector<std::byte>(16);
  TensorSource source;
  OneWeight() {
    set(1);
    EXPECT_TRUE(source.add({"w", DType::f32, {4}, bytes}).ok());
  }
  void set(float number) {
    for (int i = 0; i < 4; ++i)
      std::memcpy(bytes.data() + 4 * i, &number, 4);
  }
};

const char *readWeight = R"(
  func.func @main() -> tensor<4xf32> {
    %0 = transom.weight "w" : tensor<4xf32>
    return %0 : tensor<4xf32>
  })";

// Decoded weights are kept while they fit; changed bytes tell whether one was decoded again.
TEST_F(InterpreterRun, KeepsDecodedWeightsWithinItsBound) {
  auto function = parse(readWeight);
  for (auto [bound, second] : {std::pair(size_t(32), 1.0), std::pair(size_t(31), 2.0)}) {
    OneWeight weight;
    Interpreter interpreter(Precision::f32, &weight.source, bound);
    auto first = interpreter.run(function, {});
    ASSERT_TRUE(first.ok()) << first.status().message();
    EXPECT_EQ((*first)[0].at(3), 1.0);
    weight.set(2);
    auto again = interpreter.run(function, {});
    ASSERT_TRUE(again.ok()) << again.status().message();
    EXPECT_EQ((*again)[0].at(3), second) << bound;
  }
}

// A product large enough for several threads equals one of whole numbers summed by hand: row r, column c of ones times
// (c + 1) is k * (c + 1).
TEST_F(InterpreterRun, LargeProductsUseAllColumns) {
  auto function = parse(R"(
    func.func @main(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>, %t: tensor<?x?xf32>) -> (tensor<?x?xf32>, tensor<?x?xf32>) {
      %0 = transom.matmul %a, %b : (tensor<?x?xf32>, tensor<?x?xf32>) -> tensor<?x?xf32>
      %1 = transom.matmul %a, %t transpose_rhs : (tensor<?x?xf32>, tensor<?x?xf32>) -> tensor<?x?xf32>
      return %0, %1 : tensor<?x?xf32>, tensor<?x?xf32>
    })");
  constexpr int64_t m = 20, k = 301, n = 501;
  std::vector<double> plain(k * n), transposed(n * k);
  for (int64_t i = 0; i < k; ++i)
    for (int64_t column = 0; column < n; ++column)
      plain[i * n + column] = transposed[column * k + i] = static_cast<double>(column + 1);
  Interpreter interpreter;
  auto results = interpreter.run(function, {Tensor::ofFloats(DType::f32, {m, k}, std::vector<double>(m * k, 1)),
                                            Tensor::ofFloats(DType::f32, {k, n}, plain),
                                            Tensor::ofFloats(DType::f32, {n, k}, transposed)});
  ASSERT_TRUE(results.ok()) << results.status().message();
  for (const Tensor &result : *results)
    for (int64_t i = 0; i < m * n; ++i)
      ASSERT_EQ(result.at(i), static_cast<double>(k * (i % n + 1))) << i;
}

// Inputs are rounded to their types before anything is computed, so that both sides of a comparison start alike.
TEST_F(InterpreterRun, RoundsInputs) {
  auto function = parse("func.func @main(%x: tensor<1xf16>) -> tensor<1xf16> { return %x : tensor<1xf16> }");
  Interpreter interpreter(Precision::f64);
  auto results = interpreter.run(function, {Tensor::ofFloats(DType::f16, {1}, {2049})});
  ASSERT_TRUE(results.ok()) << results.status().message();
  EXPECT_EQ((*results)[0].at(0), 2048);
}

TEST_F(InterpreterRun, RefusesFunctionsWithoutABody) {
  auto function = parse("func.func private @main() -> tensor<1xf32>");
  auto results = Interpreter().run(function, {});
  ASSERT_FALSE(results.ok());
  EXPECT_EQ(results.status().message(), "function @main has no body of one block");
}

} // namespace
