// RUN: split-file %s %t
// RUN: for name in fused quantize turned broadcast number lanes reduced reduce matrix wide stored bias size; do transom-opt %t/$name.mlir -lower-to-plan=activations=bf16 -plan-memory -o %t/$name.plan || exit 1; \
// RUN:   transom-opt --print-cuda %t/$name.plan > %t/$name.text 2> %t/$name.error && exit 1; test ! -s %t/$name.text || exit 1; grep -H error: %t/$name.error; done | FileCheck %s
// What has no CUDA form is an error that names the op and what it lacks; nothing is printed for the rest of the plan.

// A scalar op without a CUDA expression.
// CHECK: {{.*}}fused.plan:{{[0-9]+:[0-9]+}}: error: 'math.atan' has no CUDA form
// Activations are never quantised.
// CHECK: {{.*}}quantize.plan:{{[0-9]+:[0-9]+}}: error: 'transom.quantize' op has no CUDA form
// A norm whose other columns are needed.
// CHECK: {{.*}}turned.plan:{{[0-9]+:[0-9]+}}: error: 'transom.rms_norm' op is read by an op that looks at other columns of the row, which has no CUDA form
// An operand of which eight columns at once are neither one number nor eight.
// CHECK: {{.*}}broadcast.plan:{{[0-9]+:[0-9]+}}: error: 'transom.group' op broadcasts in a way that has no CUDA form
// One number is no row.
// CHECK: {{.*}}number.plan:{{[0-9]+:[0-9]+}}: error: 'transom.embedding' op looks up single numbers, which has no CUDA form
// Rows of blocks from their fourth column on.
// CHECK: {{.*}}lanes.plan:{{[0-9]+:[0-9]+}}: error: 'transom.embedding' op looks up quantised rows that are no weight, or other than eight columns at a time, which has no CUDA form
// Reduced regions are f32.
// CHECK: {{.*}}reduced.plan:{{[0-9]+:[0-9]+}}: error: 'transom.fused' op reduces 'tensor<?x1xi32>', which has no CUDA form
// Sums in f64.
// CHECK: {{.*}}reduce.plan:{{[0-9]+:[0-9]+}}: error: 'transom.reduce' op on CUDA takes f32, i32 or i64, found 'tensor<?x8xf64>'
// A batch of quantised matrices.
// CHECK: {{.*}}matrix.plan:{{[0-9]+:[0-9]+}}: error: 'transom.matmul' op with a quantised matrix on CUDA takes rows of static size, found 'tensor<?x2x64xf32>'
// Heads of more than 256 numbers.
// CHECK: {{.*}}wide.plan:{{[0-9]+:[0-9]+}}: error: 'transom.attention' op on CUDA takes a static number of heads and head_dim of at most 256, found 'tensor<?x?x2x320xf32>'
// An input of f32 beside an arena of bf16.
// CHECK: {{.*}}stored.plan:{{[0-9]+:[0-9]+}}: error: 'transom.attention' op on CUDA takes query, key, value and result stored alike, found f32 and bf16
// A bias of 16 bits.
// CHECK: {{.*}}bias.plan:{{[0-9]+:[0-9]+}}: error: 'transom.attention' op on CUDA takes a bias stored as f32, found bf16: compile with --dtype=f32
// A size that only the GPU finds.
// CHECK: {{.*}}size.plan:{{[0-9]+:[0-9]+}}: error: the size tokens is no sum or count of numbers of an input, so it cannot be known before a GPU runs

//--- fused.mlir
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x64xf32> {transom.name = "x", transom.dims = ["rows", "64"]}) -> (tensor<?x64xf32> {transom.name = "y"}) {
    %y = transom.fused (%x) {
    ^bb0(%v: f32):
      %0 = math.atan %v : f32
      transom.yield %0 : f32
    } : (tensor<?x64xf32>) -> tensor<?x64xf32>
    return %y : tensor<?x64xf32>
  }
}

//--- quantize.mlir
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x64xf32> {transom.name = "x", transom.dims = ["rows", "64"]}) -> (tensor<?x64xf32> {transom.name = "y"}) {
    %q = transom.quantize %x to q8_0 : (tensor<?x64xf32>) -> tensor<?x64x!transom.block<q8_0>>
    %y = transom.dequantize %q to f32 : (tensor<?x64x!transom.block<q8_0>>) -> tensor<?x64xf32>
    return %y : tensor<?x64xf32>
  }
}

//--- turned.mlir
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]}, %p: tensor<?xi32> {transom.name = "p", transom.dims = ["rows"]})
      -> (tensor<?x4x64xf32> {transom.name = "y"}) {
    %s = transom.weight "s" : tensor<256xf32>
    %y = transom.group (%x, %s, %p) {
    ^bb0(%x0: tensor<?x256xf32>, %s0: tensor<256xf32>, %p0: tensor<?xi32>):
      %0 = transom.rms_norm %x0, %s0 epsilon 1.0e-05 : (tensor<?x256xf32>, tensor<256xf32>) -> tensor<?x256xf32>
      %1 = transom.reshape %0 [0, 4, 64] : (tensor<?x256xf32>) -> tensor<?x4x64xf32>
      %2 = transom.rotary thd %1, %p0 dims 64 base 10000.0 : (tensor<?x4x64xf32>, tensor<?xi32>) -> tensor<?x4x64xf32>
      transom.yield %2 : tensor<?x4x64xf32>
    } : (tensor<?x256xf32>, tensor<256xf32>, tensor<?xi32>) -> tensor<?x4x64xf32>
    return %y : tensor<?x4x64xf32>
  }
}

//--- broadcast.mlir
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x96xf32> {transom.name = "x", transom.dims = ["rows", "96"]}) -> (tensor<?x8x12xf32> {transom.name = "y"}) {
    %w = transom.weight "w" : tensor<8x1xf32>
    %s = transom.weight "s" : tensor<96xf32>
    %y = transom.group (%x, %w, %s) {
    ^bb0(%x0: tensor<?x96xf32>, %w0: tensor<8x1xf32>, %s0: tensor<96xf32>):
      %0 = transom.rms_norm %x0, %s0 epsilon 1.0e-05 : (tensor<?x96xf32>, tensor<96xf32>) -> tensor<?x96xf32>
      %1 = transom.reshape %0 [0, 8, 12] : (tensor<?x96xf32>) -> tensor<?x8x12xf32>
      %2 = transom.mul %1, %w0 : (tensor<?x8x12xf32>, tensor<8x1xf32>) -> tensor<?x8x12xf32>
      transom.yield %2 : tensor<?x8x12xf32>
    } : (tensor<?x96xf32>, tensor<8x1xf32>, tensor<96xf32>) -> tensor<?x8x12xf32>
    return %y : tensor<?x8x12xf32>
  }
}

//--- number.mlir
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%i: tensor<i32> {transom.name = "i", transom.dims = []}) -> (tensor<8xf32> {transom.name = "y"}) {
    %w = transom.weight "w" : tensor<16x8xf32>
    %y = transom.embedding %w, %i : (tensor<16x8xf32>, tensor<i32>) -> tensor<8xf32>
    return %y : tensor<8xf32>
  }
}

//--- lanes.mlir
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%ids: tensor<?xi32> {transom.name = "ids", transom.dims = ["rows"]}) -> (tensor<?x32xf32> {transom.name = "y"}) {
    %t = transom.weight "t" : tensor<100x64x!transom.block<q8_0>>
    %y = transom.group (%ids, %t) {
    ^bb0(%i: tensor<?xi32>, %t0: tensor<100x64x!transom.block<q8_0>>):
      %0 = transom.embedding %t0, %i : (tensor<100x64x!transom.block<q8_0>>, tensor<?xi32>) -> tensor<?x64xf32>
      %1 = transom.slice %0 axis 1 start 4 size 32 : (tensor<?x64xf32>) -> tensor<?x32xf32>
      transom.yield %1 : tensor<?x32xf32>
    } : (tensor<?xi32>, tensor<100x64x!transom.block<q8_0>>) -> tensor<?x32xf32>
    return %y : tensor<?x32xf32>
  }
}

//--- reduced.mlir
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x64xi32> {transom.name = "x", transom.dims = ["rows", "64"]}) -> (tensor<?x1xi32> {transom.name = "y"}) {
    %y = transom.fused reduce sum (%x) {
    ^bb0(%v: i32):
      %0 = arith.addi %v, %v : i32
      transom.yield %0 : i32
    } : (tensor<?x64xi32>) -> tensor<?x1xi32>
    return %y : tensor<?x1xi32>
  }
}

//--- reduce.mlir
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x8xf64> {transom.name = "x", transom.dims = ["rows", "8"]}) -> (tensor<?xf64> {transom.name = "y"}) {
    %y = transom.reduce sum %x axes [1] : (tensor<?x8xf64>) -> tensor<?xf64>
    return %y : tensor<?xf64>
  }
}

//--- matrix.mlir
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x2x64xf32> {transom.name = "x", transom.dims = ["rows", "2", "64"]}) -> (tensor<?x2x64xf32> {transom.name = "y"}) {
    %w = transom.weight "w" : tensor<2x64x64x!transom.block<q8_0>>
    %y = transom.matmul %x, %w transpose_rhs : (tensor<?x2x64xf32>, tensor<2x64x64x!transom.block<q8_0>>) -> tensor<?x2x64xf32>
    return %y : tensor<?x2x64xf32>
  }
}

//--- wide.mlir
module attributes {transom.bounds = {rows = [1, 4], seq = [1, 9]}} {
  func.func @main(%q: tensor<?x?x2x320xf32> {transom.name = "q", transom.dims = ["rows", "seq", "2", "320"]}) -> (tensor<?x?x2x320xf32> {transom.name = "y"}) {
    %y = transom.attention bshd %q, %q, %q {scale = 1.0 : f64} : (tensor<?x?x2x320xf32>, tensor<?x?x2x320xf32>, tensor<?x?x2x320xf32>) -> tensor<?x?x2x320xf32>
    return %y : tensor<?x?x2x320xf32>
  }
}

//--- stored.mlir
module attributes {transom.bounds = {rows = [1, 4], seq = [1, 9]}} {
  func.func @main(%q: tensor<?x?x2x64xf32> {transom.name = "q", transom.dims = ["rows", "seq", "2", "64"]}) -> (tensor<?x?x2x64xf32> {transom.name = "y"}) {
    %k = transom.exp %q : (tensor<?x?x2x64xf32>) -> tensor<?x?x2x64xf32>
    %y = transom.attention bshd %q, %k, %k {scale = 1.0 : f64} : (tensor<?x?x2x64xf32>, tensor<?x?x2x64xf32>, tensor<?x?x2x64xf32>) -> tensor<?x?x2x64xf32>
    return %y : tensor<?x?x2x64xf32>
  }
}

//--- bias.mlir
module attributes {transom.bounds = {rows = [1, 4], seq = [1, 9]}} {
  func.func @main(%q: tensor<?x2x?x64xf32> {transom.name = "q", transom.dims = ["rows", "2", "seq", "64"]}, %b: tensor<1x2x?x?xf32> {transom.name = "b", transom.dims = ["1", "2", "seq", "seq"]})
      -> (tensor<?x2x?x64xf32> {transom.name = "y"}) {
    %e = transom.exp %b : (tensor<1x2x?x?xf32>) -> tensor<1x2x?x?xf32>
    %y = transom.attention bhsd %q, %q, %q bias %e {scale = 1.0 : f64} : (tensor<?x2x?x64xf32>, tensor<?x2x?x64xf32>, tensor<?x2x?x64xf32>, tensor<1x2x?x?xf32>) -> tensor<?x2x?x64xf32>
    return %y : tensor<?x2x?x64xf32>
  }
}

//--- size.mlir
module attributes {transom.bounds = {rows = [1, 4], seq = [1, 9], tokens = [0, 36]}} {
  func.func @main(%m: tensor<?x?xi32> {transom.name = "m", transom.dims = ["rows", "seq"]}, %x: tensor<?x?x8xf32> {transom.name = "x", transom.dims = ["rows", "seq", "8"]})
      -> (tensor<?x8xf32> {transom.name = "y"}) {
    %n = transom.cumulative_sum %m axis 1 : (tensor<?x?xi32>) -> tensor<?x?xi32>
    %i, %c = transom.valid_tokens %n size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
    %y = transom.pack %x, %i : (tensor<?x?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
    return %y : tensor<?x8xf32>
  }
}
