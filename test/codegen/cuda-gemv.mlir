// RUN: transom-opt %s -lower-to-plan=activations=bf16 -plan-memory -o %t.plan && transom-opt --print-cuda %t.plan | FileCheck %s
// Products of few rows: one kernel for each power of two of rows, and for the most. What follows the product is its epilogue.

module attributes {transom.bounds = {rows = [1, 3]}} {
  // Gate and up are 384 rows of the matrix apart: a block takes both (HalfPairs), the up column is a shuffle away. The norm is
  // applied to the results.
  // CHECK-LABEL: // gemv_rms_norm_silu_mul_bf16_768x256_m1 block 256 shared 2340
  // CHECK: other = {{.*}}__shfl_xor_sync(~0u, v, 8)
  // CHECK: if (!mine)
  // CHECK-NEXT: return;
  // CHECK-NEXT: if (n < 384) {
  // CHECK: = -own.v[0];
  // CHECK: [[SILU:x[0-9]+]].v[0] =
  // CHECK: = [[SILU]].v[0] * other.v[0];
  // CHECK: storeLanes(b3 + (int64)m * 384 + n,
  // CHECK: using Shape = GemvShape<PlainFormat<BFloat, 256>, 768, 1, 2, 8, 1, HalfPairs<384>>;
  // CHECK: static_assert(Shape::sharedBytes == 2340 && Shape::blocks == 48, "");
  // CHECK: gemv<Shape>(PlainFormat<BFloat, 256>::View{b1}, RmsPrologue<BFloat, float, 256>{b0, b2, 1e-05f},
  // CHECK-LABEL: // gemv_rms_norm_silu_mul_bf16_768x256_m2 block
  // CHECK: GemvShape<PlainFormat<BFloat, 256>, 768, 2, 2,
  // CHECK-LABEL: // gemv_rms_norm_silu_mul_bf16_768x256_m3 block
  // CHECK: GemvShape<PlainFormat<BFloat, 256>, 768, 3, 2,
  func.func @gate(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}) -> (tensor<?x384xf32> {transom.name = "y"}) {
    %e = transom.exp %x : (tensor<?x256xf32>) -> tensor<?x256xf32>
    %s = transom.weight "norm" : tensor<256xf32>
    %w = transom.weight "gate_up" : tensor<768x256xbf16>
    %y = transom.group (%e, %s, %w) {
    ^bb0(%a: tensor<?x256xf32>, %b: tensor<256xf32>, %c: tensor<768x256xbf16>):
      %1 = transom.rms_norm %a, %b epsilon 1.0e-05 : (tensor<?x256xf32>, tensor<256xf32>) -> tensor<?x256xf32>
      %2 = transom.matmul %1, %c transpose_rhs : (tensor<?x256xf32>, tensor<768x256xbf16>) -> tensor<?x768xf32>
      %3 = transom.slice %2 axis 1 start 0 size 384 : (tensor<?x768xf32>) -> tensor<?x384xf32>
      %4 = transom.silu %3 : (tensor<?x384xf32>) -> tensor<?x384xf32>
      %5 = transom.slice %2 axis 1 start 384 size 384 : (tensor<?x768xf32>) -> tensor<?x384xf32>
      %6 = transom.mul %4, %5 : (tensor<?x384xf32>, tensor<?x384xf32>) -> tensor<?x384xf32>
      transom.yield %6 : tensor<?x384xf32>
    } : (tensor<?x256xf32>, tensor<256xf32>, tensor<768x256xbf16>) -> tensor<?x384xf32>
    return %y : tensor<?x384xf32>
  }
  // Pairs of columns beside a third part: no block has what each result needs. The product goes to memory in f32, the rest is
  // a kernel for rows.
  // CHECK-LABEL: // gemv_mul_relu_bf16_320x256_product_m1 block
  // CHECK: storeLanes(b2 + (int64)m * 320 + n, own);
  // CHECK-LABEL: // gemv_mul_relu_bf16_320x256_rows block
  // CHECK: gemv_mul_relu_bf16_320x256_rows(const float *b0, float *b1, float *b2,
  // CHECK: loadLanes<8>(b0 + (int64)row * 320 + (c{{[0-9]+}} + 128));
  // CHECK: storeLanes(b1 + row * 128 +
  // CHECK: loadLanes<8>(b0 + (int64)row * 320 + (c{{[0-9]+}} + 256));
  // CHECK: largerOf({{.*}}, 0.0f);
  // CHECK: storeLanes(b2 + row * 64 +
  func.func @apart(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]})
      -> (tensor<?x128xf32> {transom.name = "g"}, tensor<?x64xf32> {transom.name = "r"}) {
    %e = transom.exp %x : (tensor<?x256xf32>) -> tensor<?x256xf32>
    %w = transom.weight "w" : tensor<320x256xbf16>
    %g, %r = transom.group (%e, %w) {
    ^bb0(%a: tensor<?x256xf32>, %c: tensor<320x256xbf16>):
      %1 = transom.matmul %a, %c transpose_rhs : (tensor<?x256xf32>, tensor<320x256xbf16>) -> tensor<?x320xf32>
      %2 = transom.slice %1 axis 1 start 0 size 128 : (tensor<?x320xf32>) -> tensor<?x128xf32>
      %3 = transom.slice %1 axis 1 start 128 size 128 : (tensor<?x320xf32>) -> tensor<?x128xf32>
      %4 = transom.mul %2, %3 : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
      %5 = transom.slice %1 axis 1 start 256 size 64 : (tensor<?x320xf32>) -> tensor<?x64xf32>
      %6 = transom.relu %5 : (tensor<?x64xf32>) -> tensor<?x64xf32>
      transom.yield %4, %6 : tensor<?x128xf32>, tensor<?x64xf32>
    } : (tensor<?x256xf32>, tensor<320x256xbf16>) -> (tensor<?x128xf32>, tensor<?x64xf32>)
    return %g, %r : tensor<?x128xf32>, tensor<?x64xf32>
  }
}
// CHECK: // program gate scratch 0
// CHECK: // launch gemv_rms_norm_silu_mul_bf16_768x256_m1<48> gemv_rms_norm_silu_mul_bf16_768x256_m2<48> gemv_rms_norm_silu_mul_bf16_768x256_m3<48> rows rows
// CHECK: // program apart scratch 3840
// CHECK: // launch gemv_mul_relu_bf16_320x256_product_m1<20> gemv_mul_relu_bf16_320x256_product_m2<20> gemv_mul_relu_bf16_320x256_product_m3<20>
// CHECK-NEXT: // launch gemv_mul_relu_bf16_320x256_rows<rows> rows rows
