// A full row's largest number is no larger for what stands in the padding of others.
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 16]}} {
func.func @main(%x: tensor<?x?x8xf32> {transom.name = "x", transom.dims = ["batch", "seq", "8"]},
                   %mask: tensor<?x?xi32> {transom.name = "attention_mask", transom.dims = ["batch", "seq"]})
    -> (tensor<?x8xf32> {transom.name="most"}, tensor<?xi32> {transom.name="all_valid"}) {
  %heads = transom.reshape %x [0, 0, 2, 4] : (tensor<?x?x8xf32>) -> tensor<?x?x2x4xf32>
  %a = transom.attention bshd %heads, %heads, %heads mask %mask {scale = 0.5 : f64}
     : (tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?x2x4xf32>, tensor<?x?xi32>) -> tensor<?x?x2x4xf32>
  %h = transom.reshape %a [0, 0, 8] : (tensor<?x?x2x4xf32>) -> tensor<?x?x8xf32>
  %m = transom.cast %mask to f32 : (tensor<?x?xi32>) -> tensor<?x?xf32>
  %weights = transom.reshape %m [0, 0, 1] : (tensor<?x?xf32>) -> tensor<?x?x1xf32>
  %valid = transom.mul %h, %weights : (tensor<?x?x8xf32>, tensor<?x?x1xf32>) -> tensor<?x?x8xf32>
  %most = transom.reduce max %valid axes [1] : (tensor<?x?x8xf32>) -> tensor<?x8xf32>
  %allv = transom.reduce min %mask axes [1] : (tensor<?x?xi32>) -> tensor<?xi32>
  return %most, %allv : tensor<?x8xf32>, tensor<?xi32>
}
}
