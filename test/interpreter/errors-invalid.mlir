// What sizes and numbers do not allow is an error with the place and the constraint, not a crash. Dynamic types hide it from
// the verifier.
// RUN: not transom-opt --interpret %s 2>&1 | FileCheck %s

// CHECK-LABEL: @broadcast
// CHECK-NEXT: error: {{.*}}errors-invalid.mlir:11:8: 'transom.add' op: C1: shapes do not broadcast: [2] and [3]
func.func @broadcast() -> tensor<?xf32> {
  %a0 = transom.constant dense<0.0> : tensor<2xf32>
  %a = transom.neg %a0 : (tensor<2xf32>) -> tensor<?xf32>
  %b = transom.constant dense<0.0> : tensor<3xf32>
  %y = transom.add %a, %b : (tensor<?xf32>, tensor<3xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// CHECK-LABEL: @slice
// CHECK-NEXT: error: {{.*}}'transom.slice' op: C2: start 1 size 2 leaves dimension 0 of [2]
func.func @slice() -> tensor<2xf32> {
  %a0 = transom.constant dense<0.0> : tensor<2xf32>
  %a = transom.neg %a0 : (tensor<2xf32>) -> tensor<?xf32>
  %y = transom.slice %a axis 0 start 1 size 2 : (tensor<?xf32>) -> tensor<2xf32>
  return %y : tensor<2xf32>
}

// A type that promises another size than the numbers have.
// CHECK-LABEL: @result
// CHECK-NEXT: error: {{.*}}'transom.neg' op: expected tensor<3xf32>, found tensor<2xf32>
func.func @result() -> tensor<3xf32> {
  %a0 = transom.constant dense<0.0> : tensor<2xf32>
  %a = transom.neg %a0 : (tensor<2xf32>) -> tensor<?xf32>
  %y = transom.neg %a : (tensor<?xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// CHECK-LABEL: @huge
// CHECK-NEXT: error: {{.*}}'transom.pad' op: a tensor has more than 1073741824 elements
func.func @huge() -> tensor<?xf32> {
  %a0 = transom.constant dense<0.0> : tensor<2xf32>
  %y = transom.pad %a0 axis 0 before 0 after 4000000000000 : (tensor<2xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}

// CHECK-LABEL: @lengths
// CHECK-NEXT: error: {{.*}}'transom.last_token' op: length of row 1 is 3, not in [0, 2]
func.func @lengths() -> tensor<2xf32> {
  %x = transom.constant dense<0.0> : tensor<2x2xf32>
  %n = transom.constant dense<[1, 3]> : tensor<2xi32>
  %y = transom.last_token %x, %n : (tensor<2x2xf32>, tensor<2xi32>) -> tensor<2xf32>
  return %y : tensor<2xf32>
}

// CHECK-LABEL: @negative
// CHECK-NEXT: error: {{.*}}'transom.cumulative_lengths' op: length of row 0 is -1, not in [0, 2147483647]
func.func @negative() -> tensor<2xi32> {
  %n = transom.constant dense<-1> : tensor<1xi32>
  %y = transom.cumulative_lengths %n : (tensor<1xi32>) -> tensor<2xi32>
  return %y : tensor<2xi32>
}

// CHECK-LABEL: @pack
// CHECK-NEXT: error: {{.*}}'transom.pack' op: index holds 2 behind 0: expected rising numbers below 2
func.func @pack() -> tensor<2xf32> {
  %x = transom.constant dense<0.0> : tensor<1x2xf32>
  %i = transom.constant dense<[0, 2]> : tensor<2xi32>
  %y = transom.pack %x, %i : (tensor<1x2xf32>, tensor<2xi32>) -> tensor<2xf32>
  return %y : tensor<2xf32>
}

// CHECK-LABEL: @unpack
// CHECK-NEXT: error: {{.*}}'transom.unpack' op: index holds 0 behind 1: expected rising numbers below 2
func.func @unpack() -> tensor<1x2xf32> {
  %x = transom.constant dense<0.0> : tensor<2xf32>
  %i = transom.constant dense<[1, 0]> : tensor<2xi32>
  %like = transom.constant dense<0.0> : tensor<1x2xf32>
  %y = transom.unpack %x, %i like %like : (tensor<2xf32>, tensor<2xi32>, tensor<1x2xf32>) -> tensor<1x2xf32>
  return %y : tensor<1x2xf32>
}

// CHECK-LABEL: @reduce_packed
// CHECK-NEXT: error: {{.*}}'transom.reduce_packed' op: cumulative lengths reach 2 of 1 tokens
func.func @reduce_packed() -> tensor<1xf32> {
  %x = transom.constant dense<0.0> : tensor<1xf32>
  %c = transom.constant dense<[0, 2]> : tensor<2xi32>
  %y = transom.reduce_packed sum %x, %c : (tensor<1xf32>, tensor<2xi32>) -> tensor<1xf32>
  return %y : tensor<1xf32>
}

// CHECK-LABEL: @falling
// CHECK-NEXT: error: {{.*}}'transom.attention' op: cumulative lengths give row 1 a length of -1, not in
func.func @falling() -> tensor<2x1x1xf32> {
  %q = transom.constant dense<0.0> : tensor<2x1x1xf32>
  %c = transom.constant dense<[0, 2, 1]> : tensor<3xi32>
  %y = transom.attention thd %q, %q, %q cumulative %c {scale = 1.0}
     : (tensor<2x1x1xf32>, tensor<2x1x1xf32>, tensor<2x1x1xf32>, tensor<3xi32>) -> tensor<2x1x1xf32>
  return %y : tensor<2x1x1xf32>
}

// CHECK-LABEL: @temperature
// CHECK-NEXT: error: {{.*}}'transom.sample' op: row 0 of 2 logits: expected temperature >= 0, top_k >= 0 and top_p > 0, found -1, 0 and 1
func.func @temperature() -> tensor<1xi32> {
  %x = transom.constant dense<0.0> : tensor<1x2xf32>
  %t = transom.constant dense<-1.0> : tensor<1xf32>
  %p = transom.constant dense<1.0> : tensor<1xf32>
  %i = transom.constant dense<0> : tensor<1xi32>
  %s = transom.constant dense<0> : tensor<1xi64>
  %y = transom.sample %x temperature %t top_k %i top_p %p seed %s step %i
     : (tensor<1x2xf32>, tensor<1xf32>, tensor<1xi32>, tensor<1xf32>, tensor<1xi64>, tensor<1xi32>) -> tensor<1xi32>
  return %y : tensor<1xi32>
}

// CHECK-LABEL: @unknown
// CHECK-NEXT: error: {{.*}}'arith.constant' op: the interpreter has no such op
func.func @unknown() -> tensor<1xi32> {
  %x = arith.constant dense<0> : tensor<1xi32>
  return %x : tensor<1xi32>
}
