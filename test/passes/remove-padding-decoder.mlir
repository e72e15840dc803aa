// Decoders: prompts behind caches, and memory of another model part.
// RUN: transom-opt %s --remove-padding -split-input-file | FileCheck %s

// Rows of `lengths` new tokens: appended, attended and chosen packed. A window is no obstacle, as lengths leave no holes.
// CHECK: tokens = [0, 64]
// CHECK-LABEL: @prefill
// CHECK: %[[INDEX:.*]], %[[C:.*]] = transom.valid_tokens %arg0 lengths %arg1 size "tokens"
// CHECK-DAG: transom.pack %arg0, %[[INDEX]]
// CHECK-DAG: %[[PLACES:.*]] = transom.pack %{{.*}}, %[[INDEX]] : (tensor<?x?xi32>, tensor<?xi32>) -> tensor<?xi32>
// CHECK: %[[Q:.*]] = transom.rotary thd %{{.*}}, %[[PLACES]] dims 4
// CHECK: %[[K:.*]] = transom.cache_append thd %arg3, %[[Q]] past %arg2 cumulative %[[C]]
// CHECK: %[[V:.*]] = transom.cache_append thd %arg4, %{{.*}} past %arg2 cumulative %[[C]]
// CHECK: transom.attention thd %[[Q]], %[[K]], %[[V]] past %arg2 cumulative %[[C]] {causal, scale = 5.000000e-01 : f64, window = 4 : i64}
// CHECK: transom.last_token %{{.*}} cumulative %[[C]] : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
// CHECK-NOT: transom.unpack
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @prefill(%ids: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}, %lengths: tensor<?xi32> {transom.dims = ["batch"]},
    %past: tensor<?xi32> {transom.dims = ["batch"]}, %keys: !transom.cache<?x2x16x4xf32> {transom.dims = ["batch", "2", "16", "4"]},
    %values: !transom.cache<?x2x16x4xf32> {transom.dims = ["batch", "2", "16", "4"]})
    -> (tensor<?x8xf32>, !transom.cache<?x2x16x4xf32>, !transom.cache<?x2x16x4xf32>) {
  %table = transom.weight "words" : tensor<17x8xf32>
  %positions = transom.positions %past like %ids : (tensor<?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
  %x = transom.embedding %table, %ids : (tensor<17x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32>
  %heads = transom.reshape %x [0, 0, 2, 4] : (tensor<?x?x8xf32>) -> tensor<?x?x2x4xf32>
  %q = transom.rotary bshd %heads, %positions dims 4 base 10000.0 : (tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  %k = transom.cache_append bshd %keys, %q past %past lengths %lengths
     : (!transom.cache<?x2x16x4xf32>, tensor<?x?x2x4xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x2x16x4xf32>
  %v = transom.cache_append bshd %values, %heads past %past lengths %lengths
     : (!transom.cache<?x2x16x4xf32>, tensor<?x?x2x4xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x2x16x4xf32>
  %a = transom.attention bshd %q, %k, %v past %past lengths %lengths {causal, scale = 0.5 : f64, window = 4 : i64}
     : (tensor<?x?x2x4xf32>, !transom.cache<?x2x16x4xf32>, !transom.cache<?x2x16x4xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x?x2x4xf32>
  %merged = transom.reshape %a [0, 0, 8] : (tensor<?x?x2x4xf32>) -> tensor<?x?x8xf32>
  %y = transom.add %merged, %x : (tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  %last = transom.last_token %y, %lengths : (tensor<?x?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %last, %k, %v : tensor<?x8xf32>, !transom.cache<?x2x16x4xf32>, !transom.cache<?x2x16x4xf32>
}
}

// -----

// Encoder and decoder rows of their own masks: two sizes, and cross-attention with lengths of its memory.
// CHECK: source_tokens = [0, 32]
// CHECK-SAME: target_tokens = [0, 64]
// CHECK-LABEL: @cross
// CHECK-DAG: %{{.*}}, %[[S:.*]] = transom.valid_tokens %{{.*}} size "source_tokens"
// CHECK-DAG: %{{.*}}, %[[T:.*]] = transom.valid_tokens %{{.*}} size "target_tokens"
// CHECK: %[[MEMORY:.*]] = transom.attention thd %{{.*}} cumulative %[[S]] {scale
// CHECK: %[[OWN:.*]] = transom.attention thd %{{.*}} cumulative %[[T]] {causal, scale
// CHECK: transom.attention thd %[[OWN]], %[[MEMORY]], %[[MEMORY]] cumulative %[[T]] keys %[[S]] {scale
// CHECK: transom.unpack
module attributes {transom.bounds = {batch = [1, 4], source = [1, 8], target = [1, 16]}} {
func.func @cross(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "source", "2", "4"]},
                 %mask: tensor<?x?xi32> {transom.dims = ["batch", "source"]},
                 %y: tensor<?x?x2x4xf32> {transom.dims = ["batch", "target", "2", "4"]},
                 %own: tensor<?x?xi32> {transom.dims = ["batch", "target"]}) -> tensor<?x?x2x4xf32> {
  %memory = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  %q = transom.attention bshd %y, %y, %y mask %own {causal, scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  %z = transom.attention bshd %q, %memory, %memory mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  return %z : tensor<?x?x2x4xf32>
}
}

// -----

// Queries without a mask stay padded; the memory is packed up to where they read it.
// CHECK-LABEL: @padded_queries
// CHECK: %[[MEMORY:.*]] = transom.attention thd
// CHECK: %[[PADDED:.*]] = transom.unpack %[[MEMORY]]
// CHECK: transom.attention bshd %{{.*}}, %[[PADDED]], %[[PADDED]] mask
module attributes {transom.bounds = {batch = [1, 4], source = [1, 8], target = [1, 16]}} {
func.func @padded_queries(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "source", "2", "4"]},
                 %mask: tensor<?x?xi32> {transom.dims = ["batch", "source"]},
                 %y: tensor<?x?x2x4xf32> {transom.dims = ["batch", "target", "2", "4"]}) -> tensor<?x?x2x4xf32> {
  %memory = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  %z = transom.attention bshd %y, %memory, %memory mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  return %z : tensor<?x?x2x4xf32>
}
}
