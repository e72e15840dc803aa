// Decoders with caches that the session keeps: program "prefill" for several new tokens, "decode" for one per row, and on CUDA
// "step", which chooses the tokens on the device and feeds itself.
#include "runtime/generate/DecoderEngine.h"
#include "runtime/generate/StepShape.h"

#include <algorithm>
#include <cassert>

namespace transom {

namespace {

/// Program "step", which chooses tokens on the device: places of its values among its inputs and outputs.
struct StepProgram {
  size_t program = 0, lengths = 0, tokens = 0;
  bool samples = false; ///< whether it has the inputs for sampling
};

class CachedEngine final : public DecoderEngine {
public:
  CachedEngine(Session &session, size_t prefill, size_t decode, std::optional<StepProgram> step, Limits limits, TokenBatch tokens)
      : DecoderEngine(session), prefill_(prefill), decode_(decode), step_(step), tokens_(std::move(tokens)) {
    limits_ = limits;
    const std::string *invariant = session.model().contents().findMetadata("batch_invariant");
    batchInvariant_ = invariant && *invariant == "true";
    auto rows = static_cast<size_t>(limits.batch);
    lengths_.resize(rows);
    past_.resize(rows);
    if (step_)
      resizeChoosing(rows);
  }

  void begin(size_t) override {
    std::fill(past_.begin(), past_.end(), 0);
    std::fill(lengths_.begin(), lengths_.end(), 0);
    loop_ = nullptr;
  }

  Status step(std::span<const std::span<const int32_t>> rows, Source source) override {
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
    bool one = tokens_.seq() == 1 && (source == Source::answers || !batchInvariant_);
    TRANSOM_ASSIGN(auto outputs, session_.run(one ? decode_ : prefill_, inputs));
    auto logits = std::find_if(outputs.begin(), outputs.end(), [](const auto &o) { return o.name == "logits"; });
    logits_ = static_cast<const float *>(logits->data);
    return {};
  }

  const float *logits(size_t row) const override { return logits_ + static_cast<int64_t>(row) * limits_.vocab; }
  bool room(size_t row, int64_t tokens) const override {
    return past_[row] + lengths_[row] + tokens <= limits_.context;
  }

  bool chooses(const sampling::Options &options) const override {
    return step_ && (step_->samples || !(options.temperature > 0) || options.topK == 1);
  }

  Status beginChoosing(std::span<const ChoosingRow> rows, const sampling::Options &options, uint64_t seed) override {
    auto batch = static_cast<size_t>(tokens_.batch());
    std::fill(limit_.begin(), limit_.end(), 0);
    for (size_t row = 0; row < batch; ++row) {
      ChoosingRow from = row < rows.size() ? rows[row] : ChoosingRow();
      past_[row] += lengths_[row];
      limit_[row] = std::clamp<int64_t>(limits_.context - past_[row], 0, from.most);
      lengths_[row] = limit_[row] > 0;
      last_[row] = from.token;
      temperature_[row] = options.temperature;
      topP_[row] = options.topP;
      topK_[row] = options.topK;
      seed_[row] = static_cast<int64_t>(seed);
      number_[row] = from.row;
      index_[row] = from.index;
    }
    std::fill(launched_.begin(), launched_.end(), 0);
    taken_ = underWay_ = 0;
    int64_t column[] = {tokens_.batch(), 1}, shape[] = {tokens_.batch()};
    TensorView inputs[] = {{"input_ids", DType::i32, column, last_.data()},
                           {"lengths", DType::i32, shape, lengths_.data()},
                           {"past_lengths", DType::i32, shape, past_.data()},
                           {"temperature", DType::f32, shape, temperature_.data()},
                           {"top_p", DType::f32, shape, topP_.data()},
                           {"top_k", DType::i32, shape, topK_.data()},
                           {"seed", DType::i64, shape, seed_.data()},
                           {"row", DType::i64, shape, number_.data()},
                           {"token_index", DType::i64, shape, index_.data()}};
    TRANSOM_ASSIGN(loop_, session_.startLoop(step_->program, std::span(inputs).first(step_->samples ? 9 : 3), step_->tokens));
    // What is in the caches now is counted in past_ from here on.
    std::fill(lengths_.begin(), lengths_.end(), 0);
    return {};
  }

  Result<std::span<const int32_t>> choose() override {
    while (underWay_ < loop_->depth()) {
      TRANSOM_ASSIGN(bool more, launch());
      if (!more)
        break;
    }
    assert(underWay_ > 0 && "some row goes on");
    TRANSOM_ASSIGN(std::span<const int32_t> tokens, loop_->next());
    --underWay_;
    for (size_t row = 0; row < past_.size(); ++row) {
      past_[row] += lengths_[row];
      lengths_[row] = taken_ < launched_[row];
    }
    ++taken_;
    return tokens;
  }

  Status end(size_t row) override {
    if (launched_[row] >= limit_[row])
      return {}; // it ends, or has ended, by itself
    limit_[row] = launched_[row];
    return loop_->clear(step_->lengths, row);
  }

private:
  void resizeChoosing(size_t rows) {
    for (auto *numbers : {&last_, &topK_})
      numbers->resize(rows);
    for (auto *numbers : {&temperature_, &topP_})
      numbers->resize(rows);
    for (auto *numbers : {&seed_, &number_, &index_, &limit_, &launched_})
      numbers->resize(rows);
  }

  /// Starts another step, unless no row can take one. A row that has had all its steps is idle before the next.
  Result<bool> launch() {
    bool any = false;
    for (size_t row = 0; row < limit_.size(); ++row)
      any |= launched_[row] < limit_[row];
    if (!any)
      return false;
    TRANSOM_RETURN_IF_ERROR(loop_->launch());
    ++underWay_;
    for (size_t row = 0; row < limit_.size(); ++row)
      if (launched_[row] < limit_[row] && ++launched_[row] == limit_[row])
        TRANSOM_RETURN_IF_ERROR(loop_->clear(step_->lengths, row));
    return true;
  }

  size_t prefill_, decode_;
  bool batchInvariant_ = false; ///< then a prompt's last token alone takes the way that it takes beside longer prompts
  std::optional<StepProgram> step_;
  TokenBatch tokens_;
  std::vector<int32_t> lengths_, past_; ///< of the last step, or while choosing of the last one whose tokens were taken
  const float *logits_ = nullptr;
  StepLoop *loop_ = nullptr;
  std::vector<int32_t> last_, topK_;                       ///< inputs of the step program, by row
  std::vector<float> temperature_, topP_;
  std::vector<int64_t> seed_, number_, index_;
  std::vector<int64_t> limit_, launched_;                  ///< steps that a row takes in all, and those started
  int64_t taken_ = 0;                                      ///< steps whose tokens were given out
  size_t underWay_ = 0;
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

/// Program "step" of the session's device, whose rows are `batch`; nothing where the artifact has none.
Result<std::optional<StepProgram>> findStep(const Session &session, const artifact::Expr &batch) {
  const artifact::Contents &contents = session.model().contents();
  const artifact::Program *program = contents.findProgram("step", session.programDevice());
  if (!program || session.programDevice() != artifact::Device::cuda)
    return std::optional<StepProgram>();
  StepProgram step{.program = static_cast<size_t>(program - contents.programs.data())};
  TRANSOM_ASSIGN(const artifact::Value *ids, findValue(program->inputs, "input_ids", DType::i32, 2));
  TRANSOM_ASSIGN(const artifact::Value *lengths, findValue(program->inputs, "lengths", DType::i32, 1));
  TRANSOM_RETURN_IF_ERROR(findValue(program->inputs, "past_lengths", DType::i32, 1).status());
  TRANSOM_ASSIGN(const artifact::Value *tokens, findValue(program->outputs, "tokens", DType::i32, 1));
  if (ids->shape[0] != batch || tokens->shape[0] != ids->shape[0] || lengths->shape[0] != ids->shape[0])
    return error(StatusCode::unsupported, "its rows are not those of program decode");
  step.samples = program->inputs.size() > 3;
  if (step.samples) {
    for (auto [name, dtype] : {std::pair("temperature", DType::f32), {"top_p", DType::f32}, {"top_k", DType::i32}, {"seed", DType::i64},
                               {"row", DType::i64}, {"token_index", DType::i64}})
      TRANSOM_RETURN_IF_ERROR(findValue(program->inputs, name, dtype, 1).status());
    if (program->inputs.size() != 9)
      return error(StatusCode::unsupported, "expected 3 or 9 inputs, found {}", program->inputs.size());
  }
  step.lengths = static_cast<size_t>(lengths - program->inputs.data());
  step.tokens = static_cast<size_t>(tokens - program->outputs.data());
  return std::optional(step);
}

} // namespace

Result<std::unique_ptr<DecoderEngine>> createCachedEngine(Session &session) {
  const Model &model = session.model();
  const auto &symbols = model.contents().symbols;
  TRANSOM_ASSIGN(size_t prefill, session.programIndex("prefill"));
  TRANSOM_ASSIGN(size_t decode, session.programIndex("decode"));
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
  std::vector<bool> used = statesOf(model.contents(), session.programDevice());
  for (size_t i = 0; i < used.size(); ++i)
    if (const artifact::State &state = model.contents().states[i]; used[i] && state.name.starts_with("cache.") && state.shape.size() == 4)
      limits.context = std::min(limits.context, rangeOf(state.shape[2], symbols).max);
  Result<std::optional<StepProgram>> step = findStep(session, (*one)->shape[0]);
  if (!step.ok())
    return step.status().within("program step");
  TokenBatch tokens({std::max(batch.min, decodeBatch.min), limits.batch}, {1, seq.max});
  return std::unique_ptr<DecoderEngine>(
      new CachedEngine(session, prefill, decode, *step, limits, std::move(tokens)));
}

} // namespace transom
