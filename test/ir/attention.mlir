// Attention, rotary embedding, positions, naive and optimised: text and generic form both read back as they were.
// RUN: transom-opt %s > %t.once && transom-opt %t.once > %t.twice && diff %t.once %t.twice
// RUN: transom-opt %s --mlir-print-op-generic | transom-opt | diff %t.once -
// RUN: FileCheck %s < %t.once

// As importers write it: padded batches with a mask, or with a bias.
// CHECK-LABEL: @padded
func.func @padded(%q: tensor<?x9x?x64xf32>, %k: tensor<?x3x?x64xf32>, %m: tensor<?x?xi32>, %b: tensor<1x9x?x?xf32>) {
  // CHECK: transom.attention bhsd %{{[0-9a-z]+}}, %{{[0-9a-z]+}}, %{{[0-9a-z]+}} mask %{{[0-9a-z]+}} {causal, scale = 1.250000e-01 : f64} : (tensor<?x9x?x64xf32>, tensor<?x3x?x64xf32>, tensor<?x3x?x64xf32>, tensor<?x?xi32>) -> tensor<?x9x?x64xf32>
  %0 = transom.attention bhsd %q, %k, %k mask %m {causal, scale = 1.250000e-01 : f64} : (tensor<?x9x?x64xf32>, tensor<?x3x?x64xf32>, tensor<?x3x?x64xf32>, tensor<?x?xi32>) -> tensor<?x9x?x64xf32>
  // CHECK: transom.attention bhsd %{{[0-9a-z]+}}, %{{[0-9a-z]+}}, %{{[0-9a-z]+}} bias %{{[0-9a-z]+}} {scale = 1.250000e-01 : f64} : (tensor<?x9x?x64xf32>, tensor<?x3x?x64xf32>, tensor<?x3x?x64xf32>, tensor<1x9x?x?xf32>) -> tensor<?x9x?x64xf32>
  %1 = transom.attention bhsd %q, %k, %k bias %b {scale = 1.250000e-01 : f64} : (tensor<?x9x?x64xf32>, tensor<?x3x?x64xf32>, tensor<?x3x?x64xf32>, tensor<1x9x?x?xf32>) -> tensor<?x9x?x64xf32>
  // CHECK: transom.attention bhsd %{{[0-9a-z]+}}, %{{[0-9a-z]+}}, %{{[0-9a-z]+}} mask %{{[0-9a-z]+}} bias %{{[0-9a-z]+}} {causal, scale = 1.000000e+00 : f64, softcap = 3.000000e+01 : f64, window = 128 : i64} : (tensor<?x9x?x64xf32>, tensor<?x3x?x64xf32>, tensor<?x3x?x64xf32>, tensor<?x?xi32>, tensor<1x9x?x?xf32>) -> tensor<?x9x?x64xf32>
  %2 = transom.attention bhsd %q, %k, %k mask %m bias %b {causal, scale = 1.000000e+00 : f64, softcap = 3.000000e+01 : f64, window = 128 : i64} : (tensor<?x9x?x64xf32>, tensor<?x3x?x64xf32>, tensor<?x3x?x64xf32>, tensor<?x?xi32>, tensor<1x9x?x?xf32>) -> tensor<?x9x?x64xf32>
  return
}

// Heads where a projection leaves them, keys and values in caches.
// CHECK-LABEL: @cached
func.func @cached(%q: tensor<?x?x9x64xf32>, %k: !transom.cache<?x3x2048x64xf32>, %past: tensor<?xi32>, %n: tensor<?xi32>) {
  // CHECK: transom.attention bshd %{{[0-9a-z]+}}, %{{[0-9a-z]+}}, %{{[0-9a-z]+}} past %{{[0-9a-z]+}} lengths %{{[0-9a-z]+}} {causal, scale = 1.250000e-01 : f64} : (tensor<?x?x9x64xf32>, !transom.cache<?x3x2048x64xf32>, !transom.cache<?x3x2048x64xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x?x9x64xf32>
  %0 = transom.attention bshd %q, %k, %k past %past lengths %n {causal, scale = 1.250000e-01 : f64} : (tensor<?x?x9x64xf32>, !transom.cache<?x3x2048x64xf32>, !transom.cache<?x3x2048x64xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x?x9x64xf32>
  return
}

// CHECK-LABEL: @packed
func.func @packed(%q: tensor<?x12x32xf32>, %c: tensor<?xi32>) {
  // CHECK: transom.attention thd %{{[0-9a-z]+}}, %{{[0-9a-z]+}}, %{{[0-9a-z]+}} cumulative %{{[0-9a-z]+}} {scale = 1.000000e+00 : f64} : (tensor<?x12x32xf32>, tensor<?x12x32xf32>, tensor<?x12x32xf32>, tensor<?xi32>) -> tensor<?x12x32xf32>
  %0 = transom.attention thd %q, %q, %q cumulative %c {scale = 1.000000e+00 : f64} : (tensor<?x12x32xf32>, tensor<?x12x32xf32>, tensor<?x12x32xf32>, tensor<?xi32>) -> tensor<?x12x32xf32>
  return
}

// CHECK-LABEL: @packed_memory
func.func @packed_memory(%q: tensor<?x12x32xf32>, %k: tensor<?x4x32xf32>, %c: tensor<?xi32>, %d: tensor<?xi32>) {
  // CHECK: transom.attention thd %{{[0-9a-z]+}}, %{{[0-9a-z]+}}, %{{[0-9a-z]+}} cumulative %{{[0-9a-z]+}} keys %{{[0-9a-z]+}} {scale = 1.000000e+00 : f64} : (tensor<?x12x32xf32>, tensor<?x4x32xf32>, tensor<?x4x32xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x12x32xf32>
  %0 = transom.attention thd %q, %k, %k cumulative %c keys %d {scale = 1.000000e+00 : f64} : (tensor<?x12x32xf32>, tensor<?x4x32xf32>, tensor<?x4x32xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x12x32xf32>
  return
}

// CHECK-LABEL: @packed_cache
func.func @packed_cache(%q: tensor<?x12x32xf32>, %k: !transom.cache<?x4x64x32xf32>, %p: tensor<?xi32>, %c: tensor<?xi32>) {
  // CHECK: transom.attention thd %{{[0-9a-z]+}}, %{{[0-9a-z]+}}, %{{[0-9a-z]+}} past %{{[0-9a-z]+}} cumulative %{{[0-9a-z]+}} {causal, scale = 1.000000e+00 : f64} : (tensor<?x12x32xf32>, !transom.cache<?x4x64x32xf32>, !transom.cache<?x4x64x32xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x12x32xf32>
  %0 = transom.attention thd %q, %k, %k past %p cumulative %c {causal, scale = 1.000000e+00 : f64} : (tensor<?x12x32xf32>, !transom.cache<?x4x64x32xf32>, !transom.cache<?x4x64x32xf32>, tensor<?xi32>, tensor<?xi32>) -> tensor<?x12x32xf32>
  return
}

// CHECK-LABEL: @rotary
func.func @rotary(%x: tensor<?x9x?x64xf32>, %p: tensor<?x?xi32>, %t: tensor<?x9x64xf32>, %q: tensor<?xi32>, %f: tensor<16xf32>) {
  // CHECK: transom.rotary bhsd %{{[0-9a-z]+}}, %{{[0-9a-z]+}} dims 64 base 1.000000e+04 : (tensor<?x9x?x64xf32>, tensor<?x?xi32>) -> tensor<?x9x?x64xf32>
  %0 = transom.rotary bhsd %x, %p dims 64 base 1.000000e+04 : (tensor<?x9x?x64xf32>, tensor<?x?xi32>) -> tensor<?x9x?x64xf32>
  // CHECK: transom.rotary thd %{{[0-9a-z]+}}, %{{[0-9a-z]+}} factors %{{[0-9a-z]+}} dims 32 base 1.000000e+04 interleaved {scale = 2.500000e-01 : f64} : (tensor<?x9x64xf32>, tensor<?xi32>, tensor<16xf32>) -> tensor<?x9x64xf32>
  %1 = transom.rotary thd %t, %q factors %f dims 32 base 1.000000e+04 interleaved {scale = 2.500000e-01 : f64} : (tensor<?x9x64xf32>, tensor<?xi32>, tensor<16xf32>) -> tensor<?x9x64xf32>
  return
}

// CHECK-LABEL: @positions
func.func @positions(%past: tensor<?xi32>, %ids: tensor<?x?xi32>) {
  // CHECK: transom.positions %{{[0-9a-z]+}} like %{{[0-9a-z]+}} : (tensor<?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
  %0 = transom.positions %past like %ids : (tensor<?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
  return
}
