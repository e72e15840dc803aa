// RUN: transom-opt %s -lower-to-plan=activations=bf16 -plan-memory -o %t.plan && transom-opt --print-cuda=batch-invariant %t.plan | FileCheck %s
// Batch-invariant, a product has one form: the kernel for the most rows where it has no more than such a kernel is best for, else the
// library with one algorithm, for few rows too. Attention of packed tokens has the kernel that takes the masks of padded ones.

module attributes {transom.bounds = {rows = [1, 3], batch = [1, 5], tokens = [1, 40]}} {
  // CHECK-LABEL: // matmul_bf16_64x64_m3 block
  // CHECK-NOT: _m{{[12]}} block
  // CHECK-NOT: HopperAttention
  // CHECK: using Shape = MmaAttentionShape<BFloat, 64, 4, 64, false>;
  // CHECK-NOT: HopperAttention
  func.func @few(%x: tensor<?x64xf32> {transom.name = "x", transom.dims = ["rows", "64"]}) -> (tensor<?x64xf32> {transom.name = "y"}) {
    %e = transom.exp %x : (tensor<?x64xf32>) -> tensor<?x64xf32>
    %w = transom.weight "few" : tensor<64x64xbf16>
    %y = transom.matmul %e, %w transpose_rhs : (tensor<?x64xf32>, tensor<64x64xbf16>) -> tensor<?x64xf32>
    return %y : tensor<?x64xf32>
  }
  func.func @several(%x: tensor<?x64xf32> {transom.name = "x", transom.dims = ["batch", "64"]}) -> (tensor<?x64xf32> {transom.name = "y"}) {
    %e = transom.exp %x : (tensor<?x64xf32>) -> tensor<?x64xf32>
    %w = transom.weight "several" : tensor<64x64xbf16>
    %y = transom.matmul %e, %w transpose_rhs : (tensor<?x64xf32>, tensor<64x64xbf16>) -> tensor<?x64xf32>
    return %y : tensor<?x64xf32>
  }
  func.func @many(%x: tensor<?x64xf32> {transom.name = "x", transom.dims = ["tokens", "64"]}) -> (tensor<?x64xf32> {transom.name = "y"}) {
    %e = transom.exp %x : (tensor<?x64xf32>) -> tensor<?x64xf32>
    %w = transom.weight "many" : tensor<64x64xbf16>
    %y = transom.matmul %e, %w transpose_rhs : (tensor<?x64xf32>, tensor<64x64xbf16>) -> tensor<?x64xf32>
    return %y : tensor<?x64xf32>
  }
  func.func @attend(%q: tensor<?x1x64xf32> {transom.name = "q", transom.dims = ["tokens", "1", "64"]}, %c: tensor<?xi32> {transom.name = "c", transom.dims = ["batch"]})
      -> (tensor<?x1x64xf32> {transom.name = "y"}) {
    %e = transom.exp %q : (tensor<?x1x64xf32>) -> tensor<?x1x64xf32>
    %n = transom.cumulative_lengths %c : (tensor<?xi32>) -> tensor<?xi32>
    %a = transom.attention thd %e, %e, %e cumulative %n {scale = 0.125 : f64} : (tensor<?x1x64xf32>, tensor<?x1x64xf32>, tensor<?x1x64xf32>, tensor<?xi32>) -> tensor<?x1x64xf32>
    %y = transom.exp %a : (tensor<?x1x64xf32>) -> tensor<?x1x64xf32>
    return %y : tensor<?x1x64xf32>
  }
}
// CHECK-LABEL: // program few
// CHECK-NEXT: // launch exp_64<rows> rows rows
// CHECK-NEXT: // launch {{.*}}_m3<4> rows rows (
// CHECK-LABEL: // program several
// CHECK-NEXT: // launch exp_64_1<batch> rows batch
// CHECK-NEXT: // product m batch n 64 k 64 of bf16 by one algorithm (
// CHECK-LABEL: // program many
// CHECK: // product m tokens n 64 k 64 of bf16 by one algorithm (
// CHECK-LABEL: // program attend
// CHECK: // launch attention_packed_1x64<tokens / 64, 1, batch>
