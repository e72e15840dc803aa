// What fuse-elementwise leaves alone, and each condition that it names.
// RUN: transom-opt %s --pass-pipeline='builtin.module(func.func(fuse-elementwise{report}))' -verify-diagnostics | FileCheck %s

// F1: a matrix product reads it too.
// CHECK-LABEL: @other_reader
// CHECK-NOT: transom.fused
func.func @other_reader(%x: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>) {
  // expected-remark@+1 {{fuse-elementwise: transom.exp: F1: expected only elementwise readers, found 'transom.matmul'}}
  %a = transom.exp %x : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %b = transom.neg %a : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %c = transom.matmul %a, %a : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  return %b, %c : tensor<4x4xf32>, tensor<4x4xf32>
}

// F2: two readers that stay apart.
// CHECK-LABEL: @two_readers
// CHECK-NOT: transom.fused
func.func @two_readers(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  // expected-remark@+1 {{F2: expected readers that fuse into one op, found 2 that do not}}
  %a = transom.exp %x : (tensor<4xf32>) -> tensor<4xf32>
  %b = transom.neg %a : (tensor<4xf32>) -> tensor<4xf32>
  %c = transom.abs %a : (tensor<4xf32>) -> tensor<4xf32>
  return %b, %c : tensor<4xf32>, tensor<4xf32>
}

// F3: a broadcast result would be computed again for each row.
// CHECK-LABEL: @smaller
// CHECK-NOT: transom.fused
func.func @smaller(%x: tensor<?x4xf32> {transom.dims = ["batch", "4"]}, %y: tensor<4xf32>) -> tensor<?x4xf32> {
  // expected-remark@+1 {{F3: expected its reader's shape [batch, 4], found [4]}}
  %a = transom.exp %y : (tensor<4xf32>) -> tensor<4xf32>
  %b = transom.mul %x, %a : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
  return %b : tensor<?x4xf32>
}

// F3: sizes that nothing says are equal may broadcast.
// CHECK-LABEL: @unknown
// CHECK-NOT: transom.fused
func.func @unknown(%x: tensor<?xf32>, %y: tensor<?xf32>) -> tensor<?xf32> {
  // expected-remark@+1 {{F3: expected its reader's shape [?], found [?]}}
  %a = transom.exp %y : (tensor<?xf32>) -> tensor<?xf32>
  %b = transom.mul %x, %a : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %b : tensor<?xf32>
}

// F4: a region has at most 16 inputs.
// CHECK-LABEL: @inputs
func.func @inputs(%a: tensor<4xf32>, %b: tensor<4xf32>, %c: tensor<4xf32>, %d: tensor<4xf32>, %e: tensor<4xf32>,
                  %f: tensor<4xf32>, %g: tensor<4xf32>, %h: tensor<4xf32>, %i: tensor<4xf32>, %j: tensor<4xf32>,
                  %k: tensor<4xf32>, %l: tensor<4xf32>, %m: tensor<4xf32>, %n: tensor<4xf32>, %o: tensor<4xf32>,
                  %p: tensor<4xf32>, %q: tensor<4xf32>) -> tensor<4xf32> {
  // expected-remark@+1 {{F4: expected at most 32 ops and 16 inputs in one region}}
  %0 = transom.add %a, %b : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %1 = transom.add %0, %c : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %2 = transom.add %1, %d : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %3 = transom.add %2, %e : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %4 = transom.add %3, %f : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %5 = transom.add %4, %g : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %6 = transom.add %5, %h : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %7 = transom.add %6, %i : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %8 = transom.add %7, %j : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %9 = transom.add %8, %k : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %10 = transom.add %9, %l : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %11 = transom.add %10, %m : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %12 = transom.add %11, %n : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %13 = transom.add %12, %o : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %14 = transom.add %13, %p : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  // expected-remark@+1 {{applied: 15 elementwise ops became one}}
  %15 = transom.add %14, %q : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %15 : tensor<4xf32>
}

// Reductions end a region, single ops stay as they are.
// CHECK-LABEL: @reduction
// CHECK-NOT: transom.fused
func.func @reduction(%x: tensor<4x4xf32>) -> tensor<4xf32> {
  %a = transom.mul %x, %x : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %b = transom.reduce sum %a axes [1] : (tensor<4x4xf32>) -> tensor<4xf32>
  %c = transom.sqrt %b : (tensor<4xf32>) -> tensor<4xf32>
  return %c : tensor<4xf32>
}
