// Groups as one step each, through lowering, code and runtime, against the reference interpreter: fresh numbers each run,
// memory full of NaN, sizes that fit no vector, one row to more than a matrix-vector kernel takes, none at all.
#include "CompiledKernels.h"
#include "CompiledProgram.h"

#include <fmt/format.h>

namespace transom::test {
namespace {

class CpuGroups : public CpuLevelTest {};

std::string tensor(const std::string &sizes, const std::string &element = "f32") { return "tensor<" + sizes + "x" + element + ">"; }
std::string number(int64_t value) { return std::to_string(value); }

/// A weight's declaration. Names in the function end in .f: a group may not reuse them.
std::string weight(const std::string &name, const std::string &sizes, const std::string &element = "f32") {
  return "    %" + name + ".f = transom.weight \"" + name + "\" : " + tensor(sizes, element) + "\n";
}

/// A module of one function; `rows` are at most `most`.
std::string module(int64_t most, const std::string &arguments, const std::string &results, const std::string &body) {
  return "module attributes {transom.bounds = {rows = [0, " + number(most) + "]}} {\n  func.func @main(" + arguments + ") -> (" +
         results + ") {\n" + body + "  }\n}\n";
}
std::string argument(const std::string &name, const std::string &type, const std::string &dims) {
  return "%" + name + ".f: " + type + " {transom.name = \"" + name + "\", transom.dims = [" + dims + "]}";
}
std::string result(const std::string &name, const std::string &type) { return type + " {transom.name = \"" + name + "\"}"; }

struct Shape {
  int64_t heads, kvHeads, headDim, dims; ///< dims: of a head that rotary turns
  const char *element;                  ///< of the weights
};
// Whole vectors and blocks; then nothing that divides by anything.
constexpr Shape even = {4, 2, 32, 32, "!transom.block<q4_1>"}, odd = {4, 2, 25, 24, "f32"};

/// norm, product, rotary and appends, then attention over the caches: a decoder's first half.
std::string decodeAttention(const Shape &s, int64_t most, bool bias) {
  int64_t c = s.heads * s.headDim, kv = s.kvHeads * s.headDim, n = c + 2 * kv;
  std::string x = tensor("?x" + number(c)), product = tensor("?x" + number(n)), w = tensor(number(n) + "x" + number(c), s.element);
  auto heads = [&](int64_t count) { return tensor("?x" + number(count) + "x" + number(s.headDim)); };
  auto token = [&](int64_t count) { return tensor("?x1x" + number(count) + "x" + number(s.headDim)); };
  std::string cache = "!transom.cache<?x" + number(s.kvHeads) + "x8x" + number(s.headDim) + "xf32>", i = tensor("?", "i32");
  auto slice = [&](const char *name, int64_t start, int64_t size) {
    return fmt::format("      %{0} = transom.slice %{4} axis 1 start {1} size {2} : ({5}) -> {3}\n", name, start, size, tensor("?x" + number(size)),
                       bias ? "b" : "0", product);
  };
  auto split = [&](const char *to, const char *from, int64_t count) {
    return fmt::format("      %{} = transom.reshape %{} [0, {}, {}] : ({}) -> {}\n", to, from, count, s.headDim,
                       tensor("?x" + number(count * s.headDim)), heads(count));
  };
  auto rotary = [&](const char *to, const char *from, int64_t count) {
    return fmt::format("      %{} = transom.rotary thd %{}, %p dims {} base 10000.0 : ({}, {}) -> {}\n", to, from, s.dims, heads(count), i, heads(count));
  };
  auto append = [&](const char *to, const char *from, const char *into, const std::string &type) {
    return fmt::format("      %{0}t = transom.reshape %{1} [-1, 1, {2}, {3}] : ({4}) -> {5}\n      %{0} = transom.cache_append bshd %{6}, %{0}t past %past "
                       "lengths %len : ({7}, {5}, {8}, {8}) -> {7}\n",
                       to, from, s.kvHeads, s.headDim, type, token(s.kvHeads), into, cache, i);
  };
  std::string body = weight("scale", number(c)) + weight("w", number(n) + "x" + number(c), s.element) + weight("bias", number(n));
  std::string types = fmt::format("({}, {}, {}, {}, {}, {}, {}, {}, {}) -> ({}, {}, {})", x, tensor(number(c)), w, tensor(number(n)), i,
                                  cache, i, i, cache, heads(s.heads), cache, cache);
  body += "    %q, %k, %v = transom.group (%x.f, %scale.f, %w.f, %bias.f, %positions.f, %keys.f, %past.f, %lengths.f, %values.f) {\n";
  body += fmt::format("    ^bb0(%x0: {}, %s: {}, %m: {}, %bi: {}, %p: {}, %ck: {}, %past: {}, %len: {}, %cv: {}):\n", x, tensor(number(c)), w,
                      tensor(number(n)), i, cache, i, i, cache);
  body += fmt::format("      %n = transom.rms_norm %x0, %s epsilon 1.0e-05 : ({0}, {1}) -> {0}\n", x, tensor(number(c)));
  body += fmt::format("      %0 = transom.matmul %n, %m transpose_rhs : ({}, {}) -> {}\n", x, w, product);
  if (bias)
    body += fmt::format("      %b = transom.add %0, %bi : ({0}, {1}) -> {0}\n", product, tensor(number(n)));
  body += slice("q0", 0, c) + split("q1", "q0", s.heads) + rotary("q2", "q1", s.heads);
  body += slice("k0", c, kv) + split("k1", "k0", s.kvHeads) + rotary("k2", "k1", s.kvHeads) + append("k3", "k2", "ck", heads(s.kvHeads));
  body += slice("v0", c + kv, kv) + append("v1", "v0", "cv", tensor("?x" + number(kv)));
  body += fmt::format("      transom.yield %q2, %k3, %v1 : {}, {}, {}\n    }} : {}\n", heads(s.heads), cache, cache, types);
  body += fmt::format("    %qt = transom.reshape %q [-1, 1, {}, {}] : ({}) -> {}\n", s.heads, s.headDim, heads(s.heads), token(s.heads));
  body += fmt::format("    %y = transom.attention bshd %qt, %k, %v past %past.f lengths %lengths.f {{scale = 0.2 : f64}} : ({0}, {1}, {1}, {2}, {2}) -> {0}\n",
                      token(s.heads), cache, i);
  body += fmt::format("    return %y, %k, %v : {0}, {1}, {1}\n", token(s.heads), cache);
  std::string cacheDims = fmt::format("\"rows\", \"{}\", \"8\", \"{}\"", s.kvHeads, s.headDim);
  return module(most, argument("x", x, fmt::format("\"rows\", \"{}\"", c)) + ", " + argument("positions", i, "\"rows\"") + ", " +
                          argument("past", i, "\"rows\"") + ", " + argument("lengths", i, "\"rows\"") + ", " + argument("keys", cache, cacheDims) +
                          ", " + argument("values", cache, cacheDims),
                result("y", token(s.heads)) + ", " + result("keys", cache) + ", " + result("values", cache), body);
}

// Query, key and value to their places, some of the tokens behind the cache's end or not there.
TEST_P(CpuGroups, NormProductRotaryAppend) {
  for (const Shape &shape : {even, odd})
    for (int64_t most : {1, 16}) {
      CompiledProgram program(decodeAttention(shape, most, shape.headDim == 25), GetParam(), random);
      ASSERT_TRUE(program);
      EXPECT_EQ(program.steps().size(), 2u);
      for (int64_t rows : {0, 1, 2, 5, 16}) {
        if (rows > most)
          continue;
        SCOPED_TRACE(fmt::format("{} rows of {}, {}, seed {}", rows, most, shape.element, seed));
        program.clearCaches();
        for (int64_t past : {0, 1, 7, 8}) {
          std::map<std::string, std::vector<int64_t>> given;
          for (int64_t row = 0; row < rows; ++row) {
            given["positions"].push_back(past + row);
            given["past"].push_back(std::max<int64_t>(0, past - row % 2));
            given["lengths"].push_back(row == 3 ? 0 : 1);
          }
          program.check({{"rows", rows}}, given);
        }
      }
    }
}

/// Product, rotary, and heads as [batch, seq] again for their cache: a prefill's first half.
std::string prefillAppend(const Shape &s, int64_t batch, int64_t seq) {
  int64_t c = s.heads * s.headDim, kv = s.kvHeads * s.headDim, n = c + kv;
  std::string x = tensor("?x?x" + number(c)), rows = tensor("?x" + number(c)), w = tensor(number(n) + "x" + number(c), s.element);
  std::string product = tensor("?x" + number(n)), keys = tensor("?x" + number(kv)), i = tensor("?", "i32"), i2 = tensor("?x?", "i32");
  std::string heads = tensor(fmt::format("?x{}x{}", s.kvHeads, s.headDim)), apart = tensor(fmt::format("?x?x{}x{}", s.kvHeads, s.headDim));
  std::string cache = "!transom.cache<?x" + number(s.kvHeads) + "x8x" + number(s.headDim) + "xf32>";
  std::string body = weight("w", number(n) + "x" + number(c), s.element);
  body += fmt::format("    %r.f = transom.reshape %x.f [-1, {}] : ({}) -> {}\n    %p.f = transom.reshape %positions.f [-1] : ({}) -> {}\n", c, x, rows, i2, i);
  body += "    %q, %k = transom.group (%r.f, %w.f, %p.f, %positions.f, %keys.f, %past.f, %lengths.f) {\n";
  body += fmt::format("    ^bb0(%x: {}, %w: {}, %p: {}, %l: {}, %ck: {}, %past: {}, %len: {}):\n", rows, w, i, i2, cache, i, i);
  body += fmt::format("      %0 = transom.matmul %x, %w transpose_rhs : ({}, {}) -> {}\n", rows, w, product);
  body += fmt::format("      %1 = transom.slice %0 axis 1 start 0 size {} : ({}) -> {}\n", c, product, rows);
  body += fmt::format("      %2 = transom.slice %0 axis 1 start {} size {} : ({}) -> {}\n", c, kv, product, keys);
  body += fmt::format("      %3 = transom.reshape %2 [0, {}, {}] : ({}) -> {}\n", s.kvHeads, s.headDim, keys, heads);
  body += fmt::format("      %4 = transom.rotary thd %3, %p dims {} base 10000.0 : ({}, {}) -> {}\n", s.dims, heads, i, heads);
  body += fmt::format("      %5 = transom.split_rows %4 like %l : ({}, {}) -> {}\n", heads, i2, apart);
  body += fmt::format("      %6 = transom.cache_append bshd %ck, %5 past %past lengths %len : ({0}, {1}, {2}, {2}) -> {0}\n", cache, apart, i);
  body += fmt::format("      transom.yield %1, %6 : {}, {}\n    }} : ({}, {}, {}, {}, {}, {}, {}) -> ({}, {})\n", rows, cache, rows, w, i, i2, cache, i, i, rows, cache);
  body += fmt::format("    return %q, %k : {}, {}\n", rows, cache);
  return fmt::format("module attributes {{transom.bounds = {{batch = [0, {}], seq = [0, {}]}}}} {{\n  func.func @main({}) -> ({}) {{\n{}  }}\n}}\n", batch, seq,
                     argument("x", x, fmt::format("\"batch\", \"seq\", \"{}\"", c)) + ", " + argument("positions", i2, "\"batch\", \"seq\"") + ", " +
                         argument("past", i, "\"batch\"") + ", " + argument("lengths", i, "\"batch\"") + ", " +
                         argument("keys", cache, fmt::format("\"batch\", \"{}\", \"8\", \"{}\"", s.kvHeads, s.headDim)),
                     result("q", rows) + ", " + result("keys", cache), body);
}

// Rows that count tokens of several sequences, apart again for the cache: few and many rows.
TEST_P(CpuGroups, SplitRowsAppend) {
  for (const Shape &shape : {even, odd})
    for (auto [batch, seq] : {std::pair<int64_t, int64_t>{3, 7}, {2, 4}, {1, 7}}) {
      SCOPED_TRACE(fmt::format("at most {} of {} tokens, {}, seed {}", batch, seq, shape.element, seed));
      CompiledProgram program(prefillAppend(shape, batch, seq), GetParam(), random);
      ASSERT_TRUE(program);
      EXPECT_EQ(program.steps().size(), 1u);
      for (int64_t rows = 0; rows <= batch; ++rows)
        for (int64_t tokens : {int64_t(0), int64_t(1), seq - 1, seq}) {
          program.clearCaches();
          std::map<std::string, std::vector<int64_t>> given;
          for (int64_t row = 0; row < rows; ++row) {
            given["past"].push_back(row);
            given["lengths"].push_back(std::max<int64_t>(0, tokens - row));
            for (int64_t token = 0; token < tokens; ++token)
              given["positions"].push_back(row + token);
          }
          program.check({{"batch", rows}, {"seq", tokens}}, given);
        }
    }
}

/// A group of one product: `body` computes the results from %x, %w and more, all f32.
struct Product {
  int64_t k, n;
  std::string element = "f32";
  std::vector<std::pair<std::string, std::string>> more; ///< name and sizes: "?x..." are inputs, the others weights
  std::string body, yields;
  std::vector<std::string> results; ///< sizes
};

std::string program(const Product &p, int64_t most) {
  std::string x = tensor("?x" + number(p.k)), arguments = argument("x", x, "\"rows\", \"" + number(p.k) + "\""), weights;
  std::string inputs = "%x.f, %w.f", inside = "%x: " + x + ", %w: " + tensor(number(p.n) + "x" + number(p.k), p.element), types = x + ", " + tensor(number(p.n) + "x" + number(p.k), p.element);
  for (auto &[name, sizes] : p.more) {
    bool isInput = sizes[0] == '?';
    if (isInput)
      arguments += ", " + argument(name, tensor(sizes), "\"rows\", \"" + sizes.substr(2) + "\"");
    else
      weights += weight(name, sizes);
    inputs += ", %" + name + ".f";
    inside += ", %" + name + ": " + tensor(sizes);
    types += ", " + tensor(sizes);
  }
  std::string results, resultTypes, names;
  for (size_t i = 0; i < p.results.size(); ++i) {
    results += (i ? ", " : "") + result("r" + number(int64_t(i)), tensor(p.results[i]));
    resultTypes += (i ? ", " : "") + tensor(p.results[i]);
    names += (i ? ", %result" : "%result") + number(int64_t(i));
  }
  return module(most, arguments, results,
                weight("w", number(p.n) + "x" + number(p.k), p.element) + weights + "    " + names + " = transom.group (" + inputs + ") {\n    ^bb0(" + inside + "):\n" +
                    p.body + "      transom.yield " + p.yields + " : " + resultTypes + "\n    } : (" + types + ") -> (" + resultTypes + ")\n    return " +
                    names + " : " + resultTypes + "\n");
}

std::string norm(const char *to, const char *from, int64_t c) {
  return fmt::format("      %{0} = transom.rms_norm %{1}, %s epsilon 1.0e-05 : ({2}, {3}) -> {2}\n", to, from, tensor("?x" + number(c)), tensor(number(c)));
}
std::string layerNorm(const char *to, const char *from, int64_t c) {
  return fmt::format("      %{0} = transom.layer_norm %{1}, %s, %t epsilon 1.0e-05 : ({2}, {3}, {3}) -> {2}\n", to, from, tensor("?x" + number(c)), tensor(number(c)));
}
std::string matmul(const char *lhs, const Product &p) {
  return fmt::format("      %0 = transom.matmul %{}, %w transpose_rhs : ({}, {}) -> {}\n", lhs, tensor("?x" + number(p.k)),
                     tensor(number(p.n) + "x" + number(p.k), p.element), tensor("?x" + number(p.n)));
}
std::string binary(const char *op, const char *to, const char *a, const std::string &as, const char *b, const std::string &bs) {
  return fmt::format("      %{} = transom.{} %{}, %{} : ({}, {}) -> {}\n", to, op, a, b, tensor(as), tensor(bs), tensor(as));
}
std::string unary(const char *op, const char *to, const char *a, const std::string &sizes) {
  return fmt::format("      %{0} = transom.{1} %{2} : ({3}) -> {3}\n", to, op, a, tensor(sizes));
}
std::string slice(const char *to, const char *from, const std::string &sizes, int64_t start, int64_t size) {
  return fmt::format("      %{} = transom.slice %{} axis 1 start {} size {} : ({}) -> {}\n", to, from, start, size, tensor(sizes), tensor("?x" + number(size)));
}
std::string wide(int64_t columns) { return "?x" + number(columns); }

/// The forms of decoder and encoder layers, for few and for many rows.
std::vector<Product> forms(int64_t c, int64_t f, const std::string &element) {
  std::vector<Product> all;
  Product residual{c, c, element, {{"r", wide(c)}}, "", "%1", {wide(c)}};
  residual.body = matmul("x", residual) + binary("add", "1", "r", wide(c), "0", wide(c));
  all.push_back(residual);
  Product gate{c, 2 * f, element, {{"s", number(c)}}, "", "%5", {wide(f)}};
  gate.body = norm("n", "x", c) + matmul("n", gate) + slice("2", "0", wide(2 * f), 0, f) + unary("silu", "3", "2", wide(f)) +
              slice("4", "0", wide(2 * f), f, f) + binary("mul", "5", "3", wide(f), "4", wide(f));
  all.push_back(gate);
  Product head{c, f, element, {{"s", number(c)}}, "", "%0", {wide(f)}};
  head.body = norm("n", "x", c) + matmul("n", head);
  all.push_back(head);
  Product gelu{c, f, element, {{"s", number(c)}, {"t", number(c)}, {"b", number(f)}}, "", "%2", {wide(f)}};
  gelu.body = layerNorm("n", "x", c) + matmul("n", gelu) + binary("add", "1", "0", wide(f), "b", number(f)) + unary("gelu erf", "2", "1", wide(f));
  all.push_back(gelu);
  Product normed{f, c, element, {{"r", wide(c)}, {"s", number(c)}}, "", "%1, %2", {wide(c), wide(c)}};
  normed.body = matmul("x", normed) + binary("add", "1", "r", wide(c), "0", wide(c)) + norm("2", "1", c);
  all.push_back(normed);
  Product split{c, 3 * c, element, {{"b", number(3 * c)}}, "", "%2, %3, %4", {wide(c), wide(c), wide(c)}};
  split.body = matmul("x", split) + binary("add", "1", "0", wide(3 * c), "b", number(3 * c));
  for (int i : {0, 1, 2})
    split.body += slice(std::array{"2", "3", "4"}[size_t(i)], "1", wide(3 * c), i * c, c);
  all.push_back(split);
  Product post{c, c, element, {{"b", number(c)}, {"r", wide(c)}, {"s", number(c)}, {"t", number(c)}}, "", "%3", {wide(c)}};
  post.body = matmul("x", post) + binary("add", "1", "0", wide(c), "b", number(c)) + binary("add", "2", "1", wide(c), "r", wide(c)) + layerNorm("3", "2", c);
  all.push_back(post);
  return all;
}

void checkForms(const char *level, std::mt19937 &random, int64_t c, int64_t f, const std::string &element, int64_t most,
                std::initializer_list<int64_t> counts) {
  for (size_t form = 0; const Product &p : forms(c, f, element)) {
    SCOPED_TRACE(fmt::format("form {} of {}, {}", form++, element, c));
    CompiledProgram compiled(program(p, most), level, random);
    ASSERT_TRUE(compiled);
    for (int64_t rows : counts) {
      SCOPED_TRACE(rows);
      compiled.check({{"rows", rows}});
    }
  }
}

// Few rows: columns of the product with what follows, tile by tile.
TEST_P(CpuGroups, FewRows) {
  SCOPED_TRACE(seed);
  checkForms(GetParam(), random, 96, 1184, "!transom.block<q4_1>", 16, {0, 1, 2, 5, 16});
  checkForms(GetParam(), random, 75, 53, "f32", 16, {0, 1, 2, 5, 16});
  checkForms(GetParam(), random, 75, 53, "bf16", 1, {0, 1});
}

// Every storage type of a weight.
TEST_P(CpuGroups, WeightTypes) {
  SCOPED_TRACE(seed);
  for (const char *type : {"f16", "bf16", "!transom.block<q8_0>", "!transom.block<q4_0>", "!transom.block<q5_0>", "!transom.block<q5_1>",
                           "!transom.block<q4_k>", "!transom.block<q5_k>", "!transom.block<q6_k>"}) {
    SCOPED_TRACE(type);
    Product gate = forms(256, 40, type)[1];
    CompiledProgram compiled(program(gate, 1), GetParam(), random);
    ASSERT_TRUE(compiled);
    EXPECT_EQ(compiled.steps().size(), 1u);
    compiled.check({{"rows", 1}});
  }
}

// Many rows: the matrix library, and what follows on its rows: from a thread's scratch, or behind all panels.
TEST_P(CpuGroups, ManyRows) {
  SCOPED_TRACE(seed);
  checkForms(GetParam(), random, 96, 160, "!transom.block<q4_1>", 300, {0, 1, 2, 17, 40});
  checkForms(GetParam(), random, 75, 53, "f32", 300, {0, 1, 5, 17, 40, 300});
}

/// A group without a product: `inputs` names and types (weights by "w:" before the name).
struct Rows {
  std::vector<std::pair<std::string, std::string>> inputs;
  std::string body, yields;
  std::vector<std::string> results;
};

std::string program(const Rows &p) {
  std::string arguments, weights, inputs, inside, types, results, resultTypes, names;
  for (auto [name, type] : p.inputs) {
    if (name.starts_with("w:")) {
      name = name.substr(2);
      weights += "    %" + name + ".f = transom.weight \"" + name + "\" : " + type + "\n";
    } else {
      std::string dims = "\"rows\"";
      if (size_t columns = type.find('x'); columns != std::string::npos && type[7] == '?' && std::isdigit(type[columns + 1]))
        dims += ", \"" + number(std::stoll(type.substr(columns + 1))) + "\"";
      arguments += (arguments.empty() ? "" : ", ") + argument(name, type, dims);
    }
    inputs += (inputs.empty() ? "%" : ", %") + name + ".f";
    inside += (inside.empty() ? "%" : ", %") + name + ": " + type;
    types += (types.empty() ? "" : ", ") + type;
  }
  for (size_t i = 0; i < p.results.size(); ++i) {
    results += (i ? ", " : "") + result("r" + number(int64_t(i)), p.results[i]);
    resultTypes += (i ? ", " : "") + p.results[i];
    names += (i ? ", %result" : "%result") + number(int64_t(i));
  }
  return module(40, arguments, results,
                weights + "    " + names + " = transom.group (" + inputs + ") {\n    ^bb0(" + inside + "):\n" + p.body + "      transom.yield " + p.yields + " : " +
                    resultTypes + "\n    } : (" + types + ") -> (" + resultTypes + ")\n    return " + names + " : " + resultTypes + "\n");
}

void checkRows(const char *level, std::mt19937 &random, const Rows &rows) {
  CompiledProgram compiled(program(rows), level, random);
  ASSERT_TRUE(compiled);
  EXPECT_EQ(compiled.steps().size(), 1u);
  for (int64_t count : {0, 1, 2, 5, 16, 17, 40}) {
    SCOPED_TRACE(count);
    compiled.check({{"rows", count}});
  }
}

// Residual and norm: the sum and the normalised sum.
TEST_P(CpuGroups, ResidualNorm) {
  for (int64_t c : {64, 75, 1}) {
    SCOPED_TRACE(fmt::format("{} columns, seed {}", c, seed));
    std::string t = tensor(wide(c));
    checkRows(GetParam(), random,
              {{{"x", t}, {"r", t}, {"w:s", tensor(number(c))}}, binary("add", "0", "x", wide(c), "r", wide(c)) + norm("1", "0", c), "%0, %1", {t, t}});
  }
}

// Embeddings, their sum and a norm; an index outside of its table.
TEST_P(CpuGroups, EmbeddingNorm) {
  SCOPED_TRACE(seed);
  std::string t = tensor("?x50"), i = tensor("?", "i32");
  auto look = [&](const char *to, const char *table, const char *index, const char *size) {
    return fmt::format("      %{} = transom.embedding %{}, %{} : ({}, {}) -> {}\n", to, table, index, tensor(size), i, t);
  };
  checkRows(GetParam(), random,
            {{{"i", i}, {"w:a", tensor("6x50")}, {"j", i}, {"w:b", tensor("9x50")}, {"w:s", tensor("50")}, {"w:t", tensor("50")}},
             look("0", "a", "i", "6x50") + look("1", "b", "j", "9x50") + binary("add", "2", "0", "?x50", "1", "?x50") + layerNorm("3", "2", 50),
             "%2, %3",
             {t, t}});
}

// Slices of rows, and heads: a norm of each head, rotary of the others' first numbers, results straight from a slice.
TEST_P(CpuGroups, SlicesAndHeads) {
  SCOPED_TRACE(seed);
  std::string h = tensor("?x3x10"), i = tensor("?", "i32");
  Rows rows{{{"x", tensor("?x75")}, {"p", i}, {"w:s", tensor("10")}}, "", "%3, %5, %6", {h, h, tensor("?x15")}};
  rows.body = slice("0", "x", "?x75", 0, 30) + slice("4", "x", "?x75", 30, 30) + slice("6", "x", "?x75", 60, 15);
  rows.body += fmt::format("      %1 = transom.reshape %0 [0, 3, 10] : ({0}) -> {1}\n      %5 = transom.reshape %4 [0, 3, 10] : ({0}) -> {1}\n", tensor("?x30"), h);
  rows.body += fmt::format("      %2 = transom.rms_norm %1, %s epsilon 1.0e-05 : ({0}, {1}) -> {0}\n", h, tensor("10"));
  rows.body += fmt::format("      %3 = transom.rotary thd %2, %p dims 6 base 100.0 : ({0}, {1}) -> {0}\n", h, i);
  CompiledProgram compiled(program(rows), GetParam(), random);
  ASSERT_TRUE(compiled);
  for (int64_t count : {0, 1, 5, 17})
    compiled.check({{"rows", count}});
}

INSTANTIATE_TEST_SUITE_P(Levels, CpuGroups, testing::Values("x86-64-v3", "x86-64-v4"));

} // namespace
} // namespace transom::test
