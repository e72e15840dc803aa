// Text on its way through the tokenizer's stages, with the place in the original that each byte comes from.
#pragma once

#include "runtime/tokenizer/Regex.h"
#include "runtime/tokenizer/Utf8.h"

#include <algorithm>

namespace transom::tokenizer {

enum class Tracking { off, on };

struct TrackedText {
  std::string text;
  /// Of each byte: where the character of the original begins that it comes from. Not kept where nobody asks for it.
  std::vector<size_t> origins = {};
  Tracking tracking = Tracking::off;

  /// The characters of `original` (valid UTF-8) in `range`.
  static TrackedText of(std::string_view original, Match range, Tracking tracking) {
    TrackedText out{std::string(original.substr(range.begin, range.end - range.begin)), {}, tracking};
    for (size_t pos = range.begin; tracking == Tracking::on && pos < range.end;) {
      size_t size = decodeUtf8(original, pos).size;
      out.origins.insert(out.origins.end(), size, pos);
      pos += size;
    }
    return out;
  }
  /// No text yet, and room for as much as here.
  TrackedText emptied() const {
    TrackedText out{{}, {}, tracking};
    out.text.reserve(text.size());
    out.origins.reserve(origins.size());
    return out;
  }
  std::string_view view(Match range) const { return std::string_view(text).substr(range.begin, range.end - range.begin); }
  TrackedText slice(Match range) const {
    TrackedText out{{}, {}, tracking};
    out.append(*this, range);
    return out;
  }

  /// What was put behind `text` since the last call comes from what byte `at` of `from` comes from.
  void mark(const TrackedText &from, size_t at) {
    if (tracking == Tracking::on)
      origins.resize(text.size(), at < from.origins.size() ? from.origins[at] : 0);
  }
  void append(const TrackedText &from, Match range) {
    text += from.view(range);
    if (tracking == Tracking::on)
      origins.insert(origins.end(), from.origins.begin() + static_cast<ptrdiff_t>(range.begin), from.origins.begin() + static_cast<ptrdiff_t>(range.end));
  }
};

} // namespace transom::tokenizer
