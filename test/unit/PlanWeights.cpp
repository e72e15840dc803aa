// Bytes of weights: copies and recipes, from tensors in memory.
#include "compiler/WeightRecipe.h"
#include "compiler/import/files/BlockDecode.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <list>

namespace transom {
namespace {

using Bytes = std::vector<std::byte>;

class PlanWeights : public testing::Test {
protected:
  PlanWeights() {
    context.loadDialect<TransomDialect, plan::PlanDialect>();
    add("q", DType::q8_0, {4, 64});
    add("r", DType::q8_0, {2, 64});
    add("cube", DType::q8_0, {2, 3, 32});
    add("deep", DType::q6_k, {2, 512});
    addFloats("f", {2, 3}, {1, 2, 3, 4, 5, 6});
    // The second number lies half way between two bf16 numbers, the third between two f16 numbers.
    addFloats("exact", {4}, {1.5f, 1.00390625f, 1.00048828125f, INFINITY});
  }

  /// Bytes of any pattern; scales of blocks among them may be NaN, which copies do not mind.
  void add(const std::string &name, DType dtype, std::vector<int64_t> shape) {
    Bytes &bytes = memory.emplace_back(bytesFor(dtype, shape).value());
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = std::byte((i * 37 + name.size()) % 120);
    ASSERT_TRUE(source.add({name, dtype, std::move(shape), bytes}).ok());
  }
  void addFloats(const std::string &name, std::vector<int64_t> shape, std::vector<float> numbers) {
    Bytes &bytes = memory.emplace_back(numbers.size() * sizeof(float));
    std::memcpy(bytes.data(), numbers.data(), bytes.size());
    ASSERT_TRUE(source.add({name, DType::f32, std::move(shape), bytes}).ok());
  }

  /// The bytes of the first weight of `text`.
  Result<Bytes> write(const std::string &text) {
    auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    EXPECT_TRUE(module) << text;
    Bytes bytes;
    Status status = writeWeight(*module->getOps<plan::WeightOp>().begin(), source, [&](std::span<const std::byte> piece) {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
      return Status();
    });
    return status.ok() ? Result<Bytes>(std::move(bytes)) : status;
  }
  /// The bytes of a recipe that yields %r of type `type`.
  Result<Bytes> recipe(const std::string &type, const std::string &body) {
    return write("plan.weight \"w\" : " + type + " recipe {\n" + body + "\nplan.yield %r : " + type + "\n}");
  }
  template <typename T> static std::vector<T> as(const Bytes &bytes) {
    std::vector<T> numbers(bytes.size() / sizeof(T));
    std::memcpy(numbers.data(), bytes.data(), bytes.size());
    return numbers;
  }
  /// `count` bytes of a tensor from `start` on.
  Bytes part(const std::string &name, size_t start, size_t count) {
    auto bytes = source.find(name)->bytes.subspan(start, count);
    return {bytes.begin(), bytes.end()};
  }

  mlir::MLIRContext context{mlir::MLIRContext::Threading::DISABLED};
  std::list<Bytes> memory;
  TensorSource source;
};

constexpr size_t row = 68; // bytes of 64 numbers in q8_0

#define EXPECT_BYTES(expression, expected)                                                                             \
  do {                                                                                                                 \
    auto result = (expression);                                                                                        \
    ASSERT_TRUE(result.ok()) << result.status().message();                                                             \
    EXPECT_EQ(*result, expected);                                                                                      \
  } while (false)

// A weight of the file is copied as it is, quantised or not.
TEST_F(PlanWeights, CopiesStoredTensors) {
  EXPECT_BYTES(write("plan.weight \"q\" : tensor<4x64x!transom.block<q8_0>>"), part("q", 0, 4 * row));
}

// Constants take one element after the other, splats and booleans too.
TEST_F(PlanWeights, ExpandsConstants) {
  auto splat = write("plan.weight \"c\" = dense<2.0> : tensor<3xf32> : tensor<3xf32>");
  ASSERT_TRUE(splat.ok());
  EXPECT_EQ(as<float>(*splat), (std::vector<float>{2, 2, 2}));
  EXPECT_BYTES(write("plan.weight \"c\" = dense<[true, false, true]> : tensor<3xi1> : tensor<3xi1>"),
               (Bytes{std::byte(1), std::byte(0), std::byte(1)}));
  auto wide = write("plan.weight \"c\" = dense<[-1, 7]> : tensor<2xi64> : tensor<2xi64>");
  ASSERT_TRUE(wide.ok());
  EXPECT_EQ(as<int64_t>(*wide), (std::vector<int64_t>{-1, 7}));
}

// Rows of blocks are joined and cut without a change of their bytes.
TEST_F(PlanWeights, MovesQuantisedRows) {
  Bytes joined = part("r", 0, 2 * row), rest = part("q", row, 2 * row);
  joined.insert(joined.end(), rest.begin(), rest.end());
  EXPECT_BYTES(recipe("tensor<4x64x!transom.block<q8_0>>", R"(
    %r0 = transom.weight "r" : tensor<2x64x!transom.block<q8_0>>
    %q = transom.weight "q" : tensor<4x64x!transom.block<q8_0>>
    %s = transom.slice %q axis 0 start 1 size 2 : (tensor<4x64x!transom.block<q8_0>>) -> tensor<2x64x!transom.block<q8_0>>
    %r = transom.concat %r0, %s axis 0
       : (tensor<2x64x!transom.block<q8_0>>, tensor<2x64x!transom.block<q8_0>>) -> tensor<4x64x!transom.block<q8_0>>)"),
               joined);
}

// A cut along the last dimension takes whole blocks.
TEST_F(PlanWeights, CutsBlocks) {
  Bytes expected = part("deep", 210, 210), second = part("deep", 3 * 210, 210);
  expected.insert(expected.end(), second.begin(), second.end());
  EXPECT_BYTES(recipe("tensor<2x256x!transom.block<q6_k>>", R"(
    %0 = transom.weight "deep" : tensor<2x512x!transom.block<q6_k>>
    %r = transom.slice %0 axis 1 start 256 size 256 : (tensor<2x512x!transom.block<q6_k>>) -> tensor<2x256x!transom.block<q6_k>>)"),
               expected);
}

// A transpose that leaves the last dimension moves whole rows; one that does not moves numbers.
TEST_F(PlanWeights, Transposes) {
  Bytes expected;
  for (size_t column = 0; column < 3; ++column)
    for (size_t line = 0; line < 2; ++line) {
      Bytes block = part("cube", (line * 3 + column) * 34, 34);
      expected.insert(expected.end(), block.begin(), block.end());
    }
  EXPECT_BYTES(recipe("tensor<3x2x32x!transom.block<q8_0>>", R"(
    %0 = transom.weight "cube" : tensor<2x3x32x!transom.block<q8_0>>
    %r = transom.transpose %0 [1, 0, 2] : (tensor<2x3x32x!transom.block<q8_0>>) -> tensor<3x2x32x!transom.block<q8_0>>)"),
               expected);
  auto numbers = recipe("tensor<3x2xf32>", R"(
    %0 = transom.weight "f" : tensor<2x3xf32>
    %r = transom.transpose %0 [1, 0] : (tensor<2x3xf32>) -> tensor<3x2xf32>)");
  ASSERT_TRUE(numbers.ok());
  EXPECT_EQ(as<float>(*numbers), (std::vector<float>{1, 4, 2, 5, 3, 6}));
}

// A join along an inner dimension interleaves the rows; a reshape changes nothing; a value may be used twice.
TEST_F(PlanWeights, JoinsAlongInnerDimensions) {
  auto numbers = recipe("tensor<12xf32>", R"(
    %0 = transom.weight "f" : tensor<2x3xf32>
    %1 = transom.concat %0, %0 axis 1 : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x6xf32>
    %r = transom.reshape %1 [12] : (tensor<2x6xf32>) -> tensor<12xf32>)");
  ASSERT_TRUE(numbers.ok());
  EXPECT_EQ(as<float>(*numbers), (std::vector<float>{1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6}));
}

// Casts round to nearest even; blocks decode as the reference decoder says.
TEST_F(PlanWeights, ConvertsFloats) {
  auto narrow = recipe("tensor<4xbf16>", R"(
    %0 = transom.weight "exact" : tensor<4xf32>
    %r = transom.cast %0 to bf16 : (tensor<4xf32>) -> tensor<4xbf16>)");
  ASSERT_TRUE(narrow.ok());
  EXPECT_EQ(as<uint16_t>(*narrow), (std::vector<uint16_t>{0x3fc0, 0x3f80, 0x3f80, 0x7f80}));
  auto half = recipe("tensor<4xf16>", R"(
    %0 = transom.weight "exact" : tensor<4xf32>
    %r = transom.cast %0 to f16 : (tensor<4xf32>) -> tensor<4xf16>)");
  ASSERT_TRUE(half.ok());
  EXPECT_EQ(as<uint16_t>(*half), (std::vector<uint16_t>{0x3e00, 0x3c04, 0x3c00, 0x7c00}));
  std::vector<float> expected(2 * 512);
  decodeElements(DType::q6_k, source.find("deep")->bytes, std::span(expected));
  auto decoded = recipe("tensor<2x512xf32>", R"(
    %0 = transom.weight "deep" : tensor<2x512x!transom.block<q6_k>>
    %r = transom.dequantize %0 to f32 : (tensor<2x512x!transom.block<q6_k>>) -> tensor<2x512xf32>)");
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(as<float>(*decoded), expected);
}

// Whatever computes goes through the reference interpreter.
TEST_F(PlanWeights, ComputesByTheInterpreter) {
  auto numbers = recipe("tensor<2x3xf32>", R"(
    %0 = transom.weight "f" : tensor<2x3xf32>
    %1 = transom.constant dense<1.0> : tensor<f32>
    %r = transom.add %0, %1 : (tensor<2x3xf32>, tensor<f32>) -> tensor<2x3xf32>)");
  ASSERT_TRUE(numbers.ok()) << numbers.status().message();
  EXPECT_EQ(as<float>(*numbers), (std::vector<float>{2, 3, 4, 5, 6, 7}));
}

// Errors name the tensor, what was expected and what was found.
TEST_F(PlanWeights, NamesWhatIsWrong) {
  EXPECT_NE(write("plan.weight \"none\" : tensor<2xf32>").status().message().find("none"), std::string::npos);
  EXPECT_EQ(write("plan.weight \"f\" : tensor<2x4xf32>").status().message(),
            "tensor f: expected f32 [2, 4], found f32 [2, 3]");
  EXPECT_EQ(recipe("tensor<1x64x!transom.block<q8_0>>", R"(
    %0 = transom.constant dense<1.0> : tensor<1x64xf32>
    %r = transom.quantize %0 to q8_0 : (tensor<1x64xf32>) -> tensor<1x64x!transom.block<q8_0>>)").status().message(),
            "recipe w: blocks of q8_0 can be moved and decoded, not computed");
}

} // namespace
} // namespace transom
