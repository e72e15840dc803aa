// RUN: not transom-opt --print-cpu-llvm=x86-64-v3 %s 2>&1 | FileCheck %s
// A scalar op without vector form is named, with its type.

// CHECK: error: 'math.exp' on 'f64' has no CPU form
plan.kernel @wide(%x: tensor<?xf64>) -> tensor<?xf64> {
  %0 = transom.exp %x : (tensor<?xf64>) -> tensor<?xf64>
  plan.yield %0 : tensor<?xf64>
}
