// Byte-pair encoding with a priority queue, and WordPiece; what models share. No splitting and no special tokens here.
#include "runtime/tokenizer/Model.h"

#include "runtime/tokenizer/Utf8.h"

#include <xxhash.h>

#include <algorithm>
#include <queue>

namespace transom::tokenizer {

namespace {

uint64_t hashOf(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

uint64_t hashOf(int32_t left, int32_t right) {
  uint64_t key = (uint64_t(uint32_t(left)) << 32) | uint32_t(right);
  return XXH3_64bits(&key, sizeof key);
}

} // namespace

VocabIndex::VocabIndex(const std::vector<std::string> &tokens) : tokens_(&tokens), index_(tokens.size()) {
  for (size_t id = 0; id < tokens.size(); ++id)
    if (!tokens[id].empty())
      index_.slot(hashOf(tokens[id]), [&](int32_t other) { return tokens[other] == tokens[id]; }) =
          static_cast<int32_t>(id);
}

int32_t VocabIndex::find(std::string_view text) const {
  return index_.slot(hashOf(text), [&](int32_t id) { return (*tokens_)[id] == text; });
}

ByteTokens::ByteTokens(const TokenizerSpec &spec, const VocabIndex &vocab) {
  for (size_t byte = 0; byte < ids_.size(); ++byte)
    ids_[byte] = spec.byteFallback ? vocab.find(fmt::format("<0x{:02X}>", byte)) : noToken;
}

std::vector<int32_t> ByteTokens::of(std::string_view text) const {
  std::vector<int32_t> out;
  for (char c : text) {
    out.push_back(ids_[static_cast<uint8_t>(c)]);
    if (out.back() == noToken)
      return {};
  }
  return out;
}

Bpe::Bpe(const TokenizerSpec &spec, const VocabIndex &vocab)
    : spec_(spec), vocab_(vocab), ranks_(spec.merges.size()), byteTokens_(spec, vocab) {
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const Merge &merge = spec.merges[rank];
    ranks_.slot(hashOf(merge.left, merge.right), [&](int32_t other) {
      return spec.merges[other].left == merge.left && spec.merges[other].right == merge.right;
    }) = static_cast<int32_t>(rank);
  }
}

int32_t Bpe::rankOf(int32_t left, int32_t right) const {
  return ranks_.slot(hashOf(left, right), [&](int32_t rank) {
    return spec_.merges[rank].left == left && spec_.merges[rank].right == right;
  });
}

void Bpe::encode(std::string_view piece, std::vector<Token> &out) const {
  if (spec_.ignoreMerges)
    if (int32_t id = vocab_.find(piece); id != noToken) {
      out.push_back({id, {0, piece.size()}});
      return;
    }
  std::vector<Symbol> word = symbolsOf(piece);
  mergeAll(word);
  size_t begin = 0;
  for (const Symbol &symbol : word)
    if (symbol.live) {
      out.push_back({symbol.id, {begin, begin + symbol.size}});
      begin += symbol.size;
    }
}

std::vector<Bpe::Symbol> Bpe::symbolsOf(std::string_view piece) const {
  std::vector<Symbol> word;
  word.reserve(piece.size());
  bool previousUnknown = false;
  for (size_t pos = 0; pos < piece.size();) {
    uint32_t size = decodeUtf8(piece, pos).size;
    std::string_view character = piece.substr(pos, size);
    int32_t id = vocab_.find(character);
    pos += size;
    auto add = [&](int32_t symbol, size_t bytes) {
      int32_t at = static_cast<int32_t>(word.size());
      word.push_back({symbol, at - 1, at + 1, bytes, true});
    };
    bool unknown = id == noToken;
    if (std::vector<int32_t> bytes; unknown && !(bytes = byteTokens_.of(character)).empty()) {
      for (int32_t byte : bytes)
        add(byte, 1);
      previousUnknown = false;
      continue;
    }
    if (unknown && spec_.unknownId == noToken)
      continue; // a character without token and without stand-in leaves no trace, not even in ranges, as in the reference
    if (unknown && spec_.fuseUnknown && previousUnknown) {
      word.back().size += size;
      continue;
    }
    previousUnknown = unknown;
    add(unknown ? spec_.unknownId : id, size);
  }
  if (!word.empty())
    word.back().next = -1;
  return word;
}

void Bpe::mergeAll(std::vector<Symbol> &word) const {
  struct Candidate {
    int32_t rank, left; ///< `left`: position of the left symbol
    bool operator>(const Candidate &other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  std::vector<Candidate> initial;
  auto candidate = [&](int32_t left) {
    int32_t right = left < 0 ? -1 : word[left].next;
    return Candidate{right < 0 ? -1 : rankOf(word[left].id, word[right].id), left};
  };
  for (size_t i = 0; i + 1 < word.size(); ++i)
    if (Candidate c = candidate(static_cast<int32_t>(i)); c.rank >= 0)
      initial.push_back(c);
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue(std::greater<>(), std::move(initial));
  while (!queue.empty()) {
    Candidate top = queue.top();
    queue.pop();
    Symbol &left = word[top.left];
    if (!left.live || left.next < 0)
      continue;
    Symbol &right = word[left.next];
    const Merge &merge = spec_.merges[top.rank];
    // Either symbol may have been merged away since. The reference compares results only, so do we.
    int32_t rank = rankOf(left.id, right.id);
    if (rank < 0 || spec_.merges[rank].result != merge.result)
      continue;
    left.id = merge.result;
    left.size += right.size;
    left.next = right.next;
    right.live = false;
    if (right.next >= 0)
      word[right.next].previous = top.left;
    for (int32_t at : {left.previous, top.left})
      if (Candidate c = candidate(at); c.rank >= 0)
        queue.push(c);
  }
}

WordPiece::WordPiece(const TokenizerSpec &spec, const VocabIndex &vocab) : spec_(spec), vocab_(vocab) {
  for (const std::string &token : spec.vocab)
    longest_ = std::max(longest_, token.size());
}

void WordPiece::encode(std::string_view piece, std::vector<Token> &out) const {
  size_t first = out.size();
  auto unknown = [&] {
    out.resize(first);
    out.push_back({spec_.unknownId, {0, piece.size()}});
  };
  if (countCodepoints(piece) > spec_.maxCharsPerWord)
    return unknown();
  std::string candidate;
  for (size_t begin = 0; begin < piece.size();) {
    candidate = begin > 0 ? spec_.continuingPrefix : std::string();
    size_t prefix = candidate.size();
    candidate += piece.substr(begin, longest_);
    int32_t id = noToken;
    while (candidate.size() > prefix && (id = vocab_.find(candidate)) == noToken) {
      while ((static_cast<uint8_t>(candidate.back()) & 0xC0) == 0x80)
        candidate.pop_back();
      candidate.pop_back();
    }
    if (id == noToken)
      return unknown();
    size_t end = begin + candidate.size() - prefix;
    out.push_back({id, {begin, end}});
    begin = end;
  }
}

} // namespace transom::tokenizer
