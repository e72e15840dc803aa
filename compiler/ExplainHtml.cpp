// See ExplainPrint.h: explain.html with the JSON in it. The page's script builds everything from that by textContent.
#include "compiler/ExplainPrint.h"

namespace transom {

/// compiler/explain.html, made into C++ by cmake/EmbedText.cmake.
extern const char *const explainPage;

namespace {

/// JSON that cannot end the element it stands in, nor open a comment in it.
std::string inScript(const std::string &json) {
  std::string out;
  out.reserve(json.size());
  for (char c : json)
    if (c == '<')
      out += "\\u003c";
    else if (c == '>')
      out += "\\u003e";
    else if (c == '&')
      out += "\\u0026";
    else
      out += c;
  return out;
}

} // namespace

std::string explanationHtml(const Explanation &explanation) {
  std::string page = explainPage;
  constexpr std::string_view mark = "@EXPLANATION@";
  size_t at = page.find(mark);
  assert(at != page.npos && "the page has a place for the explanation");
  return page.replace(at, mark.size(), inScript(explanationJson(explanation)));
}

} // namespace transom
