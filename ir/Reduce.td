// Reductions, running sums and softmax.
#ifndef TRANSOM_REDUCE_TD
#define TRANSOM_REDUCE_TD

include "ir/TransomBase.td"

def ReduceKind : I32EnumAttr<"ReduceKind", "what a reduction computes", [
    I32EnumAttrCase<"sum", 0>, I32EnumAttrCase<"mean", 1>, I32EnumAttrCase<"max", 2>, I32EnumAttrCase<"min", 3>]> {
  let cppNamespace = "::transom";
}

def ReduceOp : Transom_ShapedOp<"reduce"> {
  let summary = "sum, mean, maximum or minimum over dimensions";
  let description = [{
    Reduced dimensions stay with size 1 if `keep_dims`. Sums accumulate in fp32 or wider; max and min are NaN where a
    number is. C1: axes are distinct dimensions, at least one. C2: mean is of floats.

    ```mlir
    %s = transom.reduce sum %x axes [1] : (tensor<?x?x384xf32>) -> tensor<?x384xf32>
    ```
  }];
  let arguments = (ins ReduceKind:$kind, Transom_Dense:$input, DenseI64ArrayAttr:$axes, UnitAttr:$keep_dims);
  let results = (outs Transom_Dense:$result);
  let assemblyFormat = [{
    $kind $input `axes` $axes (`keep_dims` $keep_dims^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def CumulativeSumOp : Transom_ShapedOp<"cumulative_sum"> {
  let summary = "running sum of integers along one dimension: result[i] = x[0] + ... + x[i]";
  let description = [{
    Sums wrap around like the type. C1: axis is a dimension.

    ```mlir
    %s = transom.cumulative_sum %mask axis 1 : (tensor<?x?xi32>) -> tensor<?x?xi32>
    ```
  }];
  let arguments = (ins Transom_Int:$input, I64Attr:$axis);
  let results = (outs Transom_Int:$result);
  let assemblyFormat = "$input `axis` $axis attr-dict `:` functional-type(operands, results)";
}

def SoftmaxOp : Transom_ShapedOp<"softmax"> {
  let summary = "e^x / sum(e^x) along one dimension, shifted by the maximum";
  let description = "Computed in fp32 or wider. A row of -inf gives zeros. C1: axis is a dimension.";
  let arguments = (ins Transom_Float:$input, I64Attr:$axis);
  let results = (outs Transom_Float:$result);
  let assemblyFormat = "$input `axis` $axis attr-dict `:` functional-type(operands, results)";
}

#endif
