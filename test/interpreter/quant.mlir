// Quantised blocks. A block whose largest magnitude is 127 has scale 1 and holds whole numbers exactly.
// RUN: transom-opt --interpret %s | FileCheck %s

// 127 and 2.5 with scale 1: halves round away from zero. The second block: largest 254, scale 2: 3 is 1.5 scales, 4.
// CHECK-LABEL: @quantize
// CHECK-NEXT: tensor<64xf32>: [127, 3, -3, 1, 0, 0, {{.*}}, 254, 4, 2, 0, {{.*}}]
func.func @quantize() -> tensor<64xf32> {
  %a = transom.constant dense<[127.0, 2.5, -2.5, 1.2]> : tensor<4xf32>
  %b = transom.constant dense<[254.0, 3.0, 2.9, 0.9]> : tensor<4xf32>
  %a32 = transom.pad %a axis 0 before 0 after 28 : (tensor<4xf32>) -> tensor<32xf32>
  %b32 = transom.pad %b axis 0 before 0 after 28 : (tensor<4xf32>) -> tensor<32xf32>
  %x = transom.concat %a32, %b32 axis 0 : (tensor<32xf32>, tensor<32xf32>) -> tensor<64xf32>
  %q = transom.quantize %x to q8_0 : (tensor<64xf32>) -> tensor<64x!transom.block<q8_0>>
  %y = transom.dequantize %q to f32 : (tensor<64x!transom.block<q8_0>>) -> tensor<64xf32>
  return %y : tensor<64xf32>
}

// Rows of blocks move like rows of numbers; a product reads what they decode to: 127 * 1 + 3 * 2. Zeros have scale 0.
// CHECK-LABEL: @dequantize
// CHECK-NEXT: tensor<1x2xf32>: {{\[\[0, 133\]\]}}
// CHECK-NEXT: tensor<1x32xf16>: {{\[\[127, 3, 0, .*\]\]}}
func.func @dequantize() -> (tensor<1x2xf32>, tensor<1x32xf16>) {
  %a = transom.constant dense<[[127.0, 2.5], [0.0, 0.0]]> : tensor<2x2xf32>
  %x = transom.pad %a axis 1 before 0 after 30 : (tensor<2x2xf32>) -> tensor<2x32xf32>
  %q = transom.quantize %x to q8_0 : (tensor<2x32xf32>) -> tensor<2x32x!transom.block<q8_0>>
  %0 = transom.slice %q axis 0 start 0 size 1 : (tensor<2x32x!transom.block<q8_0>>) -> tensor<1x32x!transom.block<q8_0>>
  %1 = transom.slice %q axis 0 start 1 size 1 : (tensor<2x32x!transom.block<q8_0>>) -> tensor<1x32x!transom.block<q8_0>>
  %w = transom.concat %1, %0 axis 0
     : (tensor<1x32x!transom.block<q8_0>>, tensor<1x32x!transom.block<q8_0>>) -> tensor<2x32x!transom.block<q8_0>>
  %l = transom.constant dense<[[1.0, 2.0]]> : tensor<1x2xf32>
  %lhs = transom.pad %l axis 1 before 0 after 30 : (tensor<1x2xf32>) -> tensor<1x32xf32>
  %y = transom.matmul %lhs, %w transpose_rhs : (tensor<1x32xf32>, tensor<2x32x!transom.block<q8_0>>) -> tensor<1x2xf32>
  %z = transom.dequantize %0 to f16 : (tensor<1x32x!transom.block<q8_0>>) -> tensor<1x32xf16>
  return %y, %z : tensor<1x2xf32>, tensor<1x32xf16>
}

// Of each row the largest becomes 448: row 1 has scale 1, where 19 and 17 lie between two numbers, 20 and 16 the even ones, and 0.01 is 5 of 2^-9; row 2 has
// scale 2. With a scale of 2 for all rows 1000 is beyond 448 * 2, and 3 is 1.5 scales.
// CHECK-LABEL: @round_e4m3
// CHECK-NEXT: tensor<2x4xf32>: {{\[\[448, -20, 0.00976562, 16\], \[896, 36, -0, 2\]\]}}
// CHECK-NEXT: tensor<1x4xf32>: {{\[\[896, -896, 3, nan\]\]}}
func.func @round_e4m3() -> (tensor<2x4xf32>, tensor<1x4xf32>) {
  %x = transom.constant dense<[[448.0, -19.0, 0.01, 17.0], [896.0, 37.0, -0.001, 2.0]]> : tensor<2x4xf32>
  %0 = transom.round_e4m3 %x : (tensor<2x4xf32>) -> tensor<2x4xf32>
  %y = transom.constant dense<[[1000.0, -900.0, 3.0, 0x7FC00000]]> : tensor<1x4xf32>
  %s = transom.constant dense<2.0> : tensor<f32>
  %1 = transom.round_e4m3 %y scale %s : (tensor<1x4xf32>, tensor<f32>) -> tensor<1x4xf32>
  return %0, %1 : tensor<2x4xf32>, tensor<1x4xf32>
}

// A cast to 8 bits rounds alike, without a scale; a product reads its numbers: 448 * 1 + 1.125 * 2.
// CHECK-LABEL: @cast_e4m3
// CHECK-NEXT: tensor<1x2xf8e4m3>: {{\[\[448, 1.125\]\]}}
// CHECK-NEXT: tensor<1x1xf32>: {{\[\[450.25\]\]}}
func.func @cast_e4m3() -> (tensor<1x2xf8E4M3FN>, tensor<1x1xf32>) {
  %x = transom.constant dense<[[500.0, 1.1]]> : tensor<1x2xf32>
  %w = transom.cast %x to f8E4M3FN : (tensor<1x2xf32>) -> tensor<1x2xf8E4M3FN>
  %l = transom.constant dense<[[1.0, 2.0]]> : tensor<1x2xf32>
  %y = transom.matmul %l, %w transpose_rhs : (tensor<1x2xf32>, tensor<1x2xf8E4M3FN>) -> tensor<1x1xf32>
  return %w, %y : tensor<1x2xf8E4M3FN>, tensor<1x1xf32>
}
