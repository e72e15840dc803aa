// What a missed rewrite costs where the pass did not say: an estimate from the graph that the pass left.
#pragma once

#include "ir/DimAnalysis.h"
#include "passes/Report.h"

#include <map>

namespace transom {

/// Of one module, as it is after the pass whose findings are filled in. Works out sizes when first asked.
class MissCosts {
public:
  explicit MissCosts(mlir::ModuleOp module) : module(module) {}
  /// Sets the cost of a rejection that has none, where the table in MissCost.cpp knows what its pass saves.
  void fill(Finding &finding);

private:
  /// Bytes at the bounds of an op's results and of its first operand.
  struct Sizes {
    int64_t results = 0, operand = 0;
  };
  struct Entry {
    std::string op, layer;
    std::string padded; ///< sizes of rows that may be padded, "[batch, seq]", or empty
    Sizes sizes;
  };
  void measure();
  void fillPadding(Finding &finding);

  mlir::ModuleOp module;
  bool measured = false;
  std::vector<Entry> entries;
};

} // namespace transom
