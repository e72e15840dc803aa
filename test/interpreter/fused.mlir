// Fused regions: the scalar computation at every element of broadcast inputs, rows reduced where asked.
// RUN: transom-opt --interpret %s | FileCheck %s

// (x + y) * 2 of [2, 1] and [2]; an i1 chooses.
// CHECK-LABEL: @fused
// CHECK-NEXT{LITERAL}: tensor<2x2xf32>: [[22, 1], [24, 2]]
func.func @fused() -> tensor<2x2xf32> {
  %x = transom.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
  %y = transom.constant dense<[10.0, 20.0]> : tensor<2xf32>
  %c = transom.constant dense<[true, false]> : tensor<2xi1>
  %z = transom.fused (%x, %y, %c) {
  ^bb0(%a: f32, %b: f32, %choose: i1):
    %two = arith.constant 2.0 : f32
    %0 = arith.addf %a, %b : f32
    %1 = arith.mulf %0, %two : f32
    %2 = arith.select %choose, %1, %a : f32
    transom.yield %2 : f32
  } : (tensor<2x1xf32>, tensor<2xf32>, tensor<2xi1>) -> tensor<2x2xf32>
  return %z : tensor<2x2xf32>
}

// Sum of squares, mean, max and min of rows.
// CHECK-LABEL: @rows
// CHECK-NEXT: tensor<2x1xf32>: {{\[\[5\], \[25\]\]}}
// CHECK-NEXT: tensor<2x1xf32>: {{\[\[1.5\], \[3.5\]\]}}
// CHECK-NEXT: tensor<2x1xi32>: {{\[\[2\], \[4\]\]}}
// CHECK-NEXT: tensor<2x1xi32>: {{\[\[1\], \[3\]\]}}
func.func @rows() -> (tensor<2x1xf32>, tensor<2x1xf32>, tensor<2x1xi32>, tensor<2x1xi32>) {
  %x = transom.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %0 = transom.fused reduce sum (%x) {
  ^bb0(%a: f32):
    %s = arith.mulf %a, %a : f32
    transom.yield %s : f32
  } : (tensor<2x2xf32>) -> tensor<2x1xf32>
  %1 = transom.fused reduce mean (%x) {
  ^bb0(%a: f32):
    transom.yield %a : f32
  } : (tensor<2x2xf32>) -> tensor<2x1xf32>
  %2 = transom.fused reduce max (%x) {
  ^bb0(%a: f32):
    %i = arith.fptosi %a : f32 to i32
    transom.yield %i : i32
  } : (tensor<2x2xf32>) -> tensor<2x1xi32>
  %3 = transom.fused reduce min (%x) {
  ^bb0(%a: f32):
    %i = arith.fptosi %a : f32 to i32
    transom.yield %i : i32
  } : (tensor<2x2xf32>) -> tensor<2x1xi32>
  return %0, %1, %2, %3 : tensor<2x1xf32>, tensor<2x1xf32>, tensor<2x1xi32>, tensor<2x1xi32>
}

// Integer ops: i8 wraps; a true i1 is -1 as a signed and 1 as an unsigned number; shifts; comparisons.
// CHECK-LABEL: @integers
// CHECK-NEXT: tensor<2xi32>: [-129, 1]
// CHECK-NEXT: tensor<2xi32>: [0, 1]
func.func @integers() -> (tensor<2xi32>, tensor<2xi32>) {
  %x = transom.constant dense<[127, 1]> : tensor<2xi8>
  %y = transom.fused (%x) {
  ^bb0(%a: i8):
    %one = arith.constant 1 : i8
    %sum = arith.addi %a, %one : i8
    %wide = arith.extsi %sum : i8 to i32
    %negative = arith.cmpi slt, %sum, %one : i8
    %minus = arith.extsi %negative : i1 to i32
    %r = arith.addi %wide, %minus : i32
    %three = arith.constant 3 : i32
    %two = arith.constant 1 : i32
    %s = arith.shli %r, %two : i32
    %t = arith.shrsi %s, %two : i32
    %m = arith.minsi %t, %two : i32
    transom.yield %m : i32
  } : (tensor<2xi8>) -> tensor<2xi32>
  %z = transom.fused (%x) {
  ^bb0(%a: i8):
    %c = arith.constant -1 : i8
    %below = arith.cmpi ult, %a, %c : i8
    %u = arith.extui %below : i1 to i32
    %big = arith.extui %c : i8 to i32
    %b = arith.constant 255 : i32
    %d = arith.subi %big, %b : i32
    %e = arith.addi %u, %d : i32
    %f = arith.extsi %a : i8 to i32
    %g = arith.cmpi eq, %f, %e : i32
    %h = arith.extui %g : i1 to i32
    transom.yield %h : i32
  } : (tensor<2xi8>) -> tensor<2xi32>
  return %y, %z : tensor<2xi32>, tensor<2xi32>
}

// math ops and conversions: floor(exp(0) + 0.5) = 1, fma(2, 3, 4) = 10, bits of 1.0f.
// CHECK-LABEL: @math
// CHECK-NEXT: tensor<1xf32>: [11]
// CHECK-NEXT: tensor<1xi32>: [1065353216]
// CHECK-NEXT: tensor<1xi1>: [true]
func.func @math() -> (tensor<1xf32>, tensor<1xi32>, tensor<1xi1>) {
  %x = transom.constant dense<0.0> : tensor<1xf32>
  %y = transom.fused (%x) {
  ^bb0(%a: f32):
    %half = arith.constant 0.5 : f32
    %2 = arith.constant 2.0 : f32
    %3 = arith.constant 3.0 : f32
    %4 = arith.constant 4.0 : f32
    %e = math.exp %a : f32
    %s = arith.addf %e, %half : f32
    %f = math.floor %s : f32
    %m = math.fma %2, %3, %4 : f32
    %r = arith.addf %f, %m : f32
    transom.yield %r : f32
  } : (tensor<1xf32>) -> tensor<1xf32>
  %z = transom.fused (%x) {
  ^bb0(%a: f32):
    %e = math.exp %a : f32
    %b = arith.bitcast %e : f32 to i32
    transom.yield %b : i32
  } : (tensor<1xf32>) -> tensor<1xi32>
  %w = transom.fused (%x) {
  ^bb0(%a: f32):
    %nan = arith.divf %a, %a : f32
    %b = arith.cmpf uno, %nan, %a : f32
    transom.yield %b : i1
  } : (tensor<1xf32>) -> tensor<1xi1>
  return %y, %z, %w : tensor<1xf32>, tensor<1xi32>, tensor<1xi1>
}

// A group computes what its body computes: x + r, then its product with w.
// CHECK-LABEL: @group
// CHECK-NEXT{LITERAL}: tensor<1x2xf32>: [[11, 22]]
// CHECK-NEXT{LITERAL}: tensor<1x1xf32>: [[33]]
func.func @group() -> (tensor<1x2xf32>, tensor<1x1xf32>) {
  %x = transom.constant dense<[[1.0, 2.0]]> : tensor<1x2xf32>
  %r = transom.constant dense<[[10.0, 20.0]]> : tensor<1x2xf32>
  %w = transom.constant dense<1.0> : tensor<1x2xf32>
  %h, %y = transom.group (%x, %r, %w) {
  ^bb0(%a: tensor<1x2xf32>, %b: tensor<1x2xf32>, %c: tensor<1x2xf32>):
    %0 = transom.add %a, %b : (tensor<1x2xf32>, tensor<1x2xf32>) -> tensor<1x2xf32>
    %1 = transom.matmul %0, %c transpose_rhs : (tensor<1x2xf32>, tensor<1x2xf32>) -> tensor<1x1xf32>
    transom.yield %0, %1 : tensor<1x2xf32>, tensor<1x1xf32>
  } : (tensor<1x2xf32>, tensor<1x2xf32>, tensor<1x2xf32>) -> (tensor<1x2xf32>, tensor<1x1xf32>)
  return %h, %y : tensor<1x2xf32>, tensor<1x1xf32>
}
