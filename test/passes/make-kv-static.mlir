// A decoder with one layer: caches, lengths and positions in place of past, mask and position ids; logits of one token.
// RUN: transom-opt %s --make-kv-static -split-input-file | FileCheck %s

!ids = tensor<?x?xi32>
!x = tensor<?x?x8xf32>
!kv = tensor<?x1x?x8xf32>
#kv = ["batch", "1", "past", "8"]
#present = ["batch", "1", "past+seq", "8"]

// The past is gone from the bounds. The capacity is the declared context, not past + seq.
// CHECK: module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}
// CHECK-NOT: @main
// CHECK-LABEL: func.func @prefill(
// CHECK-SAME: tensor<?x?xi32> {transom.dims = ["batch", "seq"], transom.name = "input_ids"}
// CHECK-SAME: %[[LENGTHS:[a-z0-9]+]]: tensor<?xi32> {transom.dims = ["batch"], transom.name = "lengths"}
// CHECK-SAME: %[[PAST:[a-z0-9]+]]: tensor<?xi32> {transom.dims = ["batch"], transom.name = "past_lengths"}
// CHECK-SAME: %[[KEYS:[a-z0-9]+]]: !transom.cache<?x1x20x8xf32> {transom.dims = ["batch", "1", "20", "8"], transom.name = "cache.0.key"}
// CHECK-SAME: %[[VALUES:[a-z0-9]+]]: !transom.cache<?x1x20x8xf32> {transom.dims = ["batch", "1", "20", "8"], transom.name = "cache.0.value"}
// CHECK-SAME: -> (tensor<?x5xf32> {transom.dims = ["batch", "5"], transom.name = "logits"}, !transom.cache<?x1x20x8xf32> {transom.dims = ["batch", "1", "20", "8"], transom.name = "cache.0.key"}
// CHECK-DAG: transom.positions %[[PAST]] like %{{.*}} : (tensor<?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
// CHECK: %[[K:.*]] = transom.cache_append bhsd %[[KEYS]], %{{.*}} past %[[PAST]] lengths %[[LENGTHS]]
// CHECK: %[[V:.*]] = transom.cache_append bhsd %[[VALUES]], %{{.*}} past %[[PAST]] lengths %[[LENGTHS]]
// CHECK: transom.attention bhsd %{{.*}}, %[[K]], %[[V]] past %[[PAST]] lengths %[[LENGTHS]] {causal, scale
// The head and all that only its last token needs: one row of each.
// CHECK: transom.reshape
// CHECK-NEXT: transom.last_token
// CHECK: transom.add {{.*}}tensor<?x8xf32>
// CHECK: transom.rms_norm {{.*}}tensor<?x8xf32>
// CHECK: %[[LOGITS:.*]] = transom.matmul {{.*}}-> tensor<?x5xf32>
// CHECK: return %[[LOGITS]], %[[K]], %[[V]]

// Decode: one token a row, chosen by a reshape, which moves nothing.
// CHECK-LABEL: func.func @decode(
// CHECK-SAME: tensor<?x1xi32> {transom.dims = ["batch", "1"], transom.name = "input_ids"}
// CHECK-SAME: -> (tensor<?x5xf32> {transom.dims = ["batch", "5"], transom.name = "logits"}
// CHECK-NOT: tensor<?x?
// CHECK-NOT: transom.last_token
// CHECK: transom.reshape {{.*}} [0, 8] : (tensor<?x1x8xf32>) -> tensor<?x8xf32>
// CHECK-NEXT: transom.matmul {{.*}}-> tensor<?x5xf32>
// CHECK-NEXT: return
module attributes {transom.bounds = {batch = [1, 4], past = [0, 19], seq = [1, 16]}, transom.metadata = {context_length = "20"}} {
func.func @main(%ids: !ids {transom.name = "input_ids", transom.dims = ["batch", "seq"]},
                %mask: !ids {transom.name = "attention_mask", transom.dims = ["batch", "past+seq"]},
                %positions: !ids {transom.name = "position_ids", transom.dims = ["batch", "seq"]},
                %pk: !kv {transom.name = "past.0.key", transom.dims = #kv},
                %pv: !kv {transom.name = "past.0.value", transom.dims = #kv})
    -> (tensor<?x?x5xf32> {transom.name = "logits", transom.dims = ["batch", "seq", "5"]},
        !kv {transom.name = "present.0.key", transom.dims = #present}, !kv {transom.name = "present.0.value", transom.dims = #present}) {
  %table = transom.weight "table" : tensor<5x8xf32>
  %x = transom.embedding %table, %ids : (tensor<5x8xf32>, !ids) -> !x
  %h = transom.reshape %x [0, 0, 1, 8] : (!x) -> tensor<?x?x1x8xf32>
  %t = transom.transpose %h [0, 2, 1, 3] : (tensor<?x?x1x8xf32>) -> !kv
  %r = transom.rotary bhsd %t, %positions dims 8 base 100.0 : (!kv, !ids) -> !kv
  %k = transom.concat %pk, %r axis 2 : (!kv, !kv) -> !kv
  %v = transom.concat %pv, %t axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %r, %k, %v mask %mask {causal, scale = 1.0 : f64} : (!kv, !kv, !kv, !ids) -> !kv
  %b = transom.transpose %a [0, 2, 1, 3] : (!kv) -> tensor<?x?x1x8xf32>
  %m = transom.reshape %b [0, 0, 8] : (tensor<?x?x1x8xf32>) -> !x
  %y = transom.add %x, %m : (!x, !x) -> !x
  %s = transom.weight "norm" : tensor<8xf32>
  %n = transom.rms_norm %y, %s epsilon 1.0e-05 : (!x, tensor<8xf32>) -> !x
  %logits = transom.matmul %n, %table transpose_rhs : (!x, tensor<5x8xf32>) -> tensor<?x?x5xf32>
  return %logits, %k, %v : tensor<?x?x5xf32>, !kv, !kv
}
}

// -----

// A bias that meets the tokens by broadcasting stays behind the choice of the last one, and keeps all tokens' logits before it.
// CHECK-LABEL: func.func @prefill(
// CHECK: transom.matmul {{.*}}-> tensor<?x?x5xf32>
// CHECK: %[[B:.*]] = transom.add %{{.*}} : (tensor<?x?x5xf32>, tensor<1x1x5xf32>) -> tensor<?x?x5xf32>
// CHECK-NEXT: transom.last_token %[[B]]
!ids = tensor<?x?xi32>
!x = tensor<?x?x8xf32>
!kv = tensor<?x1x?x8xf32>
#kv = ["batch", "1", "past", "8"]
#present = ["batch", "1", "past+seq", "8"]
module attributes {transom.bounds = {batch = [1, 4], past = [0, 19], seq = [1, 16]}, transom.metadata = {context_length = "20"}} {
func.func @main(%ids: !ids {transom.name = "input_ids", transom.dims = ["batch", "seq"]},
                %mask: !ids {transom.name = "attention_mask", transom.dims = ["batch", "past+seq"]},
                %positions: !ids {transom.name = "position_ids", transom.dims = ["batch", "seq"]},
                %pk: !kv {transom.name = "past.0.key", transom.dims = #kv},
                %pv: !kv {transom.name = "past.0.value", transom.dims = #kv})
    -> (tensor<?x?x5xf32> {transom.name = "logits", transom.dims = ["batch", "seq", "5"]},
        !kv {transom.name = "present.0.key", transom.dims = #present}, !kv {transom.name = "present.0.value", transom.dims = #present}) {
  %table = transom.weight "table" : tensor<5x8xf32>
  %x = transom.embedding %table, %ids : (tensor<5x8xf32>, !ids) -> !x
  %h = transom.reshape %x [0, 0, 1, 8] : (!x) -> tensor<?x?x1x8xf32>
  %t = transom.transpose %h [0, 2, 1, 3] : (tensor<?x?x1x8xf32>) -> !kv
  %r = transom.rotary bhsd %t, %positions dims 8 base 100.0 : (!kv, !ids) -> !kv
  %k = transom.concat %pk, %r axis 2 : (!kv, !kv) -> !kv
  %v = transom.concat %pv, %t axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %r, %k, %v mask %mask {causal, scale = 1.0 : f64} : (!kv, !kv, !kv, !ids) -> !kv
  %b = transom.transpose %a [0, 2, 1, 3] : (!kv) -> tensor<?x?x1x8xf32>
  %m = transom.reshape %b [0, 0, 8] : (tensor<?x?x1x8xf32>) -> !x
  %y = transom.add %x, %m : (!x, !x) -> !x
  %s = transom.weight "norm" : tensor<8xf32>
  %n = transom.rms_norm %y, %s epsilon 1.0e-05 : (!x, tensor<8xf32>) -> !x
  %logits = transom.matmul %n, %table transpose_rhs : (!x, tensor<5x8xf32>) -> tensor<?x?x5xf32>
  %bias = transom.weight "bias" : tensor<1x1x5xf32>
  %biased = transom.add %logits, %bias : (tensor<?x?x5xf32>, tensor<1x1x5xf32>) -> tensor<?x?x5xf32>
  return %biased, %k, %v : tensor<?x?x5xf32>, !kv, !kv
}
}
