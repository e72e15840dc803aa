// Caches and packed sequences. Each numbered constraint, violated.
// RUN: transom-opt %s -split-input-file -verify-diagnostics

func.func @cache_append_c1(%c: !transom.cache<2x3x8x4xf32>, %t: tensor<3x5x4xf32>, %p: tensor<2xi32>, %n: tensor<2xi32>) {
  // expected-error@+2 {{'transom.cache_append' op C1: expected new tokens of rank 4, found 3}}
  // expected-error@+1 {{'transom.cache_append' op failed to infer returned types}}
  %0 = transom.cache_append bhsd %c, %t past %p lengths %n
     : (!transom.cache<2x3x8x4xf32>, tensor<3x5x4xf32>, tensor<2xi32>, tensor<2xi32>) -> !transom.cache<2x3x8x4xf32>
  return
}

// -----

// packed layout
func.func @cache_append_c1_2(%c: !transom.cache<2x3x8x4xf32>, %t: tensor<2x5x3x4xf32>, %p: tensor<2xi32>, %n: tensor<2xi32>) {
  // expected-error@+1 {{'transom.cache_append' op C1: expected layout bhsd or bshd}}
  %0 = transom.cache_append thd %c, %t past %p lengths %n
     : (!transom.cache<2x3x8x4xf32>, tensor<2x5x3x4xf32>, tensor<2xi32>, tensor<2xi32>) -> !transom.cache<2x3x8x4xf32>
  return
}

// -----

func.func @cache_append_c2(%c: !transom.cache<2x3x8x4xf32>, %t: tensor<2x5x3x4xf32>, %p: tensor<2xi32>, %n: tensor<2xi32>) {
  // expected-error@+2 {{'transom.cache_append' op C2: expected new tokens of shape [2, 3, 3, 4], found [2, 5, 3, 4]}}
  // expected-error@+1 {{'transom.cache_append' op failed to infer returned types}}
  %0 = transom.cache_append bhsd %c, %t past %p lengths %n
     : (!transom.cache<2x3x8x4xf32>, tensor<2x5x3x4xf32>, tensor<2xi32>, tensor<2xi32>) -> !transom.cache<2x3x8x4xf32>
  return
}

// -----

func.func @cache_append_c3(%c: !transom.cache<2x3x8x4xf32>, %t: tensor<2x3x5x4xf32>, %p: tensor<2xi32>, %n: tensor<1xi32>) {
  // expected-error@+2 {{'transom.cache_append' op C3: expected lengths of shape [2], found [1]}}
  // expected-error@+1 {{'transom.cache_append' op failed to infer returned types}}
  %0 = transom.cache_append bhsd %c, %t past %p lengths %n
     : (!transom.cache<2x3x8x4xf32>, tensor<2x3x5x4xf32>, tensor<2xi32>, tensor<1xi32>) -> !transom.cache<2x3x8x4xf32>
  return
}

// -----

func.func @cache_append_c4(%c: !transom.cache<2x3x8x4xf32>, %t: tensor<2x3x5x4xf16>, %p: tensor<2xi32>, %n: tensor<2xi32>) {
  // expected-error@+1 {{'transom.cache_append' op C4: expected tokens of 'f32'}}
  %0 = transom.cache_append bhsd %c, %t past %p lengths %n
     : (!transom.cache<2x3x8x4xf32>, tensor<2x3x5x4xf16>, tensor<2xi32>, tensor<2xi32>) -> !transom.cache<2x3x8x4xf32>
  return
}

// -----

func.func @cumulative_lengths_c1(%n: tensor<2x1xi32>) {
  // expected-error@+2 {{'transom.cumulative_lengths' op C1: expected rank 1, found 2}}
  // expected-error@+1 {{'transom.cumulative_lengths' op failed to infer returned types}}
  %0 = transom.cumulative_lengths %n : (tensor<2x1xi32>) -> tensor<3xi32>
  return
}

// -----

func.func @pack_c1(%x: tensor<4xf32>, %c: tensor<5xi32>) {
  // expected-error@+2 {{'transom.pack' op C1: expected rank 2 or more, found 1}}
  // expected-error@+1 {{'transom.pack' op failed to infer returned types}}
  %0 = transom.pack %x, %c : (tensor<4xf32>, tensor<5xi32>) -> tensor<4xf32>
  return
}

// -----

func.func @pack_c2(%x: tensor<4x2xf32>, %c: tensor<4xi32>) {
  // expected-error@+2 {{'transom.pack' op C2: expected cumulative lengths of shape [5], found [4]}}
  // expected-error@+1 {{'transom.pack' op failed to infer returned types}}
  %0 = transom.pack %x, %c : (tensor<4x2xf32>, tensor<4xi32>) -> tensor<8xf32>
  return
}

// -----

func.func @unpack_c1(%x: tensor<f32>, %c: tensor<5xi32>, %l: tensor<4x2xi32>) {
  // expected-error@+2 {{'transom.unpack' op C1: expected packed of rank 1 and like of rank 2 or more}}
  // expected-error@+1 {{'transom.unpack' op failed to infer returned types}}
  %0 = transom.unpack %x, %c like %l : (tensor<f32>, tensor<5xi32>, tensor<4x2xi32>) -> tensor<4x2xf32>
  return
}

// -----

func.func @unpack_c2(%x: tensor<8xf32>, %c: tensor<4xi32>, %l: tensor<4x2xi32>) {
  // expected-error@+2 {{'transom.unpack' op C2: expected cumulative lengths of shape [5], found [4]}}
  // expected-error@+1 {{'transom.unpack' op failed to infer returned types}}
  %0 = transom.unpack %x, %c like %l : (tensor<8xf32>, tensor<4xi32>, tensor<4x2xi32>) -> tensor<4x2xf32>
  return
}
