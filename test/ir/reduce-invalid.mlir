// Reductions and softmax. Each numbered constraint, violated.
// RUN: transom-opt %s -split-input-file -verify-diagnostics

func.func @reduce_c1(%x: tensor<2x3xf32>) {
  // expected-error@+2 {{'transom.reduce' op C1: axis 2 is not a dimension of a tensor of rank 2}}
  // expected-error@+1 {{'transom.reduce' op failed to infer returned types}}
  %0 = transom.reduce sum %x axes [2] : (tensor<2x3xf32>) -> tensor<2xf32>
  return
}

// -----

func.func @reduce_c1_2(%x: tensor<2x3xf32>) {
  // expected-error@+2 {{'transom.reduce' op C1: axis 1 stands twice}}
  // expected-error@+1 {{'transom.reduce' op failed to infer returned types}}
  %0 = transom.reduce sum %x axes [1, 1] : (tensor<2x3xf32>) -> tensor<2xf32>
  return
}

// -----

func.func @reduce_c1_3(%x: tensor<2x3xf32>) {
  // expected-error@+2 {{'transom.reduce' op C1: expected at least one axis}}
  // expected-error@+1 {{'transom.reduce' op failed to infer returned types}}
  %0 = transom.reduce sum %x axes [] : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @reduce_c2(%x: tensor<2x3xi32>) {
  // expected-error@+1 {{'transom.reduce' op C2: expected floats for a mean, found 'i32'}}
  %0 = transom.reduce mean %x axes [1] : (tensor<2x3xi32>) -> tensor<2xi32>
  return
}

// -----

func.func @cumulative_sum_c1(%x: tensor<2x3xi32>) {
  // expected-error@+2 {{'transom.cumulative_sum' op C1: axis 2 is not a dimension of a tensor of rank 2}}
  // expected-error@+1 {{'transom.cumulative_sum' op failed to infer returned types}}
  %0 = transom.cumulative_sum %x axis 2 : (tensor<2x3xi32>) -> tensor<2x3xi32>
  return
}

// -----

func.func @softmax_c1(%x: tensor<2x3xf32>) {
  // expected-error@+2 {{'transom.softmax' op C1: axis 2 is not a dimension of a tensor of rank 2}}
  // expected-error@+1 {{'transom.softmax' op failed to infer returned types}}
  %0 = transom.softmax %x axis 2 : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return
}
