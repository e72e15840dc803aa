// Elementwise ops: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// CHECK-LABEL: @unary
func.func @unary(%x: tensor<?x4xf32>) {
  // CHECK: transom.neg %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %0 = transom.neg %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.abs %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %1 = transom.abs %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.exp %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %2 = transom.exp %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.log %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %3 = transom.log %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.sin %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %4 = transom.sin %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.cos %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %5 = transom.cos %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.sqrt %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %6 = transom.sqrt %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.rsqrt %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %7 = transom.rsqrt %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.tanh %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %8 = transom.tanh %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.erf %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %9 = transom.erf %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.relu %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %10 = transom.relu %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.sigmoid %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %11 = transom.sigmoid %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.silu %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %12 = transom.silu %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.gelu erf %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %13 = transom.gelu erf %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.gelu tanh %{{[0-9a-z]+}} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %14 = transom.gelu tanh %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  return
}

// CHECK-LABEL: @binary
func.func @binary(%x: tensor<?x1x4xf32>, %y: tensor<3x1xf32>, %i: tensor<4xi64>, %b: tensor<4xbf16>) {
  // CHECK: transom.add %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<?x1x4xf32>, tensor<3x1xf32>) -> tensor<?x3x4xf32>
  %0 = transom.add %x, %y : (tensor<?x1x4xf32>, tensor<3x1xf32>) -> tensor<?x3x4xf32>
  // CHECK: transom.sub %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<?x1x4xf32>, tensor<?x1x4xf32>) -> tensor<?x1x4xf32>
  %1 = transom.sub %x, %x : (tensor<?x1x4xf32>, tensor<?x1x4xf32>) -> tensor<?x1x4xf32>
  // CHECK: transom.mul %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<4xi64>, tensor<4xi64>) -> tensor<4xi64>
  %2 = transom.mul %i, %i : (tensor<4xi64>, tensor<4xi64>) -> tensor<4xi64>
  // CHECK: transom.div %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<4xbf16>, tensor<4xbf16>) -> tensor<4xbf16>
  %3 = transom.div %b, %b : (tensor<4xbf16>, tensor<4xbf16>) -> tensor<4xbf16>
  // CHECK: transom.max %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<3x1xf32>, tensor<?x1x4xf32>) -> tensor<?x3x4xf32>
  %4 = transom.max %y, %x : (tensor<3x1xf32>, tensor<?x1x4xf32>) -> tensor<?x3x4xf32>
  // CHECK: transom.min %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<4xi64>, tensor<4xi64>) -> tensor<4xi64>
  %5 = transom.min %i, %i : (tensor<4xi64>, tensor<4xi64>) -> tensor<4xi64>
  // CHECK: transom.pow %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<4xbf16>, tensor<4xbf16>) -> tensor<4xbf16>
  %6 = transom.pow %b, %b : (tensor<4xbf16>, tensor<4xbf16>) -> tensor<4xbf16>
  return
}

// CHECK-LABEL: @choice
func.func @choice(%x: tensor<?x4xf32>, %i: tensor<4xi8>, %h: tensor<4xf16>) {
  // CHECK: transom.compare eq %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xi1>
  %0 = transom.compare eq %x, %x : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xi1>
  // CHECK: transom.compare ne %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<4xi8>, tensor<4xi8>) -> tensor<4xi1>
  %1 = transom.compare ne %i, %i : (tensor<4xi8>, tensor<4xi8>) -> tensor<4xi1>
  // CHECK: transom.compare lt %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<4xi8>, tensor<4xi8>) -> tensor<4xi1>
  %2 = transom.compare lt %i, %i : (tensor<4xi8>, tensor<4xi8>) -> tensor<4xi1>
  // CHECK: transom.compare le %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<4xi8>, tensor<4xi8>) -> tensor<4xi1>
  %3 = transom.compare le %i, %i : (tensor<4xi8>, tensor<4xi8>) -> tensor<4xi1>
  // CHECK: transom.compare gt %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<4xi8>, tensor<4xi8>) -> tensor<4xi1>
  %4 = transom.compare gt %i, %i : (tensor<4xi8>, tensor<4xi8>) -> tensor<4xi1>
  // CHECK: transom.compare ge %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<4xi8>, tensor<4xi8>) -> tensor<4xi1>
  %5 = transom.compare ge %i, %i : (tensor<4xi8>, tensor<4xi8>) -> tensor<4xi1>
  // CHECK: transom.select %{{[0-9a-z]+}}, %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<?x4xi1>, tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  %6 = transom.select %0, %x, %x : (tensor<?x4xi1>, tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  // CHECK: transom.cast %{{[0-9a-z]+}} to f16 : (tensor<?x4xf32>) -> tensor<?x4xf16>
  %7 = transom.cast %x to f16 : (tensor<?x4xf32>) -> tensor<?x4xf16>
  // CHECK: transom.cast %{{[0-9a-z]+}} to i32 : (tensor<4xf16>) -> tensor<4xi32>
  %8 = transom.cast %h to i32 : (tensor<4xf16>) -> tensor<4xi32>
  // CHECK: transom.cast %{{[0-9a-z]+}} to i1 : (tensor<4xi8>) -> tensor<4xi1>
  %9 = transom.cast %i to i1 : (tensor<4xi8>) -> tensor<4xi1>
  return
}

// A static result size is compatible with an inferred one that is dynamic, and the other way round.
// CHECK-LABEL: @sizes
func.func @sizes(%x: tensor<?xf32>, %y: tensor<4xf32>) {
  // CHECK: transom.neg %{{[0-9a-z]+}} : (tensor<?xf32>) -> tensor<4xf32>
  %0 = transom.neg %x : (tensor<?xf32>) -> tensor<4xf32>
  // CHECK: transom.neg %{{[0-9a-z]+}} : (tensor<4xf32>) -> tensor<?xf32>
  %1 = transom.neg %y : (tensor<4xf32>) -> tensor<?xf32>
  return
}
