// Attributes of entry functions and modules, and the dialect's types, against what they must hold.
// RUN: transom-opt %s -split-input-file -verify-diagnostics

// expected-error@+1 {{transom.bounds is a dictionary on the module}}
module attributes {transom.bounds = 3 : i64} {}

// -----

// expected-error@+1 {{transom.bounds is a dictionary on the module}}
func.func @bounds_on_function() attributes {transom.bounds = {batch = [1, 8]}} {
  return
}

// -----

// expected-error@+1 {{transom.bounds: expected "batch" = [min, max]}}
module attributes {transom.bounds = {batch = [1]}} {}

// -----

// expected-error@+1 {{transom.bounds: expected 0 <= min <= max and 1 <= max for "batch", found [8, 1]}}
module attributes {transom.bounds = {batch = [8, 1]}} {}

// -----

// expected-error@+1 {{transom.bounds: expected 0 <= min <= max and 1 <= max for "past", found [-1, 4]}}
module attributes {transom.bounds = {past = [-1, 4]}} {}

// -----

// expected-error@+1 {{transom.name is a string}}
func.func @name(%x: tensor<4xf32> {transom.name = 1 : i64}) {
  return
}

// -----

// expected-error@+1 {{transom.dims is a list of strings on a tensor}}
func.func @dims_text(%x: tensor<4xf32> {transom.dims = "batch"}) {
  return
}

// -----

// expected-error@+1 {{transom.dims is a list of strings on a tensor}}
func.func @dims_scalar(%x: i32 {transom.dims = ["batch"]}) {
  return
}

// -----

// expected-error@+1 {{transom.dims: expected 2 sizes, found 1}}
func.func @dims_count(%x: tensor<?x4xf32> {transom.dims = ["batch"]}) {
  return
}

// -----

// expected-error@+1 {{transom.dims: malformed size "batch+"}}
func.func @dims_malformed(%x: tensor<?xf32> {transom.dims = ["batch+"]}) {
  return
}

// -----

// expected-error@+1 {{transom.dims: expected 4, found "5"}}
func.func @dims_static(%x: tensor<4xf32> {transom.dims = ["5"]}) {
  return
}

// -----

// expected-error@+1 {{transom.dims: expected 4, found "5"}}
func.func @dims_result(%x: tensor<4xf32>) -> (tensor<4xf32> {transom.dims = ["5"]}) {
  return %x : tensor<4xf32>
}

// -----

// expected-error@+1 {{expected [batch, kv_heads, capacity, head_dim], found 3 dimensions}}
func.func @cache_rank(%x: !transom.cache<3x8x4xf32>) {
  return
}

// -----

// expected-error@+1 {{expected a static size for dimension 2 of a cache}}
func.func @cache_capacity(%x: !transom.cache<1x3x?x4xf32>) {
  return
}

// -----

// expected-error@+1 {{expected a float element type, found 'i32'}}
func.func @cache_element(%x: !transom.cache<1x3x8x4xi32>) {
  return
}

// -----

// expected-error@+2 {{expected ::transom::BlockFormat to be one of: q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k}}
// expected-error@+1 {{failed to parse BlockType parameter 'format' which is to be a `::transom::BlockFormat`}}
func.func @block_format(%x: tensor<32x!transom.block<q9_0>>) {
  return
}
