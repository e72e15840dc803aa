// Ops that move numbers without computing.
#ifndef TRANSOM_SHAPE_TD
#define TRANSOM_SHAPE_TD

include "ir/TransomBase.td"

def ReshapeOp : Transom_ShapedOp<"reshape"> {
  let summary = "the same numbers in row-major order under another shape";
  let description = [{
    Entry i of `shape`: a size; 0 for the size of input dimension i; -1, at most once, for what is left.
    C1: at most one -1, no other negative entry, 0 only where the input has that dimension. C2: the element counts agree.

    ```mlir
    %y = transom.reshape %x [0, 0, 9, 64] : (tensor<?x?x576xf32>) -> tensor<?x?x9x64xf32>
    ```
  }];
  let arguments = (ins Transom_Dense:$input, DenseI64ArrayAttr:$shape);
  let results = (outs Transom_Dense:$result);
  let assemblyFormat = "$input $shape attr-dict `:` functional-type(operands, results)";
  let hasFolder = 1;
}

def SplitRowsOp : Transom_ShapedOp<"split_rows"> {
  let summary = "rows as [batch, seq]: the same numbers, with the first dimension in two";
  let description = [{
    `like` [batch, seq, ...] gives the sizes only, which a reshape could not infer both. C1: input has rank 1 or more, like
    rank 2 or more. C2: input has batch*seq rows.

    ```mlir
    %y = transom.split_rows %x like %ids : (tensor<?x576xf32>, tensor<?x?xi32>) -> tensor<?x?x576xf32>
    ```
  }];
  let arguments = (ins Transom_Dense:$input, Transom_Dense:$like);
  let results = (outs Transom_Dense:$result);
  let assemblyFormat = "$input `like` $like attr-dict `:` functional-type(operands, results)";
}

def TransposeOp : Transom_ShapedOp<"transpose"> {
  let summary = "result dimension i is input dimension permutation[i]";
  let description = "C1: permutation holds each of 0 to rank-1 once. C2: quantised blocks stay in the last dimension.";
  let arguments = (ins Transom_Tensor:$input, DenseI64ArrayAttr:$permutation);
  let results = (outs Transom_Tensor:$result);
  let assemblyFormat = "$input $permutation attr-dict `:` functional-type(operands, results)";
  let hasFolder = 1;
}

def SliceOp : Transom_ShapedOp<"slice"> {
  let summary = "a range of one dimension";
  let description = [{
    Indices [start, start + size) of dimension `axis`. C1: axis is a dimension. C2: 0 <= start, 1 <= size, and the range
    ends within the dimension; of a dynamic dimension that is checked when it runs. C3: of quantised blocks' dimension
    whole blocks.
  }];
  let arguments = (ins Transom_Tensor:$input, I64Attr:$axis, I64Attr:$start, I64Attr:$size);
  let results = (outs Transom_Tensor:$result);
  let assemblyFormat = [{
    $input `axis` $axis `start` $start `size` $size attr-dict `:` functional-type(operands, results)
  }];
}

def ConcatOp : Transom_ShapedOp<"concat", [SameOperandsAndResultElementType]> {
  let summary = "tensors one after the other along one dimension";
  let description = "C1: axis is a dimension. C2: all other sizes are equal. C3: not along quantised blocks' dimension.";
  let arguments = (ins Variadic<Transom_Tensor>:$inputs, I64Attr:$axis);
  let results = (outs Transom_Tensor:$result);
  let assemblyFormat = "$inputs `axis` $axis attr-dict `:` functional-type(operands, results)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

def PadOp : Transom_ShapedOp<"pad"> {
  let summary = "a dimension extended by a constant";
  let description = "C1: axis is a dimension. C2: before and after are not negative.";
  let arguments = (ins Transom_Dense:$input, I64Attr:$axis, I64Attr:$before, I64Attr:$after,
      DefaultValuedAttr<F64Attr, "0.0">:$value);
  let results = (outs Transom_Dense:$result);
  let assemblyFormat = [{
    $input `axis` $axis `before` $before `after` $after attr-dict `:` functional-type(operands, results)
  }];
}

def BroadcastOp : Transom_ShapedOp<"broadcast"> {
  let summary = "numbers repeated to the shape of another tensor";
  let description = "`like` gives the sizes only. C1: input broadcasts to like's shape, aligned at the last dimension.";
  let arguments = (ins Transom_Dense:$input, Transom_Dense:$like);
  let results = (outs Transom_Dense:$result);
  let assemblyFormat = "$input `like` $like attr-dict `:` functional-type(operands, results)";
}

def IotaOp : Transom_ShapedOp<"iota"> {
  let summary = "[0, 1, 2, ...] of the size of a dimension of another tensor";
  let description = "C1: axis is a dimension of like.";
  let arguments = (ins Transom_Dense:$like, I64Attr:$axis);
  let results = (outs Transom_I32:$result);
  let assemblyFormat = "`like` $like `axis` $axis attr-dict `:` functional-type(operands, results)";
  let elementRule = OwnElement;
}

#endif
