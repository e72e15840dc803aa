// See ExplainNames.h.
#include "compiler/ExplainNames.h"

#include <algorithm>

namespace transom {

namespace {

bool isDigit(char c) { return c >= '0' && c <= '9'; }

/// Replaces each run of digits that `chosen(begin, end)` accepts.
template <typename Chosen> std::string replaceRuns(std::string_view text, Chosen chosen) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && isDigit(text[end]))
      ++end;
    if (end > i && chosen(i, end))
      out += '*';
    else if (end > i)
      out += text.substr(i, end - i);
    else
      out += text[end++];
    i = end;
  }
  return out;
}

} // namespace

std::string layerPattern(std::string_view layer) {
  return replaceRuns(layer, [&](size_t begin, size_t end) {
    return (begin == 0 || layer[begin - 1] == '.') && (end == layer.size() || layer[end] == '.');
  });
}

std::string layerStem(std::string_view layer) {
  for (size_t begin = 0; begin < layer.size();) {
    size_t end = std::min(layer.find('.', begin), layer.size());
    std::string_view part = layer.substr(begin, end - begin);
    if (!part.empty() && std::all_of(part.begin(), part.end(), isDigit))
      return std::string(layer.substr(0, end));
    begin = end + 1;
  }
  return "";
}

std::string textPattern(std::string_view text) {
  return replaceRuns(text, [&](size_t begin, size_t end) {
    // Between two names: a decimal fraction has digits on one side.
    return begin > 1 && text[begin - 1] == '.' && end + 1 < text.size() && text[end] == '.' && !isDigit(text[begin - 2]) &&
           !isDigit(text[end + 1]);
  });
}

std::string conditionOf(std::string_view text) {
  size_t colon = text.find(':');
  bool numbered = colon != text.npos && colon >= 2 && text[0] >= 'A' && text[0] <= 'Z' &&
                  std::all_of(text.begin() + 1, text.begin() + static_cast<ptrdiff_t>(colon), isDigit);
  return numbered ? std::string(text.substr(0, colon)) : "";
}

} // namespace transom
