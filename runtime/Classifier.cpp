// See Classifier.h.
#include "runtime/Classifier.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace transom {

namespace {

using tokenizer::Encoding;

/// A head, as artifacts name it, and the call of the C API that it is for.
struct HeadCall {
  std::string_view head, call;
};
constexpr HeadCall calls[] = {{"sequence_classification", "classify"}, // by ClassifierHead
                              {"token_classification", "classify_tokens"},
                              {"masked_lm", "fill_mask"},
                              {"sentence_embedding", "embed"}};

HeadCall callFor(const artifact::Contents &contents) {
  if (contents.task == "generate")
    return {"a decoder's", "generate"};
  const std::string *head = contents.findMetadata("head");
  std::string_view found = head ? std::string_view(*head) : contents.task == "embed" ? "sentence_embedding" : "none";
  auto known = std::ranges::find(calls, found, &HeadCall::head);
  return known != std::end(calls) ? *known : HeadCall{found, "run"};
}

/// What exp(logit - most) is divided by, and `most`.
struct SoftmaxScale {
  double most, sum;
  float operator()(float logit) const { return static_cast<float>(std::exp(logit - most) / sum); }
};

SoftmaxScale softmaxOf(std::span<const float> logits) {
  double most = *std::ranges::max_element(logits), sum = 0;
  for (float logit : logits)
    sum += std::exp(logit - most);
  return {most, sum};
}

float sigmoid(float logit) { return static_cast<float>(1 / (1 + std::exp(-static_cast<double>(logit)))); }

VectorPer perOf(ClassifierHead head) { return head == ClassifierHead::sequence ? VectorPer::row : VectorPer::token; }

std::vector<TokenRow> viewsOf(std::span<const Encoding> rows) {
  std::vector<TokenRow> out(rows.size());
  std::ranges::transform(rows, out.begin(), [](const Encoding &row) { return TokenRow{row.ids, row.typeIds}; });
  return out;
}

} // namespace

std::string_view name(ClassifierHead head) { return calls[static_cast<size_t>(head)].head; }

std::vector<size_t> largest(std::span<const float> values, size_t most) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t(0));
  auto before = [&](size_t a, size_t b) {
    bool equal = values[a] == values[b] || (std::isnan(values[a]) && std::isnan(values[b]));
    return equal ? a < b : std::isnan(values[b]) || values[a] > values[b];
  };
  size_t count = std::min(most, values.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(), before);
  order.resize(count);
  return order;
}

Result<Classifier> Classifier::create(Session &session) {
  HeadCall found = callFor(session.model().contents());
  for (ClassifierHead head : {ClassifierHead::sequence, ClassifierHead::token, ClassifierHead::words}) {
    if (found.head != name(head))
      continue;
    bool chooses = head == ClassifierHead::words && session.programIndex("masked").ok();
    Result<EncoderProgram> program = EncoderProgram::create(session, "logits", chooses ? VectorPer::chosenToken : perOf(head));
    if (!program.ok())
      return program.status().within(found.head);
    Classifier classifier(std::move(*program), head);
    if (head != ClassifierHead::words)
      TRANSOM_RETURN_IF_ERROR(classifier.readLabels());
    if (head == ClassifierHead::sequence)
      TRANSOM_RETURN_IF_ERROR(classifier.readScoreFunction());
    return classifier;
  }
  return error(StatusCode::unsupported, "expected a model whose head is {}, {} or {}, found {}: use {}", calls[0].head, calls[1].head,
               calls[2].head, found.head, found.call);
}

Status Classifier::readLabels() {
  const std::string *text = model().contents().findMetadata("labels");
  auto labels = nlohmann::json::parse(text ? *text : "", nullptr, /*allow_exceptions=*/false);
  bool fits = labels.is_array() && std::ssize(labels) == program_.width() &&
              std::ranges::all_of(labels, [](const auto &label) { return label.is_string(); });
  if (!fits)
    return error(StatusCode::invalidFile, "metadata labels: expected a JSON list of {} names, found {}", program_.width(),
                 text ? text->substr(0, 100) : "none");
  labels_ = labels.get<std::vector<std::string>>();
  return {};
}

Status Classifier::readScoreFunction() {
  const std::string *name = model().contents().findMetadata("score_function");
  std::string_view found = name ? std::string_view(*name) : labels_.size() == 1 ? "sigmoid" : "softmax";
  if (found != "softmax" && found != "sigmoid" && found != "none")
    return error(StatusCode::unsupported, "metadata score_function: expected softmax, sigmoid or none, found {}", found);
  scoreFunction_ = found == "softmax" ? ScoreFunction::softmax : found == "sigmoid" ? ScoreFunction::sigmoid : ScoreFunction::none;
  return {};
}

Status Classifier::expect(ClassifierHead head) const {
  if (head == head_)
    return {};
  return error(StatusCode::unsupported, "expected a model whose head is {}, found {}: use {}", name(head), name(head_),
               calls[static_cast<size_t>(head_)].call);
}

Result<Encoding> Classifier::encode(std::string_view text, std::optional<std::string_view> pair) const {
  if (!tokenizer::isValidUtf8(text) || !tokenizer::isValidUtf8(pair.value_or("")))
    return error(StatusCode::invalidArgument, "the text is not UTF-8");
  const tokenizer::Tokenizer *tokenizer = model().tokenizer();
  auto isSpecial = [](const tokenizer::TemplatePiece &piece) { return piece.kind == tokenizer::PieceKind::special; };
  if (pair && tokenizer && std::ranges::none_of(tokenizer->spec().pair, isSpecial))
    return error(StatusCode::unsupported, "a pair of texts: the model's tokenizer has no template for pairs");
  return program_.encode(text, pair, head_ != ClassifierHead::sequence);
}

Result<Encoding> Classifier::encode(std::vector<int32_t> ids, std::vector<int32_t> types) const {
  if (!types.empty() && !program_.takesTypes())
    return error(StatusCode::unsupported, "token types: the model takes none");
  if (!types.empty() && types.size() != ids.size())
    return error(StatusCode::invalidArgument, "token types: expected {}, found {}", ids.size(), types.size());
  return Encoding{.ids = std::move(ids), .typeIds = std::move(types)};
}

Result<std::vector<size_t>> Classifier::masksOf(const Encoding &row, int32_t mask) const {
  const tokenizer::Tokenizer *tokenizer = model().tokenizer();
  if (mask == tokenizer::noToken && tokenizer)
    mask = tokenizer->spec().maskId;
  if (mask == tokenizer::noToken)
    return error(StatusCode::unsupported, "{}: give the id of the mask token",
                 tokenizer ? "the tokenizer has no mask token" : "the artifact carries no tokenizer");
  std::vector<size_t> positions;
  for (size_t i = 0; i < row.ids.size(); ++i)
    if (row.ids[i] == mask)
      positions.push_back(i);
  if (!positions.empty())
    return positions;
  auto text = tokenizer ? tokenizer->tokenOf(mask) : std::nullopt;
  return error(StatusCode::invalidArgument, "expected a mask token ({}), found none{}", text ? std::string(*text) : std::to_string(mask),
               row.truncated ? fmt::format(" in the {} tokens that the model takes", row.ids.size()) : "");
}

void Classifier::score(std::span<const float> logits, std::span<float> scores) const {
  if (scoreFunction_ == ScoreFunction::softmax)
    std::ranges::transform(logits, scores.begin(), softmaxOf(logits));
  else if (scoreFunction_ == ScoreFunction::sigmoid)
    std::ranges::transform(logits, scores.begin(), sigmoid);
  else
    std::ranges::copy(logits, scores.begin());
}

Result<LabelScores> Classifier::classify(std::span<const Encoding> rows, EncoderStats *stats) {
  TRANSOM_RETURN_IF_ERROR(expect(ClassifierHead::sequence));
  size_t count = labels_.size();
  LabelScores out{std::vector<float>(rows.size() * count), std::vector<float>(rows.size() * count)};
  auto take = [&](size_t row, const float *output) {
    std::span logits(output, count);
    std::ranges::copy(logits, out.logits.begin() + static_cast<ptrdiff_t>(row * count));
    score(logits, std::span(out.scores).subspan(row * count, count));
  };
  TRANSOM_RETURN_IF_ERROR(program_.run(viewsOf(rows), take, stats));
  return out;
}

Result<std::vector<TokenLabel>> Classifier::classifyTokens(std::span<const Encoding> rows, EncoderStats *stats) {
  TRANSOM_RETURN_IF_ERROR(expect(ClassifierHead::token));
  std::vector<TokenLabel> out;
  auto take = [&](size_t row, const float *output) {
    for (size_t i = 0; i < rows[row].ids.size(); ++i) {
      if (!rows[row].spans.empty() && rows[row].spans[i].text < 0)
        continue;
      std::span logits(output + i * labels_.size(), labels_.size());
      size_t best = largest(logits, 1)[0];
      out.push_back({row, i, best, softmaxOf(logits)(logits[best])});
    }
  };
  TRANSOM_RETURN_IF_ERROR(program_.run(viewsOf(rows), take, stats));
  std::ranges::stable_sort(out, {}, &TokenLabel::row);
  return out;
}

Result<std::vector<MaskToken>> Classifier::fillMasks(std::span<const Encoding> rows, size_t most, int32_t mask, EncoderStats *stats) {
  TRANSOM_RETURN_IF_ERROR(expect(ClassifierHead::words));
  std::vector<std::vector<size_t>> masks(rows.size());
  for (size_t row = 0; row < rows.size(); ++row) {
    Result<std::vector<size_t>> found = masksOf(rows[row], mask);
    if (!found.ok())
      return found.status().within(fmt::format("text {}", row));
    masks[row] = std::move(*found);
  }
  std::vector<TokenRow> views = viewsOf(rows);
  for (size_t row = 0; row < rows.size(); ++row)
    views[row].chosen = masks[row];
  std::vector<MaskToken> out;
  auto width = static_cast<size_t>(program_.width());
  auto take = [&](size_t row, const float *output) {
    for (size_t i = 0; i < masks[row].size(); ++i) {
      std::span logits(output + (program_.chooses() ? i : masks[row][i]) * width, width);
      SoftmaxScale score = softmaxOf(logits);
      for (size_t token : largest(logits, most))
        out.push_back({row, masks[row][i], static_cast<int32_t>(token), score(logits[token])});
    }
  };
  TRANSOM_RETURN_IF_ERROR(program_.run(views, take, stats));
  std::ranges::stable_sort(out, {}, &MaskToken::row);
  return out;
}

} // namespace transom
