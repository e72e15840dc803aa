// transom generate: text from a prompt, streamed, or token ids from token ids.
#include "tools/transom/Commands.h"
#include "tools/transom/Common.h"

#include "runtime/generate/Generator.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <cstdio>
#include <nlohmann/json.hpp>

namespace transom::cli {

namespace {

struct GenerateFlags {
  std::string path, prompt, promptFile, system, tokens, tokensFile, statsFile;
  GenerateOptions options;
  Where where;
  size_t batch = 0;
  bool chat = false, printTokens = false;
};

using Prompts = std::vector<std::vector<int32_t>>;

Result<Prompts> tokenPrompts(const GenerateFlags &flags) {
  Prompts prompts;
  if (!flags.tokens.empty()) {
    TRANSOM_ASSIGN(std::vector<int32_t> tokens, parseTokens(flags.tokens, "--tokens"));
    prompts.push_back(std::move(tokens));
    return prompts;
  }
  TRANSOM_ASSIGN(std::vector<std::string> lines, readLines(flags.tokensFile));
  for (size_t i = 0; i < lines.size(); ++i) {
    TRANSOM_ASSIGN(std::vector<int32_t> tokens, parseTokens(lines[i], fmt::format("{}:{}", flags.tokensFile, i + 1)));
    prompts.push_back(std::move(tokens));
  }
  if (prompts.empty())
    return error(StatusCode::invalidArgument, "{}: expected a prompt a line", flags.tokensFile);
  return prompts;
}

Result<Prompts> textPrompt(const GenerateFlags &flags, const tokenizer::Tokenizer &tokenizer) {
  std::string text = flags.prompt;
  if (!flags.promptFile.empty()) {
    TRANSOM_ASSIGN(text, readTextFile(flags.promptFile, size_t(64) << 20));
  }
  tokenizer::EncodeOptions encode;
  if (flags.chat) {
    std::vector<tokenizer::ChatMessage> messages;
    if (!flags.system.empty())
      messages.push_back({"system", flags.system});
    messages.push_back({"user", text});
    TRANSOM_ASSIGN(text, tokenizer.applyChat(messages));
    encode.addSpecialTokens = false;
  }
  Prompts prompts = {tokenizer.encode(text, encode)};
  if (prompts[0].empty())
    return error(StatusCode::invalidArgument, "the prompt is empty");
  return prompts;
}

/// The first token of each of the `rows` prompts counts as prefill.
Status writeStats(const std::string &path, const GenerateStats &stats, int64_t rows) {
  nlohmann::ordered_json json = {
      {"prompt_tokens", stats.promptTokens}, {"new_tokens", stats.newTokens},
      {"prefill_seconds", stats.prefillSeconds}, {"decode_seconds", stats.decodeSeconds},
      {"prefill_tokens_per_s", stats.prefillSeconds > 0 ? double(stats.promptTokens) / stats.prefillSeconds : 0},
      {"decode_tokens_per_s", stats.decodeSeconds > 0 ? double(stats.newTokens - rows) / stats.decodeSeconds : 0}};
  return writeText(path, json.dump(2) + "\n");
}

Status generateTokens(Generator &generator, const GenerateFlags &flags) {
  TRANSOM_ASSIGN(Prompts prompts, tokenPrompts(flags));
  size_t batch = flags.batch ? flags.batch : size_t(generator.limits().batch);
  GenerateStats total;
  for (size_t start = 0; start < prompts.size(); start += batch) {
    auto group = std::span(prompts).subspan(start, std::min(batch, prompts.size() - start));
    GenerateOptions options = flags.options;
    options.firstRow = start; // so that what is drawn does not depend on the batch
    TRANSOM_ASSIGN(Generated generated, generator.generate(group, options));
    for (const std::vector<int32_t> &tokens : generated.tokens)
      fmt::print("{}\n", fmt::join(tokens, " "));
    total.promptTokens += generated.stats.promptTokens;
    total.newTokens += generated.stats.newTokens;
    total.decodeSteps += generated.stats.decodeSteps;
    total.prefillSeconds += generated.stats.prefillSeconds;
    total.decodeSeconds += generated.stats.decodeSeconds;
  }
  return flags.statsFile.empty() ? Status() : writeStats(flags.statsFile, total, int64_t(prompts.size()));
}

Status generateText(Generator &generator, const GenerateFlags &flags, const Model &model) {
  TRANSOM_ASSIGN(tokenizer::Tokenizer tokenizer, loadTokenizer(model));
  TRANSOM_ASSIGN(Prompts prompts, textPrompt(flags, tokenizer));
  tokenizer::StreamingDecoder decoder(tokenizer);
  auto show = [](const std::string &text) {
    fmt::print("{}", printable(text));
    std::fflush(stdout);
  };
  TRANSOM_ASSIGN(Generated generated, generator.generate(prompts, flags.options, [&](const TokenEvent &event) {
    if (!flags.printTokens && event.finish != FinishReason::eos)
      show(decoder.push(event.token));
    return true;
  }));
  if (flags.printTokens)
    fmt::print("{}\n", fmt::join(generated.tokens[0], " "));
  else
    show(decoder.finish() + "\n");
  return flags.statsFile.empty() ? Status() : writeStats(flags.statsFile, generated.stats, 1);
}

Status generate(const GenerateFlags &flags) {
  TRANSOM_ASSIGN(std::shared_ptr<const Model> model, Model::load(flags.path));
  TRANSOM_ASSIGN(std::unique_ptr<Session> session, Session::create(model, {.device = flags.where.device, .threads = flags.where.threads}));
  TRANSOM_ASSIGN(Generator generator, Generator::create(*session));
  if (!flags.tokens.empty() || !flags.tokensFile.empty())
    return generateTokens(generator, flags);
  return generateText(generator, flags, *model);
}

} // namespace

void addGenerate(CLI::App &app, Action &action) {
  auto flags = std::make_shared<GenerateFlags>();
  CLI::App *command = app.add_subcommand("generate", "write text, or token ids, after a prompt");
  command->footer("Greedy unless --temperature is above 0. With --tokens and --tokens-file ids are printed, a prompt a line.");
  addModelOptions(*command, flags->path, flags->where);
  auto *prompt = command->add_option_group("prompt", "one of");
  prompt->add_option("-p,--prompt", flags->prompt, "the text to go on from");
  prompt->add_option("--prompt-file", flags->promptFile, "a file that holds it");
  auto *tokens = prompt->add_option("--tokens", flags->tokens, "token ids, separated by commas or spaces");
  auto *tokensFile = prompt->add_option("--tokens-file", flags->tokensFile, "a file of such lines, a prompt each");
  prompt->require_option(1);
  auto *chat = command->add_flag("--chat", flags->chat, "the prompt is a user's message: wrap it in the model's chat format");
  chat->excludes(tokens)->excludes(tokensFile);
  command->add_option("--system", flags->system, "the system message, with --chat")->needs(chat);
  command->add_option("-n,--max-new-tokens", flags->options.maxNewTokens, "stop after so many")->capture_default_str();
  command->add_option("--temperature", flags->options.temperature, "0: always the most probable token")->capture_default_str();
  command->add_option("--top-k", flags->options.topK, "sample from the k most probable tokens; 0: from all")->capture_default_str();
  command->add_option("--top-p", flags->options.topP, "sample from the most probable tokens that sum to p")->capture_default_str();
  command->add_option("--seed", flags->options.seed, "equal seeds give equal text")->capture_default_str();
  command->add_flag("--ignore-eos", flags->options.ignoreEos, "go on after the model's end tokens");
  command->add_flag("--print-tokens", flags->printTokens, "print token ids instead of text");
  command->add_option("--batch", flags->batch, "prompts at once, with --tokens-file; 0: as many as fit");
  command->add_option("--stats-file", flags->statsFile, "write counts and speeds to this file as JSON");
  command->callback([flags, &action] { action = [flags] { return generate(*flags); }; });
}

} // namespace transom::cli
