// What encoders with a head say of texts: labels of texts, labels of their tokens, words for their mask tokens.
#pragma once

#include "runtime/EncoderProgram.h"

namespace transom {

/// What a model scores; artifacts name it in their metadata, as `head`.
enum class ClassifierHead { sequence, token, words };
/// "sequence_classification", "token_classification", "masked_lm".
std::string_view name(ClassifierHead head);

/// [rows, labels], row-major.
struct LabelScores {
  std::vector<float> logits;
  std::vector<float> scores; ///< by the model's score function: softmax over a row, or the sigmoid of each logit, or the logits
};

/// The best label of a token.
struct TokenLabel {
  size_t row = 0, position = 0; ///< in the rows given, and among the row's tokens
  size_t label = 0;
  float score = 0; ///< softmax over the labels
};

/// A token that may stand where a mask does.
struct MaskToken {
  size_t row = 0, position = 0; ///< of the mask: in the rows given, and among the row's tokens
  int32_t token = 0;
  float score = 0; ///< softmax over the vocabulary
};

/// Where the `most` largest values stand, or all of them: largest first, of equal ones the first. NaN is below all.
std::vector<size_t> largest(std::span<const float> values, size_t most);

class Classifier {
public:
  /// Needs an artifact whose metadata names a ClassifierHead, and an f32 output logits that fits it. The session outlives it.
  /// Errors: unsupported, naming the head that was found and the call for it, or what the program lacks; invalidFile.
  static Result<Classifier> create(Session &session);

  ClassifierHead head() const { return head_; }
  /// Of the model's labels, in the order of the logits; none for words.
  const std::vector<std::string> &labels() const { return labels_; }
  /// Tokens a row may have; longer texts are cut, keeping the special tokens around them.
  int64_t maxTokens() const { return program_.maxTokens(); }
  const Model &model() const { return program_.model(); }

  /// A text, or a pair of texts, as a row for the calls below; with spans. Errors: invalidArgument where a text is not UTF-8;
  /// unsupported where the artifact carries no tokenizer, or its tokenizer has no template for pairs.
  Result<tokenizer::Encoding> encode(std::string_view text, std::optional<std::string_view> pair = {}) const;
  /// Token ids as a row, taken as they are; `types` are empty or one an id. Errors: invalidArgument; unsupported where there are types and
  /// the model takes none.
  Result<tokenizer::Encoding> encode(std::vector<int32_t> ids, std::vector<int32_t> types) const;
  /// The positions of a row's mask tokens; `mask` is their id, or noToken for the tokenizer's. Errors: invalidArgument where there are
  /// none; unsupported where the tokenizer has no such token.
  Result<std::vector<size_t>> masksOf(const tokenizer::Encoding &row, int32_t mask = tokenizer::noToken) const;

  // Each is for one head, and for any other an error: unsupported, naming the head and the call for it. Else EncoderProgram::run's.
  Result<LabelScores> classify(std::span<const tokenizer::Encoding> rows, EncoderStats *stats = nullptr);
  /// Of all tokens but those that the tokenizer's template adds; of rows of ids, of all. Sorted by row and position.
  Result<std::vector<TokenLabel>> classifyTokens(std::span<const tokenizer::Encoding> rows, EncoderStats *stats = nullptr);
  /// The `most` best tokens for each mask, best first, sorted by row and position. Errors: masksOf()'s too, naming the row.
  Result<std::vector<MaskToken>> fillMasks(std::span<const tokenizer::Encoding> rows, size_t most, int32_t mask = tokenizer::noToken,
                                           EncoderStats *stats = nullptr);

private:
  enum class ScoreFunction { softmax, sigmoid, none };
  Classifier(EncoderProgram program, ClassifierHead head) : program_(std::move(program)), head_(head) {}
  Status readLabels();
  Status readScoreFunction();
  Status expect(ClassifierHead head) const;
  void score(std::span<const float> logits, std::span<float> scores) const;

  EncoderProgram program_;
  ClassifierHead head_;
  std::vector<std::string> labels_;
  ScoreFunction scoreFunction_ = ScoreFunction::softmax;
};

} // namespace transom
