// Embedding lookup, last token, token selection. Each numbered constraint, violated.
// RUN: transom-opt %s -split-input-file -verify-diagnostics

func.func @embedding_c1(%t: tensor<8xf32>, %i: tensor<2xi32>) {
  // expected-error@+2 {{'transom.embedding' op C1: expected a table of rank 2, found [8]}}
  // expected-error@+1 {{'transom.embedding' op failed to infer returned types}}
  %0 = transom.embedding %t, %i : (tensor<8xf32>, tensor<2xi32>) -> tensor<2xf32>
  return
}

// -----

func.func @last_token_c1(%x: tensor<2xf32>, %n: tensor<2xi32>) {
  // expected-error@+2 {{'transom.last_token' op C1: expected rank 2 or more, found 1}}
  // expected-error@+1 {{'transom.last_token' op failed to infer returned types}}
  %0 = transom.last_token %x, %n : (tensor<2xf32>, tensor<2xi32>) -> tensor<f32>
  return
}

// -----

func.func @last_token_c2(%x: tensor<2x3xf32>, %n: tensor<3xi32>) {
  // expected-error@+2 {{'transom.last_token' op C2: expected lengths of shape [2], found [3]}}
  // expected-error@+1 {{'transom.last_token' op failed to infer returned types}}
  %0 = transom.last_token %x, %n : (tensor<2x3xf32>, tensor<3xi32>) -> tensor<2xf32>
  return
}

// -----

// cumulative lengths
func.func @last_token_c2_2(%x: tensor<5x3xf32>, %n: tensor<3x1xi32>) {
  // expected-error@+2 {{'transom.last_token' op C2: expected cumulative lengths [batch + 1], found [3, 1]}}
  // expected-error@+1 {{'transom.last_token' op failed to infer returned types}}
  %0 = transom.last_token %x cumulative %n : (tensor<5x3xf32>, tensor<3x1xi32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @last_token_c3(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{'transom.last_token' op C3: expected either lengths or cumulative lengths}}
  %0 = transom.last_token %x : (tensor<2x3xf32>) -> tensor<2xf32>
  return
}

// -----

func.func @first_token_c1(%x: tensor<2xf32>, %n: tensor<2xi32>) {
  // expected-error@+2 {{'transom.first_token' op C1: expected rank 2 or more, found 1}}
  // expected-error@+1 {{'transom.first_token' op failed to infer returned types}}
  %0 = transom.first_token %x, %n : (tensor<2xf32>, tensor<2xi32>) -> tensor<f32>
  return
}

// -----

// cumulative lengths
func.func @first_token_c2_2(%x: tensor<5x3xf32>, %n: tensor<3x1xi32>) {
  // expected-error@+2 {{'transom.first_token' op C2: expected cumulative lengths [batch + 1], found [3, 1]}}
  // expected-error@+1 {{'transom.first_token' op failed to infer returned types}}
  %0 = transom.first_token %x cumulative %n : (tensor<5x3xf32>, tensor<3x1xi32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @first_token_c3(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{'transom.first_token' op C3: expected either lengths or cumulative lengths}}
  %0 = transom.first_token %x : (tensor<2x3xf32>) -> tensor<2xf32>
  return
}

// -----

func.func @argmax_c1(%x: tensor<f32>) {
  // expected-error@+2 {{'transom.argmax' op C1: expected rank 1 or more}}
  // expected-error@+1 {{'transom.argmax' op failed to infer returned types}}
  %0 = transom.argmax %x : (tensor<f32>) -> tensor<i32>
  return
}

// -----

func.func @top_k_c1(%x: tensor<2x3xf32>) {
  // expected-error@+2 {{'transom.top_k' op C1: expected 1 <= k <= last dimension, found k 4 of [2, 3]}}
  // expected-error@+1 {{'transom.top_k' op failed to infer returned types}}
  %0, %1 = transom.top_k %x k 4 : (tensor<2x3xf32>) -> (tensor<2x4xf32>, tensor<2x4xi32>)
  return
}

// -----

func.func @top_k_c1_2(%x: tensor<2x3xf32>) {
  // expected-error@+2 {{'transom.top_k' op C1: expected 1 <= k <= last dimension, found k 0 of [2, 3]}}
  // expected-error@+1 {{'transom.top_k' op failed to infer returned types}}
  %0, %1 = transom.top_k %x k 0 : (tensor<2x3xf32>) -> (tensor<2x0xf32>, tensor<2x0xi32>)
  return
}

// -----

func.func @sample_c1(%l: tensor<2x1x8xf32>, %f: tensor<2xf32>, %k: tensor<2xi32>, %s: tensor<2xi64>) {
  // expected-error@+2 {{'transom.sample' op C1: expected logits [batch, vocab], found [2, 1, 8]}}
  // expected-error@+1 {{'transom.sample' op failed to infer returned types}}
  %0 = transom.sample %l temperature %f top_k %k top_p %f seed %s step %k
     : (tensor<2x1x8xf32>, tensor<2xf32>, tensor<2xi32>, tensor<2xf32>, tensor<2xi64>, tensor<2xi32>) -> tensor<2xi32>
  return
}

// -----

func.func @sample_c2(%l: tensor<2x8xf32>, %f: tensor<2xf32>, %k: tensor<3xi32>, %s: tensor<2xi64>) {
  // expected-error@+2 {{'transom.sample' op C2: expected options of shape [2], found [3]}}
  // expected-error@+1 {{'transom.sample' op failed to infer returned types}}
  %0 = transom.sample %l temperature %f top_k %k top_p %f seed %s step %k
     : (tensor<2x8xf32>, tensor<2xf32>, tensor<3xi32>, tensor<2xf32>, tensor<2xi64>, tensor<3xi32>) -> tensor<2xi32>
  return
}
