// See Embedder.h.
#include "runtime/Embedder.h"

#include "runtime/generate/StepShape.h"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace transom {

namespace {

/// A batch grows while padding stays a small part of it, and while its work fits the caches.
constexpr int64_t maxBatchTokens = 4096;
constexpr double maxPadding = 0.15;

} // namespace

Result<Embedder> Embedder::create(Session &session) {
  Embedder embedder(session);
  Status status = embedder.readProgram();
  if (!status.ok())
    return Status(StatusCode::unsupported, "the model does not embed texts: " + status.message());
  return embedder;
}

Status Embedder::readProgram() {
  const artifact::Contents &contents = session_->model().contents();
  TRANSOM_ASSIGN(program_, session_->programIndex("main"));
  const artifact::Program &program = contents.programs[program_];
  TRANSOM_ASSIGN(const artifact::Value *ids, findValue(program.inputs, "input_ids", DType::i32, 2));
  TRANSOM_ASSIGN(const artifact::Value *output, findValue(program.outputs, "sentence_embedding", DType::f32, 2));
  for (const artifact::Value &input : program.inputs) {
    if (input.name != "input_ids")
      TRANSOM_RETURN_IF_ERROR(findValue(program.inputs, input.name, DType::i32, 2).status());
    takesMask_ |= input.name == "attention_mask";
    takesTypes_ |= input.name == "token_type_ids";
    if (input.name != "input_ids" && input.name != "attention_mask" && input.name != "token_type_ids")
      return error(StatusCode::unsupported, "it wants \"{}\"", input.name);
  }
  if (output->shape[0] != ids->shape[0] || !output->shape[1].isConstant())
    return error(StatusCode::unsupported, "\"sentence_embedding\": expected a vector of fixed size for each row of input_ids, found {}",
                 toString(output->shape, contents.symbols));
  Range batch = rangeOf(ids->shape[0], contents.symbols), seq = rangeOf(ids->shape[1], contents.symbols);
  output_ = static_cast<size_t>(output - program.outputs.data());
  dimension_ = rangeOf(output->shape[1], contents.symbols).max;
  if (batch.max < 1 || seq.max < 1)
    return error(StatusCode::unsupported, "the artifact takes no rows or no tokens");
  minBatch_ = batch.min;
  maxBatch_ = batch.max;
  minSeq_ = seq.min;
  maxSeq_ = std::min(seq.max, session_->model().metadataNumber("max_sequence_length").value_or(seq.max));
  return {};
}

Result<std::vector<int32_t>> Embedder::encode(const std::string &text, bool &truncated) const {
  const tokenizer::Tokenizer *tokenizer = session_->model().tokenizer();
  if (!tokenizer)
    return error(StatusCode::unsupported, "the artifact carries no tokenizer; embed token ids instead");
  std::vector<int32_t> ids = tokenizer->encode(text);
  truncated = std::ssize(ids) > maxSeq_;
  if (!truncated)
    return ids;
  // What follows the text in the model's template stays: cut before it.
  int64_t suffix = 0;
  for (const tokenizer::TemplatePiece &piece : tokenizer->spec().single)
    suffix = piece.kind == tokenizer::PieceKind::special ? suffix + 1 : 0;
  suffix = std::min(suffix, maxSeq_);
  ids.erase(ids.begin() + (maxSeq_ - suffix), ids.end() - suffix);
  return ids;
}

Result<std::vector<float>> Embedder::embed(std::span<const std::string> texts, EmbedStats *stats) {
  std::vector<std::vector<int32_t>> ids(texts.size());
  int64_t cut = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    bool truncated = false;
    TRANSOM_ASSIGN(ids[i], encode(texts[i], truncated));
    cut += truncated;
  }
  Result<std::vector<float>> vectors = embedTokens(ids, stats);
  if (stats)
    stats->truncated += cut;
  return vectors;
}

Status Embedder::runBatch(std::span<const size_t> order, std::span<const std::vector<int32_t>> texts,
                          std::vector<float> &out) {
  int64_t batch = std::max(std::ssize(order), minBatch_), seq = minSeq_;
  for (size_t text : order)
    seq = std::max(seq, std::ssize(texts[text]));
  auto size = static_cast<size_t>(batch * seq);
  ids_.assign(size, 0);
  mask_.assign(size, 0);
  types_.assign(size, 0);
  for (size_t row = 0; row < static_cast<size_t>(batch); ++row) {
    // Rows that only fill up the batch repeat its first text.
    const std::vector<int32_t> &text = texts[row < order.size() ? order[row] : order[0]];
    std::copy(text.begin(), text.end(), ids_.begin() + static_cast<int64_t>(row) * seq);
    std::fill_n(mask_.begin() + static_cast<int64_t>(row) * seq, text.size(), 1);
  }
  int64_t shape[] = {batch, seq};
  TensorView inputs[3] = {{"input_ids", DType::i32, shape, ids_.data()}};
  size_t count = 1;
  if (takesMask_)
    inputs[count++] = {"attention_mask", DType::i32, shape, mask_.data()};
  if (takesTypes_)
    inputs[count++] = {"token_type_ids", DType::i32, shape, types_.data()};
  TRANSOM_ASSIGN(auto outputs, session_->run(program_, std::span(inputs, count)));
  auto *vectors = static_cast<const float *>(outputs[output_].data);
  for (size_t row = 0; row < order.size(); ++row)
    std::copy_n(vectors + static_cast<int64_t>(row) * dimension_, dimension_,
                out.begin() + static_cast<int64_t>(order[row]) * dimension_);
  return {};
}

Result<std::vector<float>> Embedder::embedTokens(std::span<const std::vector<int32_t>> texts, EmbedStats *stats) {
  EmbedStats ignored;
  EmbedStats &counts = stats ? *stats : ignored;
  for (size_t i = 0; i < texts.size(); ++i)
    if (texts[i].empty() || std::ssize(texts[i]) > maxSeq_)
      return error(StatusCode::invalidArgument, "text {}: expected 1 to {} tokens, found {}", i, maxSeq_,
                   texts[i].size());
  std::vector<size_t> order(texts.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return texts[a].size() > texts[b].size(); });
  std::vector<float> out(texts.size() * static_cast<size_t>(dimension_));
  auto start = std::chrono::steady_clock::now();
  for (size_t begin = 0; begin < order.size();) {
    int64_t longest = std::ssize(texts[order[begin]]), tokens = 0, rows = 0;
    for (size_t i = begin; i < order.size() && rows < maxBatch_; ++i, ++rows) {
      int64_t sum = tokens + std::ssize(texts[order[i]]), padded = longest * (rows + 1);
      bool wasteful = static_cast<double>(padded - sum) > maxPadding * static_cast<double>(padded);
      if (rows > 0 && (padded > maxBatchTokens || wasteful))
        break;
      tokens = sum;
    }
    TRANSOM_RETURN_IF_ERROR(runBatch(std::span(order).subspan(begin, static_cast<size_t>(rows)), texts, out));
    counts.tokens += tokens;
    counts.paddedTokens += longest * rows;
    begin += static_cast<size_t>(rows);
  }
  counts.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

} // namespace transom
