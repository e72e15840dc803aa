// DEFINE: %{plan} = transom-opt -lower-to-plan=activations=f16 -plan-memory
// RUN: %{plan} %s -o %t.plan && FileCheck %s --check-prefix=PLAN < %t.plan && transom-opt --print-cuda %t.plan | FileCheck %s
// RUN: sed 's/ scale %one : (tensor<?x512xf32>, tensor<f32>)/ : (tensor<?x512xf32>)/' %s | %{plan} | transom-opt --print-cuda - | FileCheck %s --check-prefix=APART
// RUN: sed 's/abs %x :/abs %a :/' %s | %{plan} | transom-opt --print-cuda - | FileCheck %s --check-prefix=APART
// RUN: sed 's/8x64/64x8/g; s/"8", "64"/"64", "8"/' %s | %{plan} | transom-opt --print-cuda - | FileCheck %s --check-prefix=APART
// Attention's kernels round their result to 8 bits where one scale serves all rows. Where each row has its own, where the result is read by
// others too, and without tensor cores, rounding is a kernel of its own.

module attributes {transom.bounds = {tokens = [1, 512]}} {
  // The rounded rows lie neither over what attention reads, though the step that the plan has for them comes after it, nor over its result.
  // PLAN: [[Q:%[0-9]+]] = plan.buffer arena shape ["tokens", "8", "64"] bytes 524288 offset 0 stored f16
  // PLAN: [[Y:%[0-9]+]] = plan.buffer arena shape ["tokens", "8", "64"] bytes 524288 offset 524288 stored f16
  // PLAN: plan.launch @attention_packed_8x64 ins([[Q]], [[Q]], [[Q]], {{.*}}) outs([[Y]])
  // PLAN: [[R:%[0-9]+]] = plan.buffer arena shape ["tokens", "512"] bytes 264192 offset 1048576 stored f8E4M3FN
  // PLAN: plan.launch @round_e4m3_512 ins({{.*}}) outs([[R]])
  // CHECK-LABEL: // attention_packed_8x64_round_e4m3_sm90 block 512
  // CHECK: E4m3 *[[OUT:b[0-9]+]], const float *[[SCALE:b[0-9]+]], const int *{{b[0-9]+}}
  // CHECK: using Shape = RoundedResult<HopperAttentionShape<Half, 64, 3, 128, false, false>>;
  // CHECK: a.result = [[OUT]];
  // CHECK-NEXT: a.resultScale = [[SCALE]];
  // CHECK-NEXT: a.resultScales = scalesOf([[OUT]], symbols[0], 512);
  // CHECK-NEXT: a.resultBatch = 0;
  // CHECK-NEXT: a.resultRow = 512;
  // CHECK-LABEL: // attention_packed_8x64_round_e4m3 block 128
  // CHECK: using Shape = RoundedResult<MmaAttentionShape<Half, 64, 4, 64, false>>;
  // CHECK: a.resultScales = scalesOf([[OUT]], symbols[0], 512);
  // CHECK-LABEL: // program main
  // CHECK: // launch attention_packed_8x64_round_e4m3_sm90<132> attention_packed_8x64_round_e4m3<{{.*}}>
  // CHECK-NEXT: // launch {{.*}}_product<132> rows tokens on hopper
  // APART-NOT: RoundedResult
  // APART-LABEL: // program main
  // APART: // launch attention_packed_{{.*}}
  // APART-NEXT: // launch round_e4m3_512<tokens>
  func.func @main(%x: tensor<?x8x64xf32> {transom.name = "x", transom.dims = ["tokens", "8", "64"]}, %n: tensor<2xi32> {transom.name = "n"})
      -> (tensor<?x256xf32> {transom.name = "y"}, tensor<?x8x64xf32> {transom.name = "z"}) {
    %w = transom.weight "out" : tensor<256x512xf8E4M3FN>
    %s = transom.weight "scales" : tensor<256xf32>
    %one = transom.constant dense<0.5> : tensor<f32>
    %q = transom.exp %x : (tensor<?x8x64xf32>) -> tensor<?x8x64xf32>
    %a = transom.attention thd %q, %q, %q cumulative %n {scale = 0.125 : f64} : (tensor<?x8x64xf32>, tensor<?x8x64xf32>, tensor<?x8x64xf32>, tensor<2xi32>) -> tensor<?x8x64xf32>
    %f = transom.reshape %a [0, 512] : (tensor<?x8x64xf32>) -> tensor<?x512xf32>
    %r = transom.round_e4m3 %f scale %one : (tensor<?x512xf32>, tensor<f32>) -> tensor<?x512xf32>
    %y = transom.group (%r, %w, %s) {
    ^bb0(%x0: tensor<?x512xf32>, %w0: tensor<256x512xf8E4M3FN>, %s0: tensor<256xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x512xf32>, tensor<256x512xf8E4M3FN>) -> tensor<?x256xf32>
      %1 = transom.mul %0, %s0 : (tensor<?x256xf32>, tensor<256xf32>) -> tensor<?x256xf32>
      transom.yield %1 : tensor<?x256xf32>
    } : (tensor<?x512xf32>, tensor<256x512xf8E4M3FN>, tensor<256xf32>) -> tensor<?x256xf32>
    %z = transom.abs %x : (tensor<?x8x64xf32>) -> tensor<?x8x64xf32>
    return %y, %z : tensor<?x256xf32>, tensor<?x8x64xf32>
  }
}
