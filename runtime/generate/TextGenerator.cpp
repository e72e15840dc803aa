// See TextGenerator.h.
#include "runtime/generate/TextGenerator.h"

namespace transom {

Result<TextGenerator> TextGenerator::create(Session &session) {
  TRANSOM_ASSIGN(Generator generator, Generator::create(session));
  const tokenizer::Tokenizer *tokenizer = session.model().tokenizer();
  if (!tokenizer)
    return error(StatusCode::unsupported, "the artifact carries no tokenizer; generate from token ids instead");
  return TextGenerator(std::move(generator), *tokenizer);
}

Result<std::vector<int32_t>> TextGenerator::encode(const std::string &prompt, PromptForm form) const {
  if (form == PromptForm::plain)
    return tokenizer_.encode(prompt);
  tokenizer::ChatMessage message{"user", prompt};
  TRANSOM_ASSIGN(std::string text, tokenizer_.applyChat({&message, 1}));
  return tokenizer_.encode(text, {.addSpecialTokens = false, .parseSpecialTokens = true});
}

Result<GeneratedText> TextGenerator::generate(std::span<const std::string> prompts, PromptForm form,
                                              const GenerateOptions &options, const TextCallback &onText) {
  std::vector<std::vector<int32_t>> tokens;
  std::vector<tokenizer::StreamingDecoder> decoders;
  for (const std::string &prompt : prompts) {
    TRANSOM_ASSIGN(tokens.emplace_back(), encode(prompt, form));
    decoders.emplace_back(tokenizer_);
  }
  GeneratedText out;
  out.texts.resize(prompts.size());
  auto onToken = [&](const TokenEvent &event) {
    std::string piece = decoders[event.row].push(event.token);
    if (event.finish != FinishReason::none)
      piece += decoders[event.row].finish();
    out.texts[event.row] += piece;
    return !onText || onText({event.row, piece, event.finish});
  };
  TRANSOM_ASSIGN(Generated generated, generator_.generate(tokens, options, onToken));
  // Rows that were stopped from outside may hold back part of a character.
  for (size_t row = 0; row < prompts.size(); ++row)
    out.texts[row] += decoders[row].finish();
  out.finish = std::move(generated.finish);
  out.stats = generated.stats;
  return out;
}

} // namespace transom
