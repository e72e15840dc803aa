// The graph dialect: types, attributes, interfaces and ops. Read TransomOps.td's families for their meaning.
#pragma once

#include "ir/DimExpr.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace transom {

/// Starts a diagnostic at the op under construction or verification.
using EmitError = llvm::function_ref<mlir::InFlightDiagnostic()>;

/// Element types of graph tensors, and of the plain ones among them.
bool isElement(mlir::Type type);
bool isScalar(mlir::Type type);

/// The sizes of a tensor or cache type, dynamic ones unknown.
Dims dimsOf(mlir::Type type);
/// The shape of a tensor type with sizes `dims`; sizes that are not constant become dynamic.
llvm::SmallVector<int64_t> shapeOf(const Dims &dims);
/// Element type of a tensor or cache type.
mlir::Type elementOf(mlir::Type type);

namespace detail {

/// C1 of elementwise ops: NumPy broadcasting.
mlir::FailureOr<llvm::SmallVector<Dims>> broadcastDims(llvm::ArrayRef<Dims> operands, EmitError emitError);
/// Numpy broadcasting of all but the last `fixed` sizes; the fixed ones are not touched. `constraint` names it in errors.
mlir::FailureOr<Dims> broadcastLeading(llvm::ArrayRef<Dims> operands, unsigned fixed, llvm::StringRef constraint,
                                       EmitError emitError);
/// Whether the types' element types are equal and their sizes may be.
bool compatible(mlir::TypeRange inferred, mlir::TypeRange actual);
/// The type with another element type and sizes: a cache stays a cache.
mlir::Type withDims(mlir::Type like, mlir::Type element, const Dims &dims);

template <typename Op>
llvm::LogicalResult inferReturnTypes(std::optional<mlir::Location> location, mlir::ValueRange operands,
                                     mlir::DictionaryAttr attributes, mlir::OpaqueProperties properties,
                                     mlir::RegionRange regions, llvm::SmallVectorImpl<mlir::Type> &types) {
  typename Op::Adaptor adaptor(operands, attributes, properties, regions);
  llvm::SmallVector<Dims> dims;
  for (mlir::Value operand : operands)
    dims.push_back(dimsOf(operand.getType()));
  mlir::Location loc = location.value_or(mlir::UnknownLoc::get(attributes ? attributes.getContext() : operands[0].getContext()));
  auto results = Op::inferDims(adaptor, dims, [&] { return mlir::emitError(loc) << "'" << Op::getOperationName() << "' op "; });
  if (failed(results))
    return mlir::failure();
  for (auto [index, result] : llvm::enumerate(*results)) {
    if constexpr (requires { Op::inferElement(adaptor, unsigned()); })
      types.push_back(mlir::RankedTensorType::get(shapeOf(result), Op::inferElement(adaptor, index)));
    else
      types.push_back(withDims(operands[0].getType(), elementOf(operands[0].getType()), result));
  }
  return mlir::success();
}

template <typename ConcreteOp> class InferTypes : public mlir::OpTrait::TraitBase<ConcreteOp, InferTypes> {
public:
  static llvm::LogicalResult inferReturnTypes(mlir::MLIRContext *, std::optional<mlir::Location> location,
                                              mlir::ValueRange operands, mlir::DictionaryAttr attributes,
                                              mlir::OpaqueProperties properties, mlir::RegionRange regions,
                                              llvm::SmallVectorImpl<mlir::Type> &types) {
    return detail::inferReturnTypes<ConcreteOp>(location, operands, attributes, properties, regions, types);
  }
};

} // namespace detail
} // namespace transom

#include "ir/TransomEnums.h.inc"

#include "ir/TransomDialect.h.inc"

#define GET_TYPEDEF_CLASSES
#include "ir/TransomTypes.h.inc"

#include "ir/TransomInterfaces.h.inc"

namespace transom::detail {
// Scalar forms that take more than one op. Shared by ops only.
mlir::Value emitRsqrt(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x);
mlir::Value emitRelu(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x);
mlir::Value emitSigmoid(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x);
mlir::Value emitSilu(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x);
mlir::Value emitGelu(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x, GeluForm form);
mlir::Value emitAdd(mlir::OpBuilder &b, mlir::Location loc, mlir::ValueRange x);
mlir::Value emitSub(mlir::OpBuilder &b, mlir::Location loc, mlir::ValueRange x);
mlir::Value emitMul(mlir::OpBuilder &b, mlir::Location loc, mlir::ValueRange x);
mlir::Value emitDiv(mlir::OpBuilder &b, mlir::Location loc, mlir::ValueRange x);
mlir::Value emitMax(mlir::OpBuilder &b, mlir::Location loc, mlir::ValueRange x);
mlir::Value emitMin(mlir::OpBuilder &b, mlir::Location loc, mlir::ValueRange x);
mlir::Value emitCompare(mlir::OpBuilder &b, mlir::Location loc, ComparePredicate predicate, mlir::ValueRange x);
mlir::Value emitCast(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x, mlir::Type to);
} // namespace transom::detail

#define GET_OP_CLASSES
#include "ir/TransomOps.h.inc"
