// Symbolic sizes: polynomials over named dimensions with integer coefficients, such as "batch*seq" or "past+seq".
// No simplification beyond the canonical form is attempted, none is needed.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace transom {

/// A size: unknown, or a polynomial in canonical form. Arithmetic with an unknown size is unknown.
class DimExpr {
public:
  /// Factors of a term, sorted; a name may repeat.
  using Monomial = std::vector<std::string>;
  using Terms = std::map<Monomial, int64_t>;

  DimExpr() = default; ///< unknown
  DimExpr(int64_t constant);
  static DimExpr symbol(llvm::StringRef name);
  /// Reads what str() writes: sums, differences and products of names and integers. nullopt if malformed.
  static std::optional<DimExpr> parse(llvm::StringRef text);

  bool isUnknown() const { return !terms; }
  std::optional<int64_t> constant() const;
  /// The name, if the size is exactly one symbol.
  std::optional<std::string> asSymbol() const;
  const Terms &polynomial() const { return *terms; }

  /// "?" for unknown sizes.
  std::string str() const;
  /// The value where each symbol has the value `valueOf(name)`; nullopt for unknown sizes, unknown symbols and overflow.
  std::optional<int64_t> evaluate(llvm::function_ref<std::optional<int64_t>(llvm::StringRef)> valueOf) const;
  /// This size divided by `divisor`, if the division is exact for every value of the symbols.
  DimExpr dividedBy(const DimExpr &divisor) const;

  friend DimExpr operator+(const DimExpr &a, const DimExpr &b);
  friend DimExpr operator-(const DimExpr &a, const DimExpr &b);
  friend DimExpr operator*(const DimExpr &a, const DimExpr &b);
  /// Structural equality; two unknown sizes are not known to be equal.
  friend bool operator==(const DimExpr &a, const DimExpr &b) { return a.terms && b.terms && *a.terms == *b.terms; }
  /// True if the sizes can differ for no reason known here: one is unknown or symbolic, or they are equal.
  bool mayEqual(const DimExpr &other) const;

private:
  void add(const Monomial &monomial, int64_t coefficient);
  std::optional<Terms> terms;
};

/// The dimensions of one tensor, outermost first.
using Dims = llvm::SmallVector<DimExpr, 4>;

/// "[batch, seq, 576]"
std::string str(const Dims &dims);
/// The product of the sizes; 1 for none.
DimExpr product(llvm::ArrayRef<DimExpr> dims);

} // namespace transom
