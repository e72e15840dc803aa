// Matrix products: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// CHECK-LABEL: @matmul
func.func @matmul(%x: tensor<?x?x576xf32>, %w: tensor<1536x576x!transom.block<q4_1>>, %k: tensor<576x8xf16>) {
  // CHECK: transom.matmul %{{[0-9a-z]+}}, %{{[0-9a-z]+}} transpose_rhs : (tensor<?x?x576xf32>, tensor<1536x576x!transom.block<q4_1>>) -> tensor<?x?x1536xf32>
  %0 = transom.matmul %x, %w transpose_rhs : (tensor<?x?x576xf32>, tensor<1536x576x!transom.block<q4_1>>) -> tensor<?x?x1536xf32>
  // CHECK: transom.matmul %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<?x?x576xf32>, tensor<576x8xf16>) -> tensor<?x?x8xf32>
  %1 = transom.matmul %x, %k : (tensor<?x?x576xf32>, tensor<576x8xf16>) -> tensor<?x?x8xf32>
  return
}

// Attention as frameworks write it: heads broadcast on both sides.
// CHECK-LABEL: @heads
func.func @heads(%q: tensor<?x9x?x64xf32>, %k: tensor<?x9x64x?xf32>) {
  // CHECK: transom.matmul %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<?x9x?x64xf32>, tensor<?x9x64x?xf32>) -> tensor<?x9x?x?xf32>
  %0 = transom.matmul %q, %k : (tensor<?x9x?x64xf32>, tensor<?x9x64x?xf32>) -> tensor<?x9x?x?xf32>
  return
}
