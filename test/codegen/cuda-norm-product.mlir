// RUN: split-file %s %t
// RUN: transom-opt %t/static.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/static.plan && transom-opt --print-cuda=wide-products %t/static.plan | FileCheck %t/static.mlir
// RUN: transom-opt --print-cuda %t/static.plan | FileCheck %t/static.mlir --check-prefix=LIBRARY
// RUN: transom-opt --print-cuda=own-products %t/static.plan | FileCheck %t/static.mlir --check-prefix=OWN
// RUN: sed 's/%one = transom.constant dense<0.25> : tensor<f32>/%half = transom.constant dense<0.25> : tensor<f32>\n%one = transom.abs %half : (tensor<f32>) -> tensor<f32>/' %t/static.mlir | transom-opt -lower-to-plan=activations=f16 -plan-memory -o %t/computed.plan && transom-opt --print-cuda=own-products %t/computed.plan | FileCheck %t/static.mlir --check-prefix=COMPUTED
// RUN: sed 's/, %a, /, %z, /' %t/static.mlir | transom-opt -lower-to-plan=activations=f16 -plan-memory -o %t/f32.plan && transom-opt --print-cuda=own-products %t/f32.plan | FileCheck %t/static.mlir --check-prefix=COMPUTED
// RUN: transom-opt %t/sixteen.mlir -lower-to-plan=activations=bf16 -plan-memory -o %t/sixteen.plan && transom-opt --print-cuda=own-products %t/sixteen.plan | FileCheck %t/sixteen.mlir
// RUN: transom-opt --print-cuda=wide-products %t/sixteen.plan | FileCheck %t/sixteen.mlir --check-prefix=WIDE
// RUN: transom-opt %t/refused.mlir -lower-to-plan=activations=bf16 -plan-memory -o %t/refused.plan && transom-opt --print-cuda=own-products %t/refused.plan | FileCheck %t/refused.mlir
// A product whose results a norm follows is one kernel on compute capability 9.0: of rows in 8 bits where they are many enough for two turns of its clusters, of 16 bits
// only where all products are to be its own. Its blocks stay: the runtime launches no more than run at once.

//--- static.mlir
module attributes {transom.bounds = {rows = [1, 20000]}} {
  // CHECK-LABEL: // {{.*}}_norm block 384 shared 204896 stays 2
  // CHECK: Lanes<8> value(const Band &band, const OfColumns &columns, const OfRow &row, const OfPiece &piece, int m, int n, const Lanes<8> &sums) const {
  // CHECK: const Lanes<8> own = scaledLanes(sums, row.scale);
  // CHECK: return
  // CHECK: OfNorm readNorm(int n) const {
  // CHECK: own.v[e] *
  // CHECK: scaledLanes({{.*}}, factor1)
  // CHECK: float epsilon() { return 1e-05f; }
  // CHECK: using Shape = GemmNormShape<E4m3, 512, 256, 2, Half, true>;
  // CHECK-LABEL: // program main
  // CHECK: // launch [[NORM:.*_norm]]<132> rows rows from 16897 on hopper
  // CHECK-NEXT: // launch {{.*}}_product<132> rows rows to 16896 on hopper
  // CHECK-NEXT: // launch {{.*}}_product_mma<4, rows / 128> rows rows on others
  // CHECK-NEXT: // launch [[ROWS:.*_rows]]<rows> {{.*}} rows rows to 16896 on hopper
  // CHECK-NEXT: // launch [[ROWS]]<rows> {{.*}} rows rows on others
  // LIBRARY-NOT: GemmNormShape
  // From the first row on nothing is left on Hopper for other kernels.
  // OWN: // launch {{.*}}_norm<132> rows rows on hopper
  // OWN-NEXT: // launch {{.*}}_product_mma<4, rows / 128> rows rows on others
  // OWN-NEXT: // launch {{.*}}_rows<rows> {{.*}} rows rows on others
  // By a scale that is computed, or with a residual of fp32: as elsewhere.
  // COMPUTED-NOT: GemmNormShape
  // COMPUTED: HopperGemmShape<E4m3, 512, 256
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}, %z: tensor<?x512xf32> {transom.name = "z", transom.dims = ["rows", "512"]})
      -> (tensor<?x512xf32> {transom.name = "y"}, tensor<?x512xf32> {transom.name = "r"}) {
    %w = transom.weight "up" : tensor<512x256xf8E4M3FN>
    %s = transom.weight "scales" : tensor<512xf32>
    %g = transom.weight "scale" : tensor<512xf32>
    %c = transom.weight "centre" : tensor<512xf32>
    %one = transom.constant dense<0.25> : tensor<f32>
    %r = transom.round_e4m3 %x : (tensor<?x256xf32>) -> tensor<?x256xf32>
    %a = transom.abs %z : (tensor<?x512xf32>) -> tensor<?x512xf32>
    %y, %q = transom.group (%r, %w, %s, %a, %g, %c, %one) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<512x256xf8E4M3FN>, %s0: tensor<512xf32>, %z0: tensor<?x512xf32>, %g0: tensor<512xf32>, %c0: tensor<512xf32>, %t0: tensor<f32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<512x256xf8E4M3FN>) -> tensor<?x512xf32>
      %1 = transom.mul %0, %s0 : (tensor<?x512xf32>, tensor<512xf32>) -> tensor<?x512xf32>
      %2 = transom.add %1, %z0 : (tensor<?x512xf32>, tensor<?x512xf32>) -> tensor<?x512xf32>
      %3 = transom.layer_norm %2, %g0, %c0 epsilon 1.0e-05 : (tensor<?x512xf32>, tensor<512xf32>, tensor<512xf32>) -> tensor<?x512xf32>
      %4 = transom.round_e4m3 %3 scale %t0 : (tensor<?x512xf32>, tensor<f32>) -> tensor<?x512xf32>
      transom.yield %3, %4 : tensor<?x512xf32>, tensor<?x512xf32>
    } : (tensor<?x256xf32>, tensor<512x256xf8E4M3FN>, tensor<512xf32>, tensor<?x512xf32>, tensor<512xf32>, tensor<512xf32>, tensor<f32>) -> (tensor<?x512xf32>, tensor<?x512xf32>)
    %v = transom.weight "next" : tensor<512x512xf8E4M3FN>
    %u = transom.matmul %q, %v transpose_rhs : (tensor<?x512xf32>, tensor<512x512xf8E4M3FN>) -> tensor<?x512xf32>
    return %y, %u : tensor<?x512xf32>, tensor<?x512xf32>
  }
}

//--- sixteen.mlir
module attributes {transom.bounds = {rows = [1, 8192]}} {
  // Rows without a mean, and without a residual.
  // CHECK-LABEL: // add_rms_norm_768_norm block 384 shared 205920 stays 3
  // CHECK: __cluster_dims__(3, 1, 1)
  // CHECK: float epsilon() { return 1e-06f; }
  // CHECK: using Shape = GemmNormShape<BFloat, 768, 256, 3, NoResidual, false>;
  // CHECK-LABEL: // program main
  // CHECK: // launch add_rms_norm_768_norm<132> rows rows from 65 on hopper
  // CHECK-NEXT: // product m rows n 768 k 256 of bf16 from 65 on others
  // CHECK-NEXT: // launch add_rms_norm_768<rows> {{.*}} rows rows from 65 on others
  // WIDE-NOT: GemmNormShape
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}) -> (tensor<?x768xf32> {transom.name = "y"}) {
    %w = transom.weight "up" : tensor<768x256xf32>
    %b = transom.weight "bias" : tensor<768xf32>
    %g = transom.weight "scale" : tensor<768xf32>
    %y = transom.group (%x, %w, %b, %g) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<768x256xf32>, %b0: tensor<768xf32>, %g0: tensor<768xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<768x256xf32>) -> tensor<?x768xf32>
      %1 = transom.add %0, %b0 : (tensor<?x768xf32>, tensor<768xf32>) -> tensor<?x768xf32>
      %2 = transom.rms_norm %1, %g0 epsilon 1.0e-06 : (tensor<?x768xf32>, tensor<768xf32>) -> tensor<?x768xf32>
      transom.yield %2 : tensor<?x768xf32>
    } : (tensor<?x256xf32>, tensor<768x256xf32>, tensor<768xf32>, tensor<768xf32>) -> tensor<?x768xf32>
    return %y : tensor<?x768xf32>
  }
}

//--- refused.mlir
module attributes {transom.bounds = {rows = [1, 8192]}} {
  // What the norm is taken of is a result too: the product's kernel and one for rows, as elsewhere.
  // CHECK-NOT: GemmNormShape
  // CHECK: HopperGemmShape<BFloat, 512, 256
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}, %q: tensor<?x512xf32> {transom.name = "z", transom.dims = ["rows", "512"]})
      -> (tensor<?x512xf32> {transom.name = "s"}, tensor<?x512xf32> {transom.name = "y"}) {
    %w = transom.weight "up" : tensor<512x256xf32>
    %g = transom.weight "scale" : tensor<512xf32>
    %z = transom.abs %q : (tensor<?x512xf32>) -> tensor<?x512xf32>
    %s, %y = transom.group (%x, %w, %g, %z) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<512x256xf32>, %g0: tensor<512xf32>, %z0: tensor<?x512xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<512x256xf32>) -> tensor<?x512xf32>
      %1 = transom.add %0, %z0 : (tensor<?x512xf32>, tensor<?x512xf32>) -> tensor<?x512xf32>
      %2 = transom.rms_norm %1, %g0 epsilon 1.0e-06 : (tensor<?x512xf32>, tensor<512xf32>) -> tensor<?x512xf32>
      transom.yield %1, %2 : tensor<?x512xf32>, tensor<?x512xf32>
    } : (tensor<?x256xf32>, tensor<512x256xf32>, tensor<512xf32>, tensor<?x512xf32>) -> (tensor<?x512xf32>, tensor<?x512xf32>)
    return %s, %y : tensor<?x512xf32>, tensor<?x512xf32>
  }
}
