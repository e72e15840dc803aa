// Vectors of texts by an encoder model: tokenised, batched with texts of similar length, run, put back in order.
#pragma once

#include "runtime/Session.h"

namespace transom {

struct EmbedStats {
  int64_t tokens = 0, paddedTokens = 0;
  int64_t truncated = 0; ///< texts that were longer than the model takes
  double seconds = 0;    ///< in the model
};

class Embedder {
public:
  /// Needs a program "main" with input_ids [batch, seq], optionally attention_mask and token_type_ids, all i32, and an
  /// output sentence_embedding [batch, dim] f32. Error: unsupported, naming what is missing. The session outlives it.
  static Result<Embedder> create(Session &session);

  int64_t dimension() const { return dimension_; }
  /// Tokens a text may have; longer ones are cut, keeping the special tokens around them.
  int64_t maxTokens() const { return maxSeq_; }

  /// [texts, dimension], row-major, in the texts' order. Needs the artifact's tokenizer.
  Result<std::vector<float>> embed(std::span<const std::string> texts, EmbedStats *stats = nullptr);
  /// The same from token ids, at least one and at most maxTokens() each.
  Result<std::vector<float>> embedTokens(std::span<const std::vector<int32_t>> texts, EmbedStats *stats = nullptr);

  /// The ids of a text as embed() uses them.
  Result<std::vector<int32_t>> encode(const std::string &text, bool &truncated) const;

private:
  explicit Embedder(Session &session) : session_(&session) {}
  Status readProgram();
  Status runBatch(std::span<const size_t> order, std::span<const std::vector<int32_t>> texts, std::vector<float> &out);

  Session *session_;
  size_t program_ = 0, output_ = 0;
  bool takesMask_ = false, takesTypes_ = false;
  int64_t dimension_ = 0, minBatch_ = 0, maxBatch_ = 0, minSeq_ = 0, maxSeq_ = 0;
  std::vector<int32_t> ids_, mask_, types_; ///< [batch, seq]
};

} // namespace transom
