// The safetensors reader: one file, sharded folders, and refusals.
#include "compiler/import/files/Safetensors.h"
#include "test/fuzz/SmallFiles.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

using namespace transom;
using test::Bytes;
using test::safetensors;

namespace {

std::string refusal(const Bytes &bytes) {
  Result<TensorSource> source = parseSafetensors(bytes, "m.safetensors");
  return source.ok() ? "accepted" : source.status().message();
}

std::string refusal(std::string_view header, size_t dataBytes) {
  return refusal(safetensors(header, dataBytes));
}

/// A fresh folder that goes away with the object.
class TemporaryFolder {
public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "transom-test-XXXXXX").string();
    path = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  void write(std::string_view name, const Bytes &bytes) const {
    std::ofstream(path / name, std::ios::binary)
        .write(reinterpret_cast<const char *>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  void write(std::string_view name, std::string_view text) const { std::ofstream(path / name) << text; }
  std::string refusal() const {
    Result<TensorSource> source = openSafetensorsFolder(path.string());
    std::string message = source.ok() ? "accepted" : source.status().message();
    // The folder's name is random.
    for (size_t at; (at = message.find(path.string())) != std::string::npos;)
      message.replace(at, path.string().size(), "DIR");
    return message;
  }
  std::filesystem::path path;
};

// Shapes of rank 0 and of no elements are tensors too; __metadata__ and padding spaces are skipped.
TEST(Safetensors, readsTensors) {
  Bytes bytes = test::smallSafetensors();
  auto source = parseSafetensors(bytes, "m.safetensors");
  ASSERT_TRUE(source.ok()) << source.status().message();
  ASSERT_EQ(source->tensors().size(), 3u);
  EXPECT_EQ(source->find("w")->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(source->find("w")->bytes.size(), 24u);
  EXPECT_EQ(source->find("e")->bytes.size(), 0u);
  EXPECT_EQ(source->find("s")->dtype, DType::bf16);
  EXPECT_TRUE(source->find("s")->shape.empty());
}

// Cut at any byte, the file is refused.
TEST(Safetensors, refusesEveryTruncation) {
  Bytes bytes = test::smallSafetensors();
  for (size_t length = 0; length < bytes.size(); ++length)
    EXPECT_NE(refusal(Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length))), "accepted")
        << length;
}

// The header's length is bounded by the format and by the file.
TEST(Safetensors, refusesBadHeaderLengths) {
  test::ByteWriter huge, longer;
  EXPECT_EQ(refusal(huge.put<uint64_t>(1ull << 62).zeros(8).bytes),
            "m.safetensors: not a safetensors file, or corrupt: a header of 4611686018427387904 bytes, more "
            "than the "
            "100000000 allowed");
  EXPECT_EQ(refusal(longer.put<uint64_t>(100).zeros(8).bytes),
            "m.safetensors: truncated: a header of 100 bytes in a file of 16");
}

// The data is covered once: no holes, no overlap, nothing left over, nothing past the end.
TEST(Safetensors, refusesBadOffsets) {
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3),
            "m.safetensors: tensor a: data begins at 1, expected 0: the data must have no holes");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],)"
                    R"("data_offsets":[1,3]}})",
                    3),
            "m.safetensors: tensor b: data begins at 1, expected 2: the data must have no overlap");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 3),
            "m.safetensors: 3 bytes of data, but the tensors take 2");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 3),
            "m.safetensors: tensor a: data_offsets [0, 4] do not lie in the file's 3 bytes of data");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,3]}})", 3),
            "m.safetensors: tensor a: shape [2] of f32 needs 8 bytes, found 3");
}

// Absurd shapes are refused even where another dimension is zero.
TEST(Safetensors, refusesAbsurdShapes) {
  EXPECT_EQ(refusal(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0),
            "m.safetensors: tensor a: shape [4611686018427387904, 4] is too large");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"F32","shape":[4611686018427387904,0,8],"data_offsets":[0,0]}})", 0),
            "m.safetensors: tensor a: shape [4611686018427387904, 0, 8] is too large");
}

// The header's JSON has one form only.
TEST(Safetensors, refusesBadEntries) {
  EXPECT_EQ(refusal(R"([])", 0), "m.safetensors: header: expected '{' as its first byte");
  EXPECT_EQ(refusal(R"({"a":)", 0), "m.safetensors: header: not valid JSON at byte 6");
  EXPECT_EQ(refusal(R"({"a":3})", 0), "m.safetensors: header: a: unexpected a number");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}})", 0),
            "m.safetensors: header: a shape: unexpected a negative number");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1),
            "m.safetensors: tensor a: expected two data_offsets, found 1");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[1]}})", 1),
            "m.safetensors: tensor a: data_offsets is missing");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1),
            "m.safetensors: tensor a: shape appears twice");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","strides":[1]}})", 1),
            "m.safetensors: tensor a: unknown field strides");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", 1),
            "m.safetensors: tensor a: dtype F8_E4M3 is not supported; supported: F64, F32, F16, BF16, I64, "
            "I32, I16, I8, "
            "U8, BOOL");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],)"
                    R"("data_offsets":[0,0]}})",
                    0),
            "m.safetensors: tensor a: the name appears twice");
  EXPECT_EQ(refusal(R"({"a\nb":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", 0),
            "m.safetensors: tensor name 'a\\x0ab': expected printable text");
}

// Deep nesting neither recurses nor allocates.
TEST(Safetensors, refusesDeepNesting) {
  EXPECT_EQ(refusal("{\"a\":" + std::string(1'000'000, '['), 0),
            "m.safetensors: header: a: unexpected an array");
}

// A folder with an index gives the tensors of all shards; symbolic links are followed.
TEST(Safetensors, readsShardedFolders) {
  TemporaryFolder folder;
  folder.write("blob", safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2));
  std::filesystem::create_symlink("blob", folder.path / "m-1.safetensors");
  folder.write("m-2.safetensors", safetensors(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1));
  folder.write("model.safetensors.index.json",
               R"({"metadata":{},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})");
  auto source = openSafetensorsFolder(folder.path.string());
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_EQ(source->find("a")->bytes.size(), 2u);
  EXPECT_EQ(source->find("b")->bytes.size(), 1u);
}

// Shard names that lead out of the folder, missing shards and missing tensors are refused.
TEST(Safetensors, refusesBadIndices) {
  TemporaryFolder folder;
  EXPECT_EQ(folder.refusal(), "DIR: neither model.safetensors nor model.safetensors.index.json");
  folder.write("m.safetensors", safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2));
  auto with = [&](std::string_view index) {
    folder.write("model.safetensors.index.json", index);
    return folder.refusal();
  };
  for (const char *name : {"../m.safetensors", "/etc/passwd", "..", "", "x/y"})
    EXPECT_EQ(with(fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", name)),
              fmt::format("DIR/model.safetensors.index.json: shard '{}': expected a plain file name", name));
  EXPECT_EQ(with(R"({"weight_map":{"a":"n.safetensors"}})"),
            "DIR/n.safetensors: cannot open: No such file or directory");
  EXPECT_EQ(with(R"({"weight_map":{"z":"m.safetensors"}})"),
            "DIR/model.safetensors.index.json: tensor z is not in shard m.safetensors");
  EXPECT_EQ(with(R"({"weight_map":{"a":1}})"),
            "DIR/model.safetensors.index.json: weight_map: tensor a: expected a file name, found number");
  EXPECT_EQ(with(R"({})"), "DIR/model.safetensors.index.json: field weight_map is missing");
  EXPECT_EQ(with(std::string(1000, '[')), "DIR/model.safetensors.index.json: nested deeper than 64 levels");
}

} // namespace
