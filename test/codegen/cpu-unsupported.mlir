// RUN: not transom-opt --print-cpu-llvm=x86-64-v3 %s 2>&1 | FileCheck %s
// RUN: not transom-opt --print-cpu-llvm=sse %s 2>&1 | FileCheck %s --check-prefix=LEVEL
// What has no CPU form is an error that names the op and the type.

// LEVEL: error: unknown CPU level 'sse': expected x86-64-v3, x86-64-v4 or native
// CHECK: error: 'transom.rms_norm' op on the CPU takes f32, found 'tensor<?x8xf16>'
plan.kernel @norm(%x: tensor<?x8xf16>, %w: tensor<8xf16>) -> tensor<?x8xf16> {
  %0 = transom.rms_norm %x, %w epsilon 1.0e-05 : (tensor<?x8xf16>, tensor<8xf16>) -> tensor<?x8xf16>
  plan.yield %0 : tensor<?x8xf16>
}
