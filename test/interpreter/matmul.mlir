// matmul: products of small matrices, plain and transposed, with broadcast leading dimensions.
// RUN: transom-opt --interpret %s | FileCheck %s

// CHECK-LABEL: @plain
// CHECK-NEXT{LITERAL}: tensor<2x2xf32>: [[19, 22], [43, 50]]
func.func @plain() -> tensor<2x2xf32> {
  %a = transom.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %b = transom.constant dense<[[5.0, 6.0], [7.0, 8.0]]> : tensor<2x2xf32>
  %y = transom.matmul %a, %b : (tensor<2x2xf32>, tensor<2x2xf32>) -> tensor<2x2xf32>
  return %y : tensor<2x2xf32>
}

// CHECK-LABEL: @transposed
// CHECK-NEXT{LITERAL}: tensor<2x3xf32>: [[17, 23, 1], [39, 53, 3]]
func.func @transposed() -> tensor<2x3xf32> {
  %a = transom.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %b = transom.constant dense<[[5.0, 6.0], [7.0, 8.0], [1.0, 0.0]]> : tensor<3x2xf32>
  %y = transom.matmul %a, %b transpose_rhs : (tensor<2x2xf32>, tensor<3x2xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// Leading dimensions [2, 1] and [3] give [2, 3]: row b of lhs times matrix h of rhs.
// CHECK-LABEL: @leading
// CHECK-NEXT: tensor<2x3x1x1xf32>: {{\[\[\[\[10\]\], \[\[20\]\], \[\[30\]\]\], \[\[\[20\]\], \[\[40\]\], \[\[60\]\]\]\]}}
func.func @leading() -> tensor<2x3x1x1xf32> {
  %a = transom.constant dense<[[[[1.0]]], [[[2.0]]]]> : tensor<2x1x1x1xf32>
  %b = transom.constant dense<[[[10.0]], [[20.0]], [[30.0]]]> : tensor<3x1x1xf32>
  %y = transom.matmul %a, %b : (tensor<2x1x1x1xf32>, tensor<3x1x1xf32>) -> tensor<2x3x1x1xf32>
  return %y : tensor<2x3x1x1xf32>
}

// An inner size that is no multiple of eight: 1 + 2 + ... + 11 = 66.
// CHECK-LABEL: @odd
// CHECK-NEXT: tensor<1x1xf32>: {{\[\[66\]\]}}
func.func @odd() -> tensor<1x1xf32> {
  %a = transom.constant dense<[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]]> : tensor<1x11xf32>
  %b = transom.constant dense<1.0> : tensor<1x11xf32>
  %y = transom.matmul %a, %b transpose_rhs : (tensor<1x11xf32>, tensor<1x11xf32>) -> tensor<1x1xf32>
  return %y : tensor<1x1xf32>
}

// No inner elements: sums of nothing.
// CHECK-LABEL: @hollow
// CHECK-NEXT: tensor<1x2xf32>: {{\[\[0, 0\]\]}}
func.func @hollow() -> tensor<1x2xf32> {
  %a = transom.constant dense<> : tensor<1x0xf32>
  %b = transom.constant dense<> : tensor<0x2xf32>
  %y = transom.matmul %a, %b : (tensor<1x0xf32>, tensor<0x2xf32>) -> tensor<1x2xf32>
  return %y : tensor<1x2xf32>
}
