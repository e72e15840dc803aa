// What make-kv-static asks of the graph around the caches (K6 to K11): each condition of passes/KvCache.h, violated.
// The graph stays as it is.
// RUN: transom-opt %s --make-kv-static=report -split-input-file -verify-diagnostics | FileCheck %s --implicit-check-not=cache --implicit-check-not=@prefill

// K6: attention is not causal.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  // expected-remark@+1 {{K6: expected causal attention}}
  %a = transom.attention bhsd %q, %c, %c mask %m {scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K6: attention has a bias.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %bias = transom.weight "bias" : tensor<1x2x1x1xf32>
  // expected-remark@+1 {{K6: expected attention without bias}}
  %a = transom.attention bhsd %q, %c, %c mask %m bias %bias {causal, scale = 1.0 : f64}
    : (!q, !kv, !kv, !mask, tensor<1x2x1x1xf32>) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K6: the values are not cached.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]},
                %o: !kv {transom.dims = ["batch", "1", "past+seq", "4"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  // expected-remark@+1 {{K6: expected key and value to be caches and query to be none}}
  %a = transom.attention bhsd %q, %c, %o mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K6: the queries are not the new tokens.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = ["batch", "2", "other", "4"]}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  // expected-remark@+1 {{K6: expected queries of seq tokens, found other}}
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K7: the mask is computed.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %z = transom.mul %m, %m : (!mask, !mask) -> !mask
  // expected-remark@+1 {{K7: expected the mask to be one argument}}
  %a = transom.attention bhsd %q, %c, %c mask %z {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K7: something else reads the mask.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv, !mask) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  // expected-remark@+1 {{K7: expected only attention over caches to read argument 3}}
  %z = transom.mul %m, %m : (!mask, !mask) -> !mask
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c, %z : !y, !kv, !mask
}
}

// -----

// K7: the mask does not cover the past.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
// expected-remark@+1 {{K7: expected argument 3 [batch, past+seq], found [batch, 2*seq]}}
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "2*seq"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K8: an argument counts the past.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
// expected-remark@+1 {{K8: expected sizes that do not depend on past, found argument 4 [past]}}
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}, %o: tensor<?xf32> {transom.dims = ["past"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K8: a size cannot be told.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  // expected-remark@+1 {{transom.reshape: K8: expected sizes that do not depend on past, found [?, 3]}}
  %z = transom.reshape %q [-1, 3] : (!q) -> tensor<?x3xf32>
  return %y, %c : !y, !kv
}
}

// -----

// K9: two results beside the cache.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
// expected-remark@+1 {{K9: expected one result beside the caches, found 2}}
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv, !y) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c, %y : !y, !kv, !y
}
}

// -----

// K9: the result has no row for each token.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
// expected-remark@+1 {{K9: expected a result of floats [batch, seq, ...], found [batch, 2, seq, 4]}}
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!q, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  return %a, %c : !q, !kv
}
}

// -----

// K10: the past has no bound.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
// CHECK: @main
// expected-remark@+1 {{K10: expected bounds of past and seq}}
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K11: no argument but the positions has their shape.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
// expected-remark@+1 {{K11: expected an argument [batch, seq] beside argument 4}}
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]},
                %o: !mask {transom.dims = ["batch", "seq"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %r = transom.rotary bhsd %q, %o dims 4 base 100.0 : (!q, !mask) -> !q
  %a = transom.attention bhsd %r, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K12: the logits of a token depend on other rows.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  // expected-remark@+1 {{transom.reduce: K12: expected each row and token to be computed from itself alone}}
  %s = transom.reduce sum %y axes [0] keep_dims : (!y) -> tensor<1x?x2x4xf32>
  %z = transom.add %y, %s : (!y, tensor<1x?x2x4xf32>) -> !y
  return %z, %c : !y, !kv
}
}

// -----

// K12: tokens become part of another dimension.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  // expected-remark@+1 {{transom.reshape: K12: expected each row and token to be computed from itself alone}}
  %0 = transom.reshape %y [0, 2, -1, 4] : (!y) -> tensor<?x2x?x4xf32>
  %1 = transom.reshape %0 [0, -1, 2, 4] : (tensor<?x2x?x4xf32>) -> !y
  return %1, %c : !y, !kv
}
}

// -----

// K12: a lookup in a table that has a row for each new token: a token reads those behind it.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}, %table: tensor<?x8xf32> {transom.dims = ["seq", "8"]},
                %ids: tensor<?x?xi32> {transom.dims = ["batch", "seq"]}) -> (tensor<?x?x8xf32>, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %t = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  %h = transom.reshape %t [0, 0, 8] : (!y) -> tensor<?x?x8xf32>
  // expected-remark@+1 {{transom.embedding: K12: expected each row and token to be computed from itself alone}}
  %e = transom.embedding %table, %ids : (tensor<?x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32>
  %y = transom.add %h, %e : (tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %y, %c : tensor<?x?x8xf32>, !kv
}
}

// -----

// K12: causal attention over keys that are no cache: where a query stands depends on how many new tokens there are.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16], source = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}, %s: !kv {transom.dims = ["batch", "1", "source", "4"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  // expected-remark@+1 {{transom.attention: K12: expected each row and token to be computed from itself alone}}
  %x = transom.attention bhsd %a, %s, %s {causal, scale = 1.0 : f64} : (!q, !kv, !kv) -> !q
  %y = transom.transpose %x [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// Another function has the name.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "1", "seq", "4"]
#past = ["batch", "1", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
// expected-remark@+1 {{make-kv-static: func.func: expected no function of this name beside @main}}
func.func @decode() {
  return
}
}
