// A weight that the file has not, or has with another type, is an error that names it.
// RUN: %python %S/Inputs/make_weights.py %t.safetensors
// RUN: not transom-opt --interpret --weights=%t.safetensors %s 2>&1 | FileCheck %s

// CHECK-LABEL: @missing
// CHECK: error: {{.*}}weights-invalid.mlir:9:8: 'transom.weight' op: {{.*}}absent
func.func @missing() -> tensor<2x2xf32> {
  // The place of the error is the op's.
  %0 = transom.weight "absent" : tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

// CHECK-LABEL: @shape
// CHECK: error: {{.*}}'transom.weight' op: plain: expected tensor<2x3xf32>, found tensor<2x2xf32>
func.func @shape() -> tensor<2x3xf32> {
  %0 = transom.weight "plain" : tensor<2x3xf32>
  return %0 : tensor<2x3xf32>
}

// CHECK-LABEL: @element
// CHECK: error: {{.*}}'transom.weight' op: plain: expected tensor<2x2xf16>, found tensor<2x2xf32>
func.func @element() -> tensor<2x2xf16> {
  %0 = transom.weight "plain" : tensor<2x2xf16>
  return %0 : tensor<2x2xf16>
}
