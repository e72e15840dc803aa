// RUN: transom-opt %s -split-input-file -lower-to-plan -plan-memory | FileCheck %s

// Few rows: a group is one launch; its work is tiles of columns, at least 64 of them where a prologue is computed first. The
// residual's memory takes the result; the cache is updated where it is.
// CHECK: plan.kernel @gemv_rms_norm_rotary_cache_append_q4_1_96x64(
// CHECK:   transom.group
// CHECK: plan.kernel @gemv_add_q4_1_64x64(
// CHECK-NOT: plan.kernel
// CHECK: %[[S:.*]] = plan.buffer arena shape ["rows", "2", "32"] bytes 1024 offset {{[0-9]+}} : tensor<?x2x32xf32>
// CHECK-NEXT: plan.launch @gemv_rms_norm_rotary_cache_append_q4_1_96x64 ins(%x, %norm, %qk, %positions, %keys, %positions, %lengths) outs(%[[S]], %keys) work "3" grain 2 scratch {{[1-9][0-9]*}} source "blk.0.attn"
// CHECK: plan.launch @gemv_add_q4_1_64x64 ins({{.*}}) outs(%y) work "4" scratch {{[1-9][0-9]*}} source
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x64xf32> {transom.name = "x", transom.dims = ["rows", "64"]},
                  %p: tensor<?xi32> {transom.name = "positions", transom.dims = ["rows"]},
                  %l: tensor<?xi32> {transom.name = "lengths", transom.dims = ["rows"]},
                  %c: !transom.cache<?x1x8x32xf32> {transom.name = "keys", transom.dims = ["rows", "1", "8", "32"]})
      -> (tensor<?x64xf32> {transom.name = "y"}, !transom.cache<?x1x8x32xf32> {transom.name = "keys"}) {
    %s = transom.weight "norm" : tensor<64xf32>
    %w = transom.weight "qk" : tensor<96x64x!transom.block<q4_1>>
    %o = transom.weight "o" : tensor<64x64x!transom.block<q4_1>>
    %q, %k = transom.group (%x, %s, %w, %p, %c, %p, %l) {
    ^bb0(%x0: tensor<?x64xf32>, %s0: tensor<64xf32>, %w0: tensor<96x64x!transom.block<q4_1>>, %p0: tensor<?xi32>,
         %c0: !transom.cache<?x1x8x32xf32>, %past: tensor<?xi32>, %l0: tensor<?xi32>):
      %0 = transom.rms_norm %x0, %s0 epsilon 1.0e-05 : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
      %1 = transom.matmul %0, %w0 transpose_rhs : (tensor<?x64xf32>, tensor<96x64x!transom.block<q4_1>>) -> tensor<?x96xf32>
      %2 = transom.slice %1 axis 1 start 0 size 64 : (tensor<?x96xf32>) -> tensor<?x64xf32>
      %3 = transom.reshape %2 [0, 2, 32] : (tensor<?x64xf32>) -> tensor<?x2x32xf32>
      %4 = transom.rotary thd %3, %p0 dims 32 base 10000.0 : (tensor<?x2x32xf32>, tensor<?xi32>) -> tensor<?x2x32xf32>
      %5 = transom.slice %1 axis 1 start 64 size 32 : (tensor<?x96xf32>) -> tensor<?x32xf32>
      %6 = transom.reshape %5 [-1, 1, 1, 32] : (tensor<?x32xf32>) -> tensor<?x1x1x32xf32>
      %7 = transom.cache_append bshd %c0, %6 past %past lengths %l0
        : (!transom.cache<?x1x8x32xf32>, tensor<?x1x1x32xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x1x8x32xf32>
      transom.yield %4, %7 : tensor<?x2x32xf32>, !transom.cache<?x1x8x32xf32>
    } : (tensor<?x64xf32>, tensor<64xf32>, tensor<96x64x!transom.block<q4_1>>, tensor<?xi32>, !transom.cache<?x1x8x32xf32>, tensor<?xi32>, tensor<?xi32>)
      -> (tensor<?x2x32xf32>, !transom.cache<?x1x8x32xf32>) loc("blk.0.attn")
    %8 = transom.reshape %q [0, 64] : (tensor<?x2x32xf32>) -> tensor<?x64xf32>
    %h = transom.group (%8, %o, %x) {
    ^bb0(%a: tensor<?x64xf32>, %o0: tensor<64x64x!transom.block<q4_1>>, %r: tensor<?x64xf32>):
      %0 = transom.matmul %a, %o0 transpose_rhs : (tensor<?x64xf32>, tensor<64x64x!transom.block<q4_1>>) -> tensor<?x64xf32>
      %1 = transom.add %r, %0 : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
      transom.yield %1 : tensor<?x64xf32>
    } : (tensor<?x64xf32>, tensor<64x64x!transom.block<q4_1>>, tensor<?x64xf32>) -> tensor<?x64xf32>
    return %h, %k : tensor<?x64xf32>, !transom.cache<?x1x8x32xf32>
  }
}

// -----

// Many rows: what comes before the product is a launch of its own, what follows is the product's epilogue, with two results.
// CHECK: plan.kernel @rms_norm_32(
// CHECK: plan.kernel @unpack_q4_1_32x32(
// CHECK: plan.kernel @add_rms_norm_32(
// CHECK: plan.launch @rms_norm_32 ins(%x, %norm) outs(%[[N:.*]]) work "rows"
// CHECK: %[[P:.*]] = plan.buffer arena shape ["rows", "32"]
// CHECK: plan.gemm ins(%[[N]], %w) outs(%[[P]]) m "rows" n "32" k "32" unpack @unpack_q4_1_32x32 epilogue @add_rms_norm_32(%x, %norm) to(%h, %n)
module attributes {transom.bounds = {rows = [1, 40]}} {
  func.func @main(%x: tensor<?x32xf32> {transom.name = "x", transom.dims = ["rows", "32"]})
      -> (tensor<?x32xf32> {transom.name = "h"}, tensor<?x32xf32> {transom.name = "n"}) {
    %s = transom.weight "norm" : tensor<32xf32>
    %w = transom.weight "w" : tensor<32x32x!transom.block<q4_1>>
    %h, %n = transom.group (%x, %s, %w) {
    ^bb0(%x0: tensor<?x32xf32>, %s0: tensor<32xf32>, %w0: tensor<32x32x!transom.block<q4_1>>):
      %0 = transom.rms_norm %x0, %s0 epsilon 1.0e-05 : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
      %1 = transom.matmul %0, %w0 transpose_rhs : (tensor<?x32xf32>, tensor<32x32x!transom.block<q4_1>>) -> tensor<?x32xf32>
      %2 = transom.add %x0, %1 : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
      %3 = transom.rms_norm %2, %s0 epsilon 1.0e-05 : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
      transom.yield %2, %3 : tensor<?x32xf32>, tensor<?x32xf32>
    } : (tensor<?x32xf32>, tensor<32xf32>, tensor<32x32x!transom.block<q4_1>>) -> (tensor<?x32xf32>, tensor<?x32xf32>)
    return %h, %n : tensor<?x32xf32>, tensor<?x32xf32>
  }
}

// -----

// Rows alone: two results, of which each takes the memory of an argument that is not needed any more.
// CHECK: plan.kernel @add_rms_norm_32(
// CHECK: %[[A:.*]] = plan.buffer arena shape ["rows", "32"] bytes 512 offset [[AT:[0-9]+]]
// CHECK: %[[B:.*]] = plan.buffer arena shape ["rows", "32"] bytes 512 offset [[BT:[0-9]+]]
// CHECK: %[[H:.*]] = plan.buffer arena shape ["rows", "32"] bytes 512 offset [[AT]]
// CHECK: %[[N:.*]] = plan.buffer arena shape ["rows", "32"] bytes 512 offset [[BT]]
// CHECK: plan.launch @add_rms_norm_32 ins(%[[A]], %[[B]], %norm) outs(%[[H]], %[[N]]) work "rows"
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x32xf32> {transom.name = "x", transom.dims = ["rows", "32"]}) -> (tensor<?x32xf32> {transom.name = "y"}) {
    %s = transom.weight "norm" : tensor<32xf32>
    %a = transom.exp %x : (tensor<?x32xf32>) -> tensor<?x32xf32>
    %b = transom.neg %x : (tensor<?x32xf32>) -> tensor<?x32xf32>
    %h, %n = transom.group (%a, %b, %s) {
    ^bb0(%x0: tensor<?x32xf32>, %r: tensor<?x32xf32>, %s0: tensor<32xf32>):
      %0 = transom.add %x0, %r : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
      %1 = transom.rms_norm %0, %s0 epsilon 1.0e-05 : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
      transom.yield %0, %1 : tensor<?x32xf32>, tensor<?x32xf32>
    } : (tensor<?x32xf32>, tensor<?x32xf32>, tensor<32xf32>) -> (tensor<?x32xf32>, tensor<?x32xf32>)
    %y = transom.mul %h, %n : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
    return %y : tensor<?x32xf32>
  }
}

// -----

// What no kernel computes falls apart: a sum over all heads' rows, and a value that is needed before and behind the product.
// CHECK-NOT: transom.group
// CHECK: plan.launch @softmax
// CHECK: plan.launch @neg
// CHECK: plan.launch @matmul
// CHECK: plan.launch @add
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x32xf32> {transom.name = "x", transom.dims = ["rows", "32"]})
      -> (tensor<?x32xf32> {transom.name = "y"}, tensor<?x32xf32> {transom.name = "z"}) {
    %w = transom.weight "w" : tensor<32x32xf32>
    %y = transom.group (%x) {
    ^bb0(%x0: tensor<?x32xf32>):
      %0 = transom.softmax %x0 axis 1 : (tensor<?x32xf32>) -> tensor<?x32xf32>
      transom.yield %0 : tensor<?x32xf32>
    } : (tensor<?x32xf32>) -> tensor<?x32xf32>
    %z = transom.group (%x, %w) {
    ^bb0(%x0: tensor<?x32xf32>, %w0: tensor<32x32xf32>):
      %0 = transom.neg %x0 : (tensor<?x32xf32>) -> tensor<?x32xf32>
      %1 = transom.abs %0 : (tensor<?x32xf32>) -> tensor<?x32xf32>
      %2 = transom.matmul %1, %w0 transpose_rhs : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
      %3 = transom.add %2, %0 : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
      transom.yield %3 : tensor<?x32xf32>
    } : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
    return %y, %z : tensor<?x32xf32>, tensor<?x32xf32>
  }
}
