// RUN: transom-opt %s -lower-to-plan=activations=bf16 -plan-memory -o %t.plan && transom-opt --print-cuda %t.plan | FileCheck %s
// Which skeleton computes a product of few rows: by how the matrix is stored, and by its sizes.

module attributes {transom.bounds = {rows = [1, 1]}} {
  // Quantised: planes on tensor cores; a row of f32 is the sum of three numbers of 16 bits.
  // CHECK-LABEL: // matmul_q4_k_64x256_m1 block 256 shared 8356
  // CHECK: (const float *b0, const uint8 *b1, float *b2,
  // CHECK: using Shape = GemvShape<Q4KFormat<256>, 64, 1, 3, 8, 4, NeighbourPairs>;
  // CHECK: gemv<Shape>(PlanesAt<Q4KFormat<256>>::view(b1, 64), NoPrologue<float, 256>{b0}

  // Plain f32: no tensor cores.
  // CHECK-LABEL: // matmul_64x256_m1 block 256 shared 0
  // CHECK: gemvFma<GemvFmaShape<float, 64, 256, 1, NeighbourPairs>>(b1, NoPrologue<float, 256>{b0}

  // Rows of 21 numbers begin anywhere: one number at a time, one kernel for any number of rows.
  // CHECK-LABEL: // matmul_37x21 block 256 shared 0
  // CHECK: gemvSimple<GemvSimpleShape<float, 37, 21, NeighbourPairs>>(b1, SimplePrologue<float, 21>{b0}

  // CHECK-LABEL: // program products
  // CHECK-NEXT: // launch matmul_q4_k_64x256_m1<4> rows rows
  // CHECK-NEXT: // launch matmul_64x256_m1<4> rows rows
  // CHECK-NEXT: // launch matmul_37x21<3, rows> rows rows
  func.func @products(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}, %z: tensor<?x21xf32> {transom.name = "z", transom.dims = ["rows", "21"]})
      -> (tensor<?x64xf32> {transom.name = "a"}, tensor<?x64xf32> {transom.name = "b"}, tensor<?x37xf32> {transom.name = "c"}) {
    %w0 = transom.weight "q4" : tensor<64x256x!transom.block<q4_k>>
    %w1 = transom.weight "plain" : tensor<64x256xf32>
    %w2 = transom.weight "odd" : tensor<37x21xf32>
    %a = transom.matmul %x, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<64x256x!transom.block<q4_k>>) -> tensor<?x64xf32>
    %b = transom.matmul %x, %w1 transpose_rhs : (tensor<?x256xf32>, tensor<64x256xf32>) -> tensor<?x64xf32>
    %c = transom.matmul %z, %w2 transpose_rhs : (tensor<?x21xf32>, tensor<37x21xf32>) -> tensor<?x37xf32>
    return %a, %b, %c : tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x37xf32>
  }
}
