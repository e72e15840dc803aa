// Entry functions with names, sizes and bounds: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// CHECK: module attributes {transom.bounds = {batch = [1, 8], past = [0, 511], seq = [1, 512]}}
module attributes {transom.bounds = {batch = [1, 8], past = [0, 511], seq = [1, 512]}} {
  // CHECK: func.func @main(%{{.*}}: tensor<?x?xi32> {transom.dims = ["batch", "past+seq"], transom.name = "attention_mask"},
  // CHECK-SAME: %{{.*}}: !transom.cache<?x3x2048x64xf32> {transom.dims = ["batch", "3", "2048", "64"], transom.name = "cache.0.key"})
  // CHECK-SAME: -> (tensor<?x?xi32> {transom.dims = ["batch", "past+seq"], transom.name = "mask"})
  func.func @main(%mask: tensor<?x?xi32> {transom.dims = ["batch", "past+seq"], transom.name = "attention_mask"},
                  %cache: !transom.cache<?x3x2048x64xf32> {transom.dims = ["batch", "3", "2048", "64"], transom.name = "cache.0.key"})
      -> (tensor<?x?xi32> {transom.dims = ["batch", "past+seq"], transom.name = "mask"}) {
    return %mask : tensor<?x?xi32>
  }
}
