// What stops a transpose, each numbered condition of eliminate-transposes violated, with the bytes that it then moves.
// RUN: transom-opt %s --eliminate-transposes=report -verify-diagnostics | FileCheck %s

!x = tensor<?x?x8xf32>
!t = tensor<8x?x?xf32>
!h = tensor<?x2x?x4xf32>
#x = ["batch", "seq", "8"]
#h = ["batch", "2", "seq", "4"]

module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {

// T1: heads that stand apart are joined. At most 4 * 2 * 16 * 4 floats, read and written.
// CHECK-LABEL: @joined
// CHECK: transom.transpose %{{.*}} [0, 2, 1, 3]
// CHECK-NEXT: transom.reshape
func.func @joined(%x: !h {transom.dims = #h}) -> !x {
  // expected-remark@+1 {{eliminate-transposes: transom.transpose: applied: moved down to its readers}}
  %t = transom.transpose %x [0, 2, 1, 3] : (!h) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{transom.reshape: T1: expected dimensions that it joins or splits to stand side by side, a transpose stays [cost: 4096 bytes, 1 launches]}}
  %y = transom.reshape %t [0, 0, 8] : (tensor<?x?x2x4xf32>) -> !x
  return %y : !x
}

// T2: a norm along another dimension.
// CHECK-LABEL: @norm
// CHECK: transom.transpose
// CHECK-NEXT: transom.rms_norm
func.func @norm(%x: tensor<?x8x?xf32> {transom.dims = ["batch", "8", "seq"]}, %s: tensor<8xf32>) -> !x {
  // expected-remark@+1 {{applied}}
  %t = transom.transpose %x [0, 2, 1] : (tensor<?x8x?xf32>) -> !x
  // expected-remark@+1 {{T2: expected the last dimension to stay last}}
  %y = transom.rms_norm %t, %s epsilon 1.0e-05 : (!x, tensor<8xf32>) -> !x
  return %y : !x
}

// T2: a product whose inner dimension does not come last.
// CHECK-LABEL: @product
func.func @product(%x: tensor<?x8x?xf32> {transom.dims = ["batch", "8", "seq"]}, %w: tensor<8x8xf32>) -> !x {
  // expected-remark@+1 {{applied}}
  %t = transom.transpose %x [0, 2, 1] : (tensor<?x8x?xf32>) -> !x
  // expected-remark@+1 {{transom.matmul: T2: expected the left operand's last dimension to stay last}}
  %y = transom.matmul %t, %w transpose_rhs : (!x, tensor<8x8xf32>) -> !x
  return %y : !x
}

// T3: two operands in different orders; the smaller one is moved.
// CHECK-LABEL: @operands
// CHECK: transom.transpose %arg1
// CHECK: transom.add
// CHECK-NEXT: return
func.func @operands(%x: tensor<?x?x8xf32> {transom.dims = #x}, %y: tensor<1x8x?xf32> {transom.dims = ["1", "8", "batch"]})
    -> tensor<?x?x8xf32> {
  // expected-remark@+1 {{applied}}
  %t = transom.transpose %y [2, 0, 1] : (tensor<1x8x?xf32>) -> tensor<?x1x8xf32>
  // expected-remark@+1 {{transom.add: T3: expected operands in one order, a transpose stays [cost: 256 bytes, 1 launches]}}
  %z = transom.add %x, %t : (tensor<?x?x8xf32>, tensor<?x1x8xf32>) -> tensor<?x?x8xf32>
  return %z : tensor<?x?x8xf32>
}

// T4: the sequence stands first.
// CHECK-LABEL: @heads
// CHECK: transom.transpose %arg0 [1, 0, 2, 3]
// CHECK-NEXT: transom.rotary bshd
func.func @heads(%x: tensor<?x?x2x4xf32> {transom.dims = ["seq", "batch", "2", "4"]},
                 %p: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x?x8xf32> {
  // expected-remark@+1 {{applied}}
  %t = transom.transpose %x [1, 2, 0, 3] : (tensor<?x?x2x4xf32>) -> !h
  // expected-remark@+2 {{T4: expected batch first and head_dim last}}
  // expected-remark@+1 {{applied: reads and writes bshd}}
  %r = transom.rotary bhsd %t, %p dims 4 base 100.0 : (!h, tensor<?x?xi32>) -> !h
  // expected-remark@+1 {{applied}}
  %s = transom.transpose %r [0, 2, 1, 3] : (!h) -> tensor<?x?x2x4xf32>
  %y = transom.reshape %s [0, 0, 8] : (tensor<?x?x2x4xf32>) -> tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}

// T5: the interface wants what is computed otherwise.
// CHECK-LABEL: @interface
// CHECK: transom.exp %arg0
// CHECK-NEXT: transom.transpose
func.func @interface(%x: !x {transom.dims = #x}) -> !t {
  // expected-remark@+1 {{applied}}
  %t = transom.transpose %x [2, 1, 0] : (!x) -> !t
  %y = transom.exp %t : (!t) -> !t
  // expected-remark@+1 {{func.return: T5: expected a result in the order that it is computed in, a transpose stays}}
  return %y : !t
}

// T6: an op that knows one order only.
// CHECK-LABEL: @positions
// CHECK: transom.transpose
// CHECK-NEXT: transom.positions
func.func @positions(%start: tensor<?xi32> {transom.dims = ["seq"]}, %like: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x?xi32> {
  // expected-remark@+1 {{applied}}
  %t = transom.transpose %like [1, 0] : (tensor<?x?xi32>) -> tensor<?x?xi32>
  // expected-remark@+1 {{transom.positions: T6: expected it to take operands in any order}}
  %p = transom.positions %start like %t : (tensor<?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
  return %p : tensor<?x?xi32>
}

// T6: a bias that is a query too: attention takes the query in another order, the bias as written.
// CHECK-LABEL: @bias
// CHECK: %[[T:.*]] = transom.transpose %arg0 [0, 2, 1, 3]
// CHECK-NEXT: transom.attention bshd %arg0, %arg0, %arg0 bias %[[T]]
// CHECK-NEXT: return
func.func @bias(%x: tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32> {
  // expected-remark@+1 {{applied}}
  %q = transom.transpose %x [0, 2, 1, 3] : (tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  // expected-remark@+2 {{transom.attention: T6: expected mask, bias and lengths as written}}
  // expected-remark@+1 {{applied: reads and writes bshd}}
  %a = transom.attention bhsd %q, %q, %q bias %q {scale = 0.5 : f64}
     : (tensor<2x4x4x4xf32>, tensor<2x4x4x4xf32>, tensor<2x4x4x4xf32>, tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  // expected-remark@+1 {{applied}}
  %y = transom.transpose %a [0, 2, 1, 3] : (tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  return %y : tensor<2x4x4x4xf32>
}

// T6: the last of packed tokens, which have no batch and may have no other dimension either.
// CHECK-LABEL: @last_packed
// CHECK: %[[T:.*]] = transom.transpose %arg0 [1, 0, 2]
// CHECK: transom.last_token %[[T]] cumulative
// CHECK: transom.last_token %arg1 cumulative
func.func @last_packed(%x: tensor<4x6x8xf32>, %z: tensor<6xf32>, %ends: tensor<?xi32> {transom.dims = ["rows+1"]}) -> (tensor<?x4x8xf32>, tensor<?xf32>) {
  // expected-remark@+1 {{applied}}
  %t = transom.transpose %x [1, 0, 2] : (tensor<4x6x8xf32>) -> tensor<6x4x8xf32>
  // expected-remark@+1 {{transom.last_token: T6: expected it to take operands in any order}}
  %y = transom.last_token %t cumulative %ends : (tensor<6x4x8xf32>, tensor<?xi32>) -> tensor<?x4x8xf32>
  %l = transom.last_token %z cumulative %ends : (tensor<6xf32>, tensor<?xi32>) -> tensor<?xf32>
  return %y, %l : tensor<?x4x8xf32>, tensor<?xf32>
}

// T7: an embedding reads the weight too; it is not stored twice.
// CHECK-LABEL: @tied
// CHECK: transom.matmul %{{.*}}, %{{.*}} : (tensor<?x?x8xf32>, tensor<8x8xf32>)
func.func @tied(%ids: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> !x {
  %w = transom.weight "w" : tensor<8x8xf32>
  %x = transom.embedding %w, %ids : (tensor<8x8xf32>, tensor<?x?xi32>) -> !x
  // expected-remark@+1 {{T7: expected only such products to read the weight, which would be stored twice}}
  %y = transom.matmul %x, %w : (!x, tensor<8x8xf32>) -> !x
  return %y : !x
}

// T8: further down the tensor is larger; the function stays as it is.
// CHECK-LABEL: @larger
// CHECK: transom.transpose
// CHECK-NEXT: transom.concat
// expected-remark@+1 {{func.func: T8: expected to move fewer bytes than the 4096 of the transposes there are, found 8192}}
func.func @larger(%x: !x {transom.dims = #x}) -> tensor<?x?x16xf32> {
  %t = transom.transpose %x [1, 0, 2] : (!x) -> !x
  %y = transom.concat %t, %t axis 2 : (!x, !x) -> tensor<?x?x16xf32>
  // expected-remark@+1 {{T5: expected a result in the order that it is computed in}}
  return %y : tensor<?x?x16xf32>
}
}
