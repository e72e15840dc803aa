// The generation loop on tokens: prefill in chunks, then one token per row and step, until every row has finished.
#pragma once

#include "runtime/generate/DecoderEngine.h"

#include <functional>

namespace transom {

enum class FinishReason : uint8_t {
  none,    ///< not finished
  eos,     ///< an end token, which is the last of the tokens
  length,  ///< maxNewTokens
  context, ///< the model's context is full
  stopped, ///< the callback said so
};
std::string_view name(FinishReason reason);

/// Semantics are those of Hugging Face transformers' GenerationConfig.
struct GenerateOptions {
  int64_t maxNewTokens = 128;
  float temperature = 0; ///< 0: greedy
  int32_t topK = 0;      ///< 0: off
  float topP = 1;        ///< 1: off
  uint64_t seed = 0;     ///< row r's n-th token depends on (seed, r, n) and the logits only
  bool ignoreEos = false;
  size_t firstRow = 0; ///< r of the first prompt: of a file that is read in batches, those before them
};

struct TokenEvent {
  size_t row = 0; ///< which prompt
  int32_t token = 0;
  FinishReason finish = FinishReason::none; ///< why this is the row's last token, if it is
};
/// Called for each token in order of generation; false stops all rows.
using TokenCallback = std::function<bool(const TokenEvent &)>;

struct GenerateStats {
  int64_t promptTokens = 0, newTokens = 0;
  int64_t decodeSteps = 0;
  double prefillSeconds = 0, decodeSeconds = 0; ///< decode: all after the first token of each row
};

struct Generated {
  std::vector<std::vector<int32_t>> tokens; ///< by prompt, without the prompt
  std::vector<FinishReason> finish;
  GenerateStats stats;
};

class Generator {
public:
  /// Errors: DecoderEngine::create's. The session outlives the generator, and is used by it alone while it generates.
  static Result<Generator> create(Session &session);

  /// Prompts of any lengths, at least one token each; more than fit a batch run one batch after the other.
  /// Allocates what the request needs before its first token, and nothing from there on; oneDNN may, in prefill.
  /// Errors: invalidArgument, naming the option or prompt; internal where the model gives NaN.
  Result<Generated> generate(std::span<const std::vector<int32_t>> prompts, const GenerateOptions &options,
                             const TokenCallback &onToken = {});

  const DecoderEngine::Limits &limits() const { return engine_->limits(); }
  /// The model's end tokens.
  std::span<const int32_t> eosTokens() const { return eos_; }

private:
  struct Row {
    std::span<const int32_t> prompt;
    size_t index = 0;    ///< in the call
    size_t consumed = 0; ///< of the prompt
    bool active = true;
  };
  Generator() = default;
  Status check(std::span<const std::vector<int32_t>> prompts, const GenerateOptions &options) const;
  Status runBatch(std::span<Row> rows, const GenerateOptions &options, const TokenCallback &onToken, Generated &out);
  Status prefill(std::span<Row> rows, std::span<std::span<const int32_t>> tokens, const GenerateOptions &options,
                 const TokenCallback &onToken, Generated &out);
  /// The loop where the engine chooses: the same tokens and events as without.
  Status decodeChosen(std::span<Row> rows, const GenerateOptions &options, const TokenCallback &onToken, Generated &out);
  /// Chooses a row's next token from its logits.
  Status emit(Row &row, size_t slot, const GenerateOptions &options, const TokenCallback &onToken, Generated &out);
  /// Takes a row's next token, -1 for logits that are no numbers.
  Status accept(Row &row, size_t slot, int64_t token, const GenerateOptions &options, const TokenCallback &onToken, Generated &out);

  std::unique_ptr<DecoderEngine> engine_;
  std::vector<int32_t> eos_;
  bool stop_ = false;
};

} // namespace transom
