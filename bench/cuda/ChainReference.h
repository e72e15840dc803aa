// What checks of chains of products compare with, in fp64.
#pragma once

#include "Lab.h"

#include <cmath>
#include <vector>

namespace lab {

using Numbers = std::vector<double>;

template <class T> Numbers numbers(const std::vector<T> &v) {
  Numbers all;
  for (T one : v)
    all.push_back(number(one));
  return all;
}

/// x [rows, K] times w [N, K]^T.
inline Numbers product(const Numbers &x, const Numbers &w, int rows, int N, int K) {
  Numbers y((size_t)rows * N);
  for (int m = 0; m < rows; ++m)
    for (int n = 0; n < N; ++n)
      for (int k = 0; k < K; ++k)
        y[(size_t)m * N + n] += x[(size_t)m * K + k] * w[(size_t)n * K + k];
  return y;
}
/// The same bias for all rows.
template <class T> Numbers biased(Numbers y, const std::vector<T> &bias) {
  for (size_t i = 0; i < y.size(); ++i)
    y[i] += number(bias[i % bias.size()]);
  return y;
}

/// Attention over sequences, of which some rows are no keys; qkv [rows, 3 width].
inline Numbers attention(const Numbers &qkv, const std::vector<int> &cumulative, const std::vector<int> &valid, int heads, int headDim, float scale, bool causal) {
  const int width = heads * headDim, rows = cumulative.back();
  Numbers y((size_t)rows * width);
  auto at = [&](int which, int row, int column) { return qkv[((size_t)row * 3 + which) * width + column]; };
  for (size_t s = 0; s + 1 < cumulative.size(); ++s)
    for (int row = cumulative[s]; row < cumulative[s + 1]; ++row)
      for (int head = 0; head < heads; ++head) {
        const int end = causal ? row + 1 : cumulative[s + 1];
        double total = 0;
        for (int key = cumulative[s]; key < end; ++key) {
          if (!valid.empty() && !valid[(size_t)key])
            continue;
          double score = 0;
          for (int d = 0; d < headDim; ++d)
            score += at(0, row, head * headDim + d) * at(1, key, head * headDim + d);
          const double weight = std::exp(score * scale);
          total += weight;
          for (int d = 0; d < headDim; ++d)
            y[(size_t)row * width + head * headDim + d] += weight * at(2, key, head * headDim + d);
        }
        for (int d = 0; d < headDim; ++d)
          y[(size_t)row * width + head * headDim + d] /= total == 0 ? 1 : total;
      }
  return y;
}

} // namespace lab
