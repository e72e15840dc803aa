// What fuse-epilogue leaves alone, by the condition that fails.
// RUN: transom-opt %s -split-input-file --pass-pipeline='builtin.module(func.func(fuse-epilogue{report}))' -verify-diagnostics | FileCheck %s

// E1: a right-hand side that is no stored weight.
// CHECK-LABEL: @no_weight
// CHECK-NOT: transom.group
func.func @no_weight(%x: tensor<4x8xf32>, %w: tensor<8x8xf32>) -> tensor<4x8xf32> {
  // expected-remark@+1 {{E1: expected a stored weight [N, K] with transpose_rhs and rows of f32}}
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %1 = transom.silu %0 : (tensor<4x8xf32>) -> tensor<4x8xf32>
  return %1 : tensor<4x8xf32>
}

// -----

// E2: a broadcast that is neither a row of the same kind nor the same for all rows: here one number for each row. The cost
// is that of the product's result at its bounds.
// CHECK-LABEL: @broadcast
// CHECK-NOT: transom.group
module attributes {transom.bounds = {rows = [1, 100]}} {
func.func @broadcast(%x: tensor<?x8xf32> {transom.dims = ["rows", "8"]}, %s: tensor<?x1xf32> {transom.dims = ["rows", "1"]}) -> tensor<?x8xf32> {
  %w = transom.weight "w" : tensor<8x8xf32>
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  // expected-remark@+1 {{E2: expected an operand of shape [rows, 8] or one that is the same for all rows, found [rows, 1] [cost: 6400 bytes, 1 launches]}}
  %1 = transom.mul %0, %s : (tensor<?x8xf32>, tensor<?x1xf32>) -> tensor<?x8xf32>
  return %1 : tensor<?x8xf32>
}
}

// -----

// E2: a cast, a residual whose rows nobody knows to be as many, heads that were transposed.
// CHECK-LABEL: @casts
// CHECK-NOT: transom.group
func.func @casts(%x: tensor<?x8xf32>) -> tensor<?x8xbf16> {
  %w = transom.weight "w" : tensor<8x8xf32>
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  // expected-remark@+1 {{E2: expected f32}}
  %1 = transom.cast %0 to bf16 : (tensor<?x8xf32>) -> tensor<?x8xbf16>
  return %1 : tensor<?x8xbf16>
}
func.func @unknown_rows(%x: tensor<?x8xf32>, %y: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %w = transom.weight "w" : tensor<8x8xf32>
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  // expected-remark@+1 {{E2: expected an operand of shape [?, 8]}}
  %1 = transom.add %0, %y : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %1 : tensor<?x8xf32>
}
func.func @transposed(%x: tensor<?x?x8xf32> {transom.dims = ["batch", "seq", "8"]}, %p: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x2x?x4xf32> {
  %w = transom.weight "w" : tensor<8x8xf32>
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x?x8xf32>, tensor<8x8xf32>) -> tensor<?x?x8xf32>
  %1 = transom.reshape %0 [0, 0, 2, 4] : (tensor<?x?x8xf32>) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{E2: expected a row-wise op}}
  %2 = transom.transpose %1 [0, 2, 1, 3] : (tensor<?x?x2x4xf32>) -> tensor<?x2x?x4xf32>
  %3 = transom.rotary bhsd %2, %p dims 4 base 100.0 : (tensor<?x2x?x4xf32>, tensor<?x?xi32>) -> tensor<?x2x?x4xf32>
  return %3 : tensor<?x2x?x4xf32>
}

// -----

// E3: the product itself is read elsewhere; the bias too.
// CHECK-LABEL: @read_twice
// CHECK-NOT: transom.group
func.func @read_twice(%x: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %w = transom.weight "w" : tensor<8x8xf32>
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  // expected-remark@+1 {{E3: expected no reader of its input outside the group}}
  %1 = transom.silu %0 : (tensor<?x8xf32>) -> tensor<?x8xf32>
  return %0, %1 : tensor<?x8xf32>, tensor<?x8xf32>
}
// CHECK-LABEL: @bias_read_twice
// CHECK: %[[G:.*]] = transom.group
// CHECK: transom.matmul
// CHECK-NEXT: transom.add
// CHECK-NEXT: transom.yield
// CHECK: transom.silu %[[G]]
func.func @bias_read_twice(%x: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %w = transom.weight "w" : tensor<8x8xf32>
  %b = transom.weight "b" : tensor<8xf32>
  // expected-remark@+1 {{applied: matmul, add became one operation}}
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %1 = transom.add %0, %b : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  // expected-remark@+1 {{E3: expected no reader of its input outside the group}}
  %2 = transom.silu %1 : (tensor<?x8xf32>) -> tensor<?x8xf32>
  return %1, %2 : tensor<?x8xf32>, tensor<?x8xf32>
}

// -----

// E4: an elementwise op between rotary and append, and a second norm.
// CHECK-LABEL: @order
func.func @order(%x: tensor<?x8xf32> {transom.dims = ["rows", "8"]}, %p: tensor<?xi32> {transom.dims = ["rows"]}) -> tensor<?x2x4xf32> {
  %w = transom.weight "w" : tensor<8x8xf32>
  // expected-remark@+1 {{applied: matmul, reshape, rotary became one operation}}
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %1 = transom.reshape %0 [0, 2, 4] : (tensor<?x8xf32>) -> tensor<?x2x4xf32>
  %2 = transom.rotary thd %1, %p dims 4 base 100.0 : (tensor<?x2x4xf32>, tensor<?xi32>) -> tensor<?x2x4xf32>
  // expected-remark@+1 {{E4: expected elementwise ops, then slices, heads, rotary and append, or one norm at the end}}
  %3 = transom.neg %2 : (tensor<?x2x4xf32>) -> tensor<?x2x4xf32>
  return %3 : tensor<?x2x4xf32>
}
// CHECK-LABEL: @two_norms
// CHECK-COUNT-1: transom.layer_norm
// CHECK: transom.yield
// CHECK: transom.layer_norm
func.func @two_norms(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %w = transom.weight "w" : tensor<8x8xf32>
  %s = transom.weight "s" : tensor<8xf32>
  // expected-remark@+1 {{applied: matmul, layer_norm became one operation}}
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %1 = transom.layer_norm %0, %s epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  // expected-remark@+1 {{E4: expected}}
  %2 = transom.layer_norm %1, %s epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  return %2 : tensor<?x8xf32>
}

// -----

// E5: a cache that something else reads.
!cache = !transom.cache<?x1x32x8xf32>
// CHECK-LABEL: @cache_read_twice
// CHECK-NOT: transom.group
func.func @cache_read_twice(%x: tensor<?x8xf32> {transom.dims = ["batch", "8"]}, %c: !cache {transom.dims = ["batch", "1", "32", "8"]},
                            %past: tensor<?xi32> {transom.dims = ["batch"]}) -> (!cache, !cache) {
  %w = transom.weight "w" : tensor<8x8xf32>
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %1 = transom.reshape %0 [-1, 1, 1, 8] : (tensor<?x8xf32>) -> tensor<?x1x1x8xf32>
  // expected-remark@+1 {{E5: expected a cache that nothing else reads}}
  %2 = transom.cache_append bshd %c, %1 past %past lengths %past : (!cache, tensor<?x1x1x8xf32>, tensor<?xi32>, tensor<?xi32>) -> !cache
  return %c, %2 : !cache, !cache
}

// -----

// E6: few rows, and a norm that something else than a product reads.
// CHECK-LABEL: @norm_read_twice
// CHECK-NOT: transom.group
module attributes {transom.bounds = {rows = [1, 4]}} {
func.func @norm_read_twice(%x: tensor<?x8xf32> {transom.dims = ["rows", "8"]}) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %w = transom.weight "w" : tensor<8x8xf32>
  %s = transom.weight "s" : tensor<8xf32>
  // expected-remark@+1 {{E6: expected at most 4 readers, all products with stored weights, found 'func.return' [cost: 256 bytes, 1 launches]}}
  %n = transom.rms_norm %x, %s epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %0 = transom.matmul %n, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  return %n, %0 : tensor<?x8xf32>, tensor<?x8xf32>
}
}

// -----

// Not a miss: what another op between makes from the product cannot come back into its group.
// CHECK-LABEL: @there_and_back
// CHECK: %[[A:.*]] = transom.matmul
// CHECK-NEXT: %[[S:.*]] = transom.argmax %[[A]]
// CHECK-NEXT: transom.embedding
// CHECK-NEXT: transom.add %[[A]]
func.func @there_and_back(%x: tensor<?x8xf32> {transom.dims = ["rows", "8"]}) -> tensor<?x8xf32> {
  %w = transom.weight "w" : tensor<8x8xf32>
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
  %1 = transom.argmax %0 : (tensor<?x8xf32>) -> tensor<?xi32>
  %2 = transom.embedding %w, %1 : (tensor<8x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %3 = transom.add %0, %2 : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %3 : tensor<?x8xf32>
}
