// Every op of the plan dialect survives printing and parsing, and reads as documented.
// RUN: transom-opt %s | transom-opt | FileCheck %s
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 16], tokens = [0, 32]}} {
  // CHECK: plan.weight "blk.0.ffn_up.weight" : tensor<64x32x!transom.block<q4_1>>
  plan.weight "blk.0.ffn_up.weight" : tensor<64x32x!transom.block<q4_1>>
  // CHECK: plan.weight "constant.0" = dense<1.000000e+00> : tensor<32xf32> : tensor<32xf32>
  plan.weight "constant.0" = dense<1.0> : tensor<32xf32> : tensor<32xf32>
  // CHECK: plan.weight "norm.f32" : tensor<32xf32> recipe {
  // CHECK:   plan.yield
  plan.weight "norm.f32" : tensor<32xf32> recipe {
    %0 = transom.weight "norm" : tensor<32xbf16>
    %1 = transom.cast %0 to f32 : (tensor<32xbf16>) -> tensor<32xf32>
    plan.yield %1 : tensor<32xf32>
  }
  // CHECK: plan.kernel @rms_norm_32(%{{.*}}: tensor<?x?x32xf32>, %{{.*}}: tensor<32xf32>) -> tensor<?x?x32xf32> {
  plan.kernel @rms_norm_32(%x: tensor<?x?x32xf32>, %w: tensor<32xf32>) -> tensor<?x?x32xf32> {
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x?x32xf32>, tensor<32xf32>) -> tensor<?x?x32xf32>
    plan.yield %0 : tensor<?x?x32xf32>
  }
  // CHECK: plan.kernel @top_k(%{{.*}}: tensor<?x8xf32>) -> (tensor<?x2xf32>, tensor<?x2xi32>) {
  plan.kernel @top_k(%x: tensor<?x8xf32>) -> (tensor<?x2xf32>, tensor<?x2xi32>) {
    %0:2 = transom.top_k %x k 2 : (tensor<?x8xf32>) -> (tensor<?x2xf32>, tensor<?x2xi32>)
    plan.yield %0#0, %0#1 : tensor<?x2xf32>, tensor<?x2xi32>
  }
  // CHECK: plan.kernel @unpack_q4_1_64x32(%{{.*}}: tensor<64x32x!transom.block<q4_1>>) -> tensor<64x32xf32> unpack {
  plan.kernel @unpack_q4_1_64x32(%w: tensor<64x32x!transom.block<q4_1>>) -> tensor<64x32xf32> unpack {
    %0 = transom.dequantize %w to f32 : (tensor<64x32x!transom.block<q4_1>>) -> tensor<64x32xf32>
    plan.yield %0 : tensor<64x32xf32>
  }
  // CHECK: plan.program @main arena 4096 staging 12288 weights 1408 {
  plan.program @main arena 4096 staging 12288 weights 1408 {
    // CHECK: %x = plan.buffer input "x" shape ["batch", "seq", "32"] bytes 4096 : tensor<?x?x32xf32>
    %x = plan.buffer input "x" shape ["batch", "seq", "32"] bytes 4096 : tensor<?x?x32xf32>
    // CHECK: %y = plan.buffer output "y" shape ["batch*seq", "64"] bytes 8192 : tensor<?x64xf32>
    %y = plan.buffer output "y" shape ["batch*seq", "64"] bytes 8192 : tensor<?x64xf32>
    %n = plan.buffer weight "norm.f32" shape ["32"] bytes 128 : tensor<32xf32>
    %w = plan.buffer weight "blk.0.ffn_up.weight" shape ["64", "32"] bytes 1280 : tensor<64x32x!transom.block<q4_1>>
    // CHECK: %[[N:.*]] = plan.buffer arena shape ["batch", "seq", "32"] bytes 4096 offset 0 : tensor<?x?x32xf32>
    %0 = plan.buffer arena shape ["batch", "seq", "32"] bytes 4096 offset 0 : tensor<?x?x32xf32>
    // CHECK: plan.launch @rms_norm_32 ins(%x, %norm.f32) outs(%[[N]]) work "batch*seq" source "blk.0.ffn_norm"
    plan.launch @rms_norm_32 ins(%x, %n) outs(%0) work "batch*seq" source "blk.0.ffn_norm"
    // CHECK: %[[V:.*]] = plan.view %[[N]] shape ["batch*seq", "32"] : tensor<?x32xf32>
    %1 = plan.view %0 shape ["batch*seq", "32"] : tensor<?x32xf32>
    // CHECK: plan.gemm ins(%[[V]], %blk.0.ffn_up.weight) outs(%y) m "batch*seq" n "64" k "32" unpack @unpack_q4_1_64x32
    plan.gemm ins(%1, %w) outs(%y) m "batch*seq" n "64" k "32" unpack @unpack_q4_1_64x32
  }
  // CHECK: plan.kernel @add_64(
  plan.kernel @add_64(%p: tensor<?x64xf32>, %r: tensor<?x64xf32>) -> tensor<?x64xf32> {
    // CHECK: transom.group(
    %0 = transom.group (%p, %r) {
    ^bb0(%a: tensor<?x64xf32>, %b: tensor<?x64xf32>):
      %1 = transom.add %a, %b : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
      transom.yield %1 : tensor<?x64xf32>
    } : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
    plan.yield %0 : tensor<?x64xf32>
  }
  plan.program @residual arena 512 staging 1280 weights 1280 {
    %x = plan.buffer input "x" shape ["batch", "32"] bytes 256 : tensor<?x32xf32>
    %r = plan.buffer input "r" shape ["batch", "64"] bytes 512 : tensor<?x64xf32>
    %y = plan.buffer output "y" shape ["batch", "64"] bytes 512 : tensor<?x64xf32>
    %w = plan.buffer weight "blk.0.ffn_up.weight" shape ["64", "32"] bytes 1280 : tensor<64x32x!transom.block<q4_1>>
    %p = plan.buffer arena shape ["batch", "64"] bytes 512 offset 0 : tensor<?x64xf32>
    // CHECK: plan.gemm ins(%x, %blk.0.ffn_up.weight) outs(%[[P:.*]]) m "batch" n "64" k "32" unpack @unpack_q4_1_64x32 epilogue @add_64(%r) to(%y) scratch 128 source "blk.0.ffn_up"
    plan.gemm ins(%x, %w) outs(%p) m "batch" n "64" k "32" unpack @unpack_q4_1_64x32 epilogue @add_64 (%r) to (%y) scratch 128 source "blk.0.ffn_up"
  }
  // CHECK: plan.program @top {
  plan.program @top {
    %x = plan.buffer input "x" shape ["batch", "8"] bytes 64 : tensor<?x8xf32>
    %values = plan.buffer output "values" shape ["batch", "2"] bytes 16 : tensor<?x2xf32>
    %indices = plan.buffer output "indices" shape ["batch", "2"] bytes 16 : tensor<?x2xi32>
    // CHECK: plan.launch @top_k ins(%x) outs(%values, %indices) work "batch" grain 2 scratch 256
    plan.launch @top_k ins(%x) outs(%values, %indices) work "batch" grain 2 scratch 256
  }
  plan.kernel @valid_tokens(%mask: tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>) {
    %0:2 = transom.valid_tokens %mask size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
    plan.yield %0#0, %0#1 : tensor<?xi32>, tensor<?xi32>
  }
  plan.kernel @copy(%x: tensor<?xi32>) -> tensor<?xi32> {
    %0 = transom.fused (%x) {
    ^bb0(%a: i32):
      transom.yield %a : i32
    } : (tensor<?xi32>) -> tensor<?xi32>
    plan.yield %0 : tensor<?xi32>
  }
  // CHECK: plan.program @packed
  plan.program @packed arena 256 {
    %mask = plan.buffer input "mask" shape ["batch", "seq"] bytes 128 : tensor<?x?xi32>
    %places = plan.buffer output "places" shape ["tokens"] bytes 128 : tensor<?xi32>
    %index = plan.buffer arena shape ["tokens"] bytes 128 offset 0 : tensor<?xi32>
    // CHECK: %[[C:.*]] = plan.buffer arena shape ["batch+1"] bytes 12 offset 128 : tensor<?xi32>
    %cumulative = plan.buffer arena shape ["batch+1"] bytes 12 offset 128 : tensor<?xi32>
    plan.launch @valid_tokens ins(%mask) outs(%index, %cumulative) work "1"
    // CHECK: plan.size "tokens" = %[[C]]
    plan.size "tokens" = %cumulative
    plan.launch @copy ins(%index) outs(%places) work "1"
  }
}
