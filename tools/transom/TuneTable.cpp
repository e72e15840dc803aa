// See TuneTable.h.
#include "tools/transom/TuneTable.h"

#include "runtime/Model.h"

#include <algorithm>
#include <fmt/ranges.h>
#include <limits>

namespace transom::cli {

namespace {

using artifact::GemmActivation;
using artifact::GemmCompute;

constexpr std::string_view types[] = {"f32", "f16", "bf16"};
constexpr std::string_view computes[] = {"f32", "tf32"};                    // by GemmCompute
constexpr std::string_view activations[] = {"none", "relu", "gelu_tanh"};   // by GemmActivation

std::string_view trimmed(std::string_view text) {
  size_t first = text.find_first_not_of(" \t\r"), last = text.find_last_not_of(" \t\r");
  return first == text.npos ? std::string_view() : text.substr(first, last - first + 1);
}

/// Parts between separators, trimmed; none where the text is empty.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; !text.empty() && at <= text.size();) {
    size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(trimmed(text.substr(at, end - at)));
    at = end + 1;
  }
  return parts;
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> parts = split(text, ' ');
  std::erase(parts, std::string_view());
  return parts;
}

template <size_t count> Result<size_t> choiceOf(std::string_view text, const std::string_view (&choices)[count], std::string_view what) {
  size_t index = static_cast<size_t>(std::find(choices, choices + count, text) - choices);
  if (index < count)
    return index;
  return error(StatusCode::invalidFile, "{}: expected {}, found \"{}\"", what, fmt::join(choices, ", "), text);
}

Result<int64_t> sizeOf(std::string_view text, std::string_view what, int64_t least) {
  std::optional<int64_t> number = parseNumber(text);
  if (number && *number >= least)
    return *number;
  return error(StatusCode::invalidFile, "{}: expected a whole number from {} on, found \"{}\"", what, least, text);
}

Result<bool> flagOf(std::string_view text, std::string_view name) {
  if (text == name || text == "-")
    return text == name;
  return error(StatusCode::invalidFile, "{}: expected {} or -, found \"{}\"", name, name, text);
}

Status parseKind(std::string_view field, GemmSpec &spec) {
  std::vector<std::string_view> parts = words(field);
  if (parts.size() != 6)
    return error(StatusCode::invalidFile, "product: expected 6 words for types, epilogue and operands, found {}", parts.size());
  TRANSOM_ASSIGN(size_t type, choiceOf(parts[0], types, "type"));
  TRANSOM_ASSIGN(size_t out, choiceOf(parts[1], types, "type of the result"));
  TRANSOM_ASSIGN(size_t compute, choiceOf(parts[2], computes, "compute"));
  TRANSOM_ASSIGN(size_t activation, choiceOf(parts[3], activations, "activation"));
  TRANSOM_ASSIGN(spec.bias, flagOf(parts[4], "bias"));
  TRANSOM_ASSIGN(spec.residual, flagOf(parts[5], "residual"));
  spec.type = *parseDType(types[type]);
  spec.out = *parseDType(types[out]);
  spec.compute = static_cast<GemmCompute>(compute);
  spec.activation = static_cast<GemmActivation>(activation);
  return {};
}

Status parseSizes(std::string_view field, GemmSpec &spec) {
  std::vector<std::string_view> parts = words(field);
  if (parts.size() != 4)
    return error(StatusCode::invalidFile, "sizes: expected m, n, k and workspace, found {} words", parts.size());
  TRANSOM_ASSIGN(spec.m, sizeOf(parts[0], "m", 1));
  TRANSOM_ASSIGN(spec.n, sizeOf(parts[1], "n", 1));
  TRANSOM_ASSIGN(spec.k, sizeOf(parts[2], "k", 1));
  TRANSOM_ASSIGN(int64_t workspace, sizeOf(parts[3], "workspace", 0));
  spec.workspace = static_cast<uint64_t>(workspace);
  return {};
}

Status parseAlgorithm(std::string_view field, GemmAlgorithm &algorithm) {
  size_t digits = 2 * algorithm.size();
  if (field.size() != digits)
    return error(StatusCode::invalidFile, "algorithm: expected {} hexadecimal digits, found {} characters", digits, field.size());
  constexpr std::string_view alphabet = "0123456789abcdef";
  for (size_t i = 0; i < digits; ++i) {
    size_t digit = alphabet.find(field[i]);
    if (digit == alphabet.npos)
      return error(StatusCode::invalidFile, "algorithm: expected {} hexadecimal digits, found '{}'", digits, field[i]);
    algorithm[i / 2] = static_cast<uint8_t>(i % 2 ? algorithm[i / 2] | digit : digit << 4);
  }
  return {};
}

Result<TunedProduct> parseLine(std::string_view line) {
  std::vector<std::string_view> fields = split(line, '|');
  if (fields.size() != 6)
    return error(StatusCode::invalidFile, "expected 6 fields between |, found {}", fields.size());
  TunedProduct product;
  product.device = fields[0];
  if (product.device.empty())
    return error(StatusCode::invalidFile, "device: expected its name, found none");
  TRANSOM_ASSIGN(int64_t version, sizeOf(fields[1], "version of cuBLASLt", 1));
  product.version = static_cast<uint64_t>(version);
  TRANSOM_RETURN_IF_ERROR(parseKind(fields[2], product.spec));
  TRANSOM_RETURN_IF_ERROR(parseSizes(fields[3], product.spec));
  for (std::string_view rows : split(fields[4], ',')) {
    TRANSOM_ASSIGN(int64_t number, sizeOf(rows, "rows", 1));
    product.rows.push_back(number);
  }
  if (product.rows.empty())
    return error(StatusCode::invalidFile, "rows: expected numbers between commas, found none");
  TRANSOM_RETURN_IF_ERROR(parseAlgorithm(fields[5], product.algorithm));
  return product;
}

int64_t boundOf(const artifact::Expr &expr, const artifact::Contents &contents) {
  CheckedSize bound = artifact::upperBound(expr, contents.symbols);
  return bound.valid() && bound.value() <= uint64_t(std::numeric_limits<int64_t>::max()) ? int64_t(bound.value()) : 0;
}

} // namespace

GemmSpec specAtBounds(const artifact::Contents &contents, const artifact::Program &program, const artifact::CudaGemm &gemm) {
  return {.type = program.buffers[gemm.lhs].dtype, .out = program.buffers[gemm.out].dtype, .m = boundOf(gemm.m, contents),
          .n = boundOf(gemm.n, contents), .k = boundOf(gemm.k, contents), .compute = gemm.compute, .activation = gemm.activation,
          .bias = gemm.bias >= 0, .residual = gemm.residual >= 0, .workspace = gemm.workspace};
}

std::vector<GemmSpec> productsOf(const artifact::Contents &contents) {
  std::vector<GemmSpec> products;
  for (const artifact::Program &program : contents.programs)
    for (const artifact::Step &step : program.steps)
      if (auto *gemm = std::get_if<artifact::CudaGemm>(&step.kind)) {
        GemmSpec spec = specAtBounds(contents, program, *gemm);
        if (spec.m > 0 && spec.n > 0 && spec.k > 0 && std::find(products.begin(), products.end(), spec) == products.end())
          products.push_back(spec);
      }
  return products;
}

Applied setAlgorithms(std::span<const TunedProduct> products, artifact::Contents &contents) {
  Applied applied;
  for (artifact::Program &program : contents.programs)
    for (artifact::Step &step : program.steps)
      if (auto *gemm = std::get_if<artifact::CudaGemm>(&step.kind)) {
        ++applied.steps;
        GemmSpec spec = specAtBounds(contents, program, *gemm);
        auto found = std::find_if(products.begin(), products.end(), [&](const TunedProduct &product) { return product.spec == spec; });
        if (found == products.end())
          continue;
        gemm->algorithm.assign(found->algorithm.begin(), found->algorithm.end());
        ++applied.set;
      }
  return applied;
}

std::string formatTable(std::span<const TunedProduct> products) {
  std::string text = "# transom tune: device | version of cuBLASLt | lhs out compute activation bias residual | m n k workspace | rows | algorithm\n";
  for (const TunedProduct &product : products) {
    const GemmSpec &s = product.spec;
    text += fmt::format("{} | {} | {} {} {} {} {} {} | {} {} {} {} | {} | ", product.device, product.version, name(s.type), name(s.out),
                        computes[size_t(s.compute)], activations[size_t(s.activation)], s.bias ? "bias" : "-", s.residual ? "residual" : "-",
                        s.m, s.n, s.k, s.workspace, fmt::join(product.rows, ","));
    for (uint8_t byte : product.algorithm)
      text += fmt::format("{:02x}", byte);
    text += '\n';
  }
  return text;
}

Result<std::vector<TunedProduct>> parseTable(std::string_view text, const std::string &file) {
  std::vector<TunedProduct> products;
  std::vector<size_t> lines; // of products
  std::vector<std::string_view> all = split(text, '\n');
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].empty() || all[i].starts_with('#'))
      continue;
    Result<TunedProduct> product = parseLine(all[i]);
    if (!product.ok())
      return product.status().within(fmt::format("{}:{}", file, i + 1));
    for (size_t other = 0; other < products.size(); ++other)
      if (products[other].spec == product->spec)
        return error(StatusCode::invalidFile, "{}:{}: expected each product once, found that of line {}", file, i + 1, lines[other]);
    products.push_back(std::move(*product));
    lines.push_back(i + 1);
  }
  return products;
}

} // namespace transom::cli
