// What keeps batch and seq apart: each numbered condition of assign-layouts violated.
// RUN: transom-opt %s --pass-pipeline='builtin.module(func.func(assign-layouts{report}))' -verify-diagnostics | FileCheck %s

!i = tensor<?x?xi32>
!x = tensor<?x?x8xf32>
#i = ["batch", "seq"]
#x = ["batch", "seq", "8"]

// L1: an operand differs by token, not by row.
// CHECK-LABEL: @some_rows
// CHECK: transom.split_rows
// CHECK: transom.add %{{.*}} : (tensor<?x?x8xf32>, tensor<?x8xf32>) -> tensor<?x?x8xf32>
func.func @some_rows(%ids: !i {transom.dims = #i}, %p: tensor<?x8xf32> {transom.dims = ["seq", "8"]}) -> !x {
  %t = transom.weight "table" : tensor<5x8xf32>
  // expected-remark@+1 {{applied: computes rows of batch*seq as one dimension}}
  %x = transom.embedding %t, %ids : (tensor<5x8xf32>, !i) -> !x
  // expected-remark@+1 {{assign-layouts: transom.add: L1: expected operands that have all rows or are the same for all, found [seq, 8]}}
  %y = transom.add %x, %p : (!x, tensor<?x8xf32>) -> !x
  return %y : !x
}

// L2: the width is not static.
// CHECK-LABEL: @dynamic
// CHECK: transom.exp %{{.*}} : (tensor<?x?x?xf32>)
func.func @dynamic(%ids: !i {transom.dims = #i}, %z: tensor<?x?x?xf32> {transom.dims = ["batch", "seq", "n"]}) -> (!x, tensor<?x?x?xf32>) {
  %t = transom.weight "table" : tensor<5x8xf32>
  // expected-remark@+1 {{applied}}
  %x = transom.embedding %t, %ids : (tensor<5x8xf32>, !i) -> !x
  // expected-remark@+1 {{L2: expected static sizes behind the rows, found [batch, seq, n]}}
  %y = transom.exp %z : (tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  return %x, %y : !x, tensor<?x?x?xf32>
}

// L3: rotary in a layout that keeps the tokens of a row apart.
// CHECK-LABEL: @heads_first
// CHECK: transom.rotary bhsd
func.func @heads_first(%ids: !i {transom.dims = #i}, %q: tensor<?x2x?x4xf32> {transom.dims = ["batch", "2", "seq", "4"]})
    -> (!x, tensor<?x2x?x4xf32>) {
  %t = transom.weight "table" : tensor<5x8xf32>
  // expected-remark@+1 {{applied}}
  %x = transom.embedding %t, %ids : (tensor<5x8xf32>, !i) -> !x
  // expected-remark@+1 {{L3: expected tokens and positions that begin with batch and seq, found [batch, 2, seq, 4]}}
  %r = transom.rotary bhsd %q, %ids dims 4 base 100.0 : (tensor<?x2x?x4xf32>, !i) -> tensor<?x2x?x4xf32>
  return %x, %r : !x, tensor<?x2x?x4xf32>
}

// L4: a sum over the tokens of a row. L5: a matrix for each row.
// CHECK-LABEL: @across
// CHECK: transom.reduce sum %{{.*}} axes [1] : (tensor<?x?x8xf32>)
// CHECK: transom.matmul %{{.*}} : (tensor<?x?x8xf32>, tensor<?x8x8xf32>)
func.func @across(%ids: !i {transom.dims = #i}, %w: tensor<?x8x8xf32> {transom.dims = ["batch", "8", "8"]}) -> (tensor<?x8xf32>, !x) {
  %t = transom.weight "table" : tensor<5x8xf32>
  // expected-remark@+1 {{applied}}
  %x = transom.embedding %t, %ids : (tensor<5x8xf32>, !i) -> !x
  // expected-remark@+1 {{L4: expected an axis behind the rows, found 1}}
  %s = transom.reduce sum %x axes [1] : (!x) -> tensor<?x8xf32>
  // expected-remark@+1 {{L5: expected a right operand that is the same for all rows, found [batch, 8, 8]}}
  %y = transom.matmul %x, %w : (!x, tensor<?x8x8xf32>) -> !x
  return %s, %y : tensor<?x8xf32>, !x
}
