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

Result<EncoderProgram> EncoderProgram::create(Session &session, std::string_view output, size_t rank) {
  EncoderProgram program(session);
  TRANSOM_RETURN_IF_ERROR(program.readProgram(output, rank));
  return program;
}

Status EncoderProgram::readProgram(std::string_view outputName, size_t rank) {
  const artifact::Contents &contents = model().contents();
  TRANSOM_ASSIGN(program_, session_->programIndex("main"));
  const artifact::Program &program = contents.programs[program_];
  TRANSOM_ASSIGN(const artifact::Value *ids, findValue(program.inputs, "input_ids", DType::i32, 2));
  TRANSOM_ASSIGN(const artifact::Value *output, findValue(program.outputs, outputName, DType::f32, rank));
  for (const artifact::Value &input : program.inputs) {
    if (input.name != "input_ids")
      TRANSOM_RETURN_IF_ERROR(findValue(program.inputs, input.name, DType::i32, 2).status());
    takesMask_ |= input.name == "attention_mask";
    takesTypes_ |= input.name == "token_type_ids";
    if (input.name != "input_ids" && input.name != "attention_mask" && input.name != "token_type_ids")
      return error(StatusCode::unsupported, "it wants \"{}\"", input.name);
  }
  byToken_ = rank == 3;
  fillsBatches_ = packsOnGpu(program);
  if (!std::equal(ids->shape.begin(), ids->shape.begin() + (byToken_ ? 2 : 1), output->shape.begin()) || !output->shape.back().isConstant())
    return error(StatusCode::unsupported, "\"{}\": expected a vector of fixed size for each {} of input_ids, found {}", outputName,
                 byToken_ ? "token" : "row", toString(output->shape, contents.symbols));
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
  for (int64_t i = 0; i < batch; ++i) {
    // Rows that only fill up the batch repeat its first.
    const TokenRow &row = rows[i < std::ssize(order) ? order[static_cast<size_t>(i)] : order[0]];
    std::copy(row.ids.begin(), row.ids.end(), ids_.begin() + i * seq);
    std::copy(row.types.begin(), row.types.end(), types_.begin() + i * seq);
    std::fill_n(mask_.begin() + i * seq, row.ids.size(), 1);
  }
  int64_t shape[] = {batch, seq};
  TensorView inputs[3] = {{"input_ids", DType::i32, shape, ids_.data()}};
  size_t count = 1;
  if (takesMask_)
    inputs[count++] = {"attention_mask", DType::i32, shape, mask_.data()};
  if (takesTypes_)
    inputs[count++] = {"token_type_ids", DType::i32, shape, types_.data()};
  TRANSOM_ASSIGN(auto outputs, session_->run(program_, std::span(inputs, count)));
  auto *values = static_cast<const float *>(outputs[output_].data);
  int64_t stride = byToken_ ? seq * width_ : width_;
  for (int64_t i = 0; i < std::ssize(order); ++i)
    take(order[static_cast<size_t>(i)], values + i * stride);
  return {};
}

Status EncoderProgram::run(std::span<const TokenRow> rows, const Take &take, EncoderStats *stats) {
  EncoderStats ignored;
  EncoderStats &counts = stats ? *stats : ignored;
  for (size_t i = 0; i < rows.size(); ++i)
    if (rows[i].ids.empty() || std::ssize(rows[i].ids) > maxSeq_)
      return error(StatusCode::invalidArgument, "text {}: expected 1 to {} tokens, found {}", i, maxSeq_, rows[i].ids.size());
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rows[a].ids.size() > rows[b].ids.size(); });
  auto start = std::chrono::steady_clock::now();
  for (size_t begin = 0; begin < order.size();) {
    int64_t longest = std::ssize(rows[order[begin]].ids), tokens = 0, count = 0;
    for (size_t i = begin; i < order.size() && count < maxBatch_; ++i, ++count) {
      int64_t sum = tokens + std::ssize(rows[order[i]].ids), padded = longest * (count + 1);
      bool wasteful = static_cast<double>(padded - sum) > maxPadding * static_cast<double>(padded);
      if (count > 0 && !fillsBatches_ && (padded > maxBatchTokens || wasteful))
        break;
      tokens = sum;
    }
    TRANSOM_RETURN_IF_ERROR(runBatch(std::span(order).subspan(begin, static_cast<size_t>(count)), rows, take));
    counts.tokens += tokens;
    counts.paddedTokens += longest * count;
    begin += static_cast<size_t>(count);
  }
  counts.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {};
}

} // namespace transom
