// Decoders with caches that the session keeps: program "prefill" for several new tokens, "decode" for one per row.
#include "runtime/generate/DecoderEngine.h"
#include "runtime/generate/StepShape.h"

#include <algorithm>

namespace transom {

namespace {

class CachedEngine final : public DecoderEngine {
public:
  CachedEngine(Session &session, size_t prefill, size_t decode, Limits limits, TokenBatch tokens)
      : DecoderEngine(session), prefill_(prefill), decode_(decode), tokens_(std::move(tokens)) {
    limits_ = limits;
    lengths_.resize(static_cast<size_t>(limits.batch));
    past_.resize(static_cast<size_t>(limits.batch));
  }

  void begin(size_t) override {
    std::fill(past_.begin(), past_.end(), 0);
    std::fill(lengths_.begin(), lengths_.end(), 0);
  }

  Status step(std::span<const std::span<const int32_t>> rows) override {
    tokens_.fill(rows);
    // Rows that the last step gave tokens have them in their cache now.
    for (size_t row = 0; row < past_.size(); ++row) {
      past_[row] += lengths_[row];
      lengths_[row] = row < rows.size() ? static_cast<int32_t>(rows[row].size()) : 0;
    }
    int64_t batch[] = {tokens_.batch()};
    TensorView inputs[] = {tokens_.view("input_ids"),
                           {"lengths", DType::i32, batch, lengths_.data()},
                           {"past_lengths", DType::i32, batch, past_.data()}};
    TRANSOM_ASSIGN(auto outputs, session_.run(tokens_.seq() == 1 ? decode_ : prefill_, inputs));
    auto logits = std::find_if(outputs.begin(), outputs.end(), [](const auto &o) { return o.name == "logits"; });
    logits_ = static_cast<const float *>(logits->data);
    return {};
  }

  const float *logits(size_t row) const override { return logits_ + static_cast<int64_t>(row) * limits_.vocab; }
  bool room(size_t row, int64_t tokens) const override {
    return past_[row] + lengths_[row] + tokens <= limits_.context;
  }

private:
  size_t prefill_, decode_;
  TokenBatch tokens_;
  std::vector<int32_t> lengths_, past_; ///< of the last step
  const float *logits_ = nullptr;
};

/// Checks that a program takes and gives what step() does; returns its input_ids.
Result<const artifact::Value *> checkProgram(const artifact::Program &program) {
  TRANSOM_ASSIGN(const artifact::Value *ids, findValue(program.inputs, "input_ids", DType::i32, 2));
  TRANSOM_RETURN_IF_ERROR(findValue(program.inputs, "lengths", DType::i32, 1).status());
  TRANSOM_RETURN_IF_ERROR(findValue(program.inputs, "past_lengths", DType::i32, 1).status());
  TRANSOM_ASSIGN(const artifact::Value *logits, findValue(program.outputs, "logits", DType::f32, 2));
  if (!logits->shape[1].isConstant())
    return error(StatusCode::unsupported, "\"logits\": its last dimension is not fixed");
  return ids;
}

} // namespace

Result<std::unique_ptr<DecoderEngine>> createCachedEngine(Session &session) {
  const Model &model = session.model();
  const auto &symbols = model.contents().symbols;
  TRANSOM_ASSIGN(size_t prefill, model.programIndex("prefill"));
  TRANSOM_ASSIGN(size_t decode, model.programIndex("decode"));
  const artifact::Program &first = model.contents().programs[prefill];
  Result<const artifact::Value *> ids = checkProgram(first), one = checkProgram(model.contents().programs[decode]);
  if (!ids.ok())
    return ids.status().within("program prefill");
  if (!one.ok())
    return one.status().within("program decode");
  Range batch = rangeOf((*ids)->shape[0], symbols), seq = rangeOf((*ids)->shape[1], symbols);
  Range decodeBatch = rangeOf((*one)->shape[0], symbols);
  DecoderEngine::Limits limits{.batch = std::min(batch.max, decodeBatch.max), .chunk = seq.max};
  limits.vocab = rangeOf((*findValue(first.outputs, "logits", DType::f32, 2))->shape[1], symbols).max;
  // Caches are [batch, kv_heads, capacity, head_dim].
  limits.context = model.metadataNumber("context_length").value_or(INT32_MAX);
  for (const artifact::State &state : model.contents().states)
    if (state.name.starts_with("cache.") && state.shape.size() == 4)
      limits.context = std::min(limits.context, rangeOf(state.shape[2], symbols).max);
  TokenBatch tokens({std::max(batch.min, decodeBatch.min), limits.batch}, {1, seq.max});
  return std::unique_ptr<DecoderEngine>(
      new CachedEngine(session, prefill, decode, limits, std::move(tokens)));
}

} // namespace transom
