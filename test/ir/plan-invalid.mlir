// Each constraint of the plan dialect, violated once.
// RUN: transom-opt %s -split-input-file -verify-diagnostics
// plan.weight C1
// expected-error @+1 {{C1: expected a name and a tensor of static shape}}
plan.weight "w" : tensor<?xf32>

// -----
// plan.weight C2
// expected-error @+1 {{C2: expected a value of type}}
plan.weight "w" = dense<0.0> : tensor<2xf32> : tensor<3xf32>

// -----
// plan.weight C3
// expected-error @+1 {{C3: expected a recipe that yields}}
plan.weight "w" : tensor<2xf32> recipe {
  %0 = transom.weight "v" : tensor<3xf32>
  plan.yield %0 : tensor<3xf32>
}

// -----
// plan.weight C4
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.weight "w" : tensor<8xf32>
  // expected-error @+1 {{C4: there is another weight "w"}}
  plan.weight "w" : tensor<8xf32>
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
  }
}

// -----
// plan.kernel C1
// expected-error @+1 {{C1: expected one transom op and a yield}}
plan.kernel @k(%x: tensor<2xf32>) -> tensor<2xf32> {
  %0 = transom.neg %x : (tensor<2xf32>) -> tensor<2xf32>
  %1 = transom.neg %0 : (tensor<2xf32>) -> tensor<2xf32>
  plan.yield %1 : tensor<2xf32>
}

// -----
// plan.kernel C2
// expected-error @+1 {{C2: expected 'transom.sub' to take the arguments in order}}
plan.kernel @k(%x: tensor<2xf32>, %y: tensor<2xf32>) -> tensor<2xf32> {
  %0 = transom.sub %y, %x : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
  plan.yield %0 : tensor<2xf32>
}

// -----
// plan.kernel C3
// expected-error @+1 {{C3: body and signature differ in types}}
plan.kernel @k(%x: tensor<2xf32>) -> tensor<?xf32> {
  %0 = transom.neg %x : (tensor<2xf32>) -> tensor<2xf32>
  plan.yield %0 : tensor<2xf32>
}

// -----
// plan.kernel C5
// expected-error @+1 {{C5: expected one dequantize or cast of a static matrix to f32}}
plan.kernel @k(%x: tensor<2xf16>) -> tensor<2xf32> unpack {
  %0 = transom.cast %x to f32 : (tensor<2xf16>) -> tensor<2xf32>
  plan.yield %0 : tensor<2xf32>
}

// -----
// plan.kernel C6
// expected-error @+1 {{C6: no kernel computes the group: 'transom.softmax': expected a row-wise op}}
plan.kernel @k(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %0 = transom.group (%x) {
  ^bb0(%a: tensor<?x8xf32>):
    %1 = transom.softmax %a axis 1 : (tensor<?x8xf32>) -> tensor<?x8xf32>
    transom.yield %1 : tensor<?x8xf32>
  } : (tensor<?x8xf32>) -> tensor<?x8xf32>
  plan.yield %0 : tensor<?x8xf32>
}

// -----
// plan.buffer C1
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    // expected-error @+1 {{C1: expected a name}}
    %x = plan.buffer input shape ["n"] bytes 16 : tensor<?xf32>
  }
}

// -----
// plan.buffer C2: rank
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    // expected-error @+1 {{C2: expected 2 sizes, found 1}}
    %x = plan.buffer input "x" shape ["n"] bytes 16 : tensor<?x?xf32>
  }
}

// -----
// plan.buffer C2: size
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    // expected-error @+1 {{C2: expected the size 8, found "n"}}
    %x = plan.buffer input "x" shape ["n"] bytes 16 : tensor<8xf32>
  }
}

// -----
// plan.buffer C2: text
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    // expected-error @+1 {{C2: malformed size "n*"}}
    %x = plan.buffer input "x" shape ["n*"] bytes 16 : tensor<?xf32>
  }
}

// -----
// plan.buffer C3: missing
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    // expected-error @+1 {{C3: expected an offset}}
    %x = plan.buffer arena shape ["8"] bytes 32 : tensor<8xf32>
  }
}

// -----
// plan.buffer C3: alignment
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p arena 64 {
    // expected-error @+1 {{C3: expected an offset that is a multiple of 64, found 32}}
    %x = plan.buffer arena shape ["8"] bytes 32 offset 32 : tensor<8xf32>
  }
}

// -----
// plan.buffer C3: not in the arena
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    // expected-error @+1 {{C3: an offset is for arena buffers}}
    %x = plan.buffer input "x" shape ["8"] bytes 32 offset 0 : tensor<8xf32>
  }
}

// -----
// plan.buffer C4: bytes
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    // expected-error @+1 {{C4: expected 128 bytes, found 64}}
    %x = plan.buffer input "x" shape ["n", "8"] bytes 64 : tensor<?x8xf32>
  }
}

// -----
// plan.buffer C4: no bounds
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    // expected-error @+1 {{has no size at the module's bounds}}
    %x = plan.buffer input "x" shape ["k"] bytes 64 : tensor<?xf32>
  }
}

// -----
// plan.view C1
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    // expected-error @+1 {{C1: expected 1 sizes, found 2}}
    %v = plan.view %x shape ["n", "8"] : tensor<?xf32>
  }
}

// -----
// plan.view C2
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    // expected-error @+1 {{C2: expected elements of 'f32', found 'i32'}}
    %v = plan.view %x shape ["n", "8"] : tensor<?x8xi32>
  }
}

// -----
// plan.view C3
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    // expected-error @+1 {{C3: [n, 8] and [n, 4] are not known to have equally many elements, nor does one begin the other}}
    %v = plan.view %x shape ["n", "4"] : tensor<?x4xf32>
  }
}

// -----
// plan.view C3: a beginning that is longer than the least
module attributes {transom.bounds = {n = [1, 1], m = [1, 4]}} {
  plan.program @p arena 128 {
    %x = plan.buffer arena shape ["n", "m", "8"] bytes 128 offset 0 : tensor<?x?x8xf32>
    // expected-error @+1 {{C3: [n, m, 8] and [n, 2, 8] are not known to have equally many elements, nor does one begin the other}}
    %v = plan.view %x shape ["n", "2", "8"] : tensor<?x2x8xf32>
  }
}

// -----
// plan.view C4: a difference of sizes is largest where its factors are not
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "n - m"] bytes 48 : tensor<?x?xf32>
    // expected-error @+1 {{C4: 60 bytes at the bounds, but the base has 48}}
    %v = plan.view %x shape ["n*n - n*m"] : tensor<?xf32>
  }
}

// -----
// plan.launch C1: no kernel
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.weight "w" : tensor<8xf32>
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %w = plan.buffer weight "w" shape ["8"] bytes 32 : tensor<8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    // expected-error @+1 {{C1: there is no kernel @norm}}
    plan.launch @norm ins(%x, %w) outs(%y) work "n"
  }
}

// -----
// plan.launch C1: unpack
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @unpack(%w: tensor<4x8xf16>) -> tensor<4x8xf32> unpack {
    %0 = transom.cast %w to f32 : (tensor<4x8xf16>) -> tensor<4x8xf32>
    plan.yield %0 : tensor<4x8xf32>
  }
  plan.weight "h" : tensor<4x8xf16>
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %h = plan.buffer weight "h" shape ["4", "8"] bytes 64 : tensor<4x8xf16>
    %y = plan.buffer output "y" shape ["4", "8"] bytes 128 : tensor<4x8xf32>
    // expected-error @+1 {{C1: @unpack unpacks rows for matrix products}}
    plan.launch @unpack ins(%h) outs(%y) work "4"
  }
}

// -----
// plan.launch C2
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @norm(%x: tensor<?x8xf32>, %w: tensor<8xf32>) -> tensor<?x8xf32> {
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    // expected-error @+1 {{C2: @norm takes 2 and gives 1 buffers, found 1 and 1}}
    plan.launch @norm ins(%x) outs(%y) work "n"
  }
}

// -----
// plan.launch C2: of attention, whose results' reader memory is planned by, before the launch itself is verified
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @attention(%x: tensor<?x2x4xf32>, %k: tensor<?x2x4xf32>, %v: tensor<?x2x4xf32>, %ends: tensor<2xi32>) -> tensor<?x2x4xf32> {
    %0 = transom.attention thd %x, %k, %v cumulative %ends {scale = 0.5 : f64} : (tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<2xi32>) -> tensor<?x2x4xf32>
    plan.yield %0 : tensor<?x2x4xf32>
  }
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "2", "4"] bytes 128 : tensor<?x2x4xf32>
    %y = plan.buffer output "y" shape ["n", "2", "4"] bytes 128 : tensor<?x2x4xf32>
    // expected-error @+1 {{C2: @attention takes 4 and gives 1 buffers, found 1 and 0}}
    plan.launch @attention ins(%x) outs() work "n"
  }
}

// -----
// plan.launch C3: size
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @norm(%x: tensor<?x8xf32>, %w: tensor<8xf32>) -> tensor<?x8xf32> {
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %w = plan.buffer input "w" shape ["4"] bytes 16 : tensor<4xf32>
    // expected-error @+1 {{C3: buffer 1: the kernel expects 'tensor<8xf32>'}}
    plan.launch @norm ins(%x, %w) outs(%y) work "n"
  }
}

// -----
// plan.launch C3: dynamic where static is expected
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @norm(%x: tensor<?x8xf32>, %w: tensor<8xf32>) -> tensor<?x8xf32> {
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %w = plan.buffer input "w" shape ["m"] bytes 16 : tensor<?xf32>
    // expected-error @+1 {{C3: buffer 1: the kernel expects 'tensor<8xf32>'}}
    plan.launch @norm ins(%x, %w) outs(%y) work "n"
  }
}

// -----
// plan.launch C3: rank
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @norm(%x: tensor<?x8xf32>, %w: tensor<8xf32>) -> tensor<?x8xf32> {
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %w = plan.buffer input "w" shape ["1", "8"] bytes 32 : tensor<1x8xf32>
    // expected-error @+1 {{C3: buffer 1: the kernel expects 'tensor<8xf32>'}}
    plan.launch @norm ins(%x, %w) outs(%y) work "n"
  }
}

// -----
// plan.launch C3: element type
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @norm(%x: tensor<?x8xf32>, %w: tensor<8xf32>) -> tensor<?x8xf32> {
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %w = plan.buffer input "w" shape ["8"] bytes 32 : tensor<8xi32>
    // expected-error @+1 {{C3: buffer 1: the kernel expects 'tensor<8xf32>'}}
    plan.launch @norm ins(%x, %w) outs(%y) work "n"
  }
}

// -----
// plan.launch C4
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.weight "w" : tensor<8xf32>
  plan.kernel @norm(%x: tensor<?x8xf32>, %w: tensor<8xf32>) -> tensor<?x8xf32> {
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %w = plan.buffer weight "w" shape ["8"] bytes 32 : tensor<8xf32>
    %y = plan.buffer input "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    // expected-error @+1 {{C4: weights and inputs are not written}}
    plan.launch @norm ins(%x, %w) outs(%y) work "n"
  }
}

// -----
// plan.launch C5
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.weight "w" : tensor<8xf32>
  plan.kernel @norm(%x: tensor<?x8xf32>, %w: tensor<8xf32>) -> tensor<?x8xf32> {
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %w = plan.buffer weight "w" shape ["8"] bytes 32 : tensor<8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    // expected-error @+1 {{C5: expected work that is a size}}
    plan.launch @norm ins(%x, %w) outs(%y) work "n" grain 0
  }
}

// -----
// plan.launch C6: a norm reads a row more than once
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.weight "w" : tensor<8xf32>
  plan.kernel @norm(%x: tensor<?x8xf32>, %w: tensor<8xf32>) -> tensor<?x8xf32> {
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.kernel @neg(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
    %0 = transom.fused (%x) {
    ^bb0(%a: f32):
      %1 = arith.negf %a : f32
      transom.yield %1 : f32
    } : (tensor<?x8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p arena 128 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %w = plan.buffer weight "w" shape ["8"] bytes 32 : tensor<8xf32>
    %a = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    plan.launch @neg ins(%x) outs(%a) work "n"
    // expected-error @+1 {{C6: @norm cannot write over its input}}
    plan.launch @norm ins(%a, %w) outs(%a) work "n"
  }
}

// -----
// plan.gemm C1
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %f = plan.buffer input "f" shape ["4", "8"] bytes 128 : tensor<4x8xf32>
    %o = plan.buffer output "o" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    // expected-error @+1 {{C1: m, n and k are sizes}}
    plan.gemm ins(%x, %f) outs(%o) m "n+" n "4" k "8"
  }
}

// -----
// plan.gemm C2
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %f = plan.buffer input "f" shape ["4", "8"] bytes 128 : tensor<4x8xf32>
    %o = plan.buffer output "o" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    // expected-error @+1 {{C2: [n, 8] times the transpose of [4, 8] does not give [n, 4]}}
    plan.gemm ins(%x, %f) outs(%o) m "n" n "8" k "8"
  }
}

// -----
// plan.gemm C3
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 64 : tensor<?x8xf16>
    %f = plan.buffer input "f" shape ["4", "8"] bytes 128 : tensor<4x8xf32>
    %o = plan.buffer output "o" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    // expected-error @+1 {{C3: expected f32 for lhs and out}}
    plan.gemm ins(%x, %f) outs(%o) m "n" n "4" k "8"
  }
}

// -----
// plan.gemm C4: missing
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.weight "h" : tensor<4x8xf16>
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %h = plan.buffer weight "h" shape ["4", "8"] bytes 64 : tensor<4x8xf16>
    %o = plan.buffer output "o" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    // expected-error @+1 {{C4: expected an unpack kernel for rhs of 'f16'}}
    plan.gemm ins(%x, %h) outs(%o) m "n" n "4" k "8"
  }
}

// -----
// plan.gemm C4: of another type
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.weight "h" : tensor<4x8xf16>
  plan.kernel @unpack(%w: tensor<4x8xbf16>) -> tensor<4x8xf32> unpack {
    %0 = transom.cast %w to f32 : (tensor<4x8xbf16>) -> tensor<4x8xf32>
    plan.yield %0 : tensor<4x8xf32>
  }
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %h = plan.buffer weight "h" shape ["4", "8"] bytes 64 : tensor<4x8xf16>
    %o = plan.buffer output "o" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    // expected-error @+1 {{C4: @unpack does not unpack 'tensor<4x8xf16>'}}
    plan.gemm ins(%x, %h) outs(%o) m "n" n "4" k "8" unpack @unpack
  }
}

// -----
// plan.gemm C5
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %f = plan.buffer input "f" shape ["4", "8"] bytes 128 : tensor<4x8xf32>
    %o = plan.buffer input "o" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    // expected-error @+1 {{C5: out needs memory of its own}}
    plan.gemm ins(%x, %f) outs(%o) m "n" n "4" k "8"
  }
}

// -----
// plan.gemm C6: no group
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @plain(%p: tensor<?x4xf32>, %r: tensor<?x4xf32>) -> tensor<?x4xf32> {
    %0 = transom.add %p, %r : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
    plan.yield %0 : tensor<?x4xf32>
  }
  plan.program @p arena 64 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %f = plan.buffer input "f" shape ["4", "8"] bytes 128 : tensor<4x8xf32>
    %r = plan.buffer input "r" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    %a = plan.buffer arena shape ["n", "4"] bytes 64 offset 0 : tensor<?x4xf32>
    %o = plan.buffer output "o" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    // expected-error @+1 {{C6: @plain is no kernel of a group without a product}}
    plan.gemm ins(%x, %f) outs(%a) m "n" n "4" k "8" epilogue @plain (%r) to (%o)
  }
}

// -----
// plan.gemm C6: buffers
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @scale(%p: tensor<?x4xf32>, %r: tensor<?x4xf32>) -> tensor<?x4xf32> {
    %0 = transom.group (%p, %r) {
    ^bb0(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>):
      %1 = transom.add %a, %b : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
      transom.yield %1 : tensor<?x4xf32>
    } : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
    plan.yield %0 : tensor<?x4xf32>
  }
  plan.program @p arena 64 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %f = plan.buffer input "f" shape ["4", "8"] bytes 128 : tensor<4x8xf32>
    %r = plan.buffer input "r" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    %a = plan.buffer arena shape ["n", "4"] bytes 64 offset 0 : tensor<?x4xf32>
    %o = plan.buffer output "o" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    // expected-error @+1 {{C6: @scale takes 3 buffers, found 2}}
    plan.gemm ins(%x, %f) outs(%a) m "n" n "4" k "8" epilogue @scale () to (%o)
  }
}

// -----
// plan.gemm C6: types
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @scale(%p: tensor<?x4xf32>, %r: tensor<?x4xf32>) -> tensor<?x4xf32> {
    %0 = transom.group (%p, %r) {
    ^bb0(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>):
      %1 = transom.add %a, %b : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
      transom.yield %1 : tensor<?x4xf32>
    } : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
    plan.yield %0 : tensor<?x4xf32>
  }
  plan.program @p arena 64 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %f = plan.buffer input "f" shape ["4", "8"] bytes 128 : tensor<4x8xf32>
    %r = plan.buffer input "r" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    %a = plan.buffer arena shape ["n", "4"] bytes 64 offset 0 : tensor<?x4xf32>
    %o = plan.buffer output "o" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    // expected-error @+1 {{C6: buffer 1: the kernel expects 'tensor<?x4xf32>', found 'tensor<?x8xf32>'}}
    plan.gemm ins(%x, %f) outs(%a) m "n" n "4" k "8" epilogue @scale (%x) to (%o)
  }
}

// -----
// plan.gemm C7: shared
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @scale(%p: tensor<?x4xf32>, %r: tensor<?x4xf32>) -> tensor<?x4xf32> {
    %0 = transom.group (%p, %r) {
    ^bb0(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>):
      %1 = transom.add %a, %b : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
      transom.yield %1 : tensor<?x4xf32>
    } : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
    plan.yield %0 : tensor<?x4xf32>
  }
  plan.program @p arena 64 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %f = plan.buffer input "f" shape ["4", "8"] bytes 128 : tensor<4x8xf32>
    %r = plan.buffer input "r" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    %a = plan.buffer arena shape ["n", "4"] bytes 64 offset 0 : tensor<?x4xf32>
    %o = plan.buffer output "o" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    // expected-error @+1 {{C7: result 0 needs memory of its own}}
    plan.gemm ins(%x, %f) outs(%a) m "n" n "4" k "8" epilogue @scale (%r) to (%a)
  }
}

// -----
// plan.gemm C7: read-only
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @scale(%p: tensor<?x4xf32>, %r: tensor<?x4xf32>) -> tensor<?x4xf32> {
    %0 = transom.group (%p, %r) {
    ^bb0(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>):
      %1 = transom.add %a, %b : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
      transom.yield %1 : tensor<?x4xf32>
    } : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
    plan.yield %0 : tensor<?x4xf32>
  }
  plan.program @p arena 64 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %f = plan.buffer input "f" shape ["4", "8"] bytes 128 : tensor<4x8xf32>
    %r = plan.buffer input "r" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    %a = plan.buffer arena shape ["n", "4"] bytes 64 offset 0 : tensor<?x4xf32>
    %o = plan.buffer output "o" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    %q = plan.buffer input "q" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    // expected-error @+1 {{C7: weights and inputs are not written}}
    plan.gemm ins(%x, %f) outs(%a) m "n" n "4" k "8" epilogue @scale (%q) to (%r)
  }
}

// -----
// plan.gemm C8
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @scale(%p: tensor<?x4xf32>, %r: tensor<?x4xf32>) -> tensor<?x4xf32> {
    %0 = transom.group (%p, %r) {
    ^bb0(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>):
      %1 = transom.add %a, %b : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
      transom.yield %1 : tensor<?x4xf32>
    } : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
    plan.yield %0 : tensor<?x4xf32>
  }
  plan.program @p arena 64 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %f = plan.buffer input "f" shape ["4", "8"] bytes 128 : tensor<4x8xf32>
    %r = plan.buffer input "r" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    %a = plan.buffer arena shape ["n", "4"] bytes 64 offset 0 : tensor<?x4xf32>
    %o = plan.buffer output "o" shape ["n", "4"] bytes 64 : tensor<?x4xf32>
    // expected-error @+1 {{C8: expected scratch of 0 or more, and 0 without an epilogue}}
    plan.gemm ins(%x, %f) outs(%a) m "n" n "4" k "8" scratch 64
  }
}

// -----
// plan.program C1
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  // expected-error @+1 {{C1: 'transom.weight' cannot stand in a program}}
  plan.program @p {
    %0 = transom.weight "w" : tensor<8xf32>
  }
}

// -----
// plan.program C2
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  // expected-error @+1 {{C2: two input buffers are named "x"}}
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
  }
}

// -----
// plan.program C3
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p arena 64 {
    // expected-error @+1 {{ends after the arena of 64 bytes (C3}}
    %a = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
  }
}

// -----
// plan.program C4: both in use
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @neg(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
    %0 = transom.fused (%x) {
    ^bb0(%a: f32):
      %1 = arith.negf %a : f32
      transom.yield %1 : f32
    } : (tensor<?x8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p arena 192 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    // expected-note @+1 {{in use from step 0 to 1, this one from 1 to 2}}
    %a = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    // expected-error @+1 {{overlaps a buffer that is in use at the same step (C4}}
    %b = plan.buffer arena shape ["n", "8"] bytes 128 offset 64 : tensor<?x8xf32>
    plan.launch @neg ins(%x) outs(%a) work "n"
    plan.launch @neg ins(%a) outs(%b) work "n"
    plan.launch @neg ins(%b) outs(%y) work "n"
  }
}

// -----
// plan.program C4: written over, then read again
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @neg(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
    %0 = transom.fused (%x) {
    ^bb0(%a: f32):
      %1 = arith.negf %a : f32
      transom.yield %1 : f32
    } : (tensor<?x8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p arena 128 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    // expected-note @+1 {{in use from step 0 to 2, this one from 1 to 1}}
    %a = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    // expected-error @+1 {{overlaps a buffer that is in use at the same step (C4}}
    %b = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    plan.launch @neg ins(%x) outs(%a) work "n"
    plan.launch @neg ins(%a) outs(%b) work "n"
    plan.launch @neg ins(%a) outs(%y) work "n"
  }
}

// -----
// plan.program C4: the kernel may write over its argument
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @neg(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
    %0 = transom.fused (%x) {
    ^bb0(%a: f32):
      %1 = arith.negf %a : f32
      transom.yield %1 : f32
    } : (tensor<?x8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p arena 128 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %a = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    %b = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    plan.launch @neg ins(%x) outs(%a) work "n"
    plan.launch @neg ins(%a) outs(%b) work "n"
    plan.launch @neg ins(%b) outs(%y) work "n"
  }
}

// -----
// plan.program C4: the kernel may not
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.weight "w" : tensor<8xf32>
  plan.kernel @norm(%x: tensor<?x8xf32>, %w: tensor<8xf32>) -> tensor<?x8xf32> {
    %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.kernel @neg(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
    %0 = transom.fused (%x) {
    ^bb0(%a: f32):
      %1 = arith.negf %a : f32
      transom.yield %1 : f32
    } : (tensor<?x8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p arena 128 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %w = plan.buffer weight "w" shape ["8"] bytes 32 : tensor<8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    // expected-note @+1 {{in use from step 0 to 1, this one from 1 to 2}}
    %a = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    // expected-error @+1 {{overlaps a buffer that is in use at the same step (C4}}
    %b = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    plan.launch @neg ins(%x) outs(%a) work "n"
    plan.launch @norm ins(%a, %w) outs(%b) work "n"
    plan.launch @neg ins(%b) outs(%y) work "n"
  }
}

// -----
// plan.program C5
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @neg(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
    %0 = transom.fused (%x) {
    ^bb0(%a: f32):
      %1 = arith.negf %a : f32
      transom.yield %1 : f32
    } : (tensor<?x8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p arena 128 {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %y = plan.buffer output "y" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %a = plan.buffer arena shape ["n", "8"] bytes 128 offset 0 : tensor<?x8xf32>
    // expected-error @+1 {{reads a buffer that no step has written yet (C5}}
    plan.launch @neg ins(%a) outs(%y) work "n"
  }
}

// -----
// plan.program C6
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.kernel @neg(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
    %0 = transom.fused (%x) {
    ^bb0(%a: f32):
      %1 = arith.negf %a : f32
      transom.yield %1 : f32
    } : (tensor<?x8xf32>) -> tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    // expected-error @+1 {{uses the size m, which is no dimension of an input (C6}}
    %y = plan.buffer output "y" shape ["m", "8"] bytes 128 : tensor<?x8xf32>
  }
}

// -----
// plan.program C6: used before it is set
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 16], tokens = [0, 32]}} {
  plan.kernel @valid_tokens(%mask: tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>) {
    %0:2 = transom.valid_tokens %mask size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
    plan.yield %0#0, %0#1 : tensor<?xi32>, tensor<?xi32>
  }
  plan.kernel @copy(%x: tensor<?xi32>) -> tensor<?xi32> {
    %0 = transom.fused (%x) {
    ^bb0(%a: i32):
      transom.yield %a : i32
    } : (tensor<?xi32>) -> tensor<?xi32>
    plan.yield %0 : tensor<?xi32>
  }
  plan.program @p {
    %mask = plan.buffer input "mask" shape ["batch", "seq"] bytes 128 : tensor<?x?xi32>
    %index = plan.buffer output "index" shape ["tokens"] bytes 128 : tensor<?xi32>
    %cumulative = plan.buffer output "cumulative" shape ["batch+1"] bytes 12 : tensor<?xi32>
    %copy = plan.buffer output "copy" shape ["tokens"] bytes 128 : tensor<?xi32>
    plan.launch @valid_tokens ins(%mask) outs(%index, %cumulative) work "1"
    // expected-error @+1 {{uses the size tokens, which is no dimension of an input and is set later (C6}}
    plan.launch @copy ins(%index) outs(%copy) work "1"
    plan.size "tokens" = %cumulative
  }
}

// -----
// plan.program C6: work of a size that is not known yet
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 16], tokens = [0, 32]}} {
  plan.kernel @valid_tokens(%mask: tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>) {
    %0:2 = transom.valid_tokens %mask size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
    plan.yield %0#0, %0#1 : tensor<?xi32>, tensor<?xi32>
  }
  plan.program @p {
    %mask = plan.buffer input "mask" shape ["batch", "seq"] bytes 128 : tensor<?x?xi32>
    %index = plan.buffer output "index" shape ["tokens"] bytes 128 : tensor<?xi32>
    %cumulative = plan.buffer output "cumulative" shape ["batch+1"] bytes 12 : tensor<?xi32>
    // expected-error @+1 {{uses the size tokens, which is no dimension of an input and is set later (C6}}
    plan.launch @valid_tokens ins(%mask) outs(%index, %cumulative) work "tokens"
    plan.size "tokens" = %cumulative
  }
}

// -----
// plan.program C6: set twice
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 16], tokens = [0, 32]}} {
  plan.kernel @valid_tokens(%mask: tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>) {
    %0:2 = transom.valid_tokens %mask size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
    plan.yield %0#0, %0#1 : tensor<?xi32>, tensor<?xi32>
  }
  plan.program @p {
    %mask = plan.buffer input "mask" shape ["batch", "seq"] bytes 128 : tensor<?x?xi32>
    %index = plan.buffer output "index" shape ["tokens"] bytes 128 : tensor<?xi32>
    %cumulative = plan.buffer output "cumulative" shape ["batch+1"] bytes 12 : tensor<?xi32>
    plan.launch @valid_tokens ins(%mask) outs(%index, %cumulative) work "1"
    plan.size "tokens" = %cumulative
    // expected-error @+1 {{sets tokens, which has a value (C6}}
    plan.size "tokens" = %cumulative
  }
}

// -----
// plan.program C6: a dimension of an input
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 16], tokens = [0, 32]}} {
  plan.kernel @valid_tokens(%mask: tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>) {
    %0:2 = transom.valid_tokens %mask size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
    plan.yield %0#0, %0#1 : tensor<?xi32>, tensor<?xi32>
  }
  plan.program @p {
    %mask = plan.buffer input "mask" shape ["batch", "seq"] bytes 128 : tensor<?x?xi32>
    %index = plan.buffer output "index" shape ["tokens"] bytes 128 : tensor<?xi32>
    %cumulative = plan.buffer output "cumulative" shape ["batch+1"] bytes 12 : tensor<?xi32>
    plan.launch @valid_tokens ins(%mask) outs(%index, %cumulative) work "1"
    // expected-error @+1 {{sets seq, which has a value (C6}}
    plan.size "seq" = %cumulative
  }
}

// -----
// plan.program C5: a size from what no step has written
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 16], tokens = [0, 32]}} {
  plan.program @p {
    %cumulative = plan.buffer output "cumulative" shape ["3"] bytes 12 : tensor<3xi32>
    // expected-error @+1 {{reads a buffer that no step has written yet (C5}}
    plan.size "tokens" = %cumulative
  }
}

// -----
// plan.size C1
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 16], tokens = [0, 32]}} {
  plan.program @p {
    %n = plan.buffer input "n" shape ["batch"] bytes 8 : tensor<?xi32>
    // expected-error @+1 {{C1: expected a name with bounds in transom.bounds, found "other"}}
    plan.size "other" = %n
  }
}

// -----
// plan.size C2
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 16], tokens = [0, 32]}} {
  plan.program @p {
    %n = plan.buffer input "n" shape ["batch"] bytes 16 : tensor<?xi64>
    // expected-error @+1 {{C2: expected i32 of rank 1, found 'tensor<?xi64>'}}
    plan.size "tokens" = %n
  }
}

// -----
// plan.program C7: missing
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  // expected-error @+1 {{C7: the module has no weight "w"}}
  plan.program @p {
    %w = plan.buffer weight "w" shape ["8"] bytes 32 : tensor<8xf32>
  }
}

// -----
// plan.program C7: another type
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.weight "w" : tensor<9xf32>
  // expected-error @+1 {{C7: weight "w" is 'tensor<9xf32>', found 'tensor<8xf32>'}}
  plan.program @p {
    %w = plan.buffer weight "w" shape ["8"] bytes 32 : tensor<8xf32>
  }
}

// -----
// plan.program C8
module attributes {transom.bounds = {n = [1, 4], m = [1, 4]}} {
  plan.program @p {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    %s = plan.buffer state "s" shape ["n", "1", "16", "8"] bytes 2048 : !transom.cache<?x1x16x8xf32>
  }
  plan.program @q {
    %x = plan.buffer input "x" shape ["n", "8"] bytes 128 : tensor<?x8xf32>
    // expected-error @+1 {{differs from the state "s" of another program (C8}}
    %s = plan.buffer state "s" shape ["n", "1", "32", "8"] bytes 4096 : !transom.cache<?x1x32x8xf32>
  }
}

// -----
// plan.buffer C5: an input has no stored type
module attributes {transom.bounds = {n = [1, 4]}} {
  plan.program @p {
    // expected-error @+1 {{C5: expected f16 or bf16 for numbers of f32 of the arena or a state, or f8E4M3FN in the arena, found 'f16'}}
    %x = plan.buffer input "x" shape ["n", "8"] bytes 64 stored f16 : tensor<?x8xf32>
  }
}
