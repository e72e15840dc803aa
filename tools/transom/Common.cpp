// See Common.h.
#include "tools/transom/Common.h"

#include "runtime/support/File.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <unistd.h>

namespace transom::cli {

ProgressLine::ProgressLine(bool quiet) : active_(!quiet && isatty(STDERR_FILENO)) {}

void ProgressLine::show(const std::string &what, double share) {
  int percent = static_cast<int>(share * 100);
  if (!active_ || (what == what_ && percent == percent_))
    return;
  what_ = what;
  percent_ = percent;
  int filled = std::clamp(percent, 0, 100) / 4;
  fmt::print(stderr, "\r\x1b[K{:24} [{}{}] {:3}%", what, std::string(filled, '='), std::string(25 - filled, ' '), percent);
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressLine::clear() {
  if (drawn_)
    fmt::print(stderr, "\r\x1b[K");
  drawn_ = false;
}

std::string humanBytes(uint64_t bytes) {
  static constexpr const char *units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit)
    value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

Result<std::vector<std::string>> readLines(const std::string &path) {
  TRANSOM_ASSIGN(std::string text, readTextFile(path, size_t(1) << 30));
  std::vector<std::string> lines;
  for (size_t start = 0; start < text.size();) {
    size_t end = std::min(text.find('\n', start), text.size());
    size_t length = end - start;
    if (length > 0 && text[end - 1] == '\r')
      --length;
    lines.push_back(text.substr(start, length));
    start = end + 1;
  }
  return lines;
}

Result<std::vector<int32_t>> parseTokens(const std::string &text, const std::string &where) {
  std::vector<int32_t> tokens;
  const char *at = text.data(), *end = at + text.size();
  while (at != end) {
    if (*at == ',' || *at == ' ' || *at == '\t') {
      ++at;
      continue;
    }
    int32_t token;
    auto [rest, failed] = std::from_chars(at, end, token);
    if (failed != std::errc())
      return error(StatusCode::invalidArgument, "{}: expected token ids, found '{}'", where, std::string(at, std::min<size_t>(end - at, 20)));
    tokens.push_back(token);
    at = rest;
  }
  if (tokens.empty())
    return error(StatusCode::invalidArgument, "{}: expected at least one token id", where);
  return tokens;
}

double median(std::vector<double> numbers) {
  auto middle = numbers.begin() + static_cast<ptrdiff_t>(numbers.size() / 2);
  std::nth_element(numbers.begin(), middle, numbers.end());
  return *middle;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Status writeText(const std::string &path, const std::string &text) {
  TRANSOM_ASSIGN(AtomicFileWriter writer, AtomicFileWriter::create(path));
  TRANSOM_RETURN_IF_ERROR(writer.write(std::as_bytes(std::span(text))));
  return writer.commit();
}

Result<tokenizer::Tokenizer> loadTokenizer(const Model &model) {
  const std::vector<uint8_t> &bytes = model.contents().tokenizer;
  if (bytes.empty())
    return error(StatusCode::unsupported, "{}: this artifact has no tokenizer; give token ids with --tokens", model.artifact().path());
  TRANSOM_ASSIGN(tokenizer::TokenizerSpec spec, tokenizer::deserialize(std::as_bytes(std::span(bytes))));
  return tokenizer::Tokenizer::create(std::move(spec));
}

void addDeviceOptions(CLI::App &command, Where &where) {
  command
      .add_option_function<std::string>(
          "--device",
          [&where](const std::string &text) {
            Result<DeviceChoice> device = DeviceChoice::parse(text);
            if (!device.ok())
              throw CLI::ValidationError("--device", std::string(device.status().message()));
            where.device = *device;
          },
          "what runs it: auto, cpu, cuda or cuda:1; auto is a GPU where artifact and machine have one")
      ->type_name("TEXT");
  command.add_option("--threads", where.threads, "threads of the CPU to run on; 0: one per processor")->check(CLI::Range(0, 1024));
}

void addModelOptions(CLI::App &command, std::string &path, Where &where) {
  command.add_option("artifact", path, "a file that transom compile wrote")->required();
  addDeviceOptions(command, where);
}

namespace {

std::string escape(std::string_view text, std::string_view kept) {
  std::string out;
  for (char c : text) {
    unsigned char byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 || byte == 0x7f) && kept.find(c) == kept.npos)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out;
}

} // namespace

std::string printable(std::string_view text) { return escape(text, "\n\t"); }
std::string oneLine(std::string_view text) { return escape(text, ""); }

} // namespace transom::cli
