// Normalisations over the last dimension.
#ifndef TRANSOM_NORM_TD
#define TRANSOM_NORM_TD

include "ir/TransomBase.td"

def LayerNormOp : Transom_ShapedOp<"layer_norm"> {
  let summary = "(x - mean) / sqrt(variance + epsilon) * scale + bias over the last dimension";
  let description = [{
    Ba, Kiros and Hinton, Layer Normalization, 2016; the variance is the biased one. Computed in fp32 or wider.
    C1: `scale` and `bias` are [last dimension of input]. C2: epsilon is positive.
  }];
  let arguments = (ins Transom_Float:$input, Transom_Float:$scale, Optional<Transom_Float>:$bias, F64Attr:$epsilon);
  let results = (outs Transom_Float:$result);
  let assemblyFormat = [{
    $input `,` $scale (`,` $bias^)? `epsilon` $epsilon attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def RmsNormOp : Transom_ShapedOp<"rms_norm"> {
  let summary = "x / sqrt(mean(x^2) + epsilon) * scale over the last dimension";
  let description = [{
    Zhang and Sennrich, Root Mean Square Layer Normalization, 2019. Computed in fp32 or wider.
    C1: `scale` is [last dimension of input]. C2: epsilon is positive.
  }];
  let arguments = (ins Transom_Float:$input, Transom_Float:$scale, F64Attr:$epsilon);
  let results = (outs Transom_Float:$result);
  let assemblyFormat = "$input `,` $scale `epsilon` $epsilon attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

#endif
