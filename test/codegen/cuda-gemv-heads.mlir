// RUN: transom-opt %s -lower-to-plan=activations=bf16 -plan-memory -o %t.plan && transom-opt --print-cuda %t.plan | FileCheck %s
// Products whose epilogue turns heads: which rows of the matrix a block takes follows from which numbers turn together.

module attributes {transom.bounds = {rows = [1, 1]}} {
  // The halves of a head (HeadPairs): queries to memory, keys and values to the caches. What the epilogue reads is loaded early, angles
  // are computed while the product is under way.
  // CHECK-LABEL: // gemv_rms_norm_rotary_cache_append_bf16_512x256_m1 block
  // CHECK: DEVICE Early constants(int n) const {
  // CHECK: DEVICE void early(Early &e, int m, int n) const {
  // CHECK: if (n >= 0 && n < 256) {
  // CHECK-NEXT: e.[[POSITION:i[0-9]+]] = (int)b3[m];
  // CHECK: if (n >= 256 && n < 384) {
  // CHECK: int [[SLOT:slot[0-9]+]] = {{.*}} < b5[{{.*}}] ? b3[{{.*}}] + {{.*}} : -1;
  // CHECK: e.[[BATCH:i[0-9]+]] = {{.*}}, e.[[PLACE:i[0-9]+]] = [[SLOT]];
  // CHECK: if (n >= 384 && n < 512) {
  // CHECK: DEVICE void prepare(Early &e, int n) const {
  // CHECK: = rotaryAngle(e.[[POSITION]],
  // CHECK: DEVICE void store(
  // CHECK: other = {{.*}}__shfl_xor_sync(~0u, v, 8)
  // CHECK: own.v[0] * {{.*}}.cosine + ((n % 64) < 32 ? -other.v[0] : other.v[0]) * {{.*}}.sine;
  // CHECK-NEXT: storeLanes(b4 + (int64)m * 256 + n,
  // CHECK: storeLanes(b6 + (((int64)e.[[BATCH]] * 2 + (n - 256) / 64) * 128 + e.[[PLACE]]) * 64 + (n - 256) % 64, x
  // CHECK: storeLanes(b7 + {{.*}}, own);
  // CHECK: GemvShape<PlainFormat<BFloat, 256>, 512, 1, 2, 8, 1, HeadPairs<64, 64>>;
  // CHECK: Shape::blocks == 32
  func.func @halves(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]},
                    %p: tensor<?xi32> {transom.name = "past_lengths", transom.dims = ["rows"]},
                    %l: tensor<?xi32> {transom.name = "lengths", transom.dims = ["rows"]},
                    %k: !transom.cache<?x2x128x64xf32> {transom.name = "keys", transom.dims = ["rows", "2", "128", "64"]},
                    %v: !transom.cache<?x2x128x64xf32> {transom.name = "values", transom.dims = ["rows", "2", "128", "64"]})
      -> (tensor<?x4x64xf32> {transom.name = "q"}, !transom.cache<?x2x128x64xf32> {transom.name = "keys"}, !transom.cache<?x2x128x64xf32> {transom.name = "values"}) {
    %e = transom.exp %x : (tensor<?x256xf32>) -> tensor<?x256xf32>
    %s = transom.weight "norm" : tensor<256xf32>
    %w = transom.weight "qkv" : tensor<512x256xbf16>
    %q, %k1, %v1 = transom.group (%e, %s, %w, %p, %k, %v, %p, %l) {
    ^bb0(%x0: tensor<?x256xf32>, %s0: tensor<256xf32>, %w0: tensor<512x256xbf16>, %at: tensor<?xi32>, %k0: !transom.cache<?x2x128x64xf32>, %v0: !transom.cache<?x2x128x64xf32>, %p0: tensor<?xi32>, %l0: tensor<?xi32>):
      %0 = transom.rms_norm %x0, %s0 epsilon 1.0e-05 : (tensor<?x256xf32>, tensor<256xf32>) -> tensor<?x256xf32>
      %1 = transom.matmul %0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<512x256xbf16>) -> tensor<?x512xf32>
      %2 = transom.slice %1 axis 1 start 0 size 256 : (tensor<?x512xf32>) -> tensor<?x256xf32>
      %3 = transom.reshape %2 [0, 4, 64] : (tensor<?x256xf32>) -> tensor<?x4x64xf32>
      %4 = transom.rotary thd %3, %at dims 64 base 10000.0 : (tensor<?x4x64xf32>, tensor<?xi32>) -> tensor<?x4x64xf32>
      %5 = transom.slice %1 axis 1 start 256 size 128 : (tensor<?x512xf32>) -> tensor<?x128xf32>
      %6 = transom.reshape %5 [0, 2, 64] : (tensor<?x128xf32>) -> tensor<?x2x64xf32>
      %7 = transom.rotary thd %6, %at dims 64 base 10000.0 : (tensor<?x2x64xf32>, tensor<?xi32>) -> tensor<?x2x64xf32>
      %8 = transom.reshape %7 [0, 1, 2, 64] : (tensor<?x2x64xf32>) -> tensor<?x1x2x64xf32>
      %9 = transom.cache_append bshd %k0, %8 past %p0 lengths %l0 : (!transom.cache<?x2x128x64xf32>, tensor<?x1x2x64xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x2x128x64xf32>
      %10 = transom.slice %1 axis 1 start 384 size 128 : (tensor<?x512xf32>) -> tensor<?x128xf32>
      %11 = transom.reshape %10 [0, 1, 2, 64] : (tensor<?x128xf32>) -> tensor<?x1x2x64xf32>
      %12 = transom.cache_append bshd %v0, %11 past %p0 lengths %l0 : (!transom.cache<?x2x128x64xf32>, tensor<?x1x2x64xf32>, tensor<?xi32>, tensor<?xi32>) -> !transom.cache<?x2x128x64xf32>
      transom.yield %4, %9, %12 : tensor<?x4x64xf32>, !transom.cache<?x2x128x64xf32>, !transom.cache<?x2x128x64xf32>
    } : (tensor<?x256xf32>, tensor<256xf32>, tensor<512x256xbf16>, tensor<?xi32>, !transom.cache<?x2x128x64xf32>, !transom.cache<?x2x128x64xf32>, tensor<?xi32>, tensor<?xi32>) -> (tensor<?x4x64xf32>, !transom.cache<?x2x128x64xf32>, !transom.cache<?x2x128x64xf32>)
    return %q, %k1, %v1 : tensor<?x4x64xf32>, !transom.cache<?x2x128x64xf32>, !transom.cache<?x2x128x64xf32>
  }
  // Neighbours turn together, 32 numbers of 64; the rest stays as it is. The bias of the partner's column is read as well.
  // CHECK-LABEL: // gemv_add_rotary_bf16_256x256_m1 block
  // CHECK: e.[[OWN:f[0-9]+]].v[0] = b2[n];
  // CHECK: e.[[OTHER:f[0-9]+]].v[0] = b2[((n ^ 1))];
  // CHECK: other = {{.*}}__shfl_xor_sync(~0u, v, 1)
  // CHECK: = own.v[0] + e.[[OWN]].v[0];
  // CHECK: = other.v[0] + e.[[OTHER]].v[0];
  // CHECK: = (n % 64) >= 32 ? SinCos{0.0f, 1.0f} : e.
  // CHECK: ((n % 64) % 2 == 0 ? -
  // CHECK: GemvShape<PlainFormat<BFloat, 256>, 256, 1, 1, 8, 1, NeighbourPairs>;
  func.func @neighbours(%x: tensor<?x256xf32> {transom.name = "x", transom.dims = ["rows", "256"]},
                        %p: tensor<?xi32> {transom.name = "positions", transom.dims = ["rows"]}) -> (tensor<?x4x64xf32> {transom.name = "q"}) {
    %e = transom.exp %x : (tensor<?x256xf32>) -> tensor<?x256xf32>
    %w = transom.weight "q" : tensor<256x256xbf16>
    %b = transom.weight "bias" : tensor<256xf32>
    %q = transom.group (%e, %w, %b, %p) {
    ^bb0(%x0: tensor<?x256xf32>, %w0: tensor<256x256xbf16>, %b0: tensor<256xf32>, %p0: tensor<?xi32>):
      %1 = transom.matmul %x0, %w0 transpose_rhs : (tensor<?x256xf32>, tensor<256x256xbf16>) -> tensor<?x256xf32>
      %2 = transom.add %1, %b0 : (tensor<?x256xf32>, tensor<256xf32>) -> tensor<?x256xf32>
      %3 = transom.reshape %2 [0, 4, 64] : (tensor<?x256xf32>) -> tensor<?x4x64xf32>
      %4 = transom.rotary thd %3, %p0 dims 32 base 10000.0 interleaved : (tensor<?x4x64xf32>, tensor<?xi32>) -> tensor<?x4x64xf32>
      transom.yield %4 : tensor<?x4x64xf32>
    } : (tensor<?x256xf32>, tensor<256x256xbf16>, tensor<256xf32>, tensor<?xi32>) -> tensor<?x4x64xf32>
    return %q : tensor<?x4x64xf32>
  }
}
