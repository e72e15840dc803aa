// See Group.h.
#include "ir/Group.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SmallPtrSet.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom {

//===-- Ops on rows -------------------------------------------------------------------------------------------------===//

std::optional<RowKind> rowKindOf(Operation *op) {
  if (auto fused = dyn_cast<FusedOp>(op))
    return fused.getReduce() ? std::nullopt : std::optional(RowKind::pointwise);
  if (isa<ScalarOp>(op))
    return RowKind::pointwise;
  if (isa<RmsNormOp, LayerNormOp>(op))
    return RowKind::norm;
  if (isa<SliceOp>(op))
    return RowKind::slice;
  if (isReshape(op))
    return RowKind::reshape;
  if (isa<RotaryOp>(op))
    return RowKind::rotary;
  if (isa<CacheAppendOp>(op))
    return RowKind::append;
  if (isa<EmbeddingOp>(op))
    return RowKind::embedding;
  if (isa<QuantizeOp, RoundE4m3Op>(op))
    return RowKind::quantize;
  return std::nullopt;
}

bool isReshape(Operation *op) { return isa_and_nonnull<ReshapeOp, SplitRowsOp>(op); }

Value reshapedFrom(Value value) {
  while (isReshape(value.getDefiningOp()))
    value = value.getDefiningOp()->getOperand(0);
  return value;
}

std::pair<unsigned, unsigned> defaultRows(Operation *op) {
  unsigned index = isa<EmbeddingOp, CacheAppendOp>(op) ? 1 : 0;
  unsigned rank = dimsOf(op->getOperand(index).getType()).size();
  if (isa<EmbeddingOp>(op))
    return {index, rank};
  if (isa<CacheAppendOp, RotaryOp>(op))
    return {index, rank > 2 ? rank - 2 : 0};
  return {index, rank > 0 ? rank - 1 : 0};
}

bool countAlike(const Dims &dims, unsigned a, unsigned b) {
  if (a == 0 || b == 0)
    return a == b;
  return llvm::all_of(ArrayRef(dims).slice(std::min(a, b), std::max(a, b) - std::min(a, b)),
                      [](const DimExpr &dim) { return dim == DimExpr(1); });
}

namespace {

/// Checks one op against one assumption; `why` receives the first thing that does not fit.
class RowMatcher {
public:
  RowMatcher(Operation *op, SizesOf sizes, UnknownSizes unknown, std::string &why)
      : op(op), sizes(sizes), unknown(unknown), why(why) {}

  FailureOr<RowUse> match(unsigned index, unsigned leading) {
    std::optional<RowKind> kind = rowKindOf(op);
    if (!kind)
      return fail("expected a row-wise op");
    if (leading == 0 || leading > sizes(op->getOperand(index)).size())
      return fail("expected an operand with rows");
    if (unsigned own = ownLeading(*kind, index); own && countAlike(sizes(op->getOperand(index)), own, leading))
      leading = own;
    RowUse use{*kind, SmallVector<unsigned>(op->getNumOperands(), 0), leading};
    use.operands[index] = leading;
    switch (*kind) {
    case RowKind::pointwise:
      return pointwise(use, index);
    case RowKind::norm:
    case RowKind::quantize:
      return index == 0 && isRow(0, leading, 1) ? FailureOr<RowUse>(use) : fail("expected whole rows of f32 as its input");
    case RowKind::slice:
      if (!isRow(0, leading, 1) || cast<SliceOp>(op).getAxis() != leading)
        return fail("expected a slice of the columns of f32");
      return use;
    case RowKind::reshape:
      return index == 0 ? reshape(use) : fail("expected the operand that is reshaped");
    case RowKind::rotary:
      return rotary(use, index);
    case RowKind::append:
      if (index != 1 || leading != rowDims(cast<CacheAppendOp>(op).getLayout()) || !isRow(1, leading, 2))
        return fail("expected new tokens of f32 in layout thd or bshd");
      use.result = 0;
      return use;
    case RowKind::embedding:
      return index == 1 && leading == sizes(op->getOperand(1)).size() && elementOf(op->getResult(0).getType()).isF32()
                 ? FailureOr<RowUse>(use)
                 : fail("expected one row of f32 for each index");
    }
    llvm_unreachable("a kind without rule");
  }

private:
  /// How many leading dimensions the op wants its operand to have; 0 where any number will do.
  unsigned ownLeading(RowKind kind, unsigned index) {
    unsigned rank = sizes(op->getOperand(index)).size();
    if (auto append = dyn_cast<CacheAppendOp>(op))
      return index == 1 ? rowDims(append.getLayout()) : 0;
    if (auto rotary = dyn_cast<RotaryOp>(op))
      return index == 0 ? rowDims(rotary.getLayout()) : 0;
    return kind == RowKind::norm || kind == RowKind::quantize || kind == RowKind::slice ? rank - 1 : 0;
  }

  FailureOr<RowUse> fail(const llvm::Twine &reason) {
    why = reason.str();
    return failure();
  }

  bool agree(const DimExpr &a, const DimExpr &b) {
    bool oneIsSingle = (a == DimExpr(1)) != (b == DimExpr(1));
    return a == b || (unknown == UnknownSizes::agree && !oneIsSingle && a.mayEqual(b));
  }
  bool agree(ArrayRef<DimExpr> a, ArrayRef<DimExpr> b) {
    return a.size() == b.size() && llvm::all_of(llvm::zip(a, b), [&](auto pair) { return agree(std::get<0>(pair), std::get<1>(pair)); });
  }

  /// Whether an operand is f32 of `leading` dimensions and then `width` static ones.
  bool isRow(unsigned index, unsigned leading, unsigned width) {
    Dims dims = sizes(op->getOperand(index));
    return elementOf(op->getOperand(index).getType()).isF32() && dims.size() == leading + width &&
           llvm::all_of(ArrayRef(dims).drop_front(leading), [](const DimExpr &dim) { return dim.constant().has_value(); });
  }

  /// Dimensions that count rows in a layout; none does where heads stand between them.
  static unsigned rowDims(HeadLayout layout) {
    return layout == HeadLayout::thd ? 1 : layout == HeadLayout::bshd ? 2 : 0;
  }

  FailureOr<RowUse> pointwise(RowUse &use, unsigned index) {
    // The operand with rows gives the result its shape: no other may broadcast it to a larger one.
    Value rows = op->getOperand(index);
    Dims shape = sizes(rows), result = sizes(op->getResult(0));
    ArrayRef<DimExpr> row = ArrayRef(shape).drop_front(use.result);
    if (!elementOf(op->getResult(0).getType()).isF32())
      return fail("expected f32");
    if (!llvm::all_of(row, [](const DimExpr &dim) { return dim.constant().has_value(); }))
      return fail("expected rows of static size, found " + transom::str(shape));
    if (result.size() != shape.size() || !(product(row) == product(ArrayRef(result).drop_front(use.result))))
      return fail("expected a result of shape " + transom::str(shape) + ", found " + transom::str(result));
    for (unsigned other = 0; other < op->getNumOperands(); ++other) {
      Dims dims = sizes(op->getOperand(other));
      if (!elementOf(op->getOperand(other).getType()).isF32())
        return fail("expected operands of f32");
      if (op->getOperand(other) == rows || agree(dims, shape))
        use.operands[other] = use.result;
      else if (!isWhole(dims, row))
        return fail("expected an operand of shape " + transom::str(shape) + " or one that is the same for all rows, found " +
                    transom::str(dims));
    }
    return use;
  }

  /// Whether an operand of sizes `dims` is the same for all rows: 1 before the row, and 1 or as the row within it.
  static bool isWhole(ArrayRef<DimExpr> dims, ArrayRef<DimExpr> row) {
    size_t before = dims.size() - std::min(dims.size(), row.size());
    ArrayRef<DimExpr> own = dims.drop_front(before);
    return llvm::all_of(dims.take_front(before), [](const DimExpr &dim) { return dim == DimExpr(1); }) &&
           llvm::all_of(llvm::zip(own, row.take_back(own.size())),
                        [](auto pair) { return std::get<0>(pair) == DimExpr(1) || std::get<0>(pair) == std::get<1>(pair); });
  }

  FailureOr<RowUse> reshape(RowUse &use) {
    Dims input = sizes(op->getOperand(0)), result = sizes(op->getResult(0));
    DimExpr width = product(ArrayRef(input).drop_front(use.result));
    if (!width.constant())
      return fail("expected rows of static size, found " + str(input));
    // The shortest tail of the result that holds a row; equal widths leave equal numbers of rows.
    unsigned leading = result.size();
    DimExpr tail(1);
    while (leading > 0 && (leading == result.size() || !(tail == width)))
      tail = tail * result[--leading];
    if (!(tail == width) || leading == 0)
      return fail("expected a reshape that keeps rows of " + width.str() + ", found " + str(result));
    use.result = leading;
    return use;
  }

  FailureOr<RowUse> rotary(RowUse &use, unsigned index) {
    auto rotary = cast<RotaryOp>(op);
    unsigned expected = rowDims(rotary.getLayout());
    if (index != 0 || use.result != expected || !isRow(0, expected, 2))
      return fail("expected heads of f32 in layout thd or bshd");
    Dims input = sizes(rotary.getInput()), positions = sizes(rotary.getPositions());
    if (!agree(ArrayRef(input).take_front(expected), positions))
      return fail("expected a position for each row, found " + str(positions) + " for " + str(input));
    use.operands[1] = expected;
    return use;
  }

  Operation *op;
  SizesOf sizes;
  UnknownSizes unknown;
  std::string &why;
};

} // namespace

FailureOr<RowUse> rowUseOf(Operation *op, unsigned index, unsigned leading, SizesOf sizes, UnknownSizes unknown, std::string &why) {
  return RowMatcher(op, sizes, unknown, why).match(index, leading);
}

//===-- Groups ------------------------------------------------------------------------------------------------------===//

namespace {

/// Ops of the body that `root` reads through its lhs.
llvm::SmallPtrSet<Operation *, 8> producersOf(MatmulOp root, Block &block) {
  llvm::SmallPtrSet<Operation *, 8> before;
  if (!root)
    return before;
  before.insert(root.getLhs().getDefiningOp());
  for (Operation &op : llvm::reverse(block))
    if (before.contains(&op))
      for (Value operand : op.getOperands())
        before.insert(operand.getDefiningOp());
  return before;
}

LogicalResult fail(std::string *why, const llvm::Twine &reason) {
  if (why)
    *why = reason.str();
  return failure();
}

/// Adds what `op` says about rows to what is known.
LogicalResult addUse(GroupForm &form, Operation *op, std::string *why) {
  auto [index, leading] = defaultRows(op);
  // Of an operand that gives sizes only the rows do not matter.
  auto operands = op->getOperands().take_front(isa<SplitRowsOp>(op) ? 1 : op->getNumOperands());
  // The first that is known: others, such as positions, follow it.
  for (auto [place, operand] : llvm::enumerate(operands))
    if (unsigned known = form.leading.lookup(operand)) {
      std::tie(index, leading) = std::pair(unsigned(place), known);
      break;
    }
  std::string reason;
  FailureOr<RowUse> use = rowUseOf(op, index, leading, [](Value value) { return dimsOf(value.getType()); }, UnknownSizes::agree, reason);
  if (failed(use))
    return fail(why, "'" + op->getName().getStringRef() + "': " + reason);
  for (auto [place, operand] : llvm::enumerate(operands))
    if (auto [entry, isNew] = form.leading.try_emplace(operand, use->operands[place]); !isNew && !countAlike(dimsOf(operand.getType()), entry->second, use->operands[place]))
      return fail(why, "'" + op->getName().getStringRef() + "' reads a value as rows of another form than the ops before it");
  form.leading[op->getResult(0)] = use->result;
  form.uses[op] = *use;
  return success();
}

} // namespace

FailureOr<GroupForm> matchGroup(GroupOp group, std::string *why) {
  GroupForm form;
  Block &block = group.getBody().front();
  for (auto matmul : block.getOps<MatmulOp>()) {
    if (form.root)
      return fail(why, "expected one matrix product at most");
    form.root = matmul;
  }
  llvm::SmallPtrSet<Operation *, 8> before = producersOf(form.root, block);
  for (Operation &op : block.without_terminator()) {
    if (&op == form.root) {
      unsigned leading = cast<RankedTensorType>(form.root.getType()).getRank() - 1;
      form.leading[form.root.getLhs()] = form.leading[form.root] = leading;
      form.leading[form.root.getRhs()] = 0;
      continue;
    }
    (before.contains(&op) ? form.prologue : form.epilogue).push_back(&op);
    if (failed(addUse(form, &op, why)))
      return failure();
  }
  return form;
}

void inlineGroup(GroupOp group) {
  IRMapping mapping;
  mapping.map(group.getBody().getArguments(), group.getInputs());
  OpBuilder builder(group);
  Block &body = group.getBody().front();
  for (Operation &op : body.without_terminator())
    builder.clone(op, mapping);
  for (auto [result, yielded] : llvm::zip(group.getResults(), body.getTerminator()->getOperands()))
    result.replaceAllUsesWith(mapping.lookup(yielded));
  group.erase();
}

} // namespace transom
