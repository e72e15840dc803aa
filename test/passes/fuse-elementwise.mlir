// Elementwise ops that read each other become one region.
// RUN: transom-opt %s --pass-pipeline='builtin.module(func.func(fuse-elementwise))' | FileCheck %s

// A DAG whose first value is read twice: one input, each op once.
// CHECK-LABEL: @dag
// CHECK: %[[Y:.*]] = transom.fused(%[[G:.*]], %[[U:.*]]) {
// CHECK-NEXT: ^bb0(%[[GS:.*]]: f32, %[[US:.*]]: f32):
// CHECK-NOT: transom.silu
// CHECK: math.exp
// CHECK: arith.mulf
// CHECK: arith.addf
// CHECK-NEXT: transom.yield
// CHECK-NEXT: }
// CHECK-NEXT: return %[[Y]]
func.func @dag(%gate: tensor<?x?x8xf32> {transom.dims = ["batch", "seq", "8"]},
               %up: tensor<?x?x8xf32> {transom.dims = ["batch", "seq", "8"]}) -> tensor<?x?x8xf32> {
  %a = transom.silu %gate : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  %b = transom.mul %a, %up : (tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  %c = transom.add %b, %gate : (tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %c : tensor<?x?x8xf32>
}

// A bias broadcasts as an input; splat constants become numbers of the region and fold.
// CHECK-LABEL: @broadcast
// CHECK: transom.fused(%{{.*}}, %{{.*}}) {
// CHECK-NEXT: ^bb0
// CHECK-NEXT: %[[C:.*]] = arith.constant 5.000000e-01 : f32
// CHECK-NEXT: arith.addf
// CHECK-NEXT: arith.mulf %{{.*}}, %[[C]]
// CHECK-NEXT: transom.yield
// CHECK-NEXT: } : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
func.func @broadcast(%x: tensor<?x8xf32> {transom.dims = ["batch", "8"]}) -> tensor<?x8xf32> {
  %bias = transom.weight "bias" : tensor<8xf32>
  %half = transom.constant dense<0.5> : tensor<f32>
  %a = transom.add %x, %bias : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %b = transom.mul %a, %half : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  return %b : tensor<?x8xf32>
}

// A splat constant that gives the result its shape stays an input.
// CHECK-LABEL: @widening
// CHECK: transom.fused(%{{.*}}, %{{.*}}) {
// CHECK: } : (tensor<1xf32>, tensor<8xf32>) -> tensor<8xf32>
func.func @widening(%x: tensor<1xf32>) -> tensor<8xf32> {
  %one = transom.constant dense<1.0> : tensor<8xf32>
  %a = transom.add %x, %one : (tensor<1xf32>, tensor<8xf32>) -> tensor<8xf32>
  %b = transom.exp %a : (tensor<8xf32>) -> tensor<8xf32>
  return %b : tensor<8xf32>
}

// A fused op that is there already joins; a widening cast is repeated in both of its readers.
// CHECK-LABEL: @join
// CHECK-NOT: transom.cast
// CHECK: transom.fused(%[[X:.*]]) {
// CHECK-NEXT: ^bb0(%{{.*}}: bf16):
// CHECK-NEXT: arith.extf
// CHECK-NEXT: math.exp
// CHECK: transom.reduce
// CHECK: transom.fused(%[[X]]) {
// CHECK-NEXT: ^bb0(%{{.*}}: bf16):
// CHECK-NEXT: arith.extf
// CHECK-NEXT: arith.mulf
// CHECK-NEXT: math.sqrt
func.func @join(%x: tensor<?x8xbf16> {transom.dims = ["batch", "8"]}) -> (tensor<?xf32>, tensor<?x8xf32>) {
  %a = transom.cast %x to f32 : (tensor<?x8xbf16>) -> tensor<?x8xf32>
  %b = transom.exp %a : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %c = transom.reduce sum %b axes [1] : (tensor<?x8xf32>) -> tensor<?xf32>
  %d = transom.fused (%a) {
  ^bb0(%s: f32):
    %0 = arith.mulf %s, %s : f32
    transom.yield %0 : f32
  } : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %e = transom.sqrt %d : (tensor<?x8xf32>) -> tensor<?x8xf32>
  return %c, %e : tensor<?xf32>, tensor<?x8xf32>
}

// In a group: bias and activation become one region there; the group stays.
// CHECK-LABEL: @group
// CHECK: transom.group
// CHECK: %[[P:.*]] = transom.matmul
// CHECK-NEXT: %[[F:.*]] = transom.fused(%[[P]], %{{.*}}) {
// CHECK: transom.yield %[[F]]
func.func @group(%x: tensor<?x8xf32> {transom.dims = ["rows", "8"]}, %w: tensor<8x8xf32>, %b: tensor<8xf32>) -> tensor<?x8xf32> {
  %y = transom.group (%x, %w, %b) {
  ^bb0(%0: tensor<?x8xf32>, %1: tensor<8x8xf32>, %2: tensor<8xf32>):
    %3 = transom.matmul %0, %1 transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
    %4 = transom.add %3, %2 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    %5 = transom.relu %4 : (tensor<?x8xf32>) -> tensor<?x8xf32>
    transom.yield %5 : tensor<?x8xf32>
  } : (tensor<?x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
