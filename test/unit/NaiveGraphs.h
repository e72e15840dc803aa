// Small naive graphs as importers write them, with random numbers: a decoder like Llama and an encoder like BERT, as
// text. For tests of passes; the sizes are chosen so that no two dimensions are alike.
#pragma once

#include <fmt/format.h>

#include <random>
#include <string>
#include <vector>

namespace transom::test {

/// Writes ops one by one and names their results.
class GraphText {
public:
  explicit GraphText(unsigned seed) : random(seed) {}

  /// `transom.<op> : (<operand types>) -> <type>`; returns the result's name.
  std::string op(const std::string &text, const std::string &operandTypes, const std::string &type) {
    std::string name = fmt::format("%{}", next++);
    body += fmt::format("  {} = transom.{} : ({}) -> {}\n", name, text, operandTypes, type);
    return name;
  }
  /// Numbers in [-1, 1] with few bits, so that bf16 holds them.
  std::string constant(const std::vector<int64_t> &shape, const std::string &element = "f32") {
    std::string name = fmt::format("%{}", next++);
    body += fmt::format("  {} = transom.constant dense<{}> : {}\n", name, numbers(shape, 0), tensor(shape, element));
    return name;
  }
  static std::string tensor(const std::vector<int64_t> &shape, const std::string &element = "f32") {
    return fmt::format("tensor<{}{}{}>", fmt::join(shape, "x"), shape.empty() ? "" : "x", element);
  }
  /// x [?, ?, in] times a random [out, in] matrix.
  std::string linear(const std::string &x, int64_t in, int64_t out) {
    std::string weight = constant({out, in});
    return op(fmt::format("matmul {}, {} transpose_rhs", x, weight), fmt::format("{}, {}", rows(in), tensor({out, in})), rows(out));
  }
  std::string linearBias(const std::string &x, int64_t in, int64_t out) {
    std::string y = linear(x, in, out);
    return binary("add", y, vector(out), rows(out), tensor({out}));
  }
  /// A vector stored as bf16 and converted.
  std::string vector(int64_t size) {
    std::string stored = constant({size}, "bf16");
    return op(fmt::format("cast {} to f32", stored), tensor({size}, "bf16"), tensor({size}));
  }
  std::string unary(const std::string &name, const std::string &x, const std::string &type) {
    return op(name + " " + x, type, type);
  }
  std::string binary(const std::string &name, const std::string &a, const std::string &b, const std::string &type, const std::string &other) {
    return op(fmt::format("{} {}, {}", name, a, b), fmt::format("{}, {}", type, other), type);
  }
  std::string splitHeads(const std::string &x, int64_t heads, int64_t size) {
    std::string split = fmt::format("tensor<?x?x{}x{}xf32>", heads, size);
    std::string y = op(fmt::format("reshape {} [0, 0, {}, {}]", x, heads, size), rows(heads * size), split);
    return op(fmt::format("transpose {} [0, 2, 1, 3]", y), split, headed(heads, size));
  }
  std::string mergeHeads(const std::string &x, int64_t heads, int64_t size) {
    std::string split = fmt::format("tensor<?x?x{}x{}xf32>", heads, size);
    std::string y = op(fmt::format("transpose {} [0, 2, 1, 3]", x), headed(heads, size), split);
    return op(fmt::format("reshape {} [0, 0, {}]", y, heads * size), split, rows(heads * size));
  }
  static std::string rows(int64_t width) { return fmt::format("tensor<?x?x{}xf32>", width); }
  static std::string headed(int64_t heads, int64_t size) { return fmt::format("tensor<?x{}x?x{}xf32>", heads, size); }

  std::string body;

private:
  std::string numbers(const std::vector<int64_t> &shape, size_t axis) {
    if (axis == shape.size())
      return fmt::format("{:.6e}", std::uniform_int_distribution<int>(-64, 64)(random) / 64.0);
    std::vector<std::string> parts;
    for (int64_t i = 0; i < shape[axis]; ++i)
      parts.push_back(numbers(shape, axis + 1));
    return fmt::format("[{}]", fmt::join(parts, ", "));
  }

  std::mt19937 random;
  int next = 0;
};

struct LlamaSizes {
  int64_t layers = 2, heads = 4, kvHeads = 2, headDim = 6, feedForward = 20, vocab = 17, context = 16;
  int64_t hidden() const { return heads * headDim; }
};

/// @main(input_ids, attention_mask, position_ids, past.N.key, past.N.value...) -> (logits, present.N.key...).
inline std::string naiveLlama(const LlamaSizes &s, unsigned seed = 1) {
  GraphText g(seed);
  auto rows = GraphText::rows;
  std::string ids = "tensor<?x?xi32>", past = GraphText::headed(s.kvHeads, s.headDim), queries = GraphText::headed(s.heads, s.headDim);
  std::string table = g.constant({s.vocab, s.hidden()});
  std::string x = g.op(fmt::format("embedding {}, %ids", table), GraphText::tensor({s.vocab, s.hidden()}) + ", " + ids, rows(s.hidden()));
  std::vector<std::string> presents;
  std::string arguments, results;
  auto norm = [&](const std::string &value) {
    return g.op(fmt::format("rms_norm {}, {} epsilon 1.0e-05", value, g.vector(s.hidden())),
                rows(s.hidden()) + ", " + GraphText::tensor({s.hidden()}), rows(s.hidden()));
  };
  auto rotary = [&](const std::string &value, const std::string &type) {
    return g.op(fmt::format("rotary bhsd {}, %positions dims {} base 100.0", value, s.headDim), type + ", " + ids, type);
  };
  for (int64_t layer = 0; layer < s.layers; ++layer) {
    auto extend = [&](const char *what, const std::string &tokens) {
      std::string argument = fmt::format("%past_{}_{}", layer, what);
      for (auto [text, when, size] : {std::tuple(&arguments, "past", "past"), {&results, "present", "past+seq"}})
        *text += fmt::format(",\n    {}{} {{transom.name = \"{}.{}.{}\", transom.dims = [\"batch\", \"{}\", \"{}\", \"{}\"]}}",
                             text == &arguments ? argument + ": " : "", past, when, layer, what, s.kvHeads, size, s.headDim);
      presents.push_back(g.op(fmt::format("concat {}, {} axis 2", argument, tokens), past + ", " + past, past));
      return presents.back();
    };
    std::string n = norm(x);
    std::string query = rotary(g.splitHeads(g.linear(n, s.hidden(), s.hidden()), s.heads, s.headDim), queries);
    std::string key = extend("key", rotary(g.splitHeads(g.linear(n, s.hidden(), s.kvHeads * s.headDim), s.kvHeads, s.headDim), past));
    std::string value = extend("value", g.splitHeads(g.linear(n, s.hidden(), s.kvHeads * s.headDim), s.kvHeads, s.headDim));
    std::string mixed = g.op(fmt::format("attention bhsd {}, {}, {} mask %mask {{causal, scale = 0.4 : f64}}", query, key, value),
                             fmt::format("{}, {}, {}, {}", queries, past, past, ids), queries);
    x = g.binary("add", x, g.linear(g.mergeHeads(mixed, s.heads, s.headDim), s.hidden(), s.hidden()), rows(s.hidden()), rows(s.hidden()));
    n = norm(x);
    std::string gate = g.unary("silu", g.linear(n, s.hidden(), s.feedForward), rows(s.feedForward));
    std::string product = g.binary("mul", gate, g.linear(n, s.hidden(), s.feedForward), rows(s.feedForward), rows(s.feedForward));
    x = g.binary("add", x, g.linear(product, s.feedForward, s.hidden()), rows(s.hidden()), rows(s.hidden()));
  }
  std::string logits = g.linear(norm(x), s.hidden(), s.vocab), types = rows(s.vocab);
  for (std::string &present : presents)
    logits += ", " + present, types += ", " + past;
  return fmt::format(R"(module attributes {{transom.bounds = {{batch = [1, 4], past = [0, {}], seq = [1, {}]}},
  transom.metadata = {{context_length = "{}"}}}} {{
func.func @main(%ids: {} {{transom.name = "input_ids", transom.dims = ["batch", "seq"]}},
    %mask: {} {{transom.name = "attention_mask", transom.dims = ["batch", "past+seq"]}},
    %positions: {} {{transom.name = "position_ids", transom.dims = ["batch", "seq"]}}{})
    -> ({} {{transom.name = "logits", transom.dims = ["batch", "seq", "{}"]}}{}) {{
{}  return {} : {}
}}
}}
)",
                     s.context - 1, s.context, s.context, ids, ids, ids, arguments, rows(s.vocab), s.vocab, results, g.body, logits, types);
}

/// @main(input_ids, attention_mask, token_type_ids) -> (last_hidden_state, sentence_embedding).
inline std::string naiveBert(unsigned seed = 2) {
  GraphText g(seed);
  constexpr int64_t heads = 3, headDim = 4, hidden = heads * headDim, feedForward = 20, vocab = 13, positions = 10;
  std::string ids = "tensor<?x?xi32>", x3 = GraphText::rows(hidden), row = GraphText::tensor({hidden}), h4 = GraphText::headed(heads, headDim);
  auto lookup = [&](int64_t size, const std::string &indices, const std::string &type, const std::string &result) {
    return g.op(fmt::format("embedding {}, {}", g.constant({size, hidden}), indices), GraphText::tensor({size, hidden}) + ", " + type, result);
  };
  auto norm = [&](const std::string &value) {
    std::string scale = g.vector(hidden), bias = g.vector(hidden);
    return g.op(fmt::format("layer_norm {}, {}, {} epsilon 1.0e-05", value, scale, bias), fmt::format("{}, {}, {}", x3, row, row), x3);
  };
  std::string iota = g.op("iota like %ids axis 1", ids, "tensor<?xi32>");
  std::string x = lookup(vocab, "%ids", ids, x3);
  x = g.binary("add", x, lookup(2, "%types", ids, x3), x3, x3);
  x = norm(g.binary("add", x, lookup(positions, iota, "tensor<?xi32>", "tensor<?x12xf32>"), x3, "tensor<?x12xf32>"));
  for (int layer = 0; layer < 2; ++layer) {
    std::string query = g.splitHeads(g.linearBias(x, hidden, hidden), heads, headDim);
    std::string key = g.splitHeads(g.linearBias(x, hidden, hidden), heads, headDim);
    std::string value = g.splitHeads(g.linearBias(x, hidden, hidden), heads, headDim);
    std::string mixed = g.op(fmt::format("attention bhsd {}, {}, {} mask %mask {{scale = 0.5 : f64}}", query, key, value),
                             fmt::format("{}, {}, {}, {}", h4, h4, h4, ids), h4);
    x = norm(g.binary("add", g.linearBias(g.mergeHeads(mixed, heads, headDim), hidden, hidden), x, x3, x3));
    std::string wide = GraphText::rows(feedForward);
    std::string active = g.op("gelu erf " + g.linearBias(x, hidden, feedForward), wide, wide);
    x = norm(g.binary("add", g.linearBias(active, feedForward, hidden), x, x3, x3));
  }
  std::string column = "tensor<?x?x1xf32>", pooled = "tensor<?x12xf32>", single = "tensor<?x1xf32>";
  std::string weights = g.op("cast %mask to f32", ids, "tensor<?x?xf32>");
  weights = g.op(fmt::format("reshape {} [0, 0, 1]", weights), "tensor<?x?xf32>", column);
  std::string sum = g.op(fmt::format("reduce sum {} axes [1]", g.binary("mul", x, weights, x3, column)), x3, pooled);
  std::string mean = g.binary("div", sum, g.op(fmt::format("reduce sum {} axes [1]", weights), column, single), pooled, single);
  std::string square = g.op(fmt::format("reduce sum {} axes [1] keep_dims", g.binary("mul", mean, mean, pooled, pooled)), pooled, single);
  std::string result = g.binary("div", mean, g.unary("sqrt", square, single), pooled, single);
  return fmt::format(R"(module attributes {{transom.bounds = {{batch = [1, 4], seq = [1, {}]}}}} {{
func.func @main(%ids: {} {{transom.name = "input_ids", transom.dims = ["batch", "seq"]}},
    %mask: {} {{transom.name = "attention_mask", transom.dims = ["batch", "seq"]}},
    %types: {} {{transom.name = "token_type_ids", transom.dims = ["batch", "seq"]}})
    -> ({} {{transom.name = "last_hidden_state", transom.dims = ["batch", "seq", "12"]}},
        {} {{transom.name = "sentence_embedding", transom.dims = ["batch", "12"]}}) {{
{}  return {}, {} : {}, {}
}}
}}
)",
                     positions, ids, ids, ids, x3, pooled, g.body, x, result, x3, pooled);
}

/// @main(source_ids, source_mask, target_ids, target_mask) -> logits: one layer of an encoder, and one of a decoder that
/// attends to itself and to what the encoder gave.
inline std::string naiveTranslator(unsigned seed = 3) {
  GraphText g(seed);
  constexpr int64_t heads = 2, headDim = 4, hidden = heads * headDim, vocab = 9;
  std::string ids = "tensor<?x?xi32>", x3 = GraphText::rows(hidden), h4 = GraphText::headed(heads, headDim), table = g.constant({vocab, hidden});
  auto embed = [&](const std::string &tokens) {
    return g.op(fmt::format("embedding {}, {}", table, tokens), GraphText::tensor({vocab, hidden}) + ", " + ids, x3);
  };
  auto attend = [&](const std::string &x, const std::string &memory, const std::string &mask, const char *causal) {
    std::string query = g.splitHeads(g.linear(x, hidden, hidden), heads, headDim);
    std::string key = g.splitHeads(g.linear(memory, hidden, hidden), heads, headDim), value = g.splitHeads(g.linear(memory, hidden, hidden), heads, headDim);
    std::string mixed = g.op(fmt::format("attention bhsd {}, {}, {} mask {} {{{}scale = 0.5 : f64}}", query, key, value, mask, causal),
                             fmt::format("{}, {}, {}, {}", h4, h4, h4, ids), h4);
    return g.binary("add", x, g.linear(g.mergeHeads(mixed, heads, headDim), hidden, hidden), x3, x3);
  };
  std::string source = embed("%source"), memory = attend(source, source, "%source_mask", ""), target = embed("%target");
  target = attend(target, target, "%target_mask", "causal, ");
  std::string logits = g.linear(attend(target, memory, "%source_mask", ""), hidden, vocab);
  return fmt::format(R"(module attributes {{transom.bounds = {{batch = [1, 4], source = [1, 8], target = [1, 6]}}}} {{
func.func @main(%source: {0} {{transom.name = "source_ids", transom.dims = ["batch", "source"]}},
    %source_mask: {0} {{transom.name = "source_mask", transom.dims = ["batch", "source"]}},
    %target: {0} {{transom.name = "target_ids", transom.dims = ["batch", "target"]}},
    %target_mask: {0} {{transom.name = "target_mask", transom.dims = ["batch", "target"]}})
    -> ({1} {{transom.name = "logits", transom.dims = ["batch", "target", "{2}"]}}) {{
{3}  return {4} : {1}
}}
}}
)",
                     ids, GraphText::rows(vocab), vocab, g.body, logits);
}

} // namespace transom::test
