// The dialect, its types, and the classes the op families build on.
#ifndef TRANSOM_BASE_TD
#define TRANSOM_BASE_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def TransomDialect : Dialect {
  let name = "transom";
  let cppNamespace = "::transom";
  let summary = "transformer inference graphs with value semantics";
  let description = [{
    Ops over ranked tensors. Importers write the plain form that a framework would run; passes rewrite it to the
    forms that a device runs well. The reference interpreter defines the meaning of every op.

    Attributes on entry functions: each argument and result carries `transom.name` (string) and `transom.dims` (one
    size expression per dimension, such as "batch", "past+seq" or "64"). The module carries `transom.bounds`, a
    dictionary from size name to `[min, max]`. The dialect verifies both.
  }];
  let useDefaultTypePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let hasRegionResultAttrVerify = 1;
  let hasConstantMaterializer = 1;
  let extraClassDeclaration = [{ void registerTypes(); }];
}

//===-- Types -------------------------------------------------------------------------------------------------------===//

def BlockFormat : I32EnumAttr<"BlockFormat", "a block-quantised number format of GGUF files", [
    I32EnumAttrCase<"q8_0", 0>, I32EnumAttrCase<"q4_0", 1>, I32EnumAttrCase<"q4_1", 2>, I32EnumAttrCase<"q5_0", 3>,
    I32EnumAttrCase<"q5_1", 4>, I32EnumAttrCase<"q4_k", 5>, I32EnumAttrCase<"q5_k", 6>, I32EnumAttrCase<"q6_k", 7>]> {
  let cppNamespace = "::transom";
}

def BlockType : TypeDef<TransomDialect, "Block"> {
  let mnemonic = "block";
  let summary = "element of a tensor stored in quantised blocks along its last dimension";
  let description = [{
    `tensor<576x1536x!transom.block<q4_1>>` has 1536 logical numbers a row, stored as 48 blocks of 32. The last dimension
    is a static multiple of the block's length.
  }];
  let parameters = (ins EnumParameter<BlockFormat>:$format);
  let assemblyFormat = "`<` $format `>`";
}

def CacheType : TypeDef<TransomDialect, "Cache"> {
  let mnemonic = "cache";
  let summary = "keys or values of past tokens: fixed shape, updated in place";
  let description = [{
    `!transom.cache<?x3x2048x64xf32>`: rows (the batch), key/value heads, capacity in tokens, head_dim. Only
    `transom.cache_append` makes a new cache value, and no cache value is used after the append that follows it, so
    the update can happen in place.
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape, "::mlir::Type":$elementType);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType asTensor() const { return ::mlir::RankedTensorType::get(getShape(), getElementType()); }
  }];
}

def Transom_Element : Type<CPred<"::transom::isElement($_self)">, "a float, integer or quantised block">;
def Transom_Scalar : Type<CPred<"::transom::isScalar($_self)">, "a float of 16 bits or more, f8E4M3FN or an integer of 1 to 64 bits">;
def Transom_Tensor : RankedTensorOf<[Transom_Element]>;
def Transom_Dense : RankedTensorOf<[Transom_Scalar]>;
def Transom_Float : RankedTensorOf<[F16, BF16, F32, F64]>;
def Transom_Int : RankedTensorOf<[I32, I64]>;
def Transom_I32 : RankedTensorOf<[I32]>;
def Transom_Numbers : RankedTensorOf<[F8E4M3FN, F16, BF16, F32, F64, BlockType]>;
def Transom_TensorOrCache : AnyTypeOf<[Transom_Float, CacheType]>;

//===-- Interfaces --------------------------------------------------------------------------------------------------===//

def ShapedOpInterface : OpInterface<"ShapedOp"> {
  let cppNamespace = "::transom";
  let description = [{ Shape semantics, stated once: verification, type inference and symbolic sizes all use it. }];
  let methods = [InterfaceMethod<
    [{ The sizes of each result, given the sizes of the operands. Fails, after a diagnostic through `emitError` that
       begins with the number of the violated constraint, if the operands do not fit. }],
    "::mlir::FailureOr<::llvm::SmallVector<::transom::Dims>>", "resultDims",
    (ins "::llvm::ArrayRef<::transom::Dims>":$operands, "::transom::EmitError":$emitError)>];
}

def ScalarOpInterface : OpInterface<"ScalarOp"> {
  let cppNamespace = "::transom";
  let description = [{ Elementwise ops: one scalar computation, rendered alike by every backend. }];
  let methods = [InterfaceMethod<
    [{ Emits the computation on one element with arith and math ops. }],
    "::mlir::Value", "emitScalar",
    (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$loc, "::mlir::ValueRange":$operands)>];
}

//===-- Op classes --------------------------------------------------------------------------------------------------===//

// Gives InferTypeOpInterface its method, from the op's inferDims and inferElement.
def Transom_InferTypes : NativeOpTrait<"InferTypes"> { let cppNamespace = "::transom::detail"; }

class Transom_Op<string mnemonic, list<Trait> traits = []> : Op<TransomDialect, mnemonic, traits>;

// An op whose result types follow from operands and attributes. The family's .cpp defines
//   FailureOr<SmallVector<Dims>> XOp::inferDims(Adaptor, ArrayRef<Dims> operands, EmitError)
// and, where a result's element type is not that of operand 0,
//   Type XOp::inferElement(Adaptor, unsigned result).
class Transom_ShapedOp<string mnemonic, list<Trait> traits = []>
    : Transom_Op<mnemonic, traits # [Pure, Transom_InferTypes, InferTypeOpInterface, ShapedOpInterface]> {
  // Declared for ops whose element type needs a rule of its own.
  code elementRule = "";
  code moreDeclarations = "";
  let extraClassDeclaration = [{
    static ::mlir::FailureOr<::llvm::SmallVector<::transom::Dims>>
    inferDims(Adaptor adaptor, ::llvm::ArrayRef<::transom::Dims> operands, ::transom::EmitError emitError);
    static bool isCompatibleReturnTypes(::mlir::TypeRange inferred, ::mlir::TypeRange actual) {
      return ::transom::detail::compatible(inferred, actual);
    }
    ::mlir::FailureOr<::llvm::SmallVector<::transom::Dims>>
    resultDims(::llvm::ArrayRef<::transom::Dims> operands, ::transom::EmitError emitError) {
      return inferDims(Adaptor(*this), operands, emitError);
    }
  }] # elementRule # moreDeclarations;
}

defvar OwnElement = "static ::mlir::Type inferElement(Adaptor adaptor, unsigned result);";

#endif
