// UTF-8: decoding with replacement, encoding, and splitting a stream at character borders. No Unicode properties.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace transom::tokenizer {

/// One step of decoding. Ill-formed input yields U+FFFD for each maximal subpart (Unicode 3.9, "best practice"; what
/// Python's errors="replace" does).
struct Utf8Char {
  char32_t codepoint;
  uint32_t size;  ///< bytes consumed, at least 1
  bool valid;     ///< false: ill-formed, `codepoint` is U+FFFD
  bool truncated; ///< ill-formed only because the text ends: more bytes could complete it
};

/// Decodes the character at `pos`, which must be less than text.size().
Utf8Char decodeUtf8(std::string_view text, size_t pos);
/// Where the character before `pos`, which must not be 0, begins. For valid text.
size_t previousChar(std::string_view text, size_t pos);
void appendUtf8(std::string &out, char32_t codepoint);
bool isValidUtf8(std::string_view text);
/// The text with every ill-formed part replaced by U+FFFD.
std::string sanitizeUtf8(std::string_view text);
size_t countCodepoints(std::string_view validText);

/// Cuts a stream of bytes into well-formed text: bytes that could still become a character wait for the next call.
class Utf8Stream {
public:
  std::string push(std::string_view bytes);
  /// The end of the stream: what waited is ill-formed now.
  std::string finish();

private:
  std::string pending_;
};

} // namespace transom::tokenizer
