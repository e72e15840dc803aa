// RUN: transom-opt %s -lower-to-plan=activations=f16 -plan-memory -o %t.plan && transom-opt --print-cuda %t.plan | FileCheck %s
// Kernels that take more shared memory than compute capability 7.5 has stand beside one that is empty on all later devices.

module attributes {transom.bounds = {batch = [1, 4], tokens = [1, 400]}} {
  // Up to two rows fit as they are; for four, x is staged in shorter phases.
  // CHECK-LABEL: // matmul_f16_64x8192_m2 block 256 shared 34120
  // CHECK-LABEL: // matmul_f16_64x8192_m4 block 256 shared 67984
  // CHECK-NOT: __CUDA_ARCH__
  // CHECK: using Shape = GemvShape<PlainFormat<Half, 8192>, 64, 4, 1, 8, 12, NeighbourPairs>;
  // CHECK-LABEL: // matmul_f16_64x8192_m4_sm75 block 256 shared 27024
  // CHECK: #if __CUDA_ARCH__ < 800
  // CHECK: using Shape = GemvShape<PlainFormat<Half, 8192>, 64, 4, 1, 8, 12, NeighbourPairs, 0, 32768>;
  // CHECK: gemv<Shape>(
  // CHECK-NEXT: #endif
  func.func @product(%x: tensor<?x8192xf32> {transom.name = "x", transom.dims = ["batch", "8192"]}) -> (tensor<?x64xf32> {transom.name = "y"}) {
    %w = transom.weight "w" : tensor<64x8192xf16>
    %e = transom.exp %x : (tensor<?x8192xf32>) -> tensor<?x8192xf32>
    %p = transom.matmul %e, %w {transpose_rhs} : (tensor<?x8192xf32>, tensor<64x8192xf16>) -> tensor<?x64xf32>
    %y = transom.exp %p : (tensor<?x64xf32>) -> tensor<?x64xf32>
    return %y : tensor<?x64xf32>
  }
  // One token over a cache, 16 heads of 256 for each of keys: as few warps as fit, on all devices.
  // CHECK-LABEL: // attention_cached_1x16x256 block 64 shared 37{{[0-9]{3}$}}
  // CHECK: using Shape = DecodeAttentionShape<Half, 16, 1, 256, 2, 32, 256>;
  func.func @decode(%q: tensor<?x1x16x256xf32> {transom.name = "q", transom.dims = ["batch", "1", "16", "256"]},
                    %p: tensor<?xi32> {transom.name = "past_lengths", transom.dims = ["batch"]},
                    %l: tensor<?xi32> {transom.name = "lengths", transom.dims = ["batch"]},
                    %k: !transom.cache<?x1x128x256xf32> {transom.name = "keys", transom.dims = ["batch", "1", "128", "256"]},
                    %v: !transom.cache<?x1x128x256xf32> {transom.name = "values", transom.dims = ["batch", "1", "128", "256"]})
      -> (tensor<?x1x16x256xf32> {transom.name = "y"}, !transom.cache<?x1x128x256xf32> {transom.name = "keys"}, !transom.cache<?x1x128x256xf32> {transom.name = "values"}) {
    %e = transom.exp %q : (tensor<?x1x16x256xf32>) -> tensor<?x1x16x256xf32>
    %a = transom.attention bshd %e, %k, %v past %p lengths %l {causal, scale = 0.0625 : f64}
      : (tensor<?x1x16x256xf32>, !transom.cache<?x1x128x256xf32>, !transom.cache<?x1x128x256xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x1x16x256xf32>
    %y = transom.exp %a : (tensor<?x1x16x256xf32>) -> tensor<?x1x16x256xf32>
    return %y, %k, %v : tensor<?x1x16x256xf32>, !transom.cache<?x1x128x256xf32>, !transom.cache<?x1x128x256xf32>
  }
  // Tiles of fewer keys, with the same parameters; the choice for 7.5 comes first.
  // CHECK-LABEL: // attention_packed_8x96
  // CHECK-NOT: attention_packed_8x96_sm75
  // CHECK-LABEL: // attention_packed_8x256 block 128 shared 67584
  // CHECK: {{^}}attention_packed_8x256([[PARAMETERS:.*]]) {
  // CHECK: using Shape = MmaAttentionShape<Half, 256, 4, 32, false>;
  // CHECK-LABEL: // attention_packed_8x256_sm75 block 128 shared 33792
  // CHECK: {{^}}attention_packed_8x256_sm75([[PARAMETERS]]) {
  // CHECK-NEXT: #if __CUDA_ARCH__ < 800
  // CHECK: using Shape = MmaAttentionShape<Half, 256, 4, 16, false>;
  // CHECK: attendMma<Shape>(a);
  // CHECK-NEXT: #endif
  // CHECK: // program product
  // CHECK: // launch {{.*}} matmul_f16_64x8192_m2<4> matmul_f16_64x8192_m4_sm75<4> matmul_f16_64x8192_m4<4> rows batch
  // CHECK: // program packed
  // CHECK: // launch attention_packed_8x96<
  // CHECK: // launch attention_packed_8x256_sm75<{{.*}}> attention_packed_8x256<
  func.func @packed(%q: tensor<?x8x96xf32> {transom.name = "q", transom.dims = ["tokens", "8", "96"]},
                    %w: tensor<?x8x256xf32> {transom.name = "w", transom.dims = ["tokens", "8", "256"]},
                    %c: tensor<?xi32> {transom.name = "c", transom.dims = ["batch"]})
      -> (tensor<?x8x96xf32> {transom.name = "y"}, tensor<?x8x256xf32> {transom.name = "z"}) {
    %e = transom.exp %q : (tensor<?x8x96xf32>) -> tensor<?x8x96xf32>
    %f = transom.exp %w : (tensor<?x8x256xf32>) -> tensor<?x8x256xf32>
    %n = transom.cumulative_lengths %c : (tensor<?xi32>) -> tensor<?xi32>
    %a = transom.attention thd %e, %e, %e cumulative %n {scale = 0.125 : f64} : (tensor<?x8x96xf32>, tensor<?x8x96xf32>, tensor<?x8x96xf32>, tensor<?xi32>) -> tensor<?x8x96xf32>
    %b = transom.attention thd %f, %f, %f cumulative %n {scale = 0.0625 : f64} : (tensor<?x8x256xf32>, tensor<?x8x256xf32>, tensor<?x8x256xf32>, tensor<?xi32>) -> tensor<?x8x256xf32>
    %y = transom.exp %a : (tensor<?x8x96xf32>) -> tensor<?x8x96xf32>
    %z = transom.exp %b : (tensor<?x8x256xf32>) -> tensor<?x8x256xf32>
    return %y, %z : tensor<?x8x96xf32>, tensor<?x8x256xf32>
  }
}
