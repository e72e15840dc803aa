// Caches: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// CHECK-LABEL: @cache
func.func @cache(%c: !transom.cache<?x3x2048x64xf32>, %a: tensor<?x3x?x64xf32>, %b: tensor<?x?x3x64xf32>, %past: tensor<?xi32>, %n: tensor<?xi32>) {
  // CHECK: transom.cache_append bhsd %{{[0-9a-z]+}}, %{{[0-9a-z]+}} past %{{[0-9a-z]+}} lengths %{{[0-9a-z]+}} : (!transom.cache<?x3x2048x64xf32>, tensor<?x3x?x64xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x3x2048x64xf32>
  %0 = transom.cache_append bhsd %c, %a past %past lengths %n : (!transom.cache<?x3x2048x64xf32>, tensor<?x3x?x64xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x3x2048x64xf32>
  // CHECK: transom.cache_append bshd %{{[0-9a-z]+}}, %{{[0-9a-z]+}} past %{{[0-9a-z]+}} lengths %{{[0-9a-z]+}} : (!transom.cache<?x3x2048x64xf32>, tensor<?x?x3x64xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x3x2048x64xf32>
  %1 = transom.cache_append bshd %0, %b past %past lengths %n : (!transom.cache<?x3x2048x64xf32>, tensor<?x?x3x64xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x3x2048x64xf32>
  return
}

// CHECK-LABEL: @packed
func.func @packed(%c: !transom.cache<?x3x2048x64xf32>, %a: tensor<?x3x64xf32>, %past: tensor<?xi32>, %n: tensor<?xi32>) {
  // CHECK: transom.cache_append thd %{{[0-9a-z]+}}, %{{[0-9a-z]+}} past %{{[0-9a-z]+}} cumulative %{{[0-9a-z]+}} : (!transom.cache<?x3x2048x64xf32>, tensor<?x3x64xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x3x2048x64xf32>
  %0 = transom.cache_append thd %c, %a past %past cumulative %n : (!transom.cache<?x3x2048x64xf32>, tensor<?x3x64xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x3x2048x64xf32>
  return
}
