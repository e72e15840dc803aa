// What merge-projections leaves alone, by the condition that fails.
// RUN: transom-opt %s -split-input-file -merge-projections=report -verify-diagnostics | FileCheck %s

// M1: a right-hand side that is no weight, and one that is not transposed.
// CHECK-LABEL: @no_weight
// CHECK-COUNT-2: transom.matmul
func.func @no_weight(%x: tensor<4x4xf32>, %y: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>) {
  %w = transom.weight "w" : tensor<4x4xf32>
  // expected-remark@+1 {{M1: expected a weight [N, K] with transpose_rhs, found tensor<4x4xf32> [cost: 1 launches]}}
  %0 = transom.matmul %x, %y transpose_rhs : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  // expected-remark@+1 {{M1: expected a weight [N, K] with transpose_rhs}}
  %1 = transom.matmul %x, %w : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  return %0, %1 : tensor<4x4xf32>, tensor<4x4xf32>
}

// -----

// M2: one weight of other blocks; the two that are alike merge.
// CHECK-LABEL: @types
// CHECK: transom.weight "v"
// CHECK: transom.recipe "q+k.concat"
func.func @types(%x: tensor<?x256xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>) {
  %q = transom.weight "q" : tensor<4x256x!transom.block<q4_k>>
  %k = transom.weight "k" : tensor<4x256x!transom.block<q4_k>>
  %v = transom.weight "v" : tensor<4x256x!transom.block<q6_k>>
  // expected-remark@+1 {{applied: 2 products became one of 8 columns}}
  %0 = transom.matmul %x, %q transpose_rhs : (tensor<?x256xf32>, tensor<4x256x!transom.block<q4_k>>) -> tensor<?x4xf32>
  %1 = transom.matmul %x, %k transpose_rhs : (tensor<?x256xf32>, tensor<4x256x!transom.block<q4_k>>) -> tensor<?x4xf32>
  // expected-remark@+1 {{M2: expected a weight of the type of the other products', found !transom.block<q6_k>}}
  %2 = transom.matmul %x, %v transpose_rhs : (tensor<?x256xf32>, tensor<4x256x!transom.block<q6_k>>) -> tensor<?x4xf32>
  return %0, %1, %2 : tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>
}

// -----

// M3: a weight that a product of another left-hand side reads too, in another function.
// CHECK-NOT: transom.recipe
module {
  func.func @shared(%x: tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>) {
    %a = transom.weight "a" : tensor<4x4xf32>
    %b = transom.weight "b" : tensor<4x4xf32>
    // expected-remark@+1 {{M3: expected a weight that nothing else reads}}
    %0 = transom.matmul %x, %a transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
    %1 = transom.matmul %x, %b transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
    return %0, %1 : tensor<?x4xf32>, tensor<?x4xf32>
  }
  func.func @other(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
    %a = transom.weight "a" : tensor<4x4xf32>
    %0 = transom.matmul %x, %a transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
    return %0 : tensor<?x4xf32>
  }
}

// -----

// M4: more columns than are worth having at once.
// CHECK-LABEL: @wide
// CHECK-NOT: transom.recipe
func.func @wide(%x: tensor<?x4xf32>) -> (tensor<?x60000xf32>, tensor<?x6000xf32>) {
  %a = transom.weight "a" : tensor<60000x4xf32>
  %b = transom.weight "b" : tensor<6000x4xf32>
  %0 = transom.matmul %x, %a transpose_rhs : (tensor<?x4xf32>, tensor<60000x4xf32>) -> tensor<?x60000xf32>
  // expected-remark@+1 {{M4: expected at most 65536 columns in all, found 66000}}
  %1 = transom.matmul %x, %b transpose_rhs : (tensor<?x4xf32>, tensor<6000x4xf32>) -> tensor<?x6000xf32>
  return %0, %1 : tensor<?x60000xf32>, tensor<?x6000xf32>
}

// -----

// A bias that something else reads, or that is no vector of its product, stays behind its slice.
// CHECK-LABEL: @other_biases
// CHECK: transom.matmul
// CHECK-NEXT: %[[A:.*]] = transom.slice
// CHECK-NEXT: transom.slice
// CHECK: transom.add %[[A]]
func.func @other_biases(%x: tensor<?x4xf32>, %bias: tensor<4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>) {
  %a = transom.weight "a" : tensor<4x4xf32>
  %b = transom.weight "b" : tensor<4x4xf32>
  // expected-remark@+1 {{applied: 2 products}}
  %0 = transom.matmul %x, %a transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %1 = transom.matmul %x, %b transpose_rhs : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %2 = transom.add %0, %bias : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
  return %2, %1 : tensor<?x4xf32>, tensor<?x4xf32>
}
