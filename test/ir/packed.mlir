// Packed sequences: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// CHECK-LABEL: @packing
func.func @packing(%mask: tensor<?x?xi32>, %x: tensor<?x?x384xf32>) {
  // CHECK: %[[I:.*]], %[[C:.*]] = transom.valid_tokens %{{[0-9a-z]+}} size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
  %index, %cumulative = transom.valid_tokens %mask size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
  // CHECK: transom.pack %{{[0-9a-z]+}}, %[[I]] : (tensor<?x?x384xf32>, tensor<?xi32>) -> tensor<?x384xf32>
  %1 = transom.pack %x, %index : (tensor<?x?x384xf32>, tensor<?xi32>) -> tensor<?x384xf32>
  // CHECK: transom.unpack %{{[0-9a-z]+}}, %[[I]] like %{{[0-9a-z]+}} : (tensor<?x384xf32>, tensor<?xi32>, tensor<?x?x384xf32>) -> tensor<?x?x384xf32>
  %2 = transom.unpack %1, %index like %x : (tensor<?x384xf32>, tensor<?xi32>, tensor<?x?x384xf32>) -> tensor<?x?x384xf32>
  // CHECK: transom.reduce_packed mean %{{[0-9a-z]+}}, %[[C]] : (tensor<?x384xf32>, tensor<?xi32>) -> tensor<?x384xf32>
  %3 = transom.reduce_packed mean %1, %cumulative : (tensor<?x384xf32>, tensor<?xi32>) -> tensor<?x384xf32>
  return
}

// CHECK-LABEL: @lengths
func.func @lengths(%n: tensor<?xi32>, %x: tensor<?x?x384xf32>) {
  // CHECK: transom.valid_tokens %{{[0-9a-z]+}} lengths %{{[0-9a-z]+}} size "tokens" : (tensor<?x?x384xf32>, tensor<?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
  %0:2 = transom.valid_tokens %x lengths %n size "tokens" : (tensor<?x?x384xf32>, tensor<?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
  // CHECK: transom.cumulative_lengths %{{[0-9a-z]+}} : (tensor<?xi32>) -> tensor<?xi32>
  %1 = transom.cumulative_lengths %n : (tensor<?xi32>) -> tensor<?xi32>
  return
}
