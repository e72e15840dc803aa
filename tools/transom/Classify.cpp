// transom classify: what an encoder with a head says of each line of a text file, or of token ids.
#include "tools/transom/Commands.h"
#include "tools/transom/Common.h"

#include "runtime/Classifier.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace transom::cli {

namespace {

using Json = nlohmann::ordered_json;

struct ClassifyFlags {
  std::string path, input, tokensFile, output;
  Where where;
  size_t batch = 0, topK = 0;
  int32_t mask = tokenizer::noToken;
  bool pairs = false, json = false, quiet = false;
};

/// A line of the input. `texts` are empty where it holds token ids.
struct Row {
  std::vector<std::string> texts;
  tokenizer::Encoding encoding;
};

// -- reading ------------------------------------------------------------------------------------------------------

/// A line, or with --pairs its two halves.
Result<std::vector<std::string>> partsOf(const std::string &line, const ClassifyFlags &flags) {
  if (!flags.pairs)
    return std::vector{line};
  size_t tab = line.find('\t');
  if (tab == line.npos || line.find('\t', tab + 1) != line.npos)
    return error(StatusCode::invalidArgument, "expected two texts with a tab between them, found {} tabs", std::ranges::count(line, '\t'));
  return std::vector{line.substr(0, tab), line.substr(tab + 1)};
}

/// Ids in the second part are of token type 1.
Result<tokenizer::Encoding> encodeTokens(const Classifier &classifier, const std::vector<std::string> &parts) {
  std::vector<int32_t> ids, types;
  for (size_t part = 0; part < parts.size(); ++part) {
    TRANSOM_ASSIGN(std::vector<int32_t> more, parseTokens(parts[part], "tokens"));
    ids.insert(ids.end(), more.begin(), more.end());
    types.resize(ids.size(), static_cast<int32_t>(part));
  }
  return classifier.encode(std::move(ids), parts.size() > 1 ? std::move(types) : std::vector<int32_t>());
}

Result<Row> readRow(const Classifier &classifier, const ClassifyFlags &flags, const std::string &line) {
  Row row;
  TRANSOM_ASSIGN(std::vector<std::string> parts, partsOf(line, flags));
  if (flags.input.empty()) {
    TRANSOM_ASSIGN(row.encoding, encodeTokens(classifier, parts));
  } else {
    TRANSOM_ASSIGN(row.encoding, classifier.encode(parts[0], flags.pairs ? std::optional<std::string_view>(parts[1]) : std::nullopt));
    row.texts = std::move(parts);
  }
  if (row.encoding.ids.empty() || std::ssize(row.encoding.ids) > classifier.maxTokens())
    return error(StatusCode::invalidArgument, "expected 1 to {} tokens, found {}", classifier.maxTokens(), row.encoding.ids.size());
  if (classifier.head() == ClassifierHead::words)
    TRANSOM_RETURN_IF_ERROR(classifier.masksOf(row.encoding, flags.mask).status());
  return row;
}

Result<std::vector<Row>> readRows(const Classifier &classifier, const ClassifyFlags &flags) {
  const std::string &path = flags.input.empty() ? flags.tokensFile : flags.input;
  TRANSOM_ASSIGN(std::vector<std::string> lines, readLines(path));
  std::vector<Row> rows;
  for (const std::string &line : lines) {
    Result<Row> row = readRow(classifier, flags, line);
    if (!row.ok())
      return row.status().within(fmt::format("{}: line {}", path, rows.size() + 1));
    rows.push_back(std::move(*row));
  }
  return rows;
}

// -- results ------------------------------------------------------------------------------------------------------

/// {"position", "part", "start", "end"} of a token; the last three where the row is text, in characters.
Json placeOf(const Row &row, size_t position) {
  Json out = {{"position", position}};
  if (row.texts.empty())
    return out;
  const tokenizer::TokenSpan &span = row.encoding.spans[position];
  if (span.text < 0) // a mask that the template adds
    return out;
  std::string_view text = row.texts[static_cast<size_t>(span.text)];
  if (row.texts.size() > 1)
    out["part"] = span.text;
  out["start"] = tokenizer::countCodepoints(text.substr(0, span.begin));
  out["end"] = tokenizer::countCodepoints(text.substr(0, span.end));
  return out;
}

/// {"labels": [{"label", "score", "logit"}, ...]} of each row, the best first.
Result<std::vector<Json>> labelRows(Classifier &classifier, std::span<const tokenizer::Encoding> encodings, size_t most, EncoderStats &stats) {
  TRANSOM_ASSIGN(LabelScores found, classifier.classify(encodings, &stats));
  const std::vector<std::string> &labels = classifier.labels();
  std::vector<Json> out;
  for (size_t row = 0; row < encodings.size(); ++row) {
    const float *logits = &found.logits[row * labels.size()], *scores = &found.scores[row * labels.size()];
    Json list = Json::array();
    for (size_t label : largest({logits, labels.size()}, most ? most : labels.size()))
      list.push_back({{"label", labels[label]}, {"score", scores[label]}, {"logit", logits[label]}});
    out.push_back({{"labels", std::move(list)}});
  }
  return out;
}

/// {"tokens": [{"position", ..., "id", "token", "label", "score"}, ...]} of each row.
Result<std::vector<Json>> labelTokens(Classifier &classifier, std::span<const Row> rows, std::span<const tokenizer::Encoding> encodings,
                                      EncoderStats &stats) {
  TRANSOM_ASSIGN(std::vector<TokenLabel> found, classifier.classifyTokens(encodings, &stats));
  const tokenizer::Tokenizer *tokenizer = classifier.model().tokenizer();
  std::vector<Json> out(rows.size(), {{"tokens", Json::array()}});
  for (const TokenLabel &token : found) {
    Json entry = placeOf(rows[token.row], token.position);
    int32_t id = encodings[token.row].ids[token.position];
    entry["id"] = id;
    if (tokenizer)
      entry["token"] = tokenizer->tokenOf(id).value_or("");
    entry["label"] = classifier.labels()[token.label];
    entry["score"] = token.score;
    out[token.row]["tokens"].push_back(std::move(entry));
  }
  return out;
}

/// {"masks": [{"position", ..., "tokens": [{"id", "token", "score"}, ...]}, ...]} of each row, the best tokens first.
Result<std::vector<Json>> fillMasks(Classifier &classifier, std::span<const Row> rows, std::span<const tokenizer::Encoding> encodings,
                                    const ClassifyFlags &flags, EncoderStats &stats) {
  TRANSOM_ASSIGN(std::vector<MaskToken> found, classifier.fillMasks(encodings, flags.topK ? flags.topK : 5, flags.mask, &stats));
  const tokenizer::Tokenizer *tokenizer = classifier.model().tokenizer();
  std::vector<Json> out(rows.size(), {{"masks", Json::array()}});
  for (const MaskToken &token : found) {
    Json &masks = out[token.row]["masks"];
    if (masks.empty() || masks.back()["position"] != token.position) {
      masks.push_back(placeOf(rows[token.row], token.position));
      masks.back()["tokens"] = Json::array();
    }
    Json entry = {{"id", token.token}};
    if (tokenizer)
      entry["token"] = tokenizer->decode({&token.token, 1}, /*skipSpecial=*/false);
    entry["score"] = token.score;
    masks.back()["tokens"].push_back(std::move(entry));
  }
  return out;
}

Result<std::vector<Json>> classifyRows(Classifier &classifier, std::span<const Row> rows, const ClassifyFlags &flags, EncoderStats &stats) {
  std::vector<tokenizer::Encoding> encodings;
  for (const Row &row : rows)
    encodings.push_back(row.encoding);
  switch (classifier.head()) {
  case ClassifierHead::sequence:
    return labelRows(classifier, encodings, flags.topK, stats);
  case ClassifierHead::token:
    return labelTokens(classifier, rows, encodings, stats);
  case ClassifierHead::words:
    break;
  }
  return fillMasks(classifier, rows, encodings, flags, stats);
}

/// A row for people: "green 0.8714  blue 0.1200", tokens with their labels, or the words for each mask.
std::string shown(const Json &row) {
  std::vector<std::string> words;
  auto add = [&](const Json &entry) {
    std::string text = entry.contains("token") ? entry["token"].get<std::string>() : entry.contains("id") ? entry["id"].dump() : "";
    std::string label = entry.contains("label") ? entry["label"].get<std::string>() : "";
    words.push_back(oneLine(fmt::format("{}{}{} {:.4f}", text, text.empty() || label.empty() ? "" : " ", label, entry["score"].get<double>())));
  };
  for (const char *list : {"labels", "tokens"})
    if (row.contains(list))
      std::ranges::for_each(row[list], add);
  if (!row.contains("masks"))
    return fmt::format("{}", fmt::join(words, "  "));
  std::vector<std::string> masks;
  for (const Json &mask : row["masks"])
    masks.push_back(shown({{"tokens", mask["tokens"]}}));
  return fmt::format("{}", fmt::join(masks, " | "));
}

Status report(const ClassifyFlags &flags, const std::string &text, std::span<const Row> rows, const EncoderStats &stats, int64_t maxTokens) {
  if (flags.output.empty()) {
    fmt::print("{}", text);
    return {};
  }
  TRANSOM_RETURN_IF_ERROR(writeText(flags.output, text));
  if (flags.quiet)
    return {};
  fmt::print("{} texts, {} tokens in {:.2f} s -> {}\n", rows.size(), stats.tokens, stats.seconds, flags.output);
  if (auto cut = std::ranges::count_if(rows, [](const Row &row) { return row.encoding.truncated; }))
    fmt::print("{} texts were longer than {} tokens and were cut\n", cut, maxTokens);
  return {};
}

Status classify(const ClassifyFlags &flags) {
  TRANSOM_ASSIGN(std::shared_ptr<const Model> model, Model::load(flags.path));
  TRANSOM_ASSIGN(std::unique_ptr<Session> session, Session::create(model, {.device = flags.where.device, .threads = flags.where.threads}));
  TRANSOM_ASSIGN(Classifier classifier, Classifier::create(*session));
  if (flags.topK && classifier.head() == ClassifierHead::token)
    return error(StatusCode::invalidArgument, "--top-k: the model's head is {}, which gives one label for each token", name(classifier.head()));
  if (flags.mask != tokenizer::noToken && classifier.head() != ClassifierHead::words)
    return error(StatusCode::invalidArgument, "--mask-token: expected a model whose head is {}, found {}", name(ClassifierHead::words),
                 name(classifier.head()));
  TRANSOM_ASSIGN(std::vector<Row> rows, readRows(classifier, flags));
  // Rows of similar length share a batch only within a call: with --batch, calls are the user's own groups.
  size_t group = flags.batch ? flags.batch : rows.size();
  EncoderStats stats;
  std::string text;
  ProgressLine line(flags.quiet);
  for (size_t start = 0; start < rows.size(); start += group) {
    auto part = std::span(rows).subspan(start, std::min(group, rows.size() - start));
    TRANSOM_ASSIGN(std::vector<Json> results, classifyRows(classifier, part, flags, stats));
    for (const Json &result : results)
      text += (flags.json || !flags.output.empty() ? result.dump(-1, ' ', false, Json::error_handler_t::replace) : shown(result)) + "\n";
    line.show("classifying", double(start + part.size()) / double(rows.size()));
  }
  line.clear();
  return report(flags, text, rows, stats, classifier.maxTokens());
}

} // namespace

void addClassify(CLI::App &app, Action &action) {
  auto flags = std::make_shared<ClassifyFlags>();
  CLI::App *command = app.add_subcommand("classify", "label texts or their tokens, or fill in masked words");
  command->footer("The model's head decides: labels of each text, the best first; the label of each token; or tokens for each mask.");
  addModelOptions(*command, flags->path, flags->where);
  auto *input = command->add_option_group("input", "one of");
  input->add_option("--input", flags->input, "the file, a text a line");
  auto *tokens = input->add_option("--tokens-file", flags->tokensFile, "a file of token ids instead, a text a line, special tokens included");
  input->require_option(1);
  command->add_flag("--pairs", flags->pairs, "each line is two texts with a tab between them; of token ids, those behind it are of type 1");
  command->add_option("--top-k", flags->topK, "only the K best labels of a text; K tokens for a mask, without it 5")->check(CLI::PositiveNumber);
  command->add_option("--mask-token", flags->mask, "the id of the mask token, where the artifact has no tokenizer")
      ->needs(tokens)
      ->check(CLI::NonNegativeNumber);
  auto *output = command->add_option("--output", flags->output, "write JSON to this file, an object a line");
  command->add_flag("--json", flags->json, "print JSON, an object a line")->excludes(output);
  command->add_option("--batch", flags->batch, "texts per call; 0: all, grouped by length");
  command->add_flag("--quiet", flags->quiet, "print results and errors only");
  command->callback([flags, &action] { action = [flags] { return classify(*flags); }; });
}

} // namespace transom::cli
