// Padding that stays: each condition that fails is a remark, and the graph is left as it was.
// RUN: transom-opt %s --remove-padding=report -split-input-file -verify-diagnostics | FileCheck %s
// CHECK-NOT: transom.valid_tokens

// P1: a mask over past tokens too.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16], past = [0, 16]}} {
func.func @past(%q: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %past: tensor<?x?x2x4xf32> {transom.dims = ["batch", "past", "2", "4"]},
                %mask: tensor<?x?xi32> {transom.dims = ["batch", "past+seq"]}) -> tensor<?x?x2x4xf32> {
  %k = transom.concat %past, %q axis 1 : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{remove-padding: transom.attention: P1: expected a mask of the new tokens alone, found [batch, past+seq]: past ones go into caches first}}
  %a = transom.attention bshd %q, %k, %k mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  return %a : tensor<?x?x2x4xf32>
}
}

// -----

// Rows of one token have no padding: nothing is missed.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 1]}} {
func.func @short(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x?x2x4xf32> {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  return %a : tensor<?x?x2x4xf32>
}
}

// -----

// P2: one row.
module attributes {transom.bounds = {batch = [1, 1], seq = [1, 16]}} {
func.func @single(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x?x2x4xf32> {
  // expected-remark@+1 {{remove-padding: transom.attention: P2: expected rows of which some are shorter, found at most one of 16 tokens}}
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  return %a : tensor<?x?x2x4xf32>
}
}

// -----

// P3: two masks over rows of one size.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @two_masks(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}, %other: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x?x2x4xf32> {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{remove-padding: transom.attention: P3: expected the mask that other attention over [batch, seq] has}}
  %b = transom.attention bshd %a, %a, %a mask %other {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  return %b : tensor<?x?x2x4xf32>
}
}

// -----

// P3: attention without a mask reads the padding.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @no_mask(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x?x2x4xf32> {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{remove-padding: transom.attention: P3: expected the mask that other attention over [batch, seq] has}}
  %b = transom.attention bshd %a, %a, %a {causal, scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>) -> tensor<?x?x2x4xf32>
  return %b : tensor<?x?x2x4xf32>
}
}

// -----

// P4: heads before tokens.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @heads_first(%x: tensor<?x2x?x4xf32> {transom.dims = ["batch", "2", "seq", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x2x?x4xf32> {
  // expected-remark@+1 {{remove-padding: transom.attention: P4: expected layout bshd as eliminate-transposes leaves it, found bhsd}}
  %a = transom.attention bhsd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>, tensor<?x?xi32>) -> tensor<?x2x?x4xf32>
  return %a : tensor<?x2x?x4xf32>
}
}

// -----

// P5: a bias for each pair of tokens.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @bias(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}, %bias: tensor<1x2x?x?xf32> {transom.dims = ["1", "2", "seq", "seq"]}) -> tensor<?x?x2x4xf32> {
  // expected-remark@+1 {{remove-padding: transom.attention: P5: expected attention without bias}}
  %a = transom.attention bshd %x, %x, %x mask %mask bias %bias {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>, tensor<1x2x?x?xf32>) -> tensor<?x?x2x4xf32>
  return %a : tensor<?x?x2x4xf32>
}
}

// -----

// P5: a window over tokens between which a mask may leave holes.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @window(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x?x2x4xf32> {
  // expected-remark@+1 {{remove-padding: transom.attention: P5: expected attention without a window, as a mask with holes would change distances}}
  %a = transom.attention bshd %x, %x, %x mask %mask {window = 4 : i64, scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  return %a : tensor<?x?x2x4xf32>
}
}

// -----

// P5: causal over other rows: where they end depends on their padding.
module attributes {transom.bounds = {batch = [1, 4], source = [1, 8], target = [1, 16]}} {
func.func @causal_cross(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "source", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "source"]},
                        %y: tensor<?x?x2x4xf32> {transom.dims = ["batch", "target", "2", "4"]}, %own: tensor<?x?xi32> {transom.dims = ["batch", "target"]}) -> tensor<?x?x2x4xf32> {
  %q = transom.attention bshd %y, %y, %y mask %own {causal, scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{remove-padding: transom.attention: P5: expected causal attention over the queries' own rows}}
  %a = transom.attention bshd %q, %x, %x mask %mask {causal, scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  return %a : tensor<?x?x2x4xf32>
}
}

// -----

// P6: packed queries over keys that are not.
module attributes {transom.bounds = {batch = [1, 4], source = [1, 8], target = [1, 16]}} {
func.func @open_memory(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "source", "2", "4"]},
                       %y: tensor<?x?x2x4xf32> {transom.dims = ["batch", "target", "2", "4"]}, %own: tensor<?x?xi32> {transom.dims = ["batch", "target"]}) -> tensor<?x?x2x4xf32> {
  %q = transom.attention bshd %y, %y, %y mask %own {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{remove-padding: transom.attention: P6: expected keys of packed rows, found [batch, source, 2, 4]}}
  %a = transom.attention bshd %q, %x, %x {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>) -> tensor<?x?x2x4xf32>
  return %a : tensor<?x?x2x4xf32>
}
}

// -----

// P6: the same behind new keys that go into a cache.
!cache = !transom.cache<?x2x16x4xf32>
module attributes {transom.bounds = {batch = [1, 4], source = [1, 8], target = [1, 16]}} {
func.func @open_memory_behind_caches(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "source", "2", "4"]},
                                     %y: tensor<?x?x2x4xf32> {transom.dims = ["batch", "target", "2", "4"]}, %ids: tensor<?x?xi32> {transom.dims = ["batch", "target"]},
                                     %lengths: tensor<?xi32> {transom.dims = ["batch"]}, %past: tensor<?xi32> {transom.dims = ["batch"]},
                                     %keys: !cache {transom.dims = ["batch", "2", "16", "4"]}) -> (tensor<?x?x2x4xf32>, !cache) {
  %k = transom.cache_append bshd %keys, %y past %past lengths %lengths : (!cache, tensor<?x?x2x4xf32>, tensor<?xi32>, tensor<?xi32>) -> !cache
  %q = transom.attention bshd %y, %k, %k past %past lengths %lengths {causal, scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, !cache, !cache, tensor<?xi32>, tensor<?xi32>) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{remove-padding: transom.attention: P6: expected keys of packed rows, found [batch, source, 2, 4]}}
  %a = transom.attention bshd %q, %x, %x {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>) -> tensor<?x?x2x4xf32>
  return %a, %k : tensor<?x?x2x4xf32>, !cache
}
}

// -----

// P7: a mean that counts the padding.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @mean(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x2x4xf32> {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{remove-padding: transom.reduce: P7: expected a reduction over rows to which the padding adds nothing, found mean of [batch, seq, 2, 4]}}
  %m = transom.reduce mean %a axes [1] : (tensor<?x?x2x4xf32>) -> tensor<?x2x4xf32>
  return %m : tensor<?x2x4xf32>
}
}

// -----

// P7: a sum that the mask does not cover.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @sum(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x2x4xf32> {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{remove-padding: transom.reduce: P7: expected a reduction over rows to which the padding adds nothing, found sum of [batch, seq, 2, 4]}}
  %m = transom.reduce sum %a axes [1] : (tensor<?x?x2x4xf32>) -> tensor<?x2x4xf32>
  return %m : tensor<?x2x4xf32>
}
}

// -----

// P7: tokens of a row in another order.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @transposed(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x2x?x4xf32> {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{remove-padding: transom.transpose: P7: expected an op that reads [batch, seq] token by token, found 'transom.transpose'}}
  %t = transom.transpose %a [0, 2, 1, 3] : (tensor<?x?x2x4xf32>) -> tensor<?x2x?x4xf32>
  return %t : tensor<?x2x?x4xf32>
}
}

// -----

// P8: lengths of rows that no argument has the sizes of.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @prefill(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %lengths: tensor<?xi32> {transom.dims = ["batch"]}, %past: tensor<?xi32> {transom.dims = ["batch"]},
                   %c: !transom.cache<?x2x16x4xf32> {transom.dims = ["batch", "2", "16", "4"]}) -> tensor<?x?x2x4xf32> {
  // expected-remark@+1 {{remove-padding: transom.attention: P8: expected an argument of sizes [batch, seq]}}
  %a = transom.attention bshd %x, %c, %c past %past lengths %lengths {causal, scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, !transom.cache<?x2x16x4xf32>, !transom.cache<?x2x16x4xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x?x2x4xf32>
  return %a : tensor<?x?x2x4xf32>
}
}

// -----

// P7: one list of all tokens that is read otherwise than by places that are given.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @list(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x8xf32> {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{remove-padding: transom.reshape: P7: expected an op that reads [batch, seq] token by token, found 'transom.reshape'}}
  %list = transom.reshape %a [-1, 8] : (tensor<?x?x2x4xf32>) -> tensor<?x8xf32>
  return %list : tensor<?x8xf32>
}
}

// -----

// P7: the first token of tokens with two unknown sizes.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16], heads = [1, 4], d = [1, 8]}} {
func.func @open_first(%x: tensor<?x?x?x?xf32> {transom.dims = ["batch", "seq", "heads", "d"]},
                      %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x1x?x?xf32> {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>, tensor<?x?xi32>) -> tensor<?x?x?x?xf32>
  // expected-remark@+1 {{remove-padding: transom.slice: P7: expected at most one unknown size behind [batch, seq], found [batch, seq, heads, d]}}
  %c = transom.slice %a axis 1 start 0 size 1 : (tensor<?x?x?x?xf32>) -> tensor<?x1x?x?xf32>
  return %c : tensor<?x1x?x?xf32>
}
}

// -----

// P7: what all tokens share has two sizes that are not known: the reshape to its packed form infers one. With one it is packed.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16], heads = [1, 4], d = [1, 8]}} {
func.func @open(%x: tensor<?x?x?x?xf32> {transom.dims = ["batch", "seq", "heads", "d"]}, %b: tensor<1x1x?x?xf32> {transom.dims = ["1", "1", "heads", "d"]},
                %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x?x?x?xf32> {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>, tensor<?x?xi32>) -> tensor<?x?x?x?xf32>
  // expected-remark@+1 {{remove-padding: transom.add: P7: expected an op that reads [batch, seq] token by token}}
  %y = transom.add %a, %b : (tensor<?x?x?x?xf32>, tensor<1x1x?x?xf32>) -> tensor<?x?x?x?xf32>
  return %y : tensor<?x?x?x?xf32>
}
}

// -----

// P7: a mean over all places, those of the padding too.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @mean_of_places(%x: tensor<?x?x2x4xf32> {transom.dims = ["batch", "seq", "2", "4"]}, %mask: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> tensor<?x2x4xf32> {
  %a = transom.attention bshd %x, %x, %x mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  // expected-remark@+1 {{P7: expected a reduction over rows to which the padding adds nothing, found mean}}
  %y = transom.reduce mean %a axes [1] : (tensor<?x?x2x4xf32>) -> tensor<?x2x4xf32>
  return %y : tensor<?x2x4xf32>
}
}
