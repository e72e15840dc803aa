// What lower-to-plan refuses, and what it says.
// RUN: transom-opt %s -split-input-file -lower-to-plan -verify-diagnostics

// A size that does not follow from the arguments' names.
module {
  // expected-error @+1 {{argument 0 of @main has the sizes [?]: name them by transom.dims of the arguments}}
  func.func @main(%x: tensor<?xf32> {transom.name = "x"}) -> (tensor<?xf32> {transom.name = "y"}) {
    %0 = transom.neg %x : (tensor<?xf32>) -> tensor<?xf32>
    return %0 : tensor<?xf32>
  }
}

// -----

// A name without bounds.
module {
  // expected-error @+1 {{argument 0 of @main has the sizes [n], which have no bounds in transom.bounds}}
  func.func @main(%x: tensor<?xf32> {transom.name = "x", transom.dims = ["n"]}) -> (tensor<?xf32> {transom.name = "y"}) {
    %0 = transom.neg %x : (tensor<?xf32>) -> tensor<?xf32>
    return %0 : tensor<?xf32>
  }
}

// -----

module {
  // expected-error @+1 {{argument 0 of @main has no transom.name}}
  func.func @main(%x: tensor<2xf32>) -> (tensor<2xf32> {transom.name = "y"}) {
    %0 = transom.neg %x : (tensor<2xf32>) -> tensor<2xf32>
    return %0 : tensor<2xf32>
  }
}

// -----

module {
  // expected-error @+1 {{result 0 of @main has no transom.name}}
  func.func @main(%x: tensor<2xf32> {transom.name = "x"}) -> tensor<2xf32> {
    %0 = transom.neg %x : (tensor<2xf32>) -> tensor<2xf32>
    return %0 : tensor<2xf32>
  }
}

// -----

module {
  func.func @main(%x: tensor<2xf32> {transom.name = "x"}) -> (tensor<2xf32> {transom.name = "y"}) {
    // expected-error @+1 {{'arith.negf' cannot be lowered: only transom ops can}}
    %0 = arith.negf %x : tensor<2xf32>
    return %0 : tensor<2xf32>
  }
}

// -----

// expected-error @+1 {{'func.func' cannot be lowered: only functions with a body can}}
func.func private @other(tensor<2xf32>) -> tensor<2xf32>

// -----

// One name, two tensors.
module {
  func.func @main() -> (tensor<2xf32> {transom.name = "y"}) {
    %0 = transom.weight "w" : tensor<2xf32>
    // expected-error @+1 {{two different tensors are named "w"}}
    %1 = transom.weight "w" : tensor<1xf32>
    %2 = transom.add %0, %1 : (tensor<2xf32>, tensor<1xf32>) -> tensor<2xf32>
    return %2 : tensor<2xf32>
  }
}

// -----

// What an append replaced is gone.
module attributes {transom.bounds = {batch = [1, 2], seq = [1, 8]}} {
  func.func @main(%q: tensor<?x2x?x4xf32> {transom.name = "q", transom.dims = ["batch", "2", "seq", "4"]},
                  %past: tensor<?xi32> {transom.name = "past", transom.dims = ["batch"]},
                  %lengths: tensor<?xi32> {transom.name = "lengths", transom.dims = ["batch"]},
                  %c: !transom.cache<?x2x16x4xf32> {transom.name = "c", transom.dims = ["batch", "2", "16", "4"]})
      -> (tensor<?x2x?x4xf32> {transom.name = "y"}, !transom.cache<?x2x16x4xf32>) {
    // expected-note @+1 {{the update is here}}
    %0 = transom.cache_append bhsd %c, %q past %past lengths %lengths
       : (!transom.cache<?x2x16x4xf32>, tensor<?x2x?x4xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x2x16x4xf32>
    // expected-error @+1 {{uses a cache after its update}}
    %1 = transom.attention bhsd %q, %c, %0 past %past lengths %lengths {causal, scale = 0.5 : f64}
       : (tensor<?x2x?x4xf32>, !transom.cache<?x2x16x4xf32>, !transom.cache<?x2x16x4xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x2x?x4xf32>
    return %1, %0 : tensor<?x2x?x4xf32>, !transom.cache<?x2x16x4xf32>
  }
}

// -----

// A reshape to sizes that need not fit.
module attributes {transom.bounds = {n = [1, 8]}} {
  func.func @main(%x: tensor<?x4xf32> {transom.name = "x", transom.dims = ["n", "4"]}) -> (tensor<2x4xf32> {transom.name = "y"}) {
    // expected-error @+1 {{'transom.reshape' cannot be shown to hold as many elements as its input: [2, 4] and [n, 4]}}
    %0 = transom.reshape %x [2, 4] : (tensor<?x4xf32>) -> tensor<2x4xf32>
    %1 = transom.neg %0 : (tensor<2x4xf32>) -> tensor<2x4xf32>
    return %1 : tensor<2x4xf32>
  }
}

// -----

// Quantised elements cannot be returned.
module {
  func.func @main() -> (tensor<2x32x!transom.block<q8_0>> {transom.name = "y"}) {
    %0 = transom.weight "w" : tensor<2x32x!transom.block<q8_0>>
    // expected-error @+1 {{result 0 has quantised elements, which cannot be returned}}
    return %0 : tensor<2x32x!transom.block<q8_0>>
  }
}

// -----

// A reshape to fewer elements, though it begins what it is of.
module attributes {transom.bounds = {n = [2, 16]}} {
  func.func @main(%x: tensor<1x?x8xf32> {transom.name = "x", transom.dims = ["1", "n", "8"]}) -> (tensor<1x2x8xf32> {transom.name = "y"}) {
    // expected-error @+1 {{cannot be shown to hold as many elements as its input: [1, 2, 8] and [1, n, 8]}}
    %0 = transom.reshape %x [1, 2, 8] : (tensor<1x?x8xf32>) -> tensor<1x2x8xf32>
    %1 = transom.neg %0 : (tensor<1x2x8xf32>) -> tensor<1x2x8xf32>
    return %1 : tensor<1x2x8xf32>
  }
}
