// What quantise-products leaves alone, by the condition that fails, and scales that do not fit.
// RUN: transom-opt %s -split-input-file -quantise-products=report -verify-diagnostics | FileCheck %s
// RUN: not transom-opt %s -split-input-file -quantise-products=scales=1,2 2>&1 | FileCheck %s --check-prefix=SCALES

// SCALES: scales: expected 1, one for each product that is quantised, found 2

// Tokens of attention are added to what products make of them.
// CHECK-LABEL: @layer
module attributes {transom.bounds = {tokens = [1, 512], batch = [1, 8]}} {
  func.func @layer(%x: tensor<?x64xf32> {transom.name = "x", transom.dims = ["tokens", "64"]}, %c: tensor<?xi32> {transom.name = "c", transom.dims = ["batch+1"]},
                   %z: tensor<?x64xf32> {transom.name = "z", transom.dims = ["batch", "64"]})
      -> (tensor<?x64xf32>, tensor<?x24xf32>, tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x64xf32>) {
    %w = transom.weight "w" : tensor<64x64xf32>
    %odd = transom.weight "odd" : tensor<24x64xf32>
    %head = transom.weight "head" : tensor<32x64xf32>
    %blocks = transom.weight "blocks" : tensor<64x64x!transom.block<q8_0>>
    %q = transom.reshape %x [0, 4, 16] : (tensor<?x64xf32>) -> tensor<?x4x16xf32>
    %a = transom.attention thd %q, %q, %q cumulative %c {scale = 0.25 : f64} : (tensor<?x4x16xf32>, tensor<?x4x16xf32>, tensor<?x4x16xf32>, tensor<?xi32>) -> tensor<?x4x16xf32>
    %t = transom.reshape %a [0, 64] : (tensor<?x4x16xf32>) -> tensor<?x64xf32>
    // CHECK: transom.round_e4m3
    // expected-remark@+1 {{applied: reads operands of E4M3}}
    %0 = transom.matmul %t, %w transpose_rhs : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
    %1 = transom.add %0, %x : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
    // CHECK-NOT: transom.round_e4m3
    // expected-remark@+1 {{Q3: expected a weight [N, K] of multiples of 32 and 16, found 24 x 64}}
    %2 = transom.matmul %1, %odd transpose_rhs : (tensor<?x64xf32>, tensor<24x64xf32>) -> tensor<?x24xf32>
    // expected-remark@+1 {{Q1: expected a stored weight of f32, f16 or bf16 [N, K] with transpose_rhs, and rows of f32}}
    %3 = transom.matmul %1, %blocks transpose_rhs : (tensor<?x64xf32>, tensor<64x64x!transom.block<q8_0>>) -> tensor<?x64xf32>
    // expected-remark@+1 {{Q4: expected a product of a layer, which a residual addition follows}}
    %4 = transom.matmul %1, %head transpose_rhs : (tensor<?x64xf32>, tensor<32x64xf32>) -> tensor<?x32xf32>
    // expected-remark@+1 {{Q2: expected rows that are tokens of attention, more than 16 at their bounds, found batch}}
    %5 = transom.matmul %z, %w transpose_rhs : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
    return %1, %2, %3, %4, %5 : tensor<?x64xf32>, tensor<?x24xf32>, tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x64xf32>
  }
}

// -----

// With at most 16 tokens a product is a matrix-vector kernel.
// CHECK-LABEL: @few
// CHECK-NOT: transom.round_e4m3
module attributes {transom.bounds = {tokens = [1, 16], batch = [1, 8]}} {
  func.func @few(%x: tensor<?x64xf32> {transom.name = "x", transom.dims = ["tokens", "64"]}, %c: tensor<?xi32> {transom.name = "c", transom.dims = ["batch+1"]}) -> tensor<?x64xf32> {
    %w = transom.weight "w" : tensor<64x64xf32>
    %q = transom.reshape %x [0, 4, 16] : (tensor<?x64xf32>) -> tensor<?x4x16xf32>
    %a = transom.attention thd %q, %q, %q cumulative %c {scale = 0.25 : f64} : (tensor<?x4x16xf32>, tensor<?x4x16xf32>, tensor<?x4x16xf32>, tensor<?xi32>) -> tensor<?x4x16xf32>
    %t = transom.reshape %a [0, 64] : (tensor<?x4x16xf32>) -> tensor<?x64xf32>
    // expected-remark@+1 {{Q2: expected rows that are tokens of attention, more than 16 at their bounds, found tokens}}
    %0 = transom.matmul %t, %w transpose_rhs : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
    %1 = transom.add %0, %x : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
    return %1 : tensor<?x64xf32>
  }
}

// -----

// Functions with caches are decoders'.
// CHECK-LABEL: @decoder
// CHECK-NOT: transom.round_e4m3
module attributes {transom.bounds = {tokens = [1, 512]}} {
  func.func @decoder(%x: tensor<?x64xf32> {transom.name = "x", transom.dims = ["tokens", "64"]}, %cache: !transom.cache<1x4x128x16xf32>) -> tensor<?x64xf32> {
    %w = transom.weight "w" : tensor<64x64xf32>
    %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
    %1 = transom.add %0, %x : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
    return %1 : tensor<?x64xf32>
  }
}
