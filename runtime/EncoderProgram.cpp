// See EncoderProgram.h.
#include "runtime/EncoderProgram.h"

#include "runtime/generate/StepShape.h"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace transom {

namespace {

/// A batch grows while padding stays a small part of it, and while its work fits the caches. On a GPU whose program packs its tokens
/// neither matters, and every run fills as much of it as may be.
constexpr int64_t maxBatchTokens = 4096;
constexpr double maxPadding = 0.15;

bool packsOnGpu(const artifact::Program &program) {
  return program.device == artifact::Device::cuda &&
         std::ranges::any_of(program.steps, [](const artifact::Step &step) { return std::holds_alternative<artifact::Size>(step.kind); });
}

} // namespace

Result<EncoderProgram> EncoderProgram::create(Session &session, std::string_view output, VectorPer per) {
  EncoderProgram program(session, per);
  TRANSOM_RETURN_IF_ERROR(program.readProgram(output));
  return program;
}

Status EncoderProgram::readProgram(std::string_view outputName) {
  const artifact::Contents &contents = model().contents();
  TRANSOM_ASSIGN(program_, session_->programIndex(chooses() ? "masked" : "main"));
  const artifact::Program &program = contents.programs[program_];
  TRANSOM_ASSIGN(const artifact::Value *ids, findValue(program.inputs, "input_ids", DType::i32, 2));
  TRANSOM_ASSIGN(const artifact::Value *output, findValue(program.outputs, outputName, DType::f32, per_ == VectorPer::token ? 3 : 2));
  for (const artifact::Value &input : program.inputs) {
    bool isChoice = chooses() && input.name == "masked_positions";
    TRANSOM_RETURN_IF_ERROR(findValue(program.inputs, input.name, DType::i32, isChoice ? 1 : 2).status());
    takesMask_ |= input.name == "attention_mask";
    takesTypes_ |= input.name == "token_type_ids";
    if (isChoice)
      maxChosen_ = rangeOf(input.shape[0], contents.symbols).max;
    else if (input.name != "input_ids" && input.name != "attention_mask" && input.name != "token_type_ids")
      return error(StatusCode::unsupported, "it wants \"{}\"", input.name);
  }
  fillsBatches_ = packsOnGpu(program);
  const artifact::Value *counted = ids;
  if (chooses()) {
    TRANSOM_ASSIGN(counted, findValue(program.inputs, "masked_positions", DType::i32, 1));
  }
  if (!std::equal(output->shape.begin(), output->shape.end() - 1, counted->shape.begin()) || !output->shape.back().isConstant())
    return error(StatusCode::unsupported, "\"{}\": expected a vector of fixed size for each {} of {}, found {}", outputName,
                 per_ == VectorPer::row ? "row" : "token", counted->name, toString(output->shape, contents.symbols));
  Range batch = rangeOf(ids->shape[0], contents.symbols), seq = rangeOf(ids->shape[1], contents.symbols);
  output_ = static_cast<size_t>(output - program.outputs.data());
  width_ = rangeOf(output->shape.back(), contents.symbols).max;
  if (batch.max < 1 || seq.max < 1)
    return error(StatusCode::unsupported, "the artifact takes no rows or no tokens");
  minBatch_ = batch.min;
  maxBatch_ = batch.max;
  minSeq_ = seq.min;
  maxSeq_ = std::min(seq.max, model().metadataNumber("max_sequence_length").value_or(seq.max));
  return {};
}

Result<tokenizer::Encoding> EncoderProgram::encode(std::string_view text, std::optional<std::string_view> pair, bool spans) const {
  const tokenizer::Tokenizer *tokenizer = model().tokenizer();
  if (!tokenizer)
    return error(StatusCode::unsupported, "the artifact carries no tokenizer; give token ids instead of texts");
  return tokenizer->encodePair(text, pair, {.maxTokens = static_cast<size_t>(std::max<int64_t>(maxSeq_, 0)), .spans = spans});
}

Status EncoderProgram::runBatch(std::span<const size_t> order, std::span<const TokenRow> rows, const Take &take) {
  int64_t batch = std::max(std::ssize(order), minBatch_), seq = minSeq_;
  for (size_t row : order)
    seq = std::max(seq, std::ssize(rows[row].ids));
  auto size = static_cast<size_t>(batch * seq);
  ids_.assign(size, 0);
  mask_.assign(size, 0);
  types_.assign(size, 0);
  chosen_.clear();
  for (int64_t i = 0; i < batch; ++i) {
    // Rows that only fill up the batch repeat its first.
    const TokenRow &row = rows[i < std::ssize(order) ? order[static_cast<size_t>(i)] : order[0]];
    std::copy(row.ids.begin(), row.ids.end(), ids_.begin() + i * seq);
    std::copy(row.types.begin(), row.types.end(), types_.begin() + i * seq);
    std::fill_n(mask_.begin() + i * seq, row.ids.size(), 1);
    if (i < std::ssize(order))
      for (size_t position : row.chosen)
        chosen_.push_back(static_cast<int32_t>(i * seq + static_cast<int64_t>(position)));
  }
  int64_t shape[] = {batch, seq}, choices[] = {std::ssize(chosen_)};
  TensorView inputs[4] = {{"input_ids", DType::i32, shape, ids_.data()}};
  size_t count = 1;
  if (takesMask_)
    inputs[count++] = {"attention_mask", DType::i32, shape, mask_.data()};
  if (takesTypes_)
    inputs[count++] = {"token_type_ids", DType::i32, shape, types_.data()};
  if (chooses())
    inputs[count++] = {"masked_positions", DType::i32, choices, chosen_.data()};
  TRANSOM_ASSIGN(auto outputs, session_->run(program_, std::span(inputs, count)));
  auto *values = static_cast<const float *>(outputs[output_].data);
  for (size_t row : order) {
    take(row, values);
    values += width_ * (per_ == VectorPer::row ? 1 : per_ == VectorPer::token ? seq : std::ssize(rows[row].chosen));
  }
  return {};
}

/// How many of the rows `order` names, which get shorter, share a run.
size_t EncoderProgram::batchFrom(std::span<const size_t> order, std::span<const TokenRow> rows) const {
  int64_t longest = std::ssize(rows[order[0]].ids), tokens = 0, chosen = 0, count = 0;
  for (size_t row : order) {
    tokens += std::ssize(rows[row].ids);
    chosen += std::ssize(rows[row].chosen);
    int64_t padded = longest * (count + 1);
    bool wasteful = static_cast<double>(padded - tokens) > maxPadding * static_cast<double>(padded);
    bool fits = count < maxBatch_ && (!chooses() || chosen <= maxChosen_);
    if (count > 0 && (!fits || (!fillsBatches_ && (padded > maxBatchTokens || wasteful))))
      break;
    ++count;
  }
  return static_cast<size_t>(count);
}

Status EncoderProgram::checkRow(size_t index, const TokenRow &row) const {
  if (row.ids.empty() || std::ssize(row.ids) > maxSeq_)
    return error(StatusCode::invalidArgument, "text {}: expected 1 to {} tokens, found {}", index, maxSeq_, row.ids.size());
  if (chooses() && (row.chosen.empty() || std::ssize(row.chosen) > maxChosen_))
    return error(StatusCode::invalidArgument, "text {}: expected 1 to {} chosen tokens, found {}", index, maxChosen_, row.chosen.size());
  return {};
}

Status EncoderProgram::run(std::span<const TokenRow> rows, const Take &take, EncoderStats *stats) {
  EncoderStats ignored;
  EncoderStats &counts = stats ? *stats : ignored;
  for (size_t i = 0; i < rows.size(); ++i)
    TRANSOM_RETURN_IF_ERROR(checkRow(i, rows[i]));
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rows[a].ids.size() > rows[b].ids.size(); });
  auto start = std::chrono::steady_clock::now();
  for (size_t begin = 0; begin < order.size();) {
    std::span batch = std::span(order).subspan(begin, batchFrom(std::span(order).subspan(begin), rows));
    TRANSOM_RETURN_IF_ERROR(runBatch(batch, rows, take));
    for (size_t row : batch)
      counts.tokens += std::ssize(rows[row].ids);
    counts.paddedTokens += std::ssize(rows[batch[0]].ids) * std::ssize(batch);
    begin += batch.size();
  }
  counts.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {};
}

} // namespace transom
