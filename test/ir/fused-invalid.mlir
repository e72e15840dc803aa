// Fused regions. Each numbered constraint, violated.
// RUN: transom-opt %s -split-input-file -verify-diagnostics -allow-unregistered-dialect

func.func @fused_c1(%x: tensor<4xf32>) {
  // expected-error@+1 {{'transom.fused' op C1: expected 1 region arguments, found 2}}
  %0 = transom.fused (%x) {
  ^bb0(%a: f32, %b: f32):
    transom.yield %a : f32
  } : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @fused_c1_2(%x: tensor<4xf32>) {
  // expected-error@+1 {{'transom.fused' op C1: expected a region argument of 'f32', found 'f16'}}
  %0 = transom.fused (%x) {
  ^bb0(%a: f16):
    %b = arith.extf %a : f16 to f32
    transom.yield %b : f32
  } : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @fused_c2(%x: tensor<4xf32>, %y: tensor<3xf32>) {
  // expected-error@+2 {{'transom.fused' op C2: shapes do not broadcast: [4] and [3]}}
  // expected-error@+1 {{'transom.fused' op failed to infer returned types}}
  %0 = transom.fused (%x, %y) {
  ^bb0(%a: f32, %b: f32):
    transom.yield %a : f32
  } : (tensor<4xf32>, tensor<3xf32>) -> tensor<4xf32>
  return
}

// -----

// a reduction of no dimension
func.func @fused_c2_2(%x: tensor<f32>) {
  // expected-error@+2 {{'transom.fused' op C2: a row reduction needs rank 1 or more}}
  // expected-error@+1 {{'transom.fused' op failed to infer returned types}}
  %0 = transom.fused reduce sum (%x) {
  ^bb0(%a: f32):
    transom.yield %a : f32
  } : (tensor<f32>) -> tensor<f32>
  return
}

// -----

func.func @fused_c3(%x: tensor<4xf32>) {
  // expected-error@+2 {{'transom.fused' op failed to infer returned types}}
  // expected-error@+1 {{'transom.fused' op inferred type(s) 'tensor<4xi1>' are incompatible with return type(s) of operation 'tensor<4xf32>'}}
  %0 = transom.fused (%x) {
  ^bb0(%a: f32):
    %b = arith.cmpf oeq, %a, %a : f32
    transom.yield %b : i1
  } : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

// no yield at the end
func.func @fused_c3_2(%x: tensor<4xf32>) {
  // expected-error@+1 {{'transom.fused' op C3: expected to yield 'f32'}}
  %0 = transom.fused (%x) {
  ^bb0(%a: f32):
    "test.end"() : () -> ()
  } : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @fused_c4(%x: tensor<4xf32>) {
  // expected-error@+1 {{'transom.fused' op C4: 'transom.constant' is neither arith nor math}}
  %0 = transom.fused (%x) {
  ^bb0(%a: f32):
    %c = transom.constant dense<0.0> : tensor<f32>
    transom.yield %a : f32
  } : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @fused_c5() {
  // expected-error@+2 {{'transom.fused' op C5: expected an input}}
  // expected-error@+1 {{'transom.fused' op failed to infer returned types}}
  %0 = transom.fused () {
    %c = arith.constant 0.0 : f32
    transom.yield %c : f32
  } : () -> tensor<4xf32>
  return
}

// -----

// C4: scalars only, as the region takes one element at a time
func.func @fused_c4_2(%x: tensor<4xf32>) {
  // expected-error@+1 {{'transom.fused' op C4: 'arith.constant' is not of scalars}}
  %0 = transom.fused (%x) {
  ^bb0(%a: f32):
    %c = arith.constant dense<0.0> : vector<4xf32>
    transom.yield %a : f32
  } : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @group_c1(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{'transom.group' op C1: expected one region argument per input, of its type}}
  %0 = transom.group (%x) {
  ^bb0(%a: tensor<5xf32>):
    transom.yield %a : tensor<5xf32>
  } : (tensor<4xf32>) -> tensor<5xf32>
  return %x : tensor<4xf32>
}

// -----

func.func @group_c2(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{'transom.group' op C2: 'transom.constant' cannot stand in a group}}
  %0 = transom.group (%x) {
  ^bb0(%a: tensor<4xf32>):
    %1 = transom.constant dense<1.0> : tensor<4xf32>
    transom.yield %1 : tensor<4xf32>
  } : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func @group_c3(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{'transom.group' op C3: expected to yield values of the results' types, at least one}}
  %0 = transom.group (%x) {
  ^bb0(%a: tensor<4xf32>):
    transom.yield %a : tensor<4xf32>
  } : (tensor<4xf32>) -> tensor<5xf32>
  return %x : tensor<4xf32>
}
