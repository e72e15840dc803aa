// Large zeroed blocks from the operating system, for arenas and caches. Pages that are never touched cost nothing.
#pragma once

#include "runtime/support/Status.h"

#include <cstddef>
#include <cstdint>

namespace transom {

/// How a block will be used, which decides the size of its pages.
enum class Touch : uint8_t {
  whole,  ///< all of it, soon: large pages
  sparse, ///< a little here and there, such as a cache that fills slowly: a large page would be zeroed for a few bytes
};

/// A block of zero bytes, aligned to a page. Move-only; may be empty.
class MemoryBlock {
public:
  MemoryBlock() = default;
  /// `what` names the block in the error: outOfMemory with what is needed.
  static Result<MemoryBlock> allocate(uint64_t bytes, std::string_view what, Touch touch = Touch::whole);
  MemoryBlock(MemoryBlock &&other) noexcept { *this = std::move(other); }
  MemoryBlock &operator=(MemoryBlock &&other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MemoryBlock();

  std::byte *data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  /// Back to zero, returning the pages.
  void clear();

private:
  std::byte *data_ = nullptr;
  uint64_t bytes_ = 0;
};

} // namespace transom
