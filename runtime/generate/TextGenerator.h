// Generation from text to text, through the tokenizer that the artifact carries.
#pragma once

#include "runtime/generate/Generator.h"

namespace transom {

enum class PromptForm : uint8_t {
  plain, ///< the text as it is, with the special tokens that the model puts around texts
  chat,  ///< the text is a user's message in the model's chat format
};

struct TextEvent {
  size_t row = 0;
  std::string_view text; ///< whole characters; empty while one is incomplete
  FinishReason finish = FinishReason::none;
};
/// False stops all rows.
using TextCallback = std::function<bool(const TextEvent &)>;

struct GeneratedText {
  std::vector<std::string> texts; ///< by prompt, without the prompt and without special tokens
  std::vector<FinishReason> finish;
  GenerateStats stats;
};

class TextGenerator {
public:
  /// Errors: Generator::create's; unsupported where the artifact has no tokenizer.
  static Result<TextGenerator> create(Session &session);

  /// The tokens of a prompt. Error: unsupported for a chat where the model declares no known chat format.
  Result<std::vector<int32_t>> encode(const std::string &prompt, PromptForm form) const;

  Result<GeneratedText> generate(std::span<const std::string> prompts, PromptForm form, const GenerateOptions &options,
                                 const TextCallback &onText = {});

  Generator &tokens() { return generator_; }

private:
  TextGenerator(Generator generator, const tokenizer::Tokenizer &tokenizer)
      : generator_(std::move(generator)), tokenizer_(tokenizer) {}
  Generator generator_;
  tokenizer::Tokenizer tokenizer_;
};

} // namespace transom
