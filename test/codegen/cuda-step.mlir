// RUN: transom-opt %s -lower-to-plan=activations=bf16 -plan-memory -o %t.plan && transom-opt --print-cuda %t.plan | FileCheck %s
// Of a decoder's `decode` the program `step` is made: it also chooses the tokens and writes its own next inputs.

module attributes {transom.bounds = {batch = [1, 4]}} {
  // A token that the table does not have gives zeros.
  // CHECK-LABEL: // embedding_bf16_96x64 block 32 shared 0
  // CHECK: Lanes<8> [[ROW:x[0-9]+]] = {};
  // CHECK-NEXT: if ((int)b0[row] >= 0 && (int)b0[row] < 96) {
  // CHECK: storeLanes(b2 + row * 64 + {{.*}}, [[ROW]]);

  // The logits of `step` also raise the row's best; those of `decode` do not.
  // CHECK-LABEL: // matmul_bf16_96x64_m1 block
  // CHECK-NOT: best
  // CHECK-LABEL: // matmul_bf16_96x64_m1_1 block
  // CHECK: key = argmaxKey(own.v[0], n);
  // CHECK: raiseBest(best, m, key);
  // CHECK: Epilogue{b0, b1, b2, symbols, rows, workspace}

  // A cluster of eight blocks samples a row on sm_90a, one block elsewhere.
  // CHECK-LABEL: // sample block 1024
  // CHECK: #if __CUDA_ARCH__ >= 900
  // CHECK: if (blockIdx.x >= cluster || blockIdx.y >= symbols[0]) {
  // CHECK: a.vocab = (int)(96);
  // CHECK-NEXT: a.best = workspace;
  // CHECK-LABEL: // advance block 128
  // CHECK: s.inputIds = b2;
  // CHECK-NEXT: s.past = b3;

  // CHECK-LABEL: // program decode scratch 0 workspace 0
  // CHECK-NEXT: // launch embedding_bf16_96x64<batch> rows batch
  // CHECK-NEXT: // launch matmul_bf16_96x64_m1<6> matmul_bf16_96x64_m2<6> matmul_bf16_96x64_m4<6> rows batch
  // CHECK-NEXT: // program step scratch 1536 workspace 64
  // CHECK-NEXT: // launch embedding_bf16_96x64<batch> rows batch
  // CHECK-NEXT: // launch matmul_bf16_96x64_m1_1<6> matmul_bf16_96x64_m2_1<6> matmul_bf16_96x64_m4_1<6> rows batch
  // CHECK-NEXT: // launch sample<8, batch> rows batch (choose)
  // CHECK-NEXT: // launch advance<batch / 128> rows batch (advance)
  func.func @decode(%ids: tensor<?x1xi32> {transom.name = "input_ids", transom.dims = ["batch", "1"]},
                    %l: tensor<?xi32> {transom.name = "lengths", transom.dims = ["batch"]},
                    %p: tensor<?xi32> {transom.name = "past_lengths", transom.dims = ["batch"]}) -> (tensor<?x96xf32> {transom.name = "logits"}) {
    %e = transom.weight "embedding" : tensor<96x64xbf16>
    %f = transom.reshape %ids [-1] : (tensor<?x1xi32>) -> tensor<?xi32>
    %x = transom.embedding %e, %f to f32 : (tensor<96x64xbf16>, tensor<?xi32>) -> tensor<?x64xf32>
    %y = transom.matmul %x, %e transpose_rhs : (tensor<?x64xf32>, tensor<96x64xbf16>) -> tensor<?x96xf32>
    return %y : tensor<?x96xf32>
  }
}
