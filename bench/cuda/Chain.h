// The decode chain: a whole step of a decoder (every layer, head, greedy token) as one CUDA graph over random weights, with the
// choices that can be measured. Arithmetic is checked elsewhere.
#pragma once

#include <memory>

#include "Blocks.h"

namespace lab {

inline int multiprocessors() {
  int count = 0;
  CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0));
  return count;
}

static __global__ void fillRandom(uint16 *p, size_t n, float scale, int half, unsigned seed) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
    uint32 h = (uint32)(i * 2654435761u) ^ seed;
    h ^= h >> 15, h *= 0x2c1b3c6du, h ^= h >> 12, h *= 0x297a2d39u, h ^= h >> 15;
    float v = ((float)(h & 0xffff) + (float)(h >> 16) - 65535.0f) * (scale / 32768.0f);
    p[i] = half ? fromFloat<Half>(v).bits : fromFloat<BFloat>(v).bits;
  }
}
template <class T> Device<T> randomDevice(size_t n, float scale) {
  static unsigned seed = 1;
  Device<T> d(n);
  fillRandom<<<1024, 256>>>((uint16 *)d.p, n, scale, std::is_same_v<T, Half>, seed++ * 7919);
  CHECK(cudaGetLastError());
  return d;
}

/// Weights of one matrix in a format, and its bytes.
template <class Format> struct Matrix;
template <class T, int K> struct Matrix<PlainFormat<T, K>> {
  Device<T> data;
  size_t bytes;
  explicit Matrix(int N) : data(randomDevice<T>((size_t)N * K, 1.5f / std::sqrt((float)K))), bytes((size_t)N * K * 2) {}
  typename PlainFormat<T, K>::View view() const { return {data.p}; }
};
template <int K> struct Matrix<Q80Format<K>> : QuantWeights<Q80Format<K>, HostQ80, RepackQ80> {
  size_t bytes;
  explicit Matrix(int N) : QuantWeights<Q80Format<K>, HostQ80, RepackQ80>(N, false), bytes((size_t)N * K * 34 / 32) {}
};
template <int K> struct Matrix<Q4Format<K, false>> : QuantWeights<Q4Format<K, false>, HostQ4<false>, RepackQ4<false>> {
  size_t bytes;
  explicit Matrix(int N) : QuantWeights<Q4Format<K, false>, HostQ4<false>, RepackQ4<false>>(N, false), bytes((size_t)N * K * 18 / 32) {}
};

template <class T_> struct Llama1B {
  using T = T_;
  template <int K> using Format = PlainFormat<T, K>;
  template <int N> using QkvPairs = HeadPairs<64>;
  static constexpr const char *name = "D1 Llama-3.2-1B bf16";
  static constexpr int layers = 16, hidden = 2048, ffn = 8192, heads = 32, kvHeads = 8, headDim = 64, dims = 64, vocab = 128256;
  static constexpr bool gated = true, centred = false, biased = false, tied = true, places = false;
};
template <template <int> class Format_> struct ChatGlm2 {
  using T = BFloat;
  template <int K> using Format = Format_<K>;
  template <int N> using QkvPairs = NeighbourPairs;
  static constexpr const char *name = "D2 ChatGLM2-6B";
  static constexpr int layers = 28, hidden = 4096, ffn = 13696, heads = 32, kvHeads = 2, headDim = 128, dims = 64, vocab = 65024;
  static constexpr bool gated = true, centred = false, biased = true, tied = false, places = false;
};
struct Gpt2 {
  using T = Half;
  template <int K> using Format = PlainFormat<T, K>;
  template <int N> using QkvPairs = NeighbourPairs;
  static constexpr const char *name = "D3 GPT-2 124M fp16";
  static constexpr int layers = 12, hidden = 768, ffn = 3072, heads = 12, kvHeads = 12, headDim = 64, dims = 0, vocab = 50257;
  static constexpr bool gated = false, centred = true, biased = true, tied = true, places = true;
};

/// Warps and depth of each matrix-vector kernel. Stream: blocks per multiprocessor by GemvStream.cuh, 0 for a block per tile. attend: warps, splits and smallest chunk of
/// decode attention, 0 for what the head_dim asks for. warpNorm: statistics by each warp.
template <int qkvWarps_, int qkvDepth_, int outWarps_, int outDepth_, int upWarps_, int upDepth_, int downWarps_, int downDepth_,
          int headWarps_, int headDepth_>
struct Tuning {
  static constexpr int qkvWarps = qkvWarps_, qkvDepth = qkvDepth_, outWarps = outWarps_, outDepth = outDepth_, upWarps = upWarps_,
                       upDepth = upDepth_, downWarps = downWarps_, downDepth = downDepth_, headWarps = headWarps_, headDepth = headDepth_;
  static constexpr int qkvStream = 0, upStream = 0, headStream = 0, attendWarps = 0, attendSplits = 0, attendChunk = 256;
  static constexpr bool warpNorm = false;
};
template <class Base, int qkv, int up, int head> struct Streamed : Base {
  static constexpr int qkvStream = qkv, upStream = up, headStream = head;
};
template <class Base, int warps, int splits, int chunk> struct Attending : Base {
  static constexpr int attendWarps = warps, attendSplits = splits, attendChunk = chunk;
};
template <class Base> struct NormedByWarps : Base {
  static constexpr bool warpNorm = true;
};

template <class Model, class Tune, int batch> struct Chain {
  using T = typename Model::T;
  static constexpr int hidden = Model::hidden, queryWidth = Model::heads * Model::headDim;
  static constexpr int qkvWidth = (Model::heads + 2 * Model::kvHeads) * Model::headDim, upWidth = Model::ffn * (Model::gated ? 2 : 1);
  static constexpr int normSplits = batch <= 4 ? 2 : 1; // where a norm precedes: fp32's accuracy while it is free
  template <int K> using Format = typename Model::template Format<K>;
  // Chosen at compile time, so that each model has only its own kernels.
  using DeferredNorm = RmsPrologue<T, T, hidden>;
  using WarpNorm = WarpNormPrologue<T, T, hidden, batch, Model::centred, Model::biased>;
  using BlockNorm = NormPrologue<T, T, hidden, Model::centred, Model::biased>;
  using AppliedNorm = std::conditional_t<Tune::warpNorm, WarpNorm, BlockNorm>;
  using Norm = std::conditional_t<std::is_same_v<T, Half>, AppliedNorm, DeferredNorm>;
  using QkvShape = GemvShape<Format<hidden>, qkvWidth, batch, normSplits, Tune::qkvWarps, Tune::qkvDepth, typename Model::template QkvPairs<0>>;
  using QkvEpilogue = RotaryAppendEpilogue<T, T, T, Model::heads, Model::kvHeads, Model::headDim, Model::dims, QkvShape::Pairs::partner>;
  using OutShape = GemvShape<Format<queryWidth>, hidden, batch, 1, Tune::outWarps, Tune::outDepth, NeighbourPairs>;
  using UpPairs = std::conditional_t<Model::gated, HalfPairs<Model::ffn>, NeighbourPairs>;
  using UpShape = GemvShape<Format<hidden>, upWidth, batch, normSplits, Tune::upWarps, Tune::upDepth, UpPairs>;
  using UpEpilogue = std::conditional_t<Model::gated, GateEpilogue<T, T, Model::ffn, Silu>, StoreEpilogue<T, T, upWidth, GeluTanh>>;
  using DownShape = GemvShape<Format<Model::ffn>, hidden, batch, 1, Tune::downWarps, Tune::downDepth, NeighbourPairs>;
  using Residual = StoreEpilogue<T, T, hidden, Identity>;
  using HeadShape = GemvShape<Format<hidden>, Model::vocab, batch, normSplits, Tune::headWarps, Tune::headDepth, NeighbourPairs>;
  using HeadEpilogue = LogitsEpilogue<T, Model::vocab>;
  static constexpr int attendWarps = Tune::attendWarps ? Tune::attendWarps : Model::headDim == 64 ? 8 : 4;
  static constexpr int attendSplits = Tune::attendSplits ? Tune::attendSplits : Model::kvHeads <= 2 ? 32 : 16;
  using Attention = DecodeAttentionShape<T, Model::heads, Model::kvHeads, Model::headDim, attendWarps, attendSplits, Tune::attendChunk>;

  struct Layer {
    Matrix<Format<hidden>> qkv{qkvWidth};
    Matrix<Format<queryWidth>> out{hidden};
    Matrix<Format<hidden>> up{upWidth};
    Matrix<Format<Model::ffn>> down{hidden};
    Device<T> keys, values;
    explicit Layer(size_t cache) : keys(randomDevice<T>(cache, 1.0f)), values(randomDevice<T>(cache, 1.0f)) {}
  };
  int capacity, context;
  std::vector<std::unique_ptr<Layer>> layers;
  Matrix<Format<hidden>> head{Model::vocab};
  Device<T> table = randomDevice<T>((size_t)Model::vocab * hidden, 1.0f), places = randomDevice<T>(2048 * hidden, 0.1f);
  Device<T> scale = randomDevice<T>(hidden, 1.0f), bias = randomDevice<T>(upWidth + qkvWidth, 0.1f);
  Device<T> x{(size_t)batch * hidden}, query{(size_t)batch * queryWidth}, mixed{(size_t)batch * queryWidth}, inner{(size_t)batch * Model::ffn};
  Device<float> logits{(size_t)batch * Model::vocab}, partial{(size_t)Attention::partialFloats(batch)};
  Device<int> arrived{(size_t)batch * Model::kvHeads * Attention::groupTiles}, token{(size_t)batch}, past{(size_t)batch}, ids{(size_t)batch};
  Device<uint64> best{(size_t)batch};
  Device<double> turns{(size_t)std::max(Model::dims / 2, 1)};
  size_t weightBytes = 0, cacheBytes = 0;
  int kernels = 0;
  cudaStream_t stream;

  Chain(int capacity, int context) : capacity(capacity), context(context) {
    for (int i = 0; i < Model::layers; ++i) {
      layers.push_back(std::make_unique<Layer>((size_t)batch * Model::kvHeads * capacity * Model::headDim));
      Layer &l = *layers.back();
      weightBytes += l.qkv.bytes + l.out.bytes + l.up.bytes + l.down.bytes;
      cacheBytes += 2ull * batch * Model::kvHeads * context * Model::headDim * sizeof(T);
    }
    weightBytes += head.bytes;
    std::vector<double> t(turns.n);
    for (int i = 0; i < Model::dims / 2; ++i)
      t[i] = std::pow(500000.0, -2.0 * i / Model::dims) / (2 * M_PI);
    CHECK(cudaMemcpy(turns, t.data(), t.size() * 8, cudaMemcpyHostToDevice));
    CHECK(cudaStreamCreate(&stream));
    reset();
  }
  ~Chain() { cudaStreamDestroy(stream); }

  void reset() {
    CHECK(cudaDeviceSynchronize());
    arrived.zero(), best.zero();
    std::vector<int> p(batch), t(batch);
    for (int i = 0; i < batch; ++i)
      p[i] = context - 1, t[i] = 11 + i;
    CHECK(cudaMemcpy(past, p.data(), batch * 4, cudaMemcpyHostToDevice));
    CHECK(cudaMemcpy(ids, t.data(), batch * 4, cudaMemcpyHostToDevice));
    CHECK(cudaDeviceSynchronize());
  }

  Norm norm() {
    if constexpr (std::is_same_v<Norm, DeferredNorm>)
      return {x, scale, 1e-5f};
    else
      return {x, scale, bias, 1e-5f, {}};
  }
  template <class Shape, int streamed = 0, class Prologue, class Epilogue>
  void product(const typename Shape::Format::View &w, Prologue p, Epilogue e, bool dependent) {
    if constexpr (streamed > 0)
      launch(gemvStreamEntry<Shape, Prologue, Epilogue>,
             {dim3(minInt(streamed * multiprocessors(), Shape::blocks)), Shape::threads, GemvStreamShape<Shape>::sharedBytes, stream, dependent}, w, p, e, (const int *)nullptr);
    else
      launch(gemvEntry<Shape, Prologue, Epilogue>, {dim3(Shape::blocks), Shape::threads, Shape::sharedBytes, stream, dependent}, w, p, e, (const int *)nullptr);
    ++kernels;
  }
  /// parts: which kernels; all but for finding where time goes.
  void enqueue(bool dependent, bool attention = true) {
    kernels = 0;
    const T *b = Model::biased ? bias.p : nullptr;
    launch(embeddingEntry<T, T, hidden, 128>, {dim3(batch), 128, 0, stream, dependent}, (const T *)table.p, (const int *)ids.p, Model::vocab,
           (const T *)(Model::places ? places.p : nullptr), (const int *)past.p, x.p, LiveRows{nullptr, 1});
    ++kernels;
    for (auto &layer : layers) {
      product<QkvShape, Tune::qkvStream>(layer->qkv.view(), norm(), QkvEpilogue{query, layer->keys, layer->values, past, turns, b, capacity}, dependent);
      if (attention) {
        launch(attendDecodeEntry<Attention>, {dim3(Attention::splits, Model::kvHeads * Attention::groupTiles, batch), Attention::threads, Attention::sharedBytes, stream, dependent},
               DecodeAttentionArguments{query, layer->keys, layer->values, mixed, past, nullptr, partial, arrived, capacity, 0, 1.0f / std::sqrt((float)Model::headDim), 0.0f});
        ++kernels;
      }
      product<OutShape>(layer->out.view(), NoPrologue<T, queryWidth>{mixed}, Residual{x, Model::places ? b : nullptr, x}, dependent);
      if constexpr (Model::gated)
        product<UpShape, Tune::upStream>(layer->up.view(), norm(), UpEpilogue{inner, nullptr}, dependent);
      else
        product<UpShape, Tune::upStream>(layer->up.view(), norm(), UpEpilogue{inner, b, nullptr}, dependent);
      product<DownShape>(layer->down.view(), NoPrologue<T, Model::ffn>{inner}, Residual{x, Model::places ? b : nullptr, x}, dependent);
    }
    product<HeadShape, Tune::headStream>(head.view(), norm(), HeadEpilogue{logits, best, nullptr}, dependent);
    launch(advanceEntry<32>, {dim3(1), 32, 0, stream, dependent}, StepState{best, nullptr, nullptr, token, ids, past, nullptr, batch});
    ++kernels;
  }
  cudaGraphExec_t capture(bool dependent, bool attention = true) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    enqueue(dependent, attention);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    CHECK(cudaGraphDestroy(graph));
    return exec;
  }
  double time(cudaGraphExec_t exec) {
    reset();
    return medianMs(stream, 30, 4, [&] { CHECK(cudaGraphLaunch(exec, stream)); });
  }
  /// Tokens and last logits of some steps.
  std::pair<std::vector<int>, std::vector<float>> generate(cudaGraphExec_t exec, int steps) {
    reset();
    Device<int> tokens((size_t)batch * steps);
    for (int i = 0; i < steps; ++i) {
      CHECK(cudaGraphLaunch(exec, stream));
      CHECK(cudaMemcpyAsync(tokens + i * batch, token, batch * 4, cudaMemcpyDeviceToDevice, stream));
    }
    CHECK(cudaStreamSynchronize(stream));
    return {tokens.host(), logits.host()};
  }
};

template <int K> using PlainB = PlainFormat<BFloat, K>;
template <int K> using Q4 = Q4Format<K, false>;
// Chosen by TimeGemv.cu: enough bytes in flight before the wait, and room for the successor's blocks.
using SmallTuning = Tuning<16, 4, 16, 4, 16, 2, 8, 12, 8, 8>;
using LargeTuning = Tuning<16, 4, 16, 4, 16, 4, 16, 4, 8, 8>;
using QuantTuning = Tuning<8, 4, 8, 4, 4, 4, 8, 4, 4, 4>;
using TinyTuning = Tuning<8, 3, 8, 3, 8, 3, 16, 6, 8, 3>;

} // namespace lab
