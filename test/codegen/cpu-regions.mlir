// RUN: transom-opt --print-cpu-llvm=x86-64-v4 %s | FileCheck %s --check-prefixes=CHECK,WIDE
// RUN: transom-opt --print-cpu-llvm=x86-64-v3 %s | FileCheck %s --check-prefixes=CHECK,NARROW
// Fused regions become vector code, 16 floats wide on v4 and 8 on v3, with a masked end.

// CHECK-LABEL: define void @gate(
// CHECK: vector:
// WIDE: load <16 x float>
// WIDE: call <16 x float> @skeleton.math_exp(<16 x float>
// NARROW: call <8 x float> @skeleton.math_exp(<8 x float>
// WIDE: store <16 x float>
// CHECK: tail:
// WIDE: call <16 x float> @llvm.masked.load.v16f32.p0
// WIDE: call void @llvm.masked.store.v16f32.p0
// NARROW: call void @llvm.masked.store.v8f32.p0
plan.kernel @gate(%a: tensor<?x?x1536xf32>, %b: tensor<?x?x1536xf32>) -> tensor<?x?x1536xf32> {
  %0 = transom.fused (%a, %b) {
  ^bb0(%x: f32, %y: f32):
    %1 = math.exp %x : f32
    %2 = arith.mulf %1, %y : f32
    transom.yield %2 : f32
  } : (tensor<?x?x1536xf32>, tensor<?x?x1536xf32>) -> tensor<?x?x1536xf32>
  plan.yield %0 : tensor<?x?x1536xf32>
}

// A single op goes the same way; i1 is a byte in memory.
// CHECK-LABEL: define void @less(
// WIDE: icmp slt <16 x i32>
// WIDE: zext <16 x i1> %{{.*}} to <16 x i8>
plan.kernel @less(%a: tensor<?xi32>, %b: tensor<?xi32>) -> tensor<?xi1> {
  %0 = transom.compare lt %a, %b : (tensor<?xi32>, tensor<?xi32>) -> tensor<?xi1>
  plan.yield %0 : tensor<?xi1>
}

// A row reduction adds up a vector and folds it at the row's end.
// CHECK-LABEL: define void @squares(
// CHECK: row = phi i64
// WIDE: %sum = phi <16 x float>
// WIDE: shufflevector <16 x float> {{.*}} <8 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
// CHECK: fdiv float
plan.kernel @squares(%a: tensor<?x576xf32>) -> tensor<?x1xf32> {
  %0 = transom.fused reduce mean (%a) {
  ^bb0(%x: f32):
    %1 = arith.mulf %x, %x : f32
    transom.yield %1 : f32
  } : (tensor<?x576xf32>) -> tensor<?x1xf32>
  plan.yield %0 : tensor<?x1xf32>
}
