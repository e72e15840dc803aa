// RUN: transom-opt %s -lower-to-plan=activations=bf16 -plan-memory -o %t.plan && transom-opt --print-cuda %t.plan | FileCheck %s
// Ops with kernels of their own: a thread for each element, or a block for each reduction, for any sizes.

module attributes {transom.bounds = {batch = [1, 4], seq = [1, 100], tokens = [0, 400]}} {
  // Broadcasting by sizes that are known only when it runs.
  // CHECK-LABEL: // sub_20 block 256 shared 0
  // CHECK: const int64 count = 20 * symbols[0] * symbols[1];
  // CHECK: = b0[i];
  // CHECK-NEXT: = b1[i0 + ((symbols[0]) == 1 ? 0 : i4) * (20)];

  // A mean over the middle dimension by a thread for each result, and a maximum over all by a block, with the numbers' own type.
  // CHECK-LABEL: // reduce_20 block 256 shared 0
  // CHECK: for (int64 c = 0; c < (symbols[1]); c += 1) {
  // CHECK: total = total + b0[
  // CHECK: b1[i] = total / (float)(symbols[1]);
  // CHECK-LABEL: // reduce_i32 block 256 shared 0
  // CHECK: int total = (-2147483647 - 1);
  // CHECK: for (int64 c = threadIdx.x; c < (symbols[0] * symbols[1]); c += 256) {

  // Padding removed and put back: unpack looks for each place in the index, and finds zeros where it is missing. What is packed has 16
  // bits, but for what a result is unpacked from.
  // CHECK-LABEL: // valid_tokens_i32 block 1024 shared 0
  // CHECK: validTokens<1024>((symbols[0]), (symbols[1]), [&](int64 i) { return b2[i] != 0; }, b0, b1);
  // CHECK-LABEL: // pack_20 block 256 shared 0
  // CHECK: b2[i] = fromFloat<BFloat>(b1[(int64)b0[i / (20)] * (20) + i % (20)]);
  // CHECK-LABEL: // exp_20 block
  // CHECK: exp_20(const BFloat *b0, float *b1,
  // CHECK-LABEL: // unpack_20 block 256 shared 0
  // CHECK: const bool found = low < (symbols[2]) && b0[low] == place;
  // CHECK: b2[i] = 0.0f;
  // CHECK-LABEL: // reduce_packed_20 block 256 shared 0
  // CHECK: total = last > first ? total / (float)(last - first) : 0.0f;

  // CHECK-LABEL: // transpose_20 block 256 shared 0
  // CHECK: b1[i] = b0[i4 + i0 * (20) + i2 * (20 * symbols[1])];
  // CHECK-LABEL: // argmax_i32 block 256 shared 0
  // CHECK: (v != v ? 0u : orderKey(v)) << 32 | (uint32)~(uint32)c;

  // A warp for each row where the sum is of neighbours, else a thread for each of the others.
  // CHECK-LABEL: // cumulative_sum_i32 block 256 shared 0
  // CHECK: const int64 row = (int64)blockIdx.x * 8 + warpId(), length = (symbols[1]);
  // CHECK: cumulativeSum<int>(length, [&](int64 c) { return b0[row * length + c]; }, [&](int64 c, auto total) {
  // CHECK-NEXT: b1[row * length + c] = total;
  // CHECK-LABEL: // cumulative_sum_i32_2 block 256 shared 0
  // CHECK: for (int64 c = 0; c < (symbols[0]); ++c) {
  // CHECK-NEXT: total += b0[first + c * (symbols[1])];
  // CHECK-NEXT: b1[first + c * (symbols[1])] = total;

  // The number of tokens is known to the host before the GPU runs.
  // CHECK-LABEL: // program main
  // CHECK: // launch valid_tokens_i32<1> rows 1
  // CHECK-NEXT: // size tokens of input mask
  // CHECK-NEXT: // launch pack_20<20*tokens / 256> rows 20*tokens
  func.func @main(%x: tensor<?x?x20xf32> {transom.name = "x", transom.dims = ["batch", "seq", "20"]}, %m: tensor<?x?xi32> {transom.name = "mask", transom.dims = ["batch", "seq"]},
                  %o: tensor<?x1x20xf32> {transom.name = "o", transom.dims = ["batch", "1", "20"]})
      -> (tensor<?x?x20xf32> {transom.name = "sum"}, tensor<?x20xf32> {transom.name = "mean"}, tensor<i32> {transom.name = "most"},
          tensor<?x?x20xf32> {transom.name = "back"}, tensor<?x20xf32> {transom.name = "pooled"}, tensor<20x?x?xf32> {transom.name = "turned"}, tensor<?x?xi32> {transom.name = "best"}, tensor<?x?xi32> {transom.name = "places"}, tensor<?x?xi32> {transom.name = "sums"}) {
    %0 = transom.sub %x, %o : (tensor<?x?x20xf32>, tensor<?x1x20xf32>) -> tensor<?x?x20xf32>
    %1 = transom.reduce mean %x axes [1] : (tensor<?x?x20xf32>) -> tensor<?x20xf32>
    %2 = transom.reduce max %m axes [0, 1] : (tensor<?x?xi32>) -> tensor<i32>
    %i, %c = transom.valid_tokens %m size "tokens" : (tensor<?x?xi32>) -> (tensor<?xi32>, tensor<?xi32>)
    %3 = transom.pack %x, %i : (tensor<?x?x20xf32>, tensor<?xi32>) -> tensor<?x20xf32>
    %4 = transom.exp %3 : (tensor<?x20xf32>) -> tensor<?x20xf32>
    %5 = transom.unpack %4, %i like %x : (tensor<?x20xf32>, tensor<?xi32>, tensor<?x?x20xf32>) -> tensor<?x?x20xf32>
    %6 = transom.reduce_packed mean %4, %c : (tensor<?x20xf32>, tensor<?xi32>) -> tensor<?x20xf32>
    %7 = transom.transpose %x [2, 0, 1] : (tensor<?x?x20xf32>) -> tensor<20x?x?xf32>
    %8 = transom.argmax %x : (tensor<?x?x20xf32>) -> tensor<?x?xi32>
    %9 = transom.cumulative_sum %m axis 1 : (tensor<?x?xi32>) -> tensor<?x?xi32>
    %10 = transom.cumulative_sum %m axis 0 : (tensor<?x?xi32>) -> tensor<?x?xi32>
    return %0, %1, %2, %5, %6, %7, %8, %9, %10 : tensor<?x?x20xf32>, tensor<?x20xf32>, tensor<i32>, tensor<?x?x20xf32>, tensor<?x20xf32>, tensor<20x?x?xf32>, tensor<?x?xi32>, tensor<?x?xi32>, tensor<?x?xi32>
  }
}
