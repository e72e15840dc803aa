// See Embedder.h.
#include "runtime/Embedder.h"

#include <algorithm>

namespace transom {

Result<Embedder> Embedder::create(Session &session) {
  Result<EncoderProgram> program = EncoderProgram::create(session, "sentence_embedding", VectorPer::row);
  if (!program.ok())
    return Status(StatusCode::unsupported, "the model does not embed texts: " + program.status().message());
  return Embedder(std::move(*program));
}

Result<std::vector<float>> Embedder::embed(std::span<const std::string> texts, EncoderStats *stats) {
  std::vector<std::vector<int32_t>> ids(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    TRANSOM_ASSIGN(tokenizer::Encoding encoding, program_.encode(texts[i]));
    ids[i] = std::move(encoding.ids);
    if (stats)
      stats->truncated += encoding.truncated;
  }
  return embedTokens(ids, stats);
}

Result<std::vector<float>> Embedder::embedTokens(std::span<const std::vector<int32_t>> texts, EncoderStats *stats) {
  std::vector<TokenRow> rows(texts.size());
  std::transform(texts.begin(), texts.end(), rows.begin(), [](const std::vector<int32_t> &ids) { return TokenRow{ids}; });
  std::vector<float> out(texts.size() * static_cast<size_t>(dimension()));
  auto take = [&](size_t row, const float *vector) {
    std::copy_n(vector, dimension(), out.begin() + static_cast<int64_t>(row) * dimension());
  };
  TRANSOM_RETURN_IF_ERROR(program_.run(rows, take, stats));
  return out;
}

} // namespace transom
