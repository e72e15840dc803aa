// Kernels with the ABI of generated code, for the runtime's tests. Names: see ArtifactFixture.h.
#include "runtime/format/KernelAbi.h"

#define KERNEL(name)                                                                                                   \
  extern "C" __attribute__((visibility("default"))) void name(void *const *buffers, const int64_t *sizes,             \
                                                              int64_t begin, int64_t end, void *scratch)

#ifndef ROW_SCALE
#define ROW_SCALE 2
#endif

/// y[i, :] = ROW_SCALE * x[i, :], 4 columns.
KERNEL(scale_rows) {
  auto *x = static_cast<const float *>(buffers[0]);
  auto *y = static_cast<float *>(buffers[1]);
  for (int64_t i = begin * 4; i < end * 4; ++i)
    y[i] = ROW_SCALE * x[i];
}

/// Rows [begin, end) of an i8 matrix of 4 columns as f32.
KERNEL(unpack_i8) {
  auto *w = static_cast<const int8_t *>(buffers[0]);
  auto *out = static_cast<float *>(buffers[1]);
  for (int64_t i = begin * 4; i < end * 4; ++i)
    out[i - begin * 4] = w[i];
}

/// A cache of tokens: tokens[batch, seq], lengths[batch], past[batch], cache[batch, 32] -> sum[batch] of all tokens of the
/// row so far. Each row is a work item.
KERNEL(sum_tokens) {
  auto *tokens = static_cast<const int32_t *>(buffers[0]), *lengths = static_cast<const int32_t *>(buffers[1]),
       *past = static_cast<const int32_t *>(buffers[2]);
  auto *cache = static_cast<int32_t *>(buffers[3]), *sum = static_cast<int32_t *>(buffers[4]);
  int64_t seq = sizes[1];
  for (int64_t row = begin; row < end; ++row) {
    for (int32_t i = 0; i < lengths[row]; ++i)
      cache[row * 32 + past[row] + i] = tokens[row * seq + i];
    sum[row] = 0;
    for (int32_t i = 0; i < past[row] + lengths[row]; ++i)
      sum[row] += cache[row * 32 + i];
  }
}

/// logits[row, 16] = 1 at sum[row] % 16, 0 elsewhere.
KERNEL(one_hot_logits) {
  auto *sum = static_cast<const int32_t *>(buffers[0]);
  auto *logits = static_cast<float *>(buffers[1]);
  for (int64_t row = begin; row < end; ++row)
    for (int64_t i = 0; i < 16; ++i)
      logits[row * 16 + i] = sum[row] % 16 == i ? 1.0f : 0.0f;
}

/// The same model in naive form: tokens[batch, seq], mask[batch, total], positions[batch, seq], past[batch, 1, past, 1] ->
/// present[batch, 1, total, 1], logits[batch, seq, 16]. Logits are NaN where positions are not what the mask implies.
KERNEL(naive_step) {
  auto *tokens = static_cast<const int32_t *>(buffers[0]), *mask = static_cast<const int32_t *>(buffers[1]),
       *positions = static_cast<const int32_t *>(buffers[2]);
  auto *past = static_cast<const float *>(buffers[3]);
  auto *present = static_cast<float *>(buffers[4]), *logits = static_cast<float *>(buffers[5]);
  int64_t seq = sizes[1], total = sizes[2], pastSize = total - seq;
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t i = 0; i < total; ++i)
      present[row * total + i] =
          i < pastSize ? past[row * pastSize + i] : static_cast<float>(tokens[row * seq + i - pastSize]);
    for (int64_t i = 0; i < seq; ++i) {
      int64_t sum = 0, valid = 0;
      for (int64_t j = 0; j <= pastSize + i; ++j)
        if (mask[row * total + j]) {
          sum += static_cast<int64_t>(present[row * total + j]);
          ++valid;
        }
      bool consistent = !mask[row * total + pastSize + i] || positions[row * seq + i] == valid - 1;
      for (int64_t v = 0; v < 16; ++v)
        logits[(row * seq + i) * 16 + v] = !consistent ? __builtin_nanf("") : sum % 16 == v ? 1.0f : 0.0f;
    }
  }
}

/// ids[batch, seq], mask[batch, seq] -> embedding[batch, 2] = (mean of the valid ids, their count).
KERNEL(mean_embed) {
  auto *ids = static_cast<const int32_t *>(buffers[0]), *mask = static_cast<const int32_t *>(buffers[1]);
  auto *out = static_cast<float *>(buffers[2]);
  int64_t seq = sizes[1];
  for (int64_t row = begin; row < end; ++row) {
    float sum = 0, count = 0;
    for (int64_t i = 0; i < seq; ++i)
      if (mask[row * seq + i]) {
        sum += static_cast<float>(ids[row * seq + i]);
        count += 1;
      }
    out[row * 2] = sum / count;
    out[row * 2 + 1] = count;
  }
}

/// ids[batch, seq], mask[batch, seq] -> logits[batch, seq, 16]: 2 at (sum of the row's valid ids + i) % 16, else -v / 16.
KERNEL(token_logits) {
  auto *ids = static_cast<const int32_t *>(buffers[0]), *mask = static_cast<const int32_t *>(buffers[1]);
  auto *logits = static_cast<float *>(buffers[2]);
  int64_t seq = sizes[1];
  for (int64_t row = begin; row < end; ++row) {
    int64_t sum = 0;
    for (int64_t i = 0; i < seq; ++i)
      sum += mask[row * seq + i] ? ids[row * seq + i] : 0;
    for (int64_t i = 0; i < seq; ++i)
      for (int64_t v = 0; v < 16; ++v)
        logits[(row * seq + i) * 16 + v] = (sum + i) % 16 == v ? 2.0f : static_cast<float>(-v) / 16;
  }
}

/// mask[batch, seq] -> index[tokens], cumulative[batch + 1]; no more than there is room for.
KERNEL(valid_tokens) {
  auto *mask = static_cast<const int32_t *>(buffers[0]);
  auto *index = static_cast<int32_t *>(buffers[1]), *cumulative = static_cast<int32_t *>(buffers[2]);
  int64_t count = 0;
  cumulative[0] = 0;
  for (int64_t i = 0; i < sizes[0] * sizes[1]; ++i) {
    if (mask[i] && count < sizes[2])
      index[count++] = static_cast<int32_t>(i);
    cumulative[i / sizes[1] + 1] = static_cast<int32_t>(mask[0] < 0 ? mask[0] : count);
  }
}

/// y[i] = x[i].
KERNEL(copy_tokens) {
  auto *x = static_cast<const int32_t *>(buffers[0]);
  auto *y = static_cast<int32_t *>(buffers[1]);
  for (int64_t i = begin; i < end; ++i)
    y[i] = x[i];
}
