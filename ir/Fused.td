// Fused regions: what fusion passes leave, and both backends render.
#ifndef TRANSOM_FUSED_TD
#define TRANSOM_FUSED_TD

include "ir/TransomBase.td"
include "ir/Reduce.td"

def FusedOp : Transom_ShapedOp<"fused", [IsolatedFromAbove, SingleBlock]> {
  let summary = "one scalar computation at every element, or at every element of a row that is then reduced";
  let description = [{
    The region takes one scalar per input and yields one scalar; its body is arith and math ops. Inputs broadcast to a
    common shape. Without `reduce` the result has that shape; with it, the yielded numbers of each row of the last
    dimension are reduced to one, in fp32 or wider, and the result's last dimension is 1.

    C1: one region argument per input, of its element type. C2: inputs broadcast. C3: the yielded type is the result's
    element type. C4: the body is arith and math ops on scalars. C5: there is an input.

    ```mlir
    %h = transom.fused (%gate, %up) {
    ^bb0(%g: f32, %u: f32):
      %0 = arith.mulf %g, %u : f32
      transom.yield %0 : f32
    } : (tensor<?x?x1536xf32>, tensor<?x?x1536xf32>) -> tensor<?x?x1536xf32>
    ```
  }];
  let arguments = (ins Variadic<Transom_Dense>:$inputs, OptionalAttr<ReduceKind>:$reduce);
  let results = (outs Transom_Dense:$result);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    (`reduce` $reduce^)? `(` $inputs `)` $body attr-dict `:` functional-type($inputs, results)
  }];
  let elementRule = OwnElement;
  let hasRegionVerifier = 1;
}

def GroupOp : Transom_Op<"group", [Pure, IsolatedFromAbove, SingleBlock,
    DeclareOpInterfaceMethods<ShapedOpInterface>]> {
  let summary = "whole ops that a device computes as one operation";
  let description = [{
    Means what its body means in place of it. ir/Group.h takes the body apart into what comes before a matrix product, the
    product and what comes behind it; which bodies a backend can compute is the passes' business.

    C1: one region argument per input, of its type. C2: the body is ops of this dialect whose sizes follow from their
    operands, and no groups. C3: it yields values of the results' types, at least one.

    ```mlir
    %h, %n = transom.group (%x, %r, %s) {
    ^bb0(%a: tensor<?x576xf32>, %b: tensor<?x576xf32>, %c: tensor<576xf32>):
      %0 = transom.add %a, %b : (tensor<?x576xf32>, tensor<?x576xf32>) -> tensor<?x576xf32>
      %1 = transom.rms_norm %0, %c epsilon 1.0e-05 : (tensor<?x576xf32>, tensor<576xf32>) -> tensor<?x576xf32>
      transom.yield %0, %1 : tensor<?x576xf32>, tensor<?x576xf32>
    } : (tensor<?x576xf32>, tensor<?x576xf32>, tensor<576xf32>) -> (tensor<?x576xf32>, tensor<?x576xf32>)
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$inputs);
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`(` $inputs `)` $body attr-dict `:` functional-type($inputs, $results)";
  let hasRegionVerifier = 1;
}

#endif
