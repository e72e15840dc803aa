// RUN: transom-opt %s -split-input-file -lower-to-plan | FileCheck %s

// Weights are declared once, equal ops share a kernel, a reshape is a view, an elementwise op is wrapped, and a product
// with many rows goes to the matrix library.
// CHECK: plan.weight "up" : tensor<64x32x!transom.block<q4_1>>
// CHECK-NEXT: plan.weight "norm" : tensor<32xf32>
// CHECK-NOT: plan.weight
// CHECK: plan.kernel @rms_norm_32(
// CHECK: plan.kernel @unpack_q4_1_64x32({{.*}} unpack
// CHECK: plan.kernel @silu_64(
// CHECK:   transom.fused
// CHECK-NOT: plan.kernel
// CHECK: plan.program @main arena {{[0-9]+}} staging {{[0-9]+}} weights {{[0-9]+}} {
// CHECK-NEXT: %x = plan.buffer input "x" shape ["batch", "seq", "32"] bytes 4096
// CHECK-NEXT: %y = plan.buffer output "y" shape ["batch*seq", "64"] bytes 8192
// CHECK: %[[N:.*]] = plan.buffer arena shape ["batch", "seq", "32"] bytes 4096 offset 0
// CHECK-NEXT: plan.launch @rms_norm_32 ins(%x, %norm) outs(%[[N]]) work "batch*seq" source "blk.0.norm"
// CHECK: %[[M:.*]] = plan.buffer arena shape ["batch", "seq", "32"] bytes 4096 offset 4096
// CHECK-NEXT: plan.launch @rms_norm_32 ins(%[[N]], %norm) outs(%[[M]])
// CHECK: %[[P:.*]] = plan.buffer arena shape ["batch", "seq", "64"] bytes 8192 offset 8192
// CHECK-NEXT: plan.gemm ins(%[[M]], %up) outs(%[[P]]) m "batch*seq" n "64" k "32" unpack @unpack_q4_1_64x32
// CHECK: %[[Y:.*]] = plan.view %y shape ["batch", "seq", "64"]
// CHECK-NEXT: plan.launch @silu_64 ins(%[[P]]) outs(%[[Y]]) work "batch*seq" source "silu"
// CHECK-NOT: func.func
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 16]}} {
  func.func @main(%x: tensor<?x?x32xf32> {transom.name = "x", transom.dims = ["batch", "seq", "32"]})
      -> (tensor<?x64xf32> {transom.name = "y"}) {
    %up = transom.weight "up" : tensor<64x32x!transom.block<q4_1>>
    %w = transom.weight "norm" : tensor<32xf32>
    %unused = transom.weight "unused" : tensor<32xf32>
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x?x32xf32>, tensor<32xf32>) -> tensor<?x?x32xf32> loc("blk.0.norm")
    %again = transom.weight "norm" : tensor<32xf32>
    %1 = transom.rms_norm %0, %again epsilon 1.0e-05 : (tensor<?x?x32xf32>, tensor<32xf32>) -> tensor<?x?x32xf32>
    %2 = transom.matmul %1, %up transpose_rhs : (tensor<?x?x32xf32>, tensor<64x32x!transom.block<q4_1>>) -> tensor<?x?x64xf32>
    %3 = transom.silu %2 : (tensor<?x?x64xf32>) -> tensor<?x?x64xf32>
    %4 = transom.reshape %3 [-1, 64] : (tensor<?x?x64xf32>) -> tensor<?x64xf32>
    return %4 : tensor<?x64xf32>
  }
}

// -----

// Few rows: a matrix-vector kernel, whose work is blocks of 16 weight rows. A product with no weight is a plain launch.
// CHECK: plan.kernel @matmul_q8_0_40x32(
// CHECK: plan.kernel @matmul(
// CHECK: plan.launch @matmul_q8_0_40x32 ins(%x, %w) outs(%{{.*}}) work "3"
// CHECK: plan.launch @matmul ins({{.*}}) outs(%y) work "batch"
module attributes {transom.bounds = {batch = [1, 4]}} {
  func.func @main(%x: tensor<?x32xf32> {transom.name = "x", transom.dims = ["batch", "32"]},
                  %z: tensor<40x?xf32> {transom.name = "z", transom.dims = ["40", "batch"]})
      -> (tensor<?x?xf32> {transom.name = "y"}) {
    %w = transom.weight "w" : tensor<40x32x!transom.block<q8_0>>
    %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x32xf32>, tensor<40x32x!transom.block<q8_0>>) -> tensor<?x40xf32>
    %1 = transom.matmul %0, %z : (tensor<?x40xf32>, tensor<40x?xf32>) -> tensor<?x?xf32>
    return %1 : tensor<?x?xf32>
  }
}

// -----

// A transpose that moves only dimensions of size 1 is a view, another one is a launch; so with a slice of everything.
// CHECK: plan.kernel @transpose_1x4x8(
// CHECK-NOT: plan.kernel
// CHECK: %[[A:.*]] = plan.view %x shape ["n", "1", "4", "8"] : tensor<?x1x4x8xf32>
// CHECK-NEXT: %[[B:.*]] = plan.view %[[A]] shape ["n", "1", "4", "8"] : tensor<?x1x4x8xf32>
// CHECK: plan.launch @transpose_1x4x8 ins(%[[B]]) outs(%y) work "4*n"
module attributes {transom.bounds = {n = [1, 4]}} {
  func.func @main(%x: tensor<?x4x1x8xf32> {transom.name = "x", transom.dims = ["n", "4", "1", "8"]})
      -> (tensor<1x4x?x8xf32> {transom.name = "y"}) {
    %0 = transom.transpose %x [0, 2, 1, 3] : (tensor<?x4x1x8xf32>) -> tensor<?x1x4x8xf32>
    %1 = transom.slice %0 axis 2 start 0 size 4 : (tensor<?x1x4x8xf32>) -> tensor<?x1x4x8xf32>
    %2 = transom.transpose %1 [1, 2, 0, 3] : (tensor<?x1x4x8xf32>) -> tensor<1x4x?x8xf32>
    return %2 : tensor<1x4x?x8xf32>
  }
}

// -----

// The first numbers of a single row are a view as well; not where there may be more rows, or fewer numbers than that, where it is no beginning, or a result.
// CHECK: %many = plan.buffer output
// CHECK-NEXT: %[[X:.*]] = plan.buffer
// CHECK-NEXT: plan.launch @relu_1x8 ins(%x) outs(%[[X]])
// CHECK-NEXT: %[[F:.*]] = plan.view %[[X]] shape ["1", "1", "8"] : tensor<1x1x8xf32>
// CHECK-NEXT: plan.launch @relu_1x1x8 ins(%[[F]]) outs(%first) work "1"
// CHECK: plan.launch @slice_1x2x8 ins(%[[X]])
// CHECK: plan.launch @slice_1x1x8 ins(%[[X]])
// CHECK: plan.launch @slice_1x1x8_2 ins(%[[X]]) outs(%result)
// CHECK: plan.launch @slice_1x8 ins({{.*}}) outs(%[[M:.*]]) work "n"
// CHECK-NEXT: plan.launch @relu_1x8_2 ins(%[[M]]) outs(%many)
module attributes {transom.bounds = {n = [1, 4], seq = [1, 16]}} {
  func.func @main(%x: tensor<1x?x8xf32> {transom.name = "x", transom.dims = ["1", "seq", "8"]}, %y: tensor<?x?x8xf32> {transom.name = "y", transom.dims = ["n", "seq", "8"]})
      -> (tensor<1x1x8xf32> {transom.name = "first"}, tensor<1x2x8xf32> {transom.name = "two"}, tensor<1x1x8xf32> {transom.name = "second"},
          tensor<1x1x8xf32> {transom.name = "result"}, tensor<?x1x8xf32> {transom.name = "many"}) {
    %0 = transom.relu %x : (tensor<1x?x8xf32>) -> tensor<1x?x8xf32>
    %1 = transom.slice %0 axis 1 start 0 size 1 : (tensor<1x?x8xf32>) -> tensor<1x1x8xf32>
    %2 = transom.relu %1 : (tensor<1x1x8xf32>) -> tensor<1x1x8xf32>
    %3 = transom.slice %0 axis 1 start 0 size 2 : (tensor<1x?x8xf32>) -> tensor<1x2x8xf32>
    %4 = transom.relu %3 : (tensor<1x2x8xf32>) -> tensor<1x2x8xf32>
    %5 = transom.slice %0 axis 1 start 1 size 1 : (tensor<1x?x8xf32>) -> tensor<1x1x8xf32>
    %6 = transom.relu %5 : (tensor<1x1x8xf32>) -> tensor<1x1x8xf32>
    %7 = transom.slice %0 axis 1 start 0 size 1 : (tensor<1x?x8xf32>) -> tensor<1x1x8xf32>
    %8 = transom.relu %y : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
    %9 = transom.slice %8 axis 1 start 0 size 1 : (tensor<?x?x8xf32>) -> tensor<?x1x8xf32>
    %10 = transom.relu %9 : (tensor<?x1x8xf32>) -> tensor<?x1x8xf32>
    return %2, %4, %6, %7, %10 : tensor<1x1x8xf32>, tensor<1x2x8xf32>, tensor<1x1x8xf32>, tensor<1x1x8xf32>, tensor<?x1x8xf32>
  }
}

// -----

// A result that is an input, a weight or another result gets a copy; constants and recipes are weights of the artifact.
// CHECK: plan.weight "constant.1" = dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32> : tensor<2xf32>
// CHECK: plan.weight "sum" : tensor<2xf32> recipe {
// CHECK:   %[[S:.*]] = transom.add
// CHECK:   plan.yield %[[S]] : tensor<2xf32>
// CHECK: plan.kernel @add_2(
// CHECK: plan.kernel @copy_2(
// CHECK: plan.kernel @copy_2_2(
// CHECK: %a = plan.buffer output "a"
// CHECK: %sum = plan.buffer weight "sum"
// CHECK-DAG: plan.launch @add_2 ins(%x, %constant.1) outs(%a) work "n"
// CHECK-DAG: plan.launch @copy_2 ins(%a) outs(%b) work "n"
// CHECK-DAG: plan.launch @copy_2 ins(%x) outs(%c) work "n"
// CHECK-DAG: plan.launch @copy_2_2 ins(%sum) outs(%d) work "1"
module attributes {transom.bounds = {n = [1, 4]}} {
  func.func @main(%x: tensor<?x2xf32> {transom.name = "x", transom.dims = ["n", "2"]})
      -> (tensor<?x2xf32> {transom.name = "a"}, tensor<?x2xf32> {transom.name = "b"},
          tensor<?x2xf32> {transom.name = "c"}, tensor<2xf32> {transom.name = "d"}) {
    %0 = transom.constant dense<[1.0, 2.0]> : tensor<2xf32>
    %taken = transom.weight "constant.0" : tensor<2xf32>
    %1 = transom.recipe "sum" : tensor<2xf32> {
      %3 = transom.weight "constant.0" : tensor<2xf32>
      %4 = transom.add %3, %3 : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
      transom.yield %4 : tensor<2xf32>
    }
    %2 = transom.add %x, %0 : (tensor<?x2xf32>, tensor<2xf32>) -> tensor<?x2xf32>
    return %2, %2, %x, %1 : tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>, tensor<2xf32>
  }
}

// -----

// A cache is a state, shared by the programs, updated in place: the append writes where it reads.
// CHECK: plan.program @prefill
// CHECK: %cache.0.key = plan.buffer state "cache.0.key" shape ["batch", "2", "16", "4"] bytes 1024 : !transom.cache<?x2x16x4xf32>
// CHECK: plan.launch @cache_append_2x16x4 ins(%cache.0.key, %k, %past, %lengths) outs(%cache.0.key) work "2*batch*seq"
// CHECK: plan.launch @attention_cached_2x4 ins(%q, %cache.0.key, %cache.0.key, %past, %lengths) outs(%y) work "2*batch*seq"
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 8]}} {
  func.func @prefill(%k: tensor<?x2x?x4xf32> {transom.name = "k", transom.dims = ["batch", "2", "seq", "4"]},
                     %q: tensor<?x2x?x4xf32> {transom.name = "q", transom.dims = ["batch", "2", "seq", "4"]},
                     %past: tensor<?xi32> {transom.name = "past", transom.dims = ["batch"]},
                     %lengths: tensor<?xi32> {transom.name = "lengths", transom.dims = ["batch"]},
                     %c: !transom.cache<?x2x16x4xf32> {transom.name = "cache.0.key", transom.dims = ["batch", "2", "16", "4"]})
      -> (tensor<?x2x?x4xf32> {transom.name = "y"}, !transom.cache<?x2x16x4xf32>) {
    %0 = transom.cache_append bhsd %c, %k past %past lengths %lengths
       : (!transom.cache<?x2x16x4xf32>, tensor<?x2x?x4xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x2x16x4xf32>
    %1 = transom.attention bhsd %q, %0, %0 past %past lengths %lengths {causal, scale = 0.5 : f64}
       : (tensor<?x2x?x4xf32>, !transom.cache<?x2x16x4xf32>, !transom.cache<?x2x16x4xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x2x?x4xf32>
    return %1, %0 : tensor<?x2x?x4xf32>, !transom.cache<?x2x16x4xf32>
  }
}

// -----

// How work is counted: rows, single elements where the last size is not known, results of a reduction, one item.
// CHECK-DAG: plan.launch @neg ins({{.*}}) outs({{.*}}) work "a*b" grain 16
// CHECK-DAG: plan.launch @reduce ins({{.*}}) outs({{.*}}) work "b"
// CHECK-DAG: plan.launch @softmax ins({{.*}}) outs({{.*}}) work "b"
// CHECK-DAG: plan.launch @iota_i32 ins({{.*}}) outs({{.*}}) work "1"
module attributes {transom.bounds = {a = [1, 4], b = [1, 4]}} {
  func.func @main(%x: tensor<?x?xf32> {transom.name = "x", transom.dims = ["a", "b"]})
      -> (tensor<?x?xf32> {transom.name = "n"}, tensor<?xf32> {transom.name = "r"}, tensor<?x?xf32> {transom.name = "s"},
          tensor<?xi32> {transom.name = "i"}) {
    %0 = transom.neg %x : (tensor<?x?xf32>) -> tensor<?x?xf32>
    %1 = transom.reduce sum %x axes [0] : (tensor<?x?xf32>) -> tensor<?xf32>
    %2 = transom.softmax %x axis 0 : (tensor<?x?xf32>) -> tensor<?x?xf32>
    %3 = transom.iota like %x axis 0 : (tensor<?x?xf32>) -> tensor<?xi32>
    return %0, %1, %2, %3 : tensor<?x?xf32>, tensor<?xf32>, tensor<?x?xf32>, tensor<?xi32>
  }
}
