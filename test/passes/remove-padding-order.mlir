// Packed ops stand behind all that they read, wherever the graph has computed it.
// RUN: transom-opt %s --remove-padding -split-input-file | FileCheck %s

// What makes the mask stands behind the embedding, and the embedding behind it in the packed form.
// CHECK-LABEL: @late_mask
// CHECK-NEXT: %[[MASK:.*]] = transom.cast %arg1 to i32
// CHECK-NEXT: %[[INDEX:.*]], %[[ENDS:.*]] = transom.valid_tokens %[[MASK]] size "tokens"
// CHECK-NEXT: %[[IDS:.*]] = transom.pack %arg0, %[[INDEX]]
// CHECK: transom.embedding %{{.*}}, %[[IDS]] : {{.*}} -> tensor<?x8xf32>
// CHECK: transom.attention thd {{.*}} cumulative %[[ENDS]]
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @late_mask(%ids: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}, %given: tensor<?x?xi64> {transom.dims = ["batch", "seq"]}) -> tensor<?x?x2x4xf32> {
  %words = transom.constant dense<0.5> : tensor<17x8xf32>
  %e = transom.embedding %words, %ids : (tensor<17x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32>
  %heads = transom.reshape %e [0, 0, 2, 4] : (tensor<?x?x8xf32>) -> tensor<?x?x2x4xf32>
  %mask = transom.cast %given to i32 : (tensor<?x?xi64>) -> tensor<?x?xi32>
  %a = transom.attention bshd %heads, %heads, %heads mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  return %a : tensor<?x?x2x4xf32>
}
}

// -----

// The mask is made of the ids that the embedding reads: they are cast before the names of the valid tokens, and packed behind.
// CHECK-LABEL: @mask_of_ids
// CHECK-NEXT: %[[MASK:.*]] = transom.cast %arg0 to i32
// CHECK-NEXT: %[[INDEX:.*]], %{{.*}} = transom.valid_tokens %[[MASK]] size "tokens"
// CHECK-NEXT: %[[GIVEN:.*]] = transom.pack %arg0, %[[INDEX]]
// CHECK-NEXT: %[[IDS:.*]] = transom.cast %[[GIVEN]] to i32 : (tensor<?xi64>) -> tensor<?xi32>
// CHECK: transom.embedding %{{.*}}, %[[IDS]] : {{.*}} -> tensor<?x8xf32>
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @mask_of_ids(%given: tensor<?x?xi64> {transom.dims = ["batch", "seq"]}) -> tensor<?x?x2x4xf32> {
  %words = transom.constant dense<0.5> : tensor<17x8xf32>
  %ids = transom.cast %given to i32 : (tensor<?x?xi64>) -> tensor<?x?xi32>
  %e = transom.embedding %words, %ids : (tensor<17x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32>
  %heads = transom.reshape %e [0, 0, 2, 4] : (tensor<?x?x8xf32>) -> tensor<?x?x2x4xf32>
  %a = transom.attention bshd %heads, %heads, %heads mask %ids {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  return %a : tensor<?x?x2x4xf32>
}
}

// -----

// Lengths that are cast behind what they count.
// CHECK-LABEL: @late_lengths
// CHECK-NEXT: %[[LENGTHS:.*]] = transom.cast %arg1 to i32
// CHECK-NEXT: %[[INDEX:.*]], %[[ENDS:.*]] = transom.valid_tokens %arg0 lengths %[[LENGTHS]] size "tokens"
// CHECK: transom.cache_append thd {{.*}} cumulative %[[ENDS]]
!cache = !transom.cache<?x2x32x4xf32>
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @late_lengths(%ids: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}, %n: tensor<?xi64> {transom.dims = ["batch"]},
    %past: tensor<?xi32> {transom.dims = ["batch"]}, %cache: !cache {transom.dims = ["batch", "2", "32", "4"]}) -> (tensor<?x?x2x4xf32>, !cache) {
  %words = transom.constant dense<0.5> : tensor<17x8xf32>
  %e = transom.embedding %words, %ids : (tensor<17x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32>
  %heads = transom.reshape %e [0, 0, 2, 4] : (tensor<?x?x8xf32>) -> tensor<?x?x2x4xf32>
  %len = transom.cast %n to i32 : (tensor<?xi64>) -> tensor<?xi32>
  %c = transom.cache_append bshd %cache, %heads past %past lengths %len : (!cache, tensor<?x?x2x4xf32>, tensor<?xi32>, tensor<?xi32>) -> !cache
  %a = transom.attention bshd %heads, %c, %c past %past lengths %len {causal, scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, !cache, !cache, tensor<?xi32>, tensor<?xi32>) -> tensor<?x?x2x4xf32>
  return %a, %c : tensor<?x?x2x4xf32>, !cache
}
}

// -----

// A sum of two numbers of each place stands behind both of their packed forms.
// CHECK-LABEL: @places
// CHECK: %[[B:.*]] = transom.pack
// CHECK: %[[A:.*]] = transom.pack
// CHECK: transom.add %[[A]], %[[B]] : (tensor<?xi32>, tensor<?xi32>) -> tensor<?xi32>
// CHECK: transom.attention thd
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @places(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %p: tensor<?xi32> {transom.dims = ["seq"]},
                  %q: tensor<?xi32> {transom.dims = ["seq"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x?x8xf32> {
  %t = transom.constant dense<0.5> : tensor<17x8xf32>
  %s = transom.add %p, %q : (tensor<?xi32>, tensor<?xi32>) -> tensor<?xi32>
  %e = transom.embedding %t, %s : (tensor<17x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  %h = transom.reshape %a [0, 0, 8] : (tensor<?x?x2x4xf32>) -> tensor<?x?x8xf32>
  %y = transom.add %h, %e : (tensor<?x?x8xf32>, tensor<?x8xf32>) -> tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}
}

// -----

// Sizes that names know and types do not: all tokens share one tensor, all places of a number another.
// CHECK-LABEL: @known_by_name
// CHECK: transom.reshape %arg1 [-1, 8]
// CHECK: transom.reshape %arg2 [1, 2, 4]
// CHECK: transom.reshape %{{.*}} [0, 1, 2, 4] : {{.*}} -> tensor<?x1x?x?xf32>
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @known_by_name(%x: tensor<?x?x?x?xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %s: tensor<?x?x?xf32> {transom.dims = ["seq", "2", "4"]},
                         %z: tensor<?x?x?x?xf32> {transom.dims = ["1", "1", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x1x?x?xf32> {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>, tensor<?x?xi32>) -> tensor<?x?x?x?xf32>
  %b = transom.add %a, %s : (tensor<?x?x?x?xf32>, tensor<?x?x?xf32>) -> tensor<?x?x?x?xf32>
  %c = transom.add %b, %z : (tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>) -> tensor<?x?x?x?xf32>
  %y = transom.slice %c axis 1 start 0 size 1 : (tensor<?x?x?x?xf32>) -> tensor<?x1x?x?xf32>
  return %y : tensor<?x1x?x?xf32>
}
}
