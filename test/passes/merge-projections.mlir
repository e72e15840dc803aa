// Products of one left-hand side become one, with a recipe for its weight.
// RUN: transom-opt %s -split-input-file -merge-projections | FileCheck %s

// Three projections in blocks: rows one after the other, and a slice for each reader.
// CHECK-LABEL: @blocks
// CHECK: %[[W:.*]] = transom.recipe "q+k+v.concat" : tensor<128x32x!transom.block<q4_1>> {
// CHECK: transom.concat %{{.*}}, %{{.*}}, %{{.*}} axis 0
// CHECK: %[[Y:.*]] = transom.matmul %arg0, %[[W]] transpose_rhs
// CHECK-NEXT: %[[Q:.*]] = transom.slice %[[Y]] axis 2 start 0 size 64
// CHECK-NEXT: %[[K:.*]] = transom.slice %[[Y]] axis 2 start 64 size 32
// CHECK-NEXT: %[[V:.*]] = transom.slice %[[Y]] axis 2 start 96 size 32
// CHECK-NEXT: return %[[Q]], %[[K]], %[[V]]
func.func @blocks(%x: tensor<?x?x32xf32>) -> (tensor<?x?x64xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>) {
  %q = transom.weight "q" : tensor<64x32x!transom.block<q4_1>>
  %0 = transom.matmul %x, %q transpose_rhs : (tensor<?x?x32xf32>, tensor<64x32x!transom.block<q4_1>>) -> tensor<?x?x64xf32>
  %k = transom.weight "k" : tensor<32x32x!transom.block<q4_1>>
  %1 = transom.matmul %x, %k transpose_rhs : (tensor<?x?x32xf32>, tensor<32x32x!transom.block<q4_1>>) -> tensor<?x?x32xf32>
  %v = transom.weight "v" : tensor<32x32x!transom.block<q4_1>>
  %2 = transom.matmul %x, %v transpose_rhs : (tensor<?x?x32xf32>, tensor<32x32x!transom.block<q4_1>>) -> tensor<?x?x32xf32>
  return %0, %1, %2 : tensor<?x?x64xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>
}

// -----

// Biases merge too, on either side of the addition; a product without one gets zeros. A weight that is a recipe stays one.
// CHECK-LABEL: @biases
// CHECK: %[[W:.*]] = transom.recipe "{{.*}}" : tensor<12x4xf32> {
// CHECK: transom.weight "wq" : tensor<4x4xbf16>
// CHECK: transom.cast
// CHECK: transom.concat
// CHECK: %[[Y:.*]] = transom.matmul %arg0, %[[W]] transpose_rhs
// CHECK: %[[B:.*]] = transom.recipe "{{.*}}" : tensor<12xf32> {
// CHECK-DAG: transom.weight "bq"
// CHECK-DAG: transom.constant dense<0.000000e+00> : tensor<4xf32>
// CHECK-DAG: transom.weight "bv"
// CHECK: transom.concat
// CHECK: %[[S:.*]] = transom.add %[[Y]], %[[B]]
// CHECK-NEXT: transom.slice %[[S]] axis 1 start 0 size 4
// CHECK-NEXT: transom.slice %[[S]] axis 1 start 4 size 4
// CHECK-NEXT: transom.slice %[[S]] axis 1 start 8 size 4
// CHECK-NOT: transom.add
func.func @biases(%x: tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>) {
  %wq = transom.recipe "wq.f32" : tensor<4x4xf32> {
    %w = transom.weight "wq" : tensor<4x4xbf16>
    %c = transom.cast %w to f32 : (tensor<4x4xbf16>) -> tensor<4x4xf32>
    transom.yield %c : tensor<4x4xf32>
  }
  %wk = transom.weight "wk" : tensor<4x4xf32>
  %wv = transom.weight "wv" : tensor<4x4xf32>
  %bq = transom.weight "bq" : tensor<4xf32>
  %bv = transom.weight "bv" : tensor<4xf32>
  %0 = transom.matmul %x, %wq transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %q = transom.add %0, %bq : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
  %k = transom.matmul %x, %wk transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %1 = transom.matmul %x, %wv transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %v = transom.add %bv, %1 : (tensor<4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return %q, %k, %v : tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>
}

// -----

// Two functions that hold the same layer share the merged weight. The second pair of a left-hand side of its own stays apart.
// CHECK-LABEL: @prefill
// CHECK: transom.recipe "gate+up.concat" : tensor<8x4xf32>
// CHECK-LABEL: @decode
// CHECK: transom.recipe "gate+up.concat" : tensor<8x4xf32>
// CHECK: transom.matmul
// CHECK-NOT: transom.matmul
module {
  func.func @prefill(%x: tensor<?x?x4xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>) {
    %gate = transom.weight "gate" : tensor<4x4xf32>
    %up = transom.weight "up" : tensor<4x4xf32>
    %0 = transom.matmul %x, %gate transpose_rhs : (tensor<?x?x4xf32>, tensor<4x4xf32>) -> tensor<?x?x4xf32>
    %1 = transom.matmul %x, %up transpose_rhs : (tensor<?x?x4xf32>, tensor<4x4xf32>) -> tensor<?x?x4xf32>
    return %0, %1 : tensor<?x?x4xf32>, tensor<?x?x4xf32>
  }
  func.func @decode(%x: tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>) {
    %gate = transom.weight "gate" : tensor<4x4xf32>
    %up = transom.weight "up" : tensor<4x4xf32>
    %0 = transom.matmul %x, %gate transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
    %1 = transom.matmul %x, %up transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
    return %0, %1 : tensor<?x4xf32>, tensor<?x4xf32>
  }
}
