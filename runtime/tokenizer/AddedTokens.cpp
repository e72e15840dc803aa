// A byte trie walked from each position; time is text length by the longest token.
#include "runtime/tokenizer/AddedTokens.h"

#include "runtime/tokenizer/Unicode.h"
#include "runtime/tokenizer/Utf8.h"

#include <algorithm>

namespace transom::tokenizer {

namespace {

bool standsAlone(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && isWordChar(decodeUtf8(text, previousChar(text, begin)).codepoint))
    return false;
  return end == text.size() || !isWordChar(decodeUtf8(text, end).codepoint);
}

size_t skipSpaceLeft(std::string_view text, size_t pos, size_t limit) {
  while (pos > limit) {
    size_t before = previousChar(text, pos);
    if (!isWhitespace(decodeUtf8(text, before).codepoint))
      break;
    pos = before;
  }
  return pos;
}

size_t skipSpaceRight(std::string_view text, size_t pos) {
  while (pos < text.size()) {
    Utf8Char c = decodeUtf8(text, pos);
    if (!isWhitespace(c.codepoint))
      break;
    pos += c.size;
  }
  return pos;
}

} // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens, const std::vector<std::string> &contents)
    : tokens_(std::move(tokens)) {
  roots_.fill(-1);
  for (size_t i = 0; i < tokens_.size(); ++i)
    if (!contents[i].empty())
      insert(contents[i], static_cast<int32_t>(i));
  for (int32_t node = nodes_[0].child; node >= 0; node = nodes_[node].sibling)
    roots_[nodes_[node].byte] = node;
}

int32_t AddedTokenFinder::childOf(int32_t node, uint8_t byte) const {
  int32_t child = nodes_[node].child;
  while (child >= 0 && nodes_[child].byte != byte)
    child = nodes_[child].sibling;
  return child;
}

void AddedTokenFinder::insert(std::string_view content, int32_t token) {
  int32_t node = 0;
  for (char c : content) {
    uint8_t byte = static_cast<uint8_t>(c);
    int32_t child = childOf(node, byte);
    if (child < 0) {
      child = static_cast<int32_t>(nodes_.size());
      nodes_.push_back({byte, -1, nodes_[node].child, -1});
      nodes_[node].child = child;
    }
    node = child;
  }
  if (nodes_[node].token < 0) // of two tokens with one form the first is found
    nodes_[node].token = token;
}

int32_t AddedTokenFinder::longestAt(std::string_view text, size_t pos, size_t &size) const {
  int32_t best = -1;
  size_t at = pos;
  for (int32_t node = roots_[static_cast<uint8_t>(text[at])]; node >= 0;) {
    ++at;
    if (nodes_[node].token >= 0) {
      best = nodes_[node].token;
      size = at - pos;
    }
    node = at < text.size() ? childOf(node, static_cast<uint8_t>(text[at])) : -1;
  }
  return best;
}

std::vector<Stretch> AddedTokenFinder::find(std::string_view text, bool parseSpecial) const {
  std::vector<Stretch> out;
  size_t done = 0; // everything before is in `out`
  for (size_t pos = 0; pos < text.size();) {
    size_t size = 0;
    int32_t found = longestAt(text, pos, size);
    if (found < 0) {
      ++pos;
      continue;
    }
    const AddedToken &token = tokens_[found];
    size_t begin = pos, end = pos + size;
    pos = end;
    if ((token.special && !parseSpecial) || (token.singleWord && !standsAlone(text, begin, end)))
      continue;
    if (token.lstrip)
      begin = std::max(skipSpaceLeft(text, begin, std::min(done, begin)), done);
    if (token.rstrip)
      end = skipSpaceRight(text, end);
    if (done < begin)
      out.push_back({done, begin, noToken});
    out.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size())
    out.push_back({done, text.size(), noToken});
  return out;
}

} // namespace transom::tokenizer
