// Tuning of library products: which algorithm wins, measuring with the fake library, the table as text, and the copied artifact.
#include "tools/transom/GemmTuning.h"
#include "tools/transom/TuneTable.h"

#include "CudaFixture.h"

#include "runtime/format/ArtifactCopy.h"

#include <algorithm>
#include <limits>

using namespace transom;
using namespace transom::cli;
using namespace transom::test;

namespace {

TunedProduct example() {
  TunedProduct product{.device = "NVIDIA H200", .version = 130100, .spec = {}, .rows = {64, 2048}, .algorithm = {}};
  product.spec = {.type = DType::bf16, .out = DType::f32, .m = 2048, .n = 4096, .k = 14336, .compute = artifact::GemmCompute::f32,
                  .activation = artifact::GemmActivation::geluTanh, .bias = true, .residual = false, .workspace = 33554432};
  for (size_t i = 0; i < product.algorithm.size(); ++i)
    product.algorithm[i] = static_cast<uint8_t>(i * 5 + 1);
  return product;
}

/// scaleThenMultiplyOnCuda in a file.
std::string writeFixture(const TemporaryFolder &folder) {
  ArtifactBuilder builder = scaleThenMultiplyOnCuda();
  EXPECT_EQ(artifact::write(folder.file("a"), builder.input).message(), "");
  return folder.file("a");
}

const artifact::CudaGemm &productIn(const artifact::Contents &contents) { return std::get<artifact::CudaGemm>(contents.programs[0].steps[1].kind); }

std::string parseMessage(const std::string &text) { return parseTable(text, "t.txt").status().message(); }

} // namespace

// The least geometric mean over the rows wins; what the library refuses somewhere cannot; less than 2% is nothing.
TEST(GemmTuning, Choice) {
  constexpr double refused = std::numeric_limits<double>::infinity();
  auto best = [](std::vector<std::vector<double>> seconds, std::vector<double> heuristic) { return bestCandidate(seconds, heuristic); };
  EXPECT_EQ(best({{1.0, 0.7, 0.8}}, {1.0}), 1u);
  EXPECT_EQ(best({{1.0, 0.5, 0.8}, {1.0, 2.1, 0.9}}, {1.0, 1.0}), 2u);
  EXPECT_EQ(best({{0.9, 0.1}, {0.9, refused}}, {1.0, 1.0}), 0u);
  EXPECT_EQ(best({{1.0, 0.99}}, {1.0}), std::nullopt);
  EXPECT_EQ(best({{refused}}, {1.0}), std::nullopt);
  EXPECT_EQ(best({{}}, {1.0}), std::nullopt);
}

// A product is measured at each number of rows, with every algorithm that fits its workspace, and nothing is left behind.
TEST(GemmTuning, Measures) {
  fake::FakeCuda gpu({.timing = fake::Timing::lazy});
  {
    auto tuner = GemmTuner::create(0);
    ASSERT_EQ(tuner.status().message(), "");
    for (uint64_t workspace : {uint64_t(0), uint64_t(8192)}) {
      GemmSpec spec{.type = DType::bf16, .out = DType::f32, .m = 8, .n = 16, .k = 8, .bias = true, .residual = true, .workspace = workspace};
      auto tuned = tuner->tune(spec, std::array<int64_t, 2>{3, 8}, 2);
      ASSERT_EQ(tuned.status().message(), "");
      ASSERT_EQ(tuned->rows.size(), 2u);
      for (const TunedRows &rows : tuned->rows) {
        EXPECT_EQ(rows.candidates, workspace ? 3u : 2u);
        EXPECT_GT(rows.heuristic, 0);
        EXPECT_GT(rows.chosen, 0);
        EXPECT_TRUE(tuned->algorithm || rows.chosen == rows.heuristic);
      }
    }
    GemmSpec huge{.type = DType::f32, .out = DType::f32, .m = 1 << 20, .n = 1 << 20, .k = 1 << 20};
    EXPECT_EQ(tuner->tune(huge, std::array<int64_t, 1>{1 << 20}, 1).status().code(), StatusCode::outOfMemory);
  }
  EXPECT_EQ(gpu.problems(), "");
}

// An error at any call ends the measurement, and frees all that was made; but a graph whose context the driver does not give stays.
TEST(GemmTuning, ErrorsAtEachCall) {
  auto attempt = [&]() -> Status {
    TRANSOM_ASSIGN(GemmTuner tuner, GemmTuner::create(0));
    GemmSpec spec{.type = DType::f32, .out = DType::f32, .m = 2, .n = 4, .k = 4, .workspace = 8192};
    return tuner.tune(spec, std::array<int64_t, 1>{2}, 1).status();
  };
  uint64_t calls = 0;
  {
    fake::FakeCuda gpu;
    ASSERT_EQ(attempt().message(), "");
    calls = gpu.calls();
  }
  size_t failures = 0;
  for (uint64_t call = 1; call <= calls; call += 3) {
    fake::FakeCuda gpu;
    gpu.failAt(call, cuda::CUDA_ERROR_OUT_OF_MEMORY);
    failures += !attempt().ok();
    std::string where = gpu.failedIn();
    if (where != "cuCtxSetCurrent")
      ASSERT_EQ(gpu.problems(), "") << "call " << call << ", " << where;
  }
  EXPECT_GT(failures, 30u);
}

// The table says all of a product, and reading gives it back.
TEST(GemmTuning, TableRoundTrip) {
  TunedProduct second = example();
  second.spec.residual = true;
  second.spec.bias = false;
  second.spec.activation = artifact::GemmActivation::none;
  std::vector<TunedProduct> products = {example(), second};
  std::string text = formatTable(products);
  EXPECT_NE(text.find("\nNVIDIA H200 | 130100 | bf16 f32 f32 gelu_tanh bias - | 2048 4096 14336 33554432 | 64,2048 | 01060b"), std::string::npos) << text;
  auto read = parseTable(text + "\n# a comment\n", "t.txt");
  ASSERT_EQ(read.status().message(), "");
  ASSERT_EQ(read->size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ((*read)[i].device, products[i].device);
    EXPECT_EQ((*read)[i].version, products[i].version);
    EXPECT_EQ((*read)[i].spec, products[i].spec);
    EXPECT_EQ((*read)[i].rows, products[i].rows);
    EXPECT_EQ((*read)[i].algorithm, products[i].algorithm);
  }
  EXPECT_TRUE(parseTable("", "t.txt").ok());
}

// Each thing that can be wrong in a table is named with file and line.
TEST(GemmTuning, BadTables) {
  std::string good = formatTable(std::array{example()});
  auto with = [&](const std::string &from, const std::string &to) {
    std::string text = good;
    size_t at = text.rfind(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  EXPECT_EQ(parseMessage("nonsense\n"), "t.txt:1: expected 6 fields between |, found 1");
  EXPECT_EQ(parseMessage(with("| 64,2048 ", "")), "t.txt:2: expected 6 fields between |, found 5");
  EXPECT_EQ(parseMessage(with("NVIDIA H200", " ")), "t.txt:2: device: expected its name, found none");
  EXPECT_EQ(parseMessage(with("130100", "13.1")), "t.txt:2: version of cuBLASLt: expected a whole number from 1 on, found \"13.1\"");
  EXPECT_EQ(parseMessage(with("bf16 f32 f32", "bf16 f32")), "t.txt:2: product: expected 6 words for types, epilogue and operands, found 5");
  EXPECT_EQ(parseMessage(with("bf16 f32", "int8 f32")), "t.txt:2: type: expected f32, f16, bf16, found \"int8\"");
  EXPECT_EQ(parseMessage(with("bf16 f32 f32", "bf16 i32 f32")), "t.txt:2: type of the result: expected f32, f16, bf16, found \"i32\"");
  EXPECT_EQ(parseMessage(with("f32 gelu_tanh", "f16 gelu_tanh")), "t.txt:2: compute: expected f32, tf32, found \"f16\"");
  EXPECT_EQ(parseMessage(with("gelu_tanh", "gelu")), "t.txt:2: activation: expected none, relu, gelu_tanh, found \"gelu\"");
  EXPECT_EQ(parseMessage(with(" bias -", " with -")), "t.txt:2: bias: expected bias or -, found \"with\"");
  EXPECT_EQ(parseMessage(with(" bias -", " bias yes")), "t.txt:2: residual: expected residual or -, found \"yes\"");
  EXPECT_EQ(parseMessage(with("14336 33554432", "14336")), "t.txt:2: sizes: expected m, n, k and workspace, found 3 words");
  EXPECT_EQ(parseMessage(with("4096", "0")), "t.txt:2: n: expected a whole number from 1 on, found \"0\"");
  EXPECT_EQ(parseMessage(with("33554432", "-1")), "t.txt:2: workspace: expected a whole number from 0 on, found \"-1\"");
  EXPECT_EQ(parseMessage(with("64,2048", "64,,2048")), "t.txt:2: rows: expected a whole number from 1 on, found \"\"");
  EXPECT_EQ(parseMessage(with("64,2048", "")), "t.txt:2: rows: expected numbers between commas, found none");
  EXPECT_EQ(parseMessage(with("01060b", "01060")), "t.txt:2: algorithm: expected 128 hexadecimal digits, found 127 characters");
  EXPECT_EQ(parseMessage(with("01060b", "01060B")), "t.txt:2: algorithm: expected 128 hexadecimal digits, found 'B'");
  std::string line = good.substr(good.find('\n') + 1);
  EXPECT_EQ(parseMessage(good + line), "t.txt:3: expected each product once, found that of line 2");
}

// An unchanged copy has the same bytes; with algorithms it differs in them alone, is valid, and may replace its original.
TEST(GemmTuning, CopiesArtifacts) {
  TemporaryFolder folder;
  auto artifact = Artifact::open(writeFixture(folder));
  ASSERT_EQ(artifact.status().message(), "");
  ASSERT_EQ(artifact::copyWith(*artifact, artifact->contents(), folder.file("b")).message(), "");
  EXPECT_EQ(readBytes(folder.file("a")), readBytes(folder.file("b")));

  std::vector<GemmSpec> specs = productsOf(artifact->contents());
  ASSERT_EQ(specs.size(), 1u);
  EXPECT_EQ(specs[0].m, 64);
  TunedProduct tuned = example(), other = example();
  tuned.spec = other.spec = specs[0];
  other.spec.k += 1;
  artifact::Contents contents = artifact->contents();
  Applied none = setAlgorithms(std::array{other}, contents);
  EXPECT_EQ(none.steps, 1u);
  EXPECT_EQ(none.set, 0u);
  EXPECT_EQ(setAlgorithms(std::array{other, tuned}, contents).set, 1u);
  ASSERT_EQ(artifact::copyWith(*artifact, contents, folder.file("a")).message(), "");
  auto copy = Artifact::open(folder.file("a"));
  ASSERT_EQ(copy.status().message(), "");
  EXPECT_EQ(productIn(copy->contents()).algorithm, std::vector<uint8_t>(tuned.algorithm.begin(), tuned.algorithm.end()));
  for (size_t i = 0; i < copy->contents().weights.size(); ++i) {
    auto before = artifact->bytes(artifact->contents().weights[i].section), after = copy->bytes(copy->contents().weights[i].section);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), after.begin(), after.end()));
  }
  artifact::Contents cleared = copy->contents();
  std::get<artifact::CudaGemm>(cleared.programs[0].steps[1].kind).algorithm.clear();
  ASSERT_EQ(artifact::copyWith(*copy, cleared, folder.file("c")).message(), "");
  EXPECT_EQ(readBytes(folder.file("c")), readBytes(folder.file("b")));
}
