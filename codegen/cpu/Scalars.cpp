// The table from arith and math ops to LLVM vector code, and element types in registers and in memory.
#include "codegen/cpu/Regions.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::Intrinsic::ID;
using Values = transom::KernelEntry::Values;

namespace transom {

//===-- Element types -----------------------------------------------------------------------------------------------===//

static bool isNarrowFloat(Type type) { return isa<Float16Type, BFloat16Type>(type); }

static llvm::Type *vectorOf(KernelEntry &entry, llvm::Type *element) {
  return llvm::FixedVectorType::get(element, entry.target.lanes);
}
llvm::Type *registerType(KernelEntry &entry, Type element) {
  if (isa<FloatType>(element))
    return vectorOf(entry, element.isF64() ? entry.b.getDoubleTy() : entry.b.getFloatTy());
  return vectorOf(entry, entry.b.getIntNTy(element.getIntOrFloatBitWidth()));
}
llvm::Type *memoryType(KernelEntry &entry, Type element) {
  if (element.isF16())
    return vectorOf(entry, entry.b.getHalfTy());
  if (element.isBF16())
    return vectorOf(entry, entry.b.getInt16Ty());
  return element.isInteger(1) ? vectorOf(entry, entry.b.getInt8Ty()) : registerType(entry, element);
}

llvm::Value *fromMemory(KernelEntry &entry, llvm::Value *value, Type element) {
  llvm::IRBuilder<> &b = entry.b;
  if (element.isF16())
    return b.CreateFPExt(value, registerType(entry, element));
  if (element.isInteger(1))
    return b.CreateICmpNE(value, llvm::Constant::getNullValue(value->getType()));
  if (!element.isBF16())
    return value;
  llvm::Value *wide = b.CreateZExt(value, vectorOf(entry, b.getInt32Ty()));
  return b.CreateBitCast(b.CreateShl(wide, 16), registerType(entry, element));
}

/// To the upper half, nearest even; a NaN keeps a mantissa bit.
static llvm::Value *toBFloatBits(KernelEntry &entry, llvm::Value *value) {
  llvm::IRBuilder<> &b = entry.b;
  llvm::Type *i32 = vectorOf(entry, b.getInt32Ty());
  llvm::Value *bits = b.CreateBitCast(value, i32), *upper = b.CreateLShr(bits, 16);
  llvm::Value *bias = b.CreateAdd(b.CreateAnd(upper, 1), llvm::ConstantInt::get(i32, 0x7fff));
  llvm::Value *rounded = b.CreateLShr(b.CreateAdd(bits, bias), 16);
  llvm::Value *nan = b.CreateOr(upper, 0x40);
  return b.CreateTrunc(b.CreateSelect(b.CreateFCmpUNO(value, value), nan, rounded), vectorOf(entry, b.getInt16Ty()));
}

llvm::Value *toMemory(KernelEntry &entry, llvm::Value *value, Type element) {
  if (element.isF16())
    return entry.b.CreateFPTrunc(value, memoryType(entry, element));
  if (element.isBF16())
    return toBFloatBits(entry, value);
  return element.isInteger(1) ? entry.b.CreateZExt(value, memoryType(entry, element)) : value;
}

static llvm::Value *roundTo(KernelEntry &entry, llvm::Value *value, Type element) {
  return isNarrowFloat(element) ? fromMemory(entry, toMemory(entry, value, element), element) : value;
}

//===-- The table ---------------------------------------------------------------------------------------------------===//

/// A row: the op's vector code, given its operands in registers. Null: no form for these types.
using Emit = llvm::Value *(*)(KernelEntry &entry, Operation *op, Values x);

template <llvm::Instruction::BinaryOps code> static llvm::Value *binary(KernelEntry &entry, Operation *, Values x) {
  return entry.b.CreateBinOp(code, x[0], x[1]);
}
/// Integer quotients and remainders trap on a zero divisor and on the smallest number over -1, and lanes beyond the end of
/// a row divide by whatever they hold: such divisors become 1, and the result is put right behind.
template <llvm::Instruction::BinaryOps code> static llvm::Value *divide(KernelEntry &entry, Operation *, Values x) {
  llvm::IRBuilder<> &b = entry.b;
  llvm::Type *type = x[0]->getType();
  llvm::Value *zero = llvm::Constant::getNullValue(type), *isZero = b.CreateICmpEQ(x[1], zero), *special = isZero;
  bool isSigned = code == llvm::Instruction::SDiv || code == llvm::Instruction::SRem;
  llvm::Value *isMinusOne = b.CreateICmpEQ(x[1], llvm::Constant::getAllOnesValue(type));
  if (isSigned)
    special = b.CreateOr(isZero, isMinusOne);
  llvm::Value *result = b.CreateBinOp(code, x[0], b.CreateSelect(special, llvm::ConstantInt::get(type, 1), x[1]));
  if (code == llvm::Instruction::SDiv)
    result = b.CreateSelect(isMinusOne, b.CreateSub(zero, x[0]), result);
  return b.CreateSelect(isZero, zero, result);
}
/// Shifts by the width or more: the sign of a signed number, else 0.
template <llvm::Instruction::BinaryOps code> static llvm::Value *shift(KernelEntry &entry, Operation *, Values x) {
  llvm::Type *type = x[0]->getType();
  unsigned width = type->getScalarSizeInBits();
  llvm::Value *inRange = entry.b.CreateICmpULT(x[1], llvm::ConstantInt::get(type, width));
  if (code == llvm::Instruction::AShr)
    return entry.b.CreateAShr(x[0], entry.b.CreateSelect(inRange, x[1], llvm::ConstantInt::get(type, width - 1)));
  return entry.b.CreateSelect(inRange, entry.b.CreateBinOp(code, x[0], x[1]), llvm::Constant::getNullValue(type));
}
template <ID id> static llvm::Value *intrinsic(KernelEntry &entry, Operation *, Values x) {
  return entry.b.CreateIntrinsic(id, {x[0]->getType()}, x);
}
template <ID id> static llvm::Value *withFlag(KernelEntry &entry, Operation *, Values x) {
  return entry.b.CreateIntrinsic(id, {x[0]->getType()}, {x[0], entry.b.getFalse()});
}
template <llvm::CmpInst::Predicate predicate>
static llvm::Value *pick(KernelEntry &entry, Operation *, Values x) {
  return entry.b.CreateSelect(entry.b.CreateICmp(predicate, x[0], x[1]), x[0], x[1]);
}
template <llvm::Instruction::CastOps code> static llvm::Value *convert(KernelEntry &entry, Operation *op, Values x) {
  return entry.b.CreateCast(code, x[0], registerType(entry, op->getResult(0).getType()));
}
/// f16 and bf16 are f32 in registers already; only to and from f64 is there something to convert.
static llvm::Value *resize(KernelEntry &entry, Operation *op, Values x) {
  return entry.b.CreateFPCast(x[0], registerType(entry, op->getResult(0).getType()));
}

/// A function of the kernel library: fp32 only.
static llvm::Value *library(KernelEntry &entry, llvm::StringRef name, Values x) {
  return x[0]->getType()->getScalarType()->isFloatTy() ? entry.call(name, x) : nullptr;
}
static llvm::Value *rsqrt(KernelEntry &entry, Operation *, Values x) {
  llvm::Value *root = entry.b.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x[0]);
  return entry.b.CreateFDiv(llvm::ConstantFP::get(x[0]->getType(), 1.0), root);
}

/// The larger or smaller, NaN if either is, +0 above -0.
template <bool larger> static llvm::Value *extremum(KernelEntry &entry, Operation *, Values x) {
  llvm::IRBuilder<> &b = entry.b;
  llvm::Value *first = larger ? b.CreateFCmpOGT(x[0], x[1]) : b.CreateFCmpOLT(x[0], x[1]);
  llvm::Value *best = b.CreateSelect(first, x[0], x[1]);
  // Equal numbers differ at most in the sign of zero: their bits combined.
  llvm::Type *bits = llvm::VectorType::getInteger(llvm::cast<llvm::VectorType>(x[0]->getType()));
  llvm::Value *left = b.CreateBitCast(x[0], bits), *right = b.CreateBitCast(x[1], bits);
  llvm::Value *both = b.CreateBitCast(larger ? b.CreateAnd(left, right) : b.CreateOr(left, right), x[0]->getType());
  best = b.CreateSelect(b.CreateFCmpOEQ(x[0], x[1]), both, best);
  return b.CreateSelect(b.CreateFCmpUNO(x[0], x[0]), x[0], best);
}

static llvm::Value *compareFloats(KernelEntry &entry, Operation *op, Values x) {
  using P = llvm::CmpInst::Predicate;
  // In the order of arith::CmpFPredicate.
  static constexpr P predicates[] = {P::FCMP_FALSE, P::FCMP_OEQ, P::FCMP_OGT, P::FCMP_OGE, P::FCMP_OLT, P::FCMP_OLE,
                                     P::FCMP_ONE,   P::FCMP_ORD, P::FCMP_UEQ, P::FCMP_UGT, P::FCMP_UGE, P::FCMP_ULT,
                                     P::FCMP_ULE,   P::FCMP_UNE, P::FCMP_UNO, P::FCMP_TRUE};
  return entry.b.CreateFCmp(predicates[unsigned(cast<arith::CmpFOp>(op).getPredicate())], x[0], x[1]);
}
static llvm::Value *compareIntegers(KernelEntry &entry, Operation *op, Values x) {
  using P = llvm::CmpInst::Predicate;
  static constexpr P predicates[] = {P::ICMP_EQ,  P::ICMP_NE,  P::ICMP_SLT, P::ICMP_SLE, P::ICMP_SGT,
                                     P::ICMP_SGE, P::ICMP_ULT, P::ICMP_ULE, P::ICMP_UGT, P::ICMP_UGE};
  return entry.b.CreateICmp(predicates[unsigned(cast<arith::CmpIOp>(op).getPredicate())], x[0], x[1]);
}
static llvm::Value *constant(KernelEntry &entry, Operation *op, Values) {
  Attribute value = cast<arith::ConstantOp>(op).getValue();
  llvm::Type *type = registerType(entry, op->getResult(0).getType());
  if (auto integer = dyn_cast<IntegerAttr>(value))
    return llvm::ConstantInt::get(type, integer.getValue());
  if (auto number = dyn_cast<FloatAttr>(value))
    return llvm::ConstantFP::get(type, number.getValueAsDouble());
  return nullptr;
}

static const llvm::StringMap<Emit> &table() {
  using I = llvm::Instruction;
  namespace N = llvm::Intrinsic;
  using P = llvm::CmpInst::Predicate;
  static const llvm::StringMap<Emit> rows = {
      {"arith.constant", constant},
      {"arith.addf", binary<I::FAdd>}, {"arith.subf", binary<I::FSub>}, {"arith.mulf", binary<I::FMul>},
      {"arith.divf", binary<I::FDiv>},
      {"arith.negf", [](KernelEntry &e, Operation *, Values x) { return e.b.CreateFNeg(x[0]); }},
      {"arith.maximumf", extremum<true>}, {"arith.minimumf", extremum<false>},
      {"arith.maxnumf", intrinsic<N::maxnum>}, {"arith.minnumf", intrinsic<N::minnum>},
      {"arith.addi", binary<I::Add>}, {"arith.subi", binary<I::Sub>}, {"arith.muli", binary<I::Mul>},
      {"arith.divsi", divide<I::SDiv>}, {"arith.divui", divide<I::UDiv>},
      {"arith.remsi", divide<I::SRem>}, {"arith.remui", divide<I::URem>},
      {"arith.andi", binary<I::And>}, {"arith.ori", binary<I::Or>}, {"arith.xori", binary<I::Xor>},
      {"arith.shli", shift<I::Shl>}, {"arith.shrsi", shift<I::AShr>}, {"arith.shrui", shift<I::LShr>},
      {"arith.maxsi", pick<P::ICMP_SGT>}, {"arith.minsi", pick<P::ICMP_SLT>},
      {"arith.maxui", pick<P::ICMP_UGT>}, {"arith.minui", pick<P::ICMP_ULT>},
      {"arith.cmpf", compareFloats}, {"arith.cmpi", compareIntegers},
      {"arith.select", [](KernelEntry &e, Operation *, Values x) { return e.b.CreateSelect(x[0], x[1], x[2]); }},
      {"arith.extf", resize}, {"arith.truncf", resize},
      {"arith.extsi", convert<I::SExt>}, {"arith.extui", convert<I::ZExt>}, {"arith.trunci", convert<I::Trunc>},
      {"arith.sitofp", convert<I::SIToFP>}, {"arith.uitofp", convert<I::UIToFP>},
      {"arith.fptosi", convert<I::FPToSI>}, {"arith.fptoui", convert<I::FPToUI>},
      {"arith.bitcast", convert<I::BitCast>},
      {"math.sqrt", intrinsic<N::sqrt>}, {"math.rsqrt", rsqrt}, {"math.absf", intrinsic<N::fabs>},
      {"math.absi", withFlag<N::abs>},
      {"math.floor", intrinsic<N::floor>}, {"math.ceil", intrinsic<N::ceil>}, {"math.trunc", intrinsic<N::trunc>},
      {"math.roundeven", intrinsic<N::roundeven>},
      {"math.fma", intrinsic<N::fma>}, {"math.copysign", intrinsic<N::copysign>},
      {"math.exp", [](KernelEntry &e, Operation *, Values x) { return library(e, "math_exp", x); }},
      {"math.log", [](KernelEntry &e, Operation *, Values x) { return library(e, "math_log", x); }},
      {"math.tanh", [](KernelEntry &e, Operation *, Values x) { return library(e, "math_tanh", x); }},
      {"math.erf", [](KernelEntry &e, Operation *, Values x) { return library(e, "math_erf", x); }},
      {"math.sin", [](KernelEntry &e, Operation *, Values x) { return library(e, "math_sin", x); }},
      {"math.cos", [](KernelEntry &e, Operation *, Values x) { return library(e, "math_cos", x); }},
      {"math.powf", [](KernelEntry &e, Operation *, Values x) { return library(e, "math_pow", x); }},
  };
  return rows;
}

llvm::Value *emitScalars(KernelEntry &entry, Block &block, ArrayRef<llvm::Value *> arguments) {
  llvm::DenseMap<mlir::Value, llvm::Value *> values;
  for (auto [argument, value] : llvm::zip(block.getArguments(), arguments))
    values[argument] = value;
  for (Operation &op : block.without_terminator()) {
    auto row = table().find(op.getName().getStringRef());
    llvm::SmallVector<llvm::Value *> operands;
    for (mlir::Value operand : op.getOperands())
      operands.push_back(values.lookup(operand));
    Type type = op.getNumResults() == 1 ? op.getResult(0).getType() : Type();
    llvm::Value *result = row == table().end() || !type || !isScalar(type) ? nullptr : row->second(entry, &op, operands);
    if (!result) {
      op.emitError("'") << op.getName() << "' on " << type << " has no CPU form";
      return nullptr;
    }
    values[op.getResult(0)] = roundTo(entry, result, type);
  }
  return values.lookup(block.getTerminator()->getOperand(0));
}

} // namespace transom
