// RUN: split-file %s %t
// DEFINE: %{plan} = transom-opt -lower-to-plan=activations=f16 -plan-memory
// RUN: %{plan} %t/one.mlir -o %t/one.plan && FileCheck %t/one.mlir --check-prefix=PLAN < %t/one.plan && transom-opt --print-cuda %t/one.plan | FileCheck %t/one.mlir
// RUN: sed 's/batch = .1, 1./batch = [1, 2]/' %t/one.mlir | %{plan} | transom-opt --print-cuda - | FileCheck %t/one.mlir --check-prefix=TWO
// RUN: sed 's/start 0/start 1/' %t/one.mlir | %{plan} | transom-opt --print-cuda - | FileCheck %t/one.mlir --check-prefix=TWO
// RUN: %{plan} %t/apart.mlir | transom-opt --print-cuda - | FileCheck %t/apart.mlir
// What one kernel does with what stands behind it, and what none does: places of tokens, which are sums along rows times the mask; the first token of a single row.

//--- one.mlir
module attributes {transom.bounds = {batch = [1, 1], seq = [1, 32]}} {
  // The first token's place is that of its row, which therefore lasts while it is read: what is made of it lies elsewhere.
  // PLAN: [[X:%[0-9]+]] = plan.buffer arena shape ["batch", "seq", "64"] bytes 4096 offset [[AT:[0-9]+]] stored f16
  // PLAN: plan.launch @slice_1x64
  // PLAN-NOT: offset [[AT]] stored f16
  // PLAN: plan.launch @matmul_{{.*}} outs([[Y:%[0-9]+]])
  // PLAN: plan.launch @abs_{{.*}} ins([[Y]])
  // CHECK-LABEL: // cumulative_sum_i32_fused_i32 block 256
  // CHECK: cumulativeSum<int>(length, [&](int64 c) { return b0[row * length + c]; }, [&](int64 c, auto total) {
  // CHECK-NEXT: int [[V:v[0-9]+]] = wrapMul(total, b0[row * length + c]);
  // CHECK-NEXT: int [[P:v[0-9]+]] = wrapAdd([[V]], 1);
  // CHECK-NEXT: b1[row * length + c] = [[P]];
  // CHECK-LABEL: // program main
  // CHECK-NEXT: // launch cumulative_sum_i32_fused_i32
  // CHECK-NEXT: // launch exp
  // CHECK-NEXT: // launch matmul
  // CHECK-NEXT: // launch abs
  // TWO: // launch slice_1x64
  func.func @main(%m: tensor<?x?xi32> {transom.name = "m", transom.dims = ["batch", "seq"]}, %x: tensor<?x?x64xf32> {transom.name = "x", transom.dims = ["batch", "seq", "64"]})
      -> (tensor<?x?xi32> {transom.name = "places"}, tensor<?x1x64xf32> {transom.name = "y"}) {
    %0 = transom.cumulative_sum %m axis 1 : (tensor<?x?xi32>) -> tensor<?x?xi32>
    %1 = transom.fused(%0, %m) {
    ^bb0(%s: i32, %v: i32):
      %one = arith.constant 1 : i32
      %2 = arith.muli %s, %v : i32
      %3 = arith.addi %2, %one : i32
      transom.yield %3 : i32
    } : (tensor<?x?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
    %4 = transom.exp %x : (tensor<?x?x64xf32>) -> tensor<?x?x64xf32>
    %5 = transom.slice %4 axis 1 start 0 size 1 : (tensor<?x?x64xf32>) -> tensor<?x1x64xf32>
    %w = transom.weight "w" : tensor<64x64xf32>
    %6 = transom.matmul %5, %w transpose_rhs : (tensor<?x1x64xf32>, tensor<64x64xf32>) -> tensor<?x1x64xf32>
    %7 = transom.abs %6 : (tensor<?x1x64xf32>) -> tensor<?x1x64xf32>
    return %1, %7 : tensor<?x?xi32>, tensor<?x1x64xf32>
  }
}

//--- apart.mlir
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 32]}} {
  // Sums that are read twice, that go along columns, or that meet numbers which are made behind them.
  // CHECK-LABEL: // program main
  // CHECK-NEXT: // launch cumulative_sum_i32<
  // CHECK-NEXT: // launch mul_i32<
  // CHECK-NEXT: // launch add_i32<
  // CHECK-NEXT: // launch cumulative_sum_i32_2<
  // CHECK-NEXT: // launch mul_i32<
  // CHECK-NEXT: // launch cumulative_sum_i32<
  // CHECK-NEXT: // launch mul_i32_2<
  // CHECK-NEXT: // launch add_i32<
  func.func @main(%m: tensor<?x?xi32> {transom.name = "m", transom.dims = ["batch", "seq"]})
      -> (tensor<?x?xi32> {transom.name = "a"}, tensor<?x?xi32> {transom.name = "b"}, tensor<?x?xi32> {transom.name = "c"}, tensor<?x?xi32> {transom.name = "d"}) {
    %0 = transom.cumulative_sum %m axis 1 : (tensor<?x?xi32>) -> tensor<?x?xi32>
    %1 = transom.mul %0, %m : (tensor<?x?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
    %2 = transom.add %0, %m : (tensor<?x?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
    %3 = transom.cumulative_sum %m axis 0 : (tensor<?x?xi32>) -> tensor<?x?xi32>
    %4 = transom.mul %3, %m : (tensor<?x?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
    %5 = transom.cumulative_sum %m axis 1 : (tensor<?x?xi32>) -> tensor<?x?xi32>
    %6 = transom.mul %m, %m : (tensor<?x?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
    %7 = transom.add %5, %6 : (tensor<?x?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
    return %1, %2, %4, %7 : tensor<?x?xi32>, tensor<?x?xi32>, tensor<?x?xi32>, tensor<?x?xi32>
  }
}
