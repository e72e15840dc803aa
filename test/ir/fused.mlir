// Fused regions: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// CHECK-LABEL: @pointwise
func.func @pointwise(%gate: tensor<?x?x1536xf32>, %up: tensor<1536xf16>) {
  // CHECK: transom.fused(%{{[0-9a-z]+}}, %{{[0-9a-z]+}}) {
  %0 = transom.fused(%gate, %up) {
  ^bb0(%g: f32, %u: f16):
    %1 = arith.extf %u : f16 to f32
    %2 = math.exp %1 : f32
    %3 = arith.mulf %g, %2 : f32
    // CHECK: transom.yield %{{[0-9a-z]+}} : f32
    transom.yield %3 : f32
  } : (tensor<?x?x1536xf32>, tensor<1536xf16>) -> tensor<?x?x1536xf32>
  return
}

// CHECK-LABEL: @row
func.func @row(%x: tensor<?x576xf32>) {
  // CHECK: transom.fused reduce sum(%{{[0-9a-z]+}}) {
  %0 = transom.fused reduce sum(%x) {
  ^bb0(%a: f32):
    %1 = arith.mulf %a, %a : f32
    // CHECK: transom.yield %{{[0-9a-z]+}} : f32
    transom.yield %1 : f32
  } : (tensor<?x576xf32>) -> tensor<?x1xf32>
  return
}

// Several results; caches may be among them.
// CHECK-LABEL: func @group
func.func @group(%x: tensor<?x8xf32>, %r: tensor<?x8xf32>, %s: tensor<8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  // CHECK: = transom.group
  // CHECK: transom.yield %{{.*}}, %{{.*}} : tensor<?x8xf32>, tensor<?x8xf32>
  // CHECK: } : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>)
  %h, %n = transom.group (%x, %r, %s) {
  ^bb0(%a: tensor<?x8xf32>, %b: tensor<?x8xf32>, %c: tensor<8xf32>):
    %0 = transom.add %a, %b : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    %1 = transom.rms_norm %0, %c epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    transom.yield %0, %1 : tensor<?x8xf32>, tensor<?x8xf32>
  } : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>)
  return %h, %n : tensor<?x8xf32>, tensor<?x8xf32>
}
