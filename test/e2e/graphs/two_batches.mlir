// One lookup of positions, read by rows of two batches.
module attributes {transom.bounds = {b1 = [1, 4], b2=[1,4], seq = [1, 16]}} {
func.func @main(%i1: tensor<?x?xi32> {transom.name = "i1", transom.dims = ["b1", "seq"]},
                %i2: tensor<?x?xi32> {transom.name = "i2", transom.dims = ["b2", "seq"]},
                %pos: tensor<?xi32> {transom.name = "pos", transom.dims = ["seq"]})
    -> (tensor<?x?x8xf32> {transom.name="y1"}, tensor<?x?x8xf32> {transom.name="y2"}) {
  %t = transom.constant dense<[[1.,2.,3.,4.,5.,6.,7.,8.],[11.,2.,3.,4.,5.,6.,7.,8.],[21.,2.,3.,4.,5.,6.,7.,8.],[31.,2.,3.,4.,5.,6.,7.,8.]]> : tensor<4x8xf32>
  %p = transom.embedding %t, %pos : (tensor<4x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %e1 = transom.embedding %t, %i1 : (tensor<4x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32>
  %e2 = transom.embedding %t, %i2 : (tensor<4x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32>
  %y1 = transom.add %e1, %p : (tensor<?x?x8xf32>, tensor<?x8xf32>) -> tensor<?x?x8xf32>
  %y2 = transom.add %e2, %p : (tensor<?x?x8xf32>, tensor<?x8xf32>) -> tensor<?x?x8xf32>
  return %y1, %y2 : tensor<?x?x8xf32>, tensor<?x?x8xf32>
}
}
