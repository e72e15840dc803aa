// RUN: transom-opt %s -split-input-file -plan-memory | FileCheck %s

// A chain of norms needs two buffers at a time: the third takes the place of the first.
// CHECK: plan.program @chain arena 256 staging 256 weights 64 {
// CHECK: plan.buffer arena {{.*}} offset 0 :
// CHECK: plan.buffer arena {{.*}} offset 128 :
// CHECK: plan.buffer arena {{.*}} offset 0 :
module attributes {transom.bounds = {n = [1, 4]}} {
  plan.weight "w" : tensor<8xf32>
  plan.kernel @norm(%x: tensor<?x8xf32>, %w: tensor<8xf32>) -> tensor<?x8xf32> {
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @chain arena 384 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %w = plan.buffer weight "w" shape ["8"] bytes 32 : tensor<8xf32>
    %0 = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    plan.launch @norm ins(%x, %w) outs(%0) work "n"
    %1 = plan.buffer arena shape ["n", "8"] bytes 128 offset 128 : tensor<?x8xf32>
    plan.launch @norm ins(%0, %w) outs(%1) work "n"
    %2 = plan.buffer arena shape ["n", "8"] bytes 128 offset 256 : tensor<?x8xf32>
    plan.launch @norm ins(%1, %w) outs(%2) work "n"
    plan.launch @norm ins(%2, %w) outs(%y) work "n"
  }
}

// -----

// Elementwise kernels write over an argument that dies: a chain of them takes one buffer.
// CHECK: plan.program @in_place arena 128
// CHECK: plan.buffer arena {{.*}} offset 0 :
// CHECK: plan.buffer arena {{.*}} offset 0 :
// CHECK: plan.buffer arena {{.*}} offset 0 :
module attributes {transom.bounds = {n = [1, 4]}} {
  plan.kernel @neg(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
    %0 = transom.fused (%x) {
    ^bb0(%a: f32):
      %1 = arith.negf %a : f32
      transom.yield %1 : f32
    } : (tensor<?x8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @in_place arena 384 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %0 = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    plan.launch @neg ins(%x) outs(%0) work "n"
    %1 = plan.buffer arena shape ["n", "8"] bytes 128 offset 128 : tensor<?x8xf32>
    plan.launch @neg ins(%0) outs(%1) work "n"
    %2 = plan.buffer arena shape ["n", "8"] bytes 128 offset 256 : tensor<?x8xf32>
    plan.launch @neg ins(%1) outs(%2) work "n"
    plan.launch @neg ins(%2) outs(%y) work "n"
  }
}

// -----

// Not in place: an argument that is used again, one that the kernel reads in other places than it writes.
// CHECK: plan.program @again arena 256
// CHECK: plan.buffer arena {{.*}} offset 0 :
// CHECK: plan.buffer arena {{.*}} offset 128 :
// CHECK: plan.program @other_shape arena 256
module attributes {transom.bounds = {n = [1, 4]}} {
  plan.kernel @add(%x: tensor<?x8xf32>, %y: tensor<?x8xf32>) -> tensor<?x8xf32> {
    %0 = transom.fused (%x, %y) {
    ^bb0(%a: f32, %b: f32):
      %1 = arith.addf %a, %b : f32
      transom.yield %1 : f32
    } : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.kernel @transpose(%x: tensor<?x8xf32>) -> tensor<8x?xf32> {
    %0 = transom.transpose %x [1, 0] : (tensor<?x8xf32>) -> tensor<8x?xf32>
    plan.yield %0 : tensor<8x?xf32>
  }
  plan.kernel @back(%x: tensor<8x?xf32>) -> tensor<?x8xf32> {
    %0 = transom.transpose %x [1, 0] : (tensor<8x?xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @again arena 256 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %0 = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    plan.launch @add ins(%x, %x) outs(%0) work "n"
    %1 = plan.buffer arena shape ["n", "8"] bytes 128 offset 128 : tensor<?x8xf32>
    plan.launch @add ins(%0, %x) outs(%1) work "n"
    plan.launch @add ins(%0, %1) outs(%y) work "n"
  }
  plan.program @other_shape arena 256 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %0 = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    plan.launch @add ins(%x, %x) outs(%0) work "n"
    %1 = plan.buffer arena shape ["8", "n"] bytes 128 offset 128 : tensor<8x?xf32>
    plan.launch @transpose ins(%0) outs(%1) work "8"
    plan.launch @back ins(%1) outs(%y) work "n"
  }
}

// -----

// The largest goes first, a small one fits beside it while both are in use, and products count as uses.
// CHECK: plan.program @sizes arena 576
// CHECK: plan.buffer arena {{.*}} bytes 64 offset 512 :
// CHECK: plan.buffer arena {{.*}} bytes 512 offset 0 :
// CHECK: plan.buffer arena {{.*}} bytes 64 offset 512 :
module {
  plan.weight "up" : tensor<64x8xf32>
  plan.weight "down" : tensor<8x64xf32>
  plan.program @sizes arena 640 {
    %x = plan.buffer input "x" shape ["2", "8"] bytes 64 : tensor<2x8xf32>
    %y = plan.buffer output "y" shape ["2", "8"] bytes 64 : tensor<2x8xf32>
    %eye = plan.buffer input "eye" shape ["8", "8"] bytes 256 : tensor<8x8xf32>
    %up = plan.buffer weight "up" shape ["64", "8"] bytes 2048 : tensor<64x8xf32>
    %down = plan.buffer weight "down" shape ["8", "64"] bytes 2048 : tensor<8x64xf32>
    %0 = plan.buffer arena shape ["2", "8"] bytes 64 offset 0 : tensor<2x8xf32>
    plan.gemm ins(%x, %eye) outs(%0) m "2" n "8" k "8"
    %1 = plan.buffer arena shape ["2", "64"] bytes 512 offset 64 : tensor<2x64xf32>
    plan.gemm ins(%0, %up) outs(%1) m "2" n "64" k "8"
    %2 = plan.buffer arena shape ["2", "8"] bytes 64 offset 576 : tensor<2x8xf32>
    plan.gemm ins(%1, %down) outs(%2) m "2" n "8" k "64"
    plan.gemm ins(%2, %eye) outs(%y) m "2" n "8" k "8"
  }
}
