// Packed sequences.
// RUN: transom-opt --interpret %s | FileCheck %s

// CHECK-LABEL: @cumulative_lengths
// CHECK-NEXT: tensor<4xi32>: [0, 2, 2, 3]
func.func @cumulative_lengths() -> tensor<4xi32> {
  %n = transom.constant dense<[2, 0, 1]> : tensor<3xi32>
  %y = transom.cumulative_lengths %n : (tensor<3xi32>) -> tensor<4xi32>
  return %y : tensor<4xi32>
}

// A row with a hole, one without tokens, one padded on the left; any number but 0 is valid. And no token at all.
// CHECK-LABEL: @valid_tokens
// CHECK-NEXT: tensor<4xi32>: [0, 2, 7, 8]
// CHECK-NEXT: tensor<4xi32>: [0, 2, 2, 4]
// CHECK-NEXT: tensor<3xi32>: [0, 4, 5]
// CHECK-NEXT: tensor<4xi32>: [0, 1, 1, 3]
// CHECK-NEXT: tensor<0xi32>: []
// CHECK-NEXT: tensor<2xi32>: [0, 0]
func.func @valid_tokens() -> (tensor<?xi32>, tensor<4xi32>, tensor<?xi32>, tensor<4xi32>, tensor<?xi32>, tensor<2xi32>) {
  %m = transom.constant dense<[[1, 0, 1], [0, 0, 0], [0, -1, 2]]> : tensor<3x3xi32>
  %0:2 = transom.valid_tokens %m size "tokens" : (tensor<3x3xi32>) -> (tensor<?xi32>, tensor<4xi32>)
  %n = transom.constant dense<[1, 0, 2]> : tensor<3xi32>
  %rows = transom.constant dense<0.0> : tensor<3x2x1xf32>
  %1:2 = transom.valid_tokens %rows lengths %n size "more" : (tensor<3x2x1xf32>, tensor<3xi32>) -> (tensor<?xi32>, tensor<4xi32>)
  %none = transom.constant dense<0> : tensor<1x3xi32>
  %2:2 = transom.valid_tokens %none size "fewer" : (tensor<1x3xi32>) -> (tensor<?xi32>, tensor<2xi32>)
  return %0#0, %0#1, %1#0, %1#1, %2#0, %2#1
     : tensor<?xi32>, tensor<4xi32>, tensor<?xi32>, tensor<4xi32>, tensor<?xi32>, tensor<2xi32>
}

// CHECK-LABEL: @pack
// CHECK-NEXT{LITERAL}: tensor<3x1xf32>: [[1], [2], [6]]
// CHECK-NEXT: tensor<3xi32>: [1, 2, 6]
func.func @pack() -> (tensor<3x1xf32>, tensor<3xi32>) {
  %x = transom.constant dense<[[[1.0], [2.0]], [[3.0], [4.0]], [[5.0], [6.0]]]> : tensor<3x2x1xf32>
  %at = transom.constant dense<[0, 1, 5]> : tensor<3xi32>
  %y = transom.pack %x, %at : (tensor<3x2x1xf32>, tensor<3xi32>) -> tensor<3x1xf32>
  %i = transom.constant dense<[[1, 2], [3, 4], [5, 6]]> : tensor<3x2xi32>
  %z = transom.pack %i, %at : (tensor<3x2xi32>, tensor<3xi32>) -> tensor<3xi32>
  return %y, %z : tensor<3x1xf32>, tensor<3xi32>
}

// CHECK-LABEL: @unpack
// CHECK-NEXT{LITERAL}: tensor<3x2x1xf32>: [[[1], [2]], [[0], [0]], [[0], [5]]]
func.func @unpack() -> tensor<3x2x1xf32> {
  %x = transom.constant dense<[[1.0], [2.0], [5.0]]> : tensor<3x1xf32>
  %at = transom.constant dense<[0, 1, 5]> : tensor<3xi32>
  %like = transom.constant dense<0> : tensor<3x2xi32>
  %y = transom.unpack %x, %at like %like : (tensor<3x1xf32>, tensor<3xi32>, tensor<3x2xi32>) -> tensor<3x2x1xf32>
  return %y : tensor<3x2x1xf32>
}

// Rows of 2, 0 and 1 tokens. What is behind the last token is not read.
// CHECK-LABEL: @reduce_packed
// CHECK-NEXT{LITERAL}: tensor<3x2xf32>: [[4, 6], [0, 0], [5, 6]]
// CHECK-NEXT{LITERAL}: tensor<3x2xf32>: [[2, 3], [0, 0], [5, 6]]
// CHECK-NEXT{LITERAL}: tensor<3x2xf32>: [[3, 4], [-inf, -inf], [5, 6]]
// CHECK-NEXT: tensor<3xi32>: [1, 2147483647, 3]
func.func @reduce_packed() -> (tensor<3x2xf32>, tensor<3x2xf32>, tensor<3x2xf32>, tensor<3xi32>) {
  %x = transom.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [0x7FC00000, 8.0]]> : tensor<4x2xf32>
  %c = transom.constant dense<[0, 2, 2, 3]> : tensor<4xi32>
  %0 = transom.reduce_packed sum %x, %c : (tensor<4x2xf32>, tensor<4xi32>) -> tensor<3x2xf32>
  %1 = transom.reduce_packed mean %x, %c : (tensor<4x2xf32>, tensor<4xi32>) -> tensor<3x2xf32>
  %2 = transom.reduce_packed max %x, %c : (tensor<4x2xf32>, tensor<4xi32>) -> tensor<3x2xf32>
  %i = transom.constant dense<[1, 2, 3, 0]> : tensor<4xi32>
  %3 = transom.reduce_packed min %i, %c : (tensor<4xi32>, tensor<4xi32>) -> tensor<3xi32>
  return %0, %1, %2, %3 : tensor<3x2xf32>, tensor<3x2xf32>, tensor<3x2xf32>, tensor<3xi32>
}
