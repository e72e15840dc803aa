// Recognition of template texts that are known to mean a declared format, and the formats themselves.
#include "runtime/tokenizer/ChatFormat.h"

namespace transom::tokenizer {

namespace {

constexpr std::string_view smolLm2SystemPrompt =
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

// Template texts as model files carry them, with line ends inside string literals written as \n.
constexpr std::string_view smolLm2Template =
    R"({% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})";
constexpr std::string_view chatmlTemplate =
    R"({% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})";

} // namespace

ChatFormat recognizeChatTemplate(std::string_view jinja) {
  std::string text;
  for (char c : jinja)
    text += c == '\n' ? std::string("\\n") : std::string(1, c);
  if (text == smolLm2Template)
    return ChatFormat::chatmlSmolLm2;
  return text == chatmlTemplate ? ChatFormat::chatml : ChatFormat::none;
}

Result<std::string> formatChat(ChatFormat format, std::span<const ChatMessage> messages) {
  if (format == ChatFormat::none)
    return error(StatusCode::unsupported, "the model declares no chat format that is supported (chatml, chatml-smollm2)");
  std::string out;
  auto append = [&](std::string_view role, std::string_view content) {
    out += fmt::format("<|im_start|>{}\n{}<|im_end|>\n", role, content);
  };
  if (format == ChatFormat::chatmlSmolLm2 && !messages.empty() && messages[0].role != "system")
    append("system", smolLm2SystemPrompt);
  for (const ChatMessage &message : messages)
    append(message.role, message.content);
  return out += "<|im_start|>assistant\n";
}

} // namespace transom::tokenizer
