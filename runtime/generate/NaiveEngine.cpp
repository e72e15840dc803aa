// Decoders in the form of framework exports: program "main" takes past keys and values and gives present ones, which
// are fed back. Slow, as everything is copied in each step; right for any prompt lengths through the mask.
#include "runtime/generate/DecoderEngine.h"
#include "runtime/generate/StepShape.h"

#include <algorithm>
#include <array>

namespace transom {

namespace {

class NaiveEngine final : public DecoderEngine {
public:
  /// One past.* input with the number of the present.* output that becomes it.
  struct Pair {
    std::string_view past;
    size_t present;
    int64_t heads, headDim;
  };

  NaiveEngine(Session &session, size_t program, size_t logitsOutput, Limits limits, TokenBatch tokens,
              std::vector<Pair> pairs)
      : DecoderEngine(session), program_(program), logitsOutput_(logitsOutput), tokens_(std::move(tokens)),
        pairs_(std::move(pairs)), pastShapes_(pairs_.size()) {
    limits_ = limits;
    lengths_.resize(static_cast<size_t>(limits.batch));
    valid_.resize(lengths_.size());
    positions_.resize(static_cast<size_t>(limits.batch * limits.chunk));
    slots_.resize(static_cast<size_t>(limits.batch * limits.context));
    mask_.resize(slots_.size());
    inputs_.resize(3 + pairs_.size());
  }

  void begin(size_t) override {
    past_ = 0;
    std::fill(lengths_.begin(), lengths_.end(), 0);
    std::fill(slots_.begin(), slots_.end(), 0);
    std::fill(valid_.begin(), valid_.end(), 0);
  }

  Status step(std::span<const std::span<const int32_t>> rows) override {
    tokens_.fill(rows);
    int64_t batch = tokens_.batch(), seq = tokens_.seq(), total = past_ + seq;
    for (int64_t row = 0; row < batch; ++row)
      layOutRow(row, row < std::ssize(rows) ? std::ssize(rows[static_cast<size_t>(row)]) : 0, total);
    int64_t maskShape[] = {batch, total}, positionsShape[] = {batch, seq};
    inputs_[0] = tokens_.view("input_ids");
    inputs_[1] = {"attention_mask", DType::i32, maskShape, mask_.data()};
    inputs_[2] = {"position_ids", DType::i32, positionsShape, positions_.data()};
    for (size_t i = 0; i < pairs_.size(); ++i) {
      pastShapes_[i] = {batch, pairs_[i].heads, past_, pairs_[i].headDim};
      const void *data = past_ == 0 ? nullptr : outputs_[pairs_[i].present].data;
      inputs_[3 + i] = {pairs_[i].past, DType::f32, pastShapes_[i], data};
    }
    TRANSOM_ASSIGN(outputs_, session_.run(program_, inputs_));
    past_ = total;
    return {};
  }

  const float *logits(size_t row) const override {
    int64_t last = static_cast<int64_t>(row) * tokens_.seq() + lengths_[row] - 1;
    return static_cast<const float *>(outputs_[logitsOutput_].data) + last * limits_.vocab;
  }
  bool room(size_t, int64_t tokens) const override {
    return past_ + tokens <= limits_.context && past_ <= limits_.context - limits_.chunk;
  }

private:
  /// Slots [past, past + count) of the row are valid, what follows is padding. A token's position counts valid slots.
  void layOutRow(int64_t row, int64_t count, int64_t total) {
    auto index = static_cast<size_t>(row);
    int32_t *slots = slots_.data() + row * limits_.context;
    std::fill_n(slots + past_, count, 1);
    std::copy_n(slots, total, mask_.begin() + row * total);
    int64_t seq = tokens_.seq();
    for (int64_t i = 0; i < seq; ++i)
      positions_[static_cast<size_t>(row * seq + i)] = i < count ? static_cast<int32_t>(valid_[index] + i) : 0;
    valid_[index] += count;
    lengths_[index] = count;
  }

  size_t program_, logitsOutput_;
  TokenBatch tokens_;
  std::vector<Pair> pairs_;
  std::vector<std::array<int64_t, 4>> pastShapes_;
  int64_t past_ = 0;              ///< slots used, padding included
  std::vector<int64_t> lengths_;  ///< new tokens of each row in the last step
  std::vector<int64_t> valid_;    ///< tokens of each row so far
  std::vector<int32_t> slots_;    ///< [batch, context]: 1 where a slot holds a token
  std::vector<int32_t> mask_, positions_;
  std::vector<TensorView> inputs_;
  std::span<const TensorView> outputs_;
};

/// Matches past.N.key with present.N.key and so on. Sets `slots` to the most slots the past can have.
Result<std::vector<NaiveEngine::Pair>> pairCaches(const artifact::Program &program,
                                                  std::span<const artifact::Symbol> symbols, int64_t &slots) {
  std::vector<NaiveEngine::Pair> pairs;
  slots = INT32_MAX;
  for (const artifact::Value &input : program.inputs) {
    if (!input.name.starts_with("past."))
      continue;
    TRANSOM_RETURN_IF_ERROR(findValue(program.inputs, input.name, DType::f32, 4).status());
    TRANSOM_ASSIGN(const artifact::Value *present,
                   findValue(program.outputs, "present." + input.name.substr(5), DType::f32, 4));
    Range past = rangeOf(input.shape[2], symbols);
    if (past.min != 0 || input.shape[2].asSymbol() < 0)
      return error(StatusCode::unsupported, "\"{}\": dimension 2 must be a symbol that can be 0", input.name);
    slots = std::min(slots, past.max);
    pairs.push_back({input.name, static_cast<size_t>(present - program.outputs.data()),
                     rangeOf(input.shape[1], symbols).max, rangeOf(input.shape[3], symbols).max});
  }
  if (pairs.empty())
    return error(StatusCode::unsupported, "no input \"past.0.key\": the model keeps no past");
  if (program.inputs.size() != pairs.size() + 3)
    return error(StatusCode::unsupported, "expected input_ids, attention_mask, position_ids and past.* as inputs");
  return pairs;
}

Result<std::unique_ptr<DecoderEngine>> create(Session &session, size_t index) {
  const artifact::Contents &contents = session.model().contents();
  const artifact::Program &program = contents.programs[index];
  TRANSOM_ASSIGN(const artifact::Value *ids, findValue(program.inputs, "input_ids", DType::i32, 2));
  TRANSOM_RETURN_IF_ERROR(findValue(program.inputs, "attention_mask", DType::i32, 2).status());
  TRANSOM_RETURN_IF_ERROR(findValue(program.inputs, "position_ids", DType::i32, 2).status());
  TRANSOM_ASSIGN(const artifact::Value *logits, findValue(program.outputs, "logits", DType::f32, 3));
  if (!logits->shape[2].isConstant())
    return error(StatusCode::unsupported, "\"logits\": its last dimension is not fixed");
  int64_t slots = 0;
  TRANSOM_ASSIGN(auto pairs, pairCaches(program, contents.symbols, slots));
  Range batch = rangeOf(ids->shape[0], contents.symbols), seq = rangeOf(ids->shape[1], contents.symbols);
  DecoderEngine::Limits limits{.batch = batch.max, .chunk = seq.max, .context = slots + seq.max,
                               .vocab = rangeOf(logits->shape[2], contents.symbols).max};
  return std::unique_ptr<DecoderEngine>(new NaiveEngine(session, index,
                                                        static_cast<size_t>(logits - program.outputs.data()), limits,
                                                        TokenBatch(batch, seq), std::move(pairs)));
}

} // namespace

Result<std::unique_ptr<DecoderEngine>> createNaiveEngine(Session &session) {
  TRANSOM_ASSIGN(size_t index, session.model().programIndex("main"));
  Result<std::unique_ptr<DecoderEngine>> engine = create(session, index);
  return engine.ok() ? std::move(engine) : engine.status().within("program main");
}

} // namespace transom
