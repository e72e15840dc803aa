// Oniguruma's syntax to RE2's. Classes become explicit ranges, because RE2's \s, \d and \w are ASCII and its Unicode
// tables are of another version. Does not match anything.
#include "runtime/tokenizer/Regex.h"
#include "runtime/tokenizer/Unicode.h"
#include "runtime/tokenizer/Utf8.h"

namespace transom::tokenizer {

namespace {

constexpr size_t maxPatternBytes = 1 << 16;
constexpr std::string_view lookaheadAlternative = R"(\s+(?!\S))";

class Translator {
public:
  explicit Translator(std::string_view pattern) : text_(pattern) {}

  Result<TranslatedRegex> run() {
    while (pos_ < text_.size())
      TRANSOM_RETURN_IF_ERROR(item());
    if (depth_ != 0)
      return malformed("unclosed group");
    (out_.lookahead ? out_.after : out_.before) += current_;
    return std::move(out_);
  }

private:
  Status malformed(std::string_view what) const {
    return error(StatusCode::invalidFile, "regular expression '{}': {} at byte {}", text_, what, pos_);
  }
  Status unsupported(std::string_view what) const {
    return error(StatusCode::unsupported,
                 "regular expression '{}': {} at byte {} is not supported; supported: literals, classes with ranges, "
                 "\\s \\d \\w \\p{{category}} and their negations, groups (...) (?:...) (?i:...), quantifiers without "
                 "possessive '+', anchors, and the alternative \\s+(?!\\S)",
                 text_, what, pos_);
  }
  bool startsWith(std::string_view prefix) const { return text_.substr(pos_).starts_with(prefix); }

  /// One element of the pattern: alternative border, group border, quantifier, class or literal.
  Status item() {
    if (depth_ == 0 && atAlternative_ && startsWith(lookaheadAlternative)) {
      size_t end = pos_ + lookaheadAlternative.size();
      if (end == text_.size() || text_[end] == '|')
        return lookahead(end);
    }
    char c = text_[pos_];
    atAlternative_ = false;
    switch (c) {
    case '|':
      ++pos_;
      atAlternative_ = depth_ == 0;
      current_ += '|';
      return Status();
    case '(':
      return group();
    case ')':
      if (depth_-- == 0)
        return malformed("unmatched ')'");
      return copy(1);
    case '*':
    case '+':
    case '?':
      return quantifier(1);
    case '{':
      return counted();
    case '[':
      return bracket();
    case '.':
      current_ += "[^\\n]";
      ++pos_;
      return Status();
    case '^':
    case '$': // Oniguruma's Ruby syntax: line borders always
      current_ += fmt::format("(?m:{})", c);
      ++pos_;
      return Status();
    case '\\':
      if (startsWith("\\A") || startsWith("\\z"))
        return copy(2);
      break;
    default:
      break;
    }
    return classOrLiteral();
  }

  Status copy(size_t bytes) {
    current_ += text_.substr(pos_, bytes);
    pos_ += bytes;
    return Status();
  }

  Status lookahead(size_t end) {
    if (out_.lookahead)
      return unsupported("a second look-ahead");
    if (!current_.empty() && current_.back() == '|')
      current_.pop_back();
    out_.before = std::exchange(current_, {});
    out_.lookahead = true;
    pos_ = std::min(end + 1, text_.size()); // past the '|' that follows
    atAlternative_ = true;
    return Status();
  }

  Status group() {
    size_t length = 1;
    if (startsWith("(?")) {
      if (startsWith("(?:"))
        length = 3;
      else if (startsWith("(?i:"))
        length = 4;
      else
        return unsupported(fmt::format("group '{}'", text_.substr(pos_, 3)));
    }
    ++depth_;
    return copy(length);
  }

  Status quantifier(size_t bytes) {
    TRANSOM_RETURN_IF_ERROR(copy(bytes));
    if (startsWith("?"))
      return copy(1);
    return startsWith("+") ? unsupported("a possessive quantifier") : Status();
  }

  Status counted() {
    size_t end = pos_ + 1;
    while (end < text_.size() && (std::isdigit(static_cast<uint8_t>(text_[end])) || text_[end] == ','))
      ++end;
    if (end >= text_.size() || text_[end] != '}' || end == pos_ + 1 || text_[pos_ + 1] == ',')
      return unsupported("'{' that is no {n}, {n,} or {n,m}");
    return quantifier(end + 1 - pos_);
  }

  Status classOrLiteral() {
    CodepointSet set;
    TRANSOM_ASSIGN(std::optional<uint32_t> literal, element(set));
    if (literal)
      current_ += fmt::format("\\x{{{:x}}}", *literal);
    else
      emit(set);
    return Status();
  }

  /// One character (returned) or one class escape (added to `set`).
  Result<std::optional<uint32_t>> element(CodepointSet &set) {
    Utf8Char c = decodeUtf8(text_, pos_);
    if (!c.valid)
      return malformed("invalid UTF-8");
    if (c.codepoint != '\\') {
      pos_ += c.size;
      return std::optional<uint32_t>(c.codepoint);
    }
    if (pos_ + 1 >= text_.size())
      return malformed("a lone backslash");
    char kind = text_[pos_ + 1];
    switch (kind) {
    case 's': case 'S': return classEscape(set, regexWhitespace(), kind == 'S');
    case 'd': case 'D': return classEscape(set, regexDigits(), kind == 'D');
    case 'w': case 'W': return classEscape(set, regexWordChars(), kind == 'W');
    case 'p': case 'P': return property(set);
    case 'n': return escaped('\n');
    case 'r': return escaped('\r');
    case 't': return escaped('\t');
    case 'f': return escaped('\f');
    case 'v': return escaped('\v');
    case 'u': case 'x': return hexadecimal();
    default:
      if (static_cast<uint8_t>(kind) < 0x80 && std::ispunct(static_cast<uint8_t>(kind)))
        return escaped(kind);
      if (kind == ' ')
        return escaped(kind);
      return unsupported(fmt::format("escape '\\{}'", kind));
    }
  }

  Result<std::optional<uint32_t>> escaped(char c) {
    pos_ += 2;
    return std::optional<uint32_t>(static_cast<uint8_t>(c));
  }

  Result<std::optional<uint32_t>> classEscape(CodepointSet &set, const CodepointSet &members, bool negated) {
    pos_ += 2;
    set.add(negated ? members.complement() : members);
    return std::optional<uint32_t>();
  }

  /// \uHHHH, \xHH, \x{H...}
  Result<std::optional<uint32_t>> hexadecimal() {
    bool braced = startsWith("\\x{");
    size_t begin = pos_ + (braced ? 3 : 2), limit = braced ? 6 : text_[pos_ + 1] == 'u' ? 4 : 2, end = begin;
    uint32_t value = 0;
    for (; end < text_.size() && end < begin + limit && std::isxdigit(static_cast<uint8_t>(text_[end])); ++end)
      value = value * 16 + static_cast<uint32_t>(text_[end] <= '9' ? text_[end] - '0' : (text_[end] | 32) - 'a' + 10);
    bool complete = braced ? end > begin && end < text_.size() && text_[end] == '}' : end == begin + limit;
    if (!complete || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
      return malformed("a bad hexadecimal escape");
    pos_ = end + (braced ? 1 : 0);
    return std::optional<uint32_t>(value);
  }

  /// \p{Name}, \P{Name}, \p{^Name}: general categories only.
  Result<std::optional<uint32_t>> property(CodepointSet &set) {
    bool negated = text_[pos_ + 1] == 'P';
    size_t close = text_.find('}', pos_);
    if (pos_ + 2 >= text_.size() || text_[pos_ + 2] != '{' || close == std::string_view::npos)
      return malformed("\\p without {name}");
    std::string_view name = text_.substr(pos_ + 3, close - pos_ - 3);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    CodepointSet members;
    if (!addCategory(members, name))
      return unsupported(fmt::format("property '{}'", name));
    set.add(negated ? members.complement() : members);
    pos_ = close + 1;
    return std::optional<uint32_t>();
  }

  Status bracket() {
    ++pos_;
    bool negated = startsWith("^");
    pos_ += negated;
    CodepointSet set;
    for (bool first = true;; first = false) {
      if (pos_ >= text_.size())
        return malformed("unclosed '['");
      if (text_[pos_] == ']' && !first)
        break;
      if (text_[pos_] == '[' || startsWith("&&"))
        return unsupported("a nested class or class operation");
      TRANSOM_ASSIGN(std::optional<uint32_t> low, element(set));
      bool isRange = startsWith("-") && pos_ + 1 < text_.size() && text_[pos_ + 1] != ']';
      if (!isRange) {
        if (low)
          set.add(*low, *low);
        continue;
      }
      ++pos_;
      TRANSOM_ASSIGN(std::optional<uint32_t> high, element(set));
      if (!low || !high || *low > *high)
        return unsupported("a range without two ordered characters");
      set.add(*low, *high);
    }
    ++pos_;
    emit(negated ? set.complement() : set);
    return Status();
  }

  void emit(const CodepointSet &set) {
    if (set.ranges().empty()) {
      current_ += "[^\\x{0}-\\x{10ffff}]";
      return;
    }
    current_ += '[';
    for (CodepointRange range : set.ranges())
      current_ += range.first == range.last ? fmt::format("\\x{{{:x}}}", range.first)
                                            : fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", range.first, range.last);
    current_ += ']';
  }

  std::string_view text_;
  size_t pos_ = 0;
  int depth_ = 0;
  bool atAlternative_ = true; ///< at the start of a top-level alternative
  std::string current_;
  TranslatedRegex out_;
};

} // namespace

Result<TranslatedRegex> translateRegex(std::string_view pattern) {
  if (pattern.size() > maxPatternBytes)
    return error(StatusCode::unsupported, "regular expression of {} bytes, at most {} are supported", pattern.size(),
                 maxPatternBytes);
  return Translator(pattern).run();
}

} // namespace transom::tokenizer
