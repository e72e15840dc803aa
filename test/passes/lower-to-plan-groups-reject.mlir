// Groups that fall apart, why, and what that costs: bytes written and read again, and launches.
// RUN: transom-opt %s -split-input-file -lower-to-plan=report -verify-diagnostics -o /dev/null

// G1: no root, and an op that is not row by row.
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x32xf32> {transom.name = "x", transom.dims = ["rows", "32"]}) -> (tensor<?x32xf32> {transom.name = "y"}) {
    // expected-remark @+1 {{lower-to-plan: transom.group: G1: expected a kernel for all of it, found none: 'transom.softmax': expected a row-wise op [cost: 1024 bytes, 1 launches]}}
    %y = transom.group (%x) {
    ^bb0(%x0: tensor<?x32xf32>):
      %0 = transom.exp %x0 : (tensor<?x32xf32>) -> tensor<?x32xf32>
      %1 = transom.softmax %0 axis 1 : (tensor<?x32xf32>) -> tensor<?x32xf32>
      transom.yield %1 : tensor<?x32xf32>
    } : (tensor<?x32xf32>) -> tensor<?x32xf32>
    return %y : tensor<?x32xf32>
  }
}

// -----

// G1: few rows, and a value that is needed before and behind the product.
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x32xf32> {transom.name = "x", transom.dims = ["rows", "32"]}) -> (tensor<?x32xf32> {transom.name = "y"}) {
    %w = transom.weight "w" : tensor<32x32xf32>
    // expected-remark @+1 {{G1: expected a kernel for all of it, found none: what comes before the product is used behind it [cost: 3072 bytes, 3 launches]}}
    %y = transom.group (%x, %w) {
    ^bb0(%x0: tensor<?x32xf32>, %w0: tensor<32x32xf32>):
      %0 = transom.neg %x0 : (tensor<?x32xf32>) -> tensor<?x32xf32>
      %3 = transom.abs %0 : (tensor<?x32xf32>) -> tensor<?x32xf32>
      %1 = transom.matmul %3, %w0 transpose_rhs : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
      %2 = transom.add %1, %0 : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
      transom.yield %2 : tensor<?x32xf32>
    } : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
    return %y : tensor<?x32xf32>
  }
}

// -----

// G1: few rows, and a norm behind the product; the norm and the product are steps of their own.
module attributes {transom.bounds = {rows = [1, 4]}} {
  func.func @main(%x: tensor<?x32xf32> {transom.name = "x", transom.dims = ["rows", "32"]}) -> (tensor<?x32xf32> {transom.name = "y"}) {
    %s = transom.weight "s" : tensor<32xf32>
    %w = transom.weight "w" : tensor<32x32xf32>
    // expected-remark @+1 {{G1: expected a kernel for all of it, found none: 'transom.rms_norm' behind the product needs whole rows of it [cost: 1024 bytes, 1 launches]}}
    %y = transom.group (%x, %w, %s) {
    ^bb0(%x0: tensor<?x32xf32>, %w0: tensor<32x32xf32>, %s0: tensor<32xf32>):
      %1 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
      %2 = transom.rms_norm %1, %s0 epsilon 1.0e-05 : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
      transom.yield %2 : tensor<?x32xf32>
    } : (tensor<?x32xf32>, tensor<32x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
    return %y : tensor<?x32xf32>
  }
}

// -----

// G3: many rows, and the product is a result too.
module attributes {transom.bounds = {rows = [1, 40]}} {
  func.func @main(%x: tensor<?x32xf32> {transom.name = "x", transom.dims = ["rows", "32"]})
      -> (tensor<?x32xf32> {transom.name = "y"}, tensor<?x32xf32> {transom.name = "z"}) {
    %w = transom.weight "w" : tensor<32x32xf32>
    %y, %z = transom.group (%x, %w) {
    ^bb0(%x0: tensor<?x32xf32>, %w0: tensor<32x32xf32>):
      %1 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
      // expected-remark @+1 {{G3: expected no other reader of the product [cost: 10240 bytes, 1 launches]}}
      %2 = transom.exp %1 : (tensor<?x32xf32>) -> tensor<?x32xf32>
      transom.yield %1, %2 : tensor<?x32xf32>, tensor<?x32xf32>
    } : (tensor<?x32xf32>, tensor<32x32xf32>) -> (tensor<?x32xf32>, tensor<?x32xf32>)
    return %y, %z : tensor<?x32xf32>, tensor<?x32xf32>
  }
}

// -----

// Many rows: what comes before the product is a step by its nature, and what follows is its epilogue. Nothing is missed.
module attributes {transom.bounds = {rows = [1, 40]}} {
  func.func @main(%x: tensor<?x32xf32> {transom.name = "x", transom.dims = ["rows", "32"]}) -> (tensor<?x32xf32> {transom.name = "y"}) {
    %s = transom.weight "s" : tensor<32xf32>
    %w = transom.weight "w" : tensor<32x32xf32>
    %y = transom.group (%x, %s, %w) {
    ^bb0(%x0: tensor<?x32xf32>, %s0: tensor<32xf32>, %w0: tensor<32x32xf32>):
      %0 = transom.rms_norm %x0, %s0 epsilon 1.0e-05 : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
      %1 = transom.matmul %0, %w0 transpose_rhs : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
      %2 = transom.rms_norm %1, %s0 epsilon 1.0e-05 : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
      transom.yield %2 : tensor<?x32xf32>
    } : (tensor<?x32xf32>, tensor<32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
    return %y : tensor<?x32xf32>
  }
}
