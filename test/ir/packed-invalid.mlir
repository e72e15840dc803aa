// Packed sequences. Each numbered constraint, violated.
// RUN: transom-opt %s -split-input-file -verify-diagnostics

func.func @valid_tokens_c1(%m: tensor<2x3x4xi32>) {
  // expected-error@+2 {{'transom.valid_tokens' op C1: expected rows [batch, seq], found [2, 3, 4]}}
  // expected-error@+1 {{'transom.valid_tokens' op failed to infer returned types}}
  %0:2 = transom.valid_tokens %m size "tokens" : (tensor<2x3x4xi32>) -> (tensor<?xi32>, tensor<3xi32>)
  return
}

// -----

// a mask of floats
func.func @valid_tokens_c1_2(%m: tensor<2x3xf32>) {
  // expected-error@+1 {{'transom.valid_tokens' op C1: expected a mask of integers, found 'tensor<2x3xf32>'}}
  %0:2 = transom.valid_tokens %m size "tokens" : (tensor<2x3xf32>) -> (tensor<?xi32>, tensor<3xi32>)
  return
}

// -----

func.func @valid_tokens_c2(%x: tensor<2x3xf32>, %n: tensor<3xi32>) {
  // expected-error@+2 {{'transom.valid_tokens' op C2: expected lengths of shape [2], found [3]}}
  // expected-error@+1 {{'transom.valid_tokens' op failed to infer returned types}}
  %0:2 = transom.valid_tokens %x lengths %n size "tokens" : (tensor<2x3xf32>, tensor<3xi32>) -> (tensor<?xi32>, tensor<3xi32>)
  return
}

// -----

func.func @valid_tokens_c3(%m: tensor<2x3xi32>) {
  // expected-error@+1 {{'transom.valid_tokens' op C3: expected a name, found "2*tokens"}}
  %0:2 = transom.valid_tokens %m size "2*tokens" : (tensor<2x3xi32>) -> (tensor<?xi32>, tensor<3xi32>)
  return
}

// -----

func.func @pack_c1(%x: tensor<4xf32>, %i: tensor<5xi32>) {
  // expected-error@+2 {{'transom.pack' op C1: expected rank 2 or more, found 1}}
  // expected-error@+1 {{'transom.pack' op failed to infer returned types}}
  %0 = transom.pack %x, %i : (tensor<4xf32>, tensor<5xi32>) -> tensor<5xf32>
  return
}

// -----

func.func @pack_c2(%x: tensor<4x2xf32>, %i: tensor<4x2xi32>) {
  // expected-error@+2 {{'transom.pack' op C2: expected an index of rank 1, found [4, 2]}}
  // expected-error@+1 {{'transom.pack' op failed to infer returned types}}
  %0 = transom.pack %x, %i : (tensor<4x2xf32>, tensor<4x2xi32>) -> tensor<8xf32>
  return
}

// -----

func.func @unpack_c1(%x: tensor<f32>, %i: tensor<5xi32>, %l: tensor<4x2xi32>) {
  // expected-error@+2 {{'transom.unpack' op C1: expected packed of rank 1 and like of rank 2 or more}}
  // expected-error@+1 {{'transom.unpack' op failed to infer returned types}}
  %0 = transom.unpack %x, %i like %l : (tensor<f32>, tensor<5xi32>, tensor<4x2xi32>) -> tensor<4x2xf32>
  return
}

// -----

func.func @unpack_c2(%x: tensor<8xf32>, %i: tensor<4xi32>, %l: tensor<4x2xi32>) {
  // expected-error@+2 {{'transom.unpack' op C2: expected an index of shape [8], found [4]}}
  // expected-error@+1 {{'transom.unpack' op failed to infer returned types}}
  %0 = transom.unpack %x, %i like %l : (tensor<8xf32>, tensor<4xi32>, tensor<4x2xi32>) -> tensor<4x2xf32>
  return
}

// -----

func.func @reduce_packed_c1(%x: tensor<f32>, %c: tensor<3xi32>) {
  // expected-error@+2 {{'transom.reduce_packed' op C1: expected rank 1 or more}}
  // expected-error@+1 {{'transom.reduce_packed' op failed to infer returned types}}
  %0 = transom.reduce_packed sum %x, %c : (tensor<f32>, tensor<3xi32>) -> tensor<2xf32>
  return
}

// -----

func.func @reduce_packed_c2(%x: tensor<8xf32>, %c: tensor<3x1xi32>) {
  // expected-error@+2 {{'transom.reduce_packed' op C2: expected cumulative lengths [batch + 1], found [3, 1]}}
  // expected-error@+1 {{'transom.reduce_packed' op failed to infer returned types}}
  %0 = transom.reduce_packed sum %x, %c : (tensor<8xf32>, tensor<3x1xi32>) -> tensor<2xf32>
  return
}

// -----

func.func @reduce_packed_c3(%x: tensor<8xi32>, %c: tensor<3xi32>) {
  // expected-error@+1 {{'transom.reduce_packed' op C3: expected floats for a mean, found 'i32'}}
  %0 = transom.reduce_packed mean %x, %c : (tensor<8xi32>, tensor<3xi32>) -> tensor<2xi32>
  return
}

// -----

func.func @cumulative_lengths_c1(%n: tensor<2x1xi32>) {
  // expected-error@+2 {{'transom.cumulative_lengths' op C1: expected rank 1, found 2}}
  // expected-error@+1 {{'transom.cumulative_lengths' op failed to infer returned types}}
  %0 = transom.cumulative_lengths %n : (tensor<2x1xi32>) -> tensor<3xi32>
  return
}
