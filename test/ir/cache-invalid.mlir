// Caches. Each numbered constraint, violated.
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
func.func @cache_append_c1_2(%c: !transom.cache<2x3x8x4xf32>, %t: tensor<2x5x3x4xf32>, %p: tensor<2xi32>, %n: tensor<3xi32>) {
  // expected-error@+2 {{'transom.cache_append' op C1: expected new tokens of rank 3, found 4}}
  // expected-error@+1 {{'transom.cache_append' op failed to infer returned types}}
  %0 = transom.cache_append thd %c, %t past %p cumulative %n
     : (!transom.cache<2x3x8x4xf32>, tensor<2x5x3x4xf32>, tensor<2xi32>, tensor<3xi32>) -> !transom.cache<2x3x8x4xf32>
  return
}

// -----

// heads of packed tokens
func.func @cache_append_c2_2(%c: !transom.cache<2x3x8x4xf32>, %t: tensor<5x2x4xf32>, %p: tensor<2xi32>, %n: tensor<3xi32>) {
  // expected-error@+2 {{'transom.cache_append' op C2: expected new tokens of shape [5, 3, 4], found [5, 2, 4]}}
  // expected-error@+1 {{'transom.cache_append' op failed to infer returned types}}
  %0 = transom.cache_append thd %c, %t past %p cumulative %n
     : (!transom.cache<2x3x8x4xf32>, tensor<5x2x4xf32>, tensor<2xi32>, tensor<3xi32>) -> !transom.cache<2x3x8x4xf32>
  return
}

// -----

// cumulative lengths of another batch
func.func @cache_append_c3_2(%c: !transom.cache<2x3x8x4xf32>, %t: tensor<5x3x4xf32>, %p: tensor<2xi32>, %n: tensor<2xi32>) {
  // expected-error@+2 {{'transom.cache_append' op C3: expected cumulative lengths of shape [3], found [2]}}
  // expected-error@+1 {{'transom.cache_append' op failed to infer returned types}}
  %0 = transom.cache_append thd %c, %t past %p cumulative %n
     : (!transom.cache<2x3x8x4xf32>, tensor<5x3x4xf32>, tensor<2xi32>, tensor<2xi32>) -> !transom.cache<2x3x8x4xf32>
  return
}

// -----

// past lengths
func.func @cache_append_c3_3(%c: !transom.cache<2x3x8x4xf32>, %t: tensor<2x3x5x4xf32>, %p: tensor<1xi32>, %n: tensor<2xi32>) {
  // expected-error@+2 {{'transom.cache_append' op C3: expected past lengths of shape [2], found [1]}}
  // expected-error@+1 {{'transom.cache_append' op failed to infer returned types}}
  %0 = transom.cache_append bhsd %c, %t past %p lengths %n
     : (!transom.cache<2x3x8x4xf32>, tensor<2x3x5x4xf32>, tensor<1xi32>, tensor<2xi32>) -> !transom.cache<2x3x8x4xf32>
  return
}

// -----

func.func @cache_append_c5(%c: !transom.cache<2x3x8x4xf32>, %t: tensor<5x3x4xf32>, %p: tensor<2xi32>, %n: tensor<2xi32>) {
  // expected-error@+1 {{'transom.cache_append' op C5: layout thd comes with cumulative lengths alone}}
  %0 = transom.cache_append thd %c, %t past %p lengths %n
     : (!transom.cache<2x3x8x4xf32>, tensor<5x3x4xf32>, tensor<2xi32>, tensor<2xi32>) -> !transom.cache<2x3x8x4xf32>
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
