// A bounds-checked, forward-only cursor over untrusted little-endian bytes.
#pragma once

#include "runtime/support/Checked.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace transom {

static_assert(std::endian::native == std::endian::little, "the file formats here are little-endian");

class ByteCursor {
public:
  explicit ByteCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }

  /// The next `count` bytes; nothing, and no step forward, where fewer are left.
  std::optional<std::span<const std::byte>> take(CheckedSize count) {
    if (!count.fits(remaining()))
      return std::nullopt;
    std::span<const std::byte> taken = bytes_.subspan(position_, count.value());
    position_ += taken.size();
    return taken;
  }

  template <typename T> std::optional<T> number() {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    auto taken = take(sizeof(T));
    if (!taken)
      return std::nullopt;
    T value;
    std::memcpy(&value, taken->data(), sizeof value);
    return value;
  }

  /// Text after its 64-bit length.
  std::optional<std::string_view> string() {
    size_t start = position_;
    if (auto length = number<uint64_t>())
      if (auto taken = take(*length))
        return std::string_view(reinterpret_cast<const char *>(taken->data()), taken->size());
    position_ = start;
    return std::nullopt;
  }

private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

} // namespace transom
