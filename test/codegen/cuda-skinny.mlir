// RUN: split-file %s %t
// RUN: transom-opt %t/encoder.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/encoder.plan && transom-opt --print-cuda %t/encoder.plan | FileCheck %t/encoder.mlir
// RUN: transom-opt --print-cuda=batch-invariant %t/encoder.plan | FileCheck %t/encoder.mlir --check-prefix=INVARIANT
// RUN: transom-opt %t/few.mlir -lower-to-plan=activations=bf16 -plan-memory -o %t/few.plan && transom-opt --print-cuda %t/few.plan | FileCheck %t/few.mlir
// RUN: transom-opt %t/large.mlir -lower-to-plan=activations=bf16 -plan-memory -o %t/large.plan && transom-opt --print-cuda %t/large.plan | FileCheck %t/large.mlir
// RUN: transom-opt %t/odd.mlir -lower-to-plan=activations=bf16 -plan-memory -o %t/odd.plan && transom-opt --print-cuda %t/odd.plan | FileCheck %t/odd.mlir
// Up to 64 rows a product of 16 bits is a kernel that takes in what follows column by column. Before a norm its sums go to memory in parts of K,
// which the norm's kernel adds.

//--- encoder.mlir
module attributes {transom.bounds = {rows = [1, 512]}} {
  // The bias is read before the kernel waits.
  // CHECK-LABEL: // add_gelu_512_skinny_m32 block 256 shared 20480
  // CHECK: DEVICE Early constants(int n) const {
  // CHECK-NEXT: Early e;
  // CHECK-NEXT: e.f0.v[0] = b2[n];
  // CHECK: geluErfFor<Half>(
  // CHECK: using Shape = SkinnyShape<Half, 512, 256, 32, 1, 1, 4, NeighbourPairs>;
  // CHECK-LABEL: // add_gelu_512_skinny_m64 block 256 shared 40960
  // CHECK: using Shape = SkinnyShape<Half, 512, 256, 64, 1, 1, 1, NeighbourPairs>;
  // CHECK-LABEL: // add_layer_norm_256_parts_m32 block 256 shared 20480
  // CHECK: using Shape = SkinnyShape<Half, 256, 512, 32, 1, 2, 4, NeighbourPairs>;
  // CHECK: gemmSkinny<Shape>(b0, b1, PartEpilogue<64, 256>{b2}, (int)rows);
  // The norm's scale and centre, too, are read before the kernel waits; then the residual and both parts, at once.
  // CHECK-LABEL: // add_layer_norm_256_sum block
  // CHECK: storedAt<4>(b2 + {{.*}}
  // CHECK: storedAt<4>(b3 + {{.*}}
  // CHECK: waitProducers();
  // CHECK: loadLanes<4>(b1 + (int64)row * 256 +
  // CHECK-NEXT: {{.*}}loadLanes<4>(b0 + (int64)row * 256 +
  // CHECK-NEXT: {{.*}}loadLanes<4>(b0 + 16384 + (int64)row * 256 +
  // CHECK-NEXT: keepAhead(gridDim.y);
  // CHECK-LABEL: // program main
  // CHECK: // launch add_gelu_512_skinny_m32<32, 1> add_gelu_512_skinny_m64<32, 1> rows rows to 64
  // CHECK-NEXT: // product m rows n 512 k 256 of f16 from 65
  // CHECK-NEXT: // launch add_gelu_512<rows> rows rows from 65
  // CHECK-NEXT: // launch add_layer_norm_256_parts_m32<16, 2> add_layer_norm_256_parts_m64<16, 2> rows rows to 64
  // CHECK-NEXT: // launch add_layer_norm_256_sum<rows> rows rows to 64
  // CHECK-NEXT: // product m rows n 256 k 512 of f16 from 65
  // CHECK-NEXT: // launch add_layer_norm_256<rows> rows rows from 65
  // How warps share a sum, and its parts, do not follow the rows; but other rows have the library.
  // INVARIANT-NOT: skinny
  // INVARIANT-NOT: _parts
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}) -> (tensor<?x256xf32> {transom.name = "y"}) {
    %w = transom.weight "up" : tensor<512x256xf32>
    %b = transom.weight "bias" : tensor<512xf32>
    %d = transom.weight "down" : tensor<256x512xf32>
    %s = transom.weight "scale" : tensor<256xf32>
    %c = transom.weight "centre" : tensor<256xf32>
    %h = transom.group (%x, %w, %b) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<512x256xf32>, %b0: tensor<512xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<512x256xf32>) -> tensor<?x512xf32>
      %1 = transom.add %0, %b0 : (tensor<?x512xf32>, tensor<512xf32>) -> tensor<?x512xf32>
      %2 = transom.gelu erf %1 : (tensor<?x512xf32>) -> tensor<?x512xf32>
      transom.yield %2 : tensor<?x512xf32>
    } : (tensor<?x256xf32>, tensor<512x256xf32>, tensor<512xf32>) -> tensor<?x512xf32>
    %y = transom.group (%h, %d, %x, %s, %c) {
    ^bb0(%h0: tensor<?x512xf32>, %d0: tensor<256x512xf32>, %x0: tensor<?x256xf32>, %s0: tensor<256xf32>, %c0: tensor<256xf32>):
      %0 = transom.matmul %h0, %d0 transpose_rhs : (tensor<?x512xf32>, tensor<256x512xf32>) -> tensor<?x256xf32>
      %1 = transom.add %0, %x0 : (tensor<?x256xf32>, tensor<?x256xf32>) -> tensor<?x256xf32>
      %2 = transom.layer_norm %1, %s0, %c0 epsilon 1.0e-05 : (tensor<?x256xf32>, tensor<256xf32>, tensor<256xf32>) -> tensor<?x256xf32>
      transom.yield %2 : tensor<?x256xf32>
    } : (tensor<?x512xf32>, tensor<256x512xf32>, tensor<?x256xf32>, tensor<256xf32>, tensor<256xf32>) -> tensor<?x256xf32>
    return %y : tensor<?x256xf32>
  }
}

//--- few.mlir
module attributes {transom.bounds = {rows = [1, 12]}} {
  // As many rows as one kernel takes: no library. Four and fewer have the kernels of few rows.
  // CHECK-LABEL: // program main
  // CHECK-NOT: // product
  // CHECK: // launch gemv_silu_mul_bf16_512x256_m1<32> gemv_silu_mul_bf16_512x256_m2<32> gemv_silu_mul_bf16_512x256_m4<32> rows rows to 4
  // CHECK-NEXT: // launch gemv_silu_mul_bf16_512x256_skinny_m16<32, 1> rows rows from 5
  // CHECK-NOT: //
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}) -> (tensor<?x256xf32> {transom.name = "y"}) {
    %e = transom.exp %x : (tensor<?x256xf32>) -> tensor<?x256xf32>
    %w = transom.weight "gate_up" : tensor<512x256xbf16>
    %y = transom.group (%e, %w) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<512x256xbf16>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<512x256xbf16>) -> tensor<?x512xf32>
      %1 = transom.slice %0 axis 1 start 0 size 256 : (tensor<?x512xf32>) -> tensor<?x256xf32>
      %2 = transom.slice %0 axis 1 start 256 size 256 : (tensor<?x512xf32>) -> tensor<?x256xf32>
      %3 = transom.silu %1 : (tensor<?x256xf32>) -> tensor<?x256xf32>
      %4 = transom.mul %3, %2 : (tensor<?x256xf32>, tensor<?x256xf32>) -> tensor<?x256xf32>
      transom.yield %4 : tensor<?x256xf32>
    } : (tensor<?x256xf32>, tensor<512x256xbf16>) -> tensor<?x256xf32>
    return %y : tensor<?x256xf32>
  }
}

//--- large.mlir
module attributes {transom.bounds = {rows = [1, 512]}} {
  // A matrix of more than 8 million numbers: up to 32 rows, two tiles a block.
  // CHECK: using Shape = SkinnyShape<BFloat, 16384, 1024, 32, 2, 1, 3, NeighbourPairs>;
  // CHECK: // launch add_16384_skinny_m32<512, 1> rows rows to 32
  // CHECK-NEXT: // product m rows n 16384 k 1024 of bf16 from 33
  func.func @main(%x: tensor<?x1024xf32> {transom.name = "x", transom.dims = ["rows", "1024"]}) -> (tensor<?x16384xf32> {transom.name = "y"}) {
    %w = transom.weight "up" : tensor<16384x1024xbf16>
    %b = transom.weight "bias" : tensor<16384xf32>
    %y = transom.group (%x, %w, %b) {
    ^bb0(%x0: tensor<?x1024xf32>, %w0: tensor<16384x1024xbf16>, %b0: tensor<16384xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x1024xf32>, tensor<16384x1024xbf16>) -> tensor<?x16384xf32>
      %1 = transom.add %0, %b0 : (tensor<?x16384xf32>, tensor<16384xf32>) -> tensor<?x16384xf32>
      transom.yield %1 : tensor<?x16384xf32>
    } : (tensor<?x1024xf32>, tensor<16384x1024xbf16>, tensor<16384xf32>) -> tensor<?x16384xf32>
    return %y : tensor<?x16384xf32>
  }
}

//--- odd.mlir
module attributes {transom.bounds = {rows = [1, 512]}} {
  // K that is no multiple of 32 stays with the library; so does a matrix that is decoded in the step before, which no kernel may read early.
  // CHECK-NOT: gemmSkinny
  // CHECK: // product m rows n 64 k 40 of bf16
  // CHECK: // launch unpack_q8_0_64x64
  // CHECK: // product m rows n 64 k 64 of bf16
  func.func @main(%x: tensor<?x40xf32> {transom.name = "x", transom.dims = ["rows", "40"]}) -> (tensor<?x64xf32> {transom.name = "y"}) {
    %w = transom.weight "odd" : tensor<64x40xbf16>
    %q = transom.weight "blocks" : tensor<64x64x!transom.block<q8_0>>
    %b = transom.weight "bias" : tensor<64xf32>
    %h = transom.group (%x, %w, %b) {
    ^bb0(%x0: tensor<?x40xf32>, %w0: tensor<64x40xbf16>, %b0: tensor<64xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x40xf32>, tensor<64x40xbf16>) -> tensor<?x64xf32>
      %1 = transom.add %0, %b0 : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
      transom.yield %1 : tensor<?x64xf32>
    } : (tensor<?x40xf32>, tensor<64x40xbf16>, tensor<64xf32>) -> tensor<?x64xf32>
    %y = transom.group (%h, %q, %b) {
    ^bb0(%h0: tensor<?x64xf32>, %q0: tensor<64x64x!transom.block<q8_0>>, %b0: tensor<64xf32>):
      %0 = transom.matmul %h0, %q0 transpose_rhs : (tensor<?x64xf32>, tensor<64x64x!transom.block<q8_0>>) -> tensor<?x64xf32>
      %1 = transom.add %0, %b0 : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
      transom.yield %1 : tensor<?x64xf32>
    } : (tensor<?x64xf32>, tensor<64x64x!transom.block<q8_0>>, tensor<64xf32>) -> tensor<?x64xf32>
    return %y : tensor<?x64xf32>
  }
}
