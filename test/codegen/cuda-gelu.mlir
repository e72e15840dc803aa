// RUN: transom-opt %s -lower-to-plan=activations=f16 -plan-memory -o %t.plan && transom-opt --print-cuda %t.plan | FileCheck %s
// GELU by one function instead of several ops, as precise as its result is kept. What only resembles it is computed as it stands.

module attributes {transom.bounds = {rows = [1, 400]}} {
  // Kept in 16 bits: nothing is left of the ops that it consists of.
  // CHECK-LABEL: // gelu_256 block
  // CHECK-NOT: 0.707
  // CHECK: = geluErfFor<Half>(
  // CHECK-NOT: 0.5f
  // A result of the program is f32.
  // CHECK-LABEL: // gelu_256_1 block
  // CHECK: [[Y:v[0-9]+]] = {{.*}} * 0.707106769f;
  // CHECK: = onePlusErf([[Y]]);
  // CHECK-LABEL: // gelu_256_2 block
  // CHECK: = onePlusTanh(
  // CHECK-NOT: tanhf
  // Half of another number times 1 + erf.
  // CHECK-LABEL: // fused_256 block
  // CHECK: = onePlusErf(
  // CHECK-LABEL: // program main
  func.func @main(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]})
      -> (tensor<?x256xf32> {transom.name = "y"}, tensor<?x256xf32> {transom.name = "z"}, tensor<?x256xf32> {transom.name = "u"}) {
    %a = transom.gelu erf %x : (tensor<?x256xf32>) -> tensor<?x256xf32>
    %y = transom.gelu erf %a : (tensor<?x256xf32>) -> tensor<?x256xf32>
    %z = transom.gelu tanh %a : (tensor<?x256xf32>) -> tensor<?x256xf32>
    %f = transom.fused (%a, %x) {
    ^bb0(%p: f32, %q: f32):
      %half = arith.constant 0.5 : f32
      %one = arith.constant 1.0 : f32
      %root = arith.constant 0.707106769 : f32
      %0 = arith.mulf %p, %root : f32
      %1 = math.erf %0 : f32
      %2 = arith.addf %1, %one : f32
      %3 = arith.mulf %q, %half : f32
      %4 = arith.mulf %3, %2 : f32
      transom.yield %4 : f32
    } : (tensor<?x256xf32>, tensor<?x256xf32>) -> tensor<?x256xf32>
    %u = transom.exp %f : (tensor<?x256xf32>) -> tensor<?x256xf32>
    return %y, %z, %u : tensor<?x256xf32>, tensor<?x256xf32>, tensor<?x256xf32>
  }
}
