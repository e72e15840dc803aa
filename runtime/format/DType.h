// Element types of tensors: plain numbers and GGML's quantised blocks, with their sizes. Shared by the
// model-file readers and the artifact. No decoding here.
#pragma once

#include "runtime/support/Checked.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace transom {

/// The numeric values are stored in artifacts: never renumber, add at the end.
enum class DType : uint8_t {
  f32 = 0,
  f16 = 1,
  bf16 = 2,
  f64 = 3,
  i8 = 4,
  u8 = 5,
  i16 = 6,
  i32 = 7,
  i64 = 8,
  boolean = 9, ///< one byte, 0 or 1
  q8_0 = 10,
  q4_0 = 11,
  q4_1 = 12,
  q5_0 = 13,
  q5_1 = 14,
  q4_k = 15,
  q5_k = 16,
  q6_k = 17,
  f8e4m3 = 18, ///< see E4m3.h
};

inline constexpr uint8_t dtypeCount = 19;

/// True where `value`, read from a file, is a DType.
constexpr bool isDType(uint8_t value) { return value < dtypeCount; }

/// How elements lie in memory: groups of `elements` along the last dimension take `bytes`. Plain types: one
/// element.
struct BlockLayout {
  uint32_t elements, bytes;
};

namespace detail {
struct DTypeRow {
  std::string_view name;
  BlockLayout layout;
};
/// Indexed by DType. Block sizes are those of GGML (ggml-common.h: block_q8_0, block_q4_K and so on).
inline constexpr DTypeRow dtypeRows[dtypeCount] = {
    {"f32", {1, 4}},      {"f16", {1, 2}},      {"bf16", {1, 2}},     {"f64", {1, 8}},    {"i8", {1, 1}},
    {"u8", {1, 1}},       {"i16", {1, 2}},      {"i32", {1, 4}},      {"i64", {1, 8}},    {"bool", {1, 1}},
    {"q8_0", {32, 34}},   {"q4_0", {32, 18}},   {"q4_1", {32, 20}},   {"q5_0", {32, 22}}, {"q5_1", {32, 24}},
    {"q4_k", {256, 144}}, {"q5_k", {256, 176}}, {"q6_k", {256, 210}}, {"f8e4m3", {1, 1}},
};
} // namespace detail

/// `dtype` must be one of the enumerators: check bytes from a file with isDType first.
constexpr BlockLayout layoutOf(DType dtype) { return detail::dtypeRows[static_cast<uint8_t>(dtype)].layout; }
/// "f32", "bf16", "bool", "q4_k", ...
constexpr std::string_view name(DType dtype) { return detail::dtypeRows[static_cast<uint8_t>(dtype)].name; }
/// True for the block formats, q8_0 to q6_k.
constexpr bool isQuantized(DType dtype) { return layoutOf(dtype).elements > 1; }

/// The inverse of name(); nothing for any other text.
constexpr std::optional<DType> parseDType(std::string_view text) {
  for (uint8_t value = 0; value < dtypeCount; ++value)
    if (detail::dtypeRows[value].name == text)
      return static_cast<DType>(value);
  return std::nullopt;
}

/// Bytes of a dense row-major tensor. Invalid on overflow, a negative dimension, or a last dimension that is
/// not a multiple of the block's elements. A shape of rank 0 is one element (invalid for block formats).
constexpr CheckedSize bytesFor(DType dtype, std::span<const int64_t> shape) {
  BlockLayout layout = layoutOf(dtype);
  int64_t last = shape.empty() ? 1 : shape.back();
  if (last < 0 || last % layout.elements != 0)
    return CheckedSize::invalid();
  CheckedSize bytes = CheckedSize(static_cast<uint64_t>(last) / layout.elements) * CheckedSize(layout.bytes);
  for (size_t axis = 0; axis + 1 < shape.size(); ++axis) {
    if (shape[axis] < 0)
      return CheckedSize::invalid();
    bytes = bytes * CheckedSize(static_cast<uint64_t>(shape[axis]));
  }
  return bytes;
}

} // namespace transom
