// Tokenises many records for compare_tokenizers.py: reads a tokenizer and length-prefixed texts, writes ids and decoded
// texts. All integers are little-endian.
//
//   tokenize-lines <tokenizer> <records> > results
//   tokenizer: a tokenizer.json, or a .fields file (the metadata of a GGUF file, written by compare_tokenizers.py)
//   record:    uint8 kind ('T' text, 'P' pair), then one or two texts, each uint32 size and bytes
//   result:    uint32 n, n int32 ids, n int32 type ids, n int32 begins and n int32 ends of their spans in characters; uint32 size and bytes of the decoded text without and then with
//              special tokens
//   tokenize-lines --time <tokenizer> <records>: prints "<bytes> <CPU nanoseconds>" for each record instead
#include "runtime/support/File.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <cstdio>
#include <cstring>
#include <ctime>

using namespace transom;
using namespace transom::tokenizer;

namespace {

/// Reads integers and texts from bytes; past the end everything is zero and empty.
class Cursor {
public:
  explicit Cursor(std::string_view bytes) : rest_(bytes) {}
  bool atEnd() const { return rest_.empty(); }
  template <typename T> T integer() {
    T value = 0;
    std::string_view raw = take(sizeof(T));
    std::memcpy(&value, raw.data(), raw.size());
    return value;
  }
  std::string_view text() { return take(integer<uint32_t>()); }

private:
  std::string_view take(size_t size) {
    std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(out.size());
    return out;
  }
  std::string_view rest_;
};

GgufTokenizerFields readFields(std::string_view bytes) {
  Cursor from(bytes);
  auto flag = [&] { return static_cast<GgufTokenizerFields::Flag>(from.integer<uint8_t>()); };
  GgufTokenizerFields out;
  out.model = from.text();
  out.pre = from.text();
  out.chatTemplate = from.text();
  for (int32_t *id : {&out.bosId, &out.eosId, &out.unknownId, &out.padId})
    *id = from.integer<int32_t>();
  out.addBos = flag();
  out.addEos = flag();
  out.addSpacePrefix = flag();
  for (uint32_t i = 0, n = from.integer<uint32_t>(); i < n; ++i) {
    out.tokenTypes.push_back(from.integer<int32_t>());
    out.tokens.emplace_back(from.text());
  }
  for (uint32_t i = 0, n = from.integer<uint32_t>(); i < n; ++i)
    out.merges.emplace_back(from.text());
  out.fileName = "fields";
  return out;
}

Result<Tokenizer> load(const std::string &path) {
  TRANSOM_ASSIGN(std::string bytes, readTextFile(path, size_t(1) << 28));
  auto built = path.ends_with(".fields") ? specFromGguf(readFields(bytes)) : specFromTokenizerJson(bytes, path);
  TRANSOM_ASSIGN(TokenizerSpec spec, std::move(built));
  TRANSOM_ASSIGN(spec, deserialize(serialize(spec))); // the way through the artifact is part of what is compared
  return Tokenizer::create(std::move(spec));
}

int64_t threadNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * int64_t(1'000'000'000) + now.tv_nsec;
}

void put(std::string &out, uint32_t value) { out.append(reinterpret_cast<const char *>(&value), sizeof value); }

/// Spans count bytes; the reference's offsets count characters.
void appendSpans(std::string &out, const Encoding &encoding, std::span<const std::string_view> texts) {
  std::vector<std::string> repaired;
  for (std::string_view text : texts)
    repaired.push_back(sanitizeUtf8(text));
  auto place = [&](const TokenSpan &span, size_t at) {
    return span.text < 0 ? 0 : static_cast<uint32_t>(countCodepoints(std::string_view(repaired[static_cast<size_t>(span.text)]).substr(0, at)));
  };
  for (const TokenSpan &span : encoding.spans)
    put(out, place(span, span.begin));
  for (const TokenSpan &span : encoding.spans)
    put(out, place(span, span.end));
}

/// False if the streaming decoder disagrees with decode().
bool appendResult(std::string &out, const Tokenizer &tokenizer, const Encoding &encoding, std::span<const std::string_view> texts) {
  put(out, static_cast<uint32_t>(encoding.ids.size()));
  for (const std::vector<int32_t> *list : {&encoding.ids, &encoding.typeIds})
    out.append(reinterpret_cast<const char *>(list->data()), list->size() * sizeof(int32_t));
  appendSpans(out, encoding, texts);
  bool same = true;
  for (bool skipSpecial : {true, false}) {
    std::string text = tokenizer.decode(encoding.ids, skipSpecial), streamed;
    StreamingDecoder stream(tokenizer, skipSpecial);
    for (int32_t id : encoding.ids)
      streamed += stream.push(id);
    streamed += stream.finish();
    same = same && streamed == text;
    put(out, static_cast<uint32_t>(text.size()));
    out += text;
  }
  return same;
}

int run(const std::string &tokenizerPath, const std::string &recordsPath, bool timing) {
  Result<Tokenizer> tokenizer = load(tokenizerPath);
  Result<std::string> records = readTextFile(recordsPath, size_t(1) << 30);
  if (!tokenizer.ok() || !records.ok()) {
    const Status &status = tokenizer.ok() ? records.status() : tokenizer.status();
    return std::fprintf(stderr, "tokenize-lines: %s\n", status.message().c_str()), 1;
  }
  std::string out;
  for (Cursor from(*records); !from.atEnd();) {
    bool pair = from.integer<uint8_t>() == 'P';
    std::vector<std::string_view> texts = {from.text()};
    std::optional<std::string_view> second;
    if (pair)
      texts.push_back(second.emplace(from.text()));
    int64_t begin = threadNanoseconds();
    Encoding encoding = tokenizer->encodePair(texts[0], second, {.spans = !timing});
    if (timing)
      out += fmt::format("{} {}\n", texts[0].size(), threadNanoseconds() - begin);
    else if (!appendResult(out, *tokenizer, encoding, texts))
      return std::fprintf(stderr, "tokenize-lines: streamed text differs from decoded text\n"), 1;
  }
  return std::fwrite(out.data(), 1, out.size(), stdout) == out.size() ? 0 : 1;
}

} // namespace

int main(int argc, char **argv) {
  bool timing = argc == 4 && std::strcmp(argv[1], "--time") == 0;
  if (argc != 3 && !timing)
    return std::fprintf(stderr, "usage: tokenize-lines [--time] <tokenizer> <records>\n"), 2;
  return run(argv[argc - 2], argv[argc - 1], timing);
}
