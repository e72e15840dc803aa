// Look-up in the double array, and the account of where replaced text comes from.
#include "runtime/tokenizer/Charsmap.h"

#include "runtime/tokenizer/Unicode.h"

#include <cstring>

namespace transom::tokenizer {

namespace {

// A unit of the double array: the byte that leads to it, where its children are, and whether one of them is a value.
bool hasValue(uint32_t unit) { return unit >> 8 & 1; }
uint32_t valueOf(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t labelOf(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offsetOf(uint32_t unit) { return unit >> 10 << ((unit & 0x200) >> 6); }

/// Collects what characters become, with how many more (`change` > 0: this one is new) or fewer (< 0: so many after it are gone) there
/// are, and tells origins by these numbers alone, as the reference does.
class Rewriting {
public:
  explicit Rewriting(const TrackedText &from) : from_(from) {}

  void replace(std::string_view old, std::string_view content) {
    auto more = static_cast<ptrdiff_t>(countCodepoints(content)) - static_cast<ptrdiff_t>(countCodepoints(old));
    for (size_t pos = 0; pos < content.size();) {
      Utf8Char c = decodeUtf8(content, pos);
      chars_.push_back({content.substr(pos, c.size), 0});
      pos += c.size;
    }
    for (ptrdiff_t i = 0; i < more; ++i)
      chars_[chars_.size() - 1 - static_cast<size_t>(i)].change = 1;
    if (more < 0 && !chars_.empty())
      chars_.back().change += more;
  }
  void keep(std::string_view bytes) { chars_.push_back({bytes, 0}); }

  TrackedText finish() const {
    TrackedText out = from_.emptied();
    size_t pos = 0; // behind the last character of `from_` that is accounted for
    auto skip = [&] { pos += pos < from_.text.size() ? decodeUtf8(from_.text, pos).size : 0; };
    for (const Char &c : chars_) {
      size_t origin = c.change > 0 ? std::max<size_t>(pos, 1) - 1 : pos;
      for (ptrdiff_t i = c.change; i <= 0; ++i)
        skip();
      out.text += c.bytes;
      out.mark(from_, origin);
    }
    return out;
  }

private:
  struct Char {
    std::string_view bytes;
    ptrdiff_t change;
  };
  const TrackedText &from_;
  std::vector<Char> chars_;
};

/// The end of the user-perceived character at `begin`.
size_t graphemeEnd(std::string_view text, size_t begin) {
  Utf8Char left = decodeUtf8(text, begin);
  int32_t state = 0;
  size_t end = begin + left.size;
  while (end < text.size()) {
    Utf8Char right = decodeUtf8(text, end);
    if (graphemeEndsBetween(left.codepoint, right.codepoint, state))
      break;
    end += right.size;
    left = right;
  }
  return end;
}

} // namespace

Result<Charsmap> Charsmap::create(std::string_view bytes) {
  uint32_t treeBytes = 0;
  if (bytes.size() < sizeof treeBytes)
    return error(StatusCode::invalidFile, "precompiled charsmap of {} bytes is too short", bytes.size());
  std::memcpy(&treeBytes, bytes.data(), sizeof treeBytes);
  bytes.remove_prefix(sizeof treeBytes);
  if (treeBytes == 0 || treeBytes % sizeof(uint32_t) != 0 || treeBytes > bytes.size())
    return error(StatusCode::invalidFile, "precompiled charsmap: expected a tree of whole units within {} bytes, found {} bytes",
                 bytes.size(), treeBytes);
  Charsmap out;
  out.units_.resize(treeBytes / sizeof(uint32_t));
  std::memcpy(out.units_.data(), bytes.data(), treeBytes);
  out.replacements_ = bytes.substr(treeBytes);
  if (!isValidUtf8(out.replacements_))
    return error(StatusCode::invalidFile, "precompiled charsmap: replacements are not valid UTF-8");
  return out;
}

std::optional<std::string_view> Charsmap::replacementOf(std::string_view text) const {
  if (units_.empty())
    return std::nullopt;
  uint32_t at = offsetOf(units_[0]);
  for (char c : text) {
    auto byte = static_cast<uint8_t>(c);
    at ^= byte;
    if (byte == 0 || at >= units_.size() || labelOf(units_[at]) != byte)
      return std::nullopt;
    bool found = hasValue(units_[at]);
    at ^= offsetOf(units_[at]);
    if (!found)
      continue;
    size_t begin = at < units_.size() ? valueOf(units_[at]) : replacements_.size();
    if (begin >= replacements_.size() || (static_cast<uint8_t>(replacements_[begin]) & 0xC0) == 0x80)
      return std::nullopt;
    std::string_view rest = std::string_view(replacements_).substr(begin);
    return rest.substr(0, rest.find('\0'));
  }
  return std::nullopt;
}

TrackedText Charsmap::apply(const TrackedText &from) const {
  constexpr size_t longestWhole = 5; // bytes
  Rewriting out(from);
  std::string_view text = from.text;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = graphemeEnd(text, begin);
    std::string_view whole = text.substr(begin, end - begin);
    std::optional<std::string_view> content;
    if (whole.size() <= longestWhole && (content = replacementOf(whole))) {
      out.replace(whole, *content);
      begin = end;
      continue;
    }
    while (begin < end) {
      std::string_view part = text.substr(begin, decodeUtf8(text, begin).size);
      if ((content = replacementOf(part)))
        out.replace(part, *content);
      else
        out.keep(part);
      begin += part.size();
    }
  }
  return out.finish();
}

} // namespace transom::tokenizer
