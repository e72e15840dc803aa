// Quantised blocks. Each numbered constraint, violated.
// RUN: transom-opt %s -split-input-file -verify-diagnostics

func.func @quantize_c1(%x: tensor<2x32xf32>) {
  // expected-error@+2 {{'transom.quantize' op C1: expected format q8_0, found q4_0}}
  // expected-error@+1 {{'transom.quantize' op failed to infer returned types}}
  %0 = transom.quantize %x to q4_0 : (tensor<2x32xf32>) -> tensor<2x32x!transom.block<q4_0>>
  return
}

// -----

func.func @quantize_c2(%x: tensor<2x48xf32>) {
  // expected-error@+2 {{'transom.quantize' op C2: expected a static last dimension in blocks of 32, found [2, 48]}}
  // expected-error@+1 {{'transom.quantize' op failed to infer returned types}}
  %0 = transom.quantize %x to q8_0 : (tensor<2x48xf32>) -> tensor<2x48x!transom.block<q8_0>>
  return
}

// -----

// dynamic
func.func @quantize_c2_2(%x: tensor<2x?xf32>) {
  // expected-error@+2 {{'transom.quantize' op C2: expected a static last dimension in blocks of 32, found [2, ?]}}
  // expected-error@+1 {{'transom.quantize' op failed to infer returned types}}
  %0 = transom.quantize %x to q8_0 : (tensor<2x?xf32>) -> tensor<2x?x!transom.block<q8_0>>
  return
}

// -----

func.func @round_e4m3_c1(%x: tensor<2x?xf32>) {
  // expected-error@+2 {{'transom.round_e4m3' op C1: expected a static last dimension, found [2, ?]}}
  // expected-error@+1 {{'transom.round_e4m3' op failed to infer returned types}}
  %0 = transom.round_e4m3 %x : (tensor<2x?xf32>) -> tensor<2x?xf32>
  return
}

// -----

func.func @round_e4m3_c2(%x: tensor<2x32xf32>, %s: tensor<2xf32>) {
  // expected-error@+2 {{'transom.round_e4m3' op C2: expected a scale of rank 0, found [2]}}
  // expected-error@+1 {{'transom.round_e4m3' op failed to infer returned types}}
  %0 = transom.round_e4m3 %x scale %s : (tensor<2x32xf32>, tensor<2xf32>) -> tensor<2x32xf32>
  return
}
