// Many rows: a product with a stored weight, what reads its rows, and the norm behind become one group.
// RUN: transom-opt %s -split-input-file --pass-pipeline='builtin.module(func.func(fuse-epilogue))' | FileCheck %s

// An encoder's output projection: bias, residual and norm, whose sum nobody else reads.
// CHECK-LABEL: @post_norm
// CHECK: %[[Y:.*]] = transom.group(%arg0, %{{.*}}, %{{.*}}, %arg1, %{{.*}}) {
// CHECK: %[[P:.*]] = transom.matmul
// CHECK-NEXT: %[[B:.*]] = transom.add %[[P]]
// CHECK-NEXT: %[[S:.*]] = transom.add %[[B]]
// CHECK-NEXT: %[[N:.*]] = transom.layer_norm %[[S]]
// CHECK-NEXT: transom.yield %[[N]] : tensor<?x8xf32>
// CHECK: return %[[Y]]
module attributes {transom.bounds = {rows = [1, 64]}} {
func.func @post_norm(%a: tensor<?x16xf32> {transom.dims = ["rows", "16"]}, %x: tensor<?x8xf32> {transom.dims = ["rows", "8"]}) -> tensor<?x8xf32> {
  %w = transom.weight "w" : tensor<8x16xf32>
  %b = transom.weight "b" : tensor<8xf32>
  %s = transom.weight "s" : tensor<8xf32>
  %0 = transom.matmul %a, %w transpose_rhs : (tensor<?x16xf32>, tensor<8x16xf32>) -> tensor<?x8xf32>
  %1 = transom.add %0, %b : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %2 = transom.add %1, %x : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %3 = transom.layer_norm %2, %s, %b epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  return %3 : tensor<?x8xf32>
}
}

// -----

// A decoder's: the sum is the next residual, so it is a result too. The second product takes the sum as its residual, and
// quantize behind its norm; what the first group makes is computed in front of all that reads it.
// CHECK-LABEL: @pre_norm
// CHECK: %[[A:.*]]:2 = transom.group(%arg0, %{{.*}}, %arg1, %{{.*}}) {
// CHECK: transom.rms_norm
// CHECK: %[[B:.*]]:2 = transom.group(%[[A]]#1, %{{.*}}, %[[A]]#0, %{{.*}}) {
// CHECK: transom.add
// CHECK: transom.rms_norm
// CHECK: transom.quantize
// CHECK: return %[[B]]#0, %[[B]]#1
module attributes {transom.bounds = {rows = [1, 64]}} {
func.func @pre_norm(%a: tensor<?x32xf32> {transom.dims = ["rows", "32"]}, %x: tensor<?x32xf32> {transom.dims = ["rows", "32"]})
    -> (tensor<?x32xf32>, tensor<?x32x!transom.block<q8_0>>) {
  %w = transom.weight "w" : tensor<32x32xf32>
  %s = transom.weight "s" : tensor<32xf32>
  %0 = transom.matmul %a, %w transpose_rhs : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
  %1 = transom.add %x, %0 : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
  %2 = transom.rms_norm %1, %s epsilon 1.0e-05 : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
  %3 = transom.matmul %2, %w transpose_rhs : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
  %4 = transom.add %1, %3 : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
  %5 = transom.rms_norm %4, %s epsilon 1.0e-05 : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
  %6 = transom.quantize %5 to q8_0 : (tensor<?x32xf32>) -> tensor<?x32x!transom.block<q8_0>>
  return %4, %6 : tensor<?x32xf32>, tensor<?x32x!transom.block<q8_0>>
}
}

// -----

// An encoder's query, key and value: a bias, and three slices as results; their reshapes stay outside. Rows may be counted
// by two dimensions.
// CHECK-LABEL: @split
// CHECK: %[[G:.*]]:3 = transom.group(%arg0, %{{.*}}, %{{.*}}) {
// CHECK: transom.matmul
// CHECK-NEXT: %[[B:.*]] = transom.add
// CHECK-NEXT: %[[Q:.*]] = transom.slice %[[B]]
// CHECK-NEXT: %[[K:.*]] = transom.slice %[[B]]
// CHECK-NEXT: %[[V:.*]] = transom.slice %[[B]]
// CHECK-NEXT: transom.yield %[[Q]], %[[K]], %[[V]]
// CHECK: transom.reshape %[[G]]#0 [0, 0, 2, 4]
func.func @split(%x: tensor<?x?x8xf32> {transom.dims = ["batch", "seq", "8"]}) -> (tensor<?x?x2x4xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>) {
  %w = transom.weight "w" : tensor<24x8xf32>
  %b = transom.weight "b" : tensor<24xf32>
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x?x8xf32>, tensor<24x8xf32>) -> tensor<?x?x24xf32>
  %1 = transom.add %0, %b : (tensor<?x?x24xf32>, tensor<24xf32>) -> tensor<?x?x24xf32>
  %q = transom.slice %1 axis 2 start 0 size 8 : (tensor<?x?x24xf32>) -> tensor<?x?x8xf32>
  %r = transom.reshape %q [0, 0, 2, 4] : (tensor<?x?x8xf32>) -> tensor<?x?x2x4xf32>
  %k = transom.slice %1 axis 2 start 8 size 8 : (tensor<?x?x24xf32>) -> tensor<?x?x8xf32>
  %v = transom.slice %1 axis 2 start 16 size 8 : (tensor<?x?x24xf32>) -> tensor<?x?x8xf32>
  return %r, %k, %v : tensor<?x?x2x4xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
}

// -----

// Gate and up that are two products: the first takes the activation and the multiplication, behind the second.
// CHECK-LABEL: @two_products
// CHECK: %[[U:.*]] = transom.matmul
// CHECK: transom.group(%arg0, %{{.*}}, %[[U]]) {
// CHECK: transom.matmul
// CHECK-NEXT: transom.gelu
// CHECK-NEXT: transom.mul
func.func @two_products(%x: tensor<?x8xf32> {transom.dims = ["rows", "8"]}) -> tensor<?x8xf32> {
  %w = transom.weight "w" : tensor<8x8xf32>
  %v = transom.weight "v" : tensor<8x8xf16>
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %1 = transom.gelu erf %0 : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %2 = transom.matmul %x, %v transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf16>) -> tensor<?x8xf32>
  %3 = transom.mul %1, %2 : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %3 : tensor<?x8xf32>
}

// -----

// Few rows: a norm that two products share, of weights that cannot be merged, is repeated in both.
// CHECK-LABEL: @shared_norm
// CHECK-NOT: transom.rms_norm
// CHECK: transom.group(%arg0
// CHECK: transom.rms_norm
// CHECK-NEXT: transom.matmul
// CHECK: transom.group(%arg0
// CHECK: transom.rms_norm
// CHECK-NEXT: transom.matmul
// CHECK-NOT: transom.rms_norm
module attributes {transom.bounds = {rows = [1, 4]}} {
func.func @shared_norm(%x: tensor<?x8xf32> {transom.dims = ["rows", "8"]}) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %s = transom.weight "s" : tensor<8xf32>
  %w = transom.weight "w" : tensor<8x8xf32>
  %v = transom.weight "v" : tensor<8x8xf16>
  %n = transom.rms_norm %x, %s epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %0 = transom.matmul %n, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %1 = transom.matmul %n, %v transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf16>) -> tensor<?x8xf32>
  return %0, %1 : tensor<?x8xf32>, tensor<?x8xf32>
}
}

// -----

// A prefill's key: rotary on rows, and rows apart again for the cache that takes them.
// CHECK-LABEL: @prefill_append
// CHECK: %[[G:.*]]:2 = transom.group(%{{.*}}, %{{.*}}, %{{.*}}, %arg1, %arg2, %arg3, %arg4) {
// CHECK: transom.matmul
// CHECK: transom.rotary thd
// CHECK-NEXT: %[[K:.*]] = transom.split_rows
// CHECK-NEXT: transom.cache_append bshd %{{.*}}, %[[K]]
// CHECK: return %[[G]]#0, %[[G]]#1
func.func @prefill_append(%x: tensor<?x?x8xf32> {transom.dims = ["batch", "seq", "8"]},
                          %p: tensor<?x?xi32> {transom.dims = ["batch", "seq"]},
                          %c: !transom.cache<?x1x16x4xf32> {transom.dims = ["batch", "1", "16", "4"]},
                          %past: tensor<?xi32> {transom.dims = ["batch"]}, %len: tensor<?xi32> {transom.dims = ["batch"]})
    -> (tensor<?x8xf32>, !transom.cache<?x1x16x4xf32>) {
  %w = transom.weight "w" : tensor<12x8xf32>
  %r = transom.reshape %x [-1, 8] : (tensor<?x?x8xf32>) -> tensor<?x8xf32>
  %pr = transom.reshape %p [-1] : (tensor<?x?xi32>) -> tensor<?xi32>
  %0 = transom.matmul %r, %w transpose_rhs : (tensor<?x8xf32>, tensor<12x8xf32>) -> tensor<?x12xf32>
  %1 = transom.slice %0 axis 1 start 0 size 8 : (tensor<?x12xf32>) -> tensor<?x8xf32>
  %2 = transom.slice %0 axis 1 start 8 size 4 : (tensor<?x12xf32>) -> tensor<?x4xf32>
  %3 = transom.reshape %2 [0, 1, 4] : (tensor<?x4xf32>) -> tensor<?x1x4xf32>
  %4 = transom.rotary thd %3, %pr dims 4 base 10000.0 : (tensor<?x1x4xf32>, tensor<?xi32>) -> tensor<?x1x4xf32>
  %5 = transom.split_rows %4 like %p : (tensor<?x1x4xf32>, tensor<?x?xi32>) -> tensor<?x?x1x4xf32>
  %6 = transom.cache_append bshd %c, %5 past %past lengths %len
    : (!transom.cache<?x1x16x4xf32>, tensor<?x?x1x4xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x1x16x4xf32>
  return %1, %6 : tensor<?x8xf32>, !transom.cache<?x1x16x4xf32>
}
