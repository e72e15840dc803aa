// Fuzzes the readers of model files: GGUF, safetensors, safetensors indices and JSON. With arguments, mutates
// those files in place in memory instead of the built-in small ones.
#include "compiler/import/files/BlockDecode.h"
#include "compiler/import/files/Gguf.h"
#include "compiler/import/files/Json.h"
#include "compiler/import/files/Safetensors.h"
#include "test/fuzz/Fuzz.h"
#include "test/fuzz/SmallFiles.h"

#include <cstdio>

using namespace transom;

namespace {

size_t accepted = 0, refused = 0;
float sink = 0;

void count(const Status &status) {
  ++(status.ok() ? accepted : refused);
  // A message must stay one line whatever the file puts into it.
  if (status.message().find('\n') != std::string::npos)
    std::abort();
}

void useTensors(const TensorSource &source) {
  for (const Tensor &tensor : source.tensors()) {
    size_t elements = tensor.bytes.size() / layoutOf(tensor.dtype).bytes * layoutOf(tensor.dtype).elements;
    if (elements > 100'000 || tensor.bytes.empty())
      continue;
    std::vector<float> values(elements);
    decodeElements(tensor.dtype, tensor.bytes, std::span<float>(values));
    sink += values.back();
  }
}

void readGguf(std::span<const std::byte> bytes) {
  Result<GgufFile> file = GgufFile::parse(bytes, "fuzz.gguf");
  count(file.status());
  if (!file.ok())
    return;
  for (const auto &[key, value] : file->metadata()) {
    size_t good = file->string(key).ok() + file->integer(key).ok() + file->number(key).ok() +
                  file->boolean(key).ok() + file->strings(key).ok() + file->integers(key).ok() +
                  file->numbers(key).ok();
    sink += static_cast<float>(good);
  }
  useTensors(file->tensors());
}

void readSafetensors(std::span<const std::byte> bytes) {
  Result<TensorSource> source = parseSafetensors(bytes, "fuzz.safetensors");
  count(source.status());
  if (source.ok())
    useTensors(*source);
}

void readIndex(std::span<const std::byte> bytes) {
  std::string_view text(reinterpret_cast<const char *>(bytes.data()), bytes.size());
  count(openSafetensorsIndex(text, "fuzz.index.json", "/nonexistent").status());
}

template <typename Read> void fuzzSeed(std::string_view name, const fuzz::Bytes &seed, Read read) {
  accepted = refused = 0;
  fuzz::forEachMutation(seed, 0, [&](const fuzz::Bytes &bytes) { read(bytes); });
  std::printf("%.*s: %zu accepted, %zu refused\n", static_cast<int>(name.size()), name.data(), accepted,
              refused);
}

/// A large file: flips in place, with most of them in the part that is parsed.
template <typename Read> void fuzzLarge(const char *path, size_t head, fuzz::Bytes bytes, Read read) {
  accepted = refused = 0;
  std::mt19937_64 random(7);
  for (size_t i = 0; i < fuzz::mutationCount(); ++i) {
    std::byte &at = bytes[random() % std::min(head, bytes.size())];
    std::byte before = std::exchange(at, std::byte(random() & 255));
    read(bytes);
    at = before;
    read(std::span(bytes).first(random() % (i % 2 ? bytes.size() : std::min(head, bytes.size()))));
  }
  std::printf("%s: %zu accepted, %zu refused\n", path, accepted, refused);
}

} // namespace

int main(int argc, char **argv) {
  for (int i = 1; i < argc; ++i) {
    Result<MappedFile> file = MappedFile::open(argv[i]);
    if (!file.ok())
      return std::fprintf(stderr, "%s\n", file.status().message().c_str()), 1;
    fuzz::Bytes bytes(file->bytes().begin(), file->bytes().end());
    if (std::string_view(argv[i]).ends_with(".gguf"))
      fuzzLarge(argv[i], 3 << 20, std::move(bytes), readGguf);
    else
      fuzzLarge(argv[i], 20'000, std::move(bytes), readSafetensors);
  }
  if (argc > 1)
    return 0;
  fuzzSeed("gguf", test::smallGguf(), readGguf);
  fuzzSeed("safetensors", test::smallSafetensors(), readSafetensors);
  test::ByteWriter index;
  index.raw(R"({"metadata":{"total_size":5},"weight_map":{"a":"x-1.safetensors","b":"x-2.safetensors"}})");
  fuzzSeed("index", index.bytes, readIndex);
  return 0;
}
