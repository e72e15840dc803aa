// What make-kv-static asks of arguments and joined tensors (K1 to K5): each condition of passes/KvCache.h, violated.
// The graph stays as it is.
// RUN: transom-opt %s --make-kv-static=report -split-input-file -verify-diagnostics | FileCheck %s --implicit-check-not=cache --implicit-check-not=@prefill

// K1: the joined tensor is not returned.
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
// expected-remark@+1 {{make-kv-static: func.func: K1: expected a result that is an argument extended by concat, found none}}
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> !y {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y : !y
}
}

// -----

// K2: the past is read by something else too.
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
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv, !kv) {
  // expected-remark@+1 {{make-kv-static: transom.concat: K2: expected one use of argument 2, found more}}
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  %z = transom.exp %p : (!kv) -> !kv
  return %y, %c, %z : !y, !kv, !kv
}
}

// -----

// K3: three tensors are joined.
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
  // expected-remark@+1 {{K3: expected argument 2 joined with one tensor, found 2}}
  %c = transom.concat %p, %k, %k axis 2 : (!kv, !kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c {causal, scale = 1.0 : f64} : (!q, !kv, !kv) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K3: the number of heads is not static.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x?x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "seq", "4"]
#new = ["batch", "heads", "seq", "4"]
#past = ["batch", "heads", "past", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  // expected-remark@+1 {{K3: expected floats with static heads and head_dim, found argument 2 [batch, heads, past, 4]}}
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K4: the sizes of two caches differ.
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
                %o: !kv {transom.dims = ["batch", "1", "before", "4"]}) -> (!y, !kv, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  // expected-remark@+1 {{K4: expected sizes as in the first cache, batch, past and seq, found batch, before and seq}}
  %d = transom.concat %o, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %d mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c, %d : !y, !kv, !kv
}
}

// -----

// K4: the new tokens are of a fixed number.
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
func.func @main(%q: !q {transom.dims = #q}, %k: tensor<?x1x2x4xf32> {transom.dims = ["batch", "1", "2", "4"]}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  // expected-remark@+1 {{K4: expected named sizes along dimension 2, found past and 2}}
  %c = transom.concat %p, %k axis 2 : (!kv, tensor<?x1x2x4xf32>) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K5: something else reads the joined tensor.
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
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv, !kv) {
  // expected-remark@+1 {{K5: expected only attention to read it as key or value, found 'transom.exp'}}
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  %z = transom.exp %c : (!kv) -> !kv
  return %y, %c, %z : !y, !kv, !kv
}
}

// -----

// K5: it is returned twice.
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
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv, !kv) {
  // expected-remark@+1 {{K5: expected to be returned once, found 2 times}}
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c, %c : !y, !kv, !kv
}
}

// -----

// K3: attention reads the joined dimension as heads.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x?x1x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
#q = ["batch", "2", "1", "4"]
#new = ["batch", "seq", "1", "4"]
#past = ["batch", "past", "1", "4"]
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = #q}, %k: !kv {transom.dims = #new}, %p: !kv {transom.dims = #past},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  // expected-remark@+1 {{transom.concat: K3: expected to be joined along the tokens that attention reads, found dimension 1 of}}
  %c = transom.concat %p, %k axis 1 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c {causal, scale = 1.0 : f64} : (!q, !kv, !kv) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}

// -----

// K3: the result comes in another order than the argument, so it cannot be fed back.
!q = tensor<?x2x?x4xf32>
!kv = tensor<?x1x?x4xf32>
!y = tensor<?x?x2x4xf32>
!mask = tensor<?x?xi32>
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = ["batch", "2", "seq", "4"]}, %k: !kv {transom.dims = ["batch", "1", "seq", "4"]},
                %p: !kv {transom.dims = ["batch", "1", "past", "4"]},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, tensor<?x?x1x4xf32>) {
  // expected-remark@+1 {{K3: expected argument 2 and the result in one order}}
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %a = transom.attention bhsd %q, %c, %c mask %m {causal, scale = 1.0 : f64} : (!q, !kv, !kv, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  %r = transom.transpose %c [2, 0, 1, 3] : (!kv) -> tensor<?x?x1x4xf32>
  return %y, %r : !y, tensor<?x?x1x4xf32>
}
}

// -----

// K3: heads repeated as whole runs, [group, kv_heads], belong to other query heads than attention gives them.
!q = tensor<?x4x?x4xf32>
!kv = tensor<?x2x?x4xf32>
!y = tensor<?x?x4x4xf32>
!mask = tensor<?x?xi32>
// CHECK: module
module attributes {transom.bounds = {batch = [1, 4], past = [0, 15], seq = [1, 16]}} {
// CHECK: @main
func.func @main(%q: !q {transom.dims = ["batch", "4", "seq", "4"]}, %k: !kv {transom.dims = ["batch", "2", "seq", "4"]},
                %p: !kv {transom.dims = ["batch", "2", "past", "4"]},
                %m: !mask {transom.dims = ["batch", "past+seq"]}) -> (!y, !kv) {
  %c = transom.concat %p, %k axis 2 : (!kv, !kv) -> !kv
  %u = transom.reshape %c [0, 1, 2, -1, 4] : (!kv) -> tensor<?x1x2x?x4xf32>
  %w = transom.concat %u, %u axis 1 : (tensor<?x1x2x?x4xf32>, tensor<?x1x2x?x4xf32>) -> tensor<?x2x2x?x4xf32>
  // expected-remark@+1 {{transom.reshape: K3: expected a view that keeps batch, heads, tokens and head_dim apart or joins them in order}}
  %h = transom.reshape %w [0, 4, -1, 4] : (tensor<?x2x2x?x4xf32>) -> !q
  %a = transom.attention bhsd %q, %h, %h mask %m {causal, scale = 1.0 : f64} : (!q, !q, !q, !mask) -> !q
  %y = transom.transpose %a [0, 2, 1, 3] : (!q) -> !y
  return %y, %c : !y, !kv
}
}
