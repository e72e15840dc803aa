// What several commands share: loading, progress on a terminal, numbers for people, files of lines.
#pragma once

#include "runtime/DeviceChoice.h"
#include "runtime/Model.h"
#include "runtime/support/Status.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace transom::cli {

/// One line on standard error that is redrawn as work proceeds; silent where that is no terminal.
class ProgressLine {
public:
  explicit ProgressLine(bool quiet);
  ~ProgressLine() { clear(); }
  void show(const std::string &what, double share);
  void clear();

private:
  bool active_, drawn_ = false;
  int percent_ = -1;
  std::string what_;
};

/// "1.5 MiB", "12 B".
std::string humanBytes(uint64_t bytes);
/// Lines of a text file without their ends; an empty last line does not count.
Result<std::vector<std::string>> readLines(const std::string &path);
/// Token ids separated by commas or spaces. `where` names the text in errors.
Result<std::vector<int32_t>> parseTokens(const std::string &text, const std::string &where);
/// Median of the numbers, which must not be empty.
double median(std::vector<double> numbers);
/// Seconds on a steady clock.
double now();
/// Writes a small text file, complete or not at all.
Status writeText(const std::string &path, const std::string &text);

/// The tokenizer that an artifact carries. Errors: unsupported where it has none.
Result<tokenizer::Tokenizer> loadTokenizer(const Model &model);
/// Where an artifact runs.
struct Where {
  DeviceChoice device;
  uint32_t threads = 0; ///< of the CPU; 0: one per processor
};
/// Adds --device and --threads.
void addDeviceOptions(CLI::App &command, Where &where);
/// Adds the artifact argument, and what addDeviceOptions adds.
void addModelOptions(CLI::App &command, std::string &path, Where &where);
/// Turns control characters that text from a model may hold into visible escapes; keeps newlines and tabs.
std::string printable(std::string_view text);
/// The same without newlines and tabs, for messages.
std::string oneLine(std::string_view text);

} // namespace transom::cli
