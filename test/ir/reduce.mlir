// Reductions and softmax: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// CHECK-LABEL: @reduce
func.func @reduce(%x: tensor<?x?x384xf32>, %i: tensor<?x?xi32>) {
  // CHECK: transom.reduce sum %{{[0-9a-z]+}} axes [1] : (tensor<?x?x384xf32>) -> tensor<?x384xf32>
  %0 = transom.reduce sum %x axes [1] : (tensor<?x?x384xf32>) -> tensor<?x384xf32>
  // CHECK: transom.reduce mean %{{[0-9a-z]+}} axes [2] keep_dims : (tensor<?x?x384xf32>) -> tensor<?x?x1xf32>
  %1 = transom.reduce mean %x axes [2] keep_dims : (tensor<?x?x384xf32>) -> tensor<?x?x1xf32>
  // CHECK: transom.reduce max %{{[0-9a-z]+}} axes [0, 1] : (tensor<?x?xi32>) -> tensor<i32>
  %2 = transom.reduce max %i axes [0, 1] : (tensor<?x?xi32>) -> tensor<i32>
  // CHECK: transom.reduce min %{{[0-9a-z]+}} axes [1] keep_dims : (tensor<?x?xi32>) -> tensor<?x1xi32>
  %3 = transom.reduce min %i axes [1] keep_dims : (tensor<?x?xi32>) -> tensor<?x1xi32>
  return
}

// CHECK-LABEL: @cumulative_sum
func.func @cumulative_sum(%x: tensor<?x?xi32>, %y: tensor<4xi64>) {
  // CHECK: transom.cumulative_sum %{{[0-9a-z]+}} axis 1 : (tensor<?x?xi32>) -> tensor<?x?xi32>
  %0 = transom.cumulative_sum %x axis 1 : (tensor<?x?xi32>) -> tensor<?x?xi32>
  // CHECK: transom.cumulative_sum %{{[0-9a-z]+}} axis 0 : (tensor<4xi64>) -> tensor<4xi64>
  %1 = transom.cumulative_sum %y axis 0 : (tensor<4xi64>) -> tensor<4xi64>
  return
}

// CHECK-LABEL: @softmax
func.func @softmax(%x: tensor<?x9x?x?xf32>) {
  // CHECK: transom.softmax %{{[0-9a-z]+}} axis 3 : (tensor<?x9x?x?xf32>) -> tensor<?x9x?x?xf32>
  %0 = transom.softmax %x axis 3 : (tensor<?x9x?x?xf32>) -> tensor<?x9x?x?xf32>
  return
}
