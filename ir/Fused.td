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

#endif
