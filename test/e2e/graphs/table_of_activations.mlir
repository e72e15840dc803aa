// A table that is an intermediate value itself: rows of a group may read rows that others write.
module attributes {transom.bounds = {rows = [1, 64]}} {
func.func @main(%x: tensor<?x64xf32> {transom.name = "x", transom.dims = ["rows", "64"]},
                %perm: tensor<?xi32> {transom.name = "perm", transom.dims = ["rows"]})
    -> (tensor<?x64xf32> {transom.name="y"}) {
  %s = transom.constant dense<1.5> : tensor<64xf32>
  %t = transom.softmax %x axis 1 : (tensor<?x64xf32>) -> tensor<?x64xf32>
  %e = transom.embedding %t, %perm : (tensor<?x64xf32>, tensor<?xi32>) -> tensor<?x64xf32>
  %h = transom.add %e, %x : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
  %n = transom.rms_norm %h, %s epsilon 1.0e-05 : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  %q = transom.softmax %n axis 1 : (tensor<?x64xf32>) -> tensor<?x64xf32>
  return %q : tensor<?x64xf32>
}
}
