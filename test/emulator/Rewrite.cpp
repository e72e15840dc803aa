// A scanner that copies text and stops at `asm`, `__shared__`, `extern __shared__` and the built-in variables; it knows comments, literals and brackets, and
// nothing else of C++.
#include "test/emulator/Rewrite.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace transom::emulator {

namespace {

bool isWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
    text.remove_suffix(1);
  return text;
}

/// The end of the comment or literal that begins at `at`, or `at` where none does.
size_t skipOpaque(std::string_view text, size_t at) {
  auto upTo = [&](size_t end, size_t length) { return end == std::string_view::npos ? text.size() : end + length; };
  if (text.substr(at, 2) == "//")
    return upTo(text.find('\n', at), 0);
  if (text.substr(at, 2) == "/*")
    return upTo(text.find("*/", at + 2), 2);
  // A quote between digits separates them: 1'000.
  bool separator = text[at] == '\'' && at > 0 && std::isxdigit(static_cast<unsigned char>(text[at - 1]));
  if (text[at] != '"' && (text[at] != '\'' || separator))
    return at;
  size_t end = at + 1;
  while (end < text.size() && text[end] != text[at])
    end += text[end] == '\\' ? 2 : 1;
  return std::min(end + 1, text.size());
}

/// The place of the first of `ends` outside brackets, comments and literals; npos where there is none.
size_t findOutside(std::string_view text, size_t at, std::string_view ends, bool anglesToo = false) {
  for (int depth = 0; at < text.size();) {
    if (size_t next = skipOpaque(text, at); next != at) {
      at = next;
      continue;
    }
    char c = text[at];
    if (depth == 0 && ends.find(c) != std::string_view::npos)
      return at;
    bool opens = c == '(' || c == '[' || c == '{' || (anglesToo && c == '<');
    bool closes = c == ')' || c == ']' || c == '}' || (anglesToo && c == '>');
    depth += opens ? 1 : closes ? -1 : 0;
    ++at;
  }
  return std::string_view::npos;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators, bool anglesToo = false) {
  std::vector<std::string_view> parts;
  for (size_t at = 0;;) {
    size_t end = findOutside(text, at, separators, anglesToo);
    parts.push_back(trimmed(text.substr(at, end == std::string_view::npos ? end : end - at)));
    if (end == std::string_view::npos)
      return parts;
    at = end + 1;
  }
}

class Rewriter {
public:
  Rewriter(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  Result<std::string> run() {
    while (at_ < text_.size()) {
      if (size_t next = skipOpaque(text_, at_); next != at_) {
        copyTo(next);
        continue;
      }
      if (!isWord(text_[at_])) {
        bool body = at_ == body_;
        copyTo(at_ + 1);
        if (body)
          out_ += " ::emulated::formCluster(0" + decorations_ + ");";
        continue;
      }
      size_t end = wordEnd(at_);
      std::string_view word = text_.substr(at_, end - at_);
      if (word == "asm" || word == "__asm__")
        TRANSOM_RETURN_IF_ERROR(rewriteAsm(end));
      else if (word == "__global__")
        rewriteKernel(end);
      else if (word == "__shared__")
        TRANSOM_RETURN_IF_ERROR(rewriteShared(end, false));
      else if (word == "extern" && wordAfter(end) == "__shared__")
        TRANSOM_RETURN_IF_ERROR(rewriteShared(wordEnd(skipSpace(end)), true));
      else if (std::string_view place = builtIn(word); !place.empty() && !isMember())
        replace(end, place);
      else
        copyTo(end);
    }
    return std::move(out_);
  }

private:
  std::string_view text_, file_;
  size_t at_ = 0;
  std::string out_;
  int variables_ = 0, blocks_ = 0;
  size_t body_ = std::string_view::npos; ///< of the kernel whose head has been passed
  std::string decorations_;              ///< what stood before its name: __cluster_dims__ and the like

  static std::string_view builtIn(std::string_view word) {
    return word == "threadIdx"   ? "(::emulated::machine->thread->index)"
           : word == "blockIdx"  ? "(::emulated::machine->blockIdx)"
           : word == "blockDim"  ? "(::emulated::machine->blockDim)"
           : word == "gridDim"   ? "(::emulated::machine->gridDim)"
                                 : "";
  }
  bool isMember() const { return out_.ends_with('.') || out_.ends_with("->"); }

  void copyTo(size_t end) {
    out_ += text_.substr(at_, end - at_);
    at_ = end;
  }
  /// Puts `replacement` for what lies before `end`, with as many line ends.
  void replace(size_t end, std::string_view replacement) {
    auto lines = std::count(text_.begin() + static_cast<ptrdiff_t>(at_), text_.begin() + static_cast<ptrdiff_t>(end), '\n');
    out_ += replacement;
    out_.append(static_cast<size_t>(lines), '\n');
    at_ = end;
  }
  size_t skipSpace(size_t at) const {
    while (at < text_.size() && std::isspace(static_cast<unsigned char>(text_[at])))
      ++at;
    return at;
  }
  size_t wordEnd(size_t at) const {
    while (at < text_.size() && isWord(text_[at]))
      ++at;
    return at;
  }
  std::string_view wordAfter(size_t at) const {
    size_t begin = skipSpace(at);
    return text_.substr(begin, wordEnd(begin) - begin);
  }
  Status failed(std::string_view what) const {
    auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<ptrdiff_t>(at_), '\n');
    return error(StatusCode::unsupported, "{}({}): {}", file_, line, what);
  }

  /// asm [volatile] ("text" : outputs : inputs : clobbers);
  Status rewriteAsm(size_t at) {
    if (wordAfter(at) == "volatile" || wordAfter(at) == "__volatile__")
      at = wordEnd(skipSpace(at));
    size_t open = skipSpace(at);
    size_t close = open < text_.size() && text_[open] == '(' ? findOutside(text_, open + 1, ")") : std::string_view::npos;
    if (close == std::string_view::npos)
      return failed("expected a parenthesis behind asm");
    std::vector<std::string_view> sections = split(text_.substr(open + 1, close - open - 1), ":");
    std::string instructions;
    std::string_view literals = sections[0];
    for (size_t i = 0; i < literals.size();) {
      size_t end = skipOpaque(literals, i);
      if (end > i && literals[i] == '"')
        instructions += literals.substr(i + 1, end - i - 2);
      i = std::max(end, i + 1);
    }
    std::vector<std::string> operands;
    for (size_t s = 1; s < sections.size() && s < 3; ++s)
      for (std::string_view operand : split(sections[s], ",")) {
        if (operand.empty())
          continue;
        size_t begin = operand.find('(');
        if (operand[0] != '"' || begin == std::string_view::npos)
          return failed("expected a constraint and an expression in asm");
        operands.push_back(std::string(operand.substr(begin)));
      }
    for (std::string_view escape : {"\\n", "\\t"})
      for (size_t i; (i = instructions.find(escape)) != std::string::npos;)
        instructions.replace(i, 2, "\n");
    TRANSOM_ASSIGN(std::string statements, statementsOf(instructions, operands));
    ++blocks_;
    replace(close + 1, "do { " + statements + "} while (0)");
    return {};
  }

  /// Statements for instructions; operands and registers of its own as callOf takes them.
  Result<std::string> statementsOf(std::string_view instructions, const std::vector<std::string> &operands) const {
    std::string statements;
    for (std::string_view line : split(instructions, ";\n")) {
      if (line.empty())
        continue;
      if (line[0] == '{' && line.back() == '}') {
        TRANSOM_ASSIGN(std::string inner, statementsOf(line.substr(1, line.size() - 2), operands));
        statements += "{ " + inner + "} ";
        continue;
      }
      if (line.back() == ':') {
        statements += own(line.substr(0, line.size() - 1)) + ": ";
        continue;
      }
      size_t end = std::min(line.find_first_of(" \t"), line.size());
      if (line[0] == '@') {
        bool negated = line.substr(1, 1) == "!";
        statements += "if (" + std::string(negated ? "!" : "") + own(line.substr(negated ? 2 : 1, end - (negated ? 2 : 1))) + ") ";
        line = trimmed(line.substr(end));
        end = std::min(line.find_first_of(" \t"), line.size());
      }
      TRANSOM_ASSIGN(std::string statement, statementOf(line.substr(0, end), operandsOf(line.substr(end)), operands));
      statements += statement + "; ";
    }
    return statements;
  }
  /// A register or label of the asm's own, apart from names of C++ and of other asm.
  std::string own(std::string_view name) const { return fmt::format("{}_ptx{}", name, blocks_); }

  Result<std::string> statementOf(std::string_view instruction, const std::vector<std::string> &words, const std::vector<std::string> &operands) const {
    if (instruction == "bra" || instruction == "bra.uni")
      return "goto " + own(words.empty() ? "" : words[0]);
    if (instruction == ".reg") {
      static constexpr std::pair<std::string_view, std::string_view> types[] = {
          {".pred", "bool"}, {".b16", "unsigned short"}, {".b32", "unsigned"}, {".u32", "unsigned"}, {".s32", "int"}, {".f32", "float"},
          {".b64", "unsigned long long"}, {".u64", "unsigned long long"}};
      auto type = std::find_if(std::begin(types), std::end(types), [&](auto &one) { return !words.empty() && one.first == words[0]; });
      if (type == std::end(types) || words.size() < 2)
        return failed("expected registers of a type that the emulator has behind .reg");
      std::string names;
      for (size_t i = 1; i < words.size(); ++i)
        names += (i > 1 ? ", " : " ") + own(words[i]);
      return std::string(type->second) + names;
    }
    std::string name = "ptx", written(instruction);
    if (size_t at = written.find("shared::cta"); at != std::string::npos)
      written.erase(at + 6, 5); // what .shared alone means
    for (char c : "." + written)
      if (isWord(c))
        name += c;
      else if (name.back() != '_')
        name += '_';
    std::string arguments;
    for (std::string word : words) {
      if (word[0] == '%') {
        size_t index = 0;
        for (char c : word.substr(1))
          index = std::isdigit(static_cast<unsigned char>(c)) && index < 1000 ? index * 10 + static_cast<size_t>(c - '0') : 1000;
        if (word.size() < 2 || index >= operands.size())
          return failed("asm names the operand " + word + ", which it does not have");
        word = operands[index];
      } else if (!std::isdigit(static_cast<unsigned char>(word[0])) && word[0] != '-') {
        word = own(word);
      }
      arguments += (arguments.empty() ? "" : ", ") + word;
    }
    return "::emulated::" + name + "(" + arguments + ")";
  }
  /// %n, numbers and names, in the order of the text; braces and brackets are dropped, and so is the sink `_`.
  static std::vector<std::string> operandsOf(std::string_view text) {
    std::vector<std::string> operands;
    std::string word;
    for (char c : std::string(text) + ",")
      if (std::string_view(",{}[] \t").find(c) == std::string_view::npos) {
        word += c;
      } else if (!word.empty()) {
        if (word != "_")
          operands.push_back(word);
        word.clear();
      }
    return operands;
  }

  /// Behind __global__: what stands between `void` and the kernel's name moves into the body's first statement.
  void rewriteKernel(size_t at) {
    copyTo(at);
    size_t begin = skipSpace(at);
    if (wordAfter(at) != "void")
      return;
    begin = wordEnd(begin);
    for (size_t name = skipSpace(begin), end; (end = wordEnd(name)) != name; name = skipSpace(end)) {
      size_t open = skipSpace(end);
      if (open == text_.size() || text_[open] != '(')
        continue;
      end = findOutside(text_, open + 1, ")");
      if (end == std::string_view::npos)
        return;
      if (size_t next = skipSpace(++end); next == text_.size() || text_[next] != '{') {
        continue;
      } else {
        body_ = next;
        decorations_ = text_.substr(begin, name - begin);
        std::replace(decorations_.begin(), decorations_.end(), '\n', ' ');
        copyTo(begin);
        replace(name, " ");
        return;
      }
    }
  }

  /// Behind __shared__: a declaration up to its semicolon.
  Status rewriteShared(size_t at, bool dynamic) {
    size_t end = findOutside(text_, at, ";");
    if (end == std::string_view::npos)
      return failed("expected a semicolon behind the shared variable");
    std::string declaration(trimmed(text_.substr(at, end - at)));
    std::vector<std::string_view> parts = split(declaration, ",", true);
    if (dynamic) {
      std::string_view part = parts[0];
      if (part.starts_with("__align__"))
        part = trimmed(part.substr(part.find(')') + 1));
      size_t bracket = part.find('['), name = nameOf(part);
      if (parts.size() != 1 || bracket == std::string_view::npos || name == 0)
        return failed("expected one array without a size behind extern __shared__");
      std::string type(trimmed(part.substr(0, name)));
      std::string_view called = trimmed(part.substr(name, bracket - name));
      replace(end + 1, fmt::format("{0} *const {1} = static_cast<{0} *>(::emulated::dynamicShared());", type, called));
      return {};
    }
    std::string all = fmt::format("EmulatedShared{}", variables_++), references;
    for (std::string_view part : parts) {
      size_t name = nameOf(part);
      std::string_view called = part.substr(name, wordLength(part.substr(name)));
      references += fmt::format(" auto &{0} = ::emulated::sharedVariables<{1}>().{0};", called, all);
    }
    replace(end + 1, fmt::format("struct {} {{ {}; }};{}", all, declaration, references));
    return {};
  }
  static size_t wordLength(std::string_view text) {
    return static_cast<size_t>(std::find_if_not(text.begin(), text.end(), isWord) - text.begin());
  }
  /// Where the declarator's name begins: the last word before its brackets.
  static size_t nameOf(std::string_view part) {
    size_t end = std::min(part.find('['), part.size());
    while (end > 0 && !isWord(part[end - 1]))
      --end;
    while (end > 0 && isWord(part[end - 1]))
      --end;
    return end;
  }
};

} // namespace

Result<std::string> rewriteCuda(std::string_view text, std::string_view file) { return Rewriter(text, file).run(); }

} // namespace transom::emulator
