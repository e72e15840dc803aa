// A norm of rows, and their rounding to 8 bits, of which a block takes several where they are many (test/e2e/emulated.py).
module attributes {transom.bounds = {rows = [1, 4096]}} {
  func.func @main(%x: tensor<?x80xf32> {transom.name = "x", transom.dims = ["rows", "80"]}, %r: tensor<?x80xf32> {transom.name = "r", transom.dims = ["rows", "80"]})
      -> (tensor<?x80xf32> {transom.name = "sum"}, tensor<?x80xf32> {transom.name = "norm"}, tensor<?x32xf32> {transom.name = "product"}) {
    %scale = transom.constant dense<1.5> : tensor<80xf32>
    %bias = transom.constant dense<0.25> : tensor<80xf32>
    %w = transom.constant dense<0.5> : tensor<32x80xf8E4M3FN>
    %s = transom.constant dense<0.125> : tensor<32xf32>
    %sum = transom.add %x, %r : (tensor<?x80xf32>, tensor<?x80xf32>) -> tensor<?x80xf32>
    %norm = transom.layer_norm %sum, %scale, %bias epsilon 1.0e-05 : (tensor<?x80xf32>, tensor<80xf32>, tensor<80xf32>) -> tensor<?x80xf32>
    %round = transom.round_e4m3 %norm : (tensor<?x80xf32>) -> tensor<?x80xf32>
    %p = transom.matmul %round, %w transpose_rhs : (tensor<?x80xf32>, tensor<32x80xf8E4M3FN>) -> tensor<?x32xf32>
    %y = transom.mul %p, %s : (tensor<?x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
    return %sum, %norm, %y : tensor<?x80xf32>, tensor<?x80xf32>, tensor<?x32xf32>
  }
}
