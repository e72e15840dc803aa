// UTF-8 decoding by the well-formedness table of the Unicode standard (table 3-7).
#include "runtime/tokenizer/Utf8.h"

namespace transom::tokenizer {

namespace {

struct Lead {
  uint8_t continuation;  // bytes that follow; 0: no lead byte
  uint8_t low, high;     // bounds of the second byte
  uint8_t bits;          // payload mask of the lead
};

Lead leadOf(uint8_t byte) {
  if (byte >= 0xC2 && byte <= 0xDF)
    return {1, 0x80, 0xBF, 0x1F};
  if (byte >= 0xE0 && byte <= 0xEF)
    return {2, uint8_t(byte == 0xE0 ? 0xA0 : 0x80), uint8_t(byte == 0xED ? 0x9F : 0xBF), 0x0F};
  if (byte >= 0xF0 && byte <= 0xF4)
    return {3, uint8_t(byte == 0xF0 ? 0x90 : 0x80), uint8_t(byte == 0xF4 ? 0x8F : 0xBF), 0x07};
  return {0, 0, 0, 0};
}

} // namespace

Utf8Char decodeUtf8(std::string_view text, size_t pos) {
  constexpr char32_t replacement = 0xFFFD;
  uint8_t first = static_cast<uint8_t>(text[pos]);
  if (first < 0x80)
    return {first, 1, true, false};
  Lead lead = leadOf(first);
  if (lead.continuation == 0)
    return {replacement, 1, false, false};
  char32_t codepoint = first & lead.bits;
  for (uint32_t i = 1; i <= lead.continuation; ++i) {
    if (pos + i >= text.size())
      return {replacement, i, false, true};
    uint8_t byte = static_cast<uint8_t>(text[pos + i]);
    if (byte < (i == 1 ? lead.low : 0x80) || byte > (i == 1 ? lead.high : 0xBF))
      return {replacement, i, false, false};
    codepoint = (codepoint << 6) | (byte & 0x3F);
  }
  return {codepoint, lead.continuation + 1u, true, false};
}

size_t previousChar(std::string_view text, size_t pos) {
  do
    --pos;
  while (pos > 0 && (static_cast<uint8_t>(text[pos]) & 0xC0) == 0x80);
  return pos;
}

void appendUtf8(std::string &out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F))};
  } else if (c < 0x10000) {
    out += {static_cast<char>(0xE0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 0x3F)),
            static_cast<char>(0x80 | (c & 0x3F))};
  } else {
    out += {static_cast<char>(0xF0 | (c >> 18)), static_cast<char>(0x80 | ((c >> 12) & 0x3F)),
            static_cast<char>(0x80 | ((c >> 6) & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
  }
}

bool isValidUtf8(std::string_view text) {
  for (size_t pos = 0; pos < text.size();) {
    Utf8Char c = decodeUtf8(text, pos);
    if (!c.valid)
      return false;
    pos += c.size;
  }
  return true;
}

std::string sanitizeUtf8(std::string_view text) {
  Utf8Stream stream;
  std::string out = stream.push(text);
  return out += stream.finish();
}

size_t countCodepoints(std::string_view text) {
  size_t count = 0;
  for (char c : text)
    count += (static_cast<uint8_t>(c) & 0xC0) != 0x80;
  return count;
}

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  out.reserve(pending_.size());
  size_t pos = 0;
  while (pos < pending_.size()) {
    Utf8Char c = decodeUtf8(pending_, pos);
    if (c.truncated)
      break;
    if (c.valid)
      out.append(pending_, pos, c.size);
    else
      appendUtf8(out, c.codepoint);
    pos += c.size;
  }
  pending_.erase(0, pos);
  return out;
}

std::string Utf8Stream::finish() {
  std::string out;
  if (!pending_.empty())
    appendUtf8(out, 0xFFFD); // what waits is one incomplete character, hence one maximal subpart
  pending_.clear();
  return out;
}

} // namespace transom::tokenizer
