// See DimExpr.h.
#include "ir/DimExpr.h"

#include "llvm/ADT/StringExtras.h"

#include <algorithm>

namespace transom {

DimExpr::DimExpr(int64_t constant) : terms(Terms()) { add({}, constant); }

DimExpr DimExpr::symbol(llvm::StringRef name) {
  DimExpr expr(0);
  expr.add({name.str()}, 1);
  return expr;
}

void DimExpr::add(const Monomial &monomial, int64_t coefficient) {
  int64_t &sum = (*terms)[monomial];
  sum = static_cast<int64_t>(static_cast<uint64_t>(sum) + static_cast<uint64_t>(coefficient));
  if (sum == 0)
    terms->erase(monomial);
}

std::optional<DimExpr> DimExpr::parse(llvm::StringRef text) {
  DimExpr result(0);
  text = text.trim();
  int64_t sign = 1;
  if (text.consume_front("-"))
    sign = -1;
  while (true) {
    DimExpr term(sign);
    do {
      text = text.ltrim();
      llvm::StringRef token = text.take_while([](char c) { return llvm::isAlnum(c) || c == '_' || c == '.'; });
      if (token.empty())
        return std::nullopt;
      text = text.drop_front(token.size()).ltrim();
      int64_t number;
      if (!llvm::isDigit(token.front()))
        term = term * symbol(token);
      else if (!token.getAsInteger(10, number))
        term = term * DimExpr(number);
      else
        return std::nullopt;
    } while (text.consume_front("*"));
    result = result + term;
    if (text.empty())
      return result;
    if (text.consume_front("+"))
      sign = 1;
    else if (text.consume_front("-"))
      sign = -1;
    else
      return std::nullopt;
  }
}

std::optional<int64_t> DimExpr::constant() const {
  if (!terms)
    return std::nullopt;
  if (terms->empty())
    return 0;
  if (terms->size() == 1 && terms->begin()->first.empty())
    return terms->begin()->second;
  return std::nullopt;
}

std::optional<std::string> DimExpr::asSymbol() const {
  if (!terms || terms->size() != 1 || terms->begin()->second != 1 || terms->begin()->first.size() != 1)
    return std::nullopt;
  return terms->begin()->first.front();
}

std::string DimExpr::str() const {
  if (!terms)
    return "?";
  if (terms->empty())
    return "0";
  std::string text;
  // Constants sort first in the map and read better last.
  auto append = [&](const Monomial &monomial, int64_t coefficient) {
    if (coefficient < 0)
      text += "-";
    else if (!text.empty())
      text += "+";
    uint64_t magnitude = coefficient < 0 ? -static_cast<uint64_t>(coefficient) : static_cast<uint64_t>(coefficient);
    if (magnitude != 1 || monomial.empty()) {
      text += std::to_string(magnitude);
      if (!monomial.empty())
        text += "*";
    }
    text += llvm::join(monomial, "*");
  };
  for (auto &[monomial, coefficient] : *terms)
    if (!monomial.empty())
      append(monomial, coefficient);
  if (auto it = terms->find({}); it != terms->end())
    append(it->first, it->second);
  return text;
}

std::optional<int64_t>
DimExpr::evaluate(llvm::function_ref<std::optional<int64_t>(llvm::StringRef)> valueOf) const {
  if (!terms)
    return std::nullopt;
  int64_t sum = 0;
  for (auto &[monomial, coefficient] : *terms) {
    int64_t value = coefficient;
    for (const std::string &name : monomial) {
      std::optional<int64_t> factor = valueOf(name);
      if (!factor || __builtin_mul_overflow(value, *factor, &value))
        return std::nullopt;
    }
    if (__builtin_add_overflow(sum, value, &sum))
      return std::nullopt;
  }
  return sum;
}

DimExpr DimExpr::dividedBy(const DimExpr &divisor) const {
  if (!terms || !divisor.terms || divisor.terms->size() != 1)
    return {};
  auto &[factors, number] = *divisor.terms->begin();
  DimExpr quotient(0);
  for (auto &[monomial, coefficient] : *terms) {
    Monomial rest;
    if (coefficient % number != 0 || !std::includes(monomial.begin(), monomial.end(), factors.begin(), factors.end()))
      return {};
    std::set_difference(monomial.begin(), monomial.end(), factors.begin(), factors.end(), std::back_inserter(rest));
    quotient.add(rest, coefficient / number);
  }
  return quotient;
}

DimExpr operator+(const DimExpr &a, const DimExpr &b) {
  if (!a.terms || !b.terms)
    return {};
  DimExpr sum = a;
  for (auto &[monomial, coefficient] : *b.terms)
    sum.add(monomial, coefficient);
  return sum;
}

DimExpr operator-(const DimExpr &a, const DimExpr &b) { return a + b * DimExpr(-1); }

DimExpr operator*(const DimExpr &a, const DimExpr &b) {
  if (!a.terms || !b.terms)
    return {};
  DimExpr result(0);
  for (auto &[left, leftCoefficient] : *a.terms)
    for (auto &[right, rightCoefficient] : *b.terms) {
      DimExpr::Monomial monomial;
      std::merge(left.begin(), left.end(), right.begin(), right.end(), std::back_inserter(monomial));
      result.add(monomial, static_cast<int64_t>(static_cast<uint64_t>(leftCoefficient) *
                                                static_cast<uint64_t>(rightCoefficient)));
    }
  return result;
}

bool DimExpr::mayEqual(const DimExpr &other) const {
  std::optional<int64_t> a = constant(), b = other.constant();
  return !a || !b || *a == *b;
}

std::string str(const Dims &dims) {
  std::string text = "[";
  for (const DimExpr &dim : dims)
    text += (text.size() > 1 ? ", " : "") + dim.str();
  return text + "]";
}

DimExpr product(llvm::ArrayRef<DimExpr> dims) {
  DimExpr result(1);
  for (const DimExpr &dim : dims)
    result = result * dim;
  return result;
}

} // namespace transom
