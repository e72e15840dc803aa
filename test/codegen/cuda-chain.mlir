// RUN: split-file %s %t
// RUN: transom-opt %t/layer.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/layer.plan && transom-opt --print-cuda %t/layer.plan | FileCheck %t/layer.mlir
// RUN: transom-opt --print-cuda=batch-invariant %t/layer.plan | FileCheck %t/read.mlir
// RUN: transom-opt %t/layer.mlir -lower-to-plan=activations=f32 -plan-memory -o %t/wide.plan && transom-opt --print-cuda %t/wide.plan | FileCheck %t/read.mlir
// RUN: transom-opt %t/read.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/read.plan && transom-opt --print-cuda %t/read.plan | FileCheck %t/read.mlir
// RUN: transom-opt %t/layers.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/layers.plan && transom-opt --print-cuda %t/layers.plan | FileCheck %t/layers.mlir
// RUN: transom-opt --print-cuda=batch-invariant %t/layers.plan | FileCheck %t/read.mlir
// RUN: transom-opt %t/caches.mlir -lower-to-plan=activations=f16 -plan-memory -o %t/caches.plan && transom-opt --print-cuda %t/caches.plan | FileCheck %t/caches.mlir
// Of up to 32 rows products with norms between them have kernels on Hopper of which the norms are parts. Where sizes do not fit these, two products and what
// stands between them are one kernel, whose parts of K the norm's kernel adds. All else, and other devices, have the kernels that there would be without it.

//--- layer.mlir
module attributes {transom.bounds = {batch = [1, 4], tokens = [1, 512]}} {
  // A cluster for each of two heads. Constants are read by column, of all three results alike; no result is stored, but given back.
  // CHECK-LABEL: // add_128_chain block 256 shared
  // CHECK: DEVICE Early constants(int n) const {
  // CHECK-NOT: if (n
  // CHECK: DEVICE float value(const Early &e, int m, int n, float v) const {
  // CHECK: return result;
  // CHECK: void CLUSTER __launch_bounds__(256, 3)
  // CHECK: using Shape = SkinnyChainShape<Half, 128, 2, 128, 4, AttentionMiddle<Half, 64, 0, 128, 256, false>>;
  // CHECK: skinnyChain<Shape>(b0, b1, Epilogue{{{.*}}}, {b5, nullptr, (int)({{.*}}), 0.125f}, b2, b3, (int)rows);
  // CHECK-LABEL: // add_layer_norm_128_chain_sum block
  // CHECK: loadLanes<4>(b0 + 4096 + (int64)row * 128 +
  // As many clusters as 384 columns make, up to 16: each block has 8 columns.
  // CHECK-LABEL: // add_gelu_384_chain block 256 shared
  // CHECK: using Shape = SkinnyChainShape<Half, 128, 6, 128, 4, NoMiddle<Half, 8>>;
  // CHECK-LABEL: // program main
  // CHECK: // launch add_128_chain<16> rows tokens to 32 on hopper
  // CHECK-NEXT: // launch add_layer_norm_128_chain_sum<tokens> rows tokens to 32 on hopper
  // CHECK-NEXT: // launch add_128_skinny_m32{{.*}} rows tokens to 64 on others
  // CHECK-NEXT: // launch add_128_skinny_m64<24, 1> rows tokens from 33 to 64 on hopper
  // CHECK-NEXT: // product m tokens n 384 k 128 of f16 from 65
  // CHECK-NEXT: // launch add_128<tokens> rows tokens from 65
  // CHECK-NEXT: // launch attention_{{.*}} rows tokens on others
  // CHECK-NEXT: // launch attention_{{.*}} rows tokens from 33 on hopper
  // CHECK: // launch add_gelu_384_chain<48> rows tokens to 32 on hopper
  // CHECK-NEXT: // launch add_layer_norm_128_chain_sum{{.*}}<tokens> rows tokens to 32 on hopper
  // CHECK-NOT: _chain
  func.func @main(%x: tensor<?x128xf32> {transom.name = "x", transom.dims = ["tokens", "128"]},
                  %cumulative: tensor<?xi32> {transom.name = "cumulative", transom.dims = ["batch"]}) -> (tensor<?x128xf32> {transom.name = "y"}) {
    %e = transom.exp %x : (tensor<?x128xf32>) -> tensor<?x128xf32>
    %w = transom.weight "qkv" : tensor<384x128xf32>
    %b = transom.weight "bias" : tensor<384xf32>
    %o = transom.weight "out" : tensor<128x128xf32>
    %u = transom.weight "up" : tensor<384x128xf32>
    %d = transom.weight "down" : tensor<128x384xf32>
    %s = transom.weight "scale" : tensor<128xf32>
    %q:3 = transom.group (%e, %w, %b) {
    ^bb0(%x0: tensor<?x128xf32>, %w0: tensor<384x128xf32>, %b0: tensor<384xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x128xf32>, tensor<384x128xf32>) -> tensor<?x384xf32>
      %1 = transom.add %0, %b0 : (tensor<?x384xf32>, tensor<384xf32>) -> tensor<?x384xf32>
      %2 = transom.slice %1 axis 1 start 0 size 128 : (tensor<?x384xf32>) -> tensor<?x128xf32>
      %3 = transom.slice %1 axis 1 start 128 size 128 : (tensor<?x384xf32>) -> tensor<?x128xf32>
      %4 = transom.slice %1 axis 1 start 256 size 128 : (tensor<?x384xf32>) -> tensor<?x128xf32>
      transom.yield %2, %3, %4 : tensor<?x128xf32>, tensor<?x128xf32>, tensor<?x128xf32>
    } : (tensor<?x128xf32>, tensor<384x128xf32>, tensor<384xf32>) -> (tensor<?x128xf32>, tensor<?x128xf32>, tensor<?x128xf32>)
    %q0 = transom.reshape %q#0 [0, 2, 64] : (tensor<?x128xf32>) -> tensor<?x2x64xf32>
    %q1 = transom.reshape %q#1 [0, 2, 64] : (tensor<?x128xf32>) -> tensor<?x2x64xf32>
    %q2 = transom.reshape %q#2 [0, 2, 64] : (tensor<?x128xf32>) -> tensor<?x2x64xf32>
    %a = transom.attention thd %q0, %q1, %q2 cumulative %cumulative {scale = 0.125 : f64}
       : (tensor<?x2x64xf32>, tensor<?x2x64xf32>, tensor<?x2x64xf32>, tensor<?xi32>) -> tensor<?x2x64xf32>
    %r = transom.reshape %a [0, 128] : (tensor<?x2x64xf32>) -> tensor<?x128xf32>
    %n = transom.group (%r, %o, %e, %s) {
    ^bb0(%r0: tensor<?x128xf32>, %o0: tensor<128x128xf32>, %e0: tensor<?x128xf32>, %s0: tensor<128xf32>):
      %0 = transom.matmul %r0, %o0 transpose_rhs : (tensor<?x128xf32>, tensor<128x128xf32>) -> tensor<?x128xf32>
      %1 = transom.add %0, %e0 : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
      %2 = transom.layer_norm %1, %s0, %s0 epsilon 1.0e-05 : (tensor<?x128xf32>, tensor<128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      transom.yield %2 : tensor<?x128xf32>
    } : (tensor<?x128xf32>, tensor<128x128xf32>, tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
    %h = transom.group (%n, %u, %b) {
    ^bb0(%n0: tensor<?x128xf32>, %u0: tensor<384x128xf32>, %b0: tensor<384xf32>):
      %0 = transom.matmul %n0, %u0 transpose_rhs : (tensor<?x128xf32>, tensor<384x128xf32>) -> tensor<?x384xf32>
      %1 = transom.add %0, %b0 : (tensor<?x384xf32>, tensor<384xf32>) -> tensor<?x384xf32>
      %2 = transom.gelu erf %1 : (tensor<?x384xf32>) -> tensor<?x384xf32>
      transom.yield %2 : tensor<?x384xf32>
    } : (tensor<?x128xf32>, tensor<384x128xf32>, tensor<384xf32>) -> tensor<?x384xf32>
    %y = transom.group (%h, %d, %n, %s) {
    ^bb0(%h0: tensor<?x384xf32>, %d0: tensor<128x384xf32>, %n0: tensor<?x128xf32>, %s0: tensor<128xf32>):
      %0 = transom.matmul %h0, %d0 transpose_rhs : (tensor<?x384xf32>, tensor<128x384xf32>) -> tensor<?x128xf32>
      %1 = transom.add %0, %n0 : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
      %2 = transom.layer_norm %1, %s0, %s0 epsilon 1.0e-05 : (tensor<?x128xf32>, tensor<128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      transom.yield %2 : tensor<?x128xf32>
    } : (tensor<?x384xf32>, tensor<128x384xf32>, tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
    return %y : tensor<?x128xf32>
  }
}

//--- layers.mlir
module attributes {transom.bounds = {batch = [1, 4], tokens = [1, 512]}} {
  // Four heads are a cluster's. The first product reads rows as they are, and leaves values transposed.
  // CHECK-LABEL: // add_128_chain block 256 shared
  // CHECK: readParameters(b0, b1, b2, b3, b4, b5, b6);
  // CHECK: using Shape = NormChainShape<Half, 128, 384, 48, 1>;
  // CHECK: using Product = RowsProduct<Shape, true>;
  // CHECK: using Norm = NoNorm<Shape>;
  // CHECK: chainFromNorm<Shape, Product, Norm, ColumnsEnd<Shape, Epilogue, 128, ChainFormat::attention>>({b1}, {}, b0, {Epilogue{{{.*}}}, b2, b3, b4}, {b6, 640}, (int)rows);
  // Attention, a product of its rows, the residual's sum, and moments of the norm.
  // CHECK-LABEL: // add_layer_norm_128_chain block 256 shared
  // CHECK: void CLUSTER __launch_bounds__(256, 2)
  // CHECK: using Shape = NormChainShape<Half, 128, 128, 8, 4>;
  // CHECK: using Product = AttentionProduct<Shape, 32, false>;
  // CHECK: chainToNorm<Shape, Product, NormEnd<Shape, Epilogue, ChainNorm<Half, float, 128, 8, true>>>({b5, b6, b7, b8, nullptr, {{.*}}, 0.125f}, b0,
  // The norm's rows, which others read, and the last product's, as rows.
  // CHECK-LABEL: // add_gelu_384_chain block 256 shared
  // CHECK: using Norm = NormBefore<Shape, ChainNorm<Half, float, 128, 8, true>>;
  // CHECK: chainFromNorm<Shape, Product, Norm, ColumnsEnd<Shape, Epilogue, 384, ChainFormat::rows>>({b3}, {{{.*}}, b5, b5, b4, 1e-05f}, b0, {Epilogue{{{.*}}}, b6, nullptr, nullptr}, {nullptr, 0}, (int)rows);
  // CHECK-LABEL: // program main
  // CHECK: // launch add_128_chain<48> rows tokens from 1 to 32 on hopper
  // CHECK-NEXT: // launch add_layer_norm_128_chain<32> rows tokens from 1 to 32 on hopper
  // CHECK-NEXT: // launch add_gelu_384_chain<48> rows tokens from 1 to 32 on hopper
  // CHECK-NEXT: // launch add_128_skinny_m32{{.*}} rows tokens to 64 on others
  // CHECK: // launch attention_{{.*}} rows tokens from 33 on hopper
  // CHECK-NOT: _chain
  // What stands behind the chain has its own kernels again.
  // CHECK: // launch add_layer_norm_128_parts_m32{{.*}} rows tokens to 64
  func.func @main(%x: tensor<?x128xf32> {transom.name = "x", transom.dims = ["tokens", "128"]},
                  %cumulative: tensor<?xi32> {transom.name = "cumulative", transom.dims = ["batch"]}) -> (tensor<?x128xf32> {transom.name = "y"}) {
    %e = transom.exp %x : (tensor<?x128xf32>) -> tensor<?x128xf32>
    %w = transom.weight "qkv" : tensor<384x128xf32>
    %b = transom.weight "bias" : tensor<384xf32>
    %o = transom.weight "out" : tensor<128x128xf32>
    %u = transom.weight "up" : tensor<384x128xf32>
    %d = transom.weight "down" : tensor<128x384xf32>
    %s = transom.weight "scale" : tensor<128xf32>
    %q:3 = transom.group (%e, %w, %b) {
    ^bb0(%x0: tensor<?x128xf32>, %w0: tensor<384x128xf32>, %b0: tensor<384xf32>):
      %0 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x128xf32>, tensor<384x128xf32>) -> tensor<?x384xf32>
      %1 = transom.add %0, %b0 : (tensor<?x384xf32>, tensor<384xf32>) -> tensor<?x384xf32>
      %2 = transom.slice %1 axis 1 start 0 size 128 : (tensor<?x384xf32>) -> tensor<?x128xf32>
      %3 = transom.slice %1 axis 1 start 128 size 128 : (tensor<?x384xf32>) -> tensor<?x128xf32>
      %4 = transom.slice %1 axis 1 start 256 size 128 : (tensor<?x384xf32>) -> tensor<?x128xf32>
      transom.yield %2, %3, %4 : tensor<?x128xf32>, tensor<?x128xf32>, tensor<?x128xf32>
    } : (tensor<?x128xf32>, tensor<384x128xf32>, tensor<384xf32>) -> (tensor<?x128xf32>, tensor<?x128xf32>, tensor<?x128xf32>)
    %q0 = transom.reshape %q#0 [0, 4, 32] : (tensor<?x128xf32>) -> tensor<?x4x32xf32>
    %q1 = transom.reshape %q#1 [0, 4, 32] : (tensor<?x128xf32>) -> tensor<?x4x32xf32>
    %q2 = transom.reshape %q#2 [0, 4, 32] : (tensor<?x128xf32>) -> tensor<?x4x32xf32>
    %a = transom.attention thd %q0, %q1, %q2 cumulative %cumulative {scale = 0.125 : f64}
       : (tensor<?x4x32xf32>, tensor<?x4x32xf32>, tensor<?x4x32xf32>, tensor<?xi32>) -> tensor<?x4x32xf32>
    %r = transom.reshape %a [0, 128] : (tensor<?x4x32xf32>) -> tensor<?x128xf32>
    %n = transom.group (%r, %o, %e, %s) {
    ^bb0(%r0: tensor<?x128xf32>, %o0: tensor<128x128xf32>, %e0: tensor<?x128xf32>, %s0: tensor<128xf32>):
      %0 = transom.matmul %r0, %o0 transpose_rhs : (tensor<?x128xf32>, tensor<128x128xf32>) -> tensor<?x128xf32>
      %1 = transom.add %0, %e0 : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
      %2 = transom.layer_norm %1, %s0, %s0 epsilon 1.0e-05 : (tensor<?x128xf32>, tensor<128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      transom.yield %2 : tensor<?x128xf32>
    } : (tensor<?x128xf32>, tensor<128x128xf32>, tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
    %h = transom.group (%n, %u, %b) {
    ^bb0(%n0: tensor<?x128xf32>, %u0: tensor<384x128xf32>, %b0: tensor<384xf32>):
      %0 = transom.matmul %n0, %u0 transpose_rhs : (tensor<?x128xf32>, tensor<384x128xf32>) -> tensor<?x384xf32>
      %1 = transom.add %0, %b0 : (tensor<?x384xf32>, tensor<384xf32>) -> tensor<?x384xf32>
      %2 = transom.gelu erf %1 : (tensor<?x384xf32>) -> tensor<?x384xf32>
      transom.yield %2 : tensor<?x384xf32>
    } : (tensor<?x128xf32>, tensor<384x128xf32>, tensor<384xf32>) -> tensor<?x384xf32>
    %y = transom.group (%h, %d, %n, %s) {
    ^bb0(%h0: tensor<?x384xf32>, %d0: tensor<128x384xf32>, %n0: tensor<?x128xf32>, %s0: tensor<128xf32>):
      %0 = transom.matmul %h0, %d0 transpose_rhs : (tensor<?x384xf32>, tensor<128x384xf32>) -> tensor<?x128xf32>
      %1 = transom.add %0, %n0 : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
      %2 = transom.layer_norm %1, %s0, %s0 epsilon 1.0e-05 : (tensor<?x128xf32>, tensor<128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      transom.yield %2 : tensor<?x128xf32>
    } : (tensor<?x384xf32>, tensor<128x384xf32>, tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
    return %y : tensor<?x128xf32>
  }
}

//--- caches.mlir
module attributes {transom.bounds = {rows = [1, 512]}} {
  // Behind the norm keys go to a cache, which these kernels do not have.
  // CHECK-NOT: chainFromNorm
  // CHECK: skinnyChain<Shape>(
  // CHECK-NOT: chainFromNorm
  // CHECK: // program main
  func.func @main(%x: tensor<?x128xf32> {transom.name = "x", transom.dims = ["rows", "128"]},
                  %p: tensor<?xi32> {transom.name = "past_lengths", transom.dims = ["rows"]},
                  %l: tensor<?xi32> {transom.name = "lengths", transom.dims = ["rows"]},
                  %k: !transom.cache<?x2x128x64xf32> {transom.name = "keys", transom.dims = ["rows", "2", "128", "64"]})
      -> (!transom.cache<?x2x128x64xf32> {transom.name = "keys"}) {
    %e = transom.exp %x : (tensor<?x128xf32>) -> tensor<?x128xf32>
    %u = transom.weight "up" : tensor<384x128xf32>
    %d = transom.weight "down" : tensor<128x384xf32>
    %w = transom.weight "key" : tensor<128x128xf32>
    %s = transom.weight "scale" : tensor<128xf32>
    %h = transom.group (%e, %u) {
    ^bb0(%e0: tensor<?x128xf32>, %u0: tensor<384x128xf32>):
      %0 = transom.matmul %e0, %u0 transpose_rhs : (tensor<?x128xf32>, tensor<384x128xf32>) -> tensor<?x384xf32>
      %1 = transom.gelu erf %0 : (tensor<?x384xf32>) -> tensor<?x384xf32>
      transom.yield %1 : tensor<?x384xf32>
    } : (tensor<?x128xf32>, tensor<384x128xf32>) -> tensor<?x384xf32>
    %n = transom.group (%h, %d, %e, %s) {
    ^bb0(%h0: tensor<?x384xf32>, %d0: tensor<128x384xf32>, %e0: tensor<?x128xf32>, %s0: tensor<128xf32>):
      %0 = transom.matmul %h0, %d0 transpose_rhs : (tensor<?x384xf32>, tensor<128x384xf32>) -> tensor<?x128xf32>
      %1 = transom.add %0, %e0 : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
      %2 = transom.layer_norm %1, %s0, %s0 epsilon 1.0e-05 : (tensor<?x128xf32>, tensor<128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      transom.yield %2 : tensor<?x128xf32>
    } : (tensor<?x384xf32>, tensor<128x384xf32>, tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
    %k1 = transom.group (%n, %w, %k, %p, %l) {
    ^bb0(%n0: tensor<?x128xf32>, %w0: tensor<128x128xf32>, %k0: !transom.cache<?x2x128x64xf32>, %p0: tensor<?xi32>, %l0: tensor<?xi32>):
      %0 = transom.matmul %n0, %w0 transpose_rhs : (tensor<?x128xf32>, tensor<128x128xf32>) -> tensor<?x128xf32>
      %1 = transom.reshape %0 [0, 1, 2, 64] : (tensor<?x128xf32>) -> tensor<?x1x2x64xf32>
      %2 = transom.cache_append bshd %k0, %1 past %p0 lengths %l0 : (!transom.cache<?x2x128x64xf32>, tensor<?x1x2x64xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x2x128x64xf32>
      transom.yield %2 : !transom.cache<?x2x128x64xf32>
    } : (tensor<?x128xf32>, tensor<128x128xf32>, !transom.cache<?x2x128x64xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x2x128x64xf32>
    return %k1 : !transom.cache<?x2x128x64xf32>
  }
}

//--- read.mlir
module attributes {transom.bounds = {tokens = [1, 512]}} {
  // What stands between the products is read by someone else, too.
  // CHECK-NOT: {{skinnyChain|chainToNorm}}
  // CHECK: // program main
  func.func @main(%x: tensor<?x128xf32> {transom.name = "x", transom.dims = ["tokens", "128"]})
      -> (tensor<?x128xf32> {transom.name = "y"}, tensor<?x384xf32> {transom.name = "z"}) {
    %n = transom.exp %x : (tensor<?x128xf32>) -> tensor<?x128xf32>
    %u = transom.weight "up" : tensor<384x128xf32>
    %d = transom.weight "down" : tensor<128x384xf32>
    %s = transom.weight "scale" : tensor<128xf32>
    %h = transom.group (%n, %u) {
    ^bb0(%n0: tensor<?x128xf32>, %u0: tensor<384x128xf32>):
      %0 = transom.matmul %n0, %u0 transpose_rhs : (tensor<?x128xf32>, tensor<384x128xf32>) -> tensor<?x384xf32>
      %1 = transom.gelu erf %0 : (tensor<?x384xf32>) -> tensor<?x384xf32>
      transom.yield %1 : tensor<?x384xf32>
    } : (tensor<?x128xf32>, tensor<384x128xf32>) -> tensor<?x384xf32>
    %y = transom.group (%h, %d, %n, %s) {
    ^bb0(%h0: tensor<?x384xf32>, %d0: tensor<128x384xf32>, %n0: tensor<?x128xf32>, %s0: tensor<128xf32>):
      %0 = transom.matmul %h0, %d0 transpose_rhs : (tensor<?x384xf32>, tensor<128x384xf32>) -> tensor<?x128xf32>
      %1 = transom.add %0, %n0 : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
      %2 = transom.layer_norm %1, %s0, %s0 epsilon 1.0e-05 : (tensor<?x128xf32>, tensor<128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
      transom.yield %2 : tensor<?x128xf32>
    } : (tensor<?x384xf32>, tensor<128x384xf32>, tensor<?x128xf32>, tensor<128xf32>) -> tensor<?x128xf32>
    %z = transom.exp %h : (tensor<?x384xf32>) -> tensor<?x384xf32>
    return %y, %z : tensor<?x128xf32>, tensor<?x384xf32>
  }
}
