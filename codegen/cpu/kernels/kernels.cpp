// The CPU skeletons, each an extern "C" function: one translation unit, compiled to LLVM bitcode once per CPU level. The
// code generator calls them with a model's sizes as constants and lets LLVM specialise. No libc, no static constructors.
#include "Blocks.h"
#include "Copy.h"
#include "GemvBlocks.h"
#include "Matmul.h"
#include "Reduce.h"
#include "Select.h"

using namespace transom::kernels;

//===-- Weights: every storage type --------------------------------------------------------------------------------===//

#define GEMV(name, Call)                                                                                               \
  TRANSOM_KERNEL void gemv_##name(const float *x, const uint8_t *weights, float *y, int64_t m, int64_t n, int64_t k,   \
                                  int64_t begin, int64_t end) {                                                        \
    Call(x, weights, y, m, n, k, begin, end);                                                                          \
  }
#define DECODERS(name, Format)                                                                                         \
  TRANSOM_KERNEL void unpack_##name(const uint8_t *weights, float *y, int64_t width, int64_t begin, int64_t end) {     \
    unpackWeights<Format>(weights, y, width, begin, end);                                                              \
  }                                                                                                                    \
  TRANSOM_KERNEL void embedding_##name##_i32(const uint8_t *table, const int32_t *indices, float *y, int64_t rows,     \
                                             int64_t width, int64_t begin, int64_t end) {                              \
    embedding<Format>(table, indices, y, rows, width, begin, end);                                                     \
  }                                                                                                                    \
  TRANSOM_KERNEL void embedding_##name##_i64(const uint8_t *table, const int64_t *indices, float *y, int64_t rows,     \
                                             int64_t width, int64_t begin, int64_t end) {                              \
    embedding<Format>(table, indices, y, rows, width, begin, end);                                                     \
  }
#define BLOCK_FORMAT(name, GemvFormat, DecodeFormat)                                                                   \
  GEMV(name, gemvBlocks<GemvFormat>)                                                                                   \
  DECODERS(name, DecodeFormat)
#define PLAIN_FORMAT(name, T)                                                                                          \
  GEMV(name, gemvPlain<T>)                                                                                             \
  DECODERS(name, Plain<T>)                                                                                             \
  TRANSOM_KERNEL void matmul_##name(const float *lhs, const T *rhs, float *y, const int64_t *shape,                    \
                                    const int64_t *lhsStrides, const int64_t *rhsStrides, int64_t rank, int64_t m,     \
                                    int64_t n, int64_t k, int64_t transposed, int64_t begin, int64_t end) {            \
    matmul<T>(lhs, rhs, y, {shape, lhsStrides, rhsStrides, rank}, m, n, k, transposed, begin, end);                    \
  }

PLAIN_FORMAT(f32, float)
PLAIN_FORMAT(f16, Half)
PLAIN_FORMAT(bf16, BFloat)
PLAIN_FORMAT(f8e4m3, E4m3)
BLOCK_FORMAT(q8_0, BlockQ80, DecodeQ80)
BLOCK_FORMAT(q4_0, BlockQ40, DecodeQ40)
BLOCK_FORMAT(q4_1, BlockQ41, DecodeQ41)
BLOCK_FORMAT(q5_0, BlockQ50, DecodeQ50)
BLOCK_FORMAT(q5_1, BlockQ51, DecodeQ51)
BLOCK_FORMAT(q4_k, BlockQ4K, DecodeSuper<4>)
BLOCK_FORMAT(q5_k, BlockQ5K, DecodeSuper<5>)
BLOCK_FORMAT(q6_k, BlockQ6K, DecodeQ6K)

//===-- Rows --------------------------------------------------------------------------------------------------------===//

TRANSOM_KERNEL void rms_norm(const float *x, const float *scale, float *y, int64_t n, float epsilon, int64_t begin,
                             int64_t end) {
  rmsNorm(x, scale, y, n, epsilon, begin, end);
}
TRANSOM_KERNEL void layer_norm(const float *x, const float *scale, const float *bias, float *y, int64_t n,
                               float epsilon, int64_t begin, int64_t end) {
  layerNorm(x, scale, bias, y, n, epsilon, begin, end);
}
TRANSOM_KERNEL void softmax_rows(const float *x, float *y, int64_t n, int64_t begin, int64_t end) {
  softmaxRows(x, y, n, begin, end);
}
TRANSOM_KERNEL void softmax_strided(const float *x, float *y, int64_t n, int64_t inner, int64_t begin, int64_t end) {
  softmaxStrided(x, y, n, inner, begin, end);
}

#define REDUCE(kind, Combine, floatStart, integerStart)                                                                \
  TRANSOM_KERNEL void reduce_##kind##_f32(const float *x, float *y, const int64_t *keptShape,                          \
                                          const int64_t *keptStrides, int64_t keptRank, const int64_t *shape,          \
                                          const int64_t *strides, int64_t rank, float factor, int64_t begin,           \
                                          int64_t end) {                                                               \
    reduceFloats(x, y, {keptShape, keptStrides, keptRank}, {shape, strides, rank}, floatStart, factor, begin, end,     \
                 Combine());                                                                                           \
  }                                                                                                                    \
  REDUCE_INTEGER(kind, Combine, i32, int32_t, integerStart(INT32))                                                     \
  REDUCE_INTEGER(kind, Combine, i64, int64_t, integerStart(INT64))
#define REDUCE_INTEGER(kind, Combine, name, T, start)                                                                  \
  TRANSOM_KERNEL void reduce_##kind##_##name(const T *x, T *y, const int64_t *keptShape, const int64_t *keptStrides,   \
                                             int64_t keptRank, const int64_t *shape, const int64_t *strides,           \
                                             int64_t rank, int64_t begin, int64_t end) {                               \
    reduceIntegers<T>(x, y, {keptShape, keptStrides, keptRank}, {shape, strides, rank}, start, begin, end,             \
                      Combine());                                                                                      \
  }
#define ZERO(type) 0
#define LOWEST(type) type##_MIN
#define HIGHEST(type) type##_MAX
REDUCE(sum, Add, 0.0f, ZERO)
REDUCE(max, Max, -infinity, LOWEST)
REDUCE(min, Min, infinity, HIGHEST)

#define REDUCE_PACKED(kind, Combine, floatStart, integerStart)                                                         \
  TRANSOM_KERNEL void reduce_packed_##kind##_f32(const float *x, const int32_t *cumulative, float *y, int64_t tokens,  \
                                                 int64_t width, int64_t mean, int64_t begin, int64_t end) {            \
    reducePackedFloats(x, cumulative, y, tokens, width, floatStart, mean, begin, end, Combine());                      \
  }                                                                                                                    \
  REDUCE_PACKED_INTEGER(kind, Combine, i32, int32_t, integerStart(INT32))                                              \
  REDUCE_PACKED_INTEGER(kind, Combine, i64, int64_t, integerStart(INT64))
#define REDUCE_PACKED_INTEGER(kind, Combine, name, T, start)                                                           \
  TRANSOM_KERNEL void reduce_packed_##kind##_##name(const T *x, const int32_t *cumulative, T *y, int64_t tokens,       \
                                                    int64_t width, int64_t begin, int64_t end) {                       \
    reducePackedIntegers<T>(x, cumulative, y, tokens, width, start, begin, end, Combine());                            \
  }
REDUCE_PACKED(sum, Add, 0.0f, ZERO)
REDUCE_PACKED(max, Max, -infinity, LOWEST)
REDUCE_PACKED(min, Min, infinity, HIGHEST)

TRANSOM_KERNEL void cumulative_sum_i32(const int32_t *x, int32_t *y, int64_t n, int64_t inner, int64_t begin,
                                       int64_t end) {
  cumulativeSum(x, y, n, inner, begin, end);
}
TRANSOM_KERNEL void cumulative_sum_i64(const int64_t *x, int64_t *y, int64_t n, int64_t inner, int64_t begin,
                                       int64_t end) {
  cumulativeSum(x, y, n, inner, begin, end);
}

//===-- Attention ---------------------------------------------------------------------------------------------------===//

TRANSOM_KERNEL void attention_padded(const float *q, const float *k, const float *v, const int32_t *mask,
                                     const float *bias, const int32_t *past, const int32_t *lengths, float *y,
                                     int64_t heads, int64_t kvHeads, int64_t queries, int64_t keys, int64_t headDim,
                                     int64_t headsFirst, int64_t keysHeadsFirst, int64_t biasBatch, int64_t biasHead,
                                     int64_t biasQuery, int64_t biasKey, float scale, float softcap, int64_t causal,
                                     int64_t window, int64_t begin, int64_t end) {
  attentionPadded(q, k, v, mask, bias, past, lengths, y, heads, kvHeads, queries, keys, headDim, headsFirst,
                  keysHeadsFirst, biasBatch, biasHead, biasQuery, biasKey, scale, softcap, causal, window, begin, end);
}
TRANSOM_KERNEL void attention_packed(const float *q, const float *k, const float *v, const int32_t *cumulative,
                                     const int32_t *keyCumulative, const int32_t *past, float *y, int64_t tokens,
                                     int64_t keys, int64_t batch, int64_t heads, int64_t kvHeads, int64_t headDim,
                                     float scale, float softcap, int64_t causal, int64_t window, int64_t begin,
                                     int64_t end) {
  attentionPacked(q, {k, v, keyCumulative, past, keys, kvHeads}, cumulative, y, tokens, batch, heads, headDim, scale,
                  softcap, causal, window, begin, end);
}
TRANSOM_KERNEL void rotary_f32(const float *x, const int32_t *positions, const double *frequencies,
                               const float *factors, float *y, int64_t heads, int64_t queries, int64_t headsFirst,
                               int64_t headDim, int64_t dims, int64_t interleaved, int64_t begin, int64_t end) {
  rotary(x, positions, frequencies, factors, y, heads, queries, headsFirst, headDim, dims, interleaved, begin, end);
}

//===-- Copies, by element size -------------------------------------------------------------------------------------===//

#define COPIES(bits)                                                                                                   \
  TRANSOM_KERNEL void copy_##bits(const uint##bits##_t *x, uint##bits##_t *y, const int64_t *shape,                    \
                                  const int64_t *strides, int64_t rank, int64_t offset, int64_t begin, int64_t end) {  \
    copyStrided(x, y, shape, strides, rank, offset, begin, end);                                                       \
  }                                                                                                                    \
  TRANSOM_KERNEL void pad_##bits(const uint##bits##_t *x, uint##bits##_t *y, uint64_t fill, int64_t size,              \
                                 int64_t inputSize, int64_t before, int64_t inner, int64_t width, int64_t begin,       \
                                 int64_t end) {                                                                        \
    padRows(x, y, fill, size, inputSize, before, inner, width, begin, end);                                            \
  }                                                                                                                    \
  TRANSOM_KERNEL void concat_##bits(const void *const *inputs, const int64_t *sizes, int64_t count, uint##bits##_t *y, \
                                    int64_t total, int64_t inner, int64_t width, int64_t begin, int64_t end) {         \
    concatRows(inputs, sizes, count, y, total, inner, width, begin, end);                                              \
  }                                                                                                                    \
  TRANSOM_KERNEL void cache_append_##bits(uint##bits##_t *cache, const uint##bits##_t *tokens, const int32_t *past,    \
                                          const int32_t *lengths, int64_t heads, int64_t seq, int64_t capacity,        \
                                          int64_t width, int64_t headsFirst, int64_t begin, int64_t end) {             \
    cacheAppend(cache, tokens, past, lengths, heads, seq, capacity, width, headsFirst, begin, end);                    \
  }                                                                                                                    \
  TRANSOM_KERNEL void cache_append_packed_##bits(                                                                      \
      uint##bits##_t *cache, const uint##bits##_t *tokens, const int32_t *past, const int32_t *cumulative,             \
      int64_t batch, int64_t heads, int64_t capacity, int64_t width, int64_t begin, int64_t end) {                     \
    cacheAppendPacked(cache, tokens, past, cumulative, batch, heads, capacity, width, begin, end);                     \
  }                                                                                                                    \
  TRANSOM_KERNEL void token_of_row_##bits(const uint##bits##_t *x, const int32_t *lengths, const int32_t *cumulative,  \
                                          uint##bits##_t *y, int64_t tokens, int64_t width, int64_t last,              \
                                          int64_t begin, int64_t end) {                                                \
    tokenOfRow(x, lengths, cumulative, y, tokens, width, last, begin, end);                                            \
  }                                                                                                                    \
  TRANSOM_KERNEL void pack_##bits(const uint##bits##_t *x, const int32_t *index, uint##bits##_t *y, int64_t padded,    \
                                  int64_t rowsPerToken, int64_t width, int64_t begin, int64_t end) {                   \
    packRows(x, index, y, padded, rowsPerToken, width, begin, end);                                                    \
  }                                                                                                                    \
  TRANSOM_KERNEL void unpack_rows_##bits(const uint##bits##_t *x, const int32_t *index, uint##bits##_t *y,             \
                                         int64_t tokens, int64_t rowsPerToken, int64_t width, int64_t begin,           \
                                         int64_t end) {                                                                \
    unpackRows(x, index, y, tokens, rowsPerToken, width, begin, end);                                                  \
  }
COPIES(8)
COPIES(16)
COPIES(32)
COPIES(64)

TRANSOM_KERNEL void quantize_q8_0(const float *x, uint8_t *y, int64_t width, int64_t begin, int64_t end) {
  quantizeQ80(x, y, width, begin, end);
}
TRANSOM_KERNEL void round_e4m3(const float *x, const float *scale, float *y, int64_t width, int64_t begin, int64_t end) {
  roundE4m3(x, scale, y, width, begin, end);
}

//===-- Indices and tokens ------------------------------------------------------------------------------------------===//

TRANSOM_KERNEL void cumulative_lengths(const int32_t *lengths, int32_t *y, int64_t batch) {
  int64_t sum = 0;
  for (int64_t i = 0; i <= batch; ++i) {
    y[i] = (int32_t)min64(sum, 0x7fffffff);
    sum += i < batch && lengths[i] > 0 ? lengths[i] : 0;
  }
}
TRANSOM_KERNEL void valid_tokens_i32(const int32_t *mask, int32_t *index, int32_t *cumulative, int64_t batch,
                                     int64_t seq, int64_t capacity) {
  validTokens(mask, index, cumulative, batch, seq, capacity);
}
TRANSOM_KERNEL void valid_tokens_i64(const int64_t *mask, int32_t *index, int32_t *cumulative, int64_t batch,
                                     int64_t seq, int64_t capacity) {
  validTokens(mask, index, cumulative, batch, seq, capacity);
}
TRANSOM_KERNEL void valid_tokens_lengths(const int32_t *lengths, int32_t *index, int32_t *cumulative, int64_t batch,
                                         int64_t seq, int64_t capacity) {
  validTokensByLength(lengths, index, cumulative, batch, seq, capacity);
}
TRANSOM_KERNEL void positions_i32(const int32_t *start, int32_t *y, int64_t seq, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row)
    for (int64_t i = 0; i < seq; ++i)
      y[row * seq + i] = start[row] + (int32_t)i;
}
TRANSOM_KERNEL void iota_i32(int32_t *y, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    y[i] = (int32_t)i;
}
TRANSOM_KERNEL void argmax_f32(const float *x, int32_t *y, int64_t n, int64_t begin, int64_t end) {
  argmax(x, y, n, begin, end);
}
TRANSOM_KERNEL void top_k_f32(const float *x, float *values, int32_t *indices, int64_t n, int64_t k, int64_t begin,
                              int64_t end) {
  topK(x, values, indices, n, k, begin, end);
}
TRANSOM_KERNEL void sample_f32(const float *logits, const float *temperature, const int32_t *topK, const float *topP,
                               const int64_t *seed, const int32_t *step, int32_t *y, int64_t n, int64_t begin,
                               int64_t end) {
  sample(logits, temperature, topK, topP, seed, step, y, n, begin, end);
}

//===-- Scalar functions of fused regions ---------------------------------------------------------------------------===//

TRANSOM_KERNEL F32 math_exp(F32 x) { return expV(x); }
TRANSOM_KERNEL F32 math_log(F32 x) { return logV(x); }
TRANSOM_KERNEL F32 math_tanh(F32 x) { return tanhV(x); }
TRANSOM_KERNEL F32 math_erf(F32 x) { return erfV(x); }
TRANSOM_KERNEL F32 math_sin(F32 x) { return sinV(x); }
TRANSOM_KERNEL F32 math_cos(F32 x) { return cosV(x); }
TRANSOM_KERNEL F32 math_pow(F32 a, F32 b) { return powV(a, b); }

//===-- What LLVM may call on its own account -----------------------------------------------------------------------===//

// By string instructions: loops here could be recognised as these very functions again.
TRANSOM_KERNEL void *memcpy(void *to, const void *from, unsigned long bytes) {
  void *start = to;
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
  return start;
}
TRANSOM_KERNEL void *memset(void *to, int byte, unsigned long bytes) {
  void *start = to;
  asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(byte) : "memory");
  return start;
}
TRANSOM_KERNEL void *memmove(void *to, const void *from, unsigned long bytes) {
  if ((uintptr_t)to - (uintptr_t)from >= bytes)
    return memcpy(to, from, bytes);
  void *end = (char *)to + bytes - 1;
  const void *last = (const char *)from + bytes - 1;
  asm volatile("std\n\trep movsb\n\tcld" : "+D"(end), "+S"(last), "+c"(bytes) : : "memory", "cc");
  return to;
}
