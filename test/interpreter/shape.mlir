// Ops that move numbers: where each number ends up.
// RUN: transom-opt --interpret %s | FileCheck %s

// CHECK-LABEL: @reshape
// CHECK-NEXT{LITERAL}: tensor<3x2xf32>: [[1, 2], [3, 4], [5, 6]]
// CHECK-NEXT: tensor<2x3x1xf32>: {{\[\[\[1\], \[2\], \[3\]\], \[\[4\], \[5\], \[6\]\]\]}}
func.func @reshape() -> (tensor<3x2xf32>, tensor<2x3x1xf32>) {
  %x = transom.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %y = transom.reshape %x [3, -1] : (tensor<2x3xf32>) -> tensor<3x2xf32>
  %z = transom.reshape %x [0, 0, 1] : (tensor<2x3xf32>) -> tensor<2x3x1xf32>
  return %y, %z : tensor<3x2xf32>, tensor<2x3x1xf32>
}

// CHECK-LABEL: @transpose
// CHECK-NEXT: tensor<3x1x2xi32>: {{\[\[\[1, 4\]\], \[\[2, 5\]\], \[\[3, 6\]\]\]}}
func.func @transpose() -> tensor<3x1x2xi32> {
  %x = transom.constant dense<[[[1, 2, 3], [4, 5, 6]]]> : tensor<1x2x3xi32>
  %y = transom.transpose %x [2, 0, 1] : (tensor<1x2x3xi32>) -> tensor<3x1x2xi32>
  return %y : tensor<3x1x2xi32>
}

// CHECK-LABEL: @slice
// CHECK-NEXT{LITERAL}: tensor<2x2xf32>: [[2, 3], [5, 6]]
// CHECK-NEXT: tensor<1x3xf32>: {{\[\[4, 5, 6\]\]}}
func.func @slice() -> (tensor<2x2xf32>, tensor<1x3xf32>) {
  %x = transom.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %y = transom.slice %x axis 1 start 1 size 2 : (tensor<2x3xf32>) -> tensor<2x2xf32>
  %z = transom.slice %x axis 0 start 1 size 1 : (tensor<2x3xf32>) -> tensor<1x3xf32>
  return %y, %z : tensor<2x2xf32>, tensor<1x3xf32>
}

// CHECK-LABEL: @concat
// CHECK-NEXT{LITERAL}: tensor<2x3xf32>: [[1, 5, 6], [2, 7, 8]]
// CHECK-NEXT: tensor<2x1xf32>: {{\[\[1\], \[2\]\]}}
func.func @concat() -> (tensor<2x3xf32>, tensor<2x1xf32>) {
  %a = transom.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
  %b = transom.constant dense<[[5.0, 6.0], [7.0, 8.0]]> : tensor<2x2xf32>
  %none = transom.constant dense<> : tensor<2x0xf32>
  %y = transom.concat %a, %b axis 1 : (tensor<2x1xf32>, tensor<2x2xf32>) -> tensor<2x3xf32>
  %z = transom.concat %none, %a axis 1 : (tensor<2x0xf32>, tensor<2x1xf32>) -> tensor<2x1xf32>
  return %y, %z : tensor<2x3xf32>, tensor<2x1xf32>
}

// CHECK-LABEL: @pad
// CHECK-NEXT{LITERAL}: tensor<2x4xf32>: [[-1, 1, 2, -1], [-1, 3, 4, -1]]
// CHECK-NEXT{LITERAL}: tensor<3x2xi32>: [[0, 0], [1, 2], [3, 4]]
func.func @pad() -> (tensor<2x4xf32>, tensor<3x2xi32>) {
  %x = transom.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %y = transom.pad %x axis 1 before 1 after 1 {value = -1.0} : (tensor<2x2xf32>) -> tensor<2x4xf32>
  %i = transom.constant dense<[[1, 2], [3, 4]]> : tensor<2x2xi32>
  %z = transom.pad %i axis 0 before 1 after 0 : (tensor<2x2xi32>) -> tensor<3x2xi32>
  return %y, %z : tensor<2x4xf32>, tensor<3x2xi32>
}

// CHECK-LABEL: @split_rows
// CHECK-NEXT{LITERAL}: tensor<2x3x1xf32>: [[[1], [2], [3]], [[4], [5], [6]]]
func.func @split_rows() -> tensor<2x3x1xf32> {
  %x = transom.constant dense<[[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]> : tensor<6x1xf32>
  %like = transom.constant dense<0> : tensor<2x3xi32>
  %y = transom.split_rows %x like %like : (tensor<6x1xf32>, tensor<2x3xi32>) -> tensor<2x3x1xf32>
  return %y : tensor<2x3x1xf32>
}

// CHECK-LABEL: @broadcast
// CHECK-NEXT{LITERAL}: tensor<2x3xf32>: [[1, 1, 1], [2, 2, 2]]
func.func @broadcast() -> tensor<2x3xf32> {
  %x = transom.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
  %like = transom.constant dense<0> : tensor<2x3xi32>
  %y = transom.broadcast %x like %like : (tensor<2x1xf32>, tensor<2x3xi32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// CHECK-LABEL: @iota
// CHECK-NEXT: tensor<3xi32>: [0, 1, 2]
func.func @iota() -> tensor<3xi32> {
  %like = transom.constant dense<0.0> : tensor<2x3xf32>
  %y = transom.iota like %like axis 1 : (tensor<2x3xf32>) -> tensor<3xi32>
  return %y : tensor<3xi32>
}
