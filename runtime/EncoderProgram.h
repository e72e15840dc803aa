// A program of an encoder over many rows of tokens: batches of rows of similar length, each row's output given to the caller.
#pragma once

#include "runtime/Session.h"

#include <functional>

namespace transom {

/// A row as the model reads it; spans are the caller's.
struct TokenRow {
  std::span<const int32_t> ids;
  std::span<const int32_t> types = {}; ///< token types, one an id; empty: all are 0
  std::span<const size_t> chosen = {}; ///< of a program for chosen tokens: their positions, which lie within the row
};

struct EncoderStats {
  int64_t tokens = 0, paddedTokens = 0;
  int64_t truncated = 0; ///< texts that were longer than the model takes
  double seconds = 0;    ///< in the model
};

/// What an output has a vector of: each row, each token, or each token that a row chooses.
enum class VectorPer { row, token, chosenToken };

class EncoderProgram {
public:
  /// Needs a program "main" with input_ids [batch, seq], optionally attention_mask and token_type_ids, all i32, and an f32 output of
  /// that name: [batch, width], or [batch, seq, width] per token. Per chosen token the program is "masked", with masked_positions [masks]
  /// and an output [masks, width]. Error: unsupported, naming what is missing or different. The session outlives it.
  static Result<EncoderProgram> create(Session &session, std::string_view output, VectorPer per);

  /// Numbers of the output for a row, or for each of its tokens.
  int64_t width() const { return width_; }
  /// Tokens a row may have.
  int64_t maxTokens() const { return maxSeq_; }
  /// Whether its output has a vector of each token that a row chooses, and of no other.
  bool chooses() const { return per_ == VectorPer::chosenToken; }
  bool takesTypes() const { return takesTypes_; }
  const Model &model() const { return session_->model(); }

  /// One or two texts as a row: with the tokenizer's template around them, cut to maxTokens(). Error: unsupported where the artifact
  /// carries no tokenizer.
  Result<tokenizer::Encoding> encode(std::string_view text, std::optional<std::string_view> pair = {}, bool spans = false) const;

  /// Called once for each row, in any order: `output` is [width], or [tokens of the row, width], or [chosen tokens, width].
  using Take = std::function<void(size_t row, const float *output)>;
  /// Rows of similar length share a run, on GPUs that pack tokens as many as the program takes; what a row gives does not depend on
  /// which, beyond rounding. Adds to `stats`.
  /// Errors: invalidArgument where a row has no tokens or more than maxTokens(), or chooses none, or more than the
  /// program takes; Session::run's.
  Status run(std::span<const TokenRow> rows, const Take &take, EncoderStats *stats = nullptr);

private:
  EncoderProgram(Session &session, VectorPer per) : session_(&session), per_(per) {}
  Status readProgram(std::string_view output);
  size_t batchFrom(std::span<const size_t> order, std::span<const TokenRow> rows) const;
  Status checkRow(size_t index, const TokenRow &row) const;
  Status runBatch(std::span<const size_t> order, std::span<const TokenRow> rows, const Take &take);

  Session *session_;
  VectorPer per_;
  size_t program_ = 0, output_ = 0;
  bool takesMask_ = false, takesTypes_ = false, fillsBatches_ = false;
  int64_t width_ = 0, minBatch_ = 0, maxBatch_ = 0, minSeq_ = 0, maxSeq_ = 0, maxChosen_ = 0;
  std::vector<int32_t> ids_, mask_, types_; ///< [batch, seq]
  std::vector<int32_t> chosen_;             ///< row * seq + position
};

} // namespace transom
