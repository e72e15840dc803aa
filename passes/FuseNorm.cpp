// fuse-norm, for each norm that is in no group yet:
// 1. Grow backwards from its input: the elementwise ops and embedding lookups that make it row by row. The input itself may
//    be read elsewhere, as a residual is; what lies behind it may not.
// 2. Grow forwards: quantize and round_e4m3, where they read the norm.
// 3. Move all of it into a group.
#include "passes/GroupBuilder.h"
#include "passes/Passes.h"
#include "passes/Report.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

#define GEN_PASS_DEF_FUSENORMPASS
#include "passes/Passes.h.inc"

namespace {

constexpr size_t maxMembers = 8;

bool isNorm(Operation *op) { return isa<RmsNormOp, LayerNormOp>(op); }

class NormGroup {
public:
  NormGroup(Operation *norm, const DimAnalysis &dims, const Reporter &reporter) : dims(dims), reporter(reporter) {
    members.insert(norm);
    Value input = norm->getOperand(0);
    leading = dims.of(input).size() - 1;
    std::string why;
    if (failed(use(norm, 0, why)))
      return;
    addProducer(input, /*isInput=*/true);
    for (Operation *reader : norm->getUsers())
      if (isa<QuantizeOp, RoundE4m3Op>(reader) && reader->getBlock() == norm->getBlock())
        members.insert(reader);
  }

  Members members;

private:
  FailureOr<RowUse> use(Operation *op, unsigned index, std::string &why) {
    return rowUseOf(op, index, isa<EmbeddingOp>(op) ? dims.of(op->getOperand(1)).size() : leading,
                    [&](Value value) { return dims.of(value); }, UnknownSizes::differ, why);
  }

  /// How `op`, whose result has `leading` dimensions of rows, uses them.
  FailureOr<RowUse> useOf(Operation *op, std::string &why) {
    if (isa<EmbeddingOp>(op))
      return use(op, 1, why);
    for (unsigned index = 0; index < op->getNumOperands(); ++index)
      if (dims.of(op->getOperand(index)).size() == dims.of(op->getResult(0)).size())
        return use(op, index, why);
    why = "expected an operand with rows";
    return failure();
  }

  void addProducer(Value value, bool isInput) {
    Operation *op = value.getDefiningOp();
    std::optional<RowKind> kind = op ? rowKindOf(op) : std::nullopt;
    if (kind != RowKind::pointwise && kind != RowKind::embedding)
      return;
    std::string why;
    FailureOr<RowUse> use = useOf(op, why);
    if (failed(use))
      return reject(op, value, "N1: " + llvm::Twine(why));
    if (use->result != leading)
      return reject(op, value, "N1: expected rows counted as the norm's are");
    if (!isInput && isReadOutside(value, members))
      return reject(op, value, "N2: expected no reader but the norm's group");
    if (members.size() >= maxMembers)
      return reject(op, value, "N3: expected at most " + llvm::Twine(maxMembers) + " ops in one group");
    members.insert(op);
    if (!isConvex(members)) {
      members.remove(op);
      return reject(op, value, "N4: expected the norm's other operands not to depend on it");
    }
    if (kind == RowKind::embedding)
      return;
    for (auto [operand, rows] : llvm::zip(op->getOperands(), use->operands))
      if (rows > 0)
        addProducer(operand, /*isInput=*/false);
  }

  void reject(Operation *op, Value value, const llvm::Twine &condition) { reporter.reject(op, condition, costOf(value, dims)); }

  const DimAnalysis &dims;
  const Reporter &reporter;
  unsigned leading = 0;
};

struct FuseNormPass : impl::FuseNormPassBase<FuseNormPass> {
  using FuseNormPassBase::FuseNormPassBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isExternal())
      return;
    DimAnalysis dims(function);
    Reporter reporter(getArgument(), report);
    SmallVector<Operation *> norms;
    for (Operation &op : function.getBody().front())
      if (isNorm(&op))
        norms.push_back(&op);
    for (Operation *norm : norms) {
      Members members = NormGroup(norm, dims, reporter).members;
      if (members.size() == 1)
        continue;
      GroupOp group = makeGroup(members, norm, dims);
      reporter.applied(group, describe(group) + " became one operation", savedBy(group, dims));
    }
  }
};

} // namespace
} // namespace transom
