// Weights, constants, recipes: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// CHECK-LABEL: @sources
func.func @sources() {
  // CHECK: transom.weight "blk.0.attn_q.weight" : tensor<576x576x!transom.block<q4_1>>
  %0 = transom.weight "blk.0.attn_q.weight" : tensor<576x576x!transom.block<q4_1>>
  // CHECK: transom.constant dense<[1, 2]> : tensor<2xi32>
  %1 = transom.constant dense<[1, 2]> : tensor<2xi32>
  // CHECK: transom.constant dense<1.000000e+00> : tensor<4x4xbf16>
  %2 = transom.constant dense<1.000000e+00> : tensor<4x4xbf16>
  // CHECK: transom.recipe "norm.f32" : tensor<64xf32> {
  %3 = transom.recipe "norm.f32" : tensor<64xf32> {
    // CHECK: transom.weight "norm" : tensor<64xbf16>
    %4 = transom.weight "norm" : tensor<64xbf16>
    // CHECK: transom.cast %{{[0-9a-z]+}} to f32 : (tensor<64xbf16>) -> tensor<64xf32>
    %5 = transom.cast %4 to f32 : (tensor<64xbf16>) -> tensor<64xf32>
    // CHECK: transom.yield %{{[0-9a-z]+}} : tensor<64xf32>
    transom.yield %5 : tensor<64xf32>
  }
  return
}
