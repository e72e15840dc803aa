// Between floats and quantised blocks, and rounding to 8 bits.
#ifndef TRANSOM_QUANT_TD
#define TRANSOM_QUANT_TD

include "ir/TransomBase.td"

def QuantizeOp : Transom_ShapedOp<"quantize"> {
  let summary = "floats to blocks with a scale each";
  let description = [{
    q8_0 as GGUF files define it: blocks of 32 along the last dimension, scale = max|x| / 127 in fp16, numbers rounded to
    nearest, halves away from zero. C1: format is q8_0. C2: the last dimension is static and a multiple of the block.
  }];
  let arguments = (ins Transom_Float:$input, BlockFormat:$format);
  let results = (outs RankedTensorOf<[BlockType]>:$result);
  let assemblyFormat = "$input `to` $format attr-dict `:` functional-type(operands, results)";
  let elementRule = OwnElement;
}

def DequantizeOp : Transom_ShapedOp<"dequantize"> {
  let summary = "blocks to floats";
  let description = "Decodes exactly as the format defines, in fp32, then rounds to the result's type.";
  let arguments = (ins RankedTensorOf<[BlockType]>:$input, TypeAttr:$to);
  let results = (outs Transom_Float:$result);
  let assemblyFormat = "$input `to` $to attr-dict `:` functional-type(operands, results)";
  let elementRule = OwnElement;
}

def RoundE4m3Op : Transom_ShapedOp<"round_e4m3"> {
  let summary = "each row's numbers to those that E4M3 has, times the row's scale";
  let description = [{
    E4M3 as runtime/format/E4m3.h defines it. With `scale`, one number, s is that for all rows; without, s of a row along the last
    dimension is max|x| / 448, and at least 2^-120. Results are s * round(x * (1 / s)), each step in fp32: to nearest even, beyond
    448 s to that; a row with a number that is not finite becomes NaN where it has its own s. What a product with e4m3 operands
    reads: devices that have such products keep the result in 8 bits and the scales beside them.

    C1: rank 1 or more, the last dimension static. C2: scale has rank 0.

    ```mlir
    %y = transom.round_e4m3 %x : (tensor<?x768xf32>) -> tensor<?x768xf32>
    %z = transom.round_e4m3 %x scale %s : (tensor<?x768xf32>, tensor<f32>) -> tensor<?x768xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[F32]>:$input, Optional<RankedTensorOf<[F32]>>:$scale);
  let results = (outs RankedTensorOf<[F32]>:$result);
  let assemblyFormat = "$input (`scale` $scale^)? attr-dict `:` functional-type(operands, results)";
}

#endif
