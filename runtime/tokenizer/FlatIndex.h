// A hash index from keys that live elsewhere to their numbers. Insert and find only.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace transom::tokenizer {

/// Open addressing with linear probing. The caller hashes, and says by a predicate on the number whether a key is equal.
class FlatIndex {
public:
  /// Room for `count` keys.
  explicit FlatIndex(size_t count = 0) : slots_(std::bit_ceil(count * 2 + 2), -1) {}

  /// The slot of the key: its number, or -1 in an empty slot that the caller may fill.
  template <typename Equal> int32_t &slot(uint64_t hash, Equal equal) {
    return const_cast<int32_t &>(static_cast<const FlatIndex *>(this)->slot(hash, equal));
  }
  template <typename Equal> const int32_t &slot(uint64_t hash, Equal equal) const {
    size_t mask = slots_.size() - 1;
    size_t i = hash & mask;
    while (slots_[i] != -1 && !equal(slots_[i]))
      i = (i + 1) & mask;
    return slots_[i];
  }

private:
  std::vector<int32_t> slots_;
};

} // namespace transom::tokenizer
