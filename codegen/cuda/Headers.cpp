// See Headers.h.
#include "codegen/cuda/Headers.h"

#include "codegen/cuda/HeaderTexts.inc"

namespace transom::cuda {

namespace {

std::string_view textOf(const std::string &name) {
  for (const HeaderText &header : headerTexts)
    if (header.name == name)
      return header.text;
  return {};
}

/// Names in lines `#include "..."`.
std::vector<std::string> includesOf(std::string_view text) {
  constexpr std::string_view word = "#include \"";
  std::vector<std::string> names;
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    size_t begin = at + word.size(), end = text.find('"', begin);
    names.emplace_back(text.substr(begin, end - begin));
  }
  return names;
}

} // namespace

std::vector<artifact::CudaHeader> headersFor(const std::set<std::string> &names) {
  std::set<std::string> all, open = names;
  while (!open.empty()) {
    std::string name = *open.begin();
    open.erase(open.begin());
    if (!all.insert(name).second)
      continue;
    for (std::string &included : includesOf(textOf(name)))
      open.insert(std::move(included));
  }
  std::vector<artifact::CudaHeader> headers;
  for (const std::string &name : all)
    headers.push_back({name, std::string(textOf(name))});
  return headers;
}

} // namespace transom::cuda
