// Builders of small model files for tests: every part of the formats in a few hundred bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace transom::test {

using Bytes = std::vector<std::byte>;

/// Appends little-endian numbers and GGUF strings.
class ByteWriter {
public:
  Bytes bytes;

  template <typename T> ByteWriter &put(T value) {
    size_t at = bytes.size();
    bytes.resize(at + sizeof value);
    std::memcpy(bytes.data() + at, &value, sizeof value);
    return *this;
  }
  ByteWriter &raw(std::string_view text) {
    auto data = std::as_bytes(std::span(text));
    bytes.insert(bytes.end(), data.begin(), data.end());
    return *this;
  }
  ByteWriter &text(std::string_view text) { return put<uint64_t>(text.size()).raw(text); }
  ByteWriter &zeros(size_t count) {
    bytes.resize(bytes.size() + count);
    return *this;
  }
  ByteWriter &alignTo(size_t alignment) { return zeros((alignment - bytes.size() % alignment) % alignment); }
};

/// A GGUF file with a metadata value of every type, an f32 tensor "a" [2, 3] of 0..5 and a q8_0 tensor "b"
/// [2, 32].
inline Bytes smallGguf(uint32_t version = 3) {
  ByteWriter w;
  w.raw("GGUF").put(version).put<uint64_t>(2).put<uint64_t>(15);
  w.text("general.architecture").put<uint32_t>(8).text("llama");
  w.text("u8").put<uint32_t>(0).put<uint8_t>(200);
  w.text("i8").put<uint32_t>(1).put<int8_t>(-3);
  w.text("u16").put<uint32_t>(2).put<uint16_t>(60000);
  w.text("i16").put<uint32_t>(3).put<int16_t>(-300);
  w.text("u32").put<uint32_t>(4).put<uint32_t>(4'000'000'000u);
  w.text("i32").put<uint32_t>(5).put<int32_t>(-70000);
  w.text("f32").put<uint32_t>(6).put<float>(0.5f);
  w.text("bool").put<uint32_t>(7).put<uint8_t>(1);
  w.text("u64").put<uint32_t>(10).put<uint64_t>(1ull << 63);
  w.text("i64").put<uint32_t>(11).put<int64_t>(-(1ll << 40));
  w.text("f64").put<uint32_t>(12).put<double>(1e300);
  w.text("strings").put<uint32_t>(9).put<uint32_t>(8).put<uint64_t>(3).text("x").text("").text("yz");
  w.text("ints").put<uint32_t>(9).put<uint32_t>(5).put<uint64_t>(2).put<int32_t>(-1).put<int32_t>(7);
  w.text("nested").put<uint32_t>(9).put<uint32_t>(9).put<uint64_t>(1);
  w.put<uint32_t>(0).put<uint64_t>(2).put<uint16_t>(0x0201);
  w.text("a").put<uint32_t>(2).put<uint64_t>(3).put<uint64_t>(2).put<uint32_t>(0).put<uint64_t>(0);
  w.text("b").put<uint32_t>(2).put<uint64_t>(32).put<uint64_t>(2).put<uint32_t>(8).put<uint64_t>(32);
  w.alignTo(32);
  for (int i = 0; i < 6; ++i)
    w.put<float>(static_cast<float>(i));
  w.alignTo(32).zeros(68);
  return w.bytes;
}

/// A safetensors file from its header's text and data.
inline Bytes safetensors(std::string_view header, size_t dataBytes) {
  ByteWriter w;
  w.text(header).zeros(dataBytes);
  return w.bytes;
}

inline Bytes smallSafetensors() {
  return safetensors(
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("e":{"dtype":"I64","shape":[0],"data_offsets":[24,24]},)"
      R"("s":{"dtype":"BF16","shape":[],"data_offsets":[24,26]}}  )",
      26);
}

} // namespace transom::test
