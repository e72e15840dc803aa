// What makes a norm's input, the norm, and quantize behind it become one group.
// RUN: transom-opt %s -split-input-file --pass-pipeline='builtin.module(func.func(fuse-norm))' | FileCheck %s

// A residual: the sum is a result too.
// CHECK-LABEL: @residual
// CHECK: %[[G:.*]]:2 = transom.group(%arg0, %arg1, %{{.*}}) {
// CHECK: %[[S:.*]] = transom.add
// CHECK-NEXT: %[[N:.*]] = transom.rms_norm %[[S]]
// CHECK-NEXT: transom.yield %[[S]], %[[N]]
// CHECK: return %[[G]]#0, %[[G]]#1
func.func @residual(%x: tensor<?x8xf32> {transom.dims = ["rows", "8"]}, %y: tensor<?x8xf32> {transom.dims = ["rows", "8"]}) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %s = transom.weight "s" : tensor<8xf32>
  %0 = transom.add %x, %y : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %1 = transom.rms_norm %0, %s epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  return %0, %1 : tensor<?x8xf32>, tensor<?x8xf32>
}

// -----

// Three embeddings, added and normalised: one result.
// CHECK-LABEL: @embeddings
// CHECK: %[[G:.*]] = transom.group(
// CHECK-COUNT-3: transom.embedding
// CHECK: transom.layer_norm
// CHECK-NEXT: transom.yield %{{.*}} : tensor<?x8xf32>
// CHECK: return %[[G]]
func.func @embeddings(%ids: tensor<?xi32> {transom.dims = ["tokens"]}, %types: tensor<?xi32> {transom.dims = ["tokens"]},
                      %positions: tensor<?xi32> {transom.dims = ["tokens"]}) -> tensor<?x8xf32> {
  %words = transom.weight "words" : tensor<100x8xf32>
  %s = transom.weight "s" : tensor<8xf32>
  %0 = transom.embedding %words, %ids : (tensor<100x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %1 = transom.embedding %words, %types : (tensor<100x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %2 = transom.add %0, %1 : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %3 = transom.embedding %words, %positions : (tensor<100x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %4 = transom.add %2, %3 : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %5 = transom.layer_norm %4, %s, %s epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  return %5 : tensor<?x8xf32>
}

// -----

// The first norm of a decoder: the embedding is the first residual; rows counted by two dimensions.
// CHECK-LABEL: @first_norm
// CHECK: transom.group
// CHECK: %[[E:.*]] = transom.embedding
// CHECK-NEXT: %[[N:.*]] = transom.rms_norm %[[E]]
// CHECK-NEXT: transom.yield %[[E]], %[[N]]
func.func @first_norm(%ids: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> (tensor<?x?x8xf32>, tensor<?x?x8xf32>) {
  %words = transom.weight "words" : tensor<100x8xf32>
  %s = transom.weight "s" : tensor<8xf32>
  %0 = transom.embedding %words, %ids : (tensor<100x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32>
  %1 = transom.rms_norm %0, %s epsilon 1.0e-05 : (tensor<?x?x8xf32>, tensor<8xf32>) -> tensor<?x?x8xf32>
  return %0, %1 : tensor<?x?x8xf32>, tensor<?x?x8xf32>
}

// -----

// Quantize behind a norm.
// CHECK-LABEL: @quantized
// CHECK: transom.group
// CHECK: transom.rms_norm
// CHECK-NEXT: %[[Q:.*]] = transom.quantize
// CHECK-NEXT: transom.yield %[[Q]] :
func.func @quantized(%x: tensor<?x32xf32>) -> tensor<?x32x!transom.block<q8_0>> {
  %s = transom.weight "s" : tensor<32xf32>
  %0 = transom.rms_norm %x, %s epsilon 1.0e-05 : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
  %1 = transom.quantize %0 to q8_0 : (tensor<?x32xf32>) -> tensor<?x32x!transom.block<q8_0>>
  return %1 : tensor<?x32x!transom.block<q8_0>>
}
