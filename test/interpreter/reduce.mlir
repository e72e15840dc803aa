// Reductions and softmax.
// RUN: transom-opt --interpret %s | FileCheck %s

// CHECK-LABEL: @reduce
// CHECK-NEXT: tensor<2xf32>: [6, 15]
// CHECK-NEXT: tensor<1x3xf32>: {{\[\[2.5, 3.5, 4.5\]\]}}
// CHECK-NEXT: tensor<f32>: 6
// CHECK-NEXT: tensor<3xf32>: [1, 2, 3]
// CHECK-NEXT: tensor<f32>: nan
// CHECK-NEXT: tensor<i8>: -128
func.func @reduce() -> (tensor<2xf32>, tensor<1x3xf32>, tensor<f32>, tensor<3xf32>, tensor<f32>, tensor<i8>) {
  %x = transom.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %0 = transom.reduce sum %x axes [1] : (tensor<2x3xf32>) -> tensor<2xf32>
  %1 = transom.reduce mean %x axes [0] keep_dims : (tensor<2x3xf32>) -> tensor<1x3xf32>
  %2 = transom.reduce max %x axes [1, 0] : (tensor<2x3xf32>) -> tensor<f32>
  %3 = transom.reduce min %x axes [0] : (tensor<2x3xf32>) -> tensor<3xf32>
  %n = transom.constant dense<[1.0, 0x7FC00000, 3.0]> : tensor<3xf32>
  %4 = transom.reduce max %n axes [0] : (tensor<3xf32>) -> tensor<f32>
  %i = transom.constant dense<[100, 28]> : tensor<2xi8>
  %5 = transom.reduce sum %i axes [0] : (tensor<2xi8>) -> tensor<i8>
  return %0, %1, %2, %3, %4, %5 : tensor<2xf32>, tensor<1x3xf32>, tensor<f32>, tensor<3xf32>, tensor<f32>, tensor<i8>
}

// Along either dimension; sums of i32 wrap around.
// CHECK-LABEL: @cumulative_sum
// CHECK-NEXT{LITERAL}: tensor<2x3xi32>: [[1, 1, 3], [4, 9, 15]]
// CHECK-NEXT{LITERAL}: tensor<2x3xi32>: [[1, 0, 2], [5, 5, 8]]
// CHECK-NEXT: tensor<2xi32>: [2147483647, -2147483648]
func.func @cumulative_sum() -> (tensor<2x3xi32>, tensor<2x3xi32>, tensor<2xi32>) {
  %x = transom.constant dense<[[1, 0, 2], [4, 5, 6]]> : tensor<2x3xi32>
  %0 = transom.cumulative_sum %x axis 1 : (tensor<2x3xi32>) -> tensor<2x3xi32>
  %1 = transom.cumulative_sum %x axis 0 : (tensor<2x3xi32>) -> tensor<2x3xi32>
  %big = transom.constant dense<[2147483647, 1]> : tensor<2xi32>
  %2 = transom.cumulative_sum %big axis 0 : (tensor<2xi32>) -> tensor<2xi32>
  return %0, %1, %2 : tensor<2x3xi32>, tensor<2x3xi32>, tensor<2xi32>
}

// e^0 : e^(ln 3) = 1 : 3. A row of -inf gives zeros; large numbers do not overflow.
// CHECK-LABEL: @softmax
// CHECK-NEXT{LITERAL}: tensor<3x2xf32>: [[0.25, 0.75], [0, 0], [0.5, 0.5]]
// CHECK-NEXT: tensor<2x1xf32>: {{\[\[0.25\], \[0.75\]\]}}
func.func @softmax() -> (tensor<3x2xf32>, tensor<2x1xf32>) {
  %x = transom.constant dense<[[0.0, 1.0986122886681098], [0xFF800000, 0xFF800000], [1000.0, 1000.0]]> : tensor<3x2xf32>
  %y = transom.softmax %x axis 1 : (tensor<3x2xf32>) -> tensor<3x2xf32>
  %c = transom.constant dense<[[0.0], [1.0986122886681098]]> : tensor<2x1xf32>
  %z = transom.softmax %c axis 0 : (tensor<2x1xf32>) -> tensor<2x1xf32>
  return %y, %z : tensor<3x2xf32>, tensor<2x1xf32>
}
