// Choices that stay where they are.
// RUN: transom-opt %s --pass-pipeline='builtin.module(func.func(choose-tokens-early{report}))' -split-input-file -verify-diagnostics | FileCheck %s

// C1: the first token of a causal row would be the last as its row's only query.
// CHECK-LABEL: @causal
// CHECK: %[[A:.*]] = transom.attention thd {{.*}} cumulative %arg1 {causal
// CHECK-NEXT: transom.first_token %[[A]]
module attributes {transom.bounds = {batch = [1, 4], tokens = [0, 128]}} {
func.func @causal(%x: tensor<?x2x4xf32> {transom.dims = ["tokens", "2", "4"]}, %ends: tensor<?xi32> {transom.dims = ["batch+1"]}) -> tensor<?x2x4xf32> {
  // expected-remark@+1 {{choose-tokens-early: transom.attention: C1: expected attention over the rows' own tokens, without caches, and for the first token neither causal nor windowed}}
  %a = transom.attention thd %x, %x, %x cumulative %ends {scale = 0.5 : f64, causal}
     : (tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
  %y = transom.first_token %a cumulative %ends : (tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
  return %y : tensor<?x2x4xf32>
}
}

// -----

// C1: attention by lengths of other rows.
// CHECK-LABEL: @other_rows
// CHECK: %[[A:.*]] = transom.attention thd {{.*}} cumulative %arg2
// CHECK-NEXT: transom.first_token %[[A]] cumulative %arg1
module attributes {transom.bounds = {batch = [1, 4], tokens = [0, 128]}} {
func.func @other_rows(%x: tensor<?x2x4xf32> {transom.dims = ["tokens", "2", "4"]}, %ends: tensor<?xi32> {transom.dims = ["batch+1"]},
                      %others: tensor<?xi32> {transom.dims = ["batch+1"]}) -> tensor<?x2x4xf32> {
  // expected-remark@+1 {{choose-tokens-early: transom.attention: C1: expected attention over the rows' own tokens}}
  %a = transom.attention thd %x, %x, %x cumulative %others {scale = 0.5 : f64}
     : (tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
  %y = transom.first_token %a cumulative %ends : (tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
  return %y : tensor<?x2x4xf32>
}
}

// -----

// Few tokens: nothing is missed.
// CHECK-LABEL: @few
// CHECK: %[[NORM:.*]] = transom.layer_norm %arg0
// CHECK-NEXT: transom.first_token %[[NORM]]
module attributes {transom.bounds = {batch = [1, 4], tokens = [0, 64]}} {
func.func @few(%x: tensor<?x8xf32> {transom.dims = ["tokens", "8"]}, %ends: tensor<?xi32> {transom.dims = ["batch+1"]}) -> tensor<?x8xf32> {
  %s = transom.weight "s" : tensor<8xf32>
  %h = transom.layer_norm %x, %s epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %y = transom.first_token %h cumulative %ends : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
}

// -----

// Padded rows, and an op that mixes tokens.
// CHECK-LABEL: @padded
// CHECK: %[[NORM:.*]] = transom.layer_norm %arg0
// CHECK-NEXT: transom.first_token %[[NORM]], %arg1
// CHECK-LABEL: @mixed
// CHECK: %[[MIXED:.*]] = transom.concat
// CHECK-NEXT: transom.first_token %[[MIXED]]
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 64], tokens = [0, 128]}} {
func.func @padded(%x: tensor<?x?x8xf32> {transom.dims = ["batch", "seq", "8"]}, %lengths: tensor<?xi32> {transom.dims = ["batch"]}) -> tensor<?x8xf32> {
  %s = transom.weight "s" : tensor<8xf32>
  %h = transom.layer_norm %x, %s epsilon 1.0e-05 : (tensor<?x?x8xf32>, tensor<8xf32>) -> tensor<?x?x8xf32>
  %y = transom.first_token %h, %lengths : (tensor<?x?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
func.func @mixed(%x: tensor<?x8xf32> {transom.dims = ["tokens", "8"]}, %ends: tensor<?xi32> {transom.dims = ["batch+1"]}) -> tensor<?x8xf32> {
  %front = transom.constant dense<0.5> : tensor<1x8xf32>
  %z = transom.concat %front, %x axis 0 : (tensor<1x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = transom.first_token %z cumulative %ends : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
}
