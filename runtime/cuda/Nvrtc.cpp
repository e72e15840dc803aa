// See Nvrtc.h. Declared after NVIDIA's "NVRTC" reference.
#include "runtime/cuda/Nvrtc.h"

#include "runtime/cuda/LibrarySearch.h"

#include <algorithm>
#include <charconv>
#include <dlfcn.h>
#include <filesystem>
#include <memory>

namespace transom {

namespace {

using nvrtcProgram = struct nvrtcProgramOpaque *;
using nvrtcResult = int;
constexpr nvrtcResult NVRTC_SUCCESS = 0, NVRTC_ERROR_OUT_OF_MEMORY = 1, NVRTC_ERROR_INVALID_OPTION = 5,
                      NVRTC_ERROR_COMPILATION = 6;

constexpr LibraryName libraryName = {"NVRTC", "TRANSOM_NVRTC", "libnvrtc.so", "cuda_nvrtc", "nvidia-cuda-nvrtc"};
constexpr int neededMajor = 12;

/// NVRTC loads a library of its own by name when it first compiles. That of NVIDIA's wheels does not find it beside itself, unless it
/// is loaded already. It stays loaded.
void openBuiltins(const std::filesystem::path &library) {
  std::error_code failed;
  for (std::filesystem::directory_iterator entry(library.parent_path(), failed), end; !failed && entry != end; entry.increment(failed))
    if (library.has_parent_path() && entry->path().filename().string().starts_with("libnvrtc-builtins.so."))
      ::dlopen(entry->path().c_str(), RTLD_LAZY | RTLD_LOCAL);
}

} // namespace

/// F(name, which is the symbol too, parameters). All return nvrtcResult.
#define TRANSOM_NVRTC_FUNCTIONS(F)                                                                                     \
  F(nvrtcVersion, (int *major, int *minor))                                                                            \
  F(nvrtcGetNumSupportedArchs, (int *count))                                                                           \
  F(nvrtcGetSupportedArchs, (int *values))                                                                             \
  F(nvrtcCreateProgram, (nvrtcProgram * program, const char *source, const char *name, int headers,                    \
                         const char *const *headerTexts, const char *const *headerNames))                              \
  F(nvrtcDestroyProgram, (nvrtcProgram * program))                                                                     \
  F(nvrtcCompileProgram, (nvrtcProgram program, int count, const char *const *options))                                \
  F(nvrtcGetCUBINSize, (nvrtcProgram program, size_t *bytes))                                                          \
  F(nvrtcGetCUBIN, (nvrtcProgram program, char *cubin))                                                                \
  F(nvrtcGetProgramLogSize, (nvrtcProgram program, size_t *bytes))                                                     \
  F(nvrtcGetProgramLog, (nvrtcProgram program, char *log))

struct Nvrtc::Functions {
#define TRANSOM_DECLARE(name, parameters) nvrtcResult(*name) parameters = nullptr;
  TRANSOM_NVRTC_FUNCTIONS(TRANSOM_DECLARE)
#undef TRANSOM_DECLARE
  const char *(*nvrtcGetErrorString)(nvrtcResult result) = nullptr;
};

Result<Nvrtc> Nvrtc::load() {
  TRANSOM_ASSIGN(OpenedLibrary opened, openCudaLibrary(libraryName));
  openBuiltins(opened.path);
  static Functions functions;
  auto missing = [&](const char *symbol) {
    return error(StatusCode::unsupported, "{}: not a usable NVRTC: it has no {}", opened.path, symbol);
  };
#define TRANSOM_FIND(name, ...)                                                                                        \
  if (!(functions.name = reinterpret_cast<decltype(functions.name)>(::dlsym(opened.handle, #name))))                   \
    return missing(#name);
  TRANSOM_NVRTC_FUNCTIONS(TRANSOM_FIND)
  TRANSOM_FIND(nvrtcGetErrorString)
#undef TRANSOM_FIND
  Nvrtc library;
  library.functions_ = &functions;
  library.path_ = opened.path;
  if (functions.nvrtcVersion(&library.major_, &library.minor_) != NVRTC_SUCCESS || library.major_ < neededMajor)
    return error(StatusCode::unsupported, "{}: it is NVRTC {}, needed is {}.0 or newer", opened.path, library.version(),
                 neededMajor);
  int count = 0;
  if (functions.nvrtcGetNumSupportedArchs(&count) == NVRTC_SUCCESS && count > 0) {
    library.architectures_.resize(static_cast<size_t>(count));
    if (functions.nvrtcGetSupportedArchs(library.architectures_.data()) != NVRTC_SUCCESS)
      library.architectures_.clear();
    std::sort(library.architectures_.begin(), library.architectures_.end());
  }
  return library;
}

Result<const Nvrtc *> Nvrtc::get() {
  static const Result<Nvrtc> library = load();
  if (!library.ok())
    return library.status();
  return &*library;
}

std::vector<std::string> Nvrtc::options(const NvrtcInput &input) {
  // Without the last but one, files of the current folder would be found by #include.
  std::vector<std::string> options = {"--gpu-architecture=" + input.architecture, "--std=c++20",
                                      "--device-as-default-execution-space", "--no-source-include", "--ptxas-options=-v"};
  if (input.maxRegisters)
    options.push_back(fmt::format("--maxrregcount={}", input.maxRegisters));
  return options;
}

namespace {

/// The number that stands before `unit`, as in "24 bytes spill stores"; 0 where there is none.
uint64_t numberBefore(std::string_view line, std::string_view unit) {
  size_t end = line.find(unit);
  if (end == std::string_view::npos)
    return 0;
  size_t begin = line.find_last_not_of("0123456789", end - (end > 0));
  begin = begin == std::string_view::npos ? 0 : begin + 1;
  uint64_t value = 0;
  std::from_chars(line.data() + begin, line.data() + end, value);
  return value;
}

template <typename Function> void forEachLine(std::string_view text, Function &&function) {
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    if (!function(text.substr(0, end)))
      return;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

/// The figures of ptxas's report.
void readReport(NvrtcLog &log) {
  forEachLine(log.text, [&](std::string_view line) {
    log.registers = std::max(log.registers, static_cast<uint32_t>(numberBefore(line, " registers")));
    log.spillBytes += numberBefore(line, " bytes spill stores") + numberBefore(line, " bytes spill loads");
    log.stackBytes = std::max(log.stackBytes, numberBefore(line, " bytes stack frame"));
    return true;
  });
}

std::string_view trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r");
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin);
}

/// The first line of the log that says "error". Where a kernel needs more than a GPU has there is none: then the line that
/// says what it uses, or the last.
std::string_view firstError(std::string_view log) {
  std::string_view found, used, last;
  forEachLine(log, [&](std::string_view line) {
    if (line.find("error") != std::string_view::npos)
      found = line;
    if (line.find(": Used ") != std::string_view::npos)
      used = line;
    last = line;
    return found.empty();
  });
  return trimmed(!found.empty() ? found : !used.empty() ? used : last);
}

/// The line of generated text that a message such as "NAME(12): error" is about; empty where it is about none.
std::string_view lineOf(std::string_view message, const NvrtcInput &input) {
  size_t open = message.find('(');
  if (open == std::string_view::npos)
    return {};
  std::string_view file = message.substr(0, open), text;
  if (file == input.name + ".cu")
    text = input.source;
  for (const NvrtcHeader &header : input.headers)
    if (file == header.name || file.ends_with("/" + header.name))
      text = header.text;
  size_t wanted = 0, number = 0;
  std::from_chars(message.data() + open + 1, message.data() + message.size(), wanted);
  std::string_view found;
  forEachLine(text, [&](std::string_view line) {
    found = ++number == wanted ? trimmed(line) : std::string_view();
    return number < wanted;
  });
  return found;
}

Status failure(nvrtcResult result, const char *name, const std::string &log, const NvrtcInput &input, const std::string &version) {
  if (result == NVRTC_ERROR_OUT_OF_MEMORY)
    return error(StatusCode::outOfMemory, "kernel {}: NVRTC has not enough memory", input.name);
  if (result == NVRTC_ERROR_INVALID_OPTION)
    return error(StatusCode::unsupported, "kernel {}: NVRTC {} refuses the options {}{}{}", input.name, version,
                 fmt::join(Nvrtc::options(input), " "), log.empty() ? "" : ": ", firstError(log));
  if (result != NVRTC_ERROR_COMPILATION)
    return error(StatusCode::internal, "kernel {}: NVRTC {}: {}{}{}", input.name, version, name, log.empty() ? "" : ": ",
                 firstError(log));
  std::string_view message = firstError(log), line = lineOf(message, input);
  if (message.find("error") == std::string_view::npos)
    return error(StatusCode::unsupported, "kernel {}: {} has no place for it: {}", input.name, input.architecture,
                 message.empty() ? name : message);
  return error(StatusCode::unsupported, "kernel {}: {}{}{}", input.name, message, line.empty() ? "" : ": ", line);
}

} // namespace

Result<std::vector<std::byte>> Nvrtc::compileCubin(const NvrtcInput &input, NvrtcLog *log) const {
  const Functions &api = *functions_;
  std::vector<const char *> texts, names, arguments;
  for (const NvrtcHeader &header : input.headers) {
    texts.push_back(header.text.c_str());
    names.push_back(header.name.c_str());
  }
  std::vector<std::string> given = options(input);
  for (const std::string &option : given)
    arguments.push_back(option.c_str());

  nvrtcProgram program = nullptr;
  std::string file = input.name + ".cu";
  nvrtcResult result = api.nvrtcCreateProgram(&program, input.source.c_str(), file.c_str(), static_cast<int>(texts.size()),
                                              texts.data(), names.data());
  if (result != NVRTC_SUCCESS)
    return failure(result, api.nvrtcGetErrorString(result), "", input, version());
  auto destroy = [&](nvrtcProgram *owned) { api.nvrtcDestroyProgram(owned); };
  std::unique_ptr<nvrtcProgram, decltype(destroy)> owner(&program, destroy);

  result = api.nvrtcCompileProgram(program, static_cast<int>(arguments.size()), arguments.data());
  NvrtcLog said;
  size_t bytes = 0;
  if (api.nvrtcGetProgramLogSize(program, &bytes) == NVRTC_SUCCESS && bytes > 1) {
    said.text.resize(bytes); // with its zero byte
    if (api.nvrtcGetProgramLog(program, said.text.data()) != NVRTC_SUCCESS)
      said.text.clear();
    said.text.resize(std::min(said.text.find('\0'), said.text.size()));
  }
  readReport(said);
  if (log)
    *log = said;
  if (result != NVRTC_SUCCESS)
    return failure(result, api.nvrtcGetErrorString(result), said.text, input, version());

  result = api.nvrtcGetCUBINSize(program, &bytes);
  std::vector<std::byte> cubin(result == NVRTC_SUCCESS ? bytes : 0);
  if (result == NVRTC_SUCCESS)
    result = api.nvrtcGetCUBIN(program, reinterpret_cast<char *>(cubin.data()));
  if (result != NVRTC_SUCCESS || cubin.empty())
    return error(StatusCode::internal, "kernel {}: NVRTC {} made no cubin: {}", input.name, version(),
                 api.nvrtcGetErrorString(result));
  return cubin;
}

Result<std::vector<std::byte>> compileCubin(const NvrtcInput &input, NvrtcLog *log) {
  TRANSOM_ASSIGN(const Nvrtc *library, Nvrtc::get());
  return library->compileCubin(input, log);
}

} // namespace transom
