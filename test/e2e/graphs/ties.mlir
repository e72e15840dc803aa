// Equal numbers keep their order, both zeros among them; what a bool is padded with is a bool; results may be empty.
module attributes {transom.bounds = {rows = [0, 4]}} {
func.func @main(%x: tensor<?x5xf32> {transom.name = "x", transom.dims = ["rows", "5"]})
    -> (tensor<?x4xf32> {transom.name = "values"}, tensor<?x4xi32> {transom.name = "indices"}, tensor<?x7xi1> {transom.name = "padded"}) {
  %values, %indices = transom.top_k %x k 4 : (tensor<?x5xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>)
  %zero = transom.constant dense<0.0> : tensor<f32>
  %positive = transom.compare gt %x, %zero : (tensor<?x5xf32>, tensor<f32>) -> tensor<?x5xi1>
  %padded = transom.pad %positive axis 1 before 1 after 1 {value = -1.0 : f64} : (tensor<?x5xi1>) -> tensor<?x7xi1>
  return %values, %indices, %padded : tensor<?x4xf32>, tensor<?x4xi32>, tensor<?x7xi1>
}
}
