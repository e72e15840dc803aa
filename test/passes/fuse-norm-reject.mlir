// What fuse-norm leaves alone, by the condition that fails.
// RUN: transom-opt %s -split-input-file --pass-pipeline='builtin.module(func.func(fuse-norm{report}))' -verify-diagnostics | FileCheck %s

// N1: a residual that broadcasts over the rows: positions [seq, 8] added to each batch row.
// CHECK-LABEL: @broadcast
// CHECK-NOT: transom.group
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 16]}} {
func.func @broadcast(%x: tensor<?x?x8xf32> {transom.dims = ["batch", "seq", "8"]}, %y: tensor<?x8xf32> {transom.dims = ["seq", "8"]}) -> tensor<?x?x8xf32> {
  %s = transom.weight "s" : tensor<8xf32>
  // expected-remark@+1 {{N1: expected an operand of shape [batch, seq, 8] or one that is the same for all rows, found [seq, 8] [cost: 2048 bytes, 1 launches]}}
  %0 = transom.add %x, %y : (tensor<?x?x8xf32>, tensor<?x8xf32>) -> tensor<?x?x8xf32>
  %1 = transom.rms_norm %0, %s epsilon 1.0e-05 : (tensor<?x?x8xf32>, tensor<8xf32>) -> tensor<?x?x8xf32>
  return %1 : tensor<?x?x8xf32>
}
}

// -----

// N2: something else reads an embedding behind the sum; the sum itself still joins.
// CHECK-LABEL: @read_twice
// CHECK: transom.embedding
// CHECK: transom.group
// CHECK-NOT: transom.embedding
// CHECK: transom.add
func.func @read_twice(%ids: tensor<?xi32> {transom.dims = ["tokens"]}, %y: tensor<?x8xf32> {transom.dims = ["tokens", "8"]}) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %words = transom.weight "words" : tensor<100x8xf32>
  %s = transom.weight "s" : tensor<8xf32>
  // expected-remark@+1 {{N2: expected no reader but the norm's group}}
  %0 = transom.embedding %words, %ids : (tensor<100x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %1 = transom.add %0, %y : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  // expected-remark@+1 {{applied: add, rms_norm became one operation}}
  %2 = transom.rms_norm %1, %s epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  return %0, %2 : tensor<?x8xf32>, tensor<?x8xf32>
}

// -----

// N3: a chain longer than a group.
// CHECK-LABEL: @long
func.func @long(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %s = transom.weight "s" : tensor<8xf32>
  // expected-remark@+1 {{N3: expected at most 8 ops in one group}}
  %0 = transom.neg %x : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = transom.neg %0 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %2 = transom.neg %1 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %3 = transom.neg %2 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %4 = transom.neg %3 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %5 = transom.neg %4 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %6 = transom.neg %5 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %7 = transom.neg %6 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  // expected-remark@+1 {{applied: neg, rms_norm became one operation}}
  %8 = transom.rms_norm %7, %s epsilon 1.0e-05 : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  return %8 : tensor<4x8xf32>
}

// -----

// N4: the scale is computed from the norm's input; a group of both would need its own result.
// CHECK-LABEL: @scale
// CHECK-NOT: transom.group
func.func @scale(%x: tensor<4x4xf32>, %b: tensor<4x4xf32>) -> tensor<4x4xf32> {
  // expected-remark@+1 {{N4: expected the norm's other operands not to depend on it [cost: 128 bytes, 1 launches]}}
  %h = transom.add %x, %b : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %s = transom.reduce mean %h axes [0] : (tensor<4x4xf32>) -> tensor<4xf32>
  %n = transom.rms_norm %h, %s epsilon 1.0e-05 : (tensor<4x4xf32>, tensor<4xf32>) -> tensor<4x4xf32>
  return %n : tensor<4x4xf32>
}
