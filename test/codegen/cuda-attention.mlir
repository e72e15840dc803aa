// RUN: transom-opt %s -lower-to-plan=activations=bf16 -plan-memory -o %t.plan && transom-opt --print-cuda %t.plan | FileCheck %s
// Attention: one new token over a cache, or many queries; which kernel, and what its arguments are.

module attributes {transom.bounds = {batch = [1, 4], seq = [1, 100], tokens = [1, 400]}} {
  // One token a row over its cache, which 32 blocks share: parts in memory of the step, a counter in the workspace.
  // CHECK-LABEL: // attention_cached_1x8x64 block 256 shared 9504
  // CHECK: using Shape = DecodeAttentionShape<BFloat, 8, 2, 64, 8, 32, 256>;
  // CHECK: if (blockIdx.z >= symbols[0]) {
  // CHECK-NEXT: waitProducers();
  // CHECK-NEXT: return;
  // CHECK: a.past = b4;
  // CHECK-NEXT: a.lengths = b5;
  // CHECK-NEXT: a.partial = b6;
  // CHECK-NEXT: a.arrived = workspace;
  // CHECK-NEXT: a.capacity = (int)(128);
  // CHECK: a.scale = 0.125f;
  // CHECK: attendDecode<Shape>(a);
  func.func @decode(%q: tensor<?x1x8x64xf32> {transom.name = "q", transom.dims = ["batch", "1", "8", "64"]},
                    %p: tensor<?xi32> {transom.name = "past_lengths", transom.dims = ["batch"]},
                    %l: tensor<?xi32> {transom.name = "lengths", transom.dims = ["batch"]},
                    %k: !transom.cache<?x2x128x64xf32> {transom.name = "keys", transom.dims = ["batch", "2", "128", "64"]},
                    %v: !transom.cache<?x2x128x64xf32> {transom.name = "values", transom.dims = ["batch", "2", "128", "64"]})
      -> (tensor<?x1x8x64xf32> {transom.name = "y"}, !transom.cache<?x2x128x64xf32> {transom.name = "keys"}, !transom.cache<?x2x128x64xf32> {transom.name = "values"}) {
    %e = transom.exp %q : (tensor<?x1x8x64xf32>) -> tensor<?x1x8x64xf32>
    %a = transom.attention bshd %e, %k, %v past %p lengths %l {causal, scale = 0.125 : f64}
      : (tensor<?x1x8x64xf32>, !transom.cache<?x2x128x64xf32>, !transom.cache<?x2x128x64xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x1x8x64xf32>
    %y = transom.exp %a : (tensor<?x1x8x64xf32>) -> tensor<?x1x8x64xf32>
    return %y, %k, %v : tensor<?x1x8x64xf32>, !transom.cache<?x2x128x64xf32>, !transom.cache<?x2x128x64xf32>
  }
  // Packed prompts, 16 bits, heads of 64: a kernel for sm_90a, empty elsewhere, and one for all others with the same parameters.
  // CHECK-LABEL: // attention_packed_8x64_sm90 block 512 shared 231040
  // CHECK: TensorMap m0, {{.*}} TensorMap m1, {{.*}} TensorMap m2, [[POINTERS:const BFloat \*b0.*]]) {
  // CHECK-NEXT: #ifdef __CUDA_ARCH_FEAT_SM90_ALL
  // CHECK: using Shape = HopperAttentionShape<BFloat, 64, 3, 128, false, false>;
  // CHECK: a.cumulativeQueries = b2;
  // CHECK: a.next = workspace;
  // CHECK: attendHopper<Shape>(a);
  // CHECK-NEXT: #endif
  // CHECK-LABEL: // attention_packed_8x64 block 128 shared
  // CHECK: TensorMap m0, {{.*}} TensorMap m1, {{.*}} TensorMap m2, [[POINTERS]]) {
  // CHECK: using Shape = MmaAttentionShape<BFloat, 64, 4, 64, false>;
  // CHECK: attendMma<Shape>(a);
  func.func @packed(%q: tensor<?x8x64xf32> {transom.name = "q", transom.dims = ["tokens", "8", "64"]}, %c: tensor<?xi32> {transom.name = "c", transom.dims = ["batch"]})
      -> (tensor<?x8x64xf32> {transom.name = "y"}) {
    %e = transom.exp %q : (tensor<?x8x64xf32>) -> tensor<?x8x64xf32>
    %n = transom.cumulative_lengths %c : (tensor<?xi32>) -> tensor<?xi32>
    %a = transom.attention thd %e, %e, %e cumulative %n {scale = 0.125 : f64} : (tensor<?x8x64xf32>, tensor<?x8x64xf32>, tensor<?x8x64xf32>, tensor<?xi32>) -> tensor<?x8x64xf32>
    %y = transom.exp %a : (tensor<?x8x64xf32>) -> tensor<?x8x64xf32>
    return %y : tensor<?x8x64xf32>
  }
  // Of heads of 32 two lie in a row of 128 bytes: of an odd number the last would have no neighbour.
  // CHECK-LABEL: // attention_packed_8x32_sm90 block 512 shared 231040
  // CHECK: using Shape = HopperAttentionShape<BFloat, 32, 3, 128, false, false>;
  // CHECK-NOT: attention_packed_7x32_sm90
  // CHECK-LABEL: // attention_packed_7x32 block 128 shared
  func.func @pairs(%q: tensor<?x8x32xf32> {transom.name = "q", transom.dims = ["tokens", "8", "32"]}, %o: tensor<?x7x32xf32> {transom.name = "o", transom.dims = ["tokens", "7", "32"]},
                   %c: tensor<?xi32> {transom.name = "c", transom.dims = ["batch"]}) -> (tensor<?x8x32xf32> {transom.name = "y"}, tensor<?x7x32xf32> {transom.name = "z"}) {
    %e = transom.exp %q : (tensor<?x8x32xf32>) -> tensor<?x8x32xf32>
    %f = transom.exp %o : (tensor<?x7x32xf32>) -> tensor<?x7x32xf32>
    %n = transom.cumulative_lengths %c : (tensor<?xi32>) -> tensor<?xi32>
    %a = transom.attention thd %e, %e, %e cumulative %n {scale = 0.125 : f64} : (tensor<?x8x32xf32>, tensor<?x8x32xf32>, tensor<?x8x32xf32>, tensor<?xi32>) -> tensor<?x8x32xf32>
    %b = transom.attention thd %f, %f, %f cumulative %n {scale = 0.125 : f64} : (tensor<?x7x32xf32>, tensor<?x7x32xf32>, tensor<?x7x32xf32>, tensor<?xi32>) -> tensor<?x7x32xf32>
    %y = transom.exp %a : (tensor<?x8x32xf32>) -> tensor<?x8x32xf32>
    %z = transom.exp %b : (tensor<?x7x32xf32>) -> tensor<?x7x32xf32>
    return %y, %z : tensor<?x8x32xf32>, tensor<?x7x32xf32>
  }
  // f32, heads of 20, with all options: no tensor cores. A bias of one row is the same for the whole batch.
  // CHECK-LABEL: // attention_4x20 block 256 shared
  // CHECK: using Shape = FmaAttentionShape<float, 20, 64, 64, false>;
  // CHECK: a.queryBatch = 80 * symbols[1];
  // CHECK-NEXT: a.queryRow = 20;
  // CHECK-NEXT: a.queryHead = 20 * symbols[1];
  // CHECK: a.mask = b2;
  // CHECK-NEXT: a.bias = b3;
  // CHECK: a.biasBatch = (1) == 1 ? 0 :
  // CHECK: a.window = 7;
  // CHECK: a.softcap = 30.0f;
  // CHECK: attendFma<Shape>(a);
  func.func @masked(%q: tensor<?x4x?x20xf32> {transom.name = "q", transom.dims = ["batch", "4", "seq", "20"]},
                    %m: tensor<?x?xi32> {transom.name = "mask", transom.dims = ["batch", "seq"]},
                    %b: tensor<1x4x?x?xf32> {transom.name = "bias", transom.dims = ["1", "4", "seq", "seq"]})
      -> (tensor<?x4x?x20xf32> {transom.name = "y"}) {
    %y = transom.attention bhsd %q, %q, %q mask %m bias %b {scale = 1.0 : f64, softcap = 30.0 : f64, window = 7 : i64}
      : (tensor<?x4x?x20xf32>, tensor<?x4x?x20xf32>, tensor<?x4x?x20xf32>, tensor<?x?xi32>, tensor<1x4x?x?xf32>) -> tensor<?x4x?x20xf32>
    return %y : tensor<?x4x?x20xf32>
  }
}
// CHECK-LABEL: // program decode scratch 270336 workspace 64
// CHECK: // launch attention_cached_1x8x64<32, 2, batch>
// CHECK-LABEL: // program packed
// CHECK: // launch attention_packed_8x64_sm90<132> attention_packed_8x64<tokens / 64, 8, batch>
// CHECK-LABEL: // program masked
// CHECK: // launch attention_4x20<seq / 64, 4, batch>
