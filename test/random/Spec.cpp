// See Spec.h.
#include "test/random/Spec.h"

#include "test/random/Perturbations.h"
#include "test/random/Random.h"

#include <fmt/format.h>

#include <algorithm>

namespace transom::random {

namespace {

const SpecField fields[] = {
    {"layers", &Spec::layers, 1},
    {"shared_layers", &Spec::sharedLayers, 0},
    {"sequence_first", &Spec::sequenceFirst, 0},
    {"heads", &Spec::heads, 1},
    {"kv_heads", &Spec::kvHeads, 1},
    {"head_dim", &Spec::headDim, 2},
    {"feed_forward", &Spec::feedForward, 2},
    {"vocab", &Spec::vocab, 5},
    {"hidden", &Spec::hidden, 2},
    {"layer_norm", &Spec::layerNorm, 0},
    {"norm_bias", &Spec::normBias, 0},
    {"post_norm", &Spec::postNorm, 0},
    {"epsilon", &Spec::epsilon, 0},
    {"merged", &Spec::merged, 0},
    {"bias", &Spec::bias, 0},
    {"weight_form", &Spec::weightForm, 0},
    {"weight_source", &Spec::weightSource, 0},
    {"rotary", &Spec::rotary, 0},
    {"interleaved", &Spec::interleaved, 0},
    {"factors", &Spec::factors, 0},
    {"rotary_layout", &Spec::rotaryLayout, 0},
    {"attention_layout", &Spec::attentionLayout, 0},
    {"cache_layout", &Spec::cacheLayout, 0},
    {"cached", &Spec::cached, 0},
    {"shared_cache", &Spec::sharedCache, 0},
    {"window", &Spec::window, 0},
    {"softcap", &Spec::softcap, 0},
    {"gated", &Spec::gated, 0},
    {"merged_gate", &Spec::mergedGate, 0},
    {"activation", &Spec::activation, 0},
    {"learned_positions", &Spec::learnedPositions, 0},
    {"mask", &Spec::mask, 0},
    {"types", &Spec::types, 0},
    {"pooling", &Spec::pooling, 0},
    {"memory_encoded", &Spec::memoryEncoded, 0},
    {"tied_head", &Spec::tiedHead, 0},
    {"embed_norm", &Spec::embedNorm, 0},
    {"head_norm", &Spec::headNorm, 0},
    {"batch_max", &Spec::batchMax, 1},
    {"seq_max", &Spec::seqMax, 1},
    {"past_max", &Spec::pastMax, 0},
    {"memory_max", &Spec::memoryMax, 1},
    {"static_batch", &Spec::staticBatch, 0},
    {"static_seq", &Spec::staticSeq, 0},
};

void drawAttention(Spec &s, Random &r) {
  s.kvHeads = int(r.range(1, 3));
  s.heads = s.kvHeads * int(r.range(1, 3));
  s.headDim = r.pick({2, 4, 6, 8});
  s.hidden = r.percent(70) ? s.heads * s.headDim : r.pick({6, 10, 12, 15});
  s.merged = r.percent(40);
  s.bias = r.percent(s.family == decoder ? 30 : 80);
  s.rotary = r.percent(s.family == decoder ? 80 : 25) ? r.pick({1, 1, 1, 2}) : 0;
  s.interleaved = r.percent(30);
  s.factors = r.percent(20);
  s.rotaryLayout = int(r.below(2));
  s.attentionLayout = int(r.below(2));
  s.cacheLayout = r.pick({0, 0, 1, 2});
  s.window = r.percent(20) ? int(r.range(1, 6)) : 0;
  s.softcap = r.percent(15);
}

void drawSizes(Spec &s, Random &r) {
  s.batchMax = int(r.range(1, 4));
  s.seqMax = r.percent(15) ? int(r.range(1, 2)) : int(r.range(3, 7));
  // So many rows that kernels for few rows do not serve.
  if (r.percent(35)) {
    s.batchMax = int(r.range(2, 4));
    s.seqMax = int(r.range(8, 11));
  }
  s.pastMax = int(r.range(0, 9));
  s.memoryMax = int(r.range(1, 7));
  s.staticBatch = r.percent(8);
  s.staticSeq = r.percent(6);
}

} // namespace

std::span<const SpecField> specFields() { return fields; }

void repair(Spec &s) {
  s.kvHeads = std::min(s.kvHeads, s.heads);
  while (s.heads % s.kvHeads)
    --s.kvHeads;
  if (s.family == encoder)
    s.cached = s.sharedCache = 0;
  if (s.cached)
    s.staticSeq = 0, s.pastMax = std::max(s.pastMax, 1);
  // A static number of tokens is no other size of the graph, so that masks can be matched to results.
  if (s.staticSeq)
    s.seqMax = 29;
  if (s.headDim < 2 || s.headDim % 2)
    s.rotary = s.headDim > 2 && s.rotary ? partialRotary : noRotary;
  if (s.headDim < 4 && s.rotary == partialRotary)
    s.rotary = fullRotary;
  if (s.weightSource == blocks) { // rows of whole blocks
    s.hidden = 32;
    s.headDim = std::max(2, 32 / s.heads);
    if (s.heads * s.headDim != 32)
      s.heads = s.kvHeads = 1, s.headDim = 32;
    s.feedForward = 32;
    s.weightForm = transposedRhs;
  }
  if (s.layers < 2 || s.cacheLayout == sbhd)
    s.sharedCache = 0;
}

Spec makeSpec(uint64_t seed) {
  Random r(seed, "spec");
  Spec s;
  s.seed = seed;
  s.family = r.pick({0, 0, 0, 0, 0, 1, 1, 1, 2, 2});
  s.layers = r.pick({1, 1, 1, 2, 2, 3});
  s.sharedLayers = r.percent(10);
  s.sequenceFirst = r.percent(25);
  drawAttention(s, r);
  s.feedForward = int(r.range(3, 20));
  s.vocab = int(r.range(5, 19));
  s.layerNorm = s.family == decoder ? r.percent(25) : r.percent(85);
  s.normBias = r.percent(80);
  s.postNorm = s.family == encoder ? r.percent(60) : r.percent(10);
  s.epsilon = int(r.range(0, 4));
  s.weightForm = r.pick({0, 0, 0, 0, 1, 2});
  s.weightSource = r.pick({0, 0, 0, 1, 2, 2, 3});
  s.cached = s.family == decoder ? r.percent(90) : s.family == crossAttention && r.percent(40);
  s.sharedCache = r.percent(8);
  s.gated = r.percent(s.family == decoder ? 80 : 20);
  s.mergedGate = r.percent(30);
  s.activation = int(r.below(4));
  s.learnedPositions = s.rotary ? 0 : int(r.below(3));
  s.mask = r.percent(85);
  s.types = s.family == encoder && r.percent(50);
  s.pooling = s.family == encoder ? int(r.below(5)) : 0;
  s.memoryEncoded = s.family == crossAttention && r.percent(40);
  s.tiedHead = r.percent(30);
  s.embedNorm = s.family == encoder && r.percent(80);
  s.headNorm = !s.postNorm || r.percent(30);
  drawSizes(s, r);
  repair(s);
  Random p(seed, "perturbation");
  if (p.percent(65))
    s.perturbation = drawPerturbation(s, p);
  return s;
}

std::string describe(const Spec &spec) {
  static const char *const families[] = {"decoder", "encoder", "cross-attention"};
  std::string text = fmt::format("seed {}: {}", spec.seed, families[spec.family]);
  for (const SpecField &field : fields)
    if (spec.*field.member != field.smallest)
      text += fmt::format(" {}={}", field.name, spec.*field.member);
  return text + ", perturbation: " + perturbations()[spec.perturbation].name;
}

} // namespace transom::random
