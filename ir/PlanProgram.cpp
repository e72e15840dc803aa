// Programs of the plan dialect: the steps against their kernels, and the proof that a program's memory is sound.
#include "ir/Plan.h"

#include "ir/DimAnalysis.h"
#include "ir/GroupKernel.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom::plan {

//===-- Steps -------------------------------------------------------------------------------------------------------===//

static bool isReadOnly(Value buffer) {
  BufferKind kind = storageOf(buffer).getKind();
  return kind == BufferKind::weight || kind == BufferKind::input;
}

static bool isSize(StringRef text) {
  std::optional<DimExpr> size = DimExpr::parse(text);
  return size && !size->isUnknown();
}

/// Whether two buffers share bytes.
static bool overlap(BufferOp a, BufferOp b) {
  if (a == b)
    return true;
  if (a.getKind() != BufferKind::arena || b.getKind() != BufferKind::arena)
    return false;
  return *a.getOffset() < *b.getOffset() + b.getBytes() && *b.getOffset() < *a.getOffset() + a.getBytes();
}

bool mayOverwrite(LaunchOp launch, KernelOp kernel, Value input, Value output) {
  BufferOp storage = storageOf(input);
  auto results = launch.getOutputs();
  unsigned result = unsigned(llvm::find(results, output) - results.begin());
  // A result that is written twice, under one name or two, has no one place.
  if (llvm::count_if(results, [&](Value other) { return storageOf(other) == storageOf(output); }) != 1)
    return false;
  for (auto [index, operand] : llvm::enumerate(launch.getInputs())) {
    if (storageOf(operand) != storage)
      continue;
    Dims from = sizesOf(operand), to = sizesOf(output);
    if (bytesOfRow(storedElementOf(operand), 1) != bytesOfRow(storedElementOf(output), 1))
      return false;
    bool known = index < kernel.getFunctionType().getNumInputs() && result < kernel.getFunctionType().getNumResults();
    if (!known || !kernel.canOverwrite(index, result) || !llvm::equal(from, to))
      return false;
  }
  return true;
}

/// Succeeds if `buffer` can stand for a kernel's argument or result of type `type`.
static LogicalResult verifyFits(Operation *step, StringRef constraint, unsigned index, Value buffer, Type type) {
  Type found = tensorOf(buffer);
  Dims expected = dimsOf(type), sizes = sizesOf(buffer);
  bool fits = elementOf(found) == elementOf(type) && isa<CacheType>(found) == isa<CacheType>(type) && expected.size() == sizes.size();
  for (size_t i = 0; fits && i < sizes.size(); ++i)
    fits = !expected[i].constant() || expected[i] == sizes[i];
  if (fits)
    return success();
  return step->emitOpError() << constraint << ": buffer " << index << ": the kernel expects " << type << ", found " << found << " of " << str(sizes);
}

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto kernel = symbols.lookupNearestSymbolFrom<KernelOp>(*this, getKernelAttr());
  if (!kernel)
    return emitOpError("C1: there is no kernel ") << getKernelAttr();
  if (kernel.getUnpack())
    return emitOpError("C1: ") << getKernelAttr() << " unpacks rows for matrix products";
  FunctionType signature = kernel.getFunctionType();
  if (getInputs().size() != signature.getNumInputs() || getOutputs().size() != signature.getNumResults())
    return emitOpError("C2: ") << getKernelAttr() << " takes " << signature.getNumInputs() << " and gives "
                               << signature.getNumResults() << " buffers, found " << getInputs().size() << " and "
                               << getOutputs().size();
  for (auto [index, buffer, type] : llvm::enumerate(getOperands(), kernel.bufferTypes()))
    if (failed(verifyFits(*this, "C3", index, buffer, type)))
      return failure();
  if (llvm::any_of(getOutputs(), isReadOnly))
    return emitOpError("C4: weights and inputs are not written");
  if (!isSize(getWork()) || int64_t(getGrain()) < 1 || int64_t(getScratch()) < 0)
    return emitOpError("C5: expected work that is a size, grain of 1 or more, and scratch of 0 or more");
  for (Value output : getOutputs())
    for (Value input : getInputs())
      if (overlap(storageOf(input), storageOf(output)) && !mayOverwrite(*this, kernel, input, output))
        return emitOpError("C6: ") << getKernelAttr() << " cannot write over its input";
  return success();
}

SmallVector<Value> GemmOp::epilogueBuffers() {
  SmallVector<Value> buffers = {getOut()};
  llvm::append_range(buffers, getExtras());
  llvm::append_range(buffers, getResults());
  return buffers;
}

/// C6 to C8 of products.
static LogicalResult verifyEpilogue(GemmOp op, SymbolTableCollection &symbols) {
  if (int64_t(op.getScratch()) < 0 || (op.getScratch() != 0 && !op.getEpilogue()))
    return op.emitOpError("C8: expected scratch of 0 or more, and 0 without an epilogue");
  if (!op.getEpilogue())
    return op.getExtras().empty() && op.getResults().empty() ? success() : op.emitOpError("C6: results need an epilogue");
  auto kernel = symbols.lookupNearestSymbolFrom<KernelOp>(op, op.getEpilogueAttr());
  auto group = kernel ? dyn_cast<GroupOp>(kernel.getOp()) : GroupOp();
  if (!group || !group.getBody().front().getOps<MatmulOp>().empty())
    return op.emitOpError("C6: ") << op.getEpilogueAttr() << " is no kernel of a group without a product";
  SmallVector<Value> buffers = op.epilogueBuffers();
  if (buffers.size() != kernel.bufferTypes().size() || op.getResults().size() != kernel.getFunctionType().getNumResults())
    return op.emitOpError("C6: ") << op.getEpilogueAttr() << " takes " << kernel.bufferTypes().size() << " buffers, found "
                                  << buffers.size();
  for (auto [index, buffer, type] : llvm::enumerate(buffers, kernel.bufferTypes()))
    if (failed(verifyFits(op, "C6", index, buffer, type)))
      return failure();
  for (auto [index, result] : llvm::enumerate(op.getResults())) {
    // Operands are lhs, rhs, and then what the kernel takes.
    size_t itself = 3 + op.getExtras().size() + index;
    std::optional<unsigned> cache = updatedCache(group, unsigned(index));
    size_t updated = cache ? 2 + *cache : itself;
    for (auto [at, other] : llvm::enumerate(op->getOperands()))
      if (at != itself && at != updated && overlap(storageOf(result), storageOf(other)))
        return op.emitOpError("C7: result ") << index << " needs memory of its own";
    if (isReadOnly(result))
      return op.emitOpError("C7: weights and inputs are not written");
  }
  return success();
}

LogicalResult GemmOp::verifySymbolUses(SymbolTableCollection &symbols) {
  std::optional<DimExpr> m = DimExpr::parse(getM()), n = DimExpr::parse(getN()), k = DimExpr::parse(getK());
  if (!isSize(getM()) || !isSize(getN()) || !isSize(getK()))
    return emitOpError("C1: m, n and k are sizes");
  Dims lhs = sizesOf(getLhs()), rhs = sizesOf(getRhs()), out = sizesOf(getOut());
  if (!(product(lhs) == *m * *k) || !(product(out) == *m * *n) || !llvm::equal(rhs, Dims{*n, *k}))
    return emitOpError("C2: ") << str(lhs) << " times the transpose of " << str(rhs) << " does not give " << str(out)
                               << " with m = " << getM() << ", n = " << getN() << ", k = " << getK();
  if (!elementOf(tensorOf(getLhs())).isF32() || !elementOf(tensorOf(getOut())).isF32())
    return emitOpError("C3: expected f32 for lhs and out");
  Type weights = tensorOf(getRhs());
  if (elementOf(weights).isF32() == getUnpack().has_value())
    return emitOpError("C4: expected ") << (getUnpack() ? "no " : "an ") << "unpack kernel for rhs of " << elementOf(weights);
  if (getUnpack()) {
    auto kernel = symbols.lookupNearestSymbolFrom<KernelOp>(*this, getUnpackAttr());
    if (!kernel || !kernel.getUnpack() || kernel.bufferTypes().front() != weights)
      return emitOpError("C4: ") << getUnpackAttr() << " does not unpack " << weights;
  }
  if (isReadOnly(getOut()) || overlap(storageOf(getOut()), storageOf(getLhs())) || overlap(storageOf(getOut()), storageOf(getRhs())))
    return emitOpError("C5: out needs memory of its own");
  return verifyEpilogue(*this, symbols);
}

LogicalResult SizeOp::verify() {
  std::optional<DimExpr> size = DimExpr::parse(getName());
  if (!size || size->asSymbol() != getName().str() || !boundsOf((*this)->getParentOfType<ModuleOp>(), getName()))
    return emitOpError("C1: expected a name with bounds in transom.bounds, found \"") << getName() << '"';
  auto source = dyn_cast<RankedTensorType>(tensorOf(getSource()));
  if (!source || source.getRank() != 1 || !source.getElementType().isInteger(32))
    return emitOpError("C2: expected i32 of rank 1, found ") << tensorOf(getSource());
  return success();
}

bool isStep(Operation *op) { return isa<LaunchOp, GemmOp, SizeOp>(op); }

/// What a step reads and writes.
static std::pair<SmallVector<Value>, SmallVector<Value>> accesses(Operation *step) {
  if (auto launch = dyn_cast<LaunchOp>(step))
    return {launch.getInputs(), launch.getOutputs()};
  if (isa<SizeOp>(step))
    return {step->getOperands(), {}};
  auto gemm = cast<GemmOp>(step);
  SmallVector<Value> reads = {gemm.getLhs(), gemm.getRhs()}, writes = {gemm.getOut()};
  llvm::append_range(reads, gemm.getExtras());
  llvm::append_range(writes, gemm.getResults());
  return {reads, writes};
}

//===-- Memory ------------------------------------------------------------------------------------------------------===//

/// The op that a launch computes; null where there is no such kernel.
static Operation *computedBy(LaunchOp launch) {
  auto kernel = SymbolTable::lookupNearestSymbolFrom<KernelOp>(launch, launch.getKernelAttr());
  return kernel ? kernel.getOp() : nullptr;
}

/// Whether the launch has as many operands as its op, which is verified after this is asked.
static bool fitsOp(LaunchOp launch, Operation *op) {
  return launch.getInputs().size() == op->getNumOperands() && launch.getOutputs().size() == op->getNumResults();
}

/// The one step that reads what the launch leaves in the arena, if it is a launch.
static LaunchOp onlyReaderOf(LaunchOp launch) {
  SmallVector<Value> names = {storageOf(launch.getOutputs()[0])};
  if (storageOf(names[0]).getKind() != BufferKind::arena)
    return {};
  LaunchOp reader;
  for (size_t i = 0; i < names.size(); ++i)
    for (Operation *user : names[i].getUsers()) {
      if (isa<ViewOp>(user) && product(sizesOf(user->getResult(0))) == product(sizesOf(names[i])))
        names.push_back(user->getResult(0));
      else if (user != launch && (reader || !(reader = dyn_cast<LaunchOp>(user))))
        return {};
    }
  return reader;
}

static LaunchOp roundingOf(LaunchOp launch, AttentionOp attention) {
  LaunchOp reader = attention.getLayout() == HeadLayout::bhsd ? LaunchOp() : onlyReaderOf(launch);
  auto rounding = dyn_cast_or_null<RoundE4m3Op>(reader ? computedBy(reader) : nullptr);
  if (!rounding || !rounding.getScale() || !fitsOp(reader, rounding) || storageOf(reader.getInputs()[1]).getKind() != BufferKind::weight)
    return {};
  Value made = launch.getOutputs()[0], rounded = reader.getOutputs()[0];
  if (storageOf(reader.getInputs()[0]) != storageOf(made) || sizesOf(made).size() < 2 || sizesOf(rounded).empty())
    return {};
  bool sameRows = sizesOf(rounded).back() == product(llvm::ArrayRef(sizesOf(made)).take_back(2));
  return sameRows && storageOf(rounded).getKind() == BufferKind::arena && isa<Float8E4M3FNType>(storedElementOf(rounded)) ? reader : LaunchOp();
}

static LaunchOp elementwiseBehind(LaunchOp launch, CumulativeSumOp sum) {
  Value made = launch.getOutputs()[0];
  LaunchOp reader = sum.getAxis() + 1 == int64_t(sizesOf(made).size()) ? onlyReaderOf(launch) : LaunchOp();
  Operation *op = reader ? computedBy(reader) : nullptr;
  if (!op || !isa<FusedOp, ScalarOp>(op) || !fitsOp(reader, op) || !llvm::equal(sizesOf(reader.getOutputs()[0]), sizesOf(made)))
    return {};
  auto isThere = [&](Value input) {
    return storageOf(input).getKind() == BufferKind::input || storageOf(input) == storageOf(made) || storageOf(input) == storageOf(launch.getInputs()[0]);
  };
  return llvm::all_of(reader.getInputs(), [&](Value input) { return isThere(input) && llvm::equal(sizesOf(input), sizesOf(made)); }) ? reader : LaunchOp();
}

LaunchOp followerOf(LaunchOp launch) {
  Operation *op = computedBy(launch);
  if (!op || !fitsOp(launch, op))
    return {};
  if (auto attention = dyn_cast<AttentionOp>(op))
    return roundingOf(launch, attention);
  auto sum = dyn_cast<CumulativeSumOp>(op);
  return sum ? elementwiseBehind(launch, sum) : LaunchOp();
}

SmallVector<Lifetime> lifetimesOf(ProgramOp program, SmallVectorImpl<Operation *> *steps) {
  llvm::MapVector<Operation *, Lifetime> lifetimes;
  int64_t step = 0;
  auto use = [&](Value buffer) {
    if (auto *entry = lifetimes.find(storageOf(buffer)); entry != lifetimes.end()) {
      entry->second.first = std::min(entry->second.first, step);
      entry->second.last = step;
    }
  };
  for (auto buffer : program.getBody().getOps<BufferOp>())
    if (buffer.getKind() == BufferKind::arena)
      lifetimes.insert({buffer, {buffer, INT64_MAX, -1}});
  for (Operation &op : program.getBody().front()) {
    if (!isStep(&op))
      continue;
    for (Value operand : op.getOperands())
      use(operand);
    auto launch = dyn_cast<LaunchOp>(op);
    if (LaunchOp follower = launch ? followerOf(launch) : LaunchOp())
      use(follower.getOutputs()[0]);
    if (steps)
      steps->push_back(&op);
    ++step;
  }
  SmallVector<Lifetime> result;
  for (auto &[op, lifetime] : lifetimes)
    result.push_back(lifetime);
  return result;
}

void setPredictedBytes(ProgramOp program) {
  int64_t staging = 0, states = 0, weights = 0;
  for (auto buffer : program.getBody().getOps<BufferOp>()) {
    int64_t bytes = aligned(buffer.getBytes());
    switch (buffer.getKind()) {
    case BufferKind::arena: break;
    case BufferKind::weight: weights += bytes; break;
    case BufferKind::state: states += bytes; break;
    default: staging += bytes;
    }
  }
  program.setStagingBytes(staging);
  program.setStateBytes(states);
  program.setWeightBytes(weights);
}

/// C4: no two buffers that one step has in use share bytes, unless the step may write the one over the other.
static LogicalResult verifyOverlaps(ProgramOp program, SymbolTableCollection &symbols) {
  SmallVector<Operation *> steps;
  SmallVector<Lifetime> lifetimes = lifetimesOf(program, &steps);
  // Sorted by offset, a buffer needs to be compared only with those that begin before it ends.
  llvm::stable_sort(lifetimes, [](const Lifetime &a, const Lifetime &b) {
    return *const_cast<BufferOp &>(a.buffer).getOffset() < *const_cast<BufferOp &>(b.buffer).getOffset();
  });
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    int64_t end = *lifetimes[i].buffer.getOffset() + lifetimes[i].buffer.getBytes();
    for (size_t j = i + 1; j < lifetimes.size() && int64_t(*lifetimes[j].buffer.getOffset()) < end; ++j) {
      Lifetime a = lifetimes[i], b = lifetimes[j];
      if (b.first < a.first)
        std::swap(a, b);
      if (a.last < b.first || b.last < b.first)
        continue;
      auto launch = a.last == b.first && a.first < b.first ? dyn_cast<LaunchOp>(steps[b.first]) : LaunchOp();
      bool inPlace = false;
      if (launch && *a.buffer.getOffset() == *b.buffer.getOffset()) {
        auto kernel = symbols.lookupNearestSymbolFrom<KernelOp>(launch, launch.getKernelAttr());
        auto results = launch.getOutputs();
        auto written = llvm::find_if(results, [&](Value output) { return storageOf(output) == b.buffer; });
        inPlace = kernel && written != results.end() && mayOverwrite(launch, kernel, a.buffer, *written);
      }
      if (!inPlace)
        return b.buffer.emitOpError("overlaps a buffer that is in use at the same step (C4 of 'plan.program')")
                   .attachNote(a.buffer.getLoc())
               << "in use from step " << a.first << " to " << a.last << ", this one from " << b.first << " to " << b.last;
    }
  }
  return success();
}

/// C5.
static LogicalResult verifyReads(ProgramOp program) {
  llvm::DenseSet<Operation *> written;
  for (Operation &op : program.getBody().front()) {
    if (!isStep(&op))
      continue;
    auto [reads, writes] = accesses(&op);
    for (Value read : reads) {
      BufferOp storage = storageOf(read);
      bool fromSteps = storage.getKind() == BufferKind::arena || storage.getKind() == BufferKind::output;
      if (fromSteps && !written.contains(storage))
        return op.emitOpError("reads a buffer that no step has written yet (C5 of 'plan.program')");
    }
    for (Value write : writes)
      written.insert(storageOf(write));
  }
  return success();
}

/// C6. The runtime learns sizes from the inputs, and from the steps that set one.
class NameCheck {
public:
  LogicalResult run(ProgramOp program) {
    for (Operation &op : program.getBody().front()) {
      if (auto buffer = dyn_cast<BufferOp>(op); buffer && buffer.getKind() == BufferKind::input)
        for (const DimExpr &dim : parseSizes(buffer.getShape()))
          if (std::optional<std::string> name = dim.asSymbol())
            bound.insert(*name);
    }
    for (auto size : program.getBody().getOps<SizeOp>())
      if (bound.contains(size.getName()) || !sources.try_emplace(size.getName(), storageOf(size.getSource())).second)
        return size.emitOpError("sets ") << size.getName() << ", which has a value (C6 of 'plan.program')";
    for (Operation &op : program.getBody().front())
      if (failed(checkOp(&op)))
        return failure();
    return success();
  }

private:
  LogicalResult checkOp(Operation *op) {
    if (auto size = dyn_cast<SizeOp>(op)) {
      bound.insert(size.getName());
    } else if (auto launch = dyn_cast<LaunchOp>(op)) {
      SmallVector<BufferOp> written = llvm::map_to_vector(launch.getOutputs(), storageOf);
      for (Value output : launch.getOutputs())
        if (failed(checkSizes(op, sizesOf(output), written)))
          return failure();
      for (Value input : launch.getInputs())
        if (failed(checkSizes(op, sizesOf(input), {})))
          return failure();
      return checkSizes(op, {DimExpr::parse(launch.getWork()).value_or(DimExpr())}, {});
    } else if (auto gemm = dyn_cast<GemmOp>(op)) {
      for (Value operand : gemm->getOperands())
        if (failed(checkSizes(op, sizesOf(operand), {})))
          return failure();
    } else if (auto buffer = dyn_cast<BufferOp>(op); buffer && (buffer.getKind() == BufferKind::input || buffer.getKind() == BufferKind::state)) {
      return checkSizes(op, sizesOf(op->getResult(0)), {});
    } else {
      return checkSizes(op, sizesOf(op->getResult(0)), llvm::map_to_vector(sources, [](auto &source) { return source.second; }));
    }
    return success();
  }

  /// `written`: buffers whose number may give a name its value later on.
  LogicalResult checkSizes(Operation *op, const Dims &sizes, llvm::ArrayRef<BufferOp> written) {
    for (const DimExpr &size : sizes)
      for (auto &[names, coefficient] : size.isUnknown() ? DimExpr::Terms() : size.polynomial())
        for (const std::string &name : names)
          if (!bound.contains(name) && !(sources.contains(name) && llvm::is_contained(written, sources.lookup(name))))
            return op->emitOpError("uses the size ") << name << ", which is no dimension of an input"
                                                     << (sources.contains(name) ? " and is set later" : "")
                                                     << " (C6 of 'plan.program')";
    return success();
  }

  llvm::StringSet<> bound;
  llvm::MapVector<llvm::StringRef, BufferOp> sources; ///< of the names that steps set
};

LogicalResult ProgramOp::verifyRegions() {
  llvm::StringSet<> names;
  if (getBody().getNumArguments() != 0)
    return emitOpError("C1: a program takes no values, found ") << getBody().getNumArguments();
  for (Operation &op : getBody().front()) {
    if (!isa<BufferOp, ViewOp>(op) && !isStep(&op))
      return emitOpError("C1: '") << op.getName() << "' cannot stand in a program";
    auto buffer = dyn_cast<BufferOp>(op);
    if (!buffer)
      continue;
    if (buffer.getKind() == BufferKind::arena) {
      uint64_t end;
      if (__builtin_add_overflow(*buffer.getOffset(), buffer.getBytes(), &end) || end > getArenaBytes())
        return buffer.emitOpError("ends after the arena of ") << getArenaBytes() << " bytes (C3 of 'plan.program')";
    } else if (!names.insert((stringifyBufferKind(buffer.getKind()) + " " + *buffer.getName()).str()).second) {
      return emitOpError("C2: two ") << stringifyBufferKind(buffer.getKind()) << " buffers are named \"" << *buffer.getName() << '"';
    }
  }
  if (failed(verifyReads(*this)))
    return failure();
  return NameCheck().run(*this);
}

/// C7.
static LogicalResult verifyWeights(ProgramOp program, ModuleOp module) {
  llvm::StringMap<Type> weights;
  for (auto weight : module.getOps<WeightOp>())
    if (!weights.insert({weight.getName(), weight.getType()}).second)
      return weight.emitOpError("C4: there is another weight \"") << weight.getName() << '"';
  for (auto buffer : program.getBody().getOps<BufferOp>()) {
    if (buffer.getKind() != BufferKind::weight)
      continue;
    auto found = weights.find(*buffer.getName());
    if (found == weights.end())
      return program.emitOpError("C7: the module has no weight \"") << *buffer.getName() << '"';
    if (found->second != buffer.getTensor())
      return program.emitOpError("C7: weight \"") << *buffer.getName() << "\" is " << found->second << ", found " << buffer.getTensor();
  }
  return success();
}

LogicalResult ProgramOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto module = (*this)->getParentOfType<ModuleOp>();
  if (failed(verifyOverlaps(*this, symbols)) || failed(verifyWeights(*this, module)))
    return failure();
  llvm::StringMap<BufferOp> states;
  for (auto program : module.getOps<ProgramOp>())
    for (auto buffer : program.getBody().getOps<BufferOp>()) {
      if (buffer.getKind() != BufferKind::state)
        continue;
      BufferOp other = states.insert({*buffer.getName(), buffer}).first->second;
      if (other.getTensor() != buffer.getTensor() || other.getShape() != buffer.getShape() || other.getStored() != buffer.getStored())
        return buffer.emitOpError("differs from the state \"") << *buffer.getName() << "\" of another program (C8 of 'plan.program')";
    }
  return success();
}

} // namespace transom::plan
