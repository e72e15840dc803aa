// RUN: transom-opt --print-cpu-llvm=x86-64-v4 %s | FileCheck %s
// An entry loads its buffers and live sizes and calls one skeleton with everything else as constants.

// CHECK-LABEL: define void @matmul_q4_1_1536x576(ptr %buffers, ptr %sizes, i64 %begin, i64 %end, ptr %scratch)
// CHECK: %buffer0 = load ptr
// CHECK: %[[M:.*]] = mul nuw nsw i64 %size0, %size1
// CHECK: call void @skeleton.gemv_q4_1(ptr %buffer0, ptr %buffer1, ptr %buffer2, i64 %[[M]], i64 1536, i64 576, i64 %begin, i64 %end)
plan.kernel @matmul_q4_1_1536x576(%x: tensor<?x?x576xf32>, %w: tensor<1536x576x!transom.block<q4_1>>) -> tensor<?x?x1536xf32> {
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x?x576xf32>, tensor<1536x576x!transom.block<q4_1>>) -> tensor<?x?x1536xf32>
  plan.yield %0 : tensor<?x?x1536xf32>
}

// CHECK-LABEL: define void @rms_norm(
// CHECK: call void @skeleton.rms_norm(ptr %buffer0, ptr %buffer1, ptr %buffer2, i64 576, float 0x3EE4F8B580000000, i64 %begin, i64 %end)
plan.kernel @rms_norm(%x: tensor<?x576xf32>, %w: tensor<576xf32>) -> tensor<?x576xf32> {
  %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x576xf32>, tensor<576xf32>) -> tensor<?x576xf32>
  plan.yield %0 : tensor<?x576xf32>
}

// Caches: no mask, no bias; 9 heads on 3, capacity 2048.
// CHECK-LABEL: define void @attention(
// CHECK: call void @skeleton.attention_padded(ptr %buffer0, ptr %buffer1, ptr %buffer2, ptr null, ptr null, ptr %buffer3, ptr %buffer4, ptr %buffer5, i64 9, i64 3, i64 %size1, i64 2048, i64 64, i64 0, i64 1,
plan.kernel @attention(%q: tensor<?x?x9x64xf32>, %k: !transom.cache<?x3x2048x64xf32>, %v: !transom.cache<?x3x2048x64xf32>,
                       %p: tensor<?xi32>, %l: tensor<?xi32>) -> tensor<?x?x9x64xf32> {
  %0 = transom.attention bshd %q, %k, %v past %p lengths %l {causal, scale = 0.125 : f64}
    : (tensor<?x?x9x64xf32>, !transom.cache<?x3x2048x64xf32>, !transom.cache<?x3x2048x64xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x?x9x64xf32>
  plan.yield %0 : tensor<?x?x9x64xf32>
}

// The unpack kernel's result starts with the first row asked for.
// CHECK-LABEL: define void @unpack(
// CHECK: %[[SKIPPED:.*]] = mul i64 %begin, 576
// CHECK: %[[BACK:.*]] = sub i64 0, %[[SKIPPED]]
// CHECK: %[[START:.*]] = getelementptr float, ptr %buffer1, i64 %[[BACK]]
// CHECK: call void @skeleton.unpack_bf16(ptr %buffer0, ptr %[[START]], i64 576, i64 %begin, i64 %end)
plan.kernel @unpack(%w: tensor<192x576xbf16>) -> tensor<192x576xf32> unpack {
  %0 = transom.cast %w to f32 : (tensor<192x576xbf16>) -> tensor<192x576xf32>
  plan.yield %0 : tensor<192x576xf32>
}
