// See Safetensors.h.
#include "compiler/import/files/Safetensors.h"

#include "compiler/import/files/ByteCursor.h"
#include "compiler/import/files/Json.h"
#include "compiler/import/files/SafetensorsHeader.h"

#include <algorithm>
#include <filesystem>
#include <set>

namespace transom {

namespace {

constexpr uint64_t maxHeaderBytes = 100'000'000; // the format's own limit
constexpr size_t maxIndexBytes = 16 << 20;

/// Sorted by begin, the entries must cover the data from its first byte to its last, each byte once.
Status checkCoverage(std::span<const SafetensorsEntry> entries, uint64_t dataBytes) {
  std::vector<const SafetensorsEntry *> order;
  for (const SafetensorsEntry &entry : entries) {
    if (entry.begin > entry.end || entry.end > dataBytes)
      return error(StatusCode::invalidFile,
                   "tensor {}: data_offsets [{}, {}] do not lie in the file's {} bytes of data",
                   printable(entry.tensor.name), entry.begin, entry.end, dataBytes);
    order.push_back(&entry);
  }
  std::ranges::sort(order, {},
                    [](const SafetensorsEntry *entry) { return std::pair(entry->begin, entry->end); });
  uint64_t covered = 0;
  for (const SafetensorsEntry *entry : order) {
    if (entry->begin != covered)
      return error(
          StatusCode::invalidFile, "tensor {}: data begins at {}, expected {}: the data must have no {}",
          printable(entry->tensor.name), entry->begin, covered, entry->begin < covered ? "overlap" : "holes");
    covered = entry->end;
  }
  if (covered != dataBytes)
    return error(StatusCode::invalidFile, "{} bytes of data, but the tensors take {}", dataBytes, covered);
  return {};
}

Result<TensorSource> parseFile(std::span<const std::byte> bytes) {
  ByteCursor cursor(bytes);
  auto headerBytes = cursor.number<uint64_t>();
  if (!headerBytes)
    return error(StatusCode::invalidFile, "truncated: {} bytes, less than the header's length field",
                 bytes.size());
  if (*headerBytes > maxHeaderBytes)
    return error(StatusCode::invalidFile,
                 "not a safetensors file, or corrupt: a header of {} bytes, more than the {} allowed",
                 *headerBytes, maxHeaderBytes);
  auto header = cursor.take(*headerBytes);
  if (!header)
    return error(StatusCode::invalidFile, "truncated: a header of {} bytes in a file of {}", *headerBytes,
                 bytes.size());
  std::string_view json(reinterpret_cast<const char *>(header->data()), header->size());
  if (!json.starts_with('{'))
    return error(StatusCode::invalidFile, "header: expected '{{' as its first byte");
  TRANSOM_ASSIGN(std::vector<SafetensorsEntry> entries, parseSafetensorsHeader(json));
  std::span<const std::byte> data = bytes.subspan(cursor.position());
  TRANSOM_RETURN_IF_ERROR(checkCoverage(entries, data.size()));
  TensorSource source;
  for (SafetensorsEntry &entry : entries) {
    entry.tensor.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    TRANSOM_RETURN_IF_ERROR(source.add(std::move(entry.tensor)));
  }
  return source;
}

/// A file directly inside the model folder, by a name that cannot lead out of it.
Result<std::string> shardPath(const std::string &folder, const std::string &shard,
                              const std::string &indexPath) {
  if (!isPlainName(shard) || shard == "." || shard == ".." || shard.find('/') != std::string::npos ||
      shard.find('\\') != std::string::npos)
    return error(StatusCode::invalidFile, "{}: shard '{}': expected a plain file name", indexPath,
                 printable(shard));
  return (std::filesystem::path(folder) / shard).string();
}

} // namespace

Result<TensorSource> parseSafetensors(std::span<const std::byte> bytes, const std::string &path) {
  Result<TensorSource> source = parseFile(bytes);
  return source.ok() ? std::move(source) : Result<TensorSource>(source.status().within(path));
}

Result<TensorSource> openSafetensors(const std::string &path) {
  TRANSOM_ASSIGN(MappedFile mapped, MappedFile::open(path));
  TRANSOM_ASSIGN(TensorSource source, parseSafetensors(mapped.bytes(), path));
  source.keep(std::move(mapped));
  return source;
}

Result<TensorSource> openSafetensorsIndex(std::string_view index, const std::string &indexPath,
                                          const std::string &folder) {
  TRANSOM_ASSIGN(JsonObject json, JsonObject::parse(index, indexPath));
  TRANSOM_ASSIGN(JsonObject map, json.object("weight_map"));
  // Tensors by shard, so that every shard is opened once.
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto &[tensor, shard] : map.json().items()) {
    if (!shard.is_string())
      return error(StatusCode::invalidFile, "{}: tensor {}: expected a file name, found {}", map.where(),
                   printable(tensor), shard.type_name());
    shards[shard.get<std::string>()].push_back(tensor);
  }
  if (shards.empty())
    return error(StatusCode::invalidFile, "{}: no tensors", map.where());
  TensorSource all;
  for (const auto &[shard, names] : shards) {
    TRANSOM_ASSIGN(std::string path, shardPath(folder, shard, indexPath));
    TRANSOM_ASSIGN(MappedFile mapped, MappedFile::open(path));
    TRANSOM_ASSIGN(TensorSource source, parseSafetensors(mapped.bytes(), path));
    for (const std::string &name : names) {
      const Tensor *tensor = source.find(name);
      if (!tensor)
        return error(StatusCode::invalidFile, "{}: tensor {} is not in shard {}", indexPath, printable(name),
                     shard);
      TRANSOM_RETURN_IF_ERROR(all.add(*tensor).within(indexPath));
    }
    all.keep(std::move(mapped));
  }
  return all;
}

Result<TensorSource> openSafetensorsFolder(const std::string &folder) {
  std::filesystem::path root(folder);
  if (isThere(root / "model.safetensors"))
    return openSafetensors((root / "model.safetensors").string());
  std::string indexPath = (root / "model.safetensors.index.json").string();
  if (isThere(indexPath)) {
    TRANSOM_ASSIGN(std::string index, readTextFile(indexPath, maxIndexBytes));
    return openSafetensorsIndex(index, indexPath, folder);
  }
  bool pickled = isThere(root / "pytorch_model.bin") || isThere(root / "pytorch_model.bin.index.json");
  return error(StatusCode::notFound, "{}: neither model.safetensors nor model.safetensors.index.json{}",
               folder, pickled ? "; pytorch_model.bin is not supported, save the model as safetensors" : "");
}

} // namespace transom
