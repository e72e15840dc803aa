// Reductions of numbers, for reduce, fused and attention. Private to this folder.
#pragma once

#include "compiler/interpreter/Tensor.h"

#include "ir/Transom.h"

#include <cmath>
#include <limits>

namespace transom::interpreter {

/// The result over no numbers; for max and min of integers the type's own limits.
template <typename T> T reductionStart(ReduceKind kind, DType dtype) {
  if (kind != ReduceKind::max && kind != ReduceKind::min)
    return 0;
  bool low = kind == ReduceKind::max;
  if constexpr (std::is_same_v<T, double>)
    return low ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  if (dtype == DType::boolean)
    return low ? 0 : 1;
  int64_t lowest = static_cast<int64_t>(~uint64_t(0) << (layoutOf(dtype).bytes * 8 - 1));
  return static_cast<T>(low ? lowest : ~lowest);
}

/// `sum` with one more number; sums and means add up, and the caller divides a mean. NaN stays.
template <typename T> T combine(ReduceKind kind, T sum, T number) {
  if (kind == ReduceKind::max || kind == ReduceKind::min) {
    bool takes = kind == ReduceKind::max ? number > sum : number < sum;
    return takes || number != number ? number : sum;
  }
  if constexpr (std::is_same_v<T, int64_t>)
    return static_cast<int64_t>(static_cast<uint64_t>(sum) + static_cast<uint64_t>(number));
  else
    return sum + number;
}

/// e^x / sum(e^x) in place, shifted by the maximum; zeros if all are -inf.
inline void softmaxRow(std::span<double> row) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (double number : row)
    largest = combine(ReduceKind::max, largest, number);
  if (largest == -std::numeric_limits<double>::infinity()) {
    std::fill(row.begin(), row.end(), 0.0);
    return;
  }
  for (double &number : row)
    sum += number = std::exp(number - largest);
  for (double &number : row)
    number /= sum;
}

} // namespace transom::interpreter
