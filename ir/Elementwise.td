// Elementwise ops. A new one is one `def` here, one line in the interpreter, and nothing in the backends unless its
// scalar form needs an arith or math op that they do not render yet.
#ifndef TRANSOM_ELEMENTWISE_TD
#define TRANSOM_ELEMENTWISE_TD

include "ir/TransomBase.td"

// `scalar` is the body of emitScalar: `b` builds, `loc` is the location, `x` are the operands' elements.
class Transom_Elementwise<string mnemonic, code scalar, list<Trait> traits = []>
    : Transom_ShapedOp<mnemonic, traits # [ScalarOpInterface]> {
  let results = (outs Transom_Dense:$result);
  let moreDeclarations = [{
    ::mlir::Value emitScalar(::mlir::OpBuilder &b, ::mlir::Location loc, ::mlir::ValueRange x);
  }];
  let extraClassDefinition = [{
    ::mlir::FailureOr<::llvm::SmallVector<::transom::Dims>>
    $cppClass::inferDims(Adaptor, ::llvm::ArrayRef<::transom::Dims> operands, ::transom::EmitError emitError) {
      return ::transom::detail::broadcastDims(operands, emitError);
    }
    ::mlir::Value $cppClass::emitScalar(::mlir::OpBuilder &b, ::mlir::Location loc, ::mlir::ValueRange x) {
      using namespace ::mlir;
      }] # scalar # [{
    }
  }];
}

class Transom_Unary<string mnemonic, string text, code scalar, list<Trait> traits = []>
    : Transom_Elementwise<mnemonic, scalar, traits # [SameOperandsAndResultElementType]> {
  let summary = text # ", elementwise";
  let arguments = (ins Transom_Float:$input);
  let assemblyFormat = "$input attr-dict `:` functional-type(operands, results)";
}

class Transom_Binary<string mnemonic, string text, code scalar>
    : Transom_Elementwise<mnemonic, scalar, [SameOperandsAndResultElementType]> {
  let summary = text # ", elementwise with broadcasting";
  let description = [{
    Shapes broadcast as in NumPy: aligned at the last dimension, sizes equal or 1 (C1).
  }];
  let arguments = (ins Transom_Dense:$lhs, Transom_Dense:$rhs);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
  let hasFolder = 1;
}

def NegOp : Transom_Unary<"neg", "-x", "return b.create<arith::NegFOp>(loc, x[0]);">;
def AbsOp : Transom_Unary<"abs", "|x|", "return b.create<math::AbsFOp>(loc, x[0]);">;
def ExpOp : Transom_Unary<"exp", "e^x", "return b.create<math::ExpOp>(loc, x[0]);">;
def LogOp : Transom_Unary<"log", "natural logarithm", "return b.create<math::LogOp>(loc, x[0]);">;
def SinOp : Transom_Unary<"sin", "sine of radians", "return b.create<math::SinOp>(loc, x[0]);">;
def CosOp : Transom_Unary<"cos", "cosine of radians", "return b.create<math::CosOp>(loc, x[0]);">;
def SqrtOp : Transom_Unary<"sqrt", "square root", "return b.create<math::SqrtOp>(loc, x[0]);">;
def RsqrtOp : Transom_Unary<"rsqrt", "1 / square root", "return detail::emitRsqrt(b, loc, x[0]);">;
def TanhOp : Transom_Unary<"tanh", "hyperbolic tangent", "return b.create<math::TanhOp>(loc, x[0]);">;
def ErfOp : Transom_Unary<"erf", "error function", "return b.create<math::ErfOp>(loc, x[0]);">;
def ReluOp : Transom_Unary<"relu", "max(x, 0)", "return detail::emitRelu(b, loc, x[0]);">;
def SigmoidOp : Transom_Unary<"sigmoid", "1 / (1 + e^-x)", "return detail::emitSigmoid(b, loc, x[0]);">;
def SiluOp : Transom_Unary<"silu", "x / (1 + e^-x)", "return detail::emitSilu(b, loc, x[0]);">;

def GeluForm : I32EnumAttr<"GeluForm", "how gelu is computed", [
    I32EnumAttrCase<"erf", 0>, I32EnumAttrCase<"tanh", 1>]> {
  let cppNamespace = "::transom";
}
def GeluOp : Transom_Elementwise<"gelu", "return detail::emitGelu(b, loc, x[0], getForm());",
    [SameOperandsAndResultElementType]> {
  let summary = "x * Phi(x), Phi the normal distribution, exactly (erf) or by its tanh approximation";
  let description = "Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.";
  let arguments = (ins Transom_Float:$input, DefaultValuedAttr<GeluForm, "GeluForm::erf">:$form);
  let assemblyFormat = "$form $input attr-dict `:` functional-type(operands, results)";
}

def AddOp : Transom_Binary<"add", "a + b", "return detail::emitAdd(b, loc, x);">;
def SubOp : Transom_Binary<"sub", "a - b", "return detail::emitSub(b, loc, x);">;
def MulOp : Transom_Binary<"mul", "a * b", "return detail::emitMul(b, loc, x);">;
def DivOp : Transom_Binary<"div", "a / b; of integers towards zero, x / 0 = 0", "return detail::emitDiv(b, loc, x);">;
def MaxOp : Transom_Binary<"max", "the larger; NaN if either is", "return detail::emitMax(b, loc, x);">;
def MinOp : Transom_Binary<"min", "the smaller; NaN if either is", "return detail::emitMin(b, loc, x);">;

def PowOp : Transom_Elementwise<"pow", "return b.create<math::PowFOp>(loc, x[0], x[1]);",
    [SameOperandsAndResultElementType]> {
  let summary = "a to the power of b, elementwise with broadcasting";
  let arguments = (ins Transom_Float:$lhs, Transom_Float:$rhs);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
}

def ComparePredicate : I32EnumAttr<"ComparePredicate", "an order relation; with NaN only ne holds", [
    I32EnumAttrCase<"eq", 0>, I32EnumAttrCase<"ne", 1>, I32EnumAttrCase<"lt", 2>, I32EnumAttrCase<"le", 3>,
    I32EnumAttrCase<"gt", 4>, I32EnumAttrCase<"ge", 5>]> {
  let cppNamespace = "::transom";
}
def CompareOp : Transom_Elementwise<"compare", "return detail::emitCompare(b, loc, getPredicate(), x);",
    [SameOperandsElementType]> {
  let summary = "whether a relation holds, elementwise with broadcasting; integers are signed, false < true";
  let arguments = (ins ComparePredicate:$predicate, Transom_Dense:$lhs, Transom_Dense:$rhs);
  let assemblyFormat = "$predicate $lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
  let elementRule = OwnElement;
}

def SelectOp : Transom_Elementwise<"select",
    "return b.create<arith::SelectOp>(loc, x[0], x[1], x[2]);"> {
  let summary = "condition ? a : b, elementwise with broadcasting";
  let description = "C1: shapes broadcast. C2: both choices have one element type.";
  let arguments = (ins RankedTensorOf<[I1]>:$condition, Transom_Dense:$lhs, Transom_Dense:$rhs);
  let assemblyFormat = "$condition `,` $lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
  let elementRule = OwnElement;
  let hasVerifier = 1;
}

def CastOp : Transom_Elementwise<"cast", "return detail::emitCast(b, loc, x[0], getTo());"> {
  let summary = "conversion of the element type, elementwise";
  let description = [{
    Floats round to nearest even, to f8E4M3FN as runtime/format/E4m3.h says: beyond 448 to that; floats to integers truncate towards zero and saturate, NaN becomes 0; i1 becomes 0 or 1,
    anything but 0 becomes true.
  }];
  let arguments = (ins Transom_Dense:$input, TypeAttr:$to);
  let assemblyFormat = "$input `to` $to attr-dict `:` functional-type(operands, results)";
  let elementRule = OwnElement;
  let hasVerifier = 1;
  let hasFolder = 1;
}

#endif
