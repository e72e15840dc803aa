// See Legality.h. What is asked of each op is in Promises.cpp.
#include "compiler/Legality.h"

#include "compiler/Promises.h"
#include "ir/Plan.h"

#include "llvm/ADT/StringSet.h"

#include <map>

using namespace mlir;
using llvm::StringRef;

namespace transom {

namespace {

/// After these, a module holds a plan and nothing else.
bool makesPlan(StringRef pass) { return pass == "lower-to-plan" || pass == "plan-memory"; }
constexpr StringRef planPromise = "nothing but plan ops is left";

Status broken(StringRef pass, Operation *op, StringRef promise) {
  std::string layer = layerOf(op->getLoc());
  return error(StatusCode::internal, "{} left '{}'{}{}, but promises that {}; this is a bug of Transom, and --disable={} may avoid it",
               pass.str(), op->getName().getStringRef().str(), layer.empty() ? "" : " at ", layer, promise.str(), pass.str());
}

/// Layers with a rejection. The op's name is not asked for: what was rejected may have become part of another op.
llvm::StringSet<> reported(StringRef pass, llvm::ArrayRef<Finding> findings) {
  llvm::StringSet<> layers;
  for (const Finding &finding : findings)
    if (finding.kind == Finding::Kind::rejected && finding.pass == pass)
      layers.insert(finding.layer);
  return layers;
}

/// Whether a rejection explains `op`: in its layer, in that of an op it reads or feeds, or of its function. What stops a
/// rewrite is often such a neighbour, and reported there.
bool isExcused(Operation *op, const llvm::StringSet<> &layers) {
  auto has = [&](Operation *other) { return other && layers.contains(layerOf(other->getLoc())); };
  return has(op) || has(op->getParentOp()) || llvm::any_of(op->getUsers(), has) ||
         llvm::any_of(op->getOperands(), [&](Value operand) { return has(operand.getDefiningOp()); });
}

Status checkPlan(StringRef pass, ModuleOp module) {
  for (Operation &op : *module.getBody())
    if (!isa<plan::PlanDialect>(op.getDialect()))
      return broken(pass, &op, planPromise);
  return {};
}

} // namespace

Status checkLegality(StringRef pass, ModuleOp module, llvm::ArrayRef<Finding> findings) {
  if (makesPlan(pass))
    return checkPlan(pass, module);
  if (promisesOf(pass).empty())
    return {};
  llvm::StringSet<> excused = reported(pass, findings);
  auto isReported = [&](Operation *op) { return isExcused(op, excused); };
  auto holds = [&](const Promise &promise, const Place &place) {
    bool mayBreak = promise.exception == Exception::reportedAnywhere && !excused.empty();
    return mayBreak || !promise.broken(place) || (promise.exception == Exception::reported && isReported(place.op));
  };
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isExternal())
      continue;
    DimAnalysis dims(function);
    for (Operation &op : function.getBody().front())
      for (const Promise &promise : allPromises())
        if (promise.pass == pass && !holds(promise, {&op, dims, isReported}))
          return broken(pass, &op, promise.text);
  }
  return {};
}

llvm::SmallVector<StringRef> promisesOf(StringRef pass) {
  llvm::SmallVector<StringRef> texts;
  if (makesPlan(pass))
    texts.push_back(planPromise);
  for (const Promise &promise : allPromises())
    if (promise.pass == pass)
      texts.push_back(promise.text);
  return texts;
}

std::string countOps(ModuleOp module) {
  std::string text;
  for (Operation &top : *module.getBody()) {
    if (!isa<func::FuncOp, plan::ProgramOp>(top) || top.getRegion(0).empty())
      continue;
    std::map<StringRef, int64_t> counts; // sorted by name
    int64_t all = 0;
    for (Operation &op : top.getRegion(0).front())
      if (!op.hasTrait<OpTrait::IsTerminator>())
        ++counts[op.getName().getStringRef()], ++all;
    auto name = top.getAttrOfType<StringAttr>(SymbolTable::getSymbolAttrName());
    text += fmt::format("@{}: {} ops", name ? name.getValue().str() : "?", all);
    const char *separator = ": ";
    for (auto &[op, count] : counts) {
      text += fmt::format("{}{} {}", separator, count, op.str());
      separator = ", ";
    }
    text += "\n";
  }
  return text;
}

} // namespace transom
