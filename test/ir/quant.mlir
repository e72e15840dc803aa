// Quantised blocks: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// CHECK-LABEL: @quant
func.func @quant(%x: tensor<?x64xf32>) {
  // CHECK: transom.quantize %{{[0-9a-z]+}} to q8_0 : (tensor<?x64xf32>) -> tensor<?x64x!transom.block<q8_0>>
  %0 = transom.quantize %x to q8_0 : (tensor<?x64xf32>) -> tensor<?x64x!transom.block<q8_0>>
  // CHECK: transom.dequantize %{{[0-9a-z]+}} to f32 : (tensor<?x64x!transom.block<q8_0>>) -> tensor<?x64xf32>
  %1 = transom.dequantize %0 to f32 : (tensor<?x64x!transom.block<q8_0>>) -> tensor<?x64xf32>
  // CHECK: transom.dequantize %{{[0-9a-z]+}} to bf16 : (tensor<?x64x!transom.block<q8_0>>) -> tensor<?x64xbf16>
  %2 = transom.dequantize %0 to bf16 : (tensor<?x64x!transom.block<q8_0>>) -> tensor<?x64xbf16>
  return
}

// CHECK-LABEL: @round_e4m3
func.func @round_e4m3(%x: tensor<?x64xf32>, %s: tensor<f32>, %w: tensor<32x64xf8E4M3FN>) {
  // CHECK: transom.round_e4m3 %{{[0-9a-z]+}} : (tensor<?x64xf32>) -> tensor<?x64xf32>
  %0 = transom.round_e4m3 %x : (tensor<?x64xf32>) -> tensor<?x64xf32>
  // CHECK: transom.round_e4m3 %{{[0-9a-z]+}} scale %{{[0-9a-z]+}} : (tensor<?x64xf32>, tensor<f32>) -> tensor<?x64xf32>
  %1 = transom.round_e4m3 %x scale %s : (tensor<?x64xf32>, tensor<f32>) -> tensor<?x64xf32>
  // CHECK: transom.matmul %{{[0-9a-z]+}}, %{{[0-9a-z]+}} transpose_rhs : (tensor<?x64xf32>, tensor<32x64xf8E4M3FN>) -> tensor<?x32xf32>
  %2 = transom.matmul %0, %w transpose_rhs : (tensor<?x64xf32>, tensor<32x64xf8E4M3FN>) -> tensor<?x32xf32>
  return
}

// Every block format is a type.
// CHECK-LABEL: @formats
func.func @formats() {
  // CHECK: transom.weight "a" : tensor<2x32x!transom.block<q8_0>>
  %0 = transom.weight "a" : tensor<2x32x!transom.block<q8_0>>
  // CHECK: transom.weight "b" : tensor<2x32x!transom.block<q4_0>>
  %1 = transom.weight "b" : tensor<2x32x!transom.block<q4_0>>
  // CHECK: transom.weight "c" : tensor<2x32x!transom.block<q4_1>>
  %2 = transom.weight "c" : tensor<2x32x!transom.block<q4_1>>
  // CHECK: transom.weight "d" : tensor<2x32x!transom.block<q5_0>>
  %3 = transom.weight "d" : tensor<2x32x!transom.block<q5_0>>
  // CHECK: transom.weight "e" : tensor<2x32x!transom.block<q5_1>>
  %4 = transom.weight "e" : tensor<2x32x!transom.block<q5_1>>
  // CHECK: transom.weight "f" : tensor<2x256x!transom.block<q4_k>>
  %5 = transom.weight "f" : tensor<2x256x!transom.block<q4_k>>
  // CHECK: transom.weight "g" : tensor<2x256x!transom.block<q5_k>>
  %6 = transom.weight "g" : tensor<2x256x!transom.block<q5_k>>
  // CHECK: transom.weight "h" : tensor<2x256x!transom.block<q6_k>>
  %7 = transom.weight "h" : tensor<2x256x!transom.block<q6_k>>
  return
}
