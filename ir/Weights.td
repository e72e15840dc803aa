// Where numbers come from: weights of the source file, constants in the graph, and weight recipes.
#ifndef TRANSOM_WEIGHTS_TD
#define TRANSOM_WEIGHTS_TD

include "ir/TransomBase.td"

def WeightOp : Transom_Op<"weight", [Pure]> {
  let summary = "a tensor of the source file, by name";
  let description = [{
    The numbers stay in the file until the artifact is written. C1: the shape is static. C2: the name is not empty.
    C3: a quantised tensor's last dimension is whole blocks.

    ```mlir
    %w = transom.weight "blk.0.attn_q.weight" : tensor<576x576x!transom.block<q4_1>>
    ```
  }];
  let arguments = (ins StrAttr:$name);
  let results = (outs Transom_Tensor:$result);
  let assemblyFormat = "$name attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def ConstantOp : Transom_Op<"constant", [Pure, ConstantLike, AllTypesMatch<["value", "result"]>]> {
  let summary = "numbers written in the graph";
  let arguments = (ins ElementsAttr:$value);
  let results = (outs Transom_Dense:$result);
  let assemblyFormat = "$value attr-dict";
  let hasFolder = 1;
}

def RecipeOp : Transom_Op<"recipe", [Pure, IsolatedFromAbove, SingleBlock]> {
  let summary = "a tensor computed from weights once, when the artifact is written";
  let description = [{
    The region takes no arguments and computes one tensor from weights and constants; `transom.yield` ends it. The
    result is named and stored in the artifact like a weight. C1: the body is transom ops only and the shape is static.
    C2: the yielded type is the result's. C3: the name is not empty.

    ```mlir
    %w = transom.recipe "norm.f32" : tensor<64xf32> {
      %0 = transom.weight "norm" : tensor<64xbf16>
      %1 = transom.cast %0 to f32 : (tensor<64xbf16>) -> tensor<64xf32>
      transom.yield %1 : tensor<64xf32>
    }
    ```
  }];
  let arguments = (ins StrAttr:$name);
  let results = (outs Transom_Tensor:$result);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$name attr-dict `:` type($result) $body";
  let hasRegionVerifier = 1;
}

def YieldOp : Transom_Op<"yield", [Pure, Terminator,
    ParentOneOf<["::transom::RecipeOp", "::transom::FusedOp", "::transom::GroupOp"]>]> {
  let summary = "the results of a region: several of a group, one of all others";
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "$values attr-dict `:` type($values)";
  let extraClassDeclaration = [{
    /// The one result of a region that is no group's.
    ::mlir::Value getValue() { return getValues().front(); }
  }];
}

#endif
