// Embedding lookup, last token, argmax, top-k.
// RUN: transom-opt --interpret %s | FileCheck %s

// Indices outside the table give zeros. Rounding to f16 keeps these numbers.
// CHECK-LABEL: @embedding
// CHECK-NEXT: tensor<2x2x2xf32>: {{\[\[\[3, 4\], \[1, 2\]\], \[\[0, 0\], \[0, 0\]\]\]}}
// CHECK-NEXT: tensor<1x2xf16>: {{\[\[1, 2\]\]}}
func.func @embedding() -> (tensor<2x2x2xf32>, tensor<1x2xf16>) {
  %table = transom.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %i = transom.constant dense<[[1, 0], [2, -1]]> : tensor<2x2xi32>
  %y = transom.embedding %table, %i : (tensor<2x2xf32>, tensor<2x2xi32>) -> tensor<2x2x2xf32>
  %j = transom.constant dense<[0]> : tensor<1xi64>
  %z = transom.embedding %table, %j to f16 : (tensor<2x2xf32>, tensor<1xi64>) -> tensor<1x2xf16>
  return %y, %z : tensor<2x2x2xf32>, tensor<1x2xf16>
}

// CHECK-LABEL: @last_token
// CHECK-NEXT: tensor<3x1xf32>: {{\[\[2\], \[3\], \[0\]\]}}
// CHECK-NEXT: tensor<3xi32>: [2, 3, 0]
func.func @last_token() -> (tensor<3x1xf32>, tensor<3xi32>) {
  %x = transom.constant dense<[[[1.0], [2.0]], [[3.0], [4.0]], [[5.0], [6.0]]]> : tensor<3x2x1xf32>
  %n = transom.constant dense<[2, 1, 0]> : tensor<3xi32>
  %y = transom.last_token %x, %n : (tensor<3x2x1xf32>, tensor<3xi32>) -> tensor<3x1xf32>
  %i = transom.constant dense<[[1, 2], [3, 4], [5, 6]]> : tensor<3x2xi32>
  %z = transom.last_token %i, %n : (tensor<3x2xi32>, tensor<3xi32>) -> tensor<3xi32>
  return %y, %z : tensor<3x1xf32>, tensor<3xi32>
}

// Packed rows of 2, 0 and 1 tokens; and of padded rows the first.
// CHECK-LABEL: @token_of_packed_row
// CHECK-NEXT{LITERAL}: tensor<3x1xf32>: [[2], [0], [3]]
// CHECK-NEXT{LITERAL}: tensor<3x1xf32>: [[1], [0], [3]]
// CHECK-NEXT: tensor<2xi32>: [1, 0]
func.func @token_of_packed_row() -> (tensor<3x1xf32>, tensor<3x1xf32>, tensor<2xi32>) {
  %x = transom.constant dense<[[1.0], [2.0], [3.0]]> : tensor<3x1xf32>
  %c = transom.constant dense<[0, 2, 2, 3]> : tensor<4xi32>
  %0 = transom.last_token %x cumulative %c : (tensor<3x1xf32>, tensor<4xi32>) -> tensor<3x1xf32>
  %1 = transom.first_token %x cumulative %c : (tensor<3x1xf32>, tensor<4xi32>) -> tensor<3x1xf32>
  %i = transom.constant dense<[[1, 2], [3, 4]]> : tensor<2x2xi32>
  %n = transom.constant dense<[2, 0]> : tensor<2xi32>
  %2 = transom.first_token %i, %n : (tensor<2x2xi32>, tensor<2xi32>) -> tensor<2xi32>
  return %0, %1, %2 : tensor<3x1xf32>, tensor<3x1xf32>, tensor<2xi32>
}

// The first of equals; NaN is the smallest, below -inf.
// CHECK-LABEL: @argmax
// CHECK-NEXT: tensor<3xi32>: [1, 1, 0]
func.func @argmax() -> tensor<3xi32> {
  %x = transom.constant dense<[[1.0, 3.0, 3.0], [0x7FC00000, 0xFF800000, 0x7FC00000], [0x7FC00000, 0x7FC00000, 0x7FC00000]]> : tensor<3x3xf32>
  %y = transom.argmax %x : (tensor<3x3xf32>) -> tensor<3xi32>
  return %y : tensor<3xi32>
}

// CHECK-LABEL: @top_k
// CHECK-NEXT{LITERAL}: tensor<2x3xf32>: [[7, 5, 5], [0, -inf, nan]]
// CHECK-NEXT{LITERAL}: tensor<2x3xi32>: [[2, 0, 3], [1, 3, 0]]
func.func @top_k() -> (tensor<2x3xf32>, tensor<2x3xi32>) {
  %x = transom.constant dense<[[5.0, 1.0, 7.0, 5.0], [0x7FC00000, 0.0, 0x7FC00000, 0xFF800000]]> : tensor<2x4xf32>
  %v, %i = transom.top_k %x k 3 : (tensor<2x4xf32>) -> (tensor<2x3xf32>, tensor<2x3xi32>)
  return %v, %i : tensor<2x3xf32>, tensor<2x3xi32>
}
