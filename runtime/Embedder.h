// Vectors of texts by an encoder model.
#pragma once

#include "runtime/EncoderProgram.h"

namespace transom {

class Embedder {
public:
  /// Needs what EncoderProgram::create does, with an output sentence_embedding [batch, dim]. Error: unsupported, naming what is
  /// missing. The session outlives it.
  static Result<Embedder> create(Session &session);

  int64_t dimension() const { return program_.width(); }
  /// Tokens a text may have; longer ones are cut, keeping the special tokens around them.
  int64_t maxTokens() const { return program_.maxTokens(); }

  /// [texts, dimension], row-major, in the texts' order. Needs the artifact's tokenizer.
  Result<std::vector<float>> embed(std::span<const std::string> texts, EncoderStats *stats = nullptr);
  /// The same from token ids, at least one and at most maxTokens() each.
  Result<std::vector<float>> embedTokens(std::span<const std::vector<int32_t>> texts, EncoderStats *stats = nullptr);

private:
  explicit Embedder(EncoderProgram program) : program_(std::move(program)) {}
  EncoderProgram program_;
};

} // namespace transom
