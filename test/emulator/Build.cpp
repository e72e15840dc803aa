// One translation unit: Device.h, the headers that kernels include, then each kernel's text in a namespace of its own, so that equal
// names of their helpers do not meet; last the table of entries.
#include "test/emulator/Build.h"

#include "runtime/support/File.h"
#include "test/emulator/Rewrite.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

namespace transom::emulator {

namespace fs = std::filesystem;

namespace {

std::string readText(const fs::path &path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
Status writeText(const fs::path &path, std::string_view text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out)
    return error(StatusCode::io, "{}: could not be written", path.string());
  return {};
}

/// Moves #include lines from `text` to `includes`; an empty line stays.
std::string withoutIncludes(const std::string &text, std::vector<std::string> &includes) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    size_t hash = line.find_first_not_of(" \t");
    if (hash != std::string::npos && line[hash] == '#' && line.find("include", hash) == line.find_first_not_of(" \t", hash + 1))
      includes.push_back(line.substr(hash));
    else
      out += line;
    out += '\n';
    at = end + 1;
  }
  return out;
}

Result<std::string> unitOf(std::span<const Text> kernels) {
  std::string bodies, entries;
  std::vector<std::string> includes;
  std::map<std::string_view, size_t> seen;
  for (const Text &kernel : kernels) {
    auto [found, fresh] = seen.insert({kernel.text, seen.size()});
    if (fresh) {
      TRANSOM_ASSIGN(std::string text, rewriteCuda(kernel.text, kernel.name));
      bodies += fmt::format("namespace emulated_kernel_{} {{\nnamespace transom {{ namespace cuda {{ using namespace ::transom::cuda; }} "
                            "using namespace ::transom; }}\n#line 1 \"{}\"\n{}\n}}\n",
                            found->second, kernel.name, withoutIncludes(text, includes));
    }
    entries += fmt::format("{{\"{0}\", ::emulated::Caller<emulated_kernel_{1}::{0}>::call, "
                           "::emulated::Caller<emulated_kernel_{1}::{0}>::parameters, ::emulated::Caller<emulated_kernel_{1}::{0}>::count}},\n",
                           kernel.name, found->second);
  }
  std::string unit = "#include \"test/emulator/Device.h\"\nnamespace transom::cuda {}\n";
  std::set<std::string> once;
  for (const std::string &line : includes)
    if (once.insert(line).second)
      unit += line + "\n";
  return unit + bodies +
         fmt::format("#line 1 \"entries\"\nstatic const ::transom::emulator::Entry emulated_entries[] = {{\n{}}};\n"
                     "extern \"C\" __attribute__((visibility(\"default\"))) const ::transom::emulator::EntryTable {} = "
                     "{{::transom::emulator::EntryTable::currentVersion, {}, __CUDA_ARCH__, emulated_entries, &::emulated::machine}};\n",
                     entries, "transom_emulated_kernels", kernels.size());
}

/// Runs g++; its output goes to `log`.
int runCompiler(std::vector<std::string> words, const fs::path &log) {
  std::vector<char *> arguments;
  for (std::string &word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = fork();
  if (child == 0) {
    if (!std::freopen(log.c_str(), "w", stderr))
      _exit(127);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  int code = 127;
  if (child < 0 || waitpid(child, &code, 0) < 0)
    return 127;
  return WIFEXITED(code) ? WEXITSTATUS(code) : 127;
}

Status compilerError(const fs::path &log) {
  std::ifstream in(log);
  for (std::string line; std::getline(in, line);)
    if (line.find("error") != std::string::npos || line.find("undefined") != std::string::npos)
      return error(StatusCode::unsupported, "emulated kernels: {} (all of it is in {})", line, log.string());
  return error(StatusCode::unsupported, "emulated kernels: the compiler {} failed; see {}", TRANSOM_EMULATOR_CXX, log.string());
}

std::string hashOf(std::string_view unit, std::span<const Text> headers, const BuildOptions &options) {
  XXH3_state_t *state = XXH3_createState();
  XXH3_128bits_reset(state);
  auto add = [&](std::string_view text) {
    uint64_t size = text.size();
    XXH3_128bits_update(state, &size, sizeof size);
    XXH3_128bits_update(state, text.data(), text.size());
  };
  add(unit);
  for (const Text &header : headers)
    add(header.name), add(header.text);
  for (const char *name : {"Abi.h", "Device.h", "Ptx.h", "PtxHopper.h", "Rewrite.cpp", "Build.cpp"})
    add(readText(fs::path(TRANSOM_SOURCE_FOLDER) / "test/emulator" / name));
  add(fmt::format("{} {} {}", options.architecture, options.sanitize, TRANSOM_EMULATOR_CXX));
  XXH128_hash_t hash = XXH3_128bits_digest(state);
  XXH3_freeState(state);
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

} // namespace

Result<std::string> buildKernels(std::span<const Text> headers, std::span<const Text> kernels, const BuildOptions &options) {
  TRANSOM_ASSIGN(std::string unit, unitOf(kernels));
  fs::path folder = options.folder.empty() ? TRANSOM_EMULATED_FOLDER : options.folder;
  std::string hash = hashOf(unit, headers, options);
  fs::path library = folder / (hash + ".so");
  std::error_code failed;
  if (fs::exists(library, failed))
    return library.string();
  // Another process may build the same: each works in its own folder, and the last to rename wins.
  static std::atomic<int> number = 0;
  fs::path work = folder / fmt::format("{}.{}.{}", hash, getpid(), number++);
  fs::create_directories(work, failed);
  if (failed)
    return error(StatusCode::io, "{}: {}", work.string(), failed.message());
  for (const Text &header : headers) {
    TRANSOM_ASSIGN(std::string text, rewriteCuda(header.text, header.name));
    TRANSOM_RETURN_IF_ERROR(writeText(work / header.name, text));
  }
  TRANSOM_RETURN_IF_ERROR(writeText(work / "kernels.cpp", unit));
  std::vector<std::string> words = {TRANSOM_EMULATOR_CXX, "-std=c++20", "-O1", "-fPIC", "-shared", "-w", "-fno-strict-aliasing",
                                    "-fvisibility=hidden", "-fno-exceptions", "-ffp-contract=off",
                                    fmt::format("-D__CUDA_ARCH__={}", options.architecture), "-I" + work.string(),
                                    std::string("-I") + TRANSOM_SOURCE_FOLDER, (work / "kernels.cpp").string(), "-o",
                                    (work / "kernels.so").string()};
  if (options.architecture == 900)
    words.insert(words.end() - 2, "-D__CUDA_ARCH_FEAT_SM90_ALL");
  if (options.sanitize)
    words.insert(words.end(), {"-fsanitize=address", "-fno-omit-frame-pointer"});
  if (runCompiler(words, work / "log") != 0)
    return compilerError(work / "log");
  fs::rename(work / "kernels.so", library, failed);
  if (failed)
    return error(StatusCode::io, "{}: {}", library.string(), failed.message());
  fs::remove_all(work, failed);
  return library.string();
}

Result<std::vector<Text>> kernelHeaders() {
  std::vector<Text> headers;
  std::error_code failed;
  for (const fs::directory_entry &entry : fs::directory_iterator(fs::path(TRANSOM_SOURCE_FOLDER) / "codegen/cuda/kernels", failed))
    if (entry.path().extension() == ".cuh")
      headers.push_back({entry.path().filename().string(), readText(entry.path())});
  if (failed || headers.empty())
    return error(StatusCode::notFound, "the kernel library was not found under {}", TRANSOM_SOURCE_FOLDER);
  std::sort(headers.begin(), headers.end(), [](const Text &a, const Text &b) { return a.name < b.name; });
  return headers;
}

} // namespace transom::emulator
