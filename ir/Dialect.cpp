// The dialect: what it holds, and the checks of entry function attributes.
#include "ir/Transom.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/DialectImplementation.h"

using namespace mlir;
using llvm::SmallVector;

#include "ir/TransomDialect.cpp.inc"

#include "ir/TransomEnums.cpp.inc"

#include "ir/TransomInterfaces.cpp.inc"

namespace transom {

void TransomDialect::initialize() {
  registerTypes();
  addOperations<
#define GET_OP_LIST
#include "ir/TransomOps.cpp.inc"
      >();
}

Operation *TransomDialect::materializeConstant(OpBuilder &builder, Attribute value, Type type, Location loc) {
  auto elements = dyn_cast<ElementsAttr>(value);
  if (!elements || elements.getType() != type)
    return nullptr;
  return builder.create<ConstantOp>(loc, elements);
}

LogicalResult TransomDialect::verifyOperationAttribute(Operation *op, NamedAttribute attribute) {
  if (attribute.getName() != "transom.bounds")
    return success();
  auto bounds = dyn_cast<DictionaryAttr>(attribute.getValue());
  if (!bounds || !isa<ModuleOp>(op))
    return op->emitError("transom.bounds is a dictionary on the module");
  for (NamedAttribute bound : bounds) {
    auto range = dyn_cast<ArrayAttr>(bound.getValue());
    if (!range || range.size() != 2 || !llvm::all_of(range, llvm::IsaPred<IntegerAttr>))
      return op->emitError("transom.bounds: expected ") << bound.getName() << " = [min, max]";
    int64_t min = cast<IntegerAttr>(range[0]).getInt(), max = cast<IntegerAttr>(range[1]).getInt();
    if (min < 0 || max < std::max<int64_t>(min, 1))
      return op->emitError("transom.bounds: expected 0 <= min <= max and 1 <= max for ")
             << bound.getName() << ", found [" << min << ", " << max << "]";
  }
  return success();
}

/// Checks transom.dims of an argument or result of type `type`.
static LogicalResult verifyDims(Operation *op, Type type, NamedAttribute attribute) {
  if (attribute.getName() == "transom.name" && !isa<StringAttr>(attribute.getValue()))
    return op->emitError("transom.name is a string");
  if (attribute.getName() != "transom.dims")
    return success();
  auto texts = dyn_cast<ArrayAttr>(attribute.getValue());
  if (!texts || !llvm::all_of(texts, llvm::IsaPred<StringAttr>) || !isa<RankedTensorType, CacheType>(type))
    return op->emitError("transom.dims is a list of strings on a tensor");
  Dims dims = dimsOf(type);
  if (dims.size() != texts.size())
    return op->emitError("transom.dims: expected ") << dims.size() << " sizes, found " << texts.size();
  for (auto [dim, text] : llvm::zip(dims, texts.getAsRange<StringAttr>())) {
    std::optional<DimExpr> expr = DimExpr::parse(text.getValue());
    if (!expr)
      return op->emitError("transom.dims: malformed size ") << text;
    if (!dim.mayEqual(*expr))
      return op->emitError("transom.dims: expected ") << dim.str() << ", found " << text;
  }
  return success();
}

LogicalResult TransomDialect::verifyRegionArgAttribute(Operation *op, unsigned, unsigned index, NamedAttribute attribute) {
  auto function = dyn_cast<func::FuncOp>(op);
  return function ? verifyDims(op, function.getArgumentTypes()[index], attribute) : success();
}

LogicalResult TransomDialect::verifyRegionResultAttribute(Operation *op, unsigned, unsigned index, NamedAttribute attribute) {
  auto function = dyn_cast<func::FuncOp>(op);
  return function ? verifyDims(op, function.getResultTypes()[index], attribute) : success();
}

} // namespace transom

#define GET_OP_CLASSES
#include "ir/TransomOps.cpp.inc"
