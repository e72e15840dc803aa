// fuse-epilogue, for each product with a stored weight:
// 1. Grow: walk on from the product and take every row-wise op that reads the group so far, if all that it reads besides
//    is independent of the group, and it comes in an order that kernels have. With few rows norms are left for step 4.
// 2. Cut: where something outside reads a result that is no end, what reads it inside leaves again, norms and rounding aside.
// 3. Trim reshapes at the ends: outside they are views.
// 4. With few rows take the norm that makes the product's left-hand side; one for each product if several read it.
// 5. Move all of it into a group.
#include "passes/GroupBuilder.h"
#include "passes/Passes.h"
#include "passes/Report.h"

#include "ir/Plan.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

#define GEN_PASS_DEF_FUSEEPILOGUEPASS
#include "passes/Passes.h.inc"

namespace {

constexpr size_t maxMembers = 32;
/// So many products may repeat a norm: for few rows that is cheaper than a launch.
constexpr unsigned maxNormReaders = 4;

enum class Form { gemv, gemm };

/// How far a value is from the product. Ops take it on, never back.
enum class Stage { product, part, heads, rotated, normed, end };

bool isStored(Value value) { return isa_and_nonnull<WeightOp, RecipeOp, ConstantOp>(value.getDefiningOp()); }
bool isRoot(MatmulOp op) { return isStored(op.getRhs()) && plan::isGemv(op); }

/// Ops whose job is to move or reduce: refusing one is worth a report. Others end a group by their nature.
bool isMiss(Operation *op) {
  return rowKindOf(op) || isa<TransposeOp, ConcatOp, PadOp, BroadcastOp, ReduceOp, SoftmaxOp, FusedOp>(op);
}

class Epilogue {
public:
  Epilogue(MatmulOp root, Form form, const DimAnalysis &dims, const Reporter &reporter)
      : root(root), form(form), dims(dims), reporter(reporter) {
    members.insert(root);
    leading[root] = cast<RankedTensorType>(root.getType()).getRank() - 1;
    stages[root] = Stage::product;
  }

  Members run() {
    grow();
    cut();
    trim();
    return members;
  }

private:
  void grow();
  void cut();
  void trim();
  bool join(Operation *op);
  /// Where the result of `op` stands, if its kind comes in order; nullopt otherwise.
  std::optional<Stage> nextStage(Operation *op, const RowUse &use);
  void drop(Operation *op);
  bool reject(Operation *op, Value read, const llvm::Twine &condition) {
    reporter.reject(op, condition, costOf(read, dims));
    return false;
  }

  MatmulOp root;
  Form form;
  const DimAnalysis &dims;
  const Reporter &reporter;
  Members members;
  llvm::DenseMap<Value, unsigned> leading;
  llvm::DenseMap<Value, Stage> stages;
};

void Epilogue::grow() {
  llvm::SmallPtrSet<Operation *, 32> dependents;
  for (Operation *op = root->getNextNode(); op; op = op->getNextNode()) {
    bool reads = false, depends = false;
    for (Value operand : op->getOperands()) {
      reads |= stages.contains(operand);
      depends |= operand.getDefiningOp() && dependents.contains(operand.getDefiningOp());
    }
    if (reads && !depends && join(op))
      continue;
    if (reads || depends)
      dependents.insert(op);
  }
}

bool Epilogue::join(Operation *op) {
  bool isNorm = isa<RmsNormOp, LayerNormOp, QuantizeOp, RoundE4m3Op>(op);
  if (form == Form::gemv && isNorm)
    return false;
  auto *read = llvm::find_if(op->getOpOperands(), [&](OpOperand &use) { return stages.contains(use.get()); });
  Value value = read->get();
  std::string why;
  FailureOr<RowUse> use = failure();
  if (stages[value] != Stage::end)
    use = rowUseOf(op, read->getOperandNumber(), leading[value], [&](Value v) { return dims.of(v); }, UnknownSizes::differ, why);
  if (failed(use))
    return isMiss(op) && !why.empty() && reject(op, value, "E2: " + llvm::Twine(why));
  for (auto [operand, rows] : llvm::zip(op->getOperands(), use->operands))
    if (stages.contains(operand) && !countAlike(dims.of(operand), leading[operand], rows))
      return reject(op, value, "E2: expected operands that count rows alike");
  std::optional<Stage> stage = nextStage(op, *use);
  if (!stage)
    return reject(op, value, "E4: expected elementwise ops, then slices, heads, rotary and append, or one norm at the end");
  if (auto append = dyn_cast<CacheAppendOp>(op); append && !append.getCache().hasOneUse())
    return reject(op, value, "E5: expected a cache that nothing else reads");
  if (members.size() >= maxMembers)
    return reject(op, value, "E7: expected at most " + llvm::Twine(maxMembers) + " ops in one group");
  members.insert(op);
  leading[op->getResult(0)] = use->result;
  stages[op->getResult(0)] = *stage;
  return true;
}

std::optional<Stage> Epilogue::nextStage(Operation *op, const RowUse &use) {
  Stage stage = Stage::product;
  for (Value operand : op->getOperands())
    if (auto known = stages.find(operand); known != stages.end())
      stage = std::max(stage, known->second);
  bool flat = dims.of(op->getResult(0)).size() == use.result + 1;
  auto only = [&](bool allowed, Stage next) { return allowed ? std::optional(next) : std::nullopt; };
  switch (use.kind) {
  case RowKind::pointwise:
    return only(flat && stage <= Stage::part, stage);
  case RowKind::slice:
    return only(stage == Stage::product, Stage::part);
  case RowKind::reshape: {
    bool heads = dims.of(op->getResult(0)).size() > 2;
    return only(stage <= Stage::part || (stage <= Stage::rotated && heads), heads ? std::max(stage, Stage::heads) : stage);
  }
  case RowKind::rotary:
    return only(stage == Stage::heads, Stage::rotated);
  case RowKind::append:
    return only(stage == Stage::heads || stage == Stage::rotated, Stage::end);
  case RowKind::norm: {
    bool first = llvm::none_of(stages, [](auto &entry) { return entry.second == Stage::normed; });
    return only(flat && first && stage == Stage::product, Stage::normed);
  }
  case RowKind::quantize:
    return only(flat && (stage == Stage::product || stage == Stage::normed), Stage::end);
  case RowKind::embedding:
    return std::nullopt;
  }
  llvm_unreachable("a kind without place");
}

void Epilogue::drop(Operation *op) {
  if (!members.remove(op))
    return;
  for (Operation *user : op->getUsers())
    drop(user);
}

void Epilogue::cut() {
  for (bool changed = true; changed;) {
    changed = false;
    for (Operation *op : llvm::to_vector(members)) {
      Value result = op->getResult(0);
      if (!members.contains(op) || !isReadOutside(result, members))
        continue;
      for (Operation *user : llvm::to_vector(result.getUsers())) {
        if (!members.contains(user) || isa<RmsNormOp, LayerNormOp, RoundE4m3Op>(user))
          continue;
        reject(user, result, "E3: expected no reader of its input outside the group");
        drop(user);
        changed = true;
      }
    }
  }
}

void Epilogue::trim() {
  SmallVector<Operation *> grown(members.begin(), members.end());
  for (Operation *op : llvm::reverse(grown))
    if (isReshape(op) && llvm::none_of(op->getUsers(), [&](Operation *user) { return members.contains(user); }))
      members.remove(op);
}

class FuseEpiloguePass : public impl::FuseEpiloguePassBase<FuseEpiloguePass> {
  using FuseEpiloguePassBase::FuseEpiloguePassBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isExternal())
      return;
    DimAnalysis dims(function);
    Reporter reporter(getArgument(), report);
    for (MatmulOp root : llvm::to_vector(function.getBody().front().getOps<MatmulOp>())) {
      if (!isRoot(root)) {
        reporter.reject(root, "E1: expected a stored weight [N, K] with transpose_rhs and rows of f32");
        continue;
      }
      fuse(root, dims, reporter);
    }
  }

  static Form formOf(MatmulOp root, const DimAnalysis &dims) {
    DimExpr rows = product(llvm::ArrayRef(dims.of(root.getLhs())).drop_back());
    std::optional<int64_t> bound = maximumOf(root->getParentOfType<ModuleOp>(), rows);
    return bound && *bound <= maxGemvRows ? Form::gemv : Form::gemm;
  }

  static void fuse(MatmulOp root, DimAnalysis &dims, const Reporter &reporter) {
    Form form = formOf(root, dims);
    if (form == Form::gemv)
      ownNorm(root, dims, reporter);
    Members members = Epilogue(root, form, dims, reporter).run();
    if (Operation *norm = form == Form::gemv ? normOf(root) : nullptr)
      members.insert(norm);
    if (members.size() == 1)
      return;
    GroupOp group = makeGroup(members, root, dims);
    reporter.applied(group, describe(group) + " became one operation", savedBy(group, dims));
  }

  /// The norm that makes the left-hand side for this product alone; null if there is none.
  static Operation *normOf(MatmulOp root) {
    Operation *norm = root.getLhs().getDefiningOp();
    return isa_and_nonnull<RmsNormOp, LayerNormOp>(norm) && norm->hasOneUse() ? norm : nullptr;
  }

  /// Gives the product a copy of the norm that it shares with others, if all of them can take one.
  static void ownNorm(MatmulOp root, DimAnalysis &dims, const Reporter &reporter) {
    Operation *norm = root.getLhs().getDefiningOp();
    if (!isa_and_nonnull<RmsNormOp, LayerNormOp>(norm) || norm->hasOneUse())
      return;
    unsigned readers = 0;
    for (OpOperand &use : norm->getUses()) {
      auto product = dyn_cast<MatmulOp>(use.getOwner());
      if (!product || use.getOperandNumber() != 0 || !isRoot(product) || ++readers > maxNormReaders) {
        reporter.reject(norm, "E6: expected at most " + llvm::Twine(maxNormReaders) + " readers, all products with stored weights, found '" +
                                  use.getOwner()->getName().getStringRef() + "'",
                        costOf(norm->getResult(0), dims));
        return;
      }
    }
    OpBuilder builder(root);
    Operation *own = builder.clone(*norm);
    dims.add(*own);
    root.getLhsMutable().set(own->getResult(0));
  }
};

} // namespace
} // namespace transom
