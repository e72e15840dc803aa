// Caches in the orders that frameworks keep them in: all become the one type, and attention reads them directly.
// RUN: transom-opt %s --make-kv-static -split-input-file | FileCheck %s --implicit-check-not=@main --implicit-check-not=transom.concat

// [past, batch, kv_heads, d], as ChatGLM keeps it, each key/value head repeated for the two query heads that share it. The new
// tokens are transposed; eliminate-transposes moves that away. Two layers share the cache, one of them with a window.
// CHECK-LABEL: @prefill
// CHECK-SAME: !transom.cache<?x2x31x4xf32> {transom.dims = ["batch", "2", "31", "4"]
// CHECK: %[[T:.*]] = transom.transpose %{{.*}} [1, 0, 2, 3] : (tensor<?x?x2x4xf32>) -> tensor<?x?x2x4xf32>
// CHECK: %[[C:.*]] = transom.cache_append bshd %{{.*}}, %[[T]] past
// CHECK-NOT: transom.reshape
// CHECK: transom.attention bhsd %[[Q:.*]], %[[C]], %[[C]] past {{.*}} : (tensor<?x4x?x4xf32>, !transom.cache<?x2x31x4xf32>
// CHECK: transom.attention bhsd %[[Q2:.*]], %[[C]], %[[C]] past {{.*}}window = 3
// CHECK-LABEL: @decode
// CHECK: transom.cache_append bshd %{{.*}} tensor<?x1x2x4xf32>
!q = tensor<?x4x?x4xf32>
!kv = tensor<?x?x2x4xf32>
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
func.func @main(%q: !q {transom.dims = ["batch", "4", "seq", "4"]}, %k: !kv {transom.dims = ["seq", "batch", "2", "4"]},
                %p: !kv {transom.dims = ["past", "batch", "2", "4"], transom.name = "past.0"},
                %m: tensor<?x?xi32> {transom.dims = ["batch", "past+seq"]}) -> (tensor<?x?x4x4xf32>, !kv) {
  %c = transom.concat %p, %k axis 0 : (!kv, !kv) -> !kv
  %u = transom.reshape %c [0, 0, 0, 1, 4] : (!kv) -> tensor<?x?x2x1x4xf32>
  %r = transom.concat %u, %u axis 3 : (tensor<?x?x2x1x4xf32>, tensor<?x?x2x1x4xf32>) -> tensor<?x?x2x2x4xf32>
  %j = transom.reshape %r [0, 0, 4, 4] : (tensor<?x?x2x2x4xf32>) -> tensor<?x?x4x4xf32>
  %h = transom.transpose %j [1, 2, 0, 3] : (tensor<?x?x4x4xf32>) -> !q
  %a = transom.attention bhsd %q, %h, %h mask %m {causal, scale = 0.5 : f64} : (!q, !q, !q, tensor<?x?xi32>) -> !q
  %b = transom.attention bhsd %a, %h, %h mask %m {causal, scale = 0.5 : f64, window = 3 : i64} : (!q, !q, !q, tensor<?x?xi32>) -> !q
  %y = transom.transpose %b [0, 2, 1, 3] : (!q) -> tensor<?x?x4x4xf32>
  return %y, %c : tensor<?x?x4x4xf32>, !kv
}
}

// -----

// [batch, past, kv_heads * d]: the tokens are split into heads, in the order that they come in. The argument and the result are
// views as well.
// CHECK-LABEL: @prefill
// CHECK-SAME: !transom.cache<?x2x31x4xf32>
// CHECK: %[[T:.*]] = transom.reshape %{{.*}} [0, 0, 2, 4] : (tensor<?x?x8xf32>) -> tensor<?x?x2x4xf32>
// CHECK: %[[C:.*]] = transom.cache_append bshd %{{.*}}, %[[T]] past
// CHECK: transom.attention bshd %{{.*}}, %[[C]], %[[C]] past
// CHECK-LABEL: @decode
!q2 = tensor<?x?x2x4xf32>
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
func.func @main(%q: !q2 {transom.dims = ["batch", "seq", "2", "4"]}, %k: tensor<?x?x8xf32> {transom.dims = ["batch", "seq", "8"]},
                %p: !q2 {transom.dims = ["batch", "past", "2", "4"], transom.name = "past.0"}) -> (!q2, !q2) {
  %v = transom.reshape %p [0, 0, 8] : (!q2) -> tensor<?x?x8xf32>
  %c = transom.concat %v, %k axis 1 : (tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  %h = transom.reshape %c [0, 0, 2, 4] : (tensor<?x?x8xf32>) -> !q2
  %a = transom.attention bshd %q, %h, %h {causal, scale = 0.5 : f64} : (!q2, !q2, !q2) -> !q2
  return %a, %h : !q2, !q2
}
}

// -----

// [batch, past, d] of one key/value head, and logits [seq, batch, ...], whose last token is chosen before the product.
// CHECK-LABEL: @prefill
// CHECK-SAME: -> (tensor<?x5xf32> {transom.dims = ["batch", "5"]
// CHECK: transom.cache_append bhsd %{{.*}} : (!transom.cache<?x1x31x4xf32>, tensor<?x1x?x4xf32>
// CHECK: %[[R:.*]] = transom.transpose %{{.*}} [1, 0, 2] : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK-NEXT: %[[L:.*]] = transom.last_token %[[R]]
// CHECK: transom.matmul %[[L]], {{.*}} -> tensor<?x5xf32>
// CHECK-LABEL: @decode
// CHECK: %[[D:.*]] = transom.reshape %{{.*}} [-1, 8] : (tensor<1x?x8xf32>) -> tensor<?x8xf32>
// CHECK-NEXT: transom.matmul %[[D]], {{.*}} -> tensor<?x5xf32>
!q3 = tensor<?x2x?x4xf32>
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
func.func @main(%q: !q3 {transom.dims = ["batch", "2", "seq", "4"]}, %k: tensor<?x?x4xf32> {transom.dims = ["batch", "seq", "4"]},
                %p: tensor<?x?x4xf32> {transom.dims = ["batch", "past", "4"], transom.name = "past.0"})
    -> (tensor<?x?x5xf32>, tensor<?x?x4xf32>) {
  %w = transom.weight "w" : tensor<5x8xf32>
  %c = transom.concat %p, %k axis 1 : (tensor<?x?x4xf32>, tensor<?x?x4xf32>) -> tensor<?x?x4xf32>
  %h = transom.reshape %c [0, 1, -1, 4] : (tensor<?x?x4xf32>) -> tensor<?x1x?x4xf32>
  %a = transom.attention bhsd %q, %h, %h {causal, scale = 0.5 : f64} : (!q3, tensor<?x1x?x4xf32>, tensor<?x1x?x4xf32>) -> !q3
  %t = transom.transpose %a [2, 0, 1, 3] : (!q3) -> tensor<?x?x2x4xf32>
  %x = transom.reshape %t [0, 0, 8] : (tensor<?x?x2x4xf32>) -> tensor<?x?x8xf32>
  %y = transom.matmul %x, %w transpose_rhs : (tensor<?x?x8xf32>, tensor<5x8xf32>) -> tensor<?x?x5xf32>
  return %y, %c : tensor<?x?x5xf32>, tensor<?x?x4xf32>
}
}

// -----

// A product of which two parts are read: each token has them apart, so the choice moves above both.
// CHECK-LABEL: @prefill
// CHECK: %[[L:.*]] = transom.last_token
// CHECK-NEXT: %[[ALL:.*]] = transom.matmul %[[L]], {{.*}} -> tensor<?x6xf32>
// CHECK-DAG: transom.slice %[[ALL]] axis 1 start 0 size 3 : (tensor<?x6xf32>) -> tensor<?x3xf32>
// CHECK-DAG: transom.slice %[[ALL]] axis 1 start 3 size 3 : (tensor<?x6xf32>) -> tensor<?x3xf32>
// CHECK: transom.mul {{.*}} -> tensor<?x3xf32>
// CHECK-NOT: transom.last_token
// CHECK-LABEL: @decode
!q4 = tensor<?x1x?x4xf32>
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
func.func @main(%q: !q4 {transom.dims = ["batch", "1", "seq", "4"]}, %p: !q4 {transom.dims = ["batch", "1", "past", "4"], transom.name = "past.0"})
    -> (tensor<?x?x3xf32>, !q4) {
  %w = transom.weight "w" : tensor<6x4xf32>
  %c = transom.concat %p, %q axis 2 : (!q4, !q4) -> !q4
  %a = transom.attention bhsd %q, %c, %c {causal, scale = 0.5 : f64} : (!q4, !q4, !q4) -> !q4
  %t = transom.transpose %a [0, 2, 1, 3] : (!q4) -> tensor<?x?x1x4xf32>
  %x = transom.reshape %t [0, 0, 4] : (tensor<?x?x1x4xf32>) -> tensor<?x?x4xf32>
  %both = transom.matmul %x, %w transpose_rhs : (tensor<?x?x4xf32>, tensor<6x4xf32>) -> tensor<?x?x6xf32>
  %one = transom.slice %both axis 2 start 0 size 3 : (tensor<?x?x6xf32>) -> tensor<?x?x3xf32>
  %other = transom.slice %both axis 2 start 3 size 3 : (tensor<?x?x6xf32>) -> tensor<?x?x3xf32>
  %y = transom.mul %one, %other : (tensor<?x?x3xf32>, tensor<?x?x3xf32>) -> tensor<?x?x3xf32>
  return %y, %c : tensor<?x?x3xf32>, !q4
}
}
