// RUN: transom-opt %s -lower-to-plan=activations=bf16 -plan-memory -o %t.plan && transom-opt --print-cuda %t.plan | FileCheck %s
// RUN: sed 's/rows = \[1, 40\]/rows = [1, 4096]/' %s | transom-opt -lower-to-plan=activations=bf16 -plan-memory -o %t.many && transom-opt --print-cuda %t.many | FileCheck %s --check-prefix=MANY
// Ops on rows: a block for each row, eight columns to a thread at once where sizes allow, everything between in registers.

module attributes {transom.bounds = {batch = [1, 4], rows = [1, 40], seq = [1, 10]}} {
  // Both results lie where operands lay: they wait in registers until every thread has read.
  // CHECK-LABEL: // add_rms_norm_512 block 64 shared 0
  // CHECK: add_rms_norm_512(const BFloat *b0, const BFloat *b1, const float *b2, BFloat *b3, BFloat *b4, const int64 *symbols) {
  // CHECK: const int64 rows = symbols[1];
  // CHECK: Lanes<8> [[SUM:n[0-9]+]][1];
  // CHECK: float {{.*}} = x{{[0-9]+}}.v[e] + x{{[0-9]+}}.v[e];
  // CHECK-NOT: storeLanes
  // CHECK: const float [[FACTOR:.*]] = 1.0f / sqrtf(blockSum<2>({{.*}}, scratch) / 512 + 1e-05f);
  // CHECK: Lanes<8> [[NORM:h[0-9]+]][1];
  // CHECK: [[SUM]][{{.*}}].v[e] * [[FACTOR]] * x{{[0-9]+}}.v[e];
  // CHECK-NOT: storeLanes
  // CHECK: __syncthreads();
  // CHECK: storeLanes(b3 + row * 512 + {{.*}}, [[SUM]][
  // CHECK: storeLanes(b4 + row * 512 + {{.*}}, [[NORM]][
  // Of many rows with a norm a block takes four at once: weights are read first, then all four rows, and their sums share barriers.
  // MANY-LABEL: // add_rms_norm_512 block 64 shared 0
  // MANY-LABEL: // add_rms_norm_512_many block 64 shared 0
  // MANY: __launch_bounds__(64, 12)
  // MANY: const int64 last = rows - 1 - (int64)blockIdx.x * 4;
  // MANY: [[SCALE:w[0-9]+]][p] = storedAt<8>(b2 +
  // MANY: waitProducers();
  // MANY: const int64 row = last > r ? last - r : 0;
  // MANY-NOT: storeLanes
  // MANY: blockSums<2>([[SQUARES:squares[0-9]+]], scratch);
  // MANY: [[FACTOR:factor[0-9]+]][r] = 1.0f / sqrtf([[SQUARES]][r] / 512 + 1e-05f);
  // MANY: lanesOf<float>([[SCALE]][0]);
  // MANY: = n{{[0-9]+}}[r].v[e] * [[FACTOR]][r] * x
  // MANY: __syncthreads();
  // MANY: storeLanes(b3 + row * 512 +
  // MANY-LABEL: // rotary_cache_append_6x64 block 64
  // MANY: // launch add_rms_norm_512<rows> add_rms_norm_512_many<rows / 4> rows rows (group)
  // MANY: // launch rotary_cache_append_6x64<batch*seq> rows batch*seq (group)
  func.func @in_place(%x: tensor<?x512xf32> {transom.name = "x", transom.dims = ["rows", "512"]}) -> (tensor<?x512xf32> {transom.name = "y"}) {
    %s = transom.weight "norm" : tensor<512xf32>
    %a = transom.exp %x : (tensor<?x512xf32>) -> tensor<?x512xf32>
    %b = transom.neg %x : (tensor<?x512xf32>) -> tensor<?x512xf32>
    %h, %n = transom.group (%a, %b, %s) {
    ^bb0(%x0: tensor<?x512xf32>, %r: tensor<?x512xf32>, %s0: tensor<512xf32>):
      %0 = transom.add %x0, %r : (tensor<?x512xf32>, tensor<?x512xf32>) -> tensor<?x512xf32>
      %1 = transom.rms_norm %0, %s0 epsilon 1.0e-05 : (tensor<?x512xf32>, tensor<512xf32>) -> tensor<?x512xf32>
      transom.yield %0, %1 : tensor<?x512xf32>, tensor<?x512xf32>
    } : (tensor<?x512xf32>, tensor<?x512xf32>, tensor<512xf32>) -> (tensor<?x512xf32>, tensor<?x512xf32>)
    %y = transom.mul %h, %n : (tensor<?x512xf32>, tensor<?x512xf32>) -> tensor<?x512xf32>
    return %y : tensor<?x512xf32>
  }
  // A result in memory of its own is written as it is computed. 100 columns: four at once, by one warp.
  // CHECK-LABEL: // layer_norm_100 block 32 shared 0
  // CHECK: const float [[MEAN:mean[0-9]+]] = blockSum<1>({{.*}}, scratch) / 100;
  // CHECK: const float v = n{{[0-9]+}}[{{.*}}].v[e] - [[MEAN]];
  // CHECK: + 1e-12f);
  // CHECK-NOT: __syncthreads
  // CHECK: storeLanes(b3 + row * 100 + c{{[0-9]+}}, x{{[0-9]+}});
  func.func @layer(%x: tensor<?x100xf32> {transom.name = "x", transom.dims = ["rows", "100"]}) -> (tensor<?x100xf32> {transom.name = "y"}) {
    %s = transom.weight "scale" : tensor<100xf32>
    %b = transom.weight "bias" : tensor<100xf32>
    %y = transom.layer_norm %x, %s, %b epsilon 1.0e-12 : (tensor<?x100xf32>, tensor<100xf32>, tensor<100xf32>) -> tensor<?x100xf32>
    return %y : tensor<?x100xf32>
  }
  // Queries and keys turn by one table of angles. A key goes to the cache's slot of its token; behind the live tokens and behind the
  // capacity it goes nowhere.
  // CHECK-LABEL: // rotary_cache_append_6x64 block 64 shared 0
  // CHECK: __device__ const double [[TURNS:.*]][32] = {0.15915494309189535, 0.11934937021124886,
  // CHECK: __shared__ SinCos [[ANGLES:.*]][32];
  // CHECK: [[ANGLES]][i] = rotaryAngle(b0[row], [[TURNS]][i]);
  // CHECK-NOT: rotaryAngle
  // CHECK: storeLanes(b2 + row * 384 +
  // CHECK: int [[SLOT:slot[0-9]+]] = [[TOKEN:token[0-9]+]] < b4[[[BATCH:batch[0-9]+]]] ? b3[[[BATCH]]] + [[TOKEN]] : -1;
  // CHECK-NEXT: if ([[SLOT]] >= 64)
  // CHECK-NEXT: [[SLOT]] = -1;
  // CHECK: = loadLanes<8>(b1 + (int64)row * 512 + ([[OWN:c[0-9]+]] + 384));
  // CHECK: const int [[OTHER:c[0-9]+]] = ([[OWN]] + (d{{[0-9]+}} < 32 ? 32 : d{{[0-9]+}} < 64 ? -32 : 0));
  // CHECK: = loadLanes<8>(b1 + (int64)row * 512 + ([[OTHER]] + 384));
  // CHECK: = [[ANGLES]][
  // CHECK: if ([[SLOT]] >= 0)
  // CHECK-NEXT: storeLanes(b5 + (((int64)[[BATCH]] * 2 + c{{[0-9]+}} / 64) * 64 + [[SLOT]]) * 64 + c{{[0-9]+}} % 64,
  func.func @rotary(%x: tensor<?x?x512xf32> {transom.name = "x", transom.dims = ["batch", "seq", "512"]},
                    %ps: tensor<?x?xi32> {transom.name = "positions", transom.dims = ["batch", "seq"]},
                    %p: tensor<?xi32> {transom.name = "past_lengths", transom.dims = ["batch"]},
                    %l: tensor<?xi32> {transom.name = "lengths", transom.dims = ["batch"]},
                    %k: !transom.cache<?x2x64x64xf32> {transom.name = "keys", transom.dims = ["batch", "2", "64", "64"]})
      -> (tensor<?x6x64xf32> {transom.name = "q"}, !transom.cache<?x2x64x64xf32> {transom.name = "keys"}) {
    %at = transom.reshape %ps [-1] : (tensor<?x?xi32>) -> tensor<?xi32>
    %r = transom.reshape %x [-1, 512] : (tensor<?x?x512xf32>) -> tensor<?x512xf32>
    %q, %c = transom.group (%r, %at, %x, %k, %p, %l) {
    ^bb0(%x0: tensor<?x512xf32>, %at0: tensor<?xi32>, %like: tensor<?x?x512xf32>, %k0: !transom.cache<?x2x64x64xf32>, %p0: tensor<?xi32>, %l0: tensor<?xi32>):
      %0 = transom.slice %x0 axis 1 start 0 size 384 : (tensor<?x512xf32>) -> tensor<?x384xf32>
      %1 = transom.reshape %0 [0, 6, 64] : (tensor<?x384xf32>) -> tensor<?x6x64xf32>
      %2 = transom.rotary thd %1, %at0 dims 64 base 10000.0 : (tensor<?x6x64xf32>, tensor<?xi32>) -> tensor<?x6x64xf32>
      %3 = transom.slice %x0 axis 1 start 384 size 128 : (tensor<?x512xf32>) -> tensor<?x128xf32>
      %4 = transom.reshape %3 [0, 2, 64] : (tensor<?x128xf32>) -> tensor<?x2x64xf32>
      %5 = transom.rotary thd %4, %at0 dims 64 base 10000.0 : (tensor<?x2x64xf32>, tensor<?xi32>) -> tensor<?x2x64xf32>
      %6 = transom.split_rows %5 like %like : (tensor<?x2x64xf32>, tensor<?x?x512xf32>) -> tensor<?x?x2x64xf32>
      %7 = transom.cache_append bshd %k0, %6 past %p0 lengths %l0 : (!transom.cache<?x2x64x64xf32>, tensor<?x?x2x64xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x2x64x64xf32>
      transom.yield %2, %7 : tensor<?x6x64xf32>, !transom.cache<?x2x64x64xf32>
    } : (tensor<?x512xf32>, tensor<?xi32>, tensor<?x?x512xf32>, !transom.cache<?x2x64x64xf32>, tensor<?xi32>, tensor<?xi32>) -> (tensor<?x6x64xf32>, !transom.cache<?x2x64x64xf32>)
    return %q, %c : tensor<?x6x64xf32>, !transom.cache<?x2x64x64xf32>
  }
  // A table of activations has as many rows as its size says.
  // CHECK-LABEL: // embedding_64 block 32 shared 0
  // CHECK: if ((int)b0[row] >= 0 && (int)b0[row] < symbols[1]) {
  func.func @chosen(%x: tensor<?x64xf32> {transom.name = "x", transom.dims = ["rows", "64"]},
                    %i: tensor<?xi32> {transom.name = "i", transom.dims = ["seq"]}) -> (tensor<?x64xf32> {transom.name = "y"}) {
    %e = transom.exp %x : (tensor<?x64xf32>) -> tensor<?x64xf32>
    %y = transom.embedding %e, %i : (tensor<?x64xf32>, tensor<?xi32>) -> tensor<?x64xf32>
    return %y : tensor<?x64xf32>
  }
}
// CHECK-LABEL: // program in_place
// CHECK: // launch add_rms_norm_512<rows> rows rows (group)
// CHECK-LABEL: // program rotary
// CHECK-NEXT: // launch rotary_cache_append_6x64<batch*seq> rows batch*seq (group)
