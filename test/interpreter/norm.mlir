// Normalisations of rows whose mean, variance and root are whole numbers.
// RUN: transom-opt --interpret %s | FileCheck %s

// Row 1: mean 3, variance 4; row 2: mean 0, variance 1. Scale 2, bias 10.
// CHECK-LABEL: @layer_norm
// CHECK-NEXT{LITERAL}: tensor<2x2xf32>: [[8, 12], [12, 8]]
// CHECK-NEXT{LITERAL}: tensor<2x2xf32>: [[-2, 2], [2, -2]]
func.func @layer_norm() -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %x = transom.constant dense<[[1.0, 5.0], [1.0, -1.0]]> : tensor<2x2xf32>
  %s = transom.constant dense<2.0> : tensor<2xf32>
  %b = transom.constant dense<10.0> : tensor<2xf32>
  %y = transom.layer_norm %x, %s, %b epsilon 1.0e-12 : (tensor<2x2xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<2x2xf32>
  %z = transom.layer_norm %x, %s epsilon 1.0e-12 : (tensor<2x2xf32>, tensor<2xf32>) -> tensor<2x2xf32>
  return %y, %z : tensor<2x2xf32>, tensor<2x2xf32>
}

// Mean square of (1, 7) is 25, of (3, -3) is 9; of (0, 0) epsilon 4 is left: 0 / 2.
// CHECK-LABEL: @rms_norm
// CHECK-NEXT{LITERAL}: tensor<2x2xf32>: [[0.2, 14], [1, -10]]
// CHECK-NEXT: tensor<1x2xf32>: {{\[\[0, 0\]\]}}
func.func @rms_norm() -> (tensor<2x2xf32>, tensor<1x2xf32>) {
  %x = transom.constant dense<[[1.0, 7.0], [3.0, -3.0]]> : tensor<2x2xf32>
  %s = transom.constant dense<[1.0, 10.0]> : tensor<2xf32>
  %y = transom.rms_norm %x, %s epsilon 1.0e-12 : (tensor<2x2xf32>, tensor<2xf32>) -> tensor<2x2xf32>
  %0 = transom.constant dense<0.0> : tensor<1x2xf32>
  %z = transom.rms_norm %0, %s epsilon 4.0 : (tensor<1x2xf32>, tensor<2xf32>) -> tensor<1x2xf32>
  return %y, %z : tensor<2x2xf32>, tensor<1x2xf32>
}
