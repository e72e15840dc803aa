// See Report.h.
#include "passes/Report.h"

#include "mlir/IR/Location.h"

using namespace mlir;

namespace transom {

std::string layerOf(Location location) {
  std::string layer;
  location->walk([&](Location part) {
    if (auto name = dyn_cast<NameLoc>(part))
      layer = name.getName().str();
    else if (auto file = dyn_cast<FileLineColLoc>(part))
      layer = (file.getFilename().getValue() + ":" + llvm::Twine(file.getLine()) + ":" + llvm::Twine(file.getColumn())).str();
    return layer.empty() ? WalkResult::advance() : WalkResult::interrupt();
  });
  return layer;
}

// The text is "<pass>: <op>: <condition>", or "<pass>: <op>: applied: <what>", and behind either " [cost: 4096 bytes, 1
// launches]" where something is known; the collector takes it apart again.
static constexpr llvm::StringLiteral costMark = " [cost:";

void Reporter::reject(Operation *op, const llvm::Twine &condition, Cost cost) const {
  if (!enabled)
    return;
  InFlightDiagnostic remark = emitRemark(op->getLoc());
  remark << pass << ": " << op->getName().getStringRef() << ": " << condition;
  if (!cost.bytes && !cost.launches)
    return;
  remark << costMark;
  if (cost.bytes)
    remark << " " << *cost.bytes << " bytes" << (cost.launches ? "," : "");
  if (cost.launches)
    remark << " " << *cost.launches << " launches";
  remark << "]";
}

void Reporter::applied(Operation *op, const llvm::Twine &what, Cost saved) const { reject(op, "applied: " + what, saved); }

/// Takes the cost off the end of `text`.
static Cost consumeCost(llvm::StringRef &text) {
  Cost cost;
  size_t mark = text.rfind(costMark);
  if (mark == llvm::StringRef::npos || !text.ends_with("]"))
    return cost;
  llvm::StringRef rest = text.substr(mark + costMark.size()).drop_back();
  text = text.take_front(mark);
  for (int64_t number; !(rest = rest.ltrim(" ,")).consumeInteger(10, number);) {
    rest = rest.ltrim();
    (rest.consume_front("bytes") ? cost.bytes : cost.launches) = number;
  }
  return cost;
}

static LogicalResult collect(Diagnostic &diagnostic, std::vector<Finding> &findings) {
  if (diagnostic.getSeverity() != DiagnosticSeverity::Remark)
    return failure();
  std::string whole = diagnostic.str();
  auto [pass, rest] = llvm::StringRef(whole).split(": ");
  auto [op, text] = rest.split(": ");
  if (text.empty())
    return failure();
  auto kind = text.consume_front("applied: ") ? Finding::Kind::applied : Finding::Kind::rejected;
  Cost cost = consumeCost(text);
  findings.push_back({kind, pass.str(), op.str(), layerOf(diagnostic.getLocation()), text.str(), cost});
  return success();
}

FindingCollector::FindingCollector(MLIRContext *context, std::vector<Finding> &findings)
    : handler(context, [&findings](Diagnostic &diagnostic) { return collect(diagnostic, findings); }) {}

} // namespace transom
