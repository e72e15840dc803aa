// See Mutations.h.
#include "test/random/Mutations.h"

#include "test/random/Writer.h"

using namespace mlir;

namespace transom::random {

namespace {

RankedTensorType typeOf(Value value) { return dyn_cast<RankedTensorType>(value.getType()); }

bool isElementwise(Operation &op) { return isa<ScalarOp>(op) && !isa<CastOp>(op); }

bool isOf(Operation &op, Site site) {
  switch (site) {
  case Site::matmul: return isa<MatmulOp>(op);
  case Site::norm: return isa<RmsNormOp, LayerNormOp>(op);
  case Site::normInput: return llvm::any_of(op.getUsers(), [](Operation *user) { return isa<RmsNormOp, LayerNormOp>(user); });
  case Site::attention: return isa<AttentionOp>(op);
  case Site::rotary: return isa<RotaryOp>(op);
  case Site::concat: return isa<ConcatOp>(op);
  case Site::add: return isa<AddOp>(op);
  case Site::elementwise: return isElementwise(op);
  case Site::reshape: return isa<ReshapeOp>(op);
  case Site::transpose: return isa<TransposeOp>(op);
  case Site::embedding: return isa<EmbeddingOp>(op);
  case Site::slice: return isa<SliceOp>(op);
  case Site::weight: return isa<WeightOp, ConstantOp>(op);
  case Site::trunk: return isa<AddOp, EmbeddingOp, RmsNormOp, LayerNormOp>(op);
  default: return false;
  }
}

std::vector<Value> candidates(func::FuncOp function, Site site) {
  std::vector<Value> values;
  for (BlockArgument argument : function.getArguments()) {
    auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "transom.name").getValue();
    if ((site == Site::past && name.starts_with("past")) || (site == Site::mask && name.ends_with("mask")))
      values.push_back(argument);
  }
  for (Operation &op : function.getBody().front())
    if (isOf(op, site) && typeOf(op.getResult(0)).getElementType().isIntOrFloat())
      if (site != Site::trunk || typeOf(op.getResult(0)).getRank() == 3)
        values.push_back(op.getResult(0));
  return values;
}

class Mutator {
public:
  Mutator(func::FuncOp function, Value value, Random &random)
      : function(function), value(value), random(random), b(function.getContext()) {
    b.setInsertionPointAfterValue(value);
  }
  bool run(Mutation mutation);

private:
  template <typename Op, typename... Args> Value op(Args &&...args) {
    return b.create<Op>(value.getLoc(), std::forward<Args>(args)...).getResult();
  }
  DenseI64ArrayAttr axes(std::vector<int64_t> list) { return b.getDenseI64ArrayAttr(list); }
  std::vector<int64_t> swapped(int64_t rank, int64_t a, int64_t c) {
    std::vector<int64_t> order;
    for (int64_t i = 0; i < rank; ++i)
      order.push_back(i == a ? c : i == c ? a : i);
    return order;
  }
  /// All readers but the ops that `other` is made of read `other` from here on.
  bool replace(Value other);
  /// The dimension of tokens, or of rows; of static sizes the usual one.
  int64_t axisOf(llvm::StringRef size, int64_t usual) const {
    const Dims dims = DimAnalysis(function).of(value);
    for (auto [axis, dim] : llvm::enumerate(dims))
      if (dim == DimExpr::symbol(size))
        return int64_t(axis);
    return usual;
  }
  Value vectorOf(int64_t width);
  Value vector();
  Value positions();
  Value halves();
  Value reshaped();
  Value foldable();
  Value huge();
  bool negateForOne();

  func::FuncOp function;
  Value value;
  Random &random;
  OpBuilder b;
};

bool Mutator::replace(Value other) {
  if (other.getType() != value.getType())
    return false;
  llvm::SmallPtrSet<Operation *, 8> made;
  for (Operation *op = value.getDefiningOp() ? value.getDefiningOp()->getNextNode() : &function.getBody().front().front();
       op != &*b.getInsertionPoint(); op = op->getNextNode())
    made.insert(op);
  value.replaceAllUsesExcept(other, made);
  return true;
}

Value Mutator::vectorOf(int64_t width) {
  std::vector<float> numbers(width);
  for (float &number : numbers)
    number = float(random.small());
  return op<ConstantOp>(DenseElementsAttr::get(RankedTensorType::get({width}, b.getF32Type()), llvm::ArrayRef(numbers)));
}

Value Mutator::vector() { return op<AddOp>(value, vectorOf(typeOf(value).getShape().back())); }

/// Plus i / 8 for token i.
Value Mutator::positions() {
  int64_t rank = typeOf(value).getRank(), axis = axisOf("seq", 1);
  Value places = op<CastOp>(op<IotaOp>(value, uint64_t(axis)), b.getF32Type());
  std::vector<int64_t> shape(rank - axis, 1);
  shape[0] = 0;
  Value eighth = op<ConstantOp>(DenseElementsAttr::get(RankedTensorType::get({}, b.getF32Type()), 0.125f));
  return op<AddOp>(value, op<MulOp>(op<ReshapeOp>(places, axes(shape)), eighth));
}

Value Mutator::halves() {
  int64_t last = typeOf(value).getRank() - 1, width = typeOf(value).getShape().back(), half = width / 2;
  if (ShapedType::isDynamic(width) || half == 0)
    return value;
  Value low = op<SliceOp>(value, uint64_t(last), uint64_t(0), uint64_t(half));
  Value high = op<SliceOp>(value, uint64_t(last), uint64_t(half), uint64_t(width - half));
  llvm::SmallVector<Value> parts = {high, low};
  return op<ConcatOp>(ValueRange(parts), uint64_t(last));
}

/// Through a shape whose second dimension mixes tokens with numbers of theirs.
Value Mutator::reshaped() {
  auto shape = typeOf(value).getShape();
  int64_t rank = shape.size(), width = shape.back();
  if (rank < 3 || ShapedType::isDynamic(width) || width % 2)
    return value;
  std::vector<int64_t> mixed(rank, 0), back(shape);
  mixed[1] = -1, mixed[rank - 1] = width / 2;
  for (int64_t axis = 0; axis < rank; ++axis)
    back[axis] = axis == 1 ? -1 : ShapedType::isDynamic(shape[axis]) ? 0 : shape[axis];
  Value inner = op<NegOp>(op<ReshapeOp>(value, axes(mixed)));
  Value result = op<ReshapeOp>(inner, axes(back));
  return result;
}

Value Mutator::foldable() {
  auto splat = [&](float number) {
    return op<ConstantOp>(DenseElementsAttr::get(RankedTensorType::get({}, b.getF32Type()), number));
  };
  return op<AddOp>(value, op<MulOp>(op<SubOp>(splat(3), splat(1)), op<ExpOp>(splat(0))));
}

/// More than 4 MiB on the way, which fold-constants does not store.
Value Mutator::huge() {
  int64_t width = typeOf(value).getShape().back();
  auto type = RankedTensorType::get({width}, b.getF32Type());
  Value start = op<ConstantOp>(DenseElementsAttr::get(type, float(random.small())));
  Value numbers = op<ExpOp>(op<AddOp>(start, vectorOf(width)));
  Value padded = op<PadOp>(numbers, uint64_t(0), uint64_t(0), uint64_t(1100000), llvm::APFloat(0.5));
  return op<AddOp>(value, op<SliceOp>(padded, uint64_t(0), uint64_t(0), uint64_t(width)));
}

bool Mutator::negateForOne() {
  std::vector<OpOperand *> uses;
  for (OpOperand &use : value.getUses())
    if (!isa<func::ReturnOp>(use.getOwner()))
      uses.push_back(&use);
  if (uses.size() < 2)
    return false;
  uses[random.below(int64_t(uses.size()))]->set(op<NegOp>(value));
  return true;
}

bool Mutator::run(Mutation mutation) {
  int64_t rank = typeOf(value).getRank(), last = rank - 1;
  bool isFloat = isa<FloatType>(typeOf(value).getElementType());
  switch (mutation) {
  case Mutation::none: return true;
  case Mutation::output: return addResult(function, value, "extra");
  case Mutation::reader: {
    Value number = value;
    if (!isa<FloatType>(typeOf(value).getElementType()) || !typeOf(value).getElementType().isF32())
      number = op<CastOp>(value, b.getF32Type());
    if (rank == 0)
      return addResult(function, op<NegOp>(number), "extra");
    // A maximum over keys would depend on how many there are: of masks and caches the largest of each row.
    return addResult(function, op<ReduceOp>(ReduceKind::max, number, axes({last}), false), "extra");
  }
  case Mutation::transposedOutput: {
    Value turned = op<TransposeOp>(value, axes(swapped(rank, last - 1, last)));
    return addResult(function, turned, "extra");
  }
  case Mutation::cast: return isFloat && replace(op<CastOp>(op<CastOp>(value, b.getF64Type()), b.getF32Type()));
  case Mutation::vector: return isFloat && !typeOf(value).isDynamicDim(last) && replace(vector());
  case Mutation::column:
    return isFloat && rank > 0 && replace(op<MulOp>(value, op<SigmoidOp>(op<ReduceOp>(ReduceKind::mean, value, axes({last}), true))));
  case Mutation::positions: return isFloat && rank >= 3 && replace(positions());
  case Mutation::mixTokens:
  case Mutation::mixBatch: {
    int64_t axis = mutation == Mutation::mixTokens ? axisOf("seq", 1) : axisOf("batch", 0);
    return isFloat && rank >= 3 && replace(op<AddOp>(value, op<ReduceOp>(ReduceKind::mean, value, axes({axis}), true)));
  }
  case Mutation::swapTwice: {
    auto order = axes(swapped(rank, random.below(last), last));
    return isFloat && rank >= 3 && replace(op<TransposeOp>(op<TanhOp>(op<TransposeOp>(value, order)), order));
  }
  case Mutation::reshapeTwice: return isFloat && replace(reshaped());
  case Mutation::padSlice: {
    if (!isFloat || typeOf(value).isDynamicDim(last))
      return false;
    Value padded = op<PadOp>(value, uint64_t(last), uint64_t(1), uint64_t(1), llvm::APFloat(0.5));
    return replace(op<SliceOp>(padded, uint64_t(last), uint64_t(random.below(2)), uint64_t(typeOf(value).getShape().back())));
  }
  case Mutation::halves: return isFloat && replace(halves());
  case Mutation::huge: return isFloat && !typeOf(value).isDynamicDim(last) && replace(huge());
  case Mutation::foldable: return isFloat && replace(foldable());
  case Mutation::someReaders: return isFloat && negateForOne();
  }
  return false;
}

/// Drops ops that a mutation which did not work out has left behind.
void dropDead(func::FuncOp function) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
    if (isOpTriviallyDead(&op))
      op.erase();
}

} // namespace

bool mutate(func::FuncOp function, const Perturbation &perturbation, Random &random) {
  if (perturbation.site == Site::none)
    return true;
  std::vector<Value> values = candidates(function, perturbation.site);
  bool done = false;
  for (int attempt = 0; attempt < 6 && !done && !values.empty(); ++attempt)
    done = Mutator(function, values[random.below(int64_t(values.size()))], random).run(perturbation.mutation);
  dropDead(function);
  return done;
}

} // namespace transom::random
