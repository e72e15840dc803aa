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

// The text is "<pass>: <op>: <condition>", or "<pass>: <op>: applied: <what>"; the collector takes it apart again.
void Reporter::reject(Operation *op, const llvm::Twine &condition) const {
  if (enabled)
    emitRemark(op->getLoc()) << pass << ": " << op->getName().getStringRef() << ": " << condition;
}

void Reporter::applied(Operation *op, const llvm::Twine &what) const { reject(op, "applied: " + what); }

static LogicalResult collect(Diagnostic &diagnostic, std::vector<Finding> &findings) {
  if (diagnostic.getSeverity() != DiagnosticSeverity::Remark)
    return failure();
  std::string whole = diagnostic.str();
  auto [pass, rest] = llvm::StringRef(whole).split(": ");
  auto [op, text] = rest.split(": ");
  if (text.empty())
    return failure();
  auto kind = text.consume_front("applied: ") ? Finding::Kind::applied : Finding::Kind::rejected;
  findings.push_back({kind, pass.str(), op.str(), layerOf(diagnostic.getLocation()), text.str()});
  return success();
}

FindingCollector::FindingCollector(MLIRContext *context, std::vector<Finding> &findings)
    : handler(context, [&findings](Diagnostic &diagnostic) { return collect(diagnostic, findings); }) {}

} // namespace transom
