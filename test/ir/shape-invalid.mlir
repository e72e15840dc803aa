// Ops that move numbers. Each numbered constraint, violated.
// RUN: transom-opt %s -split-input-file -verify-diagnostics

// two -1
func.func @reshape_c1(%x: tensor<4xf32>) {
  // expected-error@+2 {{'transom.reshape' op C1: entry 1 of the shape, -1, is not allowed}}
  // expected-error@+1 {{'transom.reshape' op failed to infer returned types}}
  %0 = transom.reshape %x [-1, -1] : (tensor<4xf32>) -> tensor<2x2xf32>
  return
}

// -----

// negative
func.func @reshape_c1_2(%x: tensor<4xf32>) {
  // expected-error@+2 {{'transom.reshape' op C1: entry 0 of the shape, -2, is not allowed}}
  // expected-error@+1 {{'transom.reshape' op failed to infer returned types}}
  %0 = transom.reshape %x [-2, 2] : (tensor<4xf32>) -> tensor<2x2xf32>
  return
}

// -----

// 0 without an input dimension
func.func @reshape_c1_3(%x: tensor<4xf32>) {
  // expected-error@+2 {{'transom.reshape' op C1: entry 1 of the shape, 0, is not allowed}}
  // expected-error@+1 {{'transom.reshape' op failed to infer returned types}}
  %0 = transom.reshape %x [4, 0] : (tensor<4xf32>) -> tensor<4x1xf32>
  return
}

// -----

func.func @reshape_c2(%x: tensor<4xf32>) {
  // expected-error@+2 {{'transom.reshape' op C2: 4 elements do not fill a shape with 3 a row}}
  // expected-error@+1 {{'transom.reshape' op failed to infer returned types}}
  %0 = transom.reshape %x [3, -1] : (tensor<4xf32>) -> tensor<3x1xf32>
  return
}

// -----

// behind a dimension that is kept
func.func @reshape_c2_2(%x: tensor<?x4xf32>) {
  // expected-error@+2 {{'transom.reshape' op C2: [?, 4] and [?, 5] differ in elements}}
  // expected-error@+1 {{'transom.reshape' op failed to infer returned types}}
  %0 = transom.reshape %x [0, 5] : (tensor<?x4xf32>) -> tensor<?x5xf32>
  return
}

// -----

func.func @transpose_c1(%x: tensor<2x3xf32>) {
  // expected-error@+2 {{'transom.transpose' op C1: expected each of 0 to 1 once, found 0}}
  // expected-error@+1 {{'transom.transpose' op failed to infer returned types}}
  %0 = transom.transpose %x [0, 0] : (tensor<2x3xf32>) -> tensor<2x2xf32>
  return
}

// -----

func.func @transpose_c1_2(%x: tensor<2x3xf32>) {
  // expected-error@+2 {{'transom.transpose' op C1: expected 2 dimensions, found 1}}
  // expected-error@+1 {{'transom.transpose' op failed to infer returned types}}
  %0 = transom.transpose %x [0] : (tensor<2x3xf32>) -> tensor<2xf32>
  return
}

// -----

func.func @transpose_c2(%x: tensor<32x64x!transom.block<q8_0>>) {
  // expected-error@+2 {{'transom.transpose' op C2: quantised blocks stay in the last dimension}}
  // expected-error@+1 {{'transom.transpose' op failed to infer returned types}}
  %0 = transom.transpose %x [1, 0] : (tensor<32x64x!transom.block<q8_0>>) -> tensor<64x32x!transom.block<q8_0>>
  return
}

// -----

func.func @slice_c1(%x: tensor<4xf32>) {
  // expected-error@+2 {{'transom.slice' op C1: axis 1 is not a dimension of a tensor of rank 1}}
  // expected-error@+1 {{'transom.slice' op failed to infer returned types}}
  %0 = transom.slice %x axis 1 start 0 size 1 : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @slice_c2(%x: tensor<4xf32>) {
  // expected-error@+2 {{'transom.slice' op C2: start 1 size 4 leaves dimension 0 of [4]}}
  // expected-error@+1 {{'transom.slice' op failed to infer returned types}}
  %0 = transom.slice %x axis 0 start 1 size 4 : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @slice_c2_2(%x: tensor<4xf32>) {
  // expected-error@+2 {{'transom.slice' op C2: start -1 size 2 leaves dimension 0 of [4]}}
  // expected-error@+1 {{'transom.slice' op failed to infer returned types}}
  %0 = transom.slice %x axis 0 start -1 size 2 : (tensor<4xf32>) -> tensor<2xf32>
  return
}

// -----

func.func @slice_c2_3(%x: tensor<4xf32>) {
  // expected-error@+2 {{'transom.slice' op C2: start 0 size 0 leaves dimension 0 of [4]}}
  // expected-error@+1 {{'transom.slice' op failed to infer returned types}}
  %0 = transom.slice %x axis 0 start 0 size 0 : (tensor<4xf32>) -> tensor<0xf32>
  return
}

// -----

func.func @slice_c3(%x: tensor<32x64x!transom.block<q8_0>>) {
  // expected-error@+2 {{'transom.slice' op C3: expected whole blocks of 32, found start 16 size 32}}
  // expected-error@+1 {{'transom.slice' op failed to infer returned types}}
  %0 = transom.slice %x axis 1 start 16 size 32 : (tensor<32x64x!transom.block<q8_0>>) -> tensor<32x32x!transom.block<q8_0>>
  return
}

// -----

// blocks of 256
func.func @slice_c3_2(%x: tensor<1x512x!transom.block<q4_k>>) {
  // expected-error@+2 {{'transom.slice' op C3: expected whole blocks of 256, found start 32 size 256}}
  // expected-error@+1 {{'transom.slice' op failed to infer returned types}}
  %0 = transom.slice %x axis 1 start 32 size 256 : (tensor<1x512x!transom.block<q4_k>>) -> tensor<1x256x!transom.block<q4_k>>
  return
}

// -----

func.func @concat_c1(%x: tensor<4xf32>) {
  // expected-error@+2 {{'transom.concat' op C1: axis 1 is not a dimension of a tensor of rank 1}}
  // expected-error@+1 {{'transom.concat' op failed to infer returned types}}
  %0 = transom.concat %x, %x axis 1 : (tensor<4xf32>, tensor<4xf32>) -> tensor<8xf32>
  return
}

// -----

func.func @concat_c2(%x: tensor<2x4xf32>, %y: tensor<2x5xf32>) {
  // expected-error@+2 {{'transom.concat' op C2: expected inputs alike but along the axis, one of shape [2, 4], found [2, 5]}}
  // expected-error@+1 {{'transom.concat' op failed to infer returned types}}
  %0 = transom.concat %x, %y axis 0 : (tensor<2x4xf32>, tensor<2x5xf32>) -> tensor<4x4xf32>
  return
}

// -----

// ranks
func.func @concat_c2_2(%x: tensor<2x4xf32>, %y: tensor<2xf32>) {
  // expected-error@+2 {{'transom.concat' op C2: expected inputs alike but along the axis, one of shape [2, 4], found [2]}}
  // expected-error@+1 {{'transom.concat' op failed to infer returned types}}
  %0 = transom.concat %x, %y axis 0 : (tensor<2x4xf32>, tensor<2xf32>) -> tensor<4x4xf32>
  return
}

// -----

func.func @concat_c3(%x: tensor<32x64x!transom.block<q8_0>>) {
  // expected-error@+1 {{'transom.concat' op C3: quantised blocks' dimension cannot be concatenated}}
  %0 = transom.concat %x, %x axis 1 : (tensor<32x64x!transom.block<q8_0>>, tensor<32x64x!transom.block<q8_0>>) -> tensor<32x128x!transom.block<q8_0>>
  return
}

// -----

func.func @pad_c1(%x: tensor<4xf32>) {
  // expected-error@+2 {{'transom.pad' op C1: axis -1 is not a dimension of a tensor of rank 1}}
  // expected-error@+1 {{'transom.pad' op failed to infer returned types}}
  %0 = transom.pad %x axis -1 before 1 after 0 : (tensor<4xf32>) -> tensor<5xf32>
  return
}

// -----

func.func @pad_c2(%x: tensor<4xf32>) {
  // expected-error@+2 {{'transom.pad' op C2: expected no negative padding, found -1 and 0}}
  // expected-error@+1 {{'transom.pad' op failed to infer returned types}}
  %0 = transom.pad %x axis 0 before -1 after 0 : (tensor<4xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @broadcast_c1(%x: tensor<2x1xf32>, %l: tensor<3x4xf32>) {
  // expected-error@+2 {{'transom.broadcast' op C1: [2, 1] does not broadcast to [3, 4]}}
  // expected-error@+1 {{'transom.broadcast' op failed to infer returned types}}
  %0 = transom.broadcast %x like %l : (tensor<2x1xf32>, tensor<3x4xf32>) -> tensor<3x4xf32>
  return
}

// -----

// rank
func.func @broadcast_c1_2(%x: tensor<1x1xf32>, %l: tensor<4xf32>) {
  // expected-error@+2 {{'transom.broadcast' op C1: [1, 1] does not broadcast to [4]}}
  // expected-error@+1 {{'transom.broadcast' op failed to infer returned types}}
  %0 = transom.broadcast %x like %l : (tensor<1x1xf32>, tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @iota_c1(%l: tensor<3x4xf32>) {
  // expected-error@+2 {{'transom.iota' op C1: axis 2 is not a dimension of a tensor of rank 2}}
  // expected-error@+1 {{'transom.iota' op failed to infer returned types}}
  %0 = transom.iota like %l axis 2 : (tensor<3x4xf32>) -> tensor<4xi32>
  return
}

// -----

func.func @split_rows_c1(%x: tensor<6xf32>, %l: tensor<6xf32>) {
  // expected-error@+2 {{'transom.split_rows' op C1: expected input of rank 1 or more and like of rank 2 or more}}
  // expected-error@+1 {{'transom.split_rows' op failed to infer returned types}}
  %0 = transom.split_rows %x like %l : (tensor<6xf32>, tensor<6xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @split_rows_c2(%x: tensor<6x4xf32>, %l: tensor<2x2xi32>) {
  // expected-error@+2 {{'transom.split_rows' op C2: expected 4 rows, found 6}}
  // expected-error@+1 {{'transom.split_rows' op failed to infer returned types}}
  %0 = transom.split_rows %x like %l : (tensor<6x4xf32>, tensor<2x2xi32>) -> tensor<2x2x4xf32>
  return
}
