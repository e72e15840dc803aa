// Attention over caches. Capacity 4. Row 0 has 1 past token and 2 new ones: causal queries see slots 0-1 and 0-2. Row 1 has
// none and 1: its second query is padding. Slots that were never written hold NaN, which must not be read.
// RUN: transom-opt --interpret=main %s \
// RUN:   --input='dense<0.0> : tensor<2x1x2x1xf32>' --input='dense<0.0> : tensor<2x1x4x1xf32>' \
// RUN:   --input='dense<[[[[1.0], [2.0], [6.0], [0x7FC00000]]], [[[10.0], [0x7FC00000], [0x7FC00000], [0x7FC00000]]]]> : tensor<2x1x4x1xf32>' \
// RUN:   --input='dense<[1, 0]> : tensor<2xi32>' --input='dense<[2, 1]> : tensor<2xi32>' | FileCheck %s

// CHECK: tensor<2x1x2x1xf32>: {{\[\[\[\[1.5\], \[3\]\]\], \[\[\[10\], \[nan\]\]\]\]}}
// Without causal every written slot is seen.
// CHECK-NEXT: tensor<2x1x2x1xf32>: {{\[\[\[\[3\], \[3\]\]\], \[\[\[10\], \[nan\]\]\]\]}}
// With window 1 only the own slot is.
// CHECK-NEXT: tensor<2x1x2x1xf32>: {{\[\[\[\[2\], \[6\]\]\], \[\[\[10\], \[nan\]\]\]\]}}
// Queries in layout bshd read caches of bhsd.
// CHECK-NEXT: tensor<2x2x1x1xf32>: {{\[\[\[\[1.5\]\], \[\[3\]\]\], \[\[\[10\]\], \[\[nan\]\]\]\]}}
// Packed queries: rows of 2 and 1 tokens.
// CHECK-NEXT: tensor<3x1x1xf32>: {{\[\[\[1.5\]\], \[\[3\]\], \[\[10\]\]\]}}
func.func @main(%q: tensor<2x1x2x1xf32>, %k: !transom.cache<2x1x4x1xf32>, %v: !transom.cache<2x1x4x1xf32>,
                %past: tensor<2xi32>, %new: tensor<2xi32>)
    -> (tensor<2x1x2x1xf32>, tensor<2x1x2x1xf32>, tensor<2x1x2x1xf32>, tensor<2x2x1x1xf32>, tensor<3x1x1xf32>) {
  %0 = transom.attention bhsd %q, %k, %v past %past lengths %new {causal, scale = 1.0}
     : (tensor<2x1x2x1xf32>, !transom.cache<2x1x4x1xf32>, !transom.cache<2x1x4x1xf32>, tensor<2xi32>, tensor<2xi32>)
     -> tensor<2x1x2x1xf32>
  %1 = transom.attention bhsd %q, %k, %v past %past lengths %new {scale = 1.0}
     : (tensor<2x1x2x1xf32>, !transom.cache<2x1x4x1xf32>, !transom.cache<2x1x4x1xf32>, tensor<2xi32>, tensor<2xi32>)
     -> tensor<2x1x2x1xf32>
  %2 = transom.attention bhsd %q, %k, %v past %past lengths %new {causal, scale = 1.0, window = 1 : i64}
     : (tensor<2x1x2x1xf32>, !transom.cache<2x1x4x1xf32>, !transom.cache<2x1x4x1xf32>, tensor<2xi32>, tensor<2xi32>)
     -> tensor<2x1x2x1xf32>
  %t = transom.transpose %q [0, 2, 1, 3] : (tensor<2x1x2x1xf32>) -> tensor<2x2x1x1xf32>
  %3 = transom.attention bshd %t, %k, %v past %past lengths %new {causal, scale = 1.0}
     : (tensor<2x2x1x1xf32>, !transom.cache<2x1x4x1xf32>, !transom.cache<2x1x4x1xf32>, tensor<2xi32>, tensor<2xi32>)
     -> tensor<2x2x1x1xf32>
  %p = transom.constant dense<0.0> : tensor<3x1x1xf32>
  %c = transom.cumulative_lengths %new : (tensor<2xi32>) -> tensor<3xi32>
  %4 = transom.attention thd %p, %k, %v past %past cumulative %c {causal, scale = 1.0}
     : (tensor<3x1x1xf32>, !transom.cache<2x1x4x1xf32>, !transom.cache<2x1x4x1xf32>, tensor<2xi32>, tensor<3xi32>)
     -> tensor<3x1x1xf32>
  return %0, %1, %2, %3, %4
     : tensor<2x1x2x1xf32>, tensor<2x1x2x1xf32>, tensor<2x1x2x1xf32>, tensor<2x2x1x1xf32>, tensor<3x1x1xf32>
}
