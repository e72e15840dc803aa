// Rotary embedding and positions. With base 1 every pair turns by the position itself.
// RUN: transom-opt --interpret %s | FileCheck %s

// Quarter turn (position 1, scale pi/2): (a, b) becomes (-b, a). Halves pair 1 with 3 and 2 with 4; the fifth number stays.
// Position 0 turns nothing.
// CHECK-LABEL: @rotary
// CHECK-NEXT: tensor<1x1x2x5xf32>: {{\[\[\[\[1, 2, 3, 4, 5\], \[-3, -4, 1, 2, 5\]\]\]\]}}
// CHECK-NEXT: tensor<1x1x2x5xf32>: {{\[\[\[\[1, 2, 3, 4, 5\], \[-2, 1, -4, 3, 5\]\]\]\]}}
func.func @rotary() -> (tensor<1x1x2x5xf32>, tensor<1x1x2x5xf32>) {
  %x = transom.constant dense<[[[[1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0]]]]> : tensor<1x1x2x5xf32>
  %p = transom.constant dense<[[0, 1]]> : tensor<1x2xi32>
  %y = transom.rotary bhsd %x, %p dims 4 base 1.0 {scale = 1.5707963267948966}
     : (tensor<1x1x2x5xf32>, tensor<1x2xi32>) -> tensor<1x1x2x5xf32>
  %z = transom.rotary bhsd %x, %p dims 4 base 1.0 interleaved {scale = 1.5707963267948966}
     : (tensor<1x1x2x5xf32>, tensor<1x2xi32>) -> tensor<1x1x2x5xf32>
  return %y, %z : tensor<1x1x2x5xf32>, tensor<1x1x2x5xf32>
}

// Base 4, dims 4: pair 0 turns by position, pair 1 by 4^(-1/2) = half of it. Position 2, scale pi/2: half a turn, a
// quarter turn. Factors 1 and 1/2 double the second angle. Layouts bshd and thd.
// CHECK-LABEL: @frequencies
// CHECK-NEXT: tensor<1x1x1x4xf32>: {{\[\[\[\[-1, -4, -3, 2\]\]\]\]}}
// CHECK-NEXT: tensor<1x1x4xf32>: {{\[\[\[-1, -2, -3, -4\]\]\]}}
func.func @frequencies() -> (tensor<1x1x1x4xf32>, tensor<1x1x4xf32>) {
  %x = transom.constant dense<[[[[1.0, 2.0, 3.0, 4.0]]]]> : tensor<1x1x1x4xf32>
  %p = transom.constant dense<2> : tensor<1x1xi32>
  %y = transom.rotary bshd %x, %p dims 4 base 4.0 {scale = 1.5707963267948966}
     : (tensor<1x1x1x4xf32>, tensor<1x1xi32>) -> tensor<1x1x1x4xf32>
  %t = transom.reshape %x [1, 1, 4] : (tensor<1x1x1x4xf32>) -> tensor<1x1x4xf32>
  %q = transom.constant dense<2> : tensor<1xi32>
  %f = transom.constant dense<[1.0, 0.5]> : tensor<2xf32>
  %z = transom.rotary thd %t, %q factors %f dims 4 base 4.0 {scale = 1.5707963267948966}
     : (tensor<1x1x4xf32>, tensor<1xi32>, tensor<2xf32>) -> tensor<1x1x4xf32>
  return %y, %z : tensor<1x1x1x4xf32>, tensor<1x1x4xf32>
}

// CHECK-LABEL: @positions
// CHECK-NEXT{LITERAL}: tensor<2x3xi32>: [[5, 6, 7], [0, 1, 2]]
func.func @positions() -> tensor<2x3xi32> {
  %start = transom.constant dense<[5, 0]> : tensor<2xi32>
  %like = transom.constant dense<0> : tensor<2x3xi32>
  %y = transom.positions %start like %like : (tensor<2xi32>, tensor<2x3xi32>) -> tensor<2x3xi32>
  return %y : tensor<2x3xi32>
}
