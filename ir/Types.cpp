// Types: which elements tensors may have, block layouts, caches, and the shape helpers every op uses.
#include "ir/Transom.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::StringRef;

#define GET_TYPEDEF_CLASSES
#include "ir/TransomTypes.cpp.inc"

namespace transom {

bool isScalar(Type type) {
  if (auto integer = dyn_cast<IntegerType>(type))
    return integer.isSignless() && llvm::is_contained({1u, 8u, 16u, 32u, 64u}, integer.getWidth());
  return isa<Float8E4M3FNType, Float16Type, BFloat16Type, Float32Type, Float64Type>(type);
}

bool isElement(Type type) { return isScalar(type) || isa<BlockType>(type); }

Type elementOf(Type type) {
  if (auto cache = dyn_cast<CacheType>(type))
    return cache.getElementType();
  return getElementTypeOrSelf(type);
}

Dims dimsOf(Type type) {
  ArrayRef<int64_t> shape =
      isa<CacheType>(type) ? cast<CacheType>(type).getShape() : cast<RankedTensorType>(type).getShape();
  Dims dims;
  for (int64_t size : shape)
    dims.push_back(ShapedType::isDynamic(size) ? DimExpr() : DimExpr(size));
  return dims;
}

SmallVector<int64_t> shapeOf(const Dims &dims) {
  SmallVector<int64_t> shape;
  for (const DimExpr &dim : dims)
    shape.push_back(dim.constant().value_or(ShapedType::kDynamic));
  return shape;
}

void TransomDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "ir/TransomTypes.cpp.inc"
      >();
}

Type CacheType::parse(AsmParser &parser) {
  SmallVector<int64_t> shape;
  Type element;
  auto location = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseDimensionList(shape) || parser.parseType(element) || parser.parseGreater())
    return {};
  return parser.getChecked<CacheType>(location, parser.getContext(), shape, element);
}

void CacheType::print(AsmPrinter &printer) const {
  printer << '<';
  printer.printDimensionList(getShape());
  printer << 'x' << getElementType() << '>';
}

LogicalResult CacheType::verify(llvm::function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape, Type element) {
  if (shape.size() != 4)
    return emitError() << "expected [batch, kv_heads, capacity, head_dim], found " << shape.size() << " dimensions";
  for (unsigned axis : {1u, 2u, 3u})
    if (ShapedType::isDynamic(shape[axis]) || shape[axis] <= 0)
      return emitError() << "expected a static size for dimension " << axis << " of a cache";
  if (!llvm::isa<Float16Type, BFloat16Type, Float32Type, Float64Type>(element))
    return emitError() << "expected a float element type, found " << element;
  return success();
}

namespace detail {

Type withDims(Type like, Type element, const Dims &dims) {
  if (auto cache = dyn_cast<CacheType>(like))
    return CacheType::get(like.getContext(), shapeOf(dims), element);
  return RankedTensorType::get(shapeOf(dims), element);
}

bool compatible(TypeRange inferred, TypeRange actual) {
  if (inferred.size() != actual.size())
    return false;
  for (auto [a, b] : llvm::zip(inferred, actual)) {
    if (elementOf(a) != elementOf(b) || isa<CacheType>(a) != isa<CacheType>(b))
      return false;
    Dims left = dimsOf(a), right = dimsOf(b);
    if (left.size() != right.size())
      return false;
    for (auto [x, y] : llvm::zip(left, right))
      if (!x.mayEqual(y))
        return false;
  }
  return true;
}

FailureOr<Dims> broadcastLeading(ArrayRef<Dims> operands, unsigned fixed, StringRef constraint, EmitError emitError) {
  size_t rank = 0;
  for (const Dims &dims : operands)
    rank = std::max(rank, dims.size() - fixed);
  Dims result(rank, DimExpr(1));
  for (const Dims &dims : operands) {
    size_t skipped = rank - (dims.size() - fixed);
    for (size_t i = 0; i + fixed < dims.size(); ++i) {
      DimExpr &size = result[skipped + i];
      if (dims[i] == DimExpr(1) || dims[i] == size)
        continue;
      if (size == DimExpr(1)) {
        size = dims[i];
        continue;
      }
      if (!size.mayEqual(dims[i]))
        return emitError() << constraint << ": shapes do not broadcast: " << transom::str(operands[0]) << " and " << transom::str(dims);
      // A static size says more than a dynamic one that must equal it.
      if (!size.constant() && (dims[i].constant() || size.isUnknown()))
        size = dims[i];
    }
  }
  return result;
}

FailureOr<SmallVector<Dims>> broadcastDims(ArrayRef<Dims> operands, EmitError emitError) {
  FailureOr<Dims> dims = broadcastLeading(operands, 0, "C1", emitError);
  if (failed(dims))
    return failure();
  return SmallVector<Dims>{*dims};
}

} // namespace detail
} // namespace transom
