// On x86-64 a switch saves what the System V ABI says a function keeps; elsewhere it is ucontext's.
#include "test/emulator/Fibers.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <sys/mman.h>
#include <utility>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace transom::emulator {

namespace {
// AddressSanitizer makes frames a few times larger.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t stackBytes = size_t(1) << 20;
#else
constexpr size_t stackBytes = size_t(1) << 18;
#endif
constexpr size_t guardBytes = 4096;
} // namespace

#if defined(__x86_64__)
extern "C" void transom_emulator_switch(void **from, void *to);
asm(R"(
.text
.p2align 4
.type transom_emulator_switch, @function
transom_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size transom_emulator_switch, .-transom_emulator_switch
)");
/// The first instruction of a fiber; r12 holds the argument.
extern "C" void transom_emulator_start();
asm(R"(
.text
.p2align 4
.type transom_emulator_start, @function
transom_emulator_start:
  movq %r12, %rdi
  callq *%r13
  ud2
.size transom_emulator_start, .-transom_emulator_start
)");
#endif

void beginFiber(Fibers *self) { Fibers::begin(self); }

Fibers::~Fibers() {
  for (auto [region, bytes] : regions_)
    munmap(region, bytes);
#if !defined(__x86_64__)
  for (Fiber &fiber : fibers_)
    delete static_cast<ucontext_t *>(fiber.context);
  delete static_cast<ucontext_t *>(outside_.context);
#endif
}

bool Fibers::reserve(size_t count) {
  if (count <= fibers_.size())
    return true;
  size_t more = count - fibers_.size(), bytes = more * (stackBytes + guardBytes);
  void *region = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED)
    return false;
  regions_.push_back({region, bytes});
  for (size_t i = 0; i < more; ++i) {
    char *base = static_cast<char *>(region) + i * (stackBytes + guardBytes);
    mprotect(base, guardBytes, PROT_NONE);
    Fiber fiber;
    fiber.stack = base + guardBytes;
    fibers_.push_back(fiber);
  }
  return true;
}

void Fibers::begin(Fibers *self) {
  self->arrived();
  Fiber &own = self->at(self->running_);
  own.function(own.argument);
  __builtin_trap(); // fibers leave by leaveTo
}

void Fibers::prepare(size_t index, void (*function)(void *), void *argument) {
  Fiber &fiber = fibers_[index];
  fiber.function = function;
  fiber.argument = argument;
  fiber.fakeStack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  // Frames that were left for good still guard what lay around their variables.
  char *left = fiber.stackPointer ? static_cast<char *>(fiber.stackPointer) : fiber.stack;
  __asan_unpoison_memory_region(left, static_cast<size_t>(fiber.stack + stackBytes - left));
#endif
#if defined(__x86_64__)
  // What the switch pops: r15, r14, r13, r12, rbx, rbp, the return address. Behind it the stack is aligned as for a call.
  // Tops at the same place of every page would share a few sets of the caches.
  void **top = reinterpret_cast<void **>(fiber.stack + stackBytes - 64 - index % 61 * 256);
  void *saved[] = {nullptr, nullptr, reinterpret_cast<void *>(&beginFiber), this, nullptr, nullptr, reinterpret_cast<void *>(&transom_emulator_start)};
  top -= std::size(saved) + 1;
  if (reinterpret_cast<uintptr_t>(top + std::size(saved)) % 16 != 0)
    --top;
  std::memcpy(top, saved, sizeof saved);
  fiber.stackPointer = top;
#else
  auto *context = static_cast<ucontext_t *>(fiber.context);
  if (!context)
    fiber.context = context = new ucontext_t;
  getcontext(context);
  context->uc_stack.ss_sp = fiber.stack;
  context->uc_stack.ss_size = stackBytes;
  context->uc_link = nullptr;
  auto self = reinterpret_cast<uintptr_t>(this);
  auto entry = +[](unsigned low, unsigned high) { beginFiber(reinterpret_cast<Fibers *>(uintptr_t(low) | uintptr_t(high) << 32)); };
  makecontext(context, reinterpret_cast<void (*)()>(entry), 2, static_cast<unsigned>(self), static_cast<unsigned>(uint64_t(self) >> 32));
#endif
}

/// What is to be done first on the stack that has just been switched to.
void Fibers::arrived() {
#if defined(__SANITIZE_ADDRESS__)
  const void *bottom = nullptr;
  size_t size = 0;
  __sanitizer_finish_switch_fiber(at(running_).fakeStack, &bottom, &size);
  if (!outsideBottom_)
    outsideBottom_ = bottom, outsideSize_ = size; // the first switch comes from outside
#endif
}

void Fibers::change(size_t index, bool forGood) {
  Fiber &from = at(running_), &to = at(index);
  if (running_ == outside)
    outsideBottom_ = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  const void *bottom = index == outside ? outsideBottom_ : to.stack;
  __sanitizer_start_switch_fiber(forGood ? nullptr : &from.fakeStack, bottom, index == outside ? outsideSize_ : stackBytes);
#endif
  running_ = index;
#if defined(__x86_64__)
  transom_emulator_switch(&from.stackPointer, to.stackPointer);
#else
  if (!from.context)
    from.context = new ucontext_t;
  swapcontext(static_cast<ucontext_t *>(from.context), static_cast<ucontext_t *>(to.context));
#endif
  arrived();
}

void Fibers::switchTo(size_t index) {
  if (index != running_)
    change(index, false);
}
void Fibers::leaveTo(size_t index) {
  change(index, true);
  __builtin_trap();
}

} // namespace transom::emulator
