// The GGUF reader: every value type, the tensor table, and refusals.
#include "compiler/import/files/Gguf.h"
#include "test/fuzz/SmallFiles.h"

#include <gtest/gtest.h>

#include <cstring>

using namespace transom;
using test::Bytes;
using test::ByteWriter;

namespace {

Result<GgufFile> parse(const Bytes &bytes) { return GgufFile::parse(bytes, "m.gguf"); }

std::string refusal(const Bytes &bytes) {
  Result<GgufFile> file = parse(bytes);
  return file.ok() ? "accepted" : file.status().message();
}

/// A file with the given tensor entries and data, and no metadata.
Bytes withTensors(const std::vector<ByteWriter> &entries, size_t dataBytes) {
  ByteWriter w;
  w.raw("GGUF").put<uint32_t>(3).put<uint64_t>(entries.size()).put<uint64_t>(0);
  for (const ByteWriter &entry : entries)
    w.bytes.insert(w.bytes.end(), entry.bytes.begin(), entry.bytes.end());
  w.alignTo(32).zeros(dataBytes);
  return w.bytes;
}

ByteWriter entry(std::string_view name, const std::vector<uint64_t> &dims, uint32_t type, uint64_t offset) {
  ByteWriter w;
  w.text(name).put(static_cast<uint32_t>(dims.size()));
  for (uint64_t dim : dims)
    w.put(dim);
  w.put(type).put(offset);
  return w;
}

/// A file with one metadata value.
Bytes withMetadata(const ByteWriter &value) {
  ByteWriter w;
  w.raw("GGUF").put<uint32_t>(3).put<uint64_t>(0).put<uint64_t>(1);
  w.bytes.insert(w.bytes.end(), value.bytes.begin(), value.bytes.end());
  return w.bytes;
}

// Each getter returns the value of its type.
TEST(Gguf, readsEveryMetadataType) {
  Bytes bytes = test::smallGguf();
  auto file = parse(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(*file->string("general.architecture"), "llama");
  EXPECT_EQ(*file->integer("u8"), 200);
  EXPECT_EQ(*file->integer("i8"), -3);
  EXPECT_EQ(*file->integer("u16"), 60000);
  EXPECT_EQ(*file->integer("i16"), -300);
  EXPECT_EQ(*file->integer("u32"), 4'000'000'000);
  EXPECT_EQ(*file->integer("i32"), -70000);
  EXPECT_EQ(*file->integer("i64"), -(1ll << 40));
  EXPECT_EQ(*file->number("f32"), 0.5);
  EXPECT_EQ(*file->number("f64"), 1e300);
  EXPECT_EQ(*file->number("i8"), -3);
  EXPECT_TRUE(*file->boolean("bool"));
  EXPECT_EQ(*file->strings("strings"), (std::vector<std::string_view>{"x", "", "yz"}));
  EXPECT_EQ(*file->integers("ints"), (std::vector<int64_t>{-1, 7}));
  EXPECT_EQ(*file->numbers("ints"), (std::vector<double>{-1, 7}));
}

// A missing key and a wrong type are different errors, each naming file, key and type.
TEST(Gguf, gettersNameTheKey) {
  Bytes bytes = test::smallGguf();
  auto file = parse(bytes);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->string("absent").status().message(), "m.gguf: metadata absent is missing");
  EXPECT_EQ(file->string("absent").status().code(), StatusCode::notFound);
  EXPECT_EQ(file->string("u8").status().message(), "m.gguf: metadata u8: expected a string, found u8");
  EXPECT_EQ(file->integer("u64").status().message(),
            "m.gguf: metadata u64: expected an integer under 2^63, found u64");
  EXPECT_EQ(file->integer("ints").status().message(),
            "m.gguf: metadata ints: expected a single value, found an array of i32");
  EXPECT_EQ(file->strings("nested").status().message(),
            "m.gguf: metadata nested: expected an array of strings, found an array of array");
  EXPECT_EQ(*file->integerOr("absent", 5), 5);
  EXPECT_FALSE(file->integerOr("f32", 5).ok());
}

// Shapes come out row-major, bytes point at the data.
TEST(Gguf, readsTensors) {
  for (uint32_t version : {2u, 3u}) {
    Bytes bytes = test::smallGguf(version);
    auto file = parse(bytes);
    ASSERT_TRUE(file.ok()) << file.status().message();
    ASSERT_EQ(file->tensors().tensors().size(), 2u);
    const Tensor *a = file->tensors().find("a");
    ASSERT_TRUE(a);
    EXPECT_EQ(a->shape, (std::vector<int64_t>{2, 3}));
    float last;
    std::memcpy(&last, a->bytes.data() + 20, 4);
    EXPECT_EQ(last, 5.0f);
    EXPECT_EQ(file->tensors().find("b")->dtype, DType::q8_0);
    EXPECT_EQ(file->tensors().find("b")->bytes.size(), 68u);
    EXPECT_EQ(file->tensors().get("c").status().message(), "tensor c: missing from the model");
  }
}

// Cut at any byte, the file is refused.
TEST(Gguf, refusesEveryTruncation) {
  Bytes bytes = test::smallGguf();
  for (size_t length = 0; length < bytes.size(); ++length)
    EXPECT_FALSE(parse(Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length))).ok()) << length;
}

// Each header field is checked.
TEST(Gguf, refusesBadHeaders) {
  ByteWriter w;
  EXPECT_EQ(refusal(w.raw("GGML").zeros(20).bytes),
            "m.gguf: not a GGUF file: the first four bytes are not 'GGUF'");
  EXPECT_EQ(refusal(test::smallGguf(1)), "m.gguf: GGUF version 1 is not supported, only 2 and 3");
  EXPECT_EQ(refusal(test::smallGguf(0x03000000)),
            "m.gguf: big-endian GGUF is not supported, only little-endian");
  ByteWriter absurd;
  absurd.raw("GGUF").put<uint32_t>(3).put<uint64_t>(1ull << 60).put<uint64_t>(1ull << 62);
  EXPECT_EQ(refusal(absurd.bytes),
            "m.gguf: 1152921504606846976 tensors and 4611686018427387904 metadata entries do not "
            "fit a file of 24 bytes");
}

// Arrays that claim more than the file holds, unknown types and deep nesting are refused without allocation.
TEST(Gguf, refusesBadMetadata) {
  ByteWriter array;
  array.text("k").put<uint32_t>(9).put<uint32_t>(8).put<uint64_t>(1ull << 61).text("x");
  EXPECT_EQ(refusal(withMetadata(array)),
            "m.gguf: truncated: metadata k at byte 58 goes past the end (58 bytes)");
  ByteWriter wide;
  wide.text("k").put<uint32_t>(9).put<uint32_t>(12).put<uint64_t>(1ull << 61).put<uint64_t>(0);
  EXPECT_EQ(refusal(withMetadata(wide)),
            "m.gguf: truncated: metadata k at byte 49 goes past the end (57 bytes)");
  ByteWriter unknown;
  unknown.text("k").put<uint32_t>(13).put<uint64_t>(0);
  EXPECT_EQ(refusal(withMetadata(unknown)), "m.gguf: metadata k: unknown value type 13");
  ByteWriter nested;
  nested.text("k").put<uint32_t>(9);
  for (int i = 0; i < 10; ++i)
    nested.put<uint32_t>(9).put<uint64_t>(1);
  EXPECT_EQ(refusal(withMetadata(nested)), "m.gguf: metadata k: arrays nested deeper than 4");
  ByteWriter control;
  control.text("a\nb").put<uint32_t>(0).put<uint64_t>(0);
  EXPECT_EQ(refusal(withMetadata(control)), "m.gguf: metadata key 'a\\x0ab': expected printable text");
  ByteWriter alignment;
  alignment.text("general.alignment").put<uint32_t>(4).put<uint32_t>(24);
  EXPECT_EQ(refusal(withMetadata(alignment)), "m.gguf: general.alignment: expected a power of two, found 24");
}

// Keys and names must be unique.
TEST(Gguf, refusesDuplicates) {
  ByteWriter w;
  w.raw("GGUF").put<uint32_t>(3).put<uint64_t>(0).put<uint64_t>(2);
  for (int i = 0; i < 2; ++i)
    w.text("k").put<uint32_t>(0).put<uint8_t>(1);
  EXPECT_EQ(refusal(w.bytes), "m.gguf: metadata k: the key appears twice");
  EXPECT_EQ(refusal(withTensors({entry("t", {1}, 0, 0), entry("t", {1}, 0, 32)}, 36)),
            "m.gguf: tensor t: the name appears twice");
}

// A tensor type that cannot be decoded is named, with the list of those that can.
TEST(Gguf, refusesUnsupportedTensorTypes) {
  EXPECT_EQ(refusal(withTensors({entry("t", {256}, 10, 0)}, 84)),
            "m.gguf: tensor t: type Q2_K is not supported; supported: F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, "
            "Q8_0, Q4_K, "
            "Q5_K, Q6_K, I8, I16, I32, I64, F64, BF16");
  EXPECT_NE(refusal(withTensors({entry("t", {256}, 777, 0)}, 84)).find("type number 777"), std::string::npos);
}

// Shapes and offsets: absurd sizes, partial blocks, bad alignment, past the end, overlap.
TEST(Gguf, refusesBadTensors) {
  EXPECT_NE(refusal(withTensors({entry("t", {1ull << 40, 1ull << 40}, 0, 0)}, 4)).find("tensor t: shape"),
            std::string::npos);
  EXPECT_NE(refusal(withTensors({entry("t", {33}, 8, 0)}, 68)).find("whole blocks of 32"), std::string::npos);
  EXPECT_EQ(refusal(withTensors({entry("t", {0}, 0, 0)}, 4)), "m.gguf: tensor t: dimension 0 is 0");
  EXPECT_EQ(refusal(withTensors({entry("t", {1, 1, 1, 1, 1}, 0, 0)}, 4)),
            "m.gguf: tensor t: rank 5 is more than 4");
  EXPECT_EQ(refusal(withTensors({entry("t", {1}, 0, 4)}, 8)),
            "m.gguf: tensor t: offset 4 is not a multiple of the alignment 32");
  EXPECT_NE(refusal(withTensors({entry("t", {8}, 0, ~31ull)}, 32)).find("goes past the end"),
            std::string::npos);
  EXPECT_EQ(refusal(withTensors({entry("t", {16}, 0, 0), entry("u", {1}, 0, 32)}, 64)),
            "m.gguf: tensors t and u overlap");
}

} // namespace
