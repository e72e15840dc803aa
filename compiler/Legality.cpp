// See Legality.h. The table below is all there is to know; it grows with the passes.
#include "compiler/Legality.h"

#include "ir/DimAnalysis.h"
#include "ir/Plan.h"
#include "passes/FusedRegion.h"
#include "passes/Permutations.h"

#include "llvm/ADT/StringSet.h"

#include <map>

using namespace mlir;
using llvm::StringRef;

namespace transom {

namespace {

/// An op of a function, with the sizes of the function's values.
struct Place {
  Operation *op;
  const DimAnalysis &dims;
};

enum class Exception {
  none,     ///< nothing may break the promise
  reported, ///< an op may that the pass has reported as a rejection
};

struct Promise {
  StringRef pass;
  StringRef text; ///< what holds of every op
  Exception exception;
  bool (*broken)(const Place &place);
};

bool isStored(Value value) { return isa_and_nonnull<WeightOp, ConstantOp, RecipeOp>(value.getDefiningOp()); }

/// The ops that fold-constants takes into recipes.
bool couldBeStored(Operation *op) {
  return isa<TransomDialect>(op->getDialect()) && op->getNumRegions() == 0 && op->getNumResults() == 1 &&
         op->getNumOperands() != 0 && !isa<MatmulOp, AttentionOp, YieldOp>(op) && llvm::all_of(op->getOperands(), isStored) &&
         llvm::all_of(op->getResultTypes(), [](Type type) { return isa<RankedTensorType>(type) && cast<RankedTensorType>(type).hasStaticShape(); });
}

/// Whether the only reader of `op` could compute it.
bool couldBeInlined(const Place &place) {
  if (!isPointwise(place.op) || !place.op->hasOneUse())
    return false;
  Operation *reader = *place.op->user_begin();
  const Dims &mine = place.dims.of(place.op->getResult(0));
  if (!isPointwise(reader) || reader->getBlock() != place.op->getBlock())
    return false;
  const Dims &theirs = place.dims.of(reader->getResult(0));
  return mine.size() == theirs.size() && std::equal(mine.begin(), mine.end(), theirs.begin());
}

bool movesNumbers(const Place &place) {
  auto transpose = dyn_cast<TransposeOp>(place.op);
  return transpose && !movesOnlyUnits(transpose.getPermutation(), place.dims.of(transpose.getInput()));
}

bool extendsArgument(Operation *op) {
  auto function = op->getParentOfType<func::FuncOp>();
  bool hasCaches = llvm::any_of(function.getArgumentTypes(), [](Type type) { return isa<CacheType>(type); });
  return hasCaches && isa<ConcatOp>(op) && llvm::any_of(op->getOperands(), [](Value value) { return isa<BlockArgument>(value); });
}

const Promise promises[] = {
    {"fold-constants", "nothing is computed from weights and constants alone", Exception::reported,
     [](const Place &place) { return couldBeStored(place.op); }},
    {"make-kv-static", "no function with caches joins an argument with new tokens", Exception::none,
     [](const Place &place) { return extendsArgument(place.op); }},
    {"eliminate-transposes", "no transpose is left", Exception::reported, movesNumbers},
    {"assign-layouts", "rotary counts rows in one dimension", Exception::reported,
     [](const Place &place) {
       auto rotary = dyn_cast<RotaryOp>(place.op);
       return rotary && rotary.getLayout() != HeadLayout::thd;
     }},
    {"fuse-elementwise", "no elementwise op feeds only one other of its shape", Exception::reported, couldBeInlined},
};

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
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isExternal())
      continue;
    DimAnalysis dims(function);
    for (Operation &op : function.getBody().front())
      for (const Promise &promise : promises) {
        if (promise.pass != pass || !promise.broken({&op, dims}))
          continue;
        if (promise.exception == Exception::none || !isExcused(&op, excused))
          return broken(pass, &op, promise.text);
      }
  }
  return {};
}

llvm::SmallVector<StringRef> promisesOf(StringRef pass) {
  llvm::SmallVector<StringRef> texts;
  if (makesPlan(pass))
    texts.push_back(planPromise);
  for (const Promise &promise : promises)
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
