// fp32 rounds 32-bit floats after each op; fp64 keeps them as doubles; narrower types are rounded either way.
// RUN: transom-opt --interpret %s | FileCheck %s --check-prefixes=CHECK,F32
// RUN: transom-opt --interpret --precision=f64 %s | FileCheck %s --check-prefixes=CHECK,F64

// 2^24 + 1 has no float: it rounds to 2^24 before 2^24 is taken away.
// CHECK-LABEL: @single
// F32-NEXT: tensor<f32>: 0
// F64-NEXT: tensor<f32>: 1
func.func @single() -> tensor<f32> {
  %a = transom.constant dense<16777216.0> : tensor<f32>
  %b = transom.constant dense<1.0> : tensor<f32>
  %sum = transom.add %a, %b : (tensor<f32>, tensor<f32>) -> tensor<f32>
  %y = transom.sub %sum, %a : (tensor<f32>, tensor<f32>) -> tensor<f32>
  return %y : tensor<f32>
}

// The same in a fused region, where each scalar op rounds.
// CHECK-LABEL: @region
// F32-NEXT: tensor<1xf32>: [0]
// F64-NEXT: tensor<1xf32>: [1]
func.func @region() -> tensor<1xf32> {
  %a = transom.constant dense<16777216.0> : tensor<1xf32>
  %y = transom.fused (%a) {
  ^bb0(%x: f32):
    %one = arith.constant 1.0 : f32
    %0 = arith.addf %x, %one : f32
    %1 = arith.subf %0, %x : f32
    transom.yield %1 : f32
  } : (tensor<1xf32>) -> tensor<1xf32>
  return %y : tensor<1xf32>
}

// f16 has 11 bits: 2049 is a tie and goes to 2048, 2051 to 2052; above 65504 is infinity, below 2^-25 zero.
// CHECK-LABEL: @half
// CHECK-NEXT: tensor<5xf32>: [2048, 2052, inf, 5.96046e-08, 0]
func.func @half() -> tensor<5xf32> {
  %x = transom.constant dense<[2049.0, 2051.0, 65520.0, 4.0e-8, 2.0e-8]> : tensor<5xf32>
  %h = transom.cast %x to f16 : (tensor<5xf32>) -> tensor<5xf16>
  %y = transom.cast %h to f32 : (tensor<5xf16>) -> tensor<5xf32>
  return %y : tensor<5xf32>
}

// bf16 has 8 bits: 257 is a tie and goes to 256, 259 to 260.
// CHECK-LABEL: @brain
// CHECK-NEXT: tensor<3xf32>: [256, 260, -9.96921e+37]
func.func @brain() -> tensor<3xf32> {
  %x = transom.constant dense<[257.0, 259.0, -1.0e38]> : tensor<3xf32>
  %h = transom.cast %x to bf16 : (tensor<3xf32>) -> tensor<3xbf16>
  %y = transom.cast %h to f32 : (tensor<3xbf16>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// f64 tensors are never rounded to float.
// CHECK-LABEL: @double
// CHECK-NEXT: tensor<f64>: 1
func.func @double() -> tensor<f64> {
  %a = transom.constant dense<16777216.0> : tensor<f64>
  %b = transom.constant dense<1.0> : tensor<f64>
  %sum = transom.add %a, %b : (tensor<f64>, tensor<f64>) -> tensor<f64>
  %y = transom.sub %sum, %a : (tensor<f64>, tensor<f64>) -> tensor<f64>
  return %y : tensor<f64>
}
