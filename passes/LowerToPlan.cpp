// lower-to-plan: graphs to device programs. Chooses no offsets beyond the trivial ones; plan-memory does that.
//
// 1. Groups that no kernel computes fall apart. Single elementwise ops become fused ops; a result that is an input, a weight
//    or another result is copied.
// 2. Inputs, states and results get their buffers, then, op by op: weights become weight buffers, ops that move nothing
//    become views, matrix products with many rows and a weight go to the matrix library, with what follows them in their
//    group, the rest are launches.
// 3. Each buffer of the arena gets bytes of its own.
#include "passes/FusedRegion.h"
#include "passes/Passes.h"
#include "passes/Permutations.h"
#include "passes/PlanGroups.h"
#include "passes/PlanKernels.h"
#include "passes/PlanWeights.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

namespace transom {
#define GEN_PASS_DEF_LOWERTOPLANPASS
#include "passes/Passes.h.inc"
} // namespace transom

using namespace mlir;
using llvm::SmallVector;
using llvm::StringRef;

namespace transom {
namespace {

//===-- Questions about ops -----------------------------------------------------------------------------------------===//

/// Whether the result of `op` is the memory of its first operand.
bool isView(Operation *op, const DimAnalysis &dims) {
  if (isa_and_nonnull<ReshapeOp, SplitRowsOp>(op))
    return true;
  if (isa_and_nonnull<PositionsOp>(op)) // of one token a row: where it starts
    return dims.of(op->getResult(0))[1] == DimExpr(1);
  if (auto transpose = dyn_cast_or_null<TransposeOp>(op))
    return movesOnlyUnits(transpose.getPermutation(), dims.of(transpose.getInput()));
  return isa_and_nonnull<SliceOp, PadOp, BroadcastOp, ConcatOp>(op) && llvm::equal(dims.of(op->getOperand(0)), dims.of(op->getResult(0)));
}

/// The value whose memory `value` is.
Value memoryOf(Value value, const DimAnalysis &dims) {
  while (isView(value.getDefiningOp(), dims))
    value = value.getDefiningOp()->getOperand(0);
  return value;
}

/// The cache that `value` is the update of, if it is one.
Value cacheBefore(Value value) {
  if (auto append = value.getDefiningOp<CacheAppendOp>())
    return append.getCache();
  auto group = value.getDefiningOp<GroupOp>();
  std::optional<unsigned> cache = group ? plan::updatedCache(group, cast<OpResult>(value).getResultNumber()) : std::nullopt;
  return cache ? group.getInputs()[*cache] : Value();
}

/// The name in the op's location, or else the op's own.
std::string sourceOf(Operation *op, StringRef stem) {
  std::string source;
  op->getLoc()->walk([&](Location part) {
    if (auto name = dyn_cast<NameLoc>(part))
      source = name.getName().str();
    return source.empty() ? WalkResult::advance() : WalkResult::interrupt();
  });
  return !source.empty() ? source : (stem.empty() ? op->getName().stripDialect() : stem).str();
}

//===-- Functions ---------------------------------------------------------------------------------------------------===//

class FunctionLowering {
public:
  FunctionLowering(func::FuncOp function, KernelTable &kernels, WeightTable &weights, const Reporter &reporter, Type stored)
      : module(function->getParentOfType<ModuleOp>()), function(function), block(function.getBody().front()),
        kernels(kernels), weights(weights), reporter(reporter), stored(stored), builder(function.getContext()) {}

  FailureOr<plan::ProgramOp> run() {
    if (failed(checkOps()))
      return failure();
    epilogues = prepareGroups(function, reporter);
    wrapScalarOps();
    if (failed(copyResults()))
      return failure();
    dims.emplace(function);
    builder.setInsertionPointToEnd(module.getBody());
    program = builder.create<plan::ProgramOp>(function.getLoc(), function.getSymName());
    builder.setInsertionPointToStart(&program.getBody().emplaceBlock());
    if (failed(makeInterface()))
      return failure();
    for (Operation &op : block.without_terminator())
      if (failed(lower(&op)))
        return failure();
    program.setArenaBytes(arenaBytes);
    plan::setPredictedBytes(program);
    return program;
  }

private:
  LogicalResult checkOps() {
    if (!function.getBody().hasOneBlock())
      return function.emitError("@") << function.getSymName() << " has more than one block";
    for (Operation &op : block)
      if (!isa<TransomDialect>(op.getDialect()) && !isa<func::ReturnOp>(op))
        return op.emitError("'") << op.getName() << "' cannot be lowered: only transom ops can";
    return success();
  }

  void wrapScalarOps() {
    for (Operation &op : llvm::make_early_inc_range(block)) {
      auto scalar = dyn_cast<ScalarOp>(op);
      if (!scalar)
        continue;
      builder.setInsertionPoint(&op);
      FusedOp fused = wrapScalarOp(builder, scalar);
      stems[fused] = op.getName().stripDialect();
      op.replaceAllUsesWith(ValueRange(fused.getResult()));
      op.erase();
    }
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isOpTriviallyDead(&op))
        op.erase();
  }

  /// Gives each result memory of its own.
  LogicalResult copyResults() {
    DimAnalysis before(function);
    llvm::DenseSet<Value> owned;
    Operation *end = block.getTerminator();
    for (OpOperand &operand : end->getOpOperands()) {
      if (isa<CacheType>(operand.get().getType())) {
        if (failed(checkCacheResult(operand)))
          return failure();
        continue;
      }
      Value memory = memoryOf(operand.get(), before);
      if (memory.getDefiningOp() && !isWeightLike(memory.getDefiningOp()) && owned.insert(memory).second)
        continue;
      if (!isScalar(elementOf(operand.get().getType())))
        return end->emitError("result ") << operand.getOperandNumber() << " has quantised elements, which cannot be returned";
      builder.setInsertionPoint(end);
      Location loc = operand.get().getLoc();
      auto copy = builder.create<FusedOp>(loc, operand.get().getType(), operand.get(), ReduceKindAttr());
      stems[copy] = "copy";
      Block &body = copy.getBody().emplaceBlock();
      Value element = body.addArgument(elementOf(operand.get().getType()), loc);
      OpBuilder::atBlockEnd(&body).create<YieldOp>(loc, element);
      operand.set(copy);
      owned.insert(copy);
    }
    return success();
  }

  /// A cache result is the last update of a cache argument.
  LogicalResult checkCacheResult(OpOperand &operand) {
    Value cache = operand.get();
    while (Value before = cacheBefore(cache))
      cache = before;
    if (isa<BlockArgument>(cache))
      return success();
    return operand.getOwner()->emitError("result ") << operand.getOperandNumber() << " is no update of a cache argument";
  }

  LogicalResult makeInterface() {
    for (BlockArgument argument : block.getArguments()) {
      unsigned index = argument.getArgNumber();
      auto name = function.getArgAttrOfType<StringAttr>(index, "transom.name");
      if (!name)
        return function.emitError("argument ") << index << " of @" << function.getSymName() << " has no transom.name";
      if (!isa<RankedTensorType, CacheType>(argument.getType()))
        return function.emitError("argument ") << index << " of @" << function.getSymName() << " is no tensor";
      auto kind = isa<CacheType>(argument.getType()) ? plan::BufferKind::state : plan::BufferKind::input;
      if (failed(addBuffer(argument, kind, name)))
        return failure();
    }
    for (OpOperand &operand : block.getTerminator()->getOpOperands()) {
      unsigned index = operand.getOperandNumber();
      if (isa<CacheType>(operand.get().getType()))
        continue;
      auto name = function.getResultAttrOfType<StringAttr>(index, "transom.name");
      if (!name)
        return function.emitError("result ") << index << " of @" << function.getSymName() << " has no transom.name";
      Value memory = memoryOf(operand.get(), *dims);
      if (failed(addBuffer(operand.get(), plan::BufferKind::output, name)))
        return failure();
      outputs[memory] = buffers.lookup(operand.get());
      buffers.erase(operand.get());
    }
    return success();
  }

  Location locationOf(Value value) { return value.getDefiningOp() ? value.getLoc() : function.getLoc(); }

  LogicalResult checkSizes(Value value) {
    for (const DimExpr &dim : dims->of(value))
      if (dim.isUnknown())
        return describe(value) << "has the sizes " << str(dims->of(value)) << ": name them by transom.dims of the arguments";
    return success();
  }

  InFlightDiagnostic describe(Value value) {
    InFlightDiagnostic diagnostic = emitError(locationOf(value));
    if (Operation *op = value.getDefiningOp())
      diagnostic << "'" << op->getName() << "' ";
    else
      diagnostic << "argument " << cast<BlockArgument>(value).getArgNumber() << " of @" << function.getSymName() << " ";
    return diagnostic;
  }

  /// Whether a result is `value` unpacked: it stays f32 then, as the result would hold it without remove-padding.
  static bool unpacksToResult(Value value) {
    return llvm::any_of(value.getUsers(), [](Operation *user) {
      return isa<UnpackOp>(user) && llvm::any_of(user->getUsers(), [](Operation *reader) { return isa<func::ReturnOp>(reader); });
    });
  }
  /// How f32 numbers of the arena or of a state are stored. Rounded rows that only products with weights of 8 bits read are kept in 8 bits
  /// too. What such a product makes would be too large for 16 bits before it is scaled: without an epilogue it stays f32.
  Type storedTypeOf(Value value) {
    auto isNarrow = [&](Operation *op) {
      auto product = dyn_cast_or_null<MatmulOp>(op);
      return product && isa<Float8E4M3FNType>(elementOf(product.getRhs().getType()));
    };
    if (!stored || unpacksToResult(value) || (isNarrow(value.getDefiningOp()) && !epilogues.contains(value.getDefiningOp())))
      return {};
    Value made = value;
    if (auto group = value.getDefiningOp<GroupOp>())
      made = group.getBody().front().getTerminator()->getOperand(cast<OpResult>(value).getResultNumber());
    bool onlyProducts = llvm::all_of(value.getUses(), [&](OpOperand &use) {
      auto product = dyn_cast<MatmulOp>(use.getOwner());
      return product && isNarrow(product) && use.getOperandNumber() == 0 && plan::isGemv(product) && isWeightLike(product.getRhs().getDefiningOp()) && hasManyRows(product);
    });
    return made.getDefiningOp<RoundE4m3Op>() && onlyProducts ? Float8E4M3FNType::get(builder.getContext()) : stored;
  }

  /// A buffer that stands for `value`.
  LogicalResult addBuffer(Value value, plan::BufferKind kind, StringAttr name) {
    if (failed(checkSizes(value)))
      return failure();
    bool kept = kind == plan::BufferKind::arena || kind == plan::BufferKind::state;
    Type storedHere = kept && elementOf(value.getType()).isF32() ? storedTypeOf(value) : Type();
    std::optional<int64_t> bytes = plan::bytesAtBounds(module, value.getType(), dims->of(value), storedHere);
    if (!bytes)
      return describe(value) << "has the sizes " << str(dims->of(value)) << ", which have no bounds in transom.bounds";
    IntegerAttr offset;
    if (kind == plan::BufferKind::arena) {
      offset = builder.getI64IntegerAttr(arenaBytes);
      if (__builtin_add_overflow(arenaBytes, plan::aligned(*bytes), &arenaBytes))
        return describe(value) << "needs more memory than there is";
    }
    buffers[value] = builder.create<plan::BufferOp>(locationOf(value), builder.getType<plan::BufferType>(), kind, name,
                                                    dimsAttribute(builder.getContext(), dims->of(value)), *bytes, offset,
                                                    storedHere ? TypeAttr::get(storedHere) : TypeAttr(), value.getType());
    return success();
  }

  /// `value` as another shape of `base`, or as its beginning.
  LogicalResult addView(Value value, Value base, bool isBeginning = false) {
    if (failed(checkSizes(value)))
      return failure();
    Dims from = plan::sizesOf(base);
    if (!isBeginning && !(product(from) == product(dims->of(value))))
      return describe(value) << "cannot be shown to hold as many elements as its input: " << str(dims->of(value)) << " and " << str(from);
    buffers[value] = builder.create<plan::ViewOp>(locationOf(value), base.getType(), base,
                                                  dimsAttribute(builder.getContext(), dims->of(value)), value.getType());
    return success();
  }

  /// Whether the slice is a view too: the first numbers of what a step left in the arena, where the sizes are bounded so.
  bool isBeginning(SliceOp slice) {
    Value base = buffers.lookup(slice.getInput());
    if (!base || slice.getStart() != 0 || outputs.contains(slice.getResult()) || plan::storageOf(base).getKind() != plan::BufferKind::arena)
      return false;
    const Type element = elementOf(slice.getType()), narrow = element.isF32() ? storedTypeOf(slice.getResult()) : Type();
    return plan::storedElementOf(base) == (narrow ? narrow : element) && plan::beginsWith(module, plan::sizesOf(base), dims->of(slice.getResult()));
  }

  /// The buffer that a step writes `value` to.
  LogicalResult addResult(Value value) {
    Value output = outputs.lookup(value);
    if (!output)
      return addBuffer(value, plan::BufferKind::arena, {});
    if (plan::tensorOf(output) == value.getType() && llvm::equal(plan::sizesOf(output), dims->of(value))) {
      buffers[value] = output;
      return success();
    }
    return addView(value, output);
  }

  LogicalResult lower(Operation *op) {
    if (isWeightLike(op))
      return lowerWeight(op);
    if (isView(op, *dims))
      return addView(op->getResult(0), buffers.lookup(op->getOperand(0)));
    if (auto slice = dyn_cast<SliceOp>(op); slice && isBeginning(slice))
      return addView(slice.getResult(), buffers.lookup(slice.getInput()), /*isBeginning=*/true);
    for (Value result : op->getResults()) {
      Value cache = cacheBefore(result);
      if (failed(cache ? updateInPlace(result, cache) : addResult(result)))
        return failure();
    }
    if (failed(addStep(op)))
      return failure();
    if (auto tokens = dyn_cast<ValidTokensOp>(op))
      builder.create<plan::SizeOp>(op->getLoc(), tokens.getSize(), buffers.lookup(tokens.getCumulative()));
    return success();
  }

  LogicalResult addStep(Operation *op) {
    if (auto matmul = dyn_cast<MatmulOp>(op); matmul && suitsLibrary(matmul))
      return epilogues.contains(op) ? success() : addGemm(matmul, {}); // with an epilogue: where that stands
    for (Value operand : op->getOperands())
      if (auto matmul = operand.getDefiningOp<MatmulOp>(); matmul && epilogues.lookup(matmul) == op && suitsLibrary(matmul))
        return addGemm(matmul, cast<GroupOp>(op));
    return addLaunch(op);
  }

  LogicalResult lowerWeight(Operation *op) {
    FailureOr<StringRef> name = weights.declare(op);
    if (failed(name))
      return failure();
    Value value = op->getResult(0);
    if (Value known = weightBuffers.lookup(*name)) {
      buffers[value] = known;
      return success();
    }
    if (failed(addBuffer(value, plan::BufferKind::weight, builder.getStringAttr(*name))))
      return failure();
    weightBuffers[*name] = buffers.lookup(value);
    return success();
  }

  /// The update happens in place, so nothing after it may see what was there before.
  LogicalResult updateInPlace(Value result, Value cache) {
    Operation *update = result.getDefiningOp();
    for (Operation *user : cache.getUsers())
      if (user != update && !user->isBeforeInBlock(update))
        return user->emitOpError("uses a cache after its update").attachNote(update->getLoc()) << "the update is here";
    buffers[result] = buffers.lookup(cache);
    return success();
  }

  bool suitsLibrary(MatmulOp op) {
    auto rhs = dyn_cast<RankedTensorType>(op.getRhs().getType());
    if (!plan::isGemv(op) || !isLibraryWeight(rhs))
      return false;
    if (plan::storageOf(buffers.lookup(op.getRhs())).getKind() != plan::BufferKind::weight)
      return false;
    return hasManyRows(op);
  }
  bool hasManyRows(MatmulOp op) { return maximumOf(module, rowsOf(op)).value_or(0) > maxGemvRows; }

  DimExpr rowsOf(MatmulOp op) { return product(llvm::ArrayRef(dims->of(op.getLhs())).drop_back()); }

  /// A product, with a group of what follows or null.
  LogicalResult addGemm(MatmulOp op, GroupOp epilogue) {
    auto rhs = cast<RankedTensorType>(op.getRhs().getType());
    FlatSymbolRefAttr unpack, kernel;
    if (!rhs.getElementType().isF32())
      unpack = FlatSymbolRefAttr::get(kernels.unpacking(rhs, op.getLoc()).getSymNameAttr());
    auto text = [&](const DimExpr &size) { return builder.getStringAttr(size.str()); };
    SmallVector<Value> extras, results;
    int64_t scratch = 0;
    if (epilogue) {
      kernel = FlatSymbolRefAttr::get(kernels.of(epilogue, kernelName(epilogue)).getSymNameAttr());
      for (Value input : epilogue.getInputs().drop_front())
        extras.push_back(buffers.lookup(input));
      for (Value result : epilogue.getResults())
        results.push_back(buffers.lookup(result));
      scratch = scratchOf(epilogue, 0);
    }
    builder.create<plan::GemmOp>(op.getLoc(), buffers.lookup(op.getLhs()), buffers.lookup(op.getRhs()), buffers.lookup(op), extras,
                                 results, text(rowsOf(op)), text(DimExpr(rhs.getDimSize(0))), text(DimExpr(rhs.getDimSize(1))),
                                 unpack, kernel, scratch, builder.getStringAttr(sourceOf(op, "")));
    return success();
  }

  LogicalResult addLaunch(Operation *op) {
    plan::KernelOp kernel = kernels.of(op, kernelName(op, stems.lookup(op)));
    KernelWork work = workOf(op, *dims);
    if (work.items.isUnknown())
      return op->emitOpError("has work of an unknown size");
    int64_t scratch = 0;
    if (auto group = dyn_cast<GroupOp>(op)) {
      std::optional<int64_t> most = maximumOf(module, transom::rowsOf(group, *dims));
      if (!most)
        return op->emitOpError("has rows without a bound in transom.bounds");
      scratch = scratchOf(group, *most);
    }
    auto stands = [&](ValueRange values) { return llvm::map_to_vector(values, [&](Value value) { return buffers.lookup(value); }); };
    builder.create<plan::LaunchOp>(op->getLoc(), kernel.getSymName(), stands(op->getOperands()), stands(op->getResults()),
                                   work.items.str(), work.grain, scratch, builder.getStringAttr(sourceOf(op, stems.lookup(op))));
    return success();
  }

  ModuleOp module;
  func::FuncOp function;
  Block &block;
  KernelTable &kernels;
  WeightTable &weights;
  const Reporter &reporter;
  Type stored; ///< of f32 in the arena and in states; null: f32
  OpBuilder builder;
  llvm::DenseMap<Operation *, StringRef> stems; ///< names for fused ops of one op
  llvm::DenseMap<Operation *, GroupOp> epilogues; ///< of matrix products, in the same step
  std::optional<DimAnalysis> dims;
  plan::ProgramOp program;
  llvm::DenseMap<Value, Value> buffers, outputs;
  llvm::StringMap<Value> weightBuffers;
  int64_t arenaBytes = 0;
};

struct LowerToPlanPass : impl::LowerToPlanPassBase<LowerToPlanPass> {
  using LowerToPlanPassBase::LowerToPlanPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    KernelTable kernels(module);
    WeightTable weights(module);
    Reporter reporter(getArgument(), report);
    Type stored;
    if (!activations.empty() && activations != "f32") {
      stored = llvm::StringSwitch<Type>(activations).Case("f16", Float16Type::get(&getContext())).Case("bf16", BFloat16Type::get(&getContext())).Default({});
      if (!stored) {
        module.emitError("activations: expected f32, f16 or bf16, found '") << activations << "'";
        return signalPassFailure();
      }
    }
    SmallVector<plan::ProgramOp> programs;
    SmallVector<Operation *> old;
    for (Operation &op : *module.getBody())
      old.push_back(&op);
    for (Operation *op : old) {
      auto function = dyn_cast<func::FuncOp>(op);
      if (!function || function.isExternal()) {
        op->emitError("'") << op->getName() << "' cannot be lowered: only functions with a body can";
        return signalPassFailure();
      }
      FailureOr<plan::ProgramOp> program = FunctionLowering(function, kernels, weights, reporter, stored).run();
      if (failed(program))
        return signalPassFailure();
      programs.push_back(*program);
    }
    for (Operation *op : old)
      op->erase();
    // Readers meet weights first, then kernels, then programs.
    Block *body = module.getBody();
    for (plan::WeightOp weight : weights.weights())
      weight->moveBefore(body, body->end());
    for (plan::KernelOp kernel : kernels.kernels())
      kernel->moveBefore(body, body->end());
    for (plan::ProgramOp program : programs)
      program->moveBefore(body, body->end());
  }
};

} // namespace
} // namespace transom
