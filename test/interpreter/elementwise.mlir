// Each elementwise op gives its defining value on numbers that can be checked by hand; shapes broadcast as in NumPy.
// RUN: transom-opt --interpret %s | FileCheck %s

// CHECK-LABEL: @neg
// CHECK-NEXT: tensor<3xf32>: [-1, 2, -0]
func.func @neg() -> tensor<3xf32> {
  %x = transom.constant dense<[1.0, -2.0, 0.0]> : tensor<3xf32>
  %y = transom.neg %x : (tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// CHECK-LABEL: @abs
// CHECK-NEXT: tensor<2xf32>: [1.5, 2]
func.func @abs() -> tensor<2xf32> {
  %x = transom.constant dense<[-1.5, 2.0]> : tensor<2xf32>
  %y = transom.abs %x : (tensor<2xf32>) -> tensor<2xf32>
  return %y : tensor<2xf32>
}

// CHECK-LABEL: @exp
// CHECK-NEXT: tensor<3xf32>: [1, 2.71828, 0]
func.func @exp() -> tensor<3xf32> {
  %x = transom.constant dense<[0.0, 1.0, 0xFF800000]> : tensor<3xf32>
  %y = transom.exp %x : (tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// CHECK-LABEL: @log
// CHECK-NEXT: tensor<4xf32>: [0, 0.693147, -inf, nan]
func.func @log() -> tensor<4xf32> {
  %x = transom.constant dense<[1.0, 2.0, 0.0, -1.0]> : tensor<4xf32>
  %y = transom.log %x : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// CHECK-LABEL: @sin
// CHECK-NEXT: tensor<2xf64>: [0, 1]
func.func @sin() -> tensor<2xf64> {
  %x = transom.constant dense<[0.0, 1.5707963267948966]> : tensor<2xf64>
  %y = transom.sin %x : (tensor<2xf64>) -> tensor<2xf64>
  return %y : tensor<2xf64>
}

// CHECK-LABEL: @cos
// CHECK-NEXT: tensor<2xf64>: [1, -1]
func.func @cos() -> tensor<2xf64> {
  %x = transom.constant dense<[0.0, 3.1415926535897931]> : tensor<2xf64>
  %y = transom.cos %x : (tensor<2xf64>) -> tensor<2xf64>
  return %y : tensor<2xf64>
}

// CHECK-LABEL: @sqrt
// CHECK-NEXT: tensor<3xf32>: [3, 1.41421, nan]
func.func @sqrt() -> tensor<3xf32> {
  %x = transom.constant dense<[9.0, 2.0, -1.0]> : tensor<3xf32>
  %y = transom.sqrt %x : (tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// CHECK-LABEL: @rsqrt
// CHECK-NEXT: tensor<2xf32>: [0.5, inf]
func.func @rsqrt() -> tensor<2xf32> {
  %x = transom.constant dense<[4.0, 0.0]> : tensor<2xf32>
  %y = transom.rsqrt %x : (tensor<2xf32>) -> tensor<2xf32>
  return %y : tensor<2xf32>
}

// CHECK-LABEL: @tanh
// CHECK-NEXT: tensor<3xf32>: [0, 0.761594, -1]
func.func @tanh() -> tensor<3xf32> {
  %x = transom.constant dense<[0.0, 1.0, -50.0]> : tensor<3xf32>
  %y = transom.tanh %x : (tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// CHECK-LABEL: @erf
// CHECK-NEXT: tensor<3xf32>: [0, 0.842701, -1]
func.func @erf() -> tensor<3xf32> {
  %x = transom.constant dense<[0.0, 1.0, -9.0]> : tensor<3xf32>
  %y = transom.erf %x : (tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// CHECK-LABEL: @relu
// CHECK-NEXT: tensor<3xf32>: [0, 3, nan]
func.func @relu() -> tensor<3xf32> {
  %x = transom.constant dense<[-2.0, 3.0, 0x7FC00000]> : tensor<3xf32>
  %y = transom.relu %x : (tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// CHECK-LABEL: @sigmoid
// CHECK-NEXT: tensor<3xf32>: [0.5, 0.731059, 0]
func.func @sigmoid() -> tensor<3xf32> {
  %x = transom.constant dense<[0.0, 1.0, -1000.0]> : tensor<3xf32>
  %y = transom.sigmoid %x : (tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// CHECK-LABEL: @silu
// CHECK-NEXT: tensor<3xf32>: [0, 0.731059, -0]
func.func @silu() -> tensor<3xf32> {
  %x = transom.constant dense<[0.0, 1.0, -1000.0]> : tensor<3xf32>
  %y = transom.silu %x : (tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// Phi(1) = 0.841345; the tanh approximation gives 0.841192.
// CHECK-LABEL: @gelu
// CHECK-NEXT: tensor<3xf32>: [0, 0.841345, -0.158655]
// CHECK-NEXT: tensor<3xf32>: [0, 0.841192, -0.158808]
func.func @gelu() -> (tensor<3xf32>, tensor<3xf32>) {
  %x = transom.constant dense<[0.0, 1.0, -1.0]> : tensor<3xf32>
  %y = transom.gelu erf %x : (tensor<3xf32>) -> tensor<3xf32>
  %z = transom.gelu tanh %x : (tensor<3xf32>) -> tensor<3xf32>
  return %y, %z : tensor<3xf32>, tensor<3xf32>
}

// Broadcasting: [2, 1] + [3] is [2, 3]. Integers wrap around.
// CHECK-LABEL: @add
// CHECK-NEXT{LITERAL}: tensor<2x3xf32>: [[11, 12, 13], [21, 22, 23]]
// CHECK-NEXT: tensor<2xi8>: [-128, 3]
func.func @add() -> (tensor<2x3xf32>, tensor<2xi8>) {
  %a = transom.constant dense<[[10.0], [20.0]]> : tensor<2x1xf32>
  %b = transom.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf32>
  %y = transom.add %a, %b : (tensor<2x1xf32>, tensor<3xf32>) -> tensor<2x3xf32>
  %i = transom.constant dense<[127, 1]> : tensor<2xi8>
  %j = transom.constant dense<[1, 2]> : tensor<2xi8>
  %z = transom.add %i, %j : (tensor<2xi8>, tensor<2xi8>) -> tensor<2xi8>
  return %y, %z : tensor<2x3xf32>, tensor<2xi8>
}

// CHECK-LABEL: @sub
// CHECK-NEXT: tensor<2xf32>: [-1, 5]
// CHECK-NEXT: tensor<i32>: 2147483647
func.func @sub() -> (tensor<2xf32>, tensor<i32>) {
  %a = transom.constant dense<[1.0, 7.0]> : tensor<2xf32>
  %b = transom.constant dense<2.0> : tensor<f32>
  %y = transom.sub %a, %b : (tensor<2xf32>, tensor<f32>) -> tensor<2xf32>
  %i = transom.constant dense<-2147483648> : tensor<i32>
  %j = transom.constant dense<1> : tensor<i32>
  %z = transom.sub %i, %j : (tensor<i32>, tensor<i32>) -> tensor<i32>
  return %y, %z : tensor<2xf32>, tensor<i32>
}

// CHECK-LABEL: @mul
// CHECK-NEXT: tensor<2xf32>: [6, -1]
// CHECK-NEXT: tensor<2xi32>: [6, 0]
func.func @mul() -> (tensor<2xf32>, tensor<2xi32>) {
  %a = transom.constant dense<[2.0, -2.0]> : tensor<2xf32>
  %b = transom.constant dense<[3.0, 0.5]> : tensor<2xf32>
  %y = transom.mul %a, %b : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
  %i = transom.constant dense<[2, 65536]> : tensor<2xi32>
  %j = transom.constant dense<[3, 65536]> : tensor<2xi32>
  %z = transom.mul %i, %j : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi32>
  return %y, %z : tensor<2xf32>, tensor<2xi32>
}

// Integers divide towards zero; by zero they give 0; the smallest by -1 wraps to itself.
// CHECK-LABEL: @div
// CHECK-NEXT: tensor<3xf32>: [3.5, -inf, nan]
// CHECK-NEXT: tensor<4xi32>: [-3, 0, -2147483648, 3]
func.func @div() -> (tensor<3xf32>, tensor<4xi32>) {
  %a = transom.constant dense<[7.0, -1.0, 0.0]> : tensor<3xf32>
  %b = transom.constant dense<[2.0, 0.0, 0.0]> : tensor<3xf32>
  %y = transom.div %a, %b : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  %i = transom.constant dense<[-7, 5, -2147483648, 7]> : tensor<4xi32>
  %j = transom.constant dense<[2, 0, -1, 2]> : tensor<4xi32>
  %z = transom.div %i, %j : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  return %y, %z : tensor<3xf32>, tensor<4xi32>
}

// CHECK-LABEL: @max
// CHECK-NEXT: tensor<3xf32>: [2, nan, nan]
// CHECK-NEXT: tensor<2xi32>: [1, 4]
// CHECK-NEXT: tensor<2xi1>: [true, false]
func.func @max() -> (tensor<3xf32>, tensor<2xi32>, tensor<2xi1>) {
  %a = transom.constant dense<[1.0, 0x7FC00000, 3.0]> : tensor<3xf32>
  %b = transom.constant dense<[2.0, 1.0, 0x7FC00000]> : tensor<3xf32>
  %y = transom.max %a, %b : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  %i = transom.constant dense<[-1, 4]> : tensor<2xi32>
  %j = transom.constant dense<[1, -4]> : tensor<2xi32>
  %z = transom.max %i, %j : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi32>
  %t = transom.constant dense<[true, false]> : tensor<2xi1>
  %f = transom.constant dense<[false, false]> : tensor<2xi1>
  %w = transom.max %t, %f : (tensor<2xi1>, tensor<2xi1>) -> tensor<2xi1>
  return %y, %z, %w : tensor<3xf32>, tensor<2xi32>, tensor<2xi1>
}

// CHECK-LABEL: @min
// CHECK-NEXT: tensor<2xf32>: [1, nan]
// CHECK-NEXT: tensor<2xi32>: [-1, -4]
// CHECK-NEXT: tensor<2xi1>: [true, false]
func.func @min() -> (tensor<2xf32>, tensor<2xi32>, tensor<2xi1>) {
  %a = transom.constant dense<[1.0, 0x7FC00000]> : tensor<2xf32>
  %b = transom.constant dense<[2.0, 1.0]> : tensor<2xf32>
  %y = transom.min %a, %b : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
  %i = transom.constant dense<[-1, 4]> : tensor<2xi32>
  %j = transom.constant dense<[1, -4]> : tensor<2xi32>
  %z = transom.min %i, %j : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi32>
  %t = transom.constant dense<[true, false]> : tensor<2xi1>
  %f = transom.constant dense<[true, true]> : tensor<2xi1>
  %w = transom.min %t, %f : (tensor<2xi1>, tensor<2xi1>) -> tensor<2xi1>
  return %y, %z, %w : tensor<2xf32>, tensor<2xi32>, tensor<2xi1>
}

// CHECK-LABEL: @pow
// CHECK-NEXT: tensor<3xf32>: [8, 3, 0.25]
func.func @pow() -> tensor<3xf32> {
  %a = transom.constant dense<[2.0, 9.0, 2.0]> : tensor<3xf32>
  %b = transom.constant dense<[3.0, 0.5, -2.0]> : tensor<3xf32>
  %y = transom.pow %a, %b : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// With NaN only ne holds; integers are signed, false is below true.
// CHECK-LABEL: @compare
// CHECK-NEXT: tensor<3xi1>: [false, false, true]
// CHECK-NEXT: tensor<3xi1>: [true, true, false]
// CHECK-NEXT: tensor<3xi1>: [true, false, false]
// CHECK-NEXT: tensor<3xi1>: [true, false, true]
// CHECK-NEXT: tensor<2xi1>: [false, true]
// CHECK-NEXT: tensor<2xi1>: [true, true]
// CHECK-NEXT: tensor<i1>: true
func.func @compare() -> (tensor<3xi1>, tensor<3xi1>, tensor<3xi1>, tensor<3xi1>, tensor<2xi1>, tensor<2xi1>, tensor<i1>) {
  %a = transom.constant dense<[1.0, 0x7FC00000, 2.0]> : tensor<3xf32>
  %b = transom.constant dense<[1.5, 1.0, 2.0]> : tensor<3xf32>
  %0 = transom.compare eq %a, %b : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xi1>
  %1 = transom.compare ne %a, %b : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xi1>
  %2 = transom.compare lt %a, %b : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xi1>
  %3 = transom.compare le %a, %b : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xi1>
  %i = transom.constant dense<[-1, 4]> : tensor<2xi32>
  %j = transom.constant dense<[1, -4]> : tensor<2xi32>
  %4 = transom.compare gt %i, %j : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi1>
  %5 = transom.compare ge %i, %i : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi1>
  %f = transom.constant dense<false> : tensor<i1>
  %t = transom.constant dense<true> : tensor<i1>
  %6 = transom.compare lt %f, %t : (tensor<i1>, tensor<i1>) -> tensor<i1>
  return %0, %1, %2, %3, %4, %5, %6 : tensor<3xi1>, tensor<3xi1>, tensor<3xi1>, tensor<3xi1>, tensor<2xi1>, tensor<2xi1>, tensor<i1>
}

// CHECK-LABEL: @select
// CHECK-NEXT{LITERAL}: tensor<2x2xf32>: [[1, -1], [2, -1]]
func.func @select() -> tensor<2x2xf32> {
  %c = transom.constant dense<[true, false]> : tensor<2xi1>
  %a = transom.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
  %b = transom.constant dense<-1.0> : tensor<f32>
  %y = transom.select %c, %a, %b : (tensor<2xi1>, tensor<2x1xf32>, tensor<f32>) -> tensor<2x2xf32>
  return %y : tensor<2x2xf32>
}

// Towards zero, saturating, NaN to 0; to i1 anything but 0 is true; narrowing wraps.
// CHECK-LABEL: @cast
// CHECK-NEXT: tensor<5xi8>: [2, -2, 127, -128, 0]
// CHECK-NEXT: tensor<5xi1>: [true, true, true, true, true]
// CHECK-NEXT: tensor<3xi1>: [false, true, true]
// CHECK-NEXT: tensor<3xf32>: [0, 256, -1]
// CHECK-NEXT: tensor<3xi8>: [0, 0, -1]
// CHECK-NEXT: tensor<2xi32>: [1, 0]
// CHECK-NEXT: tensor<2xf32>: [1, 0]
func.func @cast() -> (tensor<5xi8>, tensor<5xi1>, tensor<3xi1>, tensor<3xf32>, tensor<3xi8>, tensor<2xi32>, tensor<2xf32>) {
  %x = transom.constant dense<[2.7, -2.7, 1000.0, -1000.0, 0x7FC00000]> : tensor<5xf32>
  %0 = transom.cast %x to i8 : (tensor<5xf32>) -> tensor<5xi8>
  %1 = transom.cast %x to i1 : (tensor<5xf32>) -> tensor<5xi1>
  %i = transom.constant dense<[0, 256, -1]> : tensor<3xi32>
  %2 = transom.cast %i to i1 : (tensor<3xi32>) -> tensor<3xi1>
  %3 = transom.cast %i to f32 : (tensor<3xi32>) -> tensor<3xf32>
  %4 = transom.cast %i to i8 : (tensor<3xi32>) -> tensor<3xi8>
  %b = transom.constant dense<[true, false]> : tensor<2xi1>
  %5 = transom.cast %b to i32 : (tensor<2xi1>) -> tensor<2xi32>
  %6 = transom.cast %b to f32 : (tensor<2xi1>) -> tensor<2xf32>
  return %0, %1, %2, %3, %4, %5, %6 : tensor<5xi8>, tensor<5xi1>, tensor<3xi1>, tensor<3xf32>, tensor<3xi8>, tensor<2xi32>, tensor<2xf32>
}

// A rank-0 and an empty tensor are tensors like any other.
// CHECK-LABEL: @empty
// CHECK-NEXT: tensor<0x2xf32>: []
// CHECK-NEXT: tensor<2x0xf32>: {{\[\[\], \[\]\]}}
func.func @empty() -> (tensor<0x2xf32>, tensor<2x0xf32>) {
  %a = transom.constant dense<> : tensor<0x2xf32>
  %b = transom.constant dense<1.0> : tensor<f32>
  %y = transom.add %a, %b : (tensor<0x2xf32>, tensor<f32>) -> tensor<0x2xf32>
  %c = transom.constant dense<> : tensor<2x0xf32>
  return %y, %c : tensor<0x2xf32>, tensor<2x0xf32>
}
