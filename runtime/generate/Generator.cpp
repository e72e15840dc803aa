// See Generator.h.
#include "runtime/generate/Generator.h"

#include <algorithm>
#include <chrono>

namespace transom {

namespace {

template <typename... Args> Status invalid(fmt::format_string<Args...> format, Args &&...args) {
  return error(StatusCode::invalidArgument, format, std::forward<Args>(args)...);
}

/// "2,7" as numbers.
Result<std::vector<int32_t>> parseTokens(std::string_view text) {
  std::vector<int32_t> tokens;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find(',', begin), text.size());
    std::optional<int64_t> token = parseNumber(text.substr(begin, end - begin));
    if (!token || *token < 0 || *token > INT32_MAX)
      return error(StatusCode::invalidFile, "metadata eos_token_ids: expected numbers, found \"{}\"", text);
    tokens.push_back(static_cast<int32_t>(*token));
    begin = end + 1;
  }
  return tokens;
}

sampling::Options samplingOf(const GenerateOptions &options) { return {options.temperature, options.topK, options.topP}; }

class Stopwatch {
public:
  explicit Stopwatch(double &seconds) : seconds_(seconds) {}
  ~Stopwatch() { seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

private:
  double &seconds_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

} // namespace

std::string_view name(FinishReason reason) {
  static constexpr std::string_view names[] = {"none", "eos", "length", "context", "stopped"};
  return names[static_cast<size_t>(reason)];
}

Result<Generator> Generator::create(Session &session) {
  Generator generator;
  TRANSOM_ASSIGN(generator.engine_, DecoderEngine::create(session));
  if (const std::string *text = session.model().contents().findMetadata("eos_token_ids")) {
    TRANSOM_ASSIGN(generator.eos_, parseTokens(*text));
  }
  return generator;
}

Status Generator::check(std::span<const std::vector<int32_t>> prompts, const GenerateOptions &options) const {
  if (options.maxNewTokens < 1)
    return invalid("max_new_tokens: expected at least 1, found {}", options.maxNewTokens);
  if (!(options.temperature >= 0 && options.temperature <= 1e6f))
    return invalid("temperature: expected a number not below 0, found {}", options.temperature);
  if (options.topK < 0)
    return invalid("top_k: expected a number not below 0, found {}", options.topK);
  if (!(options.topP >= 0 && options.topP <= 1))
    return invalid("top_p: expected a number from 0 to 1, found {}", options.topP);
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].empty())
      return invalid("prompt {}: it has no tokens", i);
    if (std::ssize(prompts[i]) >= limits().context)
      return invalid("prompt {}: {} tokens leave no room in the context of {}", i, prompts[i].size(), limits().context);
    for (int32_t token : prompts[i])
      if (token < 0 || token >= limits().vocab)
        return invalid("prompt {}: token {} is not in the vocabulary of {}", i, token, limits().vocab);
  }
  return {};
}

Result<Generated> Generator::generate(std::span<const std::vector<int32_t>> prompts, const GenerateOptions &options,
                                      const TokenCallback &onToken) {
  TRANSOM_RETURN_IF_ERROR(check(prompts, options));
  Generated out;
  out.tokens.resize(prompts.size());
  out.finish.resize(prompts.size());
  stop_ = false;
  auto batch = static_cast<size_t>(limits().batch);
  for (size_t begin = 0; begin < prompts.size() && !stop_; begin += batch) {
    std::vector<Row> rows;
    for (size_t i = begin; i < std::min(begin + batch, prompts.size()); ++i) {
      rows.push_back({prompts[i], i});
      out.tokens[i].reserve(static_cast<size_t>(std::min(options.maxNewTokens, limits().context)));
      out.stats.promptTokens += std::ssize(prompts[i]);
    }
    TRANSOM_RETURN_IF_ERROR(runBatch(rows, options, onToken, out));
  }
  for (FinishReason &finish : out.finish)
    if (finish == FinishReason::none)
      finish = FinishReason::stopped;
  return out;
}

Status Generator::prefill(std::span<Row> rows, std::span<std::span<const int32_t>> tokens, const GenerateOptions &options,
                          const TokenCallback &onToken, Generated &out) {
  while (!stop_ && std::any_of(rows.begin(), rows.end(), [](const Row &r) { return r.consumed < r.prompt.size(); })) {
    {
      Stopwatch watch(out.stats.prefillSeconds);
      for (size_t i = 0; i < rows.size(); ++i) {
        std::span<const int32_t> rest = rows[i].prompt.subspan(rows[i].consumed);
        tokens[i] = rest.first(std::min(rest.size(), static_cast<size_t>(limits().chunk)));
        if (!tokens[i].empty() && !engine_->room(i, std::ssize(tokens[i])))
          return invalid("prompt {}: {} tokens do not fit the model's context in chunks of {}", rows[i].index,
                         rows[i].prompt.size(), limits().chunk);
      }
      TRANSOM_RETURN_IF_ERROR(engine_->step(tokens, DecoderEngine::Source::prompts));
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i].consumed += tokens[i].size();
      if (!tokens[i].empty() && rows[i].consumed == rows[i].prompt.size())
        TRANSOM_RETURN_IF_ERROR(emit(rows[i], i, options, onToken, out));
    }
  }
  return {};
}

Status Generator::runBatch(std::span<Row> rows, const GenerateOptions &options, const TokenCallback &onToken,
                           Generated &out) {
  engine_->begin(rows.size());
  // Made before the first token: from there on nothing is allocated.
  std::vector<std::span<const int32_t>> tokens(rows.size());
  TRANSOM_RETURN_IF_ERROR(prefill(rows, tokens, options, onToken, out));
  Stopwatch watch(out.stats.decodeSeconds);
  if (engine_->chooses(samplingOf(options)))
    return decodeChosen(rows, options, onToken, out);
  while (!stop_ && std::any_of(rows.begin(), rows.end(), [](const Row &row) { return row.active; })) {
    for (size_t i = 0; i < rows.size(); ++i) {
      // A longer prompt beside this row may have taken its room since its last token.
      if (rows[i].active && !engine_->room(i, 1)) {
        rows[i].active = false;
        out.finish[rows[i].index] = FinishReason::context;
      }
      tokens[i] = rows[i].active ? std::span<const int32_t>(out.tokens[rows[i].index]).last(1)
                                 : std::span<const int32_t>();
    }
    if (std::none_of(rows.begin(), rows.end(), [](const Row &row) { return row.active; }))
      break;
    TRANSOM_RETURN_IF_ERROR(engine_->step(tokens, DecoderEngine::Source::answers));
    ++out.stats.decodeSteps;
    for (size_t i = 0; i < rows.size(); ++i)
      if (!tokens[i].empty())
        TRANSOM_RETURN_IF_ERROR(emit(rows[i], i, options, onToken, out));
  }
  return {};
}

Status Generator::decodeChosen(std::span<Row> rows, const GenerateOptions &options, const TokenCallback &onToken, Generated &out) {
  auto going = [&] { return !stop_ && std::any_of(rows.begin(), rows.end(), [](const Row &row) { return row.active; }); };
  if (!going())
    return {};
  std::vector<DecoderEngine::ChoosingRow> starts(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::vector<int32_t> &tokens = out.tokens[rows[i].index];
    if (rows[i].active)
      starts[i] = {.token = tokens.back(), .row = static_cast<int64_t>(options.firstRow + rows[i].index), .index = std::ssize(tokens),
                   .most = options.maxNewTokens - std::ssize(tokens)};
  }
  TRANSOM_RETURN_IF_ERROR(engine_->beginChoosing(starts, samplingOf(options), options.seed));
  while (going()) {
    TRANSOM_ASSIGN(std::span<const int32_t> chosen, engine_->choose());
    ++out.stats.decodeSteps;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (!rows[i].active)
        continue;
      TRANSOM_RETURN_IF_ERROR(accept(rows[i], i, chosen[i], options, onToken, out));
      if (!rows[i].active)
        TRANSOM_RETURN_IF_ERROR(engine_->end(i));
    }
  }
  return {};
}

Status Generator::emit(Row &row, size_t slot, const GenerateOptions &options, const TokenCallback &onToken,
                       Generated &out) {
  double u = options.temperature > 0 ? sampling::uniform(options.seed, out.tokens[row.index].size(), options.firstRow + row.index) : 0;
  return accept(row, slot, sampling::sample(engine_->logits(slot), limits().vocab, samplingOf(options), u), options, onToken, out);
}

Status Generator::accept(Row &row, size_t slot, int64_t token, const GenerateOptions &options, const TokenCallback &onToken,
                         Generated &out) {
  std::vector<int32_t> &tokens = out.tokens[row.index];
  if (token < 0)
    return error(StatusCode::internal, "prompt {}: the model gave NaN or infinite logits for token {}", row.index,
                 tokens.size());
  tokens.push_back(static_cast<int32_t>(token));
  ++out.stats.newTokens;
  FinishReason &finish = out.finish[row.index];
  bool end = !options.ignoreEos && std::find(eos_.begin(), eos_.end(), tokens.back()) != eos_.end();
  finish = end                                           ? FinishReason::eos
           : std::ssize(tokens) >= options.maxNewTokens  ? FinishReason::length
           : !engine_->room(slot, 1)                     ? FinishReason::context
                                                         : FinishReason::none;
  row.active = finish == FinishReason::none;
  if (onToken && !onToken({row.index, tokens.back(), finish}))
    stop_ = true;
  return {};
}

} // namespace transom
