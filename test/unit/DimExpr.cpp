// Symbolic sizes: canonical form, text, arithmetic, exact division, evaluation.
#include "ir/DimExpr.h"

#include <gtest/gtest.h>

using transom::DimExpr, transom::Dims;

namespace {

DimExpr parsed(const char *text) {
  std::optional<DimExpr> expr = DimExpr::parse(text);
  EXPECT_TRUE(expr) << text;
  return expr.value_or(DimExpr());
}

// Whatever the order of writing, equal sizes are equal and print alike.
TEST(DimExpr, HasOneCanonicalForm) {
  EXPECT_EQ(parsed("past+seq"), parsed("seq + past"));
  EXPECT_EQ(parsed("seq*batch"), parsed("batch*seq"));
  EXPECT_EQ(parsed("2*seq+3"), parsed("seq+1+seq+2"));
  EXPECT_EQ(parsed("seq-seq"), DimExpr(0));
  EXPECT_EQ(parsed("seq + past").str(), "past+seq");
  EXPECT_EQ(parsed("3 + 2*seq*batch - past").str(), "2*batch*seq-past+3");
  EXPECT_EQ(parsed("0").str(), "0");
  EXPECT_EQ(parsed("-seq").str(), "-seq");
  EXPECT_EQ(DimExpr().str(), "?");
}

// str() reads back as the same size.
TEST(DimExpr, TextReadsBack) {
  for (const char *text : {"64", "seq", "past+seq", "batch*seq", "2*batch*seq-past+3", "-5", "seq*seq", "a.b_1"})
    EXPECT_EQ(parsed(parsed(text).str().c_str()), parsed(text)) << text;
}

TEST(DimExpr, RefusesMalformedText) {
  for (const char *text : {"", " ", "+", "seq+", "seq**2", "*seq", "seq batch", "2seq", "(seq)", "seq/2", "seq-", "?",
                           "99999999999999999999"})
    EXPECT_FALSE(DimExpr::parse(text)) << text;
}

TEST(DimExpr, TellsConstantsAndSymbolsApart) {
  EXPECT_EQ(DimExpr(64).constant(), 64);
  EXPECT_EQ(DimExpr(0).constant(), 0);
  EXPECT_EQ(parsed("seq+64").constant(), std::nullopt);
  EXPECT_EQ(DimExpr().constant(), std::nullopt);
  EXPECT_EQ(parsed("seq").asSymbol(), "seq");
  EXPECT_EQ(parsed("2*seq").asSymbol(), std::nullopt);
  EXPECT_EQ(parsed("seq+1").asSymbol(), std::nullopt);
  EXPECT_EQ(parsed("seq*seq").asSymbol(), std::nullopt);
  EXPECT_EQ(DimExpr(1).asSymbol(), std::nullopt);
}

TEST(DimExpr, AddsAndMultipliesPolynomials) {
  DimExpr a = DimExpr::symbol("a"), b = DimExpr::symbol("b");
  EXPECT_EQ((a + b) * (a - b), a * a - b * b);
  EXPECT_EQ((a + DimExpr(1)) * DimExpr(3), parsed("3*a+3"));
  EXPECT_TRUE((a + DimExpr()).isUnknown());
  EXPECT_TRUE((DimExpr() * a).isUnknown());
}

// Division is exact for every value of the symbols, or unknown.
TEST(DimExpr, DividesExactlyOrNotAtAll) {
  EXPECT_EQ(parsed("batch*seq*576").dividedBy(parsed("576")), parsed("batch*seq"));
  EXPECT_EQ(parsed("batch*seq*576").dividedBy(parsed("64*seq")), parsed("9*batch"));
  EXPECT_EQ(parsed("4*a*b+2*b").dividedBy(parsed("2*b")), parsed("2*a+1"));
  EXPECT_EQ(DimExpr(0).dividedBy(parsed("seq")), DimExpr(0));
  EXPECT_TRUE(parsed("seq").dividedBy(DimExpr(2)).isUnknown());
  EXPECT_TRUE(parsed("seq").dividedBy(parsed("batch")).isUnknown());
  EXPECT_TRUE(parsed("seq+batch").dividedBy(parsed("seq+batch")).isUnknown());
  EXPECT_TRUE(parsed("seq").dividedBy(DimExpr(0)).isUnknown());
  EXPECT_TRUE(parsed("seq").dividedBy(DimExpr()).isUnknown());
}

TEST(DimExpr, Evaluates) {
  auto valueOf = [](llvm::StringRef name) -> std::optional<int64_t> {
    if (name == "seq")
      return 5;
    if (name == "huge")
      return INT64_MAX;
    return std::nullopt;
  };
  EXPECT_EQ(parsed("2*seq*seq-3").evaluate(valueOf), 47);
  EXPECT_EQ(parsed("huge").evaluate(valueOf), INT64_MAX);
  EXPECT_EQ(parsed("2*huge").evaluate(valueOf), std::nullopt);
  EXPECT_EQ(parsed("huge+1").evaluate(valueOf), std::nullopt);
  EXPECT_EQ(parsed("batch").evaluate(valueOf), std::nullopt);
  EXPECT_EQ(DimExpr().evaluate(valueOf), std::nullopt);
}

// Only two different constants are known to differ; two unknown sizes are not known to be equal.
TEST(DimExpr, ComparesWhatIsKnown) {
  EXPECT_TRUE(parsed("seq").mayEqual(parsed("batch")));
  EXPECT_TRUE(DimExpr().mayEqual(DimExpr(4)));
  EXPECT_TRUE(DimExpr(4).mayEqual(DimExpr(4)));
  EXPECT_FALSE(DimExpr(4).mayEqual(DimExpr(5)));
  EXPECT_FALSE(DimExpr() == DimExpr());
}

TEST(DimExpr, ListsPrintAndMultiply) {
  Dims dims = {DimExpr::symbol("batch"), DimExpr(), DimExpr(64)};
  EXPECT_EQ(transom::str(dims), "[batch, ?, 64]");
  EXPECT_EQ(transom::str(Dims()), "[]");
  EXPECT_EQ(transom::product({DimExpr::symbol("batch"), DimExpr::symbol("seq"), DimExpr(2)}), parsed("2*batch*seq"));
  EXPECT_EQ(transom::product({}), DimExpr(1));
}

} // namespace
