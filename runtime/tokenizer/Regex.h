// Regular expressions of tokenizer files (Oniguruma's syntax and its Unicode classes), matched by RE2. Only what has the
// same meaning in both is accepted; the rest is an error that names it.
#pragma once

#include "runtime/support/Status.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace re2 {
class RE2;
}

namespace transom::tokenizer {

struct Match {
  size_t begin, end; ///< bytes
};

/// A compiled pattern. Immutable and safe to share between threads. Never backtracks.
///
/// One look-ahead is understood, because every byte-level pattern has it: a top-level alternative that is exactly
/// `\s+(?!\S)`. It matches a run of white space, less the last character where something other than space follows.
class Regex {
public:
  /// Errors: unsupported (names the construct and lists what is supported), invalidFile (malformed).
  static Result<Regex> create(std::string_view pattern);
  /// A pattern that matches `text` itself.
  static Result<Regex> literal(std::string_view text);

  /// All matches, left to right, not overlapping; of an empty match the next character is where the search goes on.
  /// `text` must be valid UTF-8.
  std::vector<Match> findAll(std::string_view text) const;

private:
  /// The match at or after `pos` (at `pos` only, if there is a look-ahead); begin is npos for none.
  Match next(std::string_view text, size_t pos) const;

  std::shared_ptr<const re2::RE2> before_; ///< the alternatives before the look-ahead one, or the whole pattern
  std::shared_ptr<const re2::RE2> after_;  ///< the alternatives after it, may be null
  bool lookahead_ = false;
};

/// A pattern in RE2's syntax, cut at the look-ahead alternative.
struct TranslatedRegex {
  std::string before, after; ///< empty: no alternatives on that side
  bool lookahead = false;
};
Result<TranslatedRegex> translateRegex(std::string_view pattern);

} // namespace transom::tokenizer
