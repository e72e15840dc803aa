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

// The text is "<pass>: <op>: <condition>"; the collector takes it apart again.
void Reporter::reject(Operation *op, const llvm::Twine &condition) const {
  if (enabled)
    emitRemark(op->getLoc()) << pass << ": " << op->getName().getStringRef() << ": " << condition;
}

static LogicalResult collect(Diagnostic &diagnostic, std::vector<Rejection> &rejections) {
  if (diagnostic.getSeverity() != DiagnosticSeverity::Remark)
    return failure();
  std::string text = diagnostic.str();
  auto [pass, rest] = llvm::StringRef(text).split(": ");
  auto [op, condition] = rest.split(": ");
  if (condition.empty())
    return failure();
  rejections.push_back({pass.str(), op.str(), layerOf(diagnostic.getLocation()), condition.str()});
  return success();
}

RejectionCollector::RejectionCollector(MLIRContext *context, std::vector<Rejection> &rejections)
    : handler(context, [&rejections](Diagnostic &diagnostic) { return collect(diagnostic, rejections); }) {}

} // namespace transom
