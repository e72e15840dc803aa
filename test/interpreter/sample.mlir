// Sampling. u is the first word of Philox4x32-10, counter (step, 0, 0, 0), key (seed's low, high word), >> 8, * 2^-24:
// for seed 0, step 0 the word is 0x6627e8d5 (known answer of Random123), u = 0.39904. Logits ln(1), ln(2), ln(3), ln(4):
// most probable first 0.4 (token 3), 0.3 (2), 0.2 (1), 0.1 (0).
// RUN: transom-opt --interpret %s | FileCheck %s

// Row 0: u = 0.39904 < 0.4: token 3.
// Row 1: temperature 0: argmax.
// Row 2: temperature 2: the probabilities are 2 : 1.73 : 1.41 : 1 of 6.15, 0.325 first: u falls to token 2.
// Row 3: top_k 1: token 3 is left alone, whatever the temperature of 100.
// Row 4: top_p 0.65: tokens 3 and 2 are left; 0.39904 of 0.7 is below 0.4: token 3.
// Row 5: temperature 100: nearly even quarters, u falls to the second: token 2.
// Row 6: the same with top_p 0.1: only the first is left.
// CHECK-LABEL: @sample
// CHECK-NEXT: tensor<7xi32>: [3, 3, 2, 3, 3, 2, 3]
func.func @sample() -> tensor<7xi32> {
  %row = transom.constant dense<[[0.0, 0.69314718055994531, 1.0986122886681098, 1.3862943611198906]]> : tensor<1x4xf32>
  %like = transom.constant dense<0> : tensor<7x4xi32>
  %logits = transom.broadcast %row like %like : (tensor<1x4xf32>, tensor<7x4xi32>) -> tensor<7x4xf32>
  %t = transom.constant dense<[1.0, 0.0, 2.0, 100.0, 1.0, 100.0, 100.0]> : tensor<7xf32>
  %k = transom.constant dense<[0, 0, 0, 1, 0, 9, 0]> : tensor<7xi32>
  %p = transom.constant dense<[1.0, 1.0, 1.0, 1.0, 0.65, 1.0, 0.1]> : tensor<7xf32>
  %seed = transom.constant dense<0> : tensor<7xi64>
  %step = transom.constant dense<0> : tensor<7xi32>
  %y = transom.sample %logits temperature %t top_k %k top_p %p seed %seed step %step
     : (tensor<7x4xf32>, tensor<7xf32>, tensor<7xi32>, tensor<7xf32>, tensor<7xi64>, tensor<7xi32>) -> tensor<7xi32>
  return %y : tensor<7xi32>
}

// Two even tokens: token 0 if the word is below 0x80000000. Words: 0x6627e8d5, 0xf8e4cca4, 0x04faa329, 0xc990ef29 for seed 0 and
// steps 0 to 3; 0x72a47709 for seed -1, 0x9ba2eb28 for seed 5000000000 (above 32 bits).
// CHECK-LABEL: @coin
// CHECK-NEXT: tensor<6xi32>: [0, 1, 0, 1, 0, 1]
func.func @coin() -> tensor<6xi32> {
  %logits = transom.constant dense<0.0> : tensor<6x2xf32>
  %t = transom.constant dense<1.0> : tensor<6xf32>
  %k = transom.constant dense<0> : tensor<6xi32>
  %seed = transom.constant dense<[0, 0, 0, 0, -1, 5000000000]> : tensor<6xi64>
  %step = transom.constant dense<[0, 1, 2, 3, 0, 0]> : tensor<6xi32>
  %y = transom.sample %logits temperature %t top_k %k top_p %t seed %seed step %step
     : (tensor<6x2xf32>, tensor<6xf32>, tensor<6xi32>, tensor<6xf32>, tensor<6xi64>, tensor<6xi32>) -> tensor<6xi32>
  return %y : tensor<6xi32>
}
