// Size expressions and lookups; see Contents.h.
#include "runtime/format/Contents.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace transom::artifact {

bool Expr::isConstant() const {
  return std::all_of(terms.begin(), terms.end(), [](const Term &term) { return term.symbols.empty(); });
}

int32_t Expr::asSymbol() const {
  bool alone = terms.size() == 1 && terms[0].coefficient == 1 && terms[0].symbols.size() == 1;
  return alone ? terms[0].symbols[0] : -1;
}

int64_t evaluate(const Expr &expr, std::span<const int64_t> values) {
  int64_t sum = 0;
  for (const Term &term : expr.terms) {
    int64_t product = term.coefficient;
    for (uint16_t symbol : term.symbols)
      product *= values[symbol];
    sum += product;
  }
  return sum;
}

CheckedSize upperBound(const Expr &expr, std::span<const Symbol> symbols) {
  // Symbols are not negative, so a term grows with each of them where its coefficient is positive, and falls where not.
  CheckedSize positive, negative, mostNegative;
  for (const Term &term : expr.terms) {
    bool grows = term.coefficient >= 0;
    auto magnitude = static_cast<uint64_t>(term.coefficient);
    CheckedSize atMost(grows ? magnitude : -magnitude), least = atMost;
    for (uint16_t symbol : term.symbols) {
      atMost = atMost * CheckedSize(static_cast<uint64_t>(symbols[symbol].max));
      least = least * CheckedSize(static_cast<uint64_t>(symbols[symbol].min));
    }
    CheckedSize &sum = grows ? positive : negative;
    sum = sum + (grows ? atMost : least);
    mostNegative = grows ? mostNegative : mostNegative + atMost;
  }
  // What evaluate() computes on the way must fit as well.
  if (!positive.fits(INT64_MAX) || !mostNegative.fits(INT64_MAX))
    return CheckedSize::invalid();
  return positive.value() > negative.value() ? positive - negative : CheckedSize(0);
}

CheckedSize bytesAtBounds(DType dtype, const Shape &shape, std::span<const Symbol> symbols) {
  std::vector<int64_t> dims;
  for (const Expr &dim : shape) {
    CheckedSize bound = upperBound(dim, symbols);
    if (!bound.valid())
      return CheckedSize::invalid();
    dims.push_back(static_cast<int64_t>(bound.value()));
  }
  return bytesFor(dtype, dims);
}

std::string toString(const Expr &expr, std::span<const Symbol> symbols) {
  std::string text;
  for (const Term &term : expr.terms) {
    if (!text.empty() && term.coefficient >= 0)
      text += '+';
    bool bare = !term.symbols.empty() && (term.coefficient == 1 || term.coefficient == -1);
    text += bare ? (term.coefficient < 0 ? "-" : "") : fmt::format("{}", term.coefficient);
    for (size_t i = 0; i < term.symbols.size(); ++i)
      text += (bare && i == 0 ? "" : "*") + symbols[term.symbols[i]].name;
  }
  return text.empty() ? "0" : text;
}

std::string toString(const Shape &shape, std::span<const Symbol> symbols) {
  std::string text = "[";
  for (const Expr &dim : shape)
    text += (text.size() > 1 ? ", " : "") + toString(dim, symbols);
  return text + "]";
}

std::string_view name(BufferKind kind) {
  static constexpr std::array<std::string_view, 6> names = {"arena", "weight", "input", "output", "state", "workspace"};
  return names[static_cast<size_t>(kind)];
}

std::string_view name(Device device) { return device == Device::cuda ? "cuda" : "cpu"; }

const Program *Contents::findProgram(std::string_view name, Device device) const {
  auto found = std::find_if(programs.begin(), programs.end(),
                            [&](const Program &p) { return p.name == name && p.device == device; });
  return found == programs.end() ? nullptr : &*found;
}

bool Contents::runsOn(Device device) const {
  return std::any_of(programs.begin(), programs.end(), [&](const Program &p) { return p.device == device; });
}

const std::string *Contents::findMetadata(std::string_view key) const {
  auto found = std::find_if(metadata.begin(), metadata.end(), [&](const Metadata &m) { return m.key == key; });
  return found == metadata.end() ? nullptr : &found->value;
}

} // namespace transom::artifact
