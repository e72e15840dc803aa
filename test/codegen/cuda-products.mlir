// RUN: transom-opt %s -lower-to-plan=activations=bf16 -plan-memory -o %t.plan && transom-opt --print-cuda %t.plan | FileCheck %s
// Products of many rows go to the library (of 16-bit matrices as the artifact has them, from 65 rows on: cuda-skinny.mlir), in the type that the arena has: a quantised matrix is decoded first, an f32 one is
// converted when the model is compiled. What follows a product is a kernel for rows.

module attributes {transom.bounds = {rows = [1, 400]}} {
  // CHECK-LABEL: // rms_norm_256 block 32 shared 0
  // CHECK: rms_norm_256(const float *b0, const float *b1, BFloat *b2,
  // CHECK-LABEL: // unpack_q8_0_256x256 block 256 shared 0
  // CHECK: unpackPlanes<Q80Format<256>, BFloat, 256>(PlanesAt<Q80Format<256>>::view(b0, 256), b1, 256);
  // CHECK-LABEL: // gelu_256 block 32 shared 0
  // CHECK: geluErfFor<BFloat>(
  // CHECK-LABEL: // program main scratch 131072
  // CHECK-NEXT: // launch rms_norm_256<rows> rows rows
  // CHECK-NEXT: // launch unpack_q8_0_256x256<4096 / 256>
  // CHECK-NEXT: // product m rows n 256 k 256 of bf16
  // CHECK-NEXT: // launch gelu_256<rows> rows rows
  // CHECK-NEXT: // launch product_skinny_m32<16, 1> product_skinny_m64<16, 1> rows rows to 64
  // CHECK-NEXT: // product m rows n 256 k 256 of bf16 from 65
  // CHECK-NOT: //
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}) -> (tensor<?x256xf32> {transom.name = "y"}) {
    %s = transom.weight "norm" : tensor<256xf32>
    %u = transom.weight "up" : tensor<256x256x!transom.block<q8_0>>
    %d = transom.weight "down" : tensor<256x256xf32>
    %h = transom.group (%x, %s, %u) {
    ^bb0(%x0: tensor<?x256xf32>, %s0: tensor<256xf32>, %w0: tensor<256x256x!transom.block<q8_0>>):
      %0 = transom.rms_norm %x0, %s0 epsilon 1.0e-05 : (tensor<?x256xf32>, tensor<256xf32>) -> tensor<?x256xf32>
      %1 = transom.matmul %0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<256x256x!transom.block<q8_0>>) -> tensor<?x256xf32>
      %2 = transom.gelu erf %1 : (tensor<?x256xf32>) -> tensor<?x256xf32>
      transom.yield %2 : tensor<?x256xf32>
    } : (tensor<?x256xf32>, tensor<256xf32>, tensor<256x256x!transom.block<q8_0>>) -> tensor<?x256xf32>
    %y = transom.matmul %h, %d transpose_rhs : (tensor<?x256xf32>, tensor<256x256xf32>) -> tensor<?x256xf32>
    return %y : tensor<?x256xf32>
  }
}
