// The order of logits that argmax, top_k and sample agree on. Private to this folder.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace transom::interpreter {

/// Indices of the `count` largest numbers, largest first, the first of equals first; NaN counts as the smallest.
inline std::vector<int64_t> largestFirst(std::span<const double> numbers, int64_t count) {
  std::vector<int64_t> order(numbers.size());
  std::iota(order.begin(), order.end(), 0);
  auto before = [&](int64_t a, int64_t b) {
    bool aIsNaN = std::isnan(numbers[a]), bIsNaN = std::isnan(numbers[b]);
    if (aIsNaN || bIsNaN)
      return aIsNaN == bIsNaN ? a < b : bIsNaN;
    return numbers[a] != numbers[b] ? numbers[a] > numbers[b] : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + count, order.end(), before);
  order.resize(count);
  return order;
}

} // namespace transom::interpreter
