// From token ids to vectors and back: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// CHECK-LABEL: @embedding
func.func @embedding(%table: tensor<49152x576x!transom.block<q8_0>>, %plain: tensor<512x384xf32>, %ids: tensor<?x?xi32>, %long: tensor<?xi64>) {
  // CHECK: transom.embedding %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<49152x576x!transom.block<q8_0>>, tensor<?x?xi32>) -> tensor<?x?x576xf32>
  %0 = transom.embedding %table, %ids : (tensor<49152x576x!transom.block<q8_0>>, tensor<?x?xi32>) -> tensor<?x?x576xf32>
  // CHECK: transom.embedding %{{[0-9a-z]+}}, %{{[0-9a-z]+}} to bf16 : (tensor<49152x576x!transom.block<q8_0>>, tensor<?x?xi32>) -> tensor<?x?x576xbf16>
  %1 = transom.embedding %table, %ids to bf16 : (tensor<49152x576x!transom.block<q8_0>>, tensor<?x?xi32>) -> tensor<?x?x576xbf16>
  // CHECK: transom.embedding %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<512x384xf32>, tensor<?xi64>) -> tensor<?x384xf32>
  %2 = transom.embedding %plain, %long : (tensor<512x384xf32>, tensor<?xi64>) -> tensor<?x384xf32>
  return
}

// CHECK-LABEL: @last_token
func.func @last_token(%x: tensor<?x?x576xf32>, %n: tensor<?xi32>) {
  // CHECK: transom.last_token %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<?x?x576xf32>, tensor<?xi32>) -> tensor<?x576xf32>
  %0 = transom.last_token %x, %n : (tensor<?x?x576xf32>, tensor<?xi32>) -> tensor<?x576xf32>
  return
}

// CHECK-LABEL: @packed
func.func @packed(%x: tensor<?x576xf32>, %y: tensor<?x?x576xf32>, %c: tensor<?xi32>) {
  // CHECK: transom.last_token %{{[0-9a-z]+}} cumulative %{{[0-9a-z]+}} : (tensor<?x576xf32>, tensor<?xi32>) -> tensor<?x576xf32>
  %0 = transom.last_token %x cumulative %c : (tensor<?x576xf32>, tensor<?xi32>) -> tensor<?x576xf32>
  // CHECK: transom.first_token %{{[0-9a-z]+}} cumulative %{{[0-9a-z]+}} : (tensor<?x576xf32>, tensor<?xi32>) -> tensor<?x576xf32>
  %1 = transom.first_token %x cumulative %c : (tensor<?x576xf32>, tensor<?xi32>) -> tensor<?x576xf32>
  // CHECK: transom.first_token %{{[0-9a-z]+}}, %{{[0-9a-z]+}} : (tensor<?x?x576xf32>, tensor<?xi32>) -> tensor<?x576xf32>
  %2 = transom.first_token %y, %c : (tensor<?x?x576xf32>, tensor<?xi32>) -> tensor<?x576xf32>
  return
}

// CHECK-LABEL: @selection
func.func @selection(%x: tensor<?x49152xf32>, %t: tensor<?xf32>, %k: tensor<?xi32>, %s: tensor<?xi64>) {
  // CHECK: transom.argmax %{{[0-9a-z]+}} : (tensor<?x49152xf32>) -> tensor<?xi32>
  %0 = transom.argmax %x : (tensor<?x49152xf32>) -> tensor<?xi32>
  // CHECK: transom.top_k %{{[0-9a-z]+}} k 40 : (tensor<?x49152xf32>) -> (tensor<?x40xf32>, tensor<?x40xi32>)
  %1, %2 = transom.top_k %x k 40 : (tensor<?x49152xf32>) -> (tensor<?x40xf32>, tensor<?x40xi32>)
  // CHECK: transom.sample %{{[0-9a-z]+}} temperature %{{[0-9a-z]+}} top_k %{{[0-9a-z]+}} top_p %{{[0-9a-z]+}} seed %{{[0-9a-z]+}} step %{{[0-9a-z]+}} : (tensor<?x49152xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xf32>, tensor<?xi64>, tensor<?xi32>) -> tensor<?xi32>
  %3 = transom.sample %x temperature %t top_k %k top_p %t seed %s step %k : (tensor<?x49152xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xf32>, tensor<?xi64>, tensor<?xi32>) -> tensor<?xi32>
  return
}
