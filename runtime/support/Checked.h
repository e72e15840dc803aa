// Arithmetic on sizes read from files. Overflow and absurd values become "no value", never a wrapped number.
#pragma once

#include <cstdint>
#include <optional>

namespace transom {

/// An unsigned size that remembers overflow. Once invalid it stays invalid.
class CheckedSize {
public:
  constexpr CheckedSize(uint64_t value = 0) : value_(value) {}
  static constexpr CheckedSize invalid() {
    CheckedSize size;
    size.valid_ = false;
    return size;
  }
  constexpr bool valid() const { return valid_; }
  /// The value; only where valid().
  constexpr uint64_t value() const { return value_; }
  constexpr bool fits(uint64_t limit) const { return valid_ && value_ <= limit; }

  friend constexpr CheckedSize operator+(CheckedSize a, CheckedSize b) {
    uint64_t out;
    return a.valid_ && b.valid_ && !__builtin_add_overflow(a.value_, b.value_, &out) ? CheckedSize(out) : invalid();
  }
  friend constexpr CheckedSize operator-(CheckedSize a, CheckedSize b) {
    return a.valid_ && b.valid_ && a.value_ >= b.value_ ? CheckedSize(a.value_ - b.value_) : invalid();
  }
  friend constexpr CheckedSize operator*(CheckedSize a, CheckedSize b) {
    uint64_t out;
    return a.valid_ && b.valid_ && !__builtin_mul_overflow(a.value_, b.value_, &out) ? CheckedSize(out) : invalid();
  }
  /// Rounded up to a multiple of `alignment` (a power of two).
  constexpr CheckedSize alignedTo(uint64_t alignment) const {
    CheckedSize sum = *this + CheckedSize(alignment - 1);
    return sum.valid_ ? CheckedSize(sum.value_ & ~(alignment - 1)) : sum;
  }

private:
  uint64_t value_ = 0;
  bool valid_ = true;
};

} // namespace transom
