// A choice of one token of each packed row moves up to where tokens meet: the last layer's keys and values.
// RUN: transom-opt %s --pass-pipeline='builtin.module(func.func(choose-tokens-early))' -split-input-file | FileCheck %s

// What stands behind keys and values has a row for each sequence: the query, attention, its output, and what follows. The layer's input, which
// keys and values read too, is chosen from once.
// CHECK-LABEL: @layer
// CHECK-SAME: (%[[X:[a-z0-9]+]]: tensor<?x8xf32>{{.*}}, %[[ENDS:[a-z0-9]+]]: tensor<?xi32>
// CHECK: %[[EACH:.*]] = transom.iota like %[[ENDS]] axis 0
// CHECK: %[[ONE:.*]] = transom.first_token %[[X]] cumulative %[[ENDS]]
// CHECK-NOT: first_token
// CHECK-DAG: %[[QUERY:.*]] = transom.matmul %[[ONE]], %{{.*}}
// CHECK-DAG: %[[QHEADS:.*]] = transom.reshape %[[QUERY]] [0, 2, 4]
// CHECK-DAG: %[[KEY:.*]] = transom.matmul %[[X]], %{{.*}}
// CHECK-DAG: %[[KHEADS:.*]] = transom.reshape %[[KEY]] [0, 2, 4]
// CHECK: %[[A:.*]] = transom.attention thd %[[QHEADS]], %[[KHEADS]], %[[KHEADS]] cumulative %[[EACH]] keys %[[ENDS]] {scale = 5.000000e-01 : f64}
// CHECK: %[[MERGED:.*]] = transom.reshape %[[A]] [0, 8]
// CHECK: %[[SUM:.*]] = transom.add %[[MERGED]], %[[ONE]]
// CHECK: %[[NORM:.*]] = transom.layer_norm %[[SUM]]
// CHECK: %[[UP:.*]] = transom.matmul %[[NORM]], %{{.*}}
// CHECK: %[[ACTIVE:.*]] = transom.gelu erf %[[UP]]
// CHECK: %[[Y:.*]] = transom.add %[[ACTIVE]], %[[NORM]]
// CHECK: return %[[Y]] : tensor<?x8xf32>
module attributes {transom.bounds = {batch = [1, 4], tokens = [0, 128]}} {
func.func @layer(%x: tensor<?x8xf32> {transom.dims = ["tokens", "8"]}, %ends: tensor<?xi32> {transom.dims = ["batch+1"]}) -> tensor<?x8xf32> {
  %w = transom.weight "w" : tensor<8x8xf32>
  %s = transom.weight "s" : tensor<8xf32>
  %q = transom.matmul %x, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %qh = transom.reshape %q [0, 2, 4] : (tensor<?x8xf32>) -> tensor<?x2x4xf32>
  %k = transom.matmul %x, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %kh = transom.reshape %k [0, 2, 4] : (tensor<?x8xf32>) -> tensor<?x2x4xf32>
  %a = transom.attention thd %qh, %kh, %kh cumulative %ends {scale = 0.5 : f64}
     : (tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
  %merged = transom.reshape %a [0, 8] : (tensor<?x2x4xf32>) -> tensor<?x8xf32>
  %sum = transom.add %merged, %x : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %h = transom.layer_norm %sum, %s epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %up = transom.matmul %h, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %g = transom.gelu erf %up : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %out = transom.add %g, %h : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = transom.first_token %out cumulative %ends : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
}

// -----

// The last token of a causal row stands at the last place as the row's only query; its position is chosen with it.
// CHECK-LABEL: @causal
// CHECK-DAG: %[[ONE:.*]] = transom.last_token %arg0 cumulative %arg2
// CHECK-DAG: %[[PLACE:.*]] = transom.last_token %arg1 cumulative %arg2 : (tensor<?xi32>, tensor<?xi32>) -> tensor<?xi32>
// CHECK-DAG: %[[EACH:.*]] = transom.iota like %arg2 axis 0
// CHECK: %[[TURNED:.*]] = transom.rotary thd %[[ONE]], %[[PLACE]] dims 4
// CHECK: %[[A:.*]] = transom.attention thd %[[TURNED]], %arg0, %arg0 cumulative %[[EACH]] keys %arg2 {causal, scale = 5.000000e-01 : f64, window = 7 : i64}
// CHECK: return %[[A]]
module attributes {transom.bounds = {batch = [1, 4], tokens = [0, 128]}} {
func.func @causal(%x: tensor<?x2x4xf32> {transom.dims = ["tokens", "2", "4"]}, %places: tensor<?xi32> {transom.dims = ["tokens"]},
                  %ends: tensor<?xi32> {transom.dims = ["batch+1"]}) -> tensor<?x2x4xf32> {
  %q = transom.rotary thd %x, %places dims 4 base 1.0e4 : (tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
  %a = transom.attention thd %q, %x, %x cumulative %ends {scale = 0.5 : f64, causal, window = 7 : i64}
     : (tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
  %y = transom.last_token %a cumulative %ends : (tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
  return %y : tensor<?x2x4xf32>
}
}

// -----

// Two choices of one value are one; what is read whole stays.
// CHECK-LABEL: @twice
// CHECK: %[[NORM:.*]] = transom.layer_norm %arg0
// CHECK-NEXT: %[[ONE:.*]] = transom.first_token %[[NORM]] cumulative %arg1
// CHECK-NEXT: %[[SUM:.*]] = transom.add %[[ONE]], %[[ONE]]
// CHECK-NEXT: return %[[NORM]], %[[SUM]]
module attributes {transom.bounds = {batch = [1, 4], tokens = [0, 128]}} {
func.func @twice(%x: tensor<?x8xf32> {transom.dims = ["tokens", "8"]}, %ends: tensor<?xi32> {transom.dims = ["batch+1"]}) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %s = transom.weight "s" : tensor<8xf32>
  %h = transom.layer_norm %x, %s epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %a = transom.first_token %h cumulative %ends : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %b = transom.first_token %h cumulative %ends : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %sum = transom.add %a, %b : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %h, %sum : tensor<?x8xf32>, tensor<?x8xf32>
}
}

// -----

// What is added to each token is chosen with it, what all share is not.
// CHECK-LABEL: @shared
// CHECK-DAG: %[[A:.*]] = transom.first_token %arg0 cumulative %arg2
// CHECK-DAG: %[[B:.*]] = transom.first_token %arg1 cumulative %arg2
// CHECK: %[[SUM:.*]] = transom.add %[[A]], %[[B]]
// CHECK: transom.mul %[[SUM]], %{{.*}} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
module attributes {transom.bounds = {batch = [1, 4], tokens = [0, 128]}} {
func.func @shared(%x: tensor<?x8xf32> {transom.dims = ["tokens", "8"]}, %z: tensor<?x1xf32> {transom.dims = ["tokens", "1"]},
                  %ends: tensor<?xi32> {transom.dims = ["batch+1"]}) -> tensor<?x8xf32> {
  %s = transom.weight "s" : tensor<8xf32>
  %sum = transom.add %x, %z : (tensor<?x8xf32>, tensor<?x1xf32>) -> tensor<?x8xf32>
  %m = transom.mul %sum, %s : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %y = transom.first_token %m cumulative %ends : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
}

// -----

// Heads of two layers: the choice of the first one, which keys read too, stands in front of what the second one's becomes.
// CHECK-LABEL: @two_layers
// CHECK: %[[H:.*]] = transom.layer_norm %arg0
// CHECK: %[[ONE:.*]] = transom.first_token %[[H]] cumulative %arg1
// CHECK: %[[HEADS:.*]] = transom.first_token %{{.*}} cumulative %arg1 : (tensor<?x2x4xf32>
// CHECK: %[[A:.*]] = transom.attention thd
// CHECK: %[[MERGED:.*]] = transom.reshape %[[A]]
// CHECK: %[[L:.*]] = transom.add %[[MERGED]], %[[ONE]]
// CHECK: return %[[ONE]], %[[L]]
module attributes {transom.bounds = {batch = [1, 4], tokens = [0, 128]}} {
func.func @two_layers(%x: tensor<?x8xf32> {transom.dims = ["tokens", "8"]}, %ends: tensor<?xi32> {transom.dims = ["batch+1"]}) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %s = transom.weight "s" : tensor<8xf32>
  %h = transom.layer_norm %x, %s epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %heads = transom.reshape %h [0, 2, 4] : (tensor<?x8xf32>) -> tensor<?x2x4xf32>
  %query = transom.exp %heads : (tensor<?x2x4xf32>) -> tensor<?x2x4xf32>
  %a = transom.attention thd %query, %heads, %heads cumulative %ends {scale = 0.5 : f64}
     : (tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
  %m = transom.reshape %a [0, 8] : (tensor<?x2x4xf32>) -> tensor<?x8xf32>
  %l = transom.add %m, %h : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y0 = transom.first_token %h cumulative %ends : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %y1 = transom.first_token %l cumulative %ends : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y0, %y1 : tensor<?x8xf32>, tensor<?x8xf32>
}
}

// -----

// Lengths that are computed behind what is chosen from.
// CHECK-LABEL: @late_lengths
// CHECK: %[[ENDS:.*]] = transom.add %arg1, %arg1
// CHECK: %[[ONE:.*]] = transom.first_token %arg0 cumulative %[[ENDS]]
// CHECK: transom.layer_norm %[[ONE]]
module attributes {transom.bounds = {batch = [1, 4], tokens = [0, 128]}} {
func.func @late_lengths(%x: tensor<?x8xf32> {transom.dims = ["tokens", "8"]}, %e: tensor<?xi32> {transom.dims = ["batch+1"]}) -> tensor<?x8xf32> {
  %s = transom.weight "s" : tensor<8xf32>
  %h = transom.layer_norm %x, %s epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %ends = transom.add %e, %e : (tensor<?xi32>, tensor<?xi32>) -> tensor<?xi32>
  %y = transom.first_token %h cumulative %ends : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
}
