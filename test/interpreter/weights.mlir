// Weights come from the file by name, with the type of the op; recipes compute with them.
// RUN: %python %S/Inputs/make_weights.py %t.safetensors
// RUN: transom-opt --interpret --weights=%t.safetensors %s | FileCheck %s
// RUN: not transom-opt --interpret=weight %s 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not transom-opt --interpret=weight --weights=%t.absent %s 2>&1 | FileCheck %s --check-prefix=ABSENT
// NONE: weights.mlir:{{.*}}: 'transom.weight' op: 
// ABSENT: error: {{.*}}.absent

// CHECK-LABEL: @weight
// CHECK-NEXT{LITERAL}: tensor<2x2xf32>: [[1, 2], [3, 4]]
// CHECK-NEXT: tensor<2xbf16>: [1, -2]
// CHECK-NEXT: tensor<2xi64>: [1, 1152921504606846977]
func.func @weight() -> (tensor<2x2xf32>, tensor<2xbf16>, tensor<2xi64>) {
  %0 = transom.weight "plain" : tensor<2x2xf32>
  %1 = transom.weight "half" : tensor<2xbf16>
  %2 = transom.weight "ids" : tensor<2xi64>
  return %0, %1, %2 : tensor<2x2xf32>, tensor<2xbf16>, tensor<2xi64>
}

// CHECK-LABEL: @constant
// CHECK-NEXT: tensor<2xi8>: [-1, 7]
func.func @constant() -> tensor<2xi8> {
  %0 = transom.constant dense<[-1, 7]> : tensor<2xi8>
  return %0 : tensor<2xi8>
}

// CHECK-LABEL: @recipe
// CHECK-NEXT{LITERAL}: tensor<2x2xf32>: [[1, 3], [2, 4]]
func.func @recipe() -> tensor<2x2xf32> {
  %0 = transom.recipe "turned" : tensor<2x2xf32> {
    %w = transom.weight "plain" : tensor<2x2xf32>
    %t = transom.transpose %w [1, 0] : (tensor<2x2xf32>) -> tensor<2x2xf32>
    transom.yield %t : tensor<2x2xf32>
  }
  return %0 : tensor<2x2xf32>
}
