// Weights, constants, recipes. Each numbered constraint, violated.
// RUN: transom-opt %s -split-input-file -verify-diagnostics

func.func @weight_c1() {
  // expected-error@+1 {{'transom.weight' op C1: expected a static shape, found 'tensor<?xf32>'}}
  %0 = transom.weight "w" : tensor<?xf32>
  return
}

// -----

func.func @weight_c2() {
  // expected-error@+1 {{'transom.weight' op C2: expected a tensor name}}
  %0 = transom.weight "" : tensor<4xf32>
  return
}

// -----

// blocks that do not fill a row
func.func @weight_c3() {
  // expected-error@+1 {{'transom.weight' op C3: expected whole blocks of 256 in the last dimension, found 'tensor<4x32x!transom.block<q6_k>>'}}
  %0 = transom.weight "w" : tensor<4x32x!transom.block<q6_k>>
  return
}

// -----

func.func @recipe_c1() {
  // expected-error@+1 {{'transom.recipe' op C1: 'arith.constant' cannot stand in a recipe}}
  %0 = transom.recipe "r" : tensor<4xf32> {
    %c = arith.constant dense<0.0> : tensor<4xf32>
    transom.yield %c : tensor<4xf32>
  }
  return
}

// -----

// no recipes within recipes
func.func @recipe_c1_2() {
  // expected-error@+1 {{'transom.recipe' op C1: 'transom.recipe' cannot stand in a recipe}}
  %0 = transom.recipe "r" : tensor<4xf32> {
    %1 = transom.recipe "s" : tensor<4xf32> {
      %w = transom.weight "w" : tensor<4xf32>
      transom.yield %w : tensor<4xf32>
    }
    transom.yield %1 : tensor<4xf32>
  }
  return
}

// -----

func.func @recipe_c1_3() {
  // expected-error@+1 {{'transom.recipe' op C1: expected a static shape, found 'tensor<?xf32>'}}
  %0 = transom.recipe "r" : tensor<?xf32> {
    %w = transom.weight "w" : tensor<4xf32>
    transom.yield %w : tensor<4xf32>
  }
  return
}

// -----

func.func @recipe_c2() {
  // expected-error@+1 {{'transom.recipe' op C2: expected a region without arguments that yields 'tensor<4xf32>'}}
  %0 = transom.recipe "r" : tensor<4xf32> {
    %w = transom.weight "w" : tensor<5xf32>
    transom.yield %w : tensor<5xf32>
  }
  return
}

// -----

func.func @recipe_c2_2() {
  // expected-error@+1 {{'transom.recipe' op C2: expected a region without arguments that yields 'tensor<4xf32>'}}
  %0 = "transom.recipe"() <{name = "r"}> ({
  ^bb0(%x: tensor<4xf32>):
    transom.yield %x : tensor<4xf32>
  }) : () -> tensor<4xf32>
  return
}

// -----

func.func @recipe_c3() {
  // expected-error@+1 {{'transom.recipe' op C3: expected a name}}
  %0 = transom.recipe "" : tensor<4xf32> {
    %w = transom.weight "w" : tensor<4xf32>
    transom.yield %w : tensor<4xf32>
  }
  return
}

// -----

// a recipe sees nothing from outside
func.func @recipe_isolated() {
  // expected-note@+2 {{required by region isolation constraints}}
  %w = transom.weight "w" : tensor<4xf32>
  %0 = transom.recipe "r" : tensor<4xf32> {
    // expected-error@+1 {{using value defined outside the region}}
    transom.yield %w : tensor<4xf32>
  }
  return
}

// -----

func.func @yield_elsewhere(%x: tensor<4xf32>) {
  // expected-error@+1 {{'transom.yield' op expects parent op to be one of 'transom.recipe, transom.fused, transom.group'}}
  transom.yield %x : tensor<4xf32>
}
