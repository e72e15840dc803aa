// Transposes move down to their readers, cancel, and disappear into them.
// RUN: transom-opt %s --eliminate-transposes | FileCheck %s --implicit-check-not=transom.transpose

!x = tensor<?x?x8xf32>
!s = tensor<?x?x2x4xf32>
!h = tensor<?x2x?x4xf32>
!i = tensor<?x?xi32>
#x = ["batch", "seq", "8"]
#i = ["batch", "seq"]

module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {

// Heads in the layout that a framework uses: all of it in the order that the projections write.
// CHECK-LABEL: @heads
// CHECK: %[[S:.*]] = transom.reshape %{{.*}} [0, 0, 2, 4]
// CHECK-NEXT: %[[R:.*]] = transom.rotary bshd %[[S]], %{{.*}} dims 4 {{.*}} -> tensor<?x?x2x4xf32>
// CHECK-NEXT: %[[A:.*]] = transom.attention bshd %[[R]], %[[R]], %[[S]] mask
// CHECK-NEXT: transom.reshape %[[A]] [0, 0, 8] : (tensor<?x?x2x4xf32>) -> tensor<?x?x8xf32>
// CHECK-NEXT: return
func.func @heads(%x: !x {transom.dims = #x}, %p: !i {transom.dims = #i}, %m: !i {transom.dims = #i}) -> !x {
  %s = transom.reshape %x [0, 0, 2, 4] : (!x) -> !s
  %h = transom.transpose %s [0, 2, 1, 3] : (!s) -> !h
  %r = transom.rotary bhsd %h, %p dims 4 base 100.0 : (!h, !i) -> !h
  %a = transom.attention bhsd %r, %r, %h mask %m {causal, scale = 0.5 : f64} : (!h, !h, !h, !i) -> !h
  %t = transom.transpose %a [0, 2, 1, 3] : (!h) -> !s
  %y = transom.reshape %t [0, 0, 8] : (!s) -> !x
  return %y : !x
}

// A trunk written [seq, batch, hidden], from the ids on, with a cache.
// CHECK-LABEL: @sequence_first
// CHECK: transom.embedding %{{.*}}, %[[IDS:.*]] : (tensor<5x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32>
// CHECK-NEXT: transom.rms_norm
// CHECK: %[[S:.*]] = transom.reshape %{{.*}} [0, 0, 2, 4] : (tensor<?x?x8xf32>) -> tensor<?x?x2x4xf32>
// CHECK: transom.cache_append bshd %{{.*}}, %[[S]] past
// CHECK: %[[A:.*]] = transom.attention bshd %[[S]]
// CHECK-NEXT: %[[Y:.*]] = transom.reshape %[[A]] [0, 0, 8]
// CHECK-NEXT: transom.add %{{.*}}, %[[Y]] : (tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK-NEXT: transom.add %{{.*}}, %{{.*}} : (tensor<?x?x8xf32>, tensor<8xf32>) -> tensor<?x?x8xf32>
// CHECK-NEXT: transom.last_token %{{.*}} -> tensor<?x8xf32>
func.func @sequence_first(%ids: !i {transom.dims = #i}, %past: tensor<?xi32> {transom.dims = ["batch"]},
                          %lengths: tensor<?xi32> {transom.dims = ["batch"]},
                          %cache: !transom.cache<?x2x16x4xf32> {transom.dims = ["batch", "2", "16", "4"]})
    -> (tensor<?x8xf32>, !transom.cache<?x2x16x4xf32>) {
  %table = transom.weight "table" : tensor<5x8xf32>
  %scale = transom.weight "scale" : tensor<8xf32>
  %t = transom.transpose %ids [1, 0] : (!i) -> !i
  %x = transom.embedding %table, %t : (tensor<5x8xf32>, !i) -> !x
  %n = transom.rms_norm %x, %scale epsilon 1.0e-05 : (!x, tensor<8xf32>) -> !x
  %s = transom.reshape %n [0, 0, 2, 4] : (!x) -> !s
  %h = transom.transpose %s [1, 2, 0, 3] : (!s) -> !h
  %c = transom.cache_append bhsd %cache, %h past %past lengths %lengths
    : (!transom.cache<?x2x16x4xf32>, !h, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x2x16x4xf32>
  %a = transom.attention bhsd %h, %c, %c past %past lengths %lengths {causal, scale = 0.5 : f64}
    : (!h, !transom.cache<?x2x16x4xf32>, !transom.cache<?x2x16x4xf32>, tensor<?xi32>, tensor<?xi32>) -> !h
  %b = transom.transpose %a [2, 0, 1, 3] : (!h) -> !s
  %m = transom.reshape %b [0, 0, 8] : (!s) -> !x
  %y = transom.add %x, %m : (!x, !x) -> !x
  %z = transom.add %y, %scale : (!x, tensor<8xf32>) -> !x
  %o = transom.transpose %z [1, 0, 2] : (!x) -> !x
  %l = transom.last_token %o, %lengths : (!x, tensor<?xi32>) -> tensor<?x8xf32>
  return %l, %c : tensor<?x8xf32>, !transom.cache<?x2x16x4xf32>
}

// One token a row: sizes of 1 change places for nothing.
// CHECK-LABEL: @one_token
// CHECK: transom.reshape %{{.*}} [0, 2, 1, 4] : (tensor<?x1x2x4xf32>) -> tensor<?x2x1x4xf32>
// CHECK-NEXT: return
func.func @one_token(%x: tensor<?x1x2x4xf32> {transom.dims = ["batch", "1", "2", "4"]}) -> tensor<?x2x1x4xf32> {
  %t = transom.transpose %x [0, 2, 1, 3] : (tensor<?x1x2x4xf32>) -> tensor<?x2x1x4xf32>
  return %t : tensor<?x2x1x4xf32>
}

// Weights are stored in the order that products read them.
// CHECK-LABEL: @weights
// CHECK: %[[W:.*]] = transom.recipe "w.transpose" : tensor<3x8xf32>
// CHECK: transom.transpose {{.*}} : (tensor<8x3xf32>) -> tensor<3x8xf32>
// CHECK: transom.matmul %{{.*}}, %[[W]] transpose_rhs
// CHECK: %[[V:.*]] = transom.weight "v" : tensor<3x8xf32>
// CHECK: transom.matmul %{{.*}}, %[[V]] transpose_rhs
// CHECK: %[[U:.*]] = transom.weight "u" : tensor<3x8xf32>
// CHECK: transom.matmul %{{.*}}, %[[U]] transpose_rhs
func.func @weights(%x: !x {transom.dims = #x}) -> (tensor<?x?x3xf32>, tensor<?x?x3xf32>, tensor<?x?x3xf32>) {
  %w = transom.weight "w" : tensor<8x3xf32>
  %a = transom.matmul %x, %w : (!x, tensor<8x3xf32>) -> tensor<?x?x3xf32>
  %v = transom.recipe "v.transpose" : tensor<8x3xf32> {
    %0 = transom.weight "v" : tensor<3x8xf32>
    %1 = transom.transpose %0 [1, 0] : (tensor<3x8xf32>) -> tensor<8x3xf32>
    transom.yield %1 : tensor<8x3xf32>
  }
  %b = transom.matmul %x, %v : (!x, tensor<8x3xf32>) -> tensor<?x?x3xf32>
  %u = transom.weight "u" : tensor<3x8xf32>
  %t = transom.transpose %u [1, 0] : (tensor<3x8xf32>) -> tensor<8x3xf32>
  %c = transom.matmul %x, %t : (!x, tensor<8x3xf32>) -> tensor<?x?x3xf32>
  return %a, %b, %c : tensor<?x?x3xf32>, tensor<?x?x3xf32>, tensor<?x?x3xf32>
}

// Attention written out: the product with the keys reads them transposed, the softmax runs along the axis it had.
// CHECK-LABEL: @scores
// CHECK-NEXT: %[[S:.*]] = transom.matmul %[[Q:.*]], %[[K:.*]] transpose_rhs : (tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>)
// CHECK-NEXT: transom.softmax %[[S]] axis 3
// CHECK-NEXT: return
func.func @scores(%q: !h {transom.dims = ["batch", "2", "seq", "4"]}, %k: !h {transom.dims = ["batch", "2", "seq", "4"]})
    -> tensor<?x2x?x?xf32> {
  %t = transom.transpose %k [0, 1, 3, 2] : (!h) -> tensor<?x2x4x?xf32>
  %s = transom.matmul %q, %t : (!h, tensor<?x2x4x?xf32>) -> tensor<?x2x?x?xf32>
  %u = transom.transpose %s [0, 1, 3, 2] : (tensor<?x2x?x?xf32>) -> tensor<?x2x?x?xf32>
  %p = transom.softmax %u axis 2 : (tensor<?x2x?x?xf32>) -> tensor<?x2x?x?xf32>
  %y = transom.transpose %p [0, 1, 3, 2] : (tensor<?x2x?x?xf32>) -> tensor<?x2x?x?xf32>
  return %y : tensor<?x2x?x?xf32>
}

// Axes are renamed: slices, padding, concatenation, sums.
// CHECK-LABEL: @axes
// CHECK-NEXT: transom.slice %{{.*}} axis 2 start 1 size 4
// CHECK-NEXT: transom.pad %{{.*}} axis 2 before 0 after 2
// CHECK-NEXT: transom.concat %{{.*}}, %{{.*}} axis 2
// CHECK-NEXT: transom.reduce sum %{{.*}} axes [1] : (tensor<?x?x12xf32>) -> tensor<?x12xf32>
// CHECK-NEXT: return
func.func @axes(%x: !x {transom.dims = #x}) -> tensor<?x12xf32> {
  %t = transom.transpose %x [2, 1, 0] : (!x) -> tensor<8x?x?xf32>
  %s = transom.slice %t axis 0 start 1 size 4 : (tensor<8x?x?xf32>) -> tensor<4x?x?xf32>
  %p = transom.pad %s axis 0 before 0 after 2 : (tensor<4x?x?xf32>) -> tensor<6x?x?xf32>
  %c = transom.concat %p, %p axis 0 : (tensor<6x?x?xf32>, tensor<6x?x?xf32>) -> tensor<12x?x?xf32>
  %r = transom.reduce sum %c axes [1] : (tensor<12x?x?xf32>) -> tensor<12x?xf32>
  %y = transom.transpose %r [1, 0] : (tensor<12x?xf32>) -> tensor<?x12xf32>
  return %y : tensor<?x12xf32>
}

// Rotary of tokens written [seq, batch] turns them in the order that they stand in, with their positions.
// CHECK-LABEL: @rotary_sequence_first
// CHECK-NEXT: %[[R:.*]] = transom.rotary bshd %arg0, %arg1 dims 4
// CHECK-NEXT: return %[[R]]
func.func @rotary_sequence_first(%x: !s {transom.dims = ["batch", "seq", "2", "4"]}, %p: !i {transom.dims = #i}) -> !s {
  %t = transom.transpose %x [1, 0, 2, 3] : (!s) -> !s
  %q = transom.transpose %p [1, 0] : (!i) -> !i
  %r = transom.rotary bshd %t, %q dims 4 base 100.0 : (!s, !i) -> !s
  %y = transom.transpose %r [1, 0, 2, 3] : (!s) -> !s
  return %y : !s
}

// A smaller operand gets its sizes of 1 where the result's dimensions now stand.
// CHECK-LABEL: @broadcast
// CHECK: %[[B:.*]] = transom.reshape %{{.*}} [2, 1, 4] : (tensor<2x4xf32>) -> tensor<2x1x4xf32>
// CHECK: transom.mul %{{.*}}, %[[B]] : (tensor<?x2x?x4xf32>, tensor<2x1x4xf32>)
// CHECK-NEXT: return
func.func @broadcast(%x: !h {transom.dims = ["batch", "2", "seq", "4"]}) -> !h {
  %b = transom.weight "b" : tensor<2x4xf32>
  %t = transom.transpose %x [0, 2, 1, 3] : (!h) -> !s
  %m = transom.mul %t, %b : (!s, tensor<2x4xf32>) -> !s
  %y = transom.transpose %m [0, 2, 1, 3] : (!s) -> !h
  return %y : !h
}

// Reshapes that undo each other go.
// CHECK-LABEL: @reshapes
// CHECK-NEXT: return %arg0
func.func @reshapes(%x: !x {transom.dims = #x}) -> !x {
  %s = transom.reshape %x [0, 0, 2, 4] : (!x) -> !s
  %t = transom.transpose %s [0, 2, 1, 3] : (!s) -> !h
  %u = transom.transpose %t [0, 2, 1, 3] : (!h) -> !s
  %y = transom.reshape %u [0, 0, 8] : (!s) -> !x
  return %y : !x
}
}
