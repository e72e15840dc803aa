// Normalisations: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// CHECK-LABEL: @norms
func.func @norms(%x: tensor<?x?x384xf32>, %s: tensor<384xf32>, %b: tensor<384xf32>) {
  // CHECK: transom.layer_norm %{{[0-9a-z]+}}, %{{[0-9a-z]+}}, %{{[0-9a-z]+}} epsilon 1.000000e-05 : (tensor<?x?x384xf32>, tensor<384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
  %0 = transom.layer_norm %x, %s, %b epsilon 1.000000e-05 : (tensor<?x?x384xf32>, tensor<384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
  // CHECK: transom.layer_norm %{{[0-9a-z]+}}, %{{[0-9a-z]+}} epsilon 1.000000e-05 : (tensor<?x?x384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
  %1 = transom.layer_norm %x, %s epsilon 1.000000e-05 : (tensor<?x?x384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
  // CHECK: transom.rms_norm %{{[0-9a-z]+}}, %{{[0-9a-z]+}} epsilon 1.000000e-05 : (tensor<?x?x384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
  %2 = transom.rms_norm %x, %s epsilon 1.000000e-05 : (tensor<?x?x384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
  return
}

// Packed tokens, bf16 numbers with parameters in fp32.
// CHECK-LABEL: @packed
func.func @packed(%x: tensor<?x384xbf16>, %s: tensor<384xf32>) {
  // CHECK: transom.rms_norm %{{[0-9a-z]+}}, %{{[0-9a-z]+}} epsilon 1.000000e-05 : (tensor<?x384xbf16>, tensor<384xf32>) -> tensor<?x384xbf16>
  %0 = transom.rms_norm %x, %s epsilon 1.000000e-05 : (tensor<?x384xbf16>, tensor<384xf32>) -> tensor<?x384xbf16>
  return
}
