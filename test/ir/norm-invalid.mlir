// Normalisations: parameters as long as rows, a positive epsilon. Each numbered constraint, violated.
// RUN: transom-opt %s -split-input-file -verify-diagnostics

func.func @layer_norm_c1(%x: tensor<2x4xf32>, %s: tensor<4xf32>, %b: tensor<3xf32>) {
  // expected-error@+2 {{'transom.layer_norm' op C1: expected scale and bias of shape [4], found [3]}}
  // expected-error@+1 {{'transom.layer_norm' op failed to infer returned types}}
  %0 = transom.layer_norm %x, %s, %b epsilon 1.0e-5 : (tensor<2x4xf32>, tensor<4xf32>, tensor<3xf32>) -> tensor<2x4xf32>
  return
}

// -----

func.func @layer_norm_c2(%x: tensor<2x4xf32>, %s: tensor<4xf32>) {
  // expected-error@+1 {{'transom.layer_norm' op C2: expected a positive epsilon}}
  %0 = transom.layer_norm %x, %s epsilon 0.0 : (tensor<2x4xf32>, tensor<4xf32>) -> tensor<2x4xf32>
  return
}

// -----

func.func @rms_norm_c1(%x: tensor<2x4xf32>, %s: tensor<2xf32>) {
  // expected-error@+2 {{'transom.rms_norm' op C1: expected scale and bias of shape [4], found [2]}}
  // expected-error@+1 {{'transom.rms_norm' op failed to infer returned types}}
  %0 = transom.rms_norm %x, %s epsilon 1.0e-5 : (tensor<2x4xf32>, tensor<2xf32>) -> tensor<2x4xf32>
  return
}

// -----

func.func @rms_norm_c2(%x: tensor<2x4xf32>, %s: tensor<4xf32>) {
  // expected-error@+1 {{'transom.rms_norm' op C2: expected a positive epsilon}}
  %0 = transom.rms_norm %x, %s epsilon -1.0 : (tensor<2x4xf32>, tensor<4xf32>) -> tensor<2x4xf32>
  return
}
