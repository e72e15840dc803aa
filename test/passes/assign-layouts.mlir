// Ops that treat each row of [batch, seq, ...] alone do so with batch and seq as one dimension.
// RUN: transom-opt %s --pass-pipeline='builtin.module(func.func(assign-layouts))' | FileCheck %s

!i = tensor<?x?xi32>
!x = tensor<?x?x8xf32>
!s = tensor<?x?x2x4xf32>
#i = ["batch", "seq"]

// Rows from the lookup to the end; attention alone reads batch and seq apart.
// CHECK-LABEL: @layer
// CHECK-SAME: %[[IDS:arg0]]: tensor<?x?xi32>
// CHECK-DAG: %[[FLAT:.*]] = transom.reshape %[[IDS]] [-1] : (tensor<?x?xi32>) -> tensor<?xi32>
// CHECK-DAG: %[[POSITIONS:.*]] = transom.reshape %arg1 [-1]
// CHECK: %[[X:.*]] = transom.embedding %{{.*}}, %[[FLAT]] : (tensor<5x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
// CHECK: transom.rms_norm %[[X]], %{{.*}} -> tensor<?x8xf32>
// CHECK: transom.matmul {{.*}} -> tensor<?x8xf32>
// CHECK-NEXT: transom.reshape %{{.*}} [0, 2, 4] : (tensor<?x8xf32>) -> tensor<?x2x4xf32>
// CHECK-NEXT: %[[R:.*]] = transom.rotary thd %{{.*}}, %[[POSITIONS]] dims 4
// CHECK-NEXT: %[[Q:.*]] = transom.split_rows %[[R]] like %[[IDS]] : (tensor<?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
// CHECK-NEXT: %[[A:.*]] = transom.attention bshd %[[Q]], %[[Q]], %[[Q]]
// CHECK-NEXT: %[[M:.*]] = transom.reshape %[[A]] [-1, 8] : (tensor<?x?x2x4xf32>) -> tensor<?x8xf32>
// CHECK-NEXT: transom.add %[[X]], %[[M]] : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
// CHECK-NEXT: %[[Y:.*]] = transom.split_rows
// CHECK-NEXT: return %[[Y]]
func.func @layer(%ids: !i {transom.dims = #i}, %p: !i {transom.dims = #i}) -> !x {
  %table = transom.weight "table" : tensor<5x8xf32>
  %scale = transom.weight "scale" : tensor<8xf32>
  %w = transom.weight "w" : tensor<8x8xf32>
  %x = transom.embedding %table, %ids : (tensor<5x8xf32>, !i) -> !x
  %n = transom.rms_norm %x, %scale epsilon 1.0e-05 : (!x, tensor<8xf32>) -> !x
  %m = transom.matmul %n, %w transpose_rhs : (!x, tensor<8x8xf32>) -> !x
  %h = transom.reshape %m [0, 0, 2, 4] : (!x) -> !s
  %r = transom.rotary bshd %h, %p dims 4 base 100.0 : (!s, !i) -> !s
  %a = transom.attention bshd %r, %r, %r {causal, scale = 0.5 : f64} : (!s, !s, !s) -> !s
  %j = transom.reshape %a [0, 0, 8] : (!s) -> !x
  %y = transom.add %x, %j : (!x, !x) -> !x
  return %y : !x
}

// One token a row: the rows are the batch, and reshapes say it all.
// CHECK-LABEL: @decode
// CHECK: transom.embedding {{.*}} -> tensor<?x8xf32>
// CHECK: transom.matmul {{.*}} : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
// CHECK-NOT: transom.split_rows
// CHECK: transom.cache_append bshd %{{.*}}, %{{.*}} : (!transom.cache<?x2x16x4xf32>, tensor<?x1x2x4xf32>,
// CHECK-NEXT: return
func.func @decode(%ids: tensor<?x1xi32> {transom.dims = ["batch", "1"]}, %lengths: tensor<?xi32> {transom.dims = ["batch"]},
                  %cache: !transom.cache<?x2x16x4xf32> {transom.dims = ["batch", "2", "16", "4"]})
    -> (tensor<?x8xf32>, !transom.cache<?x2x16x4xf32>) {
  %table = transom.weight "table" : tensor<5x8xf32>
  %w = transom.weight "w" : tensor<8x8xf32>
  %x = transom.embedding %table, %ids : (tensor<5x8xf32>, tensor<?x1xi32>) -> tensor<?x1x8xf32>
  %m = transom.matmul %x, %w transpose_rhs : (tensor<?x1x8xf32>, tensor<8x8xf32>) -> tensor<?x1x8xf32>
  %h = transom.reshape %m [0, 0, 2, 4] : (tensor<?x1x8xf32>) -> tensor<?x1x2x4xf32>
  %c = transom.cache_append bshd %cache, %h past %lengths lengths %lengths
    : (!transom.cache<?x2x16x4xf32>, tensor<?x1x2x4xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x2x16x4xf32>
  %y = transom.reshape %m [0, 8] : (tensor<?x1x8xf32>) -> tensor<?x8xf32>
  return %y, %c : tensor<?x8xf32>, !transom.cache<?x2x16x4xf32>
}

// Positions that all rows share are looked up for each; biases and masks by row.
// CHECK-LABEL: @learned_positions
// CHECK: %[[SPREAD:.*]] = transom.broadcast %{{.*}} like %arg0 : (tensor<?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
// CHECK: %[[EACH:.*]] = transom.reshape %[[SPREAD]] [-1]
// CHECK: %[[P:.*]] = transom.embedding %{{.*}}, %[[EACH]] : (tensor<9x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
// CHECK: transom.add %{{.*}}, %[[P]] : (tensor<?x8xf32>, tensor<?x8xf32>)
// CHECK: transom.mul {{.*}} : (tensor<?x8xf32>, tensor<?x1xf32>) -> tensor<?x8xf32>
// CHECK: transom.reduce sum %{{.*}} axes [1] : (tensor<?x?x8xf32>) -> tensor<?x8xf32>
func.func @learned_positions(%ids: !i {transom.dims = #i}, %mask: !i {transom.dims = #i}) -> tensor<?x8xf32> {
  %table = transom.weight "table" : tensor<5x8xf32>
  %positions = transom.weight "positions" : tensor<9x8xf32>
  %x = transom.embedding %table, %ids : (tensor<5x8xf32>, !i) -> !x
  %j = transom.iota like %ids axis 1 : (!i) -> tensor<?xi32>
  %p = transom.embedding %positions, %j : (tensor<9x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %y = transom.add %x, %p : (!x, tensor<?x8xf32>) -> !x
  %f = transom.cast %mask to f32 : (!i) -> tensor<?x?xf32>
  %c = transom.reshape %f [0, 0, 1] : (tensor<?x?xf32>) -> tensor<?x?x1xf32>
  %z = transom.mul %y, %c : (!x, tensor<?x?x1xf32>) -> !x
  %s = transom.reduce sum %z axes [1] : (!x) -> tensor<?x8xf32>
  return %s : tensor<?x8xf32>
}

// Axes behind the rows move up by one.
// CHECK-LABEL: @axes
// CHECK: transom.slice %{{.*}} axis 1 start 0 size 4 : (tensor<?x8xf32>) -> tensor<?x4xf32>
// CHECK: transom.softmax %{{.*}} axis 1 : (tensor<?x4xf32>)
// CHECK: transom.concat %{{.*}} axis 1 : (tensor<?x4xf32>, tensor<?x4xf32>)
// CHECK: transom.reduce max %{{.*}} axes [1] keep_dims : (tensor<?x8xf32>) -> tensor<?x1xf32>
func.func @axes(%ids: !i {transom.dims = #i}) -> tensor<?x?x1xf32> {
  %table = transom.weight "table" : tensor<5x8xf32>
  %x = transom.embedding %table, %ids : (tensor<5x8xf32>, !i) -> !x
  %s = transom.slice %x axis 2 start 0 size 4 : (!x) -> tensor<?x?x4xf32>
  %p = transom.softmax %s axis 2 : (tensor<?x?x4xf32>) -> tensor<?x?x4xf32>
  %c = transom.concat %p, %p axis 2 : (tensor<?x?x4xf32>, tensor<?x?x4xf32>) -> !x
  %m = transom.reduce max %c axes [2] keep_dims : (!x) -> tensor<?x?x1xf32>
  return %m : tensor<?x?x1xf32>
}

// No argument has the rows of a sequence-first graph; the first value that has them says how many there are.
// CHECK-LABEL: @rows_without_argument
// CHECK: %[[TURNED:.*]] = transom.transpose
// CHECK: transom.split_rows %{{.*}} like %[[TURNED]]
// CHECK: transom.transpose
func.func @rows_without_argument(%ids: !i {transom.dims = #i}) -> (!x, !x) {
  %table = transom.weight "table" : tensor<5x8xf32>
  %w = transom.weight "w" : tensor<8x8xf32>
  %x = transom.embedding %table, %ids : (tensor<5x8xf32>, !i) -> !x
  %t = transom.transpose %x [1, 0, 2] : (!x) -> !x
  %a = transom.abs %t : (!x) -> !x
  %b = transom.transpose %a [1, 0, 2] : (!x) -> !x
  %n = transom.neg %a : (!x) -> !x
  %y = transom.matmul %n, %w transpose_rhs : (!x, tensor<8x8xf32>) -> !x
  return %b, %y : !x, !x
}
