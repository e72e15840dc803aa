// See Memory.h.
#include "runtime/Memory.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>

namespace transom {

Result<MemoryBlock> MemoryBlock::allocate(uint64_t bytes, std::string_view what, Touch touch) {
  MemoryBlock block;
  if (bytes == 0)
    return block;
  void *data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED)
    return error(StatusCode::outOfMemory, "cannot allocate {} bytes for {}: {}", bytes, what, std::strerror(errno));
  // A refusal does no harm.
  ::madvise(data, bytes, touch == Touch::whole ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  block.data_ = static_cast<std::byte *>(data);
  block.bytes_ = bytes;
  return block;
}

MemoryBlock::~MemoryBlock() {
  if (data_)
    ::munmap(data_, bytes_);
}

void MemoryBlock::clear() {
  if (data_ && ::madvise(data_, bytes_, MADV_DONTNEED) != 0)
    std::memset(data_, 0, bytes_);
}

} // namespace transom
