// cache_append: row 0 has 1 past token and 2 new ones: slots 1 and 2. Row 1 is idle. Row 2 has 2 past tokens and 2 new ones,
// of which the second falls behind the capacity of 3 and is dropped.
// RUN: transom-opt --interpret=main %s --input='dense<0.0> : tensor<3x1x3x1xf32>' \
// RUN:   --input='dense<[[[[1.0], [2.0]]], [[[3.0], [4.0]]], [[[5.0], [6.0]]]]> : tensor<3x1x2x1xf32>' \
// RUN:   --input='dense<[1, 1, 2]> : tensor<3xi32>' --input='dense<[2, 0, 2]> : tensor<3xi32>' | FileCheck %s

// CHECK: tensor<3x1x3x1xf32>: {{\[\[\[\[0\], \[1\], \[2\]\]\], \[\[\[0\], \[0\], \[0\]\]\], \[\[\[0\], \[0\], \[5\]\]\]\]}}
// Tokens in layout bshd end up in the same slots.
// CHECK-NEXT: tensor<3x1x3x1xf32>: {{\[\[\[\[0\], \[1\], \[2\]\]\], \[\[\[0\], \[0\], \[0\]\]\], \[\[\[0\], \[0\], \[5\]\]\]\]}}
// So do packed ones: tokens 1 and 2 of row 0, 5 and 6 of row 2.
// CHECK-NEXT: tensor<3x1x3x1xf32>: {{\[\[\[\[0\], \[1\], \[2\]\]\], \[\[\[0\], \[0\], \[0\]\]\], \[\[\[0\], \[0\], \[5\]\]\]\]}}
func.func @main(%cache: !transom.cache<?x1x3x1xf32>, %new: tensor<?x1x?x1xf32>, %past: tensor<?xi32>, %n: tensor<?xi32>)
    -> (!transom.cache<?x1x3x1xf32>, !transom.cache<?x1x3x1xf32>, !transom.cache<?x1x3x1xf32>) {
  %0 = transom.cache_append bhsd %cache, %new past %past lengths %n
     : (!transom.cache<?x1x3x1xf32>, tensor<?x1x?x1xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x1x3x1xf32>
  %t = transom.transpose %new [0, 2, 1, 3] : (tensor<?x1x?x1xf32>) -> tensor<?x?x1x1xf32>
  %1 = transom.cache_append bshd %cache, %t past %past lengths %n
     : (!transom.cache<?x1x3x1xf32>, tensor<?x?x1x1xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x1x3x1xf32>
  %packed = transom.constant dense<[[[1.0]], [[2.0]], [[5.0]], [[6.0]]]> : tensor<4x1x1xf32>
  %sum = transom.cumulative_lengths %n : (tensor<?xi32>) -> tensor<?xi32>
  %2 = transom.cache_append thd %cache, %packed past %past cumulative %sum
     : (!transom.cache<?x1x3x1xf32>, tensor<4x1x1xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x1x3x1xf32>
  return %0, %1, %2 : !transom.cache<?x1x3x1xf32>, !transom.cache<?x1x3x1xf32>, !transom.cache<?x1x3x1xf32>
}
