// The plan dialect: its types, what buffers are, and all ops but the program.
#include "ir/Plan.h"

#include "ir/DimAnalysis.h"
#include "ir/GroupKernel.h"

#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/OpImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::SmallVector;

#include "ir/PlanDialect.cpp.inc"

#include "ir/PlanEnums.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "ir/PlanTypes.cpp.inc"

#define GET_OP_CLASSES
#include "ir/PlanOps.cpp.inc"

namespace transom::plan {

void PlanDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "ir/PlanTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "ir/PlanOps.cpp.inc"
      >();
}

//===-- Buffers -----------------------------------------------------------------------------------------------------===//

namespace {
struct BlockSize {
  int64_t elements, bytes;
};
/// Block sizes are those of GGML (ggml-common.h).
BlockSize blockSize(BlockFormat format) {
  switch (format) {
  case BlockFormat::q8_0: return {32, 34};
  case BlockFormat::q4_0: return {32, 18};
  case BlockFormat::q4_1: return {32, 20};
  case BlockFormat::q5_0: return {32, 22};
  case BlockFormat::q5_1: return {32, 24};
  case BlockFormat::q4_k: return {256, 144};
  case BlockFormat::q5_k: return {256, 176};
  case BlockFormat::q6_k: return {256, 210};
  }
  llvm_unreachable("a block format without a size");
}
} // namespace

std::optional<int64_t> bytesOfRow(Type element, int64_t elements) {
  auto block = dyn_cast<BlockType>(element);
  BlockSize size = block ? blockSize(block.getFormat()) : BlockSize{1, (element.getIntOrFloatBitWidth() + 7) / 8};
  int64_t bytes;
  if (elements < 0 || elements % size.elements != 0 || __builtin_mul_overflow(elements / size.elements, size.bytes, &bytes))
    return std::nullopt;
  return bytes;
}

std::optional<int64_t> bytesAtBounds(ModuleOp module, Type tensor, const Dims &dims, Type stored) {
  int64_t rows = 1, last = 1;
  for (const DimExpr &dim : dims) {
    std::optional<int64_t> size = maximumOf(module, dim);
    if (!size || *size < 0 || __builtin_mul_overflow(rows, last, &rows))
      return std::nullopt;
    last = *size;
  }
  std::optional<int64_t> row = bytesOfRow(stored ? stored : elementOf(tensor), last);
  if (row && keepsScales(tensor, stored))
    *row += scaleElements;
  int64_t bytes;
  if (!row || __builtin_mul_overflow(rows, *row, &bytes))
    return std::nullopt;
  return bytes;
}

bool keepsScales(Type tensor, Type stored) { return isa_and_nonnull<Float8E4M3FNType>(stored) && elementOf(tensor).isF32(); }

Dims parseSizes(ArrayAttr sizes) {
  Dims dims;
  for (auto size : sizes.getAsRange<StringAttr>())
    dims.push_back(DimExpr::parse(size.getValue()).value_or(DimExpr()));
  return dims;
}

BufferOp storageOf(Value buffer) {
  while (auto view = buffer.getDefiningOp<ViewOp>())
    buffer = view.getBase();
  return buffer.getDefiningOp<BufferOp>();
}

Type storedElementOf(Value buffer) { return storageOf(buffer).getStored().value_or(elementOf(tensorOf(buffer))); }

Type tensorOf(Value buffer) {
  if (auto view = buffer.getDefiningOp<ViewOp>())
    return view.getTensor();
  return buffer.getDefiningOp<BufferOp>().getTensor();
}

Dims sizesOf(Value buffer) {
  if (auto view = buffer.getDefiningOp<ViewOp>())
    return parseSizes(view.getShape());
  return parseSizes(buffer.getDefiningOp<BufferOp>().getShape());
}

bool beginsWith(ModuleOp module, const Dims &whole, const Dims &part) {
  if (whole.size() != part.size())
    return false;
  size_t axis = 0;
  while (axis < whole.size() && whole[axis] == part[axis] && maximumOf(module, whole[axis]) == 1)
    ++axis;
  if (axis == whole.size() || !part[axis].constant() || !llvm::equal(ArrayRef(whole).drop_front(axis + 1), ArrayRef(part).drop_front(axis + 1)))
    return false;
  const std::optional<int64_t> minusLeast = maximumOf(module, DimExpr(0) - whole[axis]);
  return minusLeast && *part[axis].constant() <= -*minusLeast;
}

bool isGemv(MatmulOp op) {
  auto rhs = cast<RankedTensorType>(op.getRhs().getType());
  return op.getTransposeRhs() && rhs.getRank() == 2 && rhs.hasStaticShape() && elementOf(op.getLhs().getType()).isF32();
}

/// Succeeds if `shape` spells sizes that a value of type `tensor` can have.
static LogicalResult verifyShape(Operation *op, StringRef constraint, Type tensor, ArrayAttr shape) {
  if (!isa<RankedTensorType, CacheType>(tensor) || !isElement(elementOf(tensor)))
    return op->emitOpError() << constraint << ": expected a tensor or cache type, found " << tensor;
  Dims expected = dimsOf(tensor);
  if (expected.size() != shape.size())
    return op->emitOpError() << constraint << ": expected " << expected.size() << " sizes, found " << shape.size();
  for (auto [dim, text] : llvm::zip(expected, shape.getAsRange<StringAttr>())) {
    std::optional<DimExpr> size = DimExpr::parse(text.getValue());
    if (!size || size->isUnknown())
      return op->emitOpError() << constraint << ": malformed size " << text;
    if (dim.constant() && !(dim == *size))
      return op->emitOpError() << constraint << ": expected the size " << dim.str() << ", found " << text;
  }
  return success();
}

LogicalResult BufferOp::verify() {
  bool inArena = getKind() == BufferKind::arena;
  if (!inArena && getName().value_or("").empty())
    return emitOpError("C1: expected a name");
  if (failed(verifyShape(*this, "C2", getTensor(), getShape())))
    return failure();
  if (inArena != getOffset().has_value())
    return emitOpError(inArena ? "C3: expected an offset" : "C3: an offset is for arena buffers");
  if (inArena && (int64_t(*getOffset()) < 0 || *getOffset() % alignment != 0))
    return emitOpError("C3: expected an offset that is a multiple of ") << alignment << ", found " << *getOffset();
  if (Type stored = getStored().value_or(Type())) {
    bool kept = inArena || getKind() == BufferKind::state;
    bool rows = inArena && isa<Float8E4M3FNType>(stored);
    if (!kept || !elementOf(getTensor()).isF32() || (!rows && !isa<Float16Type, BFloat16Type>(stored)))
      return emitOpError("C5: expected f16 or bf16 for numbers of f32 of the arena or a state, or f8E4M3FN in the arena, found ") << stored;
  }
  std::optional<int64_t> bytes =
      bytesAtBounds((*this)->getParentOfType<ModuleOp>(), getTensor(), parseSizes(getShape()), getStored().value_or(Type()));
  if (!bytes)
    return emitOpError("C4: ") << getShape() << " has no size at the module's bounds";
  if (*bytes != int64_t(getBytes()))
    return emitOpError("C4: expected ") << *bytes << " bytes, found " << getBytes();
  return success();
}

void BufferOp::getAsmResultNames(OpAsmSetValueNameFn setName) { setName(getResult(), getName().value_or("")); }

LogicalResult ViewOp::verify() {
  if (failed(verifyShape(*this, "C1", getTensor(), getShape())))
    return failure();
  if (!getBase().getDefiningOp<ViewOp>() && !getBase().getDefiningOp<BufferOp>())
    return emitOpError("C2: the base is no buffer");
  if (elementOf(getTensor()) != elementOf(tensorOf(getBase())))
    return emitOpError("C2: expected elements of ") << elementOf(tensorOf(getBase())) << ", found " << elementOf(getTensor());
  Dims sizes = parseSizes(getShape()), base = sizesOf(getBase());
  const bool begins = storageOf(getBase()).getKind() == BufferKind::arena && beginsWith((*this)->getParentOfType<ModuleOp>(), base, sizes);
  if (!begins && !(product(sizes) == product(base)))
    return emitOpError("C3: ") << str(base) << " and " << str(sizes) << " are not known to have equally many elements, nor does one begin the other";
  std::optional<int64_t> bytes = bytesAtBounds((*this)->getParentOfType<ModuleOp>(), getTensor(), sizes, storageOf(getBase()).getStored().value_or(Type()));
  int64_t have = storageOf(getBase()).getBytes();
  if (!bytes || *bytes > have)
    return emitOpError("C4: ") << bytes.value_or(0) << " bytes at the bounds, but the base has " << have;
  return success();
}

//===-- Weights and kernels -----------------------------------------------------------------------------------------===//

LogicalResult WeightOp::verifyRegions() {
  auto tensor = dyn_cast<RankedTensorType>(getType());
  if (getName().empty() || !tensor || !tensor.hasStaticShape() || !isElement(tensor.getElementType()))
    return emitOpError("C1: expected a name and a tensor of static shape, found ") << getType();
  if (getValue() && (getValue()->getShapedType() != tensor || !getRecipe().empty()))
    return emitOpError("C2: expected a value of type ") << tensor << " and no recipe";
  if (getRecipe().empty())
    return success();
  if (!getRecipe().hasOneBlock() || getRecipe().front().empty() || getRecipe().getNumArguments() != 0)
    return emitOpError("C3: expected a recipe of one block without arguments");
  Block &block = getRecipe().front();
  auto yield = dyn_cast<YieldOp>(block.back());
  if (!yield || yield.getNumOperands() != 1 || yield.getOperand(0).getType() != tensor)
    return emitOpError("C3: expected a recipe that yields ") << tensor;
  for (Operation &op : llvm::make_range(block.begin(), std::prev(block.end())))
    if (!isa<TransomDialect>(op.getDialect()) || op.getNumRegions() != 0)
      return emitOpError("C3: '") << op.getName() << "' cannot stand in a recipe";
  return success();
}

ParseResult KernelOp::parse(OpAsmParser &parser, OperationState &state) {
  StringAttr name;
  SmallVector<OpAsmParser::Argument> arguments;
  SmallVector<Type> results, inputs;
  if (parser.parseSymbolName(name, "sym_name", state.attributes) ||
      parser.parseArgumentList(arguments, OpAsmParser::Delimiter::Paren, /*allowType=*/true) ||
      parser.parseArrowTypeList(results))
    return failure();
  for (OpAsmParser::Argument &argument : arguments)
    inputs.push_back(argument.type);
  auto &builder = parser.getBuilder();
  state.addAttribute("function_type", TypeAttr::get(builder.getFunctionType(inputs, results)));
  if (succeeded(parser.parseOptionalKeyword("unpack")))
    state.addAttribute("unpack", builder.getUnitAttr());
  return failure(parser.parseOptionalAttrDictWithKeyword(state.attributes) ||
                 parser.parseRegion(*state.addRegion(), arguments));
}

void KernelOp::print(OpAsmPrinter &printer) {
  printer << ' ';
  printer.printSymbolName(getSymName());
  printer << '(';
  llvm::interleaveComma(getBody().getArguments(), printer, [&](BlockArgument argument) { printer.printRegionArgument(argument); });
  printer << ')';
  printer.printArrowTypeList(getFunctionType().getResults());
  if (getUnpack())
    printer << " unpack";
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs(), {"sym_name", "function_type", "unpack"});
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

LogicalResult KernelOp::verifyRegions() {
  Block &block = getBody().front();
  if (block.getOperations().size() != 2 || !isa<TransomDialect>(block.front().getDialect()) || !isa<YieldOp>(block.back()))
    return emitOpError("C1: expected one transom op and a yield");
  Operation *op = getOp();
  if (!llvm::equal(op->getOperands(), block.getArguments()) || !llvm::equal(block.back().getOperands(), op->getResults()))
    return emitOpError("C2: expected '") << op->getName() << "' to take the arguments in order, and its results to be yielded";
  if (getFunctionType().getInputs() != TypeRange(block.getArgumentTypes()) || getFunctionType().getResults() != op->getResultTypes())
    return emitOpError("C3: body and signature differ in types");
  for (Type type : bufferTypes())
    if (!isa<RankedTensorType, CacheType>(type))
      return emitOpError("C4: expected tensors and caches, found ") << type;
  std::string reason;
  if (auto group = dyn_cast<GroupOp>(op); group && failed(GroupKernel::of(group, reason)))
    return emitOpError("C6: no kernel computes the group: ") << reason;
  if (!getUnpack())
    return success();
  auto from = isa<DequantizeOp, CastOp>(op) ? dyn_cast<RankedTensorType>(op->getOperand(0).getType()) : RankedTensorType();
  if (!from || from.getRank() != 2 || !from.hasStaticShape() || !elementOf(op->getResult(0).getType()).isF32())
    return emitOpError("C5: expected one dequantize or cast of a static matrix to f32");
  return success();
}

SmallVector<Type> KernelOp::bufferTypes() {
  SmallVector<Type> types(getFunctionType().getInputs());
  llvm::append_range(types, getFunctionType().getResults());
  return types;
}

bool KernelOp::canOverwrite(unsigned index, unsigned result) {
  if (isa<CacheAppendOp>(getOp()))
    return index == 0;
  if (auto group = dyn_cast<GroupOp>(getOp()))
    return groupCanOverwrite(group, index, result);
  auto fused = dyn_cast<FusedOp>(getOp());
  if (!fused || fused.getReduce())
    return false;
  Type from = fused.getInputs()[index].getType(), to = fused.getType();
  return bytesOfRow(elementOf(from), 1) == bytesOfRow(elementOf(to), 1) && dimsOf(from).size() == dimsOf(to).size();
}

} // namespace transom::plan
