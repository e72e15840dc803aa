// Feeds tokens to a decoder model and gives back logits: one interface over the forms an artifact may have. Some choose
// tokens as well, on the device. No stopping.
#pragma once

#include "runtime/Session.h"
#include "runtime/format/Sampling.h"

namespace transom {

/// A batch of sequences that grow. Rows and positions are counted from the last begin().
class DecoderEngine {
public:
  /// Picks the form: programs "prefill" and "decode" with caches in the session, or "main" with past and present
  /// tensors, which are fed back. Error: unsupported, saying what is missing. The session outlives the engine.
  static Result<std::unique_ptr<DecoderEngine>> create(Session &session);
  virtual ~DecoderEngine() = default;

  struct Limits {
    int64_t batch = 0;   ///< rows at most
    int64_t chunk = 0;   ///< new tokens per row and step at most
    int64_t context = 0; ///< tokens per row at most, prompt and answer
    int64_t vocab = 0;
  };
  const Limits &limits() const { return limits_; }

  /// Forgets everything; from now on `rows` sequences, at most limits().batch.
  virtual void begin(size_t rows) = 0;
  enum class Source { prompts, answers };
  /// Appends new tokens to every row that has some; of answers one a row. The caller keeps to the limits: see room().
  virtual Status step(std::span<const std::span<const int32_t>> tokens, Source source) = 0;
  /// The next token's logits, [vocab], of a row that the last step gave tokens. Valid until the next step.
  virtual const float *logits(size_t row) const = 0;
  /// Whether each row could take that many tokens more in one step.
  virtual bool room(size_t row, int64_t tokens) const = 0;

  /// A row whose further tokens the engine chooses itself.
  struct ChoosingRow {
    int32_t token = 0;   ///< its last, which no step has taken yet
    int64_t row = 0;     ///< for the random numbers: see sampling::uniform
    int64_t index = 0;   ///< of the next token in its answer
    int64_t most = 0;    ///< further tokens at most; 0: the row is idle
  };
  /// Whether it can choose tokens this way, without the host between steps.
  virtual bool chooses(const sampling::Options &options) const { return false; }
  /// From here on the engine feeds its own tokens to the rows of begin(), until the next begin(). Only where chooses().
  virtual Status beginChoosing(std::span<const ChoosingRow> rows, const sampling::Options &options, uint64_t seed);
  /// The next token of each row that goes on, [rows]; -1 where its logits are NaN or infinite. Others' are undefined. Steps that
  /// follow are under way already. Only where some row goes on. Valid until the next call.
  virtual Result<std::span<const int32_t>> choose();
  /// The row needs no more tokens.
  virtual Status end(size_t row);

protected:
  explicit DecoderEngine(Session &session) : session_(session) {}
  Session &session_;
  Limits limits_;
};

} // namespace transom
