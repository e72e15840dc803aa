// What a random graph is made of: small whole numbers drawn from a seed. The reducer makes them smaller one by one.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace transom::random {

enum Family : int { decoder = 0, encoder = 1, crossAttention = 2 };
enum WeightForm : int { transposedRhs = 0, plainRhs = 1, transposeOp = 2 };
enum WeightSource : int { constants = 0, bf16Constants = 1, files = 2, blocks = 3 };
enum Layout : int { bhsd = 0, bshd = 1, sbhd = 2 };
enum Rotary : int { noRotary = 0, fullRotary = 1, partialRotary = 2 };
enum Pooling : int { noPooling = 0, firstToken = 1, mean = 2, maximum = 3, normalisedMean = 4 };

struct Spec {
  uint64_t seed = 0;
  int perturbation = 0; ///< index into perturbations(); 0 is none
  int family = decoder;
  int layers = 1;
  int sharedLayers = 0;   ///< all layers have the same weights
  int sequenceFirst = 0;  ///< the trunk is [seq, batch, hidden]
  int heads = 2, kvHeads = 1, headDim = 2, feedForward = 4, vocab = 7;
  int hidden = 4;
  int layerNorm = 0;      ///< else rms_norm
  int normBias = 0;
  int postNorm = 0;
  int epsilon = 0;        ///< 10^-(epsilon + 2)
  int merged = 0;         ///< query, key and value are one matmul and slices
  int bias = 0;
  int weightForm = transposedRhs;
  int weightSource = constants;
  int rotary = noRotary;
  int interleaved = 0;
  int factors = 0;
  int rotaryLayout = bhsd, attentionLayout = bhsd, cacheLayout = bhsd;
  int cached = 0;
  int sharedCache = 0;    ///< the second layer reads the first one's keys and values
  int window = 0, softcap = 0;
  int gated = 0, mergedGate = 0, activation = 0;
  int learnedPositions = 0; ///< 1: by position_ids, 2: by iota
  int mask = 0;
  int types = 0;
  int pooling = noPooling;
  int memoryEncoded = 0;  ///< cross-attention memory is computed from ids in the graph
  int tiedHead = 0;
  int embedNorm = 0;
  int headNorm = 0;
  int batchMax = 1, seqMax = 1, pastMax = 0, memoryMax = 1;
  int staticBatch = 0, staticSeq = 0; ///< the size is the bound, not a name
};

/// The graph of a seed. Deterministic.
Spec makeSpec(uint64_t seed);

/// One number of a Spec by name, and what it can be made smaller to.
struct SpecField {
  const char *name;
  int Spec::*member;
  int smallest;
};
std::span<const SpecField> specFields();
/// "layers=2 heads=3 ...", numbers at their smallest left out.
std::string describe(const Spec &spec);
/// Makes the numbers fit each other again after a change.
void repair(Spec &spec);

} // namespace transom::random
