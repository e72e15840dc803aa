// See PlanKernels.h.
#include "passes/PlanKernels.h"

#include "ir/GroupKernel.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom {

//===-- Names -------------------------------------------------------------------------------------------------------===//

static std::string elementName(Type element) {
  if (auto block = dyn_cast<BlockType>(element))
    return stringifyBlockFormat(block.getFormat()).str();
  std::string text;
  llvm::raw_string_ostream(text) << element;
  return text;
}

/// "_1536x576", of the sizes that are known.
static std::string sizesName(Type type) {
  std::string text;
  for (const DimExpr &dim : dimsOf(type))
    if (dim.constant())
      text += (text.empty() ? "_" : "x") + std::to_string(*dim.constant());
  return text;
}

/// What a fused region does, by the op that stands out.
static std::string fusedName(FusedOp op) {
  std::string name = "fused";
  bool divides = false;
  for (Operation &scalar : op.getBody().front().without_terminator()) {
    llvm::StringRef kind = scalar.getName().stripDialect();
    divides |= kind == "divf";
    if (kind == "erf" || kind == "tanh")
      return "gelu";
    if (kind == "exp")
      name = "silu";
    if (name == "fused" && (kind == "addf" || kind == "mulf"))
      name = kind.drop_back().str();
  }
  return name == "silu" && !divides ? "exp" : name;
}

/// "gemv_rms_norm_silu_mul": the ops in their order, each once.
static std::string groupStem(GroupOp group) {
  std::string name;
  llvm::StringSet<> said;
  auto say = [&](const std::string &word) {
    if (said.insert(word).second)
      name += (name.empty() ? "" : "_") + word;
  };
  if (!group.getBody().front().getOps<MatmulOp>().empty())
    say("gemv");
  for (Operation &op : group.getBody().front().without_terminator())
    if (auto fused = dyn_cast<FusedOp>(op))
      say(fusedName(fused));
    else if (!isReshape(&op) && !isa<SliceOp, MatmulOp>(op))
      say(op.getName().stripDialect().str());
  return name;
}

/// What a group's kernel works on: its weight, or its first result that is no cache.
static Type shownType(GroupOp group) {
  for (auto matmul : group.getBody().front().getOps<MatmulOp>())
    return matmul.getRhs().getType();
  for (Type type : group.getResultTypes())
    if (!isa<CacheType>(type))
      return type;
  return group.getResultTypes().front();
}

std::string kernelName(Operation *op, llvm::StringRef stem) {
  std::string name = (stem.empty() ? op->getName().stripDialect() : stem).str();
  Type shown = op->getResult(0).getType();
  if (auto group = dyn_cast<GroupOp>(op)) {
    name = groupStem(group);
    shown = shownType(group);
  } else if (auto matmul = dyn_cast<MatmulOp>(op); matmul && plan::isGemv(matmul))
    shown = matmul.getRhs().getType();
  else if (auto embedding = dyn_cast<EmbeddingOp>(op))
    shown = embedding.getTable().getType();
  else if (auto attention = dyn_cast<AttentionOp>(op); attention && isa<CacheType>(attention.getKey().getType()))
    name = attention.getLayout() == HeadLayout::thd ? "attention_packed_cached" : "attention_cached";
  else if (attention && attention.getLayout() == HeadLayout::thd)
    name = "attention_packed";
  if (!elementOf(shown).isF32())
    name += "_" + elementName(elementOf(shown));
  return name + sizesName(shown);
}

//===-- Work --------------------------------------------------------------------------------------------------------===//

static DimExpr rowsOf(const Dims &dims) { return dims.empty() ? DimExpr(1) : product(llvm::ArrayRef(dims).drop_back()); }

/// The group's form; groups without one are inlined before anybody asks.
static plan::GroupKernel kernelOf(GroupOp group) {
  std::string reason;
  FailureOr<plan::GroupKernel> kernel = plan::GroupKernel::of(group, reason);
  assert(succeeded(kernel) && "a group without a kernel");
  return *kernel;
}

DimExpr rowsOf(GroupOp group, const DimAnalysis &dims) {
  return kernelOf(group).rowsOf([&](unsigned index) { return dims.of(group.getInputs()[index]); });
}
int64_t scratchOf(GroupOp group, int64_t rows) { return kernelOf(group).scratch(rows); }

KernelWork workOf(Operation *op, const DimAnalysis &dims) {
  const Dims &result = dims.of(op->getResult(0));
  auto rowsOfOperand = [&](Value operand) { return KernelWork{rowsOf(dims.of(operand))}; };
  return llvm::TypeSwitch<Operation *, KernelWork>(op)
      .Case([&](FusedOp fused) {
        // Where the last size is not known, single elements are the items; 16 of them fill a vector.
        bool wholeRows = fused.getReduce() || fused.getType().getRank() == 0 || !fused.getType().isDynamicDim(fused.getType().getRank() - 1);
        return wholeRows ? KernelWork{rowsOf(result)} : KernelWork{product(result), 16};
      })
      .Case<SoftmaxOp, CumulativeSumOp>([&](auto along) {
        Dims others = result;
        others.erase(others.begin() + along.getAxis());
        return KernelWork{product(others)};
      })
      .Case<ReduceOp, ReducePackedOp>([&](auto) { return KernelWork{product(result)}; })
      .Case([&](MatmulOp matmul) {
        if (!plan::isGemv(matmul))
          return KernelWork{rowsOf(result)};
        int64_t n = cast<RankedTensorType>(matmul.getRhs().getType()).getDimSize(0);
        return KernelWork{DimExpr((n + plan::gemvRows - 1) / plan::gemvRows)};
      })
      .Case([&](GroupOp group) {
        plan::GroupKernel kernel = kernelOf(group);
        return KernelWork{kernel.items(rowsOf(group, dims)), kernel.grain()};
      })
      .Case<IotaOp, CumulativeLengthsOp, ValidTokensOp>([](auto) { return KernelWork{DimExpr(1)}; })
      .Case<ArgmaxOp, TopKOp>([&](auto op) { return rowsOfOperand(op.getInput()); })
      .Case<LastTokenOp, FirstTokenOp, SampleOp>([&](auto) { return KernelWork{result[0]}; })
      .Case([&](CacheAppendOp append) { return rowsOfOperand(append.getTokens()); })
      .Default([&](Operation *) { return KernelWork{rowsOf(result)}; });
}

//===-- The table ---------------------------------------------------------------------------------------------------===//

plan::KernelOp KernelTable::create(Location loc, Operation *body, bool unpack) {
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  auto signature = builder.getFunctionType(body->getOperandTypes(), body->getResultTypes());
  auto kernel = builder.create<plan::KernelOp>(loc, "kernel", signature, unpack);
  Block &block = kernel.getBody().emplaceBlock();
  for (Value operand : body->getOperands())
    block.addArgument(operand.getType(), loc);
  body->setOperands(block.getArguments());
  block.push_back(body);
  builder.setInsertionPointToEnd(&block);
  builder.create<plan::YieldOp>(loc, body->getResults());
  return kernel;
}

plan::KernelOp KernelTable::of(Operation *op, llvm::StringRef name) {
  return unique(create(op->getLoc(), op->clone(), /*unpack=*/false), name);
}

plan::KernelOp KernelTable::unpacking(RankedTensorType weight, Location loc) {
  OpBuilder builder(module.getContext());
  auto decoded = RankedTensorType::get(weight.getShape(), builder.getF32Type());
  // A stand-in operand: the op moves into the kernel, whose argument replaces it.
  auto source = builder.create<WeightOp>(loc, weight, "unpacked");
  Operation *body = isa<BlockType>(weight.getElementType())
                        ? builder.create<DequantizeOp>(loc, decoded, source, builder.getF32Type()).getOperation()
                        : builder.create<CastOp>(loc, decoded, source, builder.getF32Type()).getOperation();
  plan::KernelOp kernel = create(loc, body, /*unpack=*/true);
  source->erase();
  return unique(kernel, "unpack_" + elementName(weight.getElementType()) + sizesName(weight));
}

plan::KernelOp KernelTable::unique(plan::KernelOp candidate, llvm::StringRef name) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  candidate->print(stream, OpPrintingFlags().useLocalScope());
  auto [entry, isNew] = byText.try_emplace(text, candidate);
  if (!isNew) {
    candidate->erase();
    return entry->second;
  }
  std::string free = name.str();
  for (int number = 2; !taken.insert(free).second; ++number)
    free = (name + "_" + llvm::Twine(number)).str();
  candidate.setSymName(free);
  ordered.push_back(candidate);
  return candidate;
}

} // namespace transom
