// What fold-constants leaves to run time, and what it says about it.
// RUN: transom-opt %s --fold-constants=report -split-input-file -verify-diagnostics | FileCheck %s

// A large table would double in size; the part of it that is small is stored.
// CHECK-LABEL: @large
// CHECK-DAG: transom.cast
// CHECK-DAG: transom.recipe "table.cast.slice" : tensor<1x1024xf32>
func.func @large() -> (tensor<1024x1024xf32>, tensor<1x1024xf32>) {
  %w = transom.weight "table" : tensor<1024x1024xbf16>
  // expected-remark@+1 {{fold-constants: transom.cast: not stored ahead of time: its result of tensor<1024x1024xf32> is larger than what it reads, expected at most 2097152 bytes}}
  %x = transom.cast %w to f32 : (tensor<1024x1024xbf16>) -> tensor<1024x1024xf32>
  // expected-remark@+1 {{fold-constants: transom.recipe: applied: stored ahead of time as table.cast.slice}}
  %y = transom.slice %x axis 0 start 5 size 1 : (tensor<1024x1024xf32>) -> tensor<1x1024xf32>
  return %x, %y : tensor<1024x1024xf32>, tensor<1x1024xf32>
}

// -----

// A step on the way is too large.
// CHECK-LABEL: @growing
// CHECK-NOT: transom.recipe
func.func @growing() -> tensor<1xf32> {
  %w = transom.weight "row" : tensor<1x64xf32>
  %like = transom.constant dense<0.0> : tensor<65536x1xf32>
  // expected-remark@+1 {{transom.add: not stored ahead of time: its result of tensor<65536x64xf32> is larger than what it reads, expected at most 1048576 bytes}}
  %wide = transom.add %w, %like : (tensor<1x64xf32>, tensor<65536x1xf32>) -> tensor<65536x64xf32>
  // expected-remark@+1 {{transom.reduce: not stored ahead of time: a step of tensor<65536x64xf32> is more than 4 times larger than what it reads}}
  %y = transom.reduce sum %wide axes [1] : (tensor<65536x64xf32>) -> tensor<65536xf32>
  // expected-remark@+1 {{transom.slice: not stored ahead of time: a step of tensor<65536x64xf32> is more than 4 times larger than what it reads}}
  %z = transom.slice %y axis 0 start 0 size 1 : (tensor<65536xf32>) -> tensor<1xf32>
  return %z : tensor<1xf32>
}

// -----

// Matrix products and fused regions are computed at run time; so is all that reads an input.
// CHECK-LABEL: @computed
// CHECK-NOT: transom.recipe
func.func @computed(%x: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>) {
  %w = transom.weight "w" : tensor<4x4xf32>
  %y = transom.matmul %w, %w : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %f = transom.fused (%w) {
  ^bb0(%a: f32):
    %0 = arith.mulf %a, %a : f32
    transom.yield %0 : f32
  } : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %z = transom.add %x, %w : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  return %y, %f, %z : tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>
}
