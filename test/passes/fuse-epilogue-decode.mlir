// Few rows: a norm, a product with a stored weight, and what reads its columns become one group. One layer of a decoder in
// five operations, attention among them.
// RUN: transom-opt %s --pass-pipeline='builtin.module(func.func(fuse-epilogue))' | FileCheck %s

!cache = !transom.cache<?x1x32x16xf32>
!weight = tensor<64x32x!transom.block<q4_1>>
!out = tensor<32x32x!transom.block<q4_1>>
!down = tensor<32x32xf32>

// Norm before; slices, heads, rotary and both appends behind. The query's last reshape stays outside.
// CHECK-LABEL: @layer
// CHECK: %[[QKV:.*]]:3 = transom.group(%arg0, %{{.*}}, %{{.*}}, %arg1, %arg2, %arg4, %arg5, %arg3) {
// CHECK: %[[N:.*]] = transom.rms_norm
// CHECK-NEXT: %[[P:.*]] = transom.matmul %[[N]]
// CHECK-NEXT: transom.slice %[[P]] axis 1 start 0 size 32
// CHECK-NEXT: transom.reshape
// CHECK-NEXT: %[[Q:.*]] = transom.rotary thd
// CHECK-NEXT: transom.slice %[[P]] axis 1 start 32 size 16
// CHECK-NEXT: transom.reshape
// CHECK-NEXT: transom.rotary thd
// CHECK-NEXT: transom.reshape
// CHECK-NEXT: %[[K:.*]] = transom.cache_append
// CHECK-NEXT: transom.slice %[[P]] axis 1 start 48 size 16
// CHECK-NEXT: transom.reshape
// CHECK-NEXT: %[[V:.*]] = transom.cache_append
// CHECK-NEXT: transom.yield %[[Q]], %[[K]], %[[V]]
// CHECK: transom.reshape %[[QKV]]#0
// CHECK-NEXT: transom.attention bshd %{{.*}}, %[[QKV]]#1, %[[QKV]]#2
// CHECK: %[[H:.*]] = transom.group(
// CHECK-NEXT: ^bb0
// CHECK-NEXT: transom.matmul
// CHECK-NEXT: %[[SUM:.*]] = transom.add
// CHECK-NEXT: transom.yield %[[SUM]] :
// CHECK: %[[M:.*]] = transom.group(%[[H]],
// CHECK-NEXT: ^bb0
// CHECK-NEXT: transom.rms_norm
// CHECK-NEXT: %[[GU:.*]] = transom.matmul
// CHECK-NEXT: transom.slice %[[GU]]
// CHECK-NEXT: transom.slice %[[GU]]
// CHECK-NEXT: transom.silu
// CHECK-NEXT: transom.mul
// CHECK-NEXT: transom.yield %{{.*}} : tensor<?x32xf32>
// CHECK: %[[Y:.*]] = transom.group(%[[M]], %{{.*}}, %[[H]]) {
// CHECK-NEXT: ^bb0
// CHECK-NEXT: transom.matmul
// CHECK-NEXT: transom.add
// CHECK-NEXT: transom.yield
// CHECK-NOT: transom.group
// CHECK: return %[[Y]], %[[QKV]]#1, %[[QKV]]#2
module attributes {transom.bounds = {batch = [1, 4]}} {
func.func @layer(%x: tensor<?x32xf32> {transom.dims = ["batch", "32"]}, %positions: tensor<?xi32> {transom.dims = ["batch"]},
                 %keys: !cache {transom.dims = ["batch", "1", "32", "16"]}, %values: !cache {transom.dims = ["batch", "1", "32", "16"]},
                 %past: tensor<?xi32> {transom.dims = ["batch"]}, %lengths: tensor<?xi32> {transom.dims = ["batch"]})
    -> (tensor<?x32xf32>, !cache, !cache) {
  %s0 = transom.weight "norm0" : tensor<32xf32>
  %s1 = transom.weight "norm1" : tensor<32xf32>
  %wqkv = transom.weight "qkv" : !weight
  %wo = transom.weight "o" : !out
  %wgu = transom.weight "gate_up" : !weight
  %wd = transom.weight "down" : !down
  %n = transom.rms_norm %x, %s0 epsilon 1.0e-05 : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
  %qkv = transom.matmul %n, %wqkv transpose_rhs : (tensor<?x32xf32>, !weight) -> tensor<?x64xf32>
  %q0 = transom.slice %qkv axis 1 start 0 size 32 : (tensor<?x64xf32>) -> tensor<?x32xf32>
  %q1 = transom.reshape %q0 [0, 2, 16] : (tensor<?x32xf32>) -> tensor<?x2x16xf32>
  %q2 = transom.rotary thd %q1, %positions dims 16 base 10000.0 : (tensor<?x2x16xf32>, tensor<?xi32>) -> tensor<?x2x16xf32>
  %q3 = transom.reshape %q2 [-1, 1, 2, 16] : (tensor<?x2x16xf32>) -> tensor<?x1x2x16xf32>
  %k0 = transom.slice %qkv axis 1 start 32 size 16 : (tensor<?x64xf32>) -> tensor<?x16xf32>
  %k1 = transom.reshape %k0 [0, 1, 16] : (tensor<?x16xf32>) -> tensor<?x1x16xf32>
  %k2 = transom.rotary thd %k1, %positions dims 16 base 10000.0 : (tensor<?x1x16xf32>, tensor<?xi32>) -> tensor<?x1x16xf32>
  %k3 = transom.reshape %k2 [-1, 1, 1, 16] : (tensor<?x1x16xf32>) -> tensor<?x1x1x16xf32>
  %kc = transom.cache_append bshd %keys, %k3 past %past lengths %lengths : (!cache, tensor<?x1x1x16xf32>, tensor<?xi32>, tensor<?xi32>) -> !cache
  %v0 = transom.slice %qkv axis 1 start 48 size 16 : (tensor<?x64xf32>) -> tensor<?x16xf32>
  %v1 = transom.reshape %v0 [-1, 1, 1, 16] : (tensor<?x16xf32>) -> tensor<?x1x1x16xf32>
  %vc = transom.cache_append bshd %values, %v1 past %past lengths %lengths : (!cache, tensor<?x1x1x16xf32>, tensor<?xi32>, tensor<?xi32>) -> !cache
  %a0 = transom.attention bshd %q3, %kc, %vc past %past lengths %lengths {causal, scale = 0.25 : f64}
    : (tensor<?x1x2x16xf32>, !cache, !cache, tensor<?xi32>, tensor<?xi32>) -> tensor<?x1x2x16xf32>
  %a1 = transom.reshape %a0 [0, 32] : (tensor<?x1x2x16xf32>) -> tensor<?x32xf32>
  %o = transom.matmul %a1, %wo transpose_rhs : (tensor<?x32xf32>, !out) -> tensor<?x32xf32>
  %h = transom.add %x, %o : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
  %m = transom.rms_norm %h, %s1 epsilon 1.0e-05 : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
  %gu = transom.matmul %m, %wgu transpose_rhs : (tensor<?x32xf32>, !weight) -> tensor<?x64xf32>
  %g = transom.slice %gu axis 1 start 0 size 32 : (tensor<?x64xf32>) -> tensor<?x32xf32>
  %u = transom.slice %gu axis 1 start 32 size 32 : (tensor<?x64xf32>) -> tensor<?x32xf32>
  %ga = transom.silu %g : (tensor<?x32xf32>) -> tensor<?x32xf32>
  %f = transom.mul %ga, %u : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
  %d = transom.matmul %f, %wd transpose_rhs : (tensor<?x32xf32>, !down) -> tensor<?x32xf32>
  %y = transom.add %h, %d : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
  return %y, %kc, %vc : tensor<?x32xf32>, !cache, !cache
}
}
