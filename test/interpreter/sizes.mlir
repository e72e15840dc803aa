// Dynamic sizes come from the inputs: names must agree with each other, with expressions, with static sizes and bounds.
// RUN: transom-opt --interpret=main %s --input='dense<[[1, 2]]> : tensor<1x2xi32>' --input='dense<1> : tensor<1x3xi32>' \
// RUN:   --input='dense<[[7]]> : tensor<1x1xi32>' | FileCheck %s --check-prefix=FITS
// FITS: tensor<1x3xi32>: {{\[\[7, 1, 2\]\]}}

// RUN: not transom-opt --interpret=main %s --input='dense<[[1, 2]]> : tensor<1x2xi32>' --input='dense<1> : tensor<1x4xi32>' \
// RUN:   --input='dense<[[7]]> : tensor<1x1xi32>' 2>&1 | FileCheck %s --check-prefix=EXPRESSION
// EXPRESSION: error: function @main: 'attention_mask': dimension 1 is 4, but 'past+seq' is 3

// RUN: not transom-opt --interpret=main %s --input='dense<[[1, 2]]> : tensor<1x2xi32>' --input='dense<1> : tensor<2x3xi32>' \
// RUN:   --input='dense<[[7]]> : tensor<1x1xi32>' 2>&1 | FileCheck %s --check-prefix=NAME
// NAME: error: function @main: 'attention_mask': dimension 0 is 2, but 'batch' is 1

// RUN: not transom-opt --interpret=main %s --input='dense<0> : tensor<1x9xi32>' --input='dense<1> : tensor<1x10xi32>' \
// RUN:   --input='dense<[[7]]> : tensor<1x1xi32>' 2>&1 | FileCheck %s --check-prefix=BOUNDS
// BOUNDS: error: function @main: 'seq' is 9, not in [1, 8]

// RUN: not transom-opt --interpret=main %s --input='dense<0> : tensor<1x2xi32>' 2>&1 | FileCheck %s --check-prefix=COUNT
// COUNT: error: function @main: expected 3 inputs, found 1

// RUN: not transom-opt --interpret=main %s --input='dense<0> : tensor<1x2xi64>' --input='dense<1> : tensor<1x2xi32>' \
// RUN:   --input='dense<[[7]]> : tensor<1x1xi32>' 2>&1 | FileCheck %s --check-prefix=TYPE
// TYPE: error: function @main: 'input_ids': expected tensor<?x?xi32>, found tensor<1x2xi64>

// RUN: not transom-opt --interpret=other %s 2>&1 | FileCheck %s --check-prefix=FUNCTION
// FUNCTION: error: no function @other
// RUN: not transom-opt --interpret=main --input=x %s 2>&1 | FileCheck %s --check-prefix=INPUT
// INPUT: error: --input: expected dense<...> : tensor<...>, found x
// RUN: not transom-opt --interpret=main --precision=f16 %s 2>&1 | FileCheck %s --check-prefix=PRECISION
// PRECISION: error: --precision: expected f32 or f64, found f16

// RUN: not transom-opt --interpret=promise %s --input='dense<0> : tensor<3xi32>' 2>&1 | FileCheck %s --check-prefix=RESULT
// RESULT: error: function @promise: 'twice': dimension 0 is 3, but '2*n' is 6

module attributes {transom.bounds = {batch = [1, 2], past = [0, 8], seq = [1, 8]}} {
  func.func @main(%ids: tensor<?x?xi32> {transom.dims = ["batch", "seq"], transom.name = "input_ids"},
                  %mask: tensor<?x?xi32> {transom.dims = ["batch", "past+seq"], transom.name = "attention_mask"},
                  %past: tensor<?x?xi32> {transom.dims = ["batch", "past"], transom.name = "past"})
      -> (tensor<?x?xi32> {transom.dims = ["batch", "past+seq"], transom.name = "present"}) {
    %0 = transom.concat %past, %ids axis 1 : (tensor<?x?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
    return %0 : tensor<?x?xi32>
  }
  func.func @promise(%x: tensor<?xi32> {transom.dims = ["n"]})
      -> (tensor<?xi32> {transom.dims = ["2*n"], transom.name = "twice"}) {
    return %x : tensor<?xi32>
  }
}
