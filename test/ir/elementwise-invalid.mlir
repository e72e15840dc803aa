// Elementwise ops: shapes must broadcast, element types must agree. Each numbered constraint, violated.
// RUN: transom-opt %s -split-input-file -verify-diagnostics

func.func @add_c1(%a: tensor<2x3xf32>, %b: tensor<2xf32>) {
  // expected-error@+2 {{'transom.add' op C1: shapes do not broadcast: [2, 3] and [2]}}
  // expected-error@+1 {{'transom.add' op failed to infer returned types}}
  %0 = transom.add %a, %b : (tensor<2x3xf32>, tensor<2xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @sub_c1(%a: tensor<2x3xf32>, %b: tensor<2xf32>) {
  // expected-error@+2 {{'transom.sub' op C1: shapes do not broadcast: [2, 3] and [2]}}
  // expected-error@+1 {{'transom.sub' op failed to infer returned types}}
  %0 = transom.sub %a, %b : (tensor<2x3xf32>, tensor<2xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @mul_c1(%a: tensor<2x3xf32>, %b: tensor<2xf32>) {
  // expected-error@+2 {{'transom.mul' op C1: shapes do not broadcast: [2, 3] and [2]}}
  // expected-error@+1 {{'transom.mul' op failed to infer returned types}}
  %0 = transom.mul %a, %b : (tensor<2x3xf32>, tensor<2xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @div_c1(%a: tensor<2x3xf32>, %b: tensor<2xf32>) {
  // expected-error@+2 {{'transom.div' op C1: shapes do not broadcast: [2, 3] and [2]}}
  // expected-error@+1 {{'transom.div' op failed to infer returned types}}
  %0 = transom.div %a, %b : (tensor<2x3xf32>, tensor<2xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @max_c1(%a: tensor<2x3xf32>, %b: tensor<2xf32>) {
  // expected-error@+2 {{'transom.max' op C1: shapes do not broadcast: [2, 3] and [2]}}
  // expected-error@+1 {{'transom.max' op failed to infer returned types}}
  %0 = transom.max %a, %b : (tensor<2x3xf32>, tensor<2xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @min_c1(%a: tensor<2x3xf32>, %b: tensor<2xf32>) {
  // expected-error@+2 {{'transom.min' op C1: shapes do not broadcast: [2, 3] and [2]}}
  // expected-error@+1 {{'transom.min' op failed to infer returned types}}
  %0 = transom.min %a, %b : (tensor<2x3xf32>, tensor<2xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @pow_c1(%a: tensor<2xf32>, %b: tensor<3xf32>) {
  // expected-error@+2 {{'transom.pow' op C1: shapes do not broadcast: [2] and [3]}}
  // expected-error@+1 {{'transom.pow' op failed to infer returned types}}
  %0 = transom.pow %a, %b : (tensor<2xf32>, tensor<3xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @compare_c1(%a: tensor<2xf32>, %b: tensor<3xf32>) {
  // expected-error@+2 {{'transom.compare' op C1: shapes do not broadcast: [2] and [3]}}
  // expected-error@+1 {{'transom.compare' op failed to infer returned types}}
  %0 = transom.compare lt %a, %b : (tensor<2xf32>, tensor<3xf32>) -> tensor<3xi1>
  return
}

// -----

func.func @select_c1(%c: tensor<2xi1>, %a: tensor<3xf32>) {
  // expected-error@+2 {{'transom.select' op C1: shapes do not broadcast: [2] and [3]}}
  // expected-error@+1 {{'transom.select' op failed to infer returned types}}
  %0 = transom.select %c, %a, %a : (tensor<2xi1>, tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @select_c2(%c: tensor<2xi1>, %a: tensor<2xf32>, %b: tensor<2xi32>) {
  // expected-error@+1 {{'transom.select' op C2: choices have different element types 'f32' and 'i32'}}
  %0 = transom.select %c, %a, %b : (tensor<2xi1>, tensor<2xf32>, tensor<2xi32>) -> tensor<2xf32>
  return
}

// -----

func.func @cast_to(%a: tensor<32xf32>) {
  // expected-error@+1 {{'transom.cast' op result #0 must be ranked tensor of a float of 16 bits or more, f8E4M3FN or an integer of 1 to 64 bits values, but got 'tensor<32x!transom.block<q8_0>>'}}
  %0 = transom.cast %a to !transom.block<q8_0> : (tensor<32xf32>) -> tensor<32x!transom.block<q8_0>>
  return
}

// -----

func.func @add_element_types(%a: tensor<2xf32>, %b: tensor<2xf16>) {
  // expected-error@+1 {{'transom.add' op requires the same element type for all operands and results}}
  %0 = transom.add %a, %b : (tensor<2xf32>, tensor<2xf16>) -> tensor<2xf32>
  return
}

// -----

func.func @neg_result(%a: tensor<2xf32>) {
  // expected-error@+2 {{'transom.neg' op inferred type(s) 'tensor<2xf32>' are incompatible with return type(s) of operation 'tensor<3xf32>'}}
  // expected-error@+1 {{'transom.neg' op failed to infer returned types}}
  %0 = transom.neg %a : (tensor<2xf32>) -> tensor<3xf32>
  return
}
