// Attention, rotary embedding and positions. Each numbered constraint, violated.
// RUN: transom-opt %s -split-input-file -verify-diagnostics

func.func @attention_c1(%q: tensor<1x2x3x4xf32>, %c: tensor<2xi32>) {
  // expected-error@+2 {{'transom.attention' op C1: expected rank 3 for layout thd}}
  // expected-error@+1 {{'transom.attention' op failed to infer returned types}}
  %0 = transom.attention thd %q, %q, %q cumulative %c {scale = 1.0}
     : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<2xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// key
func.func @attention_c1_2(%q: tensor<1x2x3x4xf32>, %k: tensor<2x3x4xf32>) {
  // expected-error@+2 {{'transom.attention' op C1: expected rank 4 for layout bhsd}}
  // expected-error@+1 {{'transom.attention' op failed to infer returned types}}
  %0 = transom.attention bhsd %q, %k, %k {scale = 1.0}
     : (tensor<1x2x3x4xf32>, tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// head_dim
func.func @attention_c2(%q: tensor<1x2x3x4xf32>, %k: tensor<1x2x3x8xf32>) {
  // expected-error@+2 {{'transom.attention' op C2: query [1, 2, 3, 4] and key [1, 2, 3, 8] differ in batch or head_dim}}
  // expected-error@+1 {{'transom.attention' op failed to infer returned types}}
  %0 = transom.attention bhsd %q, %k, %k {scale = 1.0}
     : (tensor<1x2x3x4xf32>, tensor<1x2x3x8xf32>, tensor<1x2x3x8xf32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// batch
func.func @attention_c2_2(%q: tensor<1x2x3x4xf32>, %k: tensor<2x2x3x4xf32>) {
  // expected-error@+2 {{'transom.attention' op C2: query [1, 2, 3, 4] and key [2, 2, 3, 4] differ in batch or head_dim}}
  // expected-error@+1 {{'transom.attention' op failed to infer returned types}}
  %0 = transom.attention bhsd %q, %k, %k {scale = 1.0}
     : (tensor<1x2x3x4xf32>, tensor<2x2x3x4xf32>, tensor<2x2x3x4xf32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// key length
func.func @attention_c2_3(%q: tensor<1x2x3x4xf32>, %v: tensor<1x2x5x4xf32>) {
  // expected-error@+2 {{'transom.attention' op C2: expected key and value alike, value of shape [1, 2, 3, 4], found [1, 2, 5, 4]}}
  // expected-error@+1 {{'transom.attention' op failed to infer returned types}}
  %0 = transom.attention bhsd %q, %q, %v {scale = 1.0}
     : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x5x4xf32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// packed tokens
func.func @attention_c2_4(%q: tensor<5x2x4xf32>, %k: tensor<6x2x4xf32>, %c: tensor<2xi32>) {
  // expected-error@+2 {{'transom.attention' op C2: query [5, 2, 4] and key [6, 2, 4] differ in tokens}}
  // expected-error@+1 {{'transom.attention' op failed to infer returned types}}
  %0 = transom.attention thd %q, %k, %k cumulative %c {scale = 1.0}
     : (tensor<5x2x4xf32>, tensor<6x2x4xf32>, tensor<6x2x4xf32>, tensor<2xi32>) -> tensor<5x2x4xf32>
  return
}

// -----

func.func @attention_c3(%q: tensor<1x3x3x4xf32>, %k: tensor<1x2x3x4xf32>) {
  // expected-error@+2 {{'transom.attention' op C3: 3 query heads do not share 2 key/value heads evenly}}
  // expected-error@+1 {{'transom.attention' op failed to infer returned types}}
  %0 = transom.attention bhsd %q, %k, %k {scale = 1.0}
     : (tensor<1x3x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) -> tensor<1x3x3x4xf32>
  return
}

// -----

// one cache
func.func @attention_c4(%q: tensor<1x2x3x4xf32>, %k: !transom.cache<1x2x8x4xf32>, %v: tensor<1x2x8x4xf32>, %n: tensor<1xi32>) {
  // expected-error@+1 {{'transom.attention' op C4: key and value are both caches or both tensors}}
  %0 = transom.attention bhsd %q, %k, %v past %n lengths %n {scale = 1.0}
     : (tensor<1x2x3x4xf32>, !transom.cache<1x2x8x4xf32>, tensor<1x2x8x4xf32>, tensor<1xi32>, tensor<1xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// no lengths
func.func @attention_c4_2(%q: tensor<1x2x3x4xf32>, %k: !transom.cache<1x2x8x4xf32>, %n: tensor<1xi32>) {
  // expected-error@+1 {{'transom.attention' op C4: caches come with past, padded ones also with lengths, and only they do}}
  %0 = transom.attention bhsd %q, %k, %k past %n {scale = 1.0}
     : (tensor<1x2x3x4xf32>, !transom.cache<1x2x8x4xf32>, !transom.cache<1x2x8x4xf32>, tensor<1xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// lengths without a cache
func.func @attention_c4_3(%q: tensor<1x2x3x4xf32>, %n: tensor<1xi32>) {
  // expected-error@+1 {{'transom.attention' op C4: caches come with past, padded ones also with lengths, and only they do}}
  %0 = transom.attention bhsd %q, %q, %q lengths %n {scale = 1.0}
     : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @attention_c5(%q: tensor<5x2x4xf32>) {
  // expected-error@+1 {{'transom.attention' op C5: layout thd comes with cumulative lengths, and only it does}}
  %0 = transom.attention thd %q, %q, %q {scale = 1.0}
     : (tensor<5x2x4xf32>, tensor<5x2x4xf32>, tensor<5x2x4xf32>) -> tensor<5x2x4xf32>
  return
}

// -----

// cumulative lengths of padded rows
func.func @attention_c5_2(%q: tensor<1x2x3x4xf32>, %c: tensor<2xi32>) {
  // expected-error@+1 {{'transom.attention' op C5: layout thd comes with cumulative lengths, and only it does}}
  %0 = transom.attention bhsd %q, %q, %q cumulative %c {scale = 1.0}
     : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<2xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// mask
func.func @attention_c5_3(%q: tensor<5x2x4xf32>, %m: tensor<1x5xi32>, %c: tensor<2xi32>) {
  // expected-error@+1 {{'transom.attention' op C5: packed sequences take no mask or bias}}
  %0 = transom.attention thd %q, %q, %q mask %m cumulative %c {scale = 1.0}
     : (tensor<5x2x4xf32>, tensor<5x2x4xf32>, tensor<5x2x4xf32>, tensor<1x5xi32>, tensor<2xi32>) -> tensor<5x2x4xf32>
  return
}

// -----

// lengths with packed queries
func.func @attention_c4_4(%q: tensor<5x2x4xf32>, %k: !transom.cache<1x2x8x4xf32>, %n: tensor<1xi32>, %c: tensor<2xi32>) {
  // expected-error@+1 {{'transom.attention' op C4: caches come with past, padded ones also with lengths, and only they do}}
  %0 = transom.attention thd %q, %k, %k past %n lengths %n cumulative %c {scale = 1.0}
     : (tensor<5x2x4xf32>, !transom.cache<1x2x8x4xf32>, !transom.cache<1x2x8x4xf32>, tensor<1xi32>, tensor<1xi32>, tensor<2xi32>) -> tensor<5x2x4xf32>
  return
}

// -----

// key lengths of caches
func.func @attention_c5_4(%q: tensor<5x2x4xf32>, %k: !transom.cache<1x2x8x4xf32>, %n: tensor<1xi32>, %c: tensor<2xi32>) {
  // expected-error@+1 {{'transom.attention' op C5: key lengths come with packed keys alone}}
  %0 = transom.attention thd %q, %k, %k past %n cumulative %c keys %c {scale = 1.0}
     : (tensor<5x2x4xf32>, !transom.cache<1x2x8x4xf32>, !transom.cache<1x2x8x4xf32>, tensor<1xi32>, tensor<2xi32>, tensor<2xi32>) -> tensor<5x2x4xf32>
  return
}

// -----

// key lengths of another batch
func.func @attention_c6_5(%q: tensor<5x2x4xf32>, %k: tensor<7x2x4xf32>, %c: tensor<2xi32>, %d: tensor<3xi32>) {
  // expected-error@+2 {{'transom.attention' op C6: expected key lengths of shape [2], found [3]}}
  // expected-error@+1 {{'transom.attention' op failed to infer returned types}}
  %0 = transom.attention thd %q, %k, %k cumulative %c keys %d {scale = 1.0}
     : (tensor<5x2x4xf32>, tensor<7x2x4xf32>, tensor<7x2x4xf32>, tensor<2xi32>, tensor<3xi32>) -> tensor<5x2x4xf32>
  return
}

// -----

// mask
func.func @attention_c6(%q: tensor<1x2x3x4xf32>, %m: tensor<1x4xi32>) {
  // expected-error@+2 {{'transom.attention' op C6: expected mask of shape [1, 3], found [1, 4]}}
  // expected-error@+1 {{'transom.attention' op failed to infer returned types}}
  %0 = transom.attention bhsd %q, %q, %q mask %m {scale = 1.0}
     : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x4xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// bias
func.func @attention_c6_2(%q: tensor<1x2x3x4xf32>, %b: tensor<1x2x3x2xf32>) {
  // expected-error@+2 {{'transom.attention' op C6: bias [1, 2, 3, 2] does not broadcast to [1, 2, 3, 3]}}
  // expected-error@+1 {{'transom.attention' op failed to infer returned types}}
  %0 = transom.attention bhsd %q, %q, %q bias %b {scale = 1.0}
     : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x2xf32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// lengths
func.func @attention_c6_3(%q: tensor<1x2x3x4xf32>, %k: !transom.cache<1x2x8x4xf32>, %n: tensor<1xi32>, %m: tensor<2xi32>) {
  // expected-error@+2 {{'transom.attention' op C6: expected lengths of shape [1], found [2]}}
  // expected-error@+1 {{'transom.attention' op failed to infer returned types}}
  %0 = transom.attention bhsd %q, %k, %k past %n lengths %m {scale = 1.0}
     : (tensor<1x2x3x4xf32>, !transom.cache<1x2x8x4xf32>, !transom.cache<1x2x8x4xf32>, tensor<1xi32>, tensor<2xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// cumulative lengths
func.func @attention_c6_4(%q: tensor<5x2x4xf32>, %c: tensor<2x1xi32>) {
  // expected-error@+2 {{'transom.attention' op C6: expected cumulative lengths of shape [?], found [2, 1]}}
  // expected-error@+1 {{'transom.attention' op failed to infer returned types}}
  %0 = transom.attention thd %q, %q, %q cumulative %c {scale = 1.0}
     : (tensor<5x2x4xf32>, tensor<5x2x4xf32>, tensor<5x2x4xf32>, tensor<2x1xi32>) -> tensor<5x2x4xf32>
  return
}

// -----

// window
func.func @attention_c7(%q: tensor<1x2x3x4xf32>) {
  // expected-error@+1 {{'transom.attention' op C7: expected a positive window and softcap and a finite scale}}
  %0 = transom.attention bhsd %q, %q, %q {window = 0 : i64, scale = 1.0}
     : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// softcap
func.func @attention_c7_2(%q: tensor<1x2x3x4xf32>) {
  // expected-error@+1 {{'transom.attention' op C7: expected a positive window and softcap and a finite scale}}
  %0 = transom.attention bhsd %q, %q, %q {scale = 1.0, softcap = -1.0}
     : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

// scale
func.func @attention_c7_3(%q: tensor<1x2x3x4xf32>) {
  // expected-error@+1 {{'transom.attention' op C7: expected a positive window and softcap and a finite scale}}
  %0 = transom.attention bhsd %q, %q, %q {scale = 0x7FF0000000000000 : f64}
     : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @rotary_c1(%x: tensor<1x2x3x4xf32>, %p: tensor<1xi32>) {
  // expected-error@+2 {{'transom.rotary' op C1: expected rank 3 for layout thd, found 4}}
  // expected-error@+1 {{'transom.rotary' op failed to infer returned types}}
  %0 = transom.rotary thd %x, %p dims 4 base 10000.0 : (tensor<1x2x3x4xf32>, tensor<1xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @rotary_c2(%x: tensor<1x2x3x4xf32>, %p: tensor<1x2xi32>) {
  // expected-error@+2 {{'transom.rotary' op C2: expected positions of shape [1, 3], found [1, 2]}}
  // expected-error@+1 {{'transom.rotary' op failed to infer returned types}}
  %0 = transom.rotary bhsd %x, %p dims 4 base 10000.0 : (tensor<1x2x3x4xf32>, tensor<1x2xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @rotary_c3(%x: tensor<1x2x3x4xf32>, %p: tensor<1x3xi32>) {
  // expected-error@+2 {{'transom.rotary' op C3: expected an even number of at most 4 rotated dims, found 3}}
  // expected-error@+1 {{'transom.rotary' op failed to infer returned types}}
  %0 = transom.rotary bhsd %x, %p dims 3 base 10000.0 : (tensor<1x2x3x4xf32>, tensor<1x3xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @rotary_c3_2(%x: tensor<1x2x3x4xf32>, %p: tensor<1x3xi32>) {
  // expected-error@+2 {{'transom.rotary' op C3: expected an even number of at most 4 rotated dims, found 6}}
  // expected-error@+1 {{'transom.rotary' op failed to infer returned types}}
  %0 = transom.rotary bhsd %x, %p dims 6 base 10000.0 : (tensor<1x2x3x4xf32>, tensor<1x3xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @rotary_c3_3(%x: tensor<1x2x3x4xf32>, %p: tensor<1x3xi32>) {
  // expected-error@+2 {{'transom.rotary' op C3: expected an even number of at most 4 rotated dims, found 0}}
  // expected-error@+1 {{'transom.rotary' op failed to infer returned types}}
  %0 = transom.rotary bhsd %x, %p dims 0 base 10000.0 : (tensor<1x2x3x4xf32>, tensor<1x3xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @rotary_c4(%x: tensor<1x2x3x4xf32>, %p: tensor<1x3xi32>, %f: tensor<4xf32>) {
  // expected-error@+2 {{'transom.rotary' op C4: expected factors of shape [2], found [4]}}
  // expected-error@+1 {{'transom.rotary' op failed to infer returned types}}
  %0 = transom.rotary bhsd %x, %p factors %f dims 4 base 10000.0 : (tensor<1x2x3x4xf32>, tensor<1x3xi32>, tensor<4xf32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @rotary_c5(%x: tensor<1x2x3x4xf32>, %p: tensor<1x3xi32>) {
  // expected-error@+1 {{'transom.rotary' op C5: expected a positive base and scale}}
  %0 = transom.rotary bhsd %x, %p dims 4 base 0.0 : (tensor<1x2x3x4xf32>, tensor<1x3xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @rotary_c5_2(%x: tensor<1x2x3x4xf32>, %p: tensor<1x3xi32>) {
  // expected-error@+1 {{'transom.rotary' op C5: expected a positive base and scale}}
  %0 = transom.rotary bhsd %x, %p dims 4 base 10000.0 {scale = -1.0} : (tensor<1x2x3x4xf32>, tensor<1x3xi32>) -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @positions_c1(%s: tensor<2xi32>, %l: tensor<2x3x4xf32>) {
  // expected-error@+2 {{'transom.positions' op C1: expected like of rank 2, found 3}}
  // expected-error@+1 {{'transom.positions' op failed to infer returned types}}
  %0 = transom.positions %s like %l : (tensor<2xi32>, tensor<2x3x4xf32>) -> tensor<2x3xi32>
  return
}

// -----

func.func @positions_c1_2(%s: tensor<3xi32>, %l: tensor<2x3xf32>) {
  // expected-error@+2 {{'transom.positions' op C1: expected start of shape [2], found [3]}}
  // expected-error@+1 {{'transom.positions' op failed to infer returned types}}
  %0 = transom.positions %s like %l : (tensor<3xi32>, tensor<2x3xf32>) -> tensor<2x3xi32>
  return
}
