// RUN: transom-opt %s --quantise-products | FileCheck %s
// RUN: transom-opt %s --quantise-products=scales=0.5,0.25,0.125,2 | FileCheck %s --check-prefix=STATIC
// RUN: transom-opt %s --quantise-products=observe=true | FileCheck %s --check-prefix=OBSERVE
// RUN: transom-opt %s --quantise-products --fuse-epilogue --fuse-norm | FileCheck %s --check-prefix=FUSED
// The four products of a layer between attention and residuals: rows rounded to E4M3, weights in it as recipes, and the scales of their rows
// on the result. Given scales stand in the order of the products. A group takes the rounding behind its norm, which is read elsewhere too.
// What is observed are magnitudes; nothing changes.

module attributes {transom.bounds = {tokens = [1, 512], batch = [1, 8]}} {
  // CHECK-LABEL: @main
  // STATIC-LABEL: @main
  // OBSERVE-LABEL: @main
  // OBSERVE-SAME: -> (tensor<?x64xf32> {transom.name = "y"}, tensor<f32> {transom.dims = [], transom.name = "e4m3.0"}, tensor<f32> {transom.dims = [], transom.name = "e4m3.1"}, tensor<f32> {transom.dims = [], transom.name = "e4m3.2"}, tensor<f32> {transom.dims = [], transom.name = "e4m3.3"})
  func.func @main(%x: tensor<?x64xf32> {transom.name = "x", transom.dims = ["tokens", "64"]}, %c: tensor<?xi32> {transom.name = "c", transom.dims = ["batch+1"]})
      -> (tensor<?x64xf32> {transom.name = "y"}) {
    %wq = transom.weight "qkv" : tensor<192x64xf16>
    %wo = transom.weight "out" : tensor<64x64xf32>
    %wu = transom.weight "up" : tensor<128x64xf32>
    %wd = transom.weight "down" : tensor<64x128xf32>
    %s = transom.weight "scale" : tensor<64xf32>
    %b = transom.weight "bias" : tensor<64xf32>
    // CHECK: %[[CODES:.*]] = transom.recipe "qkv{{.*}}" : tensor<192x64xf8E4M3FN> {
    // CHECK: %[[WIDE:.*]] = transom.cast %{{.*}} to f32
    // CHECK: transom.abs %[[WIDE]]
    // CHECK: transom.reduce max {{.*}} axes [1] keep_dims
    // CHECK: transom.div %[[WIDE]]
    // CHECK: transom.cast {{.*}} to f8E4M3FN
    // CHECK: %[[SCALES:.*]] = transom.recipe "qkv{{.*}}" : tensor<192xf32> {
    // CHECK: %[[ROWS:.*]] = transom.round_e4m3 %{{.*}} : (tensor<?x64xf32>) -> tensor<?x64xf32>
    // CHECK: %[[PRODUCT:.*]] = transom.matmul %[[ROWS]], %[[CODES]] transpose_rhs
    // CHECK: transom.mul %[[PRODUCT]], %[[SCALES]]
    // CHECK-COUNT-3: transom.round_e4m3
    // CHECK-NOT: transom.weight "down" : tensor<64x128xf32>{{$}}
    // STATIC: transom.constant dense<5.000000e-01> : tensor<f32>
    // STATIC: transom.round_e4m3 %{{.*}} scale
    // STATIC: transom.constant dense<2.500000e-01> : tensor<f32>
    // STATIC: transom.constant dense<1.250000e-01> : tensor<f32>
    // STATIC: transom.constant dense<2.000000e+00> : tensor<f32>
    // OBSERVE-NOT: round_e4m3
    // OBSERVE-COUNT-4: transom.reduce max {{.*}} axes [0, 1] : (tensor<?x{{64|128}}xf32>) -> tensor<f32>
    // FUSED: transom.group
    // FUSED: %[[NORM:.*]] = transom.layer_norm
    // FUSED: %[[ROUND:.*]] = transom.round_e4m3 %[[NORM]]
    // FUSED: transom.yield %[[NORM]], %[[ROUND]]
    // FUSED: transom.gelu
    // FUSED: %[[BEHIND:.*]] = transom.round_e4m3
    // FUSED: transom.yield %[[BEHIND]]
    %0 = transom.matmul %x, %wq transpose_rhs : (tensor<?x64xf32>, tensor<192x64xf16>) -> tensor<?x192xf32>
    %1 = transom.slice %0 axis 1 start 0 size 64 : (tensor<?x192xf32>) -> tensor<?x64xf32>
    %2 = transom.slice %0 axis 1 start 64 size 64 : (tensor<?x192xf32>) -> tensor<?x64xf32>
    %3 = transom.slice %0 axis 1 start 128 size 64 : (tensor<?x192xf32>) -> tensor<?x64xf32>
    %q = transom.reshape %1 [0, 4, 16] : (tensor<?x64xf32>) -> tensor<?x4x16xf32>
    %k = transom.reshape %2 [0, 4, 16] : (tensor<?x64xf32>) -> tensor<?x4x16xf32>
    %v = transom.reshape %3 [0, 4, 16] : (tensor<?x64xf32>) -> tensor<?x4x16xf32>
    %a = transom.attention thd %q, %k, %v cumulative %c {scale = 0.25 : f64} : (tensor<?x4x16xf32>, tensor<?x4x16xf32>, tensor<?x4x16xf32>, tensor<?xi32>) -> tensor<?x4x16xf32>
    %4 = transom.reshape %a [0, 64] : (tensor<?x4x16xf32>) -> tensor<?x64xf32>
    %5 = transom.matmul %4, %wo transpose_rhs : (tensor<?x64xf32>, tensor<64x64xf32>) -> tensor<?x64xf32>
    %6 = transom.add %5, %x : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
    %7 = transom.layer_norm %6, %s, %b epsilon 1.0e-05 : (tensor<?x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
    %8 = transom.matmul %7, %wu transpose_rhs : (tensor<?x64xf32>, tensor<128x64xf32>) -> tensor<?x128xf32>
    %9 = transom.gelu erf %8 : (tensor<?x128xf32>) -> tensor<?x128xf32>
    %10 = transom.matmul %9, %wd transpose_rhs : (tensor<?x128xf32>, tensor<64x128xf32>) -> tensor<?x64xf32>
    %11 = transom.add %10, %7 : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
    return %11 : tensor<?x64xf32>
  }
}
