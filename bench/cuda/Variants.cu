// Variants of the decode chains that a run can choose between: blocks that stay (GemvStream.cuh), warps and depth, splits of decode
// attention, statistics of norms by each warp. A line each, beside the chain as Decode.cu has it.
#include "Chain.h"
#include "Checks.h"

namespace lab {
namespace {

template <class Model, class Tune> void timeVariant(const char *what, int context) {
  Chain<Model, Tune, 1> chain(4096, context);
  cudaGraphExec_t exec = chain.capture(true);
  double ms = chain.time(exec), again = chain.time(exec);
  std::printf("variant %s context %d, %s: %.4f ms, again %.4f\n", Model::name, context, what, ms, again);
  CHECK(cudaGraphExecDestroy(exec));
}

void timeLlama() {
  using Model = Llama1B<BFloat>;
  using Base = SmallTuning;
  using Wide = Tuning<16, 4, 16, 4, 16, 4, 8, 12, 8, 8>;
  using Narrow = Tuning<16, 4, 16, 4, 8, 8, 8, 12, 8, 8>;
  using Down16 = Tuning<16, 4, 16, 4, 16, 2, 16, 8, 8, 8>;
  timeVariant<Model, Streamed<Base, 0, 0, 2>>("head stays, 2 blocks", 128);
  timeVariant<Model, Streamed<Base, 0, 0, 3>>("head stays, 3 blocks", 128);
  timeVariant<Model, Streamed<Base, 0, 0, 4>>("head stays, 4 blocks", 128);
  timeVariant<Model, Streamed<Base, 0, 2, 3>>("up (16 warps, depth 2) and head stay, 2 and 3 blocks", 128);
  timeVariant<Model, Streamed<Wide, 0, 1, 3>>("up (16 warps, depth 4) and head stay, 1 and 3 blocks", 128);
  timeVariant<Model, Streamed<Wide, 0, 2, 3>>("up (16 warps, depth 4) and head stay, 2 and 3 blocks", 128);
  timeVariant<Model, Streamed<Narrow, 0, 2, 3>>("up (8 warps, depth 8) and head stay, 2 and 3 blocks", 128);
  timeVariant<Model, Streamed<Narrow, 0, 3, 3>>("up (8 warps, depth 8) and head stay, 3 and 3 blocks", 128);
  timeVariant<Model, Streamed<Wide, 1, 2, 3>>("qkv, up and head stay, 1, 2 and 3 blocks", 128);
  timeVariant<Model, Down16>("down 16 warps, depth 8", 128);
  for (int context : {128, 1024}) {
    timeVariant<Model, Base>("as it is", context);
    timeVariant<Model, Attending<Base, 8, 4, 256>>("attention 8 warps, 4 splits", context);
    timeVariant<Model, Attending<Base, 8, 8, 128>>("attention 8 warps, 8 splits of 128", context);
    timeVariant<Model, Attending<Base, 8, 16, 128>>("attention 8 warps, 16 splits of 128", context);
    timeVariant<Model, Attending<Base, 4, 16, 64>>("attention 4 warps, 16 splits of 64", context);
    timeVariant<Model, Attending<Base, 4, 8, 128>>("attention 4 warps, 8 splits of 128", context);
  }
}

void timeChatGlm() {
  using Wide = Tuning<16, 4, 16, 4, 16, 4, 16, 9, 16, 4>;
  timeVariant<ChatGlm2<PlainB>, LargeTuning>("bf16 as it is", 128);
  timeVariant<ChatGlm2<PlainB>, Streamed<LargeTuning, 0, 0, 2>>("bf16 head stays, 2 blocks", 128);
  timeVariant<ChatGlm2<PlainB>, Streamed<LargeTuning, 0, 1, 2>>("bf16 up and head stay, 1 and 2 blocks", 128);
  timeVariant<ChatGlm2<PlainB>, Streamed<LargeTuning, 0, 2, 2>>("bf16 up and head stay, 2 and 2 blocks", 128);
  timeVariant<ChatGlm2<PlainB>, Streamed<Wide, 0, 2, 2>>("bf16 up and head (16 warps, depth 4) stay, 2 and 2 blocks, down depth 9", 128);
  timeVariant<ChatGlm2<Q80Format>, QuantTuning>("q8_0 as it is", 128);
  timeVariant<ChatGlm2<Q80Format>, Streamed<QuantTuning, 0, 4, 4>>("q8_0 up and head stay, 4 blocks", 128);
  timeVariant<ChatGlm2<Q80Format>, Streamed<QuantTuning, 0, 6, 6>>("q8_0 up and head stay, 6 blocks", 128);
  timeVariant<ChatGlm2<Q4>, QuantTuning>("q4_0 as it is", 128);
  timeVariant<ChatGlm2<Q4>, Streamed<QuantTuning, 0, 4, 4>>("q4_0 up and head stay, 4 blocks", 128);
  timeVariant<ChatGlm2<Q4>, Streamed<QuantTuning, 0, 6, 6>>("q4_0 up and head stay, 6 blocks", 128);
}

void timeGpt2() {
  timeVariant<Gpt2, TinyTuning>("as it is", 64);
  timeVariant<Gpt2, NormedByWarps<TinyTuning>>("norms by warps", 64);
  timeVariant<Gpt2, Streamed<NormedByWarps<TinyTuning>, 0, 0, 4>>("norms by warps, head stays, 4 blocks", 64);
  timeVariant<Gpt2, Streamed<NormedByWarps<TinyTuning>, 0, 0, 6>>("norms by warps, head stays, 6 blocks", 64);
  timeVariant<Gpt2, Attending<NormedByWarps<TinyTuning>, 4, 4, 64>>("norms by warps, attention 4 warps, 4 splits of 64", 64);
}

} // namespace

void timeVariants(const char *what) {
  const bool named = std::strstr(what, "d1") || std::strstr(what, "d2") || std::strstr(what, "d3") || std::strstr(what, "a1");
  auto wants = [&](const char *name) { return !named || std::strstr(what, name); };
  if (wants("d1"))
    timeLlama();
  if (wants("d3"))
    timeGpt2();
  if (wants("d2"))
    timeChatGlm();
}

} // namespace lab
