// Matrix products: ranks, inner sizes, leading dimensions, quantised right-hand sides. Each numbered constraint, violated.
// RUN: transom-opt %s -split-input-file -verify-diagnostics

func.func @matmul_c1(%a: tensor<3xf32>, %b: tensor<3x2xf32>) {
  // expected-error@+2 {{'transom.matmul' op C1: expected rank 2 or more, found 1 and 2}}
  // expected-error@+1 {{'transom.matmul' op failed to infer returned types}}
  %0 = transom.matmul %a, %b : (tensor<3xf32>, tensor<3x2xf32>) -> tensor<2xf32>
  return
}

// -----

func.func @matmul_c2(%a: tensor<2x3xf32>, %b: tensor<2x4xf32>) {
  // expected-error@+2 {{'transom.matmul' op C2: inner sizes differ: 3 and 2}}
  // expected-error@+1 {{'transom.matmul' op failed to infer returned types}}
  %0 = transom.matmul %a, %b : (tensor<2x3xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  return
}

// -----

// transposed
func.func @matmul_c2_2(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
  // expected-error@+2 {{'transom.matmul' op C2: inner sizes differ: 3 and 4}}
  // expected-error@+1 {{'transom.matmul' op failed to infer returned types}}
  %0 = transom.matmul %a, %b transpose_rhs : (tensor<2x3xf32>, tensor<3x4xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @matmul_c3(%a: tensor<2x1x3xf32>, %b: tensor<3x3x4xf32>) {
  // expected-error@+2 {{'transom.matmul' op C3: shapes do not broadcast}}
  // expected-error@+1 {{'transom.matmul' op failed to infer returned types}}
  %0 = transom.matmul %a, %b : (tensor<2x1x3xf32>, tensor<3x3x4xf32>) -> tensor<2x1x4xf32>
  return
}

// -----

func.func @matmul_c4(%a: tensor<1x32xf32>, %b: tensor<32x32x!transom.block<q4_0>>) {
  // expected-error@+2 {{'transom.matmul' op C4: a quantised right-hand side needs transpose_rhs}}
  // expected-error@+1 {{'transom.matmul' op failed to infer returned types}}
  %0 = transom.matmul %a, %b : (tensor<1x32xf32>, tensor<32x32x!transom.block<q4_0>>) -> tensor<1x32xf32>
  return
}
