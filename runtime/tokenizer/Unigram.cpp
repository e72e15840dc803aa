// Unigram by the Viterbi algorithm over log probabilities. In doubles and in the reference's order of sums, so that ties fall as there.
#include "runtime/tokenizer/Model.h"

#include "runtime/tokenizer/Utf8.h"

#include <algorithm>

namespace transom::tokenizer {

Unigram::Unigram(const TokenizerSpec &spec, const VocabIndex &vocab)
    : spec_(spec), vocab_(vocab), tokens_(spec.vocab), unknownScore_(*std::ranges::min_element(spec.scores) - 10), byteTokens_(spec, vocab) {}

std::vector<Unigram::Step> Unigram::bestSteps(std::string_view piece) const {
  std::vector<Step> steps(piece.size() + 1); // to each byte; those inside of characters stay unused
  for (size_t begin = 0; begin < piece.size();) {
    size_t character = decodeUtf8(piece, begin).size;
    bool known = false;
    auto offer = [&](int32_t id, size_t size, double score) {
      Step &step = steps[begin + size];
      score += steps[begin].score;
      if (step.id == noToken || score > step.score)
        step = {score, begin, id};
    };
    tokens_.forEachPrefix(piece.substr(begin), [&](int32_t id, size_t size) {
      offer(id, size, spec_.scores[static_cast<size_t>(id)]);
      known = known || size == character;
    });
    if (!known)
      offer(spec_.unknownId, character, unknownScore_);
    begin += character;
  }
  return steps;
}

void Unigram::encode(std::string_view piece, std::vector<Token> &out) const {
  std::vector<Step> steps = bestSteps(piece);
  std::vector<Match> ranges; // last first; a run of unknown characters is one
  bool previousUnknown = false;
  for (size_t end = piece.size(); end > 0; end = steps[end].begin) {
    bool unknown = steps[end].id == spec_.unknownId;
    if (unknown && previousUnknown)
      ranges.back().begin = steps[end].begin;
    else
      ranges.push_back({steps[end].begin, end});
    previousUnknown = unknown;
  }
  std::for_each(ranges.rbegin(), ranges.rend(), [&](Match range) { append(piece, range, out); });
}

/// What has no token becomes its bytes' tokens, each of which stands for all of it, or else the unknown token.
void Unigram::append(std::string_view piece, Match range, std::vector<Token> &out) const {
  std::string_view text = piece.substr(range.begin, range.end - range.begin);
  int32_t id = vocab_.find(text);
  std::vector<int32_t> bytes = id == noToken ? byteTokens_.of(text) : std::vector<int32_t>();
  for (int32_t byte : bytes)
    out.push_back({byte, range});
  if (bytes.empty())
    out.push_back({id == noToken ? spec_.unknownId : id, range});
}

} // namespace transom::tokenizer
