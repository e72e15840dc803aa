// RUN: split-file %s %t
// RUN: transom-opt %t/dynamic.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/dynamic.plan && FileCheck %t/dynamic.mlir --check-prefix=PLAN < %t/dynamic.plan && transom-opt --print-cuda %t/dynamic.plan | FileCheck %t/dynamic.mlir
// RUN: transom-opt %t/static.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/static.plan && transom-opt --print-cuda %t/static.plan | FileCheck %t/static.mlir
// RUN: sed 's/= transom.constant dense<0.25> : tensor<f32>/= transom.abs %one : (tensor<f32>) -> tensor<f32>/' %t/static.mlir | transom-opt -lower-to-plan=activations=f16 -plan-memory -o %t/computed.plan && not transom-opt --print-cuda %t/computed.plan 2>&1 | FileCheck %t/static.mlir --check-prefix=COMPUTED
// RUN: transom-opt %t/alone.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/alone.plan && transom-opt --print-cuda %t/alone.plan | FileCheck %t/alone.mlir
// RUN: transom-opt %t/short.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/short.plan && transom-opt --print-cuda %t/short.plan | FileCheck %t/short.mlir
// RUN: transom-opt %t/dynamic.mlir -lower-to-plan=activations=f32 -plan-memory -o %t/wide.plan && not transom-opt --print-cuda %t/wide.plan 2>&1 | FileCheck %t/dynamic.mlir --check-prefix=WIDE
// Products of rows that are kept in 8 bits: always the kernel of sm_90a, of any number of rows. A row's own scale needs all of the row, so it
// is found behind the product; one for all rows is applied as the product is stored.

//--- dynamic.mlir
module attributes {transom.bounds = {rows = [1, 512]}} {
  // Numbers of 8 bits, and a scale of 4 bytes for each of the 512 rows.
  // PLAN: plan.buffer arena shape ["rows", "256"] bytes 133120 offset {{[0-9]+}} stored f8E4M3FN
  // PLAN: plan.buffer arena shape ["rows", "512"] bytes 264192 offset {{[0-9]+}} stored f8E4M3FN
  // WIDE: has no CUDA form within a row
  // CHECK-LABEL: // round_e4m3_256 block 32
  // CHECK: float [[TOP:top[0-9]*]] = 0.0f;
  // CHECK: const float [[SCALE:scale[0-9]*]] = e4m3Scale(blockMax<1>([[TOP]], scratch));
  // CHECK: storeLanes({{.*}}, scaledLanes({{.*}}, 1.0f / [[SCALE]]));
  // CHECK: scalesOf({{b[0-9]+}}, rows, 256)[row] = [[SCALE]];
  // CHECK-LABEL: // {{.*}}_product block 384 shared 197728
  // CHECK: row.scale = scalesOf({{b[0-9]+}}, rows, 256)[m];
  // CHECK: &ownSums, const Lanes<8> &otherSums) const {
  // CHECK: const Lanes<8> own = scaledLanes(ownSums, row.scale)
  // CHECK: using Shape = HopperGemmShape<E4m3, 512, 256, NoPartner, 2, 6, 128>;
  // CHECK-LABEL: // {{.*}}_product_mma block 256 shared 81920
  // CHECK: const Lanes<8> own = scaledLanes(ownSums, row.scale)
  // CHECK: #if __CUDA_ARCH__ >= 890
  // CHECK: using Shape = E4m3GemmShape<512, 256>;
  // CHECK-LABEL: // {{.*}}_rows block 64
  // CHECK: e4m3Scale(
  // CHECK-LABEL: // program main
  // CHECK-NOT: // product m
  // CHECK: // launch round_e4m3_256<rows>
  // CHECK-NEXT: // launch {{.*}}_product<132> rows rows on hopper
  // CHECK-NEXT: // launch {{.*}}_product_mma<4, rows / 128> rows rows on others
  // CHECK-NEXT: // launch {{.*}}_rows<rows> rows rows
  // CHECK-NEXT: // launch {{.*}}<132> rows rows on hopper
  // CHECK-NEXT: // launch {{.*}}_mma<2, rows / 128> rows rows on others
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}) -> (tensor<?x256xf32> {transom.name = "y"}) {
    %w = transom.weight "up" : tensor<512x256xf8E4M3FN>
    %s = transom.weight "scales" : tensor<512xf32>
    %d = transom.weight "down" : tensor<256x512xf8E4M3FN>
    %t = transom.weight "more" : tensor<256xf32>
    %r = transom.round_e4m3 %x : (tensor<?x256xf32>) -> tensor<?x256xf32>
    %h = transom.group (%r, %w, %s) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<512x256xf8E4M3FN>, %s0: tensor<512xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<512x256xf8E4M3FN>) -> tensor<?x512xf32>
      %1 = transom.mul %0, %s0 : (tensor<?x512xf32>, tensor<512xf32>) -> tensor<?x512xf32>
      %2 = transom.gelu erf %1 : (tensor<?x512xf32>) -> tensor<?x512xf32>
      %3 = transom.round_e4m3 %2 : (tensor<?x512xf32>) -> tensor<?x512xf32>
      transom.yield %3 : tensor<?x512xf32>
    } : (tensor<?x256xf32>, tensor<512x256xf8E4M3FN>, tensor<512xf32>) -> tensor<?x512xf32>
    %y = transom.group (%h, %d, %t, %x) {
    ^bb0(%h0: tensor<?x512xf32>, %d0: tensor<256x512xf8E4M3FN>, %t0: tensor<256xf32>, %x0: tensor<?x256xf32>):
      %0 = transom.matmul %h0, %d0 transpose_rhs : (tensor<?x512xf32>, tensor<256x512xf8E4M3FN>) -> tensor<?x256xf32>
      %1 = transom.mul %0, %t0 : (tensor<?x256xf32>, tensor<256xf32>) -> tensor<?x256xf32>
      %2 = transom.add %1, %x0 : (tensor<?x256xf32>, tensor<?x256xf32>) -> tensor<?x256xf32>
      transom.yield %2 : tensor<?x256xf32>
    } : (tensor<?x512xf32>, tensor<256x512xf8E4M3FN>, tensor<256xf32>, tensor<?x256xf32>) -> tensor<?x256xf32>
    return %y : tensor<?x256xf32>
  }
}

//--- static.mlir
module attributes {transom.bounds = {rows = [1, 512]}} {
  // COMPUTED: by a scale that is computed has no CUDA form
  // CHECK-NOT: blockMax
  // CHECK-LABEL: // {{.*}}_product block 384
  // CHECK: geluErfFor<E4m3>(
  // CHECK: storeLanes([[OUT:b[0-9]+]] + (int64)m * 512 + n, scaledLanes({{.*}}, factor0));
  // CHECK-NEXT: if (n == 0)
  // CHECK-NEXT: scalesOf([[OUT]], rows, 512)[m] = [[SCALE:b[0-9]+]][0];
  // CHECK: gemmHopper<Shape>({{.*}}, 1.0f / [[SCALE]][0]});
  // CHECK-LABEL: // program main
  // CHECK: // launch round_e4m3_256<rows>
  // CHECK-NEXT: // launch {{.*}}_product<132> rows rows on hopper
  // CHECK-NEXT: // launch {{.*}}_product_mma<{{.*}} on others
  // CHECK-NEXT: // launch {{.*}}<132> rows rows on hopper
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}) -> (tensor<?x256xf32> {transom.name = "y"}) {
    %w = transom.weight "up" : tensor<512x256xf8E4M3FN>
    %s = transom.weight "scales" : tensor<512xf32>
    %d = transom.weight "down" : tensor<256x512xf8E4M3FN>
    %t = transom.weight "more" : tensor<256xf32>
    %one = transom.constant dense<0.5> : tensor<f32>
    %two = transom.constant dense<0.25> : tensor<f32>
    %r = transom.round_e4m3 %x scale %one : (tensor<?x256xf32>, tensor<f32>) -> tensor<?x256xf32>
    %h = transom.group (%r, %w, %s, %two) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<512x256xf8E4M3FN>, %s0: tensor<512xf32>, %two0: tensor<f32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<512x256xf8E4M3FN>) -> tensor<?x512xf32>
      %1 = transom.mul %0, %s0 : (tensor<?x512xf32>, tensor<512xf32>) -> tensor<?x512xf32>
      %2 = transom.gelu erf %1 : (tensor<?x512xf32>) -> tensor<?x512xf32>
      %3 = transom.round_e4m3 %2 scale %two0 : (tensor<?x512xf32>, tensor<f32>) -> tensor<?x512xf32>
      transom.yield %3 : tensor<?x512xf32>
    } : (tensor<?x256xf32>, tensor<512x256xf8E4M3FN>, tensor<512xf32>, tensor<f32>) -> tensor<?x512xf32>
    %y = transom.group (%h, %d, %t) {
    ^bb0(%h0: tensor<?x512xf32>, %d0: tensor<256x512xf8E4M3FN>, %t0: tensor<256xf32>):
      %0 = transom.matmul %h0, %d0 transpose_rhs : (tensor<?x512xf32>, tensor<256x512xf8E4M3FN>) -> tensor<?x256xf32>
      %1 = transom.mul %0, %t0 : (tensor<?x256xf32>, tensor<256xf32>) -> tensor<?x256xf32>
      transom.yield %1 : tensor<?x256xf32>
    } : (tensor<?x512xf32>, tensor<256x512xf8E4M3FN>, tensor<256xf32>) -> tensor<?x256xf32>
    return %y : tensor<?x256xf32>
  }
}

//--- alone.mlir
// A product that nothing is fused with makes f32: 16 bits would not hold it before it is scaled.
module attributes {transom.bounds = {rows = [1, 512]}} {
  // CHECK-LABEL: // e4m3_product block 384
  // CHECK: float *
  // CHECK-LABEL: // program main
  // CHECK: // launch e4m3_product<132> rows rows on hopper
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}) -> (tensor<?x512xf32> {transom.name = "y"}) {
    %w = transom.weight "up" : tensor<512x256xf8E4M3FN>
    %s = transom.weight "scales" : tensor<512xf32>
    %r = transom.round_e4m3 %x : (tensor<?x256xf32>) -> tensor<?x256xf32>
    %0 = transom.matmul %r, %w transpose_rhs : (tensor<?x256xf32>, tensor<512x256xf8E4M3FN>) -> tensor<?x512xf32>
    %1 = transom.mul %0, %s : (tensor<?x512xf32>, tensor<512xf32>) -> tensor<?x512xf32>
    return %1 : tensor<?x512xf32>
  }
}

//--- short.mlir
// Where K has six to eight steps of 128, rows of x stay in shared memory, or, where the epilogue reads a matrix of 16 bits, that one comes there.
module attributes {transom.bounds = {rows = [1, 512]}} {
  // CHECK-LABEL: // mul_768_product block 384 shared 197728
  // CHECK: using Shape = HopperGemmShape<E4m3, 768, 768, NoPartner, 2, 6, 128, true>;
  // CHECK: gemmHopper<Shape>({&m0, &m1, (int)rows, nullptr},
  // CHECK-LABEL: // mul_add_768_product block 384 shared 230512
  // CHECK: struct OfPiece {
  // CHECK-NEXT: Stored<8, Half> e0;
  // CHECK: const Lanes<8> {{.*}} = lanesOf<Half>(piece.e0);
  // CHECK: using Shape = HopperGemmShape<E4m3, 768, 768, NoPartner, 2, 5, 128, false, Half>;
  // CHECK: gemmHopper<Shape>({&m0, &m1, (int)rows, &m2},
  // CHECK-LABEL: // mul_add_768_product_mma
  // CHECK: piece.e0 = loadStored<8>(
  func.func @main(%x: tensor<?x768xf32> {transom.name = "x", transom.dims = ["rows", "768"]}) -> (tensor<?x768xf32> {transom.name = "y"}) {
    %w = transom.weight "first" : tensor<768x768xf8E4M3FN>
    %s = transom.weight "scales" : tensor<768xf32>
    %d = transom.weight "second" : tensor<768x768xf8E4M3FN>
    %t = transom.weight "more" : tensor<768xf32>
    %one = transom.constant dense<0.5> : tensor<f32>
    %r = transom.round_e4m3 %x scale %one : (tensor<?x768xf32>, tensor<f32>) -> tensor<?x768xf32>
    %h = transom.group (%r, %w, %s) {
    ^bb0(%x0: tensor<?x768xf32>, %w0: tensor<768x768xf8E4M3FN>, %s0: tensor<768xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x768xf32>, tensor<768x768xf8E4M3FN>) -> tensor<?x768xf32>
      %1 = transom.mul %0, %s0 : (tensor<?x768xf32>, tensor<768xf32>) -> tensor<?x768xf32>
      transom.yield %1 : tensor<?x768xf32>
    } : (tensor<?x768xf32>, tensor<768x768xf8E4M3FN>, tensor<768xf32>) -> tensor<?x768xf32>
    %q = transom.round_e4m3 %h scale %one : (tensor<?x768xf32>, tensor<f32>) -> tensor<?x768xf32>
    %y = transom.group (%q, %d, %t, %h) {
    ^bb0(%h0: tensor<?x768xf32>, %d0: tensor<768x768xf8E4M3FN>, %t0: tensor<768xf32>, %r0: tensor<?x768xf32>):
      %0 = transom.matmul %h0, %d0 transpose_rhs : (tensor<?x768xf32>, tensor<768x768xf8E4M3FN>) -> tensor<?x768xf32>
      %1 = transom.mul %0, %t0 : (tensor<?x768xf32>, tensor<768xf32>) -> tensor<?x768xf32>
      %2 = transom.add %1, %r0 : (tensor<?x768xf32>, tensor<?x768xf32>) -> tensor<?x768xf32>
      transom.yield %2 : tensor<?x768xf32>
    } : (tensor<?x768xf32>, tensor<768x768xf8E4M3FN>, tensor<768xf32>, tensor<?x768xf32>) -> tensor<?x768xf32>
    return %y : tensor<?x768xf32>
  }
}
