// RUN: split-file %s %t
// DEFINE: %{plan} = transom-opt -lower-to-plan=activations=f16 -plan-memory
// RUN: %{plan} %t/one.mlir -o %t/one.plan && FileCheck %t/one.mlir --check-prefix=PLAN < %t/one.plan && transom-opt --print-cuda %t/one.plan | FileCheck %t/one.mlir
// RUN: %{plan} %t/apart.mlir | transom-opt --print-cuda - | FileCheck %t/apart.mlir
// Sums along rows, with an op on each of them in the same kernel: places of tokens are sums times the mask.

//--- one.mlir
module attributes {transom.bounds = {batch = [1, 4], seq = [1, 32]}} {
  // The places lie neither over what is summed, though the step that the plan has for them comes after it, nor over the sums.
  // PLAN: [[M:%[0-9]+]] = plan.buffer arena shape ["batch", "seq"] bytes 512 offset 0 :
  // PLAN: [[S:%[0-9]+]] = plan.buffer arena shape ["batch", "seq"] bytes 512 offset 512 :
  // PLAN: plan.launch @cumulative_sum_i32 ins([[M]]) outs([[S]])
  // PLAN: [[P:%[0-9]+]] = plan.buffer arena shape ["batch", "seq"] bytes 512 offset 1024 :
  // PLAN: plan.launch @fused_i32 ins([[S]], [[M]]) outs([[P]])
  // CHECK-LABEL: // cumulative_sum_i32_fused_i32 block 256
  // CHECK: cumulativeSum<int>(length, [&](int64 c) { return b0[row * length + c]; }, [&](int64 c, auto total) {
  // CHECK-NEXT: int [[V:v[0-9]+]] = wrapMul(total, b0[row * length + c]);
  // CHECK-NEXT: int [[P:v[0-9]+]] = wrapAdd([[V]], 1);
  // CHECK-NEXT: b1[row * length + c] = [[P]];
  // CHECK-LABEL: // program main
  // CHECK-NEXT: // launch mul_i32<
  // CHECK-NEXT: // launch cumulative_sum_i32_fused_i32<
  // CHECK-NEXT: // launch mul_i32
  func.func @main(%m: tensor<?x?xi32> {transom.name = "m", transom.dims = ["batch", "seq"]}) -> (tensor<?x?xi32> {transom.name = "places"}) {
    %0 = transom.mul %m, %m : (tensor<?x?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
    %1 = transom.cumulative_sum %0 axis 1 : (tensor<?x?xi32>) -> tensor<?x?xi32>
    %2 = transom.fused(%1, %0) {
    ^bb0(%s: i32, %v: i32):
      %one = arith.constant 1 : i32
      %3 = arith.muli %s, %v : i32
      %4 = arith.addi %3, %one : i32
      transom.yield %4 : i32
    } : (tensor<?x?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
    %5 = transom.mul %2, %2 : (tensor<?x?xi32>, tensor<?x?xi32>) -> tensor<?x?xi32>
    return %5 : tensor<?x?xi32>
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
