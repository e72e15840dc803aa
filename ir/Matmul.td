// Matrix products.
#ifndef TRANSOM_MATMUL_TD
#define TRANSOM_MATMUL_TD

include "ir/TransomBase.td"

def MatmulOp : Transom_ShapedOp<"matmul"> {
  let summary = "matrix product over the last two dimensions";
  let description = [{
    `lhs` [..., M, K] times `rhs` [..., K, N], or [..., N, K] with `transpose_rhs`, gives [..., M, N]. Leading dimensions
    broadcast. Products accumulate in fp32 (fp64 for fp64). The result has the element type of `lhs`. `rhs` may be
    f8E4M3FN, or quantised; then its rows are the blocks' rows, so `transpose_rhs` is required.

    C1: both operands have rank 2 or more. C2: the K sizes are equal. C3: leading dimensions broadcast. C4: a quantised
    `rhs` needs `transpose_rhs`.

    ```mlir
    %y = transom.matmul %x, %w transpose_rhs
       : (tensor<?x?x576xf32>, tensor<1536x576x!transom.block<q4_1>>) -> tensor<?x?x1536xf32>
    ```
  }];
  let arguments = (ins Transom_Float:$lhs, Transom_Numbers:$rhs, UnitAttr:$transpose_rhs);
  let results = (outs Transom_Float:$result);
  let assemblyFormat = [{
    $lhs `,` $rhs (`transpose_rhs` $transpose_rhs^)? attr-dict `:` functional-type(operands, results)
  }];
}

#endif
