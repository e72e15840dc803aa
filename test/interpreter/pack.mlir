// Packed sequences: rows of 2, 0 and 1 tokens.
// RUN: transom-opt --interpret %s | FileCheck %s

// CHECK-LABEL: @cumulative_lengths
// CHECK-NEXT: tensor<4xi32>: [0, 2, 2, 3]
func.func @cumulative_lengths() -> tensor<4xi32> {
  %n = transom.constant dense<[2, 0, 1]> : tensor<3xi32>
  %y = transom.cumulative_lengths %n : (tensor<3xi32>) -> tensor<4xi32>
  return %y : tensor<4xi32>
}

// What is behind the last token is undefined: NaN here.
// CHECK-LABEL: @pack
// CHECK-NEXT: tensor<6x1xf32>: {{\[\[1\], \[2\], \[5\], \[nan\], \[nan\], \[nan\]\]}}
// CHECK-NEXT: tensor<6xi32>: [1, 2, 5, {{.*}}]
func.func @pack() -> (tensor<6x1xf32>, tensor<6xi32>) {
  %x = transom.constant dense<[[[1.0], [2.0]], [[3.0], [4.0]], [[5.0], [6.0]]]> : tensor<3x2x1xf32>
  %c = transom.constant dense<[0, 2, 2, 3]> : tensor<4xi32>
  %y = transom.pack %x, %c : (tensor<3x2x1xf32>, tensor<4xi32>) -> tensor<6x1xf32>
  %i = transom.constant dense<[[1, 2], [3, 4], [5, 6]]> : tensor<3x2xi32>
  %z = transom.pack %i, %c : (tensor<3x2xi32>, tensor<4xi32>) -> tensor<6xi32>
  return %y, %z : tensor<6x1xf32>, tensor<6xi32>
}

// CHECK-LABEL: @unpack
// CHECK-NEXT: tensor<3x2x1xf32>: {{\[\[\[1\], \[2\]\], \[\[0\], \[0\]\], \[\[5\], \[0\]\]\]}}
func.func @unpack() -> tensor<3x2x1xf32> {
  %x = transom.constant dense<[[1.0], [2.0], [5.0], [7.0], [8.0], [9.0]]> : tensor<6x1xf32>
  %c = transom.constant dense<[0, 2, 2, 3]> : tensor<4xi32>
  %like = transom.constant dense<0> : tensor<3x2xi32>
  %y = transom.unpack %x, %c like %like : (tensor<6x1xf32>, tensor<4xi32>, tensor<3x2xi32>) -> tensor<3x2x1xf32>
  return %y : tensor<3x2x1xf32>
}
