// Attention where the softmax is even or one-sided, so that results are plain means of values. Values are 1, 2, 4, ...
// RUN: transom-opt --interpret %s | FileCheck %s

// One query, scores 0 and ln 3 (scale ln 3): weights 1/4 and 3/4 of the values 1 and 2.
// CHECK-LABEL: @attention
// CHECK-NEXT: tensor<1x1x1x1xf32>: {{\[\[\[\[1.75\]\]\]\]}}
func.func @attention() -> tensor<1x1x1x1xf32> {
  %q = transom.constant dense<1.0> : tensor<1x1x1x1xf32>
  %k = transom.constant dense<[[[[0.0], [1.0]]]]> : tensor<1x1x2x1xf32>
  %v = transom.constant dense<[[[[1.0], [2.0]]]]> : tensor<1x1x2x1xf32>
  %y = transom.attention bhsd %q, %k, %v {scale = 1.0986122886681098}
     : (tensor<1x1x1x1xf32>, tensor<1x1x2x1xf32>, tensor<1x1x2x1xf32>) -> tensor<1x1x1x1xf32>
  return %y : tensor<1x1x1x1xf32>
}

// Causal, 2 queries over 3 keys: they see 2 and 3 keys: means of (1, 2) and (1, 2, 6).
// With window 2: of (1, 2) and (2, 6). Without causal, a window only cuts off what is behind: (1, 2, 6), (2, 6).
// CHECK-LABEL: @causal
// CHECK-NEXT: tensor<1x1x2x1xf32>: {{\[\[\[\[1.5\], \[3\]\]\]\]}}
// CHECK-NEXT: tensor<1x1x2x1xf32>: {{\[\[\[\[1.5\], \[4\]\]\]\]}}
// CHECK-NEXT: tensor<1x1x2x1xf32>: {{\[\[\[\[3\], \[4\]\]\]\]}}
func.func @causal() -> (tensor<1x1x2x1xf32>, tensor<1x1x2x1xf32>, tensor<1x1x2x1xf32>) {
  %q = transom.constant dense<0.0> : tensor<1x1x2x1xf32>
  %k = transom.constant dense<0.0> : tensor<1x1x3x1xf32>
  %v = transom.constant dense<[[[[1.0], [2.0], [6.0]]]]> : tensor<1x1x3x1xf32>
  %0 = transom.attention bhsd %q, %k, %v {causal, scale = 1.0}
     : (tensor<1x1x2x1xf32>, tensor<1x1x3x1xf32>, tensor<1x1x3x1xf32>) -> tensor<1x1x2x1xf32>
  %1 = transom.attention bhsd %q, %k, %v {causal, scale = 1.0, window = 2 : i64}
     : (tensor<1x1x2x1xf32>, tensor<1x1x3x1xf32>, tensor<1x1x3x1xf32>) -> tensor<1x1x2x1xf32>
  %2 = transom.attention bhsd %q, %k, %v {scale = 1.0, window = 2 : i64}
     : (tensor<1x1x2x1xf32>, tensor<1x1x3x1xf32>, tensor<1x1x3x1xf32>) -> tensor<1x1x2x1xf32>
  return %0, %1, %2 : tensor<1x1x2x1xf32>, tensor<1x1x2x1xf32>, tensor<1x1x2x1xf32>
}

// Four query heads share two key/value heads in order: heads 0, 1 read 10 and heads 2, 3 read 20. Layout bshd.
// CHECK-LABEL: @grouped
// CHECK-NEXT: tensor<1x1x4x1xf32>: {{\[\[\[\[10\], \[10\], \[20\], \[20\]\]\]\]}}
func.func @grouped() -> tensor<1x1x4x1xf32> {
  %q = transom.constant dense<0.0> : tensor<1x1x4x1xf32>
  %k = transom.constant dense<0.0> : tensor<1x1x2x1xf32>
  %v = transom.constant dense<[[[[10.0], [20.0]]]]> : tensor<1x1x2x1xf32>
  %y = transom.attention bshd %q, %k, %v {scale = 1.0}
     : (tensor<1x1x4x1xf32>, tensor<1x1x2x1xf32>, tensor<1x1x2x1xf32>) -> tensor<1x1x4x1xf32>
  return %y : tensor<1x1x4x1xf32>
}

// Row 0 may see keys 0 and 2: mean of 1 and 4. Row 1 may see none: zero.
// CHECK-LABEL: @mask
// CHECK-NEXT: tensor<2x1x1x1xf32>: {{\[\[\[\[2.5\]\]\], \[\[\[0\]\]\]\]}}
func.func @mask() -> tensor<2x1x1x1xf32> {
  %q = transom.constant dense<0.0> : tensor<2x1x1x1xf32>
  %k = transom.constant dense<0.0> : tensor<2x1x3x1xf32>
  %v = transom.constant dense<[[[[1.0], [2.0], [4.0]]], [[[1.0], [2.0], [4.0]]]]> : tensor<2x1x3x1xf32>
  %m = transom.constant dense<[[1, 0, 1], [0, 0, 0]]> : tensor<2x3xi32>
  %y = transom.attention bhsd %q, %k, %v mask %m {scale = 1.0}
     : (tensor<2x1x1x1xf32>, tensor<2x1x3x1xf32>, tensor<2x1x3x1xf32>, tensor<2x3xi32>) -> tensor<2x1x1x1xf32>
  return %y : tensor<2x1x1x1xf32>
}

// Bias per head and key, the same for all queries: head 0 sees key 0 only, head 1 key 1 only.
// CHECK-LABEL: @bias
// CHECK-NEXT: tensor<1x2x1x1xf32>: {{\[\[\[\[1\]\], \[\[2\]\]\]\]}}
func.func @bias() -> tensor<1x2x1x1xf32> {
  %q = transom.constant dense<0.0> : tensor<1x2x1x1xf32>
  %k = transom.constant dense<0.0> : tensor<1x2x2x1xf32>
  %v = transom.constant dense<[[[[1.0], [2.0]], [[1.0], [2.0]]]]> : tensor<1x2x2x1xf32>
  %b = transom.constant dense<[[[[0.0, -1000.0]], [[-1000.0, 0.0]]]]> : tensor<1x2x1x2xf32>
  %y = transom.attention bhsd %q, %k, %v bias %b {scale = 1.0}
     : (tensor<1x2x1x1xf32>, tensor<1x2x2x1xf32>, tensor<1x2x2x1xf32>, tensor<1x2x1x2xf32>) -> tensor<1x2x1x1xf32>
  return %y : tensor<1x2x1x1xf32>
}

// Scores 0 and 1000 capped at ln 3 (tanh is 1): weights 1/4 and 3/4 again. The cap comes before the bias.
// CHECK-LABEL: @softcap
// CHECK-NEXT: tensor<1x1x1x1xf32>: {{\[\[\[\[1.75\]\]\]\]}}
// CHECK-NEXT: tensor<1x1x1x1xf32>: {{\[\[\[\[1\]\]\]\]}}
func.func @softcap() -> (tensor<1x1x1x1xf32>, tensor<1x1x1x1xf32>) {
  %q = transom.constant dense<1000.0> : tensor<1x1x1x1xf32>
  %k = transom.constant dense<[[[[0.0], [1.0]]]]> : tensor<1x1x2x1xf32>
  %v = transom.constant dense<[[[[1.0], [2.0]]]]> : tensor<1x1x2x1xf32>
  %b = transom.constant dense<[[[[0.0, -1000.0]]]]> : tensor<1x1x1x2xf32>
  %y = transom.attention bhsd %q, %k, %v {scale = 1.0, softcap = 1.0986122886681098}
     : (tensor<1x1x1x1xf32>, tensor<1x1x2x1xf32>, tensor<1x1x2x1xf32>) -> tensor<1x1x1x1xf32>
  %z = transom.attention bhsd %q, %k, %v bias %b {scale = 1.0, softcap = 1.0986122886681098}
     : (tensor<1x1x1x1xf32>, tensor<1x1x2x1xf32>, tensor<1x1x2x1xf32>, tensor<1x1x1x2xf32>) -> tensor<1x1x1x1xf32>
  return %y, %z : tensor<1x1x1x1xf32>, tensor<1x1x1x1xf32>
}

// Two packed sequences of 1 and 2 tokens attend within themselves; the fourth token belongs to none.
// CHECK-LABEL: @packed
// CHECK-NEXT: tensor<4x1x1xf32>: {{\[\[\[1\]\], \[\[3\]\], \[\[3\]\], \[\[nan\]\]\]}}
// CHECK-NEXT: tensor<4x1x1xf32>: {{\[\[\[1\]\], \[\[2\]\], \[\[3\]\], \[\[nan\]\]\]}}
func.func @packed() -> (tensor<4x1x1xf32>, tensor<4x1x1xf32>) {
  %q = transom.constant dense<0.0> : tensor<4x1x1xf32>
  %v = transom.constant dense<[[[1.0]], [[2.0]], [[4.0]], [[8.0]]]> : tensor<4x1x1xf32>
  %c = transom.constant dense<[0, 1, 3]> : tensor<3xi32>
  %0 = transom.attention thd %q, %q, %v cumulative %c {scale = 1.0}
     : (tensor<4x1x1xf32>, tensor<4x1x1xf32>, tensor<4x1x1xf32>, tensor<3xi32>) -> tensor<4x1x1xf32>
  %1 = transom.attention thd %q, %q, %v cumulative %c {causal, scale = 1.0}
     : (tensor<4x1x1xf32>, tensor<4x1x1xf32>, tensor<4x1x1xf32>, tensor<3xi32>) -> tensor<4x1x1xf32>
  return %0, %1 : tensor<4x1x1xf32>, tensor<4x1x1xf32>
}

// Packed memory of its own lengths: rows of 1 and 1 queries over 2 and 1 keys. Causal puts the queries of a row at the end of
// its keys.
// CHECK-LABEL: @packed_memory
// CHECK-NEXT{LITERAL}: tensor<2x1x1xf32>: [[[1.5]], [[4]]]
// CHECK-NEXT{LITERAL}: tensor<3x1x1xf32>: [[[1]], [[1.5]], [[4]]]
func.func @packed_memory() -> (tensor<2x1x1xf32>, tensor<3x1x1xf32>) {
  %q = transom.constant dense<0.0> : tensor<2x1x1xf32>
  %k = transom.constant dense<0.0> : tensor<3x1x1xf32>
  %v = transom.constant dense<[[[1.0]], [[2.0]], [[4.0]]]> : tensor<3x1x1xf32>
  %c = transom.constant dense<[0, 1, 2]> : tensor<3xi32>
  %d = transom.constant dense<[0, 2, 3]> : tensor<3xi32>
  %0 = transom.attention thd %q, %k, %v cumulative %c keys %d {scale = 1.0}
     : (tensor<2x1x1xf32>, tensor<3x1x1xf32>, tensor<3x1x1xf32>, tensor<3xi32>, tensor<3xi32>) -> tensor<2x1x1xf32>
  %1 = transom.attention thd %k, %k, %v cumulative %d keys %d {causal, scale = 1.0}
     : (tensor<3x1x1xf32>, tensor<3x1x1xf32>, tensor<3x1x1xf32>, tensor<3xi32>, tensor<3xi32>) -> tensor<3x1x1xf32>
  return %0, %1 : tensor<2x1x1xf32>, tensor<3x1x1xf32>
}
