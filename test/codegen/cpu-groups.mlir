// RUN: transom-opt --print-cpu-llvm=x86-64-v4 %s | FileCheck %s
// Groups: each op's own skeleton on one row, or on some columns of the product, with what lies between in scratch.

// Rows: the sum goes to its result, where the norm finds it; no scratch.
// CHECK-LABEL: define void @add_rms_norm(
// CHECK: loop:
// CHECK: %[[ROW:.*]] = phi i64 [ %begin, %entry ]
// CHECK: call void @skeleton.rms_norm(ptr %buffer3, ptr %buffer2, ptr %buffer4, i64 576, float 0x3EE4F8B580000000, i64
// CHECK: fadd <16 x float>
plan.kernel @add_rms_norm(%x: tensor<?x576xf32>, %r: tensor<?x576xf32>, %s: tensor<576xf32>) -> (tensor<?x576xf32>, tensor<?x576xf32>) {
  %0, %1 = transom.group (%x, %r, %s) {
  ^bb0(%a: tensor<?x576xf32>, %b: tensor<?x576xf32>, %c: tensor<576xf32>):
    %2 = transom.add %a, %b : (tensor<?x576xf32>, tensor<?x576xf32>) -> tensor<?x576xf32>
    %3 = transom.rms_norm %2, %c epsilon 1.0e-05 : (tensor<?x576xf32>, tensor<576xf32>) -> tensor<?x576xf32>
    transom.yield %2, %3 : tensor<?x576xf32>, tensor<?x576xf32>
  } : (tensor<?x576xf32>, tensor<?x576xf32>, tensor<576xf32>) -> (tensor<?x576xf32>, tensor<?x576xf32>)
  plan.yield %0, %1 : tensor<?x576xf32>, tensor<?x576xf32>
}

// A product: the norm of all rows to the start of scratch; then blocks of at most 512 columns, of gate and of up each by the
// function that kernels share.
// CHECK-LABEL: define void @gate_up(
// CHECK: call void @skeleton.rms_norm(ptr %buffer0, ptr %buffer1, ptr %
// CHECK: call i64 @llvm.smin.i64(i64 %{{.*}}, i64 512)
// CHECK: %[[GATE:.*]] = getelementptr i8, ptr %buffer2
// CHECK: call void @tile.q4_1.576(ptr %{{.*}}, ptr %[[GATE]], ptr %{{.*}}, i64 %{{.*}}, i64 %
// CHECK: %[[UP:.*]] = getelementptr i8, ptr %buffer2
// CHECK: call void @tile.q4_1.576(ptr %{{.*}}, ptr %[[UP]]
// CHECK: call <16 x float> @skeleton.math_exp
plan.kernel @gate_up(%x: tensor<?x576xf32>, %s: tensor<576xf32>, %w: tensor<3072x576x!transom.block<q4_1>>) -> tensor<?x1536xf32> {
  %0 = transom.group (%x, %s, %w) {
  ^bb0(%a: tensor<?x576xf32>, %b: tensor<576xf32>, %c: tensor<3072x576x!transom.block<q4_1>>):
    %1 = transom.rms_norm %a, %b epsilon 1.0e-05 : (tensor<?x576xf32>, tensor<576xf32>) -> tensor<?x576xf32>
    %2 = transom.matmul %1, %c transpose_rhs : (tensor<?x576xf32>, tensor<3072x576x!transom.block<q4_1>>) -> tensor<?x3072xf32>
    %3 = transom.slice %2 axis 1 start 0 size 1536 : (tensor<?x3072xf32>) -> tensor<?x1536xf32>
    %4 = transom.silu %3 : (tensor<?x1536xf32>) -> tensor<?x1536xf32>
    %5 = transom.slice %2 axis 1 start 1536 size 1536 : (tensor<?x3072xf32>) -> tensor<?x1536xf32>
    %6 = transom.mul %4, %5 : (tensor<?x1536xf32>, tensor<?x1536xf32>) -> tensor<?x1536xf32>
    transom.yield %6 : tensor<?x1536xf32>
  } : (tensor<?x576xf32>, tensor<576xf32>, tensor<3072x576x!transom.block<q4_1>>) -> tensor<?x1536xf32>
  plan.yield %0 : tensor<?x1536xf32>
}
