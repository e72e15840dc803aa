// See MissCost.h.
#include "compiler/MissCost.h"

#include "ir/Plan.h"

using namespace mlir;
using llvm::StringRef;

namespace transom {

namespace {

/// What a rewrite of a pass saves.
enum class Saves {
  resultTwice, ///< its result need not be written and read again: a launch, and twice the result
  operand,     ///< its input need not be read once more: a launch, and the first operand
  allJoins,    ///< no cache is copied: every concat of the module
  padding,     ///< half of what is computed for rows of its sizes, taken to be padding, is neither written nor read
};

constexpr std::pair<StringRef, Saves> table[] = {
    {"fold-constants", Saves::resultTwice},   {"make-kv-static", Saves::allJoins}, {"eliminate-transposes", Saves::resultTwice},
    {"merge-projections", Saves::operand},    {"fuse-norm", Saves::resultTwice},   {"fuse-elementwise", Saves::resultTwice},
    {"fuse-epilogue", Saves::resultTwice},    {"remove-padding", Saves::padding},
};

/// The first two sizes that are not constant, batch and seq in every order of heads; empty if there are no two.
std::string paddedSizes(const Dims &dims) {
  Dims sizes;
  for (const DimExpr &dim : dims)
    if (!dim.constant() && sizes.size() < 2)
      sizes.push_back(dim);
  return sizes.size() == 2 ? str(sizes) : "";
}

} // namespace

void MissCosts::measure() {
  if (std::exchange(measured, true))
    return;
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isExternal())
      continue;
    DimAnalysis dims(function);
    auto bytes = [&](Value value) {
      return isa<RankedTensorType>(value.getType()) ? plan::bytesAtBounds(module, value.getType(), dims.of(value)).value_or(0) : 0;
    };
    for (Operation &op : function.getBody().front()) {
      Entry &entry = entries.emplace_back(Entry{op.getName().getStringRef().str(), layerOf(op.getLoc()), "", {}});
      if (op.getNumResults() != 0 && isa<RankedTensorType>(op.getResult(0).getType()))
        entry.padded = paddedSizes(dims.of(op.getResult(0)));
      for (Value result : op.getResults())
        entry.sizes.results += bytes(result);
      if (op.getNumOperands() != 0)
        entry.sizes.operand = bytes(op.getOperand(0));
    }
  }
}

void MissCosts::fill(Finding &finding) {
  auto *row = llvm::find_if(table, [&](auto &row) { return row.first == finding.pass; });
  if (finding.kind != Finding::Kind::rejected || finding.cost.bytes || row == std::end(table))
    return;
  measure();
  if (row->second == Saves::padding)
    return fillPadding(finding);
  bool joins = row->second == Saves::allJoins;
  StringRef op = joins ? ConcatOp::getOperationName() : StringRef(finding.op);
  int64_t found = 0, bytes = 0;
  for (const Entry &entry : entries)
    if (entry.op == op && (joins || entry.layer == finding.layer)) {
      ++found;
      bytes += row->second == Saves::operand ? entry.sizes.operand : 2 * entry.sizes.results;
    }
  if (found == 0)
    return;
  // Ops of one name and layer cannot be told apart: each counts as their mean.
  finding.cost.bytes = joins ? bytes : bytes / found;
  if (!finding.cost.launches)
    finding.cost.launches = joins ? found : 1;
}

void MissCosts::fillPadding(Finding &finding) {
  auto blamed = llvm::find_if(entries, [&](const Entry &entry) { return entry.op == finding.op && entry.layer == finding.layer && !entry.padded.empty(); });
  if (blamed == entries.end())
    return;
  int64_t bytes = 0;
  for (const Entry &entry : entries)
    if (entry.padded == blamed->padded)
      bytes += entry.sizes.results; // half of it, written and read
  finding.cost = {.bytes = bytes, .launches = 0};
}

} // namespace transom
