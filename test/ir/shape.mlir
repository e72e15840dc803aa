// Ops that move numbers: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// CHECK-LABEL: @reshape
func.func @reshape(%x: tensor<?x?x576xf32>) {
  // CHECK: transom.reshape %{{[0-9a-z]+}} [0, 0, 9, 64] : (tensor<?x?x576xf32>) -> tensor<?x?x9x64xf32>
  %0 = transom.reshape %x [0, 0, 9, 64] : (tensor<?x?x576xf32>) -> tensor<?x?x9x64xf32>
  // CHECK: transom.reshape %{{[0-9a-z]+}} [-1, 576] : (tensor<?x?x576xf32>) -> tensor<?x576xf32>
  %1 = transom.reshape %x [-1, 576] : (tensor<?x?x576xf32>) -> tensor<?x576xf32>
  return
}

// CHECK-LABEL: @transpose
func.func @transpose(%x: tensor<?x?x9x64xf32>, %w: tensor<2x3x32x!transom.block<q5_0>>) {
  // CHECK: transom.transpose %{{[0-9a-z]+}} [0, 2, 1, 3] : (tensor<?x?x9x64xf32>) -> tensor<?x9x?x64xf32>
  %0 = transom.transpose %x [0, 2, 1, 3] : (tensor<?x?x9x64xf32>) -> tensor<?x9x?x64xf32>
  // CHECK: transom.transpose %{{[0-9a-z]+}} [1, 0, 2] : (tensor<2x3x32x!transom.block<q5_0>>) -> tensor<3x2x32x!transom.block<q5_0>>
  %1 = transom.transpose %w [1, 0, 2] : (tensor<2x3x32x!transom.block<q5_0>>) -> tensor<3x2x32x!transom.block<q5_0>>
  return
}

// CHECK-LABEL: @slice
func.func @slice(%x: tensor<?x?x576xf32>, %w: tensor<8x512x!transom.block<q6_k>>) {
  // CHECK: transom.slice %{{[0-9a-z]+}} axis 2 start 64 size 64 : (tensor<?x?x576xf32>) -> tensor<?x?x64xf32>
  %0 = transom.slice %x axis 2 start 64 size 64 : (tensor<?x?x576xf32>) -> tensor<?x?x64xf32>
  // CHECK: transom.slice %{{[0-9a-z]+}} axis 1 start 0 size 1 : (tensor<?x?x576xf32>) -> tensor<?x1x576xf32>
  %1 = transom.slice %x axis 1 start 0 size 1 : (tensor<?x?x576xf32>) -> tensor<?x1x576xf32>
  // CHECK: transom.slice %{{[0-9a-z]+}} axis 1 start 256 size 256 : (tensor<8x512x!transom.block<q6_k>>) -> tensor<8x256x!transom.block<q6_k>>
  %2 = transom.slice %w axis 1 start 256 size 256 : (tensor<8x512x!transom.block<q6_k>>) -> tensor<8x256x!transom.block<q6_k>>
  return
}

// The naive cache grows by concatenation; merged weights are concatenated rows of blocks.
// CHECK-LABEL: @concat
func.func @concat(%past: tensor<?x3x?x64xf32>, %w: tensor<192x576x!transom.block<q4_0>>) {
  // CHECK: transom.concat %{{[0-9a-z]+}}, %{{[0-9a-z]+}} axis 2 : (tensor<?x3x?x64xf32>, tensor<?x3x?x64xf32>) -> tensor<?x3x?x64xf32>
  %0 = transom.concat %past, %past axis 2 : (tensor<?x3x?x64xf32>, tensor<?x3x?x64xf32>) -> tensor<?x3x?x64xf32>
  // CHECK: transom.concat %{{[0-9a-z]+}}, %{{[0-9a-z]+}}, %{{[0-9a-z]+}} axis 0 : (tensor<192x576x!transom.block<q4_0>>, tensor<192x576x!transom.block<q4_0>>, tensor<192x576x!transom.block<q4_0>>) -> tensor<576x576x!transom.block<q4_0>>
  %1 = transom.concat %w, %w, %w axis 0 : (tensor<192x576x!transom.block<q4_0>>, tensor<192x576x!transom.block<q4_0>>, tensor<192x576x!transom.block<q4_0>>) -> tensor<576x576x!transom.block<q4_0>>
  return
}

// CHECK-LABEL: @pad
func.func @pad(%x: tensor<?x4xf32>) {
  // CHECK: transom.pad %{{[0-9a-z]+}} axis 1 before 1 after 3 : (tensor<?x4xf32>) -> tensor<?x8xf32>
  %0 = transom.pad %x axis 1 before 1 after 3 : (tensor<?x4xf32>) -> tensor<?x8xf32>
  // CHECK: transom.pad %{{[0-9a-z]+}} axis 0 before 0 after 1 {value = -1.000000e+00 : f64} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %1 = transom.pad %x axis 0 before 0 after 1 {value = -1.000000e+00 : f64} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  return
}

// CHECK-LABEL: @like
func.func @like(%x: tensor<?x?x4xf32>, %b: tensor<1x4xf16>, %r: tensor<?x4xf32>) {
  // CHECK: transom.broadcast %{{[0-9a-z]+}} like %{{[0-9a-z]+}} : (tensor<1x4xf16>, tensor<?x?x4xf32>) -> tensor<?x?x4xf16>
  %0 = transom.broadcast %b like %x : (tensor<1x4xf16>, tensor<?x?x4xf32>) -> tensor<?x?x4xf16>
  // CHECK: transom.split_rows %{{[0-9a-z]+}} like %{{[0-9a-z]+}} : (tensor<?x4xf32>, tensor<?x?x4xf32>) -> tensor<?x?x4xf32>
  %2 = transom.split_rows %r like %x : (tensor<?x4xf32>, tensor<?x?x4xf32>) -> tensor<?x?x4xf32>
  // CHECK: transom.iota like %{{[0-9a-z]+}} axis 1 : (tensor<?x?x4xf32>) -> tensor<?xi32>
  %1 = transom.iota like %x axis 1 : (tensor<?x?x4xf32>) -> tensor<?xi32>
  return
}
