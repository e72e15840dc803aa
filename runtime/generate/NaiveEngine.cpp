// Decoders in the form of framework exports: program "main" takes past keys and values and gives present ones, which
// are fed back without the padding between them. Slow, as everything is copied in each step; right for any prompt
// lengths through the mask, for sliding windows too, as each row's tokens lie side by side.
#include "runtime/generate/DecoderEngine.h"
#include "runtime/generate/StepShape.h"

#include <algorithm>
#include <array>

namespace transom {

namespace {

class NaiveEngine final : public DecoderEngine {
public:
  /// One past.* input with the present.* output that becomes it. Its dimensions are batch, heads and past in some
  /// order, then head_dim.
  struct Pair {
    std::string_view past;
    size_t input, present;      ///< among the program's inputs and outputs
    size_t batch, heads, slots; ///< which dimension is which
    std::array<int64_t, 4> shape; ///< batch and slots are filled in per step
  };

  /// `slots`: the most that a past has; the limit of the context may be lower.
  NaiveEngine(Session &session, size_t program, size_t logitsOutput, Limits limits, int64_t slots, TokenBatch tokens,
              std::vector<Pair> pairs)
      : DecoderEngine(session), program_(program), logitsOutput_(logitsOutput), tokens_(std::move(tokens)),
        pairs_(std::move(pairs)), slots_(slots) {
    limits_ = limits;
    lengths_.resize(static_cast<size_t>(limits.batch));
    valid_.resize(lengths_.size());
    positions_.resize(static_cast<size_t>(limits.batch * limits.chunk));
    mask_.resize(static_cast<size_t>(limits.batch * (slots + limits.chunk)));
    inputs_.resize(3 + pairs_.size());
  }

  void begin(size_t) override {
    past_ = 0;
    std::fill(lengths_.begin(), lengths_.end(), 0);
    std::fill(valid_.begin(), valid_.end(), 0);
  }

  Status step(std::span<const std::span<const int32_t>> rows, Source) override {
    tokens_.fill(rows);
    int64_t batch = tokens_.batch(), seq = tokens_.seq(), total = past_ + seq;
    for (int64_t row = 0; row < batch; ++row)
      layOutRow(row, row < std::ssize(rows) ? std::ssize(rows[static_cast<size_t>(row)]) : 0, total);
    int64_t maskShape[] = {batch, total}, positionsShape[] = {batch, seq};
    inputs_[0] = tokens_.view("input_ids");
    inputs_[1] = {"attention_mask", DType::i32, maskShape, mask_.data()};
    inputs_[2] = {"position_ids", DType::i32, positionsShape, positions_.data()};
    for (size_t i = 0; i < pairs_.size(); ++i) {
      Pair &pair = pairs_[i];
      pair.shape[pair.batch] = batch;
      pair.shape[pair.slots] = past_;
      inputs_[3 + i] = {pair.past, DType::f32, pair.shape, session_.inputMemory(program_, pair.input)};
    }
    TRANSOM_ASSIGN(outputs_, session_.run(program_, inputs_));
    int64_t kept = 0;
    for (size_t row = 0; row < static_cast<size_t>(batch); ++row)
      kept = std::max(kept, valid_[row] + lengths_[row]);
    // What is too long for a past ends here; see room().
    for (const Pair &pair : pairs_)
      if (kept <= slots_)
        keep(pair, total, kept);
    for (size_t row = 0; row < static_cast<size_t>(batch); ++row)
      valid_[row] += lengths_[row];
    past_ = kept;
    return {};
  }

  const float *logits(size_t row) const override {
    int64_t last = static_cast<int64_t>(row) * tokens_.seq() + lengths_[row] - 1;
    return static_cast<const float *>(outputs_[logitsOutput_].data) + last * limits_.vocab;
  }
  bool room(size_t, int64_t tokens) const override {
    return past_ + tokens <= limits_.context && past_ <= slots_;
  }

private:
  /// The row's past ends where the new tokens begin; what lies before and behind both is padding.
  void layOutRow(int64_t row, int64_t count, int64_t total) {
    auto index = static_cast<size_t>(row);
    int32_t *mask = mask_.data() + row * total;
    std::fill_n(mask, total, 0);
    std::fill_n(mask + past_ - valid_[index], valid_[index] + count, 1);
    int64_t seq = tokens_.seq();
    for (int64_t i = 0; i < seq; ++i)
      positions_[static_cast<size_t>(row * seq + i)] = i < count ? static_cast<int32_t>(valid_[index] + i) : 0;
    lengths_[index] = count;
  }

  /// Copies each row's tokens from `total` present slots to the end of `kept` past ones.
  void keep(const Pair &pair, int64_t total, int64_t kept) {
    auto strides = [&](int64_t slots) {
      std::array<int64_t, 4> shape = pair.shape, strides = {0, 0, 0, 1};
      shape[pair.slots] = slots;
      for (size_t axis = 3; axis > 0; --axis)
        strides[axis - 1] = strides[axis] * shape[axis];
      return strides;
    };
    std::array<int64_t, 4> from = strides(total), to = strides(kept);
    auto *present = static_cast<const float *>(outputs_[pair.present].data);
    auto *past = reinterpret_cast<float *>(session_.inputMemory(program_, pair.input));
    for (int64_t row = 0; row < pair.shape[pair.batch]; ++row) {
      int64_t before = valid_[static_cast<size_t>(row)], count = before + lengths_[static_cast<size_t>(row)];
      for (int64_t head = 0; head < pair.shape[pair.heads]; ++head)
        for (int64_t i = 0; i < count; ++i)
          std::copy_n(present + row * from[pair.batch] + head * from[pair.heads] + (past_ - before + i) * from[pair.slots],
                      pair.shape[3],
                      past + row * to[pair.batch] + head * to[pair.heads] + (kept - count + i) * to[pair.slots]);
    }
  }

  size_t program_, logitsOutput_;
  TokenBatch tokens_;
  std::vector<Pair> pairs_;
  int64_t slots_;                 ///< the most that a past has
  int64_t past_ = 0;              ///< slots used: the longest row's tokens
  std::vector<int64_t> lengths_;  ///< new tokens of each row in the last step
  std::vector<int64_t> valid_;    ///< tokens of each row before the step
  std::vector<int32_t> mask_, positions_;
  std::vector<TensorView> inputs_;
  std::span<const TensorView> outputs_;
};

/// Which dimension of a cache is which. Sets `slots` to the most slots it can have.
Result<NaiveEngine::Pair> readCache(const artifact::Value &past, const artifact::Expr &batch,
                                    std::span<const artifact::Symbol> symbols, int64_t &slots) {
  NaiveEngine::Pair pair{past.name, 0, 0, 3, 3, 3, {}};
  for (size_t axis = 0; axis < 3; ++axis) {
    Range range = rangeOf(past.shape[axis], symbols);
    pair.shape[axis] = range.max;
    if (pair.batch == 3 && past.shape[axis] == batch)
      pair.batch = axis;
    else if (past.shape[axis].isConstant())
      pair.heads = axis;
    else if (past.shape[axis].asSymbol() >= 0 && range.min == 0)
      pair.slots = axis, slots = std::min(slots, range.max);
  }
  pair.shape[3] = rangeOf(past.shape[3], symbols).max;
  if (pair.batch == 3 || pair.heads == 3 || pair.slots == 3 || !past.shape[3].isConstant())
    return error(StatusCode::unsupported,
                 "\"{}\": expected batch, a number of heads and a symbol that can be 0 in some order, then a fixed size, "
                 "found {}", past.name, toString(past.shape, symbols));
  return pair;
}

/// Matches past.N.key with present.N.key and so on. Sets `slots` to the most slots the past can have.
Result<std::vector<NaiveEngine::Pair>> pairCaches(const artifact::Program &program, const artifact::Expr &batch,
                                                  std::span<const artifact::Symbol> symbols, int64_t &slots) {
  std::vector<NaiveEngine::Pair> pairs;
  slots = INT32_MAX;
  for (size_t i = 0; i < program.inputs.size(); ++i) {
    const artifact::Value &input = program.inputs[i];
    if (!input.name.starts_with("past."))
      continue;
    TRANSOM_RETURN_IF_ERROR(findValue(program.inputs, input.name, DType::f32, 4).status());
    TRANSOM_ASSIGN(const artifact::Value *present,
                   findValue(program.outputs, "present." + input.name.substr(5), DType::f32, 4));
    TRANSOM_ASSIGN(NaiveEngine::Pair pair, readCache(input, batch, symbols, slots));
    pair.input = i;
    pair.present = static_cast<size_t>(present - program.outputs.data());
    pairs.push_back(pair);
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
  TRANSOM_ASSIGN(auto pairs, pairCaches(program, ids->shape[0], contents.symbols, slots));
  Range batch = rangeOf(ids->shape[0], contents.symbols), seq = rangeOf(ids->shape[1], contents.symbols);
  DecoderEngine::Limits limits{.batch = batch.max, .chunk = seq.max, .context = std::min(slots + seq.max, session.model().metadataNumber("context_length").value_or(INT32_MAX)),
                               .vocab = rangeOf(logits->shape[2], contents.symbols).max};
  return std::unique_ptr<DecoderEngine>(new NaiveEngine(session, index,
                                                        static_cast<size_t>(logits - program.outputs.data()), limits, slots,
                                                        TokenBatch(batch, seq), std::move(pairs)));
}

} // namespace

Result<std::unique_ptr<DecoderEngine>> createNaiveEngine(Session &session) {
  TRANSOM_ASSIGN(size_t index, session.programIndex("main"));
  Result<std::unique_ptr<DecoderEngine>> engine = create(session, index);
  return engine.ok() ? std::move(engine) : engine.status().within("program main");
}

} // namespace transom
