// The plan dialect: what the runtime executes, still readable as text. Buffers with offsets, kernels, launches, matrix
// products, and sizes that only the run knows; one program per entry point. No control flow, no computation of its own.
#ifndef TRANSOM_PLAN_TD
#define TRANSOM_PLAN_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def PlanDialect : Dialect {
  let name = "plan";
  let cppNamespace = "::transom::plan";
  let summary = "device programs: buffers, kernels and the steps that run them";
  let description = [{
    A module holds `plan.weight`, `plan.kernel` and `plan.program` ops, and the attributes that the graph had
    (`transom.bounds` among them). Sizes are text that DimExpr reads. A program's memory is fixed: the verifier proves
    that every buffer of the arena lies inside it and that no two that are in use at one step overlap.
  }];
  let dependentDialects = ["::transom::TransomDialect"];
  let useDefaultTypePrinterParser = 1;
}

def Plan_Buffer : TypeDef<PlanDialect, "Buffer"> {
  let mnemonic = "buffer";
  let summary = "memory of a known element type and shape; the op that defines it names them";
}

def BufferKind : I32EnumAttr<"BufferKind", "where a buffer lives", [
    I32EnumAttrCase<"arena", 0>,  // scratch memory of one run
    I32EnumAttrCase<"weight", 1>, // read-only, in the artifact
    I32EnumAttrCase<"input", 2>, I32EnumAttrCase<"output", 3>,
    I32EnumAttrCase<"state", 4>]> { // a session's, kept between runs: caches
  let cppNamespace = "::transom::plan";
}

class Plan_Op<string mnemonic, list<Trait> traits = []> : Op<PlanDialect, mnemonic, traits>;

//===-- Module level ------------------------------------------------------------------------------------------------===//

def WeightOp : Plan_Op<"weight", [IsolatedFromAbove, HasParent<"::mlir::ModuleOp">]> {
  let summary = "a tensor of the artifact: copied from the source file, given here, or made by a recipe";
  let description = [{
    C1: the name is not empty and the type is a tensor of static shape. C2: a value has the weight's type, and comes with
    no recipe. C3: a recipe has one block without arguments, of transom ops, and yields the weight's type. C4: no two
    weights of a module have one name.

    ```mlir
    plan.weight "blk.0.attn_q.weight" : tensor<576x576x!transom.block<q4_1>>
    plan.weight "constant.0" = dense<1.0> : tensor<f32> : tensor<f32>
    plan.weight "norm.f32" : tensor<64xf32> recipe {
      %0 = transom.weight "norm" : tensor<64xbf16>
      %1 = transom.cast %0 to f32 : (tensor<64xbf16>) -> tensor<64xf32>
      plan.yield %1 : tensor<64xf32>
    }
    ```
  }];
  let arguments = (ins StrAttr:$name, TypeAttr:$type, OptionalAttr<ElementsAttr>:$value);
  let regions = (region AnyRegion:$recipe);
  let assemblyFormat = "$name (`=` $value^)? `:` $type (`recipe` $recipe^)? attr-dict";
  let hasRegionVerifier = 1;
}

def KernelOp : Plan_Op<"kernel", [IsolatedFromAbove, SingleBlock, Symbol, HasParent<"::mlir::ModuleOp">]> {
  let summary = "code that a launch runs over its work items";
  let description = [{
    The body is one transom op, which may be a group, on the kernel's arguments. Each buffer a launch passes stands for one
    argument or result; every `?` of their types, arguments first, is a number the kernel receives (see
    runtime/format/KernelAbi.h).

    An `unpack` kernel is called by matrix products: it decodes rows of its argument to f32 and writes the first row it is
    asked for to the start of its result, whichever row that is.

    C1: the body is one transom op and a `plan.yield`. C2: the op takes the kernel's arguments in order, and the yield
    its results. C3: body and signature agree. C4: arguments and results are tensors or caches. C5: an unpack kernel is
    one `transom.dequantize` or `transom.cast` of a static matrix to f32. C6: a group is one that ir/GroupKernel.h takes.

    ```mlir
    plan.kernel @rms_norm_576(%x: tensor<?x?x576xf32>, %w: tensor<576xf32>) -> tensor<?x?x576xf32> {
      %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x?x576xf32>, tensor<576xf32>) -> tensor<?x?x576xf32>
      plan.yield %0 : tensor<?x?x576xf32>
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type, UnitAttr:$unpack);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    /// The one transom op of the body.
    ::mlir::Operation *getOp() { return &getBody().front().front(); }
    /// Types of arguments, then of results: what a launch's buffers stand for.
    ::llvm::SmallVector<::mlir::Type> bufferTypes();
    /// Whether a result may be written over argument `index` if both have the same shape: each element, or each cache
    /// slot, is read before it is written and by the same work item only.
    bool canOverwrite(unsigned index, unsigned result);
  }];
}

def YieldOp : Plan_Op<"yield", [Pure, Terminator, ParentOneOf<["KernelOp", "WeightOp"]>]> {
  let summary = "the results of a kernel or recipe";
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "$values attr-dict `:` type($values)";
}

def ProgramOp : Plan_Op<"program", [IsolatedFromAbove, SingleBlock, NoTerminator, Symbol, HasParent<"::mlir::ModuleOp">,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "one entry point: its buffers and its steps, in the order they run";
  let description = [{
    The attributes say how much memory the program takes at the bounds of its sizes: its arena, its inputs and outputs
    (staging), the states and the weights it uses.

    C1: the body is buffers, views, launches, matrix products and sizes. C2: no two buffers of a kind have one name. C3: arena
    buffers end at `arena_bytes` or before. C4: two arena buffers that are in use at the same step do not overlap, except
    that a launch may write its result over an argument that no later step uses, at the same offset, where the kernel
    allows it. C5: a step reads nothing before a step has written it. C6: every name in a size is a whole dimension of an
    input, or is set once by a `plan.size` before the steps that use it; before it only the results of the step that
    writes the number may have it as a size, for what there is room for. C7: a weight buffer has the type of the module's weight of that name. C8: a state has one type, stored type
    and shape in all programs.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, DefaultValuedAttr<I64Attr, "0">:$arena_bytes,
      DefaultValuedAttr<I64Attr, "0">:$staging_bytes, DefaultValuedAttr<I64Attr, "0">:$state_bytes,
      DefaultValuedAttr<I64Attr, "0">:$weight_bytes);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $sym_name (`arena` $arena_bytes^)? (`staging` $staging_bytes^)? (`states` $state_bytes^)?
    (`weights` $weight_bytes^)? attr-dict-with-keyword $body
  }];
  let hasRegionVerifier = 1;
}

//===-- In programs -------------------------------------------------------------------------------------------------===//

def BufferOp : Plan_Op<"buffer", [HasParent<"ProgramOp">,
    DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>]> {
  let summary = "a piece of memory";
  let description = [{
    `bytes` is what the tensor takes at the bounds of its sizes. `stored` is the type in which its numbers lie in memory, where
    that is another than the tensor's: kernels compute in the tensor's type, and round what they write. C1: all but arena buffers have a name. C2: the tensor is a
    tensor or cache, and `shape` has one size for each of its dimensions, equal to those it knows. C3: only arena buffers
    have an offset, and they need one, a multiple of 64. C4: bytes is what stored type, shape and bounds give. C5: only arena and state buffers of f32 have a stored type,
    f16 or bf16, and those of the arena f8E4M3FN: what transom.round_e4m3 made, rows in E4M3, and behind the last row the scale of each in fp32.

    ```mlir
    %ids = plan.buffer input "input_ids" shape ["batch", "seq"] bytes 16384 : tensor<?x?xi32>
    %0 = plan.buffer arena shape ["batch", "seq", "576"] bytes 9437184 offset 0 : tensor<?x?x576xf32>
    ```
  }];
  let arguments = (ins BufferKind:$kind, OptionalAttr<StrAttr>:$name, StrArrayAttr:$shape, I64Attr:$bytes,
      OptionalAttr<I64Attr>:$offset, OptionalAttr<TypeAttr>:$stored, TypeAttr:$tensor);
  let results = (outs Plan_Buffer:$result);
  let assemblyFormat = [{
    $kind ($name^)? `shape` $shape `bytes` $bytes (`offset` $offset^)? (`stored` $stored^)? attr-dict `:` $tensor
  }];
  let hasVerifier = 1;
}

def ViewOp : Plan_Op<"view", [Pure, HasParent<"ProgramOp">]> {
  let summary = "the same memory under another shape, or its first numbers";
  let description = [{
    C1: as C2 of `plan.buffer`. C2: the element type is the base's. C3: the element counts are equal; or, in the arena, one axis is
    shorter, of a size that the base's never falls below, and the axes before it are at most 1. C4: the view fits inside its base
    at the bounds.
  }];
  let arguments = (ins Plan_Buffer:$base, StrArrayAttr:$shape, TypeAttr:$tensor);
  let results = (outs Plan_Buffer:$result);
  let assemblyFormat = "$base `shape` $shape attr-dict `:` $tensor";
  let hasVerifier = 1;
}

def LaunchOp : Plan_Op<"launch", [AttrSizedOperandSegments, HasParent<"ProgramOp">,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "one kernel over `work` items";
  let description = [{
    Threads take at least `grain` items at a time; each has `scratch` bytes of its own. `source` says where the step comes
    from, for people.

    C1: the kernel exists and is no unpack kernel. C2: there is one buffer for each argument and result. C3: each has the
    element type, the rank and the static sizes that the kernel expects. C4: weights and inputs are not written. C5: work
    is a size, grain is positive, scratch is not negative. C6: an output shares memory with an input only where the
    kernel may overwrite it.

    ```mlir
    plan.launch @rms_norm_576 ins(%0, %1) outs(%2) work "batch*seq" source "blk.0.attn_norm"
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<Plan_Buffer>:$inputs, Variadic<Plan_Buffer>:$outputs,
      StrAttr:$work, DefaultValuedAttr<I64Attr, "1">:$grain, DefaultValuedAttr<I64Attr, "0">:$scratch,
      OptionalAttr<StrAttr>:$source);
  let assemblyFormat = [{
    $kernel `ins` `(` $inputs `)` `outs` `(` $outputs `)` `work` $work (`grain` $grain^)? (`scratch` $scratch^)?
    (`source` $source^)? attr-dict
  }];
}

def GemmOp : Plan_Op<"gemm", [AttrSizedOperandSegments, HasParent<"ProgramOp">,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "out[m, n] = lhs[m, k] * rhs[n, k]^T by the matrix library, in fp32";
  let description = [{
    Where rhs is not f32, `unpack` decodes its rows. An `epilogue` kernel computes `results` from the product and `extras`,
    row by row, as soon as rows of the product are there: its work items are the m rows, and a thread has `scratch` bytes.
    `out` then is memory for the product that nothing else reads.

    C1: m, n and k are sizes. C2: lhs has m*k elements, out m*n, and rhs is [n, k]. C3: lhs and out are f32. C4: there
    is an unpack kernel exactly where rhs is not f32; it exists, is an unpack kernel, and takes rhs. C5: out is not a
    weight or an input and shares no memory with lhs or rhs. C6: an epilogue exists, is a group without a product, takes
    out and extras and gives results, of which there are none without one. C7: results are no weights or inputs and share
    no memory with any other operand, but with a cache that the epilogue updates. C8: scratch is not negative, and 0
    without an epilogue.

    ```mlir
    plan.gemm ins(%x, %w) outs(%y) m "batch*seq" n "1536" k "576" unpack @unpack_q4_1_1536x576
    plan.gemm ins(%x, %w) outs(%p) m "batch*seq" n "576" k "576" epilogue @add_rms_norm_576 (%r, %s) to (%h, %n) scratch 4096
    ```
  }];
  let arguments = (ins Plan_Buffer:$lhs, Plan_Buffer:$rhs, Plan_Buffer:$out, Variadic<Plan_Buffer>:$extras,
      Variadic<Plan_Buffer>:$results, StrAttr:$m, StrAttr:$n, StrAttr:$k, OptionalAttr<FlatSymbolRefAttr>:$unpack,
      OptionalAttr<FlatSymbolRefAttr>:$epilogue, DefaultValuedAttr<I64Attr, "0">:$scratch, OptionalAttr<StrAttr>:$source);
  let assemblyFormat = [{
    `ins` `(` $lhs `,` $rhs `)` `outs` `(` $out `)` `m` $m `n` $n `k` $k (`unpack` $unpack^)?
    (`epilogue` $epilogue^ `(` $extras `)` `to` `(` $results `)`)? (`scratch` $scratch^)? (`source` $source^)? attr-dict
  }];
  let extraClassDeclaration = [{
    /// The epilogue's buffers: the product, extras, results.
    ::llvm::SmallVector<::mlir::Value> epilogueBuffers();
  }];
}

def SizeOp : Plan_Op<"size", [HasParent<"ProgramOp">]> {
  let summary = "a size that the steps before it have found: the last number of `source`";
  let description = [{
    From here on the name has this value, in the steps and in the sizes of outputs. The runtime checks it against the name's
    bounds. C1: name is a name with bounds. C2: source is i32 of rank 1.

    ```mlir
    plan.size "tokens" = %cumulative
    ```
  }];
  let arguments = (ins StrAttr:$name, Plan_Buffer:$source);
  let assemblyFormat = "$name `=` $source attr-dict";
  let hasVerifier = 1;
}

#endif
