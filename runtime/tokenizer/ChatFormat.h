// Chat formats: messages to prompt text. Formats are declared here, templates are not interpreted.
#pragma once

#include "runtime/tokenizer/Spec.h"

namespace transom::tokenizer {

struct ChatMessage {
  std::string role; ///< "system", "user", "assistant", ...; written as it is
  std::string content;
};

/// The prompt, ending where the assistant's answer begins. Errors: unsupported, for ChatFormat::none.
Result<std::string> formatChat(ChatFormat format, std::span<const ChatMessage> messages);

} // namespace transom::tokenizer
