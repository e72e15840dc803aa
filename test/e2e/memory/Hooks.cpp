// See Hooks.h. Nothing here allocates: it runs inside malloc.
#include "test/e2e/memory/Hooks.h"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <malloc.h>
#include <new>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc's own, by the names it keeps for programs like this one.
extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);
}

namespace {

struct Tally {
  std::atomic<int64_t> calls = 0, bytes = 0, mapped = 0, live = 0, peak = 0;
  void clear() { calls = bytes = mapped = live = peak = 0; }
  void add(int64_t size) {
    ++calls;
    bytes += size;
    int64_t now = live += size, most = peak;
    while (now > most && !peak.compare_exchange_weak(most, now)) {
    }
  }
};

Tally tallies[2]; // own, libraries
std::atomic<bool> counting = false;
std::atomic<const void *> first = nullptr;

struct Range {
  uintptr_t begin, end;
};
constexpr int maxRanges = 64;
Range ranges[maxRanges];
int rangeCount = 0;

bool inLibrary(const void *caller) {
  auto address = reinterpret_cast<uintptr_t>(caller);
  for (int i = 0; i < rangeCount; ++i)
    if (address >= ranges[i].begin && address < ranges[i].end)
      return true;
  return false;
}

Tally &tallyOf(const void *caller) {
  bool library = inLibrary(caller);
  const void *none = nullptr;
  if (!library)
    first.compare_exchange_strong(none, caller);
  return tallies[library];
}

void *counted(void *block, const void *caller) {
  if (counting && block)
    tallyOf(caller).add(static_cast<int64_t>(malloc_usable_size(block)));
  return block;
}

} // namespace

// Visible, so that libraries call these too, whatever the program is built with.
#pragma GCC visibility push(default)
extern "C" {
#define CALLER __builtin_return_address(0)
void *malloc(size_t size) { return counted(__libc_malloc(size), CALLER); }
void *calloc(size_t count, size_t size) { return counted(__libc_calloc(count, size), CALLER); }
void *realloc(void *block, size_t size) { return counted(__libc_realloc(block, size), CALLER); }
void *memalign(size_t alignment, size_t size) { return counted(__libc_memalign(alignment, size), CALLER); }
void *aligned_alloc(size_t alignment, size_t size) { return counted(__libc_memalign(alignment, size), CALLER); }
int posix_memalign(void **block, size_t alignment, size_t size) {
  *block = counted(__libc_memalign(alignment, size), CALLER);
  return *block ? 0 : ENOMEM;
}
void free(void *block) {
  // Whose block it was is not kept: the libraries free what they allocate.
  if (counting && block)
    tallies[inLibrary(CALLER)].live -= static_cast<int64_t>(malloc_usable_size(block));
  __libc_free(block);
}
void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
  if (counting)
    tallyOf(CALLER).mapped += static_cast<int64_t>(size);
  return reinterpret_cast<void *>(syscall(SYS_mmap, address, size, protection, flags, file, offset));
}
void *mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset) {
  if (counting)
    tallyOf(CALLER).mapped += static_cast<int64_t>(size);
  return reinterpret_cast<void *>(syscall(SYS_mmap, address, size, protection, flags, file, offset));
}
}

// The C++ library's would call malloc from its own code, whoever called them.
static void *allocate(size_t size, size_t alignment, const void *caller) {
  if (void *block = counted(__libc_memalign(alignment, size ? size : 1), caller))
    return block;
  std::abort();
}
void *operator new(size_t size) { return allocate(size, alignof(std::max_align_t), CALLER); }
void *operator new[](size_t size) { return allocate(size, alignof(std::max_align_t), CALLER); }
void *operator new(size_t size, std::align_val_t alignment) { return allocate(size, static_cast<size_t>(alignment), CALLER); }
void *operator new[](size_t size, std::align_val_t alignment) { return allocate(size, static_cast<size_t>(alignment), CALLER); }
void *operator new(size_t size, const std::nothrow_t &) noexcept { return allocate(size, alignof(std::max_align_t), CALLER); }
void *operator new[](size_t size, const std::nothrow_t &) noexcept { return allocate(size, alignof(std::max_align_t), CALLER); }
void operator delete(void *block) noexcept { free(block); }
void operator delete[](void *block) noexcept { free(block); }
void operator delete(void *block, size_t) noexcept { free(block); }
void operator delete[](void *block, size_t) noexcept { free(block); }
void operator delete(void *block, std::align_val_t) noexcept { free(block); }
void operator delete[](void *block, std::align_val_t) noexcept { free(block); }
void operator delete(void *block, size_t, std::align_val_t) noexcept { free(block); }
void operator delete[](void *block, size_t, std::align_val_t) noexcept { free(block); }

#pragma GCC visibility pop

namespace hooks {

bool replaced() {
  reset();
  std::free(strdup("libc calls malloc for this"));
  stop();
  return own().calls == 1;
}

void findLibraries() {
  FILE *maps = std::fopen("/proc/self/maps", "r");
  char line[4096];
  rangeCount = 0;
  while (maps && rangeCount < maxRanges && std::fgets(line, sizeof line, maps)) {
    unsigned long begin, end;
    bool library = std::strstr(line, "dnnl") || std::strstr(line, "ld-linux") || std::strstr(line, "gomp") || std::strstr(line, "iomp") || std::strstr(line, "libtbb");
    if (library && std::sscanf(line, "%lx-%lx", &begin, &end) == 2)
      ranges[rangeCount++] = {begin, end};
  }
  if (maps)
    std::fclose(maps);
}

void reset() {
  for (Tally &tally : tallies)
    tally.clear();
  first = nullptr;
  counting = true;
}

void stop() { counting = false; }

static Counts read(const Tally &tally) { return {tally.calls, tally.bytes, tally.mapped, tally.peak}; }
Counts own() { return read(tallies[0]); }
Counts libraries() { return read(tallies[1]); }
const void *firstCaller() { return first; }

} // namespace hooks
