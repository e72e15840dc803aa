// See JitCache.h. A file is a header (magic, key, bytes and checksum of the cubin) and the cubin.
#include "runtime/cuda/JitCache.h"

#include "runtime/support/File.h"

#include <xxhash.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace transom {

namespace {

constexpr char magic[8] = {'T', 'R', 'S', 'M', 'C', 'U', 'B', '1'};

struct FileHeader {
  char magic[8];
  XXH128_hash_t key;
  uint64_t bytes, checksum; ///< of what follows; XXH3-64
};
static_assert(sizeof(FileHeader) == 40);

/// Everything that a cubin follows from. Each text goes in with its length, so that no two inputs read the same.
XXH128_hash_t keyOf(const NvrtcInput &input, std::string_view compilerVersion) {
  std::string all;
  auto add = [&](std::string_view text) {
    uint64_t size = text.size();
    all.append(reinterpret_cast<const char *>(&size), sizeof size);
    all.append(text);
  };
  add(compilerVersion);
  add(input.name);
  add(input.source);
  for (const NvrtcHeader &header : input.headers) {
    add(header.name);
    add(header.text);
  }
  for (const std::string &option : Nvrtc::options(input))
    add(option);
  return XXH3_128bits(all.data(), all.size());
}

std::optional<std::vector<std::byte>> readFile(const std::string &path, const XXH128_hash_t &key) {
  Result<MappedFile> file = MappedFile::open(path);
  FileHeader header;
  if (!file.ok() || file->bytes().size() < sizeof header)
    return std::nullopt;
  std::memcpy(&header, file->bytes().data(), sizeof header);
  std::span<const std::byte> cubin = file->bytes().subspan(sizeof header);
  if (std::memcmp(header.magic, magic, sizeof magic) != 0 || !XXH128_isEqual(header.key, key) || cubin.empty() ||
      header.bytes != cubin.size() || header.checksum != XXH3_64bits(cubin.data(), cubin.size()))
    return std::nullopt;
  return std::vector<std::byte>(cubin.begin(), cubin.end());
}

Status writeFile(const std::string &path, const XXH128_hash_t &key, std::span<const std::byte> cubin) {
  FileHeader header = {{}, key, cubin.size(), XXH3_64bits(cubin.data(), cubin.size())};
  std::memcpy(header.magic, magic, sizeof magic);
  std::error_code failed;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), failed);
  TRANSOM_ASSIGN(AtomicFileWriter file, AtomicFileWriter::create(path));
  TRANSOM_RETURN_IF_ERROR(file.write(std::as_bytes(std::span(&header, 1))));
  TRANSOM_RETURN_IF_ERROR(file.write(cubin));
  return file.commit();
}

std::string pathIn(const std::string &folder, const XXH128_hash_t &key) {
  return fmt::format("{}/{:016x}{:016x}.cubin", folder, key.high64, key.low64);
}

} // namespace

JitCache JitCache::standard() {
  auto variable = [](const char *name) -> std::string {
    const char *value = std::getenv(name);
    return value ? value : "";
  };
  if (std::string folder = variable("TRANSOM_CACHE"); !folder.empty())
    return JitCache(folder);
  // The XDG Base Directory Specification ignores relative paths.
  if (std::string folder = variable("XDG_CACHE_HOME"); folder.starts_with('/'))
    return JitCache(folder + "/transom");
  std::string home = variable("HOME");
  return JitCache(home.empty() ? "" : home + "/.cache/transom");
}

std::string JitCache::pathOf(const NvrtcInput &input, std::string_view compilerVersion) const {
  return pathIn(folder_, keyOf(input, compilerVersion));
}

Result<std::vector<std::byte>> JitCache::compile(const Nvrtc &nvrtc, const NvrtcInput &input) const {
  if (folder_.empty())
    return nvrtc.compileCubin(input);
  XXH128_hash_t key = keyOf(input, nvrtc.version());
  std::string path = pathIn(folder_, key);
  if (std::optional<std::vector<std::byte>> kept = readFile(path, key))
    return std::move(*kept);
  TRANSOM_ASSIGN(std::vector<std::byte> cubin, nvrtc.compileCubin(input));
  // What cannot be kept is compiled again next time.
  static_cast<void>(writeFile(path, key, cubin));
  return cubin;
}

} // namespace transom
