// Encoders on packed tokens.
// RUN: transom-opt %s --remove-padding | FileCheck %s

module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
// Ids are packed once, in front of the embeddings; positions become numbers of each token. Every op on rows has the shape
// [tokens, ...], and only the hidden states are unpacked: pooling is not.
// CHECK: transom.bounds = {batch = [1, 4], seq = [1, 16], tokens = [0, 64]}
// CHECK-LABEL: @encoder
// CHECK-SAME: (%[[IDS:[a-z0-9]+]]: tensor<?x?xi32>{{.*}}, %[[MASK:[a-z0-9]+]]: tensor<?x?xi32>
// CHECK: %[[INDEX:.*]], %[[CUMULATIVE:.*]] = transom.valid_tokens %[[MASK]] size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
// CHECK-DAG: %[[PACKED:.*]] = transom.pack %[[IDS]], %[[INDEX]] : (tensor<?x?xi32>, tensor<?xi32>) -> tensor<?xi32>
// CHECK-DAG: %[[WORDS:.*]] = transom.embedding %{{.*}}, %[[PACKED]] : (tensor<17x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
// CHECK-DAG: %[[PLACES:.*]] = transom.embedding %{{.*}}, %{{.*}} : (tensor<16x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
// CHECK: transom.add %[[WORDS]], %[[PLACES]] : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
// CHECK: %[[HEADS:.*]] = transom.reshape %{{.*}} [0, 2, 4] : (tensor<?x8xf32>) -> tensor<?x2x4xf32>
// CHECK: transom.attention thd %[[HEADS]], %[[HEADS]], %[[HEADS]] cumulative %[[CUMULATIVE]]
// CHECK: %[[HIDDEN:.*]] = transom.layer_norm {{.*}} -> tensor<?x8xf32>
// CHECK-NEXT: %[[PADDED:.*]] = transom.unpack %[[HIDDEN]], %[[INDEX]] like %[[MASK]]
// CHECK-NOT: transom.reduce {{.*}}tensor<?x?x
// CHECK: transom.reduce_packed sum %{{.*}}, %[[CUMULATIVE]] : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
// CHECK: transom.reduce_packed sum %{{.*}}, %[[CUMULATIVE]] : (tensor<?x1xf32>, tensor<?xi32>) -> tensor<?x1xf32>
// CHECK: return %[[PADDED]], %{{.*}}
func.func @encoder(%ids: tensor<?x?xi32> {transom.name = "input_ids", transom.dims = ["batch", "seq"]},
                   %mask: tensor<?x?xi32> {transom.name = "attention_mask", transom.dims = ["batch", "seq"]})
    -> (tensor<?x?x8xf32>, tensor<?x8xf32>) {
  %words = transom.weight "words" : tensor<17x8xf32>
  %table = transom.weight "positions" : tensor<16x8xf32>
  %w = transom.weight "w" : tensor<8x8xf32>
  %s = transom.weight "s" : tensor<8xf32>
  %e = transom.embedding %words, %ids : (tensor<17x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32>
  %places = transom.iota like %ids axis 1 : (tensor<?x?xi32>) -> tensor<?xi32>
  %p = transom.embedding %table, %places : (tensor<16x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %x = transom.add %e, %p : (tensor<?x?x8xf32>, tensor<?x8xf32>) -> tensor<?x?x8xf32>
  %q = transom.matmul %x, %w transpose_rhs : (tensor<?x?x8xf32>, tensor<8x8xf32>) -> tensor<?x?x8xf32>
  %heads = transom.reshape %q [0, 0, 2, 4] : (tensor<?x?x8xf32>) -> tensor<?x?x2x4xf32>
  %a = transom.attention bshd %heads, %heads, %heads mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  %merged = transom.reshape %a [0, 0, 8] : (tensor<?x?x2x4xf32>) -> tensor<?x?x8xf32>
  %sum = transom.add %merged, %x : (tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  %h = transom.layer_norm %sum, %s epsilon 1.0e-05 : (tensor<?x?x8xf32>, tensor<8xf32>) -> tensor<?x?x8xf32>
  %m = transom.cast %mask to f32 : (tensor<?x?xi32>) -> tensor<?x?xf32>
  %weights = transom.reshape %m [0, 0, 1] : (tensor<?x?xf32>) -> tensor<?x?x1xf32>
  %valid = transom.mul %h, %weights : (tensor<?x?x8xf32>, tensor<?x?x1xf32>) -> tensor<?x?x8xf32>
  %total = transom.reduce sum %valid axes [1] : (tensor<?x?x8xf32>) -> tensor<?x8xf32>
  %count = transom.reduce sum %weights axes [1] : (tensor<?x?x1xf32>) -> tensor<?x1xf32>
  %mean = transom.div %total, %count : (tensor<?x8xf32>, tensor<?x1xf32>) -> tensor<?x8xf32>
  return %h, %mean : tensor<?x?x8xf32>, tensor<?x8xf32>
}

// The first token of each row, and the largest numbers of its valid tokens; no padded tensor is left but what says which are valid.
// CHECK-LABEL: @pooling
// CHECK: transom.valid_tokens %{{.*}} size "tokens"
// CHECK: transom.pack %{{.*}} : (tensor<?x?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
// CHECK-NOT: tensor<?x?x{{[2-9]}}
// CHECK: transom.first_token %{{.*}} cumulative %{{.*}} : (tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
// CHECK: transom.select %{{.*}} : (tensor<?x1x1xi1>, tensor<?x2x4xf32>, tensor<f32>) -> tensor<?x2x4xf32>
// CHECK: %[[MOST:.*]] = transom.reduce_packed max %{{.*}} -> tensor<?x2x4xf32>
// A row without padding has no part in the filler.
// CHECK: %[[FILLER:.*]] = transom.constant dense<-1.000000e+09> : tensor<f32>
// CHECK: %[[NEUTRAL:.*]] = transom.constant dense<0xFF800000> : tensor<f32>
// CHECK: %[[FILLERS:.*]] = transom.select %{{.*}}, %[[NEUTRAL]], %[[FILLER]]
// CHECK: %[[ROWS:.*]] = transom.reduce max %[[FILLERS]] axes [1]
// CHECK: %[[OFROW:.*]] = transom.reshape %[[ROWS]] [0, 1, 1]
// CHECK: transom.max %[[MOST]], %[[OFROW]]
func.func @pooling(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]},
                   %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> (tensor<?x2x4xf32>, tensor<?x2x4xf32>) {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  %slice = transom.slice %a axis 1 start 0 size 1 : (tensor<?x?x2x4xf32>) -> tensor<?x1x2x4xf32>
  %first = transom.reshape %slice [0, 2, 4] : (tensor<?x1x2x4xf32>) -> tensor<?x2x4xf32>
  %m = transom.reshape %mask [0, 0, 1, 1] : (tensor<?x?xi32>) -> tensor<?x?x1x1xi32>
  %zero = transom.constant dense<0> : tensor<i32>
  %valid = transom.compare gt %m, %zero : (tensor<?x?x1x1xi32>, tensor<i32>) -> tensor<?x?x1x1xi1>
  %least = transom.constant dense<-1.0e+09> : tensor<f32>
  %masked = transom.select %valid, %a, %least : (tensor<?x?x1x1xi1>, tensor<?x?x2x4xf32>, tensor<f32>) -> tensor<?x?x2x4xf32>
  %most = transom.reduce max %masked axes [1] : (tensor<?x?x2x4xf32>) -> tensor<?x2x4xf32>
  return %first, %most : tensor<?x2x4xf32>, tensor<?x2x4xf32>
}

// Tokens at places that are given are looked up in padded rows, which is all that stays padded.
// CHECK-LABEL: @chosen
// CHECK: %[[A:.*]] = transom.attention thd
// CHECK: %[[ROWS:.*]] = transom.unpack %[[A]], %{{.*}} like %{{.*}} -> tensor<?x?x2x4xf32>
// CHECK: %[[TABLE:.*]] = transom.reshape %[[ROWS]] [-1, 8]
// CHECK: %[[FOUND:.*]] = transom.embedding %[[TABLE]], %{{.*}} -> tensor<?x8xf32>
// CHECK: return %[[FOUND]]
func.func @chosen(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]},
                  %places: tensor<?xi32> {transom.dims = ["masks"]}) -> tensor<?x8xf32> {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  %table = transom.reshape %a [-1, 8] : (tensor<?x?x2x4xf32>) -> tensor<?x8xf32>
  %found = transom.embedding %table, %places : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %found : tensor<?x8xf32>
}
}
