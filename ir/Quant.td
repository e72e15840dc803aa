// Between floats and quantised blocks.
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

#endif
