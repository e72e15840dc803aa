// RUN: split-file %s %t
// RUN: transom-opt %t/encoder.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/encoder.plan && transom-opt --print-cuda=own-products %t/encoder.plan | FileCheck %t/encoder.mlir
// RUN: transom-opt --print-cuda=wide-products %t/encoder.plan | FileCheck %t/encoder.mlir --check-prefix=WIDE
// RUN: transom-opt %t/gate.mlir -lower-to-plan=activations=bf16 -plan-memory -o %t/gate.plan && transom-opt --print-cuda=own-products %t/gate.plan | FileCheck %t/gate.mlir
// RUN: transom-opt %t/bands.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/bands.plan && transom-opt --print-cuda=own-products %t/bands.plan | FileCheck %t/bands.mlir
// RUN: transom-opt %t/wide.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/wide.plan && transom-opt --print-cuda=own-products %t/wide.plan | FileCheck %t/wide.mlir
// RUN: transom-opt %t/swapped.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/swapped.plan && transom-opt --print-cuda=own-products %t/swapped.plan | FileCheck %t/swapped.mlir
// RUN: transom-opt %t/refused.mlir -lower-to-plan=activations=bf16 -plan-memory -o %t/refused.plan && transom-opt --print-cuda=own-products %t/refused.plan | FileCheck %t/refused.mlir
// On compute capability 9.0 products of many rows are kernels that take in what follows column by column; up to a norm, which needs
// whole rows. Other devices, and fewer rows, have the library (up to 64: cuda-skinny.mlir). What no thread has the columns for stays with the library everywhere.

//--- encoder.mlir
module attributes {transom.bounds = {rows = [1, 8192]}} {
  // With a tile for each of 132 multiprocessors, 4 across, and where no norm follows:
  // WIDE: // launch add_gelu_512_product<132> rows rows from 4097 on hopper
  // WIDE: // product m rows n 512 k 256 of f16 from 65 to 4096 on hopper
  // WIDE-NOT: layer_norm_256_product
  // CHECK-LABEL: // add_gelu_512_product block 384 shared 197728
  // CHECK: const __grid_constant__ TensorMap m0, const __grid_constant__ TensorMap m1,
  // CHECK: using Shape = HopperGemmShape<Half, 512, 256, NoPartner, 2, 6, 128>;
  // CHECK-LABEL: // add_layer_norm_256_product block 384
  // CHECK: struct Epilogue {
  // CHECK-NOT: blockSum
  // CHECK: using Shape = HopperGemmShape<Half, 256, 512, NoPartner, 2, 6, 128>;
  // CHECK-LABEL: // add_layer_norm_256_rows block 32
  // CHECK: blockSum
  // CHECK-LABEL: // program main
  // CHECK: // launch add_gelu_512_product<132> rows rows from 128 on hopper
  // CHECK-NEXT: // product m rows n 512 k 256 of f16 from 65 on others
  // CHECK-NEXT: // launch add_gelu_512<rows> rows rows from 65 on others
  // CHECK-NEXT: // product m rows n 512 k 256 of f16 from 65 to 127 on hopper
  // CHECK-NEXT: // launch add_gelu_512<rows> rows rows from 65 to 127 on hopper
  // CHECK: // launch add_layer_norm_256_product<132> rows rows from 128 on hopper
  // CHECK-NEXT: // launch add_layer_norm_256_rows<rows> add_layer_norm_256_rows_many<rows / 4> rows rows from 128 on hopper
  // CHECK-NEXT: // product m rows n 256 k 512 of f16 from 65 on others
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

//--- gate.mlir
module attributes {transom.bounds = {rows = [1, 512]}} {
  // CHECK: using Shape = HopperGemmShape<BFloat, 1024, 256, PartnerHalves<512>, 2, 6, 128>;
  // CHECK: // launch {{.*}}_product<132> rows rows from 128 on hopper
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}) -> (tensor<?x512xf32> {transom.name = "y"}) {
    %w = transom.weight "gate_up" : tensor<1024x256xf32>
    %y = transom.group (%x, %w) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<1024x256xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<1024x256xf32>) -> tensor<?x1024xf32>
      %1 = transom.slice %0 axis 1 start 0 size 512 : (tensor<?x1024xf32>) -> tensor<?x512xf32>
      %2 = transom.slice %0 axis 1 start 512 size 512 : (tensor<?x1024xf32>) -> tensor<?x512xf32>
      %3 = transom.silu %1 : (tensor<?x512xf32>) -> tensor<?x512xf32>
      %4 = transom.mul %3, %2 : (tensor<?x512xf32>, tensor<?x512xf32>) -> tensor<?x512xf32>
      transom.yield %4 : tensor<?x512xf32>
    } : (tensor<?x256xf32>, tensor<1024x256xf32>) -> tensor<?x512xf32>
    return %y : tensor<?x512xf32>
  }
}

//--- bands.mlir
module attributes {transom.bounds = {rows = [1, 512]}} {
  // Query and key do the same to other buffers: a tile chooses them once.
  // CHECK-LABEL: // {{.*}}_product block
  // CHECK: struct Band { int from; const float *p0; float *p1; };
  // CHECK: DEVICE Band band(int n) const { return n >= 128 ? Band{128, [[B2:b.]], [[B3:b.]]} : Band{0, [[B0:b.]], [[B1:b.]]}; }
  // CHECK: columns.e0 = loadStored<8>(band.p0 + (n - band.from));
  // CHECK-NOT: if (n >=
  // CHECK: storeLanes(band.p1 + (int64)m * 128 + (n - band.from),
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}) -> (tensor<?x128xf32> {transom.name = "q"}, tensor<?x128xf32> {transom.name = "k"}) {
    %w = transom.weight "qk" : tensor<256x256xf32>
    %b = transom.weight "bq" : tensor<128xf32>
    %c = transom.weight "bk" : tensor<128xf32>
    %y:2 = transom.group (%x, %w, %b, %c) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<256x256xf32>, %b0: tensor<128xf32>, %c0: tensor<128xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<256x256xf32>) -> tensor<?x256xf32>
      %1 = transom.slice %0 axis 1 start 0 size 128 : (tensor<?x256xf32>) -> tensor<?x128xf32>
      %2 = transom.slice %0 axis 1 start 128 size 128 : (tensor<?x256xf32>) -> tensor<?x128xf32>
      %3 = transom.add %1, %b0 : (tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      %4 = transom.add %2, %c0 : (tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      transom.yield %3, %4 : tensor<?x128xf32>, tensor<?x128xf32>
    } : (tensor<?x256xf32>, tensor<256x256xf32>, tensor<128xf32>, tensor<128xf32>) -> (tensor<?x128xf32>, tensor<?x128xf32>)
    return %y#0, %y#1 : tensor<?x128xf32>, tensor<?x128xf32>
  }
}

//--- wide.mlir
module attributes {transom.bounds = {rows = [1, 512]}} {
  // Tiles of 192 columns, five stages. A tile has parts of several bands: each group of 32 columns chooses its buffers. What reads a residual has no
  // registers for such tiles, and of 256 columns they would compute 384.
  // CHECK-LABEL: // add_128_product block 384 shared 207440
  // CHECK: DEVICE Band band(int n) const { return n >= 256 ? Band{256, {{.*}}} : n >= 128 ? Band{128, {{.*}}} : Band{0, {{.*}}}; }
  // CHECK: using Shape = HopperGemmShape<Half, 384, 256, NoPartner, 2, 5, 192, false, NoResidual, 32>;
  // CHECK-LABEL: // add_384_product block 384 shared 197728
  // CHECK: using Shape = HopperGemmShape<Half, 384, 256, NoPartner, 2, 6, 128>;
  // CHECK: using Shape = HopperGemmShape<Half, 256, 256, NoPartner, 2, 6, 128>;
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}, %r: tensor<?x384xf32> {transom.name = "r", transom.dims = ["rows", "384"]})
      -> (tensor<?x128xf32> {transom.name = "q"}, tensor<?x128xf32> {transom.name = "k"}, tensor<?x128xf32> {transom.name = "v"}, tensor<?x384xf32> {transom.name = "s"}, tensor<?x256xf32> {transom.name = "t"}) {
    %w = transom.weight "qkv" : tensor<384x256xf32>
    %b = transom.weight "bq" : tensor<128xf32>
    %c = transom.weight "bk" : tensor<128xf32>
    %d = transom.weight "bv" : tensor<128xf32>
    %y:3 = transom.group (%x, %w, %b, %c, %d) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<384x256xf32>, %b0: tensor<128xf32>, %c0: tensor<128xf32>, %d0: tensor<128xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<384x256xf32>) -> tensor<?x384xf32>
      %1 = transom.slice %0 axis 1 start 0 size 128 : (tensor<?x384xf32>) -> tensor<?x128xf32>
      %2 = transom.slice %0 axis 1 start 128 size 128 : (tensor<?x384xf32>) -> tensor<?x128xf32>
      %3 = transom.slice %0 axis 1 start 256 size 128 : (tensor<?x384xf32>) -> tensor<?x128xf32>
      %4 = transom.add %1, %b0 : (tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      %5 = transom.add %2, %c0 : (tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      %6 = transom.add %3, %d0 : (tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      transom.yield %4, %5, %6 : tensor<?x128xf32>, tensor<?x128xf32>, tensor<?x128xf32>
    } : (tensor<?x256xf32>, tensor<384x256xf32>, tensor<128xf32>, tensor<128xf32>, tensor<128xf32>) -> (tensor<?x128xf32>, tensor<?x128xf32>, tensor<?x128xf32>)
    %u = transom.weight "sum" : tensor<384x256xf32>
    %s = transom.group (%x, %u, %r) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<384x256xf32>, %r0: tensor<?x384xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<384x256xf32>) -> tensor<?x384xf32>
      %1 = transom.add %0, %r0 : (tensor<?x384xf32>, tensor<?x384xf32>) -> tensor<?x384xf32>
      transom.yield %1 : tensor<?x384xf32>
    } : (tensor<?x256xf32>, tensor<384x256xf32>, tensor<?x384xf32>) -> tensor<?x384xf32>
    %v = transom.weight "narrow" : tensor<256x256xf32>
    %t = transom.group (%x, %v) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<256x256xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<256x256xf32>) -> tensor<?x256xf32>
      %1 = transom.gelu erf %0 : (tensor<?x256xf32>) -> tensor<?x256xf32>
      transom.yield %1 : tensor<?x256xf32>
    } : (tensor<?x256xf32>, tensor<256x256xf32>) -> tensor<?x256xf32>
    return %y#0, %y#1, %y#2, %s, %t : tensor<?x128xf32>, tensor<?x128xf32>, tensor<?x128xf32>, tensor<?x384xf32>, tensor<?x256xf32>
  }
}

//--- swapped.mlir
module attributes {transom.bounds = {rows = [1, 512]}} {
  // The second half first: each thread looks where its columns belong.
  // CHECK: struct Band { };
  // CHECK: if (n >= 128 && n < 256) {
  // CHECK: if (n >= 0 && n < 128) {
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}) -> (tensor<?x128xf32> {transom.name = "q"}, tensor<?x128xf32> {transom.name = "k"}) {
    %w = transom.weight "qk" : tensor<256x256xf32>
    %b = transom.weight "bq" : tensor<128xf32>
    %c = transom.weight "bk" : tensor<128xf32>
    %y:2 = transom.group (%x, %w, %b, %c) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<256x256xf32>, %b0: tensor<128xf32>, %c0: tensor<128xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<256x256xf32>) -> tensor<?x256xf32>
      %1 = transom.slice %0 axis 1 start 128 size 128 : (tensor<?x256xf32>) -> tensor<?x128xf32>
      %2 = transom.slice %0 axis 1 start 0 size 128 : (tensor<?x256xf32>) -> tensor<?x128xf32>
      %3 = transom.add %1, %b0 : (tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      %4 = transom.add %2, %c0 : (tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      transom.yield %3, %4 : tensor<?x128xf32>, tensor<?x128xf32>
    } : (tensor<?x256xf32>, tensor<256x256xf32>, tensor<128xf32>, tensor<128xf32>) -> (tensor<?x128xf32>, tensor<?x128xf32>)
    return %y#0, %y#1 : tensor<?x128xf32>, tensor<?x128xf32>
  }
}

//--- refused.mlir
module attributes {transom.bounds = {rows = [1, 512]}} {
  // Halves of heads of 80 lie 40 apart, in no tile of eights that one thread has.
  // CHECK-NOT: HopperGemm
  // CHECK: // product m rows n 160 k 256 of bf16
  // CHECK-NOT: hopper
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}, %p: tensor<?xi32> {transom.name = "p", transom.dims = ["rows"]})
      -> (tensor<?x2x80xf32> {transom.name = "y"}) {
    %w = transom.weight "query" : tensor<160x256xf32>
    %y = transom.group (%x, %w, %p) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<160x256xf32>, %p0: tensor<?xi32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<160x256xf32>) -> tensor<?x160xf32>
      %1 = transom.reshape %0 [0, 2, 80] : (tensor<?x160xf32>) -> tensor<?x2x80xf32>
      %2 = transom.rotary thd %1, %p0 dims 80 base 10000.0 : (tensor<?x2x80xf32>, tensor<?xi32>) -> tensor<?x2x80xf32>
      transom.yield %2 : tensor<?x2x80xf32>
    } : (tensor<?x256xf32>, tensor<160x256xf32>, tensor<?xi32>) -> tensor<?x2x80xf32>
    return %y : tensor<?x2x80xf32>
  }
}
