// Constants fold, weight-only subgraphs become recipes, equal ops are merged, dead ones go.
// RUN: transom-opt %s --fold-constants -split-input-file | FileCheck %s

// A converted weight is a recipe named after the weight and what is done to it; equal ones are one.
// CHECK-LABEL: @cast
// CHECK: %[[S:.*]] = transom.recipe "norm.weight.cast" : tensor<64xf32> {
// CHECK-NEXT: transom.weight "norm.weight" : tensor<64xbf16>
// CHECK-NEXT: transom.cast
// CHECK-NEXT: transom.yield
// CHECK-NOT: transom.weight
// CHECK: transom.rms_norm %{{.*}}, %[[S]]
// CHECK: transom.rms_norm %{{.*}}, %[[S]]
func.func @cast(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %w = transom.weight "norm.weight" : tensor<64xbf16>
  %s = transom.cast %w to f32 : (tensor<64xbf16>) -> tensor<64xf32>
  %y = transom.rms_norm %x, %s epsilon 1.0e-05 : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  %w2 = transom.weight "norm.weight" : tensor<64xbf16>
  %s2 = transom.cast %w2 to f32 : (tensor<64xbf16>) -> tensor<64xf32>
  %z = transom.rms_norm %y, %s2 epsilon 1.0e-05 : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  return %z : tensor<?x64xf32>
}

// -----

// A chain is one recipe; a name that another tensor has gets a number.
// CHECK-LABEL: @chain
// CHECK: transom.recipe "a+b.concat.transpose.2" : tensor<8x4xf32> {
// CHECK: transom.concat
// CHECK-NEXT: transom.transpose
// CHECK: transom.matmul
func.func @chain(%x: tensor<?x8xf32>) -> (tensor<?x4xf32>, tensor<4xf32>) {
  %a = transom.weight "a" : tensor<2x8xf32>
  %b = transom.weight "b" : tensor<2x8xf32>
  %c = transom.concat %a, %b axis 0 : (tensor<2x8xf32>, tensor<2x8xf32>) -> tensor<4x8xf32>
  %t = transom.transpose %c [1, 0] : (tensor<4x8xf32>) -> tensor<8x4xf32>
  %y = transom.matmul %x, %t : (tensor<?x8xf32>, tensor<8x4xf32>) -> tensor<?x4xf32>
  %other = transom.weight "a+b.concat.transpose" : tensor<4xf32>
  return %y, %other : tensor<?x4xf32>, tensor<4xf32>
}

// -----

// The row of a table at a constant index, and a rewrite of an earlier recipe.
// CHECK-LABEL: @rows
// CHECK: transom.recipe "types.embedding" : tensor<1x4xf32>
// CHECK: transom.recipe "old.slice" : tensor<1x2xf32> {
// CHECK-NEXT: transom.weight "w"
// CHECK-NEXT: transom.transpose
// CHECK-NEXT: transom.slice
// CHECK-NEXT: transom.yield
func.func @rows() -> (tensor<1x4xf32>, tensor<1x2xf32>) {
  %table = transom.weight "types" : tensor<2x4xf32>
  %zero = transom.constant dense<0> : tensor<1xi32>
  %row = transom.embedding %table, %zero : (tensor<2x4xf32>, tensor<1xi32>) -> tensor<1x4xf32>
  %r = transom.recipe "old" : tensor<4x2xf32> {
    %w = transom.weight "w" : tensor<2x4xf32>
    %t = transom.transpose %w [1, 0] : (tensor<2x4xf32>) -> tensor<4x2xf32>
    transom.yield %t : tensor<4x2xf32>
  }
  %s = transom.slice %r axis 0 start 1 size 1 : (tensor<4x2xf32>) -> tensor<1x2xf32>
  return %row, %s : tensor<1x4xf32>, tensor<1x2xf32>
}

// -----

// Elementwise and shape ops on splat constants, and a short static iota, are constants; dead ops are gone.
// CHECK-LABEL: @constants
// CHECK-DAG: transom.constant dense<7.000000e+00> : tensor<3xf32>
// CHECK-DAG: transom.constant dense<2.500000e-01> : tensor<2x3xf32>
// CHECK-DAG: transom.constant dense<[0, 1, 2]> : tensor<3xi32>
// CHECK-NEXT: return
func.func @constants(%x: tensor<?x3xf32>) -> (tensor<3xf32>, tensor<2x3xf32>, tensor<3xi32>) {
  %a = transom.constant dense<3.0> : tensor<3xf32>
  %b = transom.constant dense<4> : tensor<1xi32>
  %c = transom.cast %b to f32 : (tensor<1xi32>) -> tensor<1xf32>
  %d = transom.add %a, %c : (tensor<3xf32>, tensor<1xf32>) -> tensor<3xf32>
  %e = transom.constant dense<16.0> : tensor<6xf32>
  %f = transom.rsqrt %e : (tensor<6xf32>) -> tensor<6xf32>
  %g = transom.reshape %f [2, 3] : (tensor<6xf32>) -> tensor<2x3xf32>
  %h = transom.iota like %x axis 1 : (tensor<?x3xf32>) -> tensor<3xi32>
  %dead = transom.exp %x : (tensor<?x3xf32>) -> tensor<?x3xf32>
  return %d, %g, %h : tensor<3xf32>, tensor<2x3xf32>, tensor<3xi32>
}
