// Fibers: many stacks in one thread of the operating system, of which one runs at a time. Switching costs a few nanoseconds.
#pragma once

#include <cstddef>
#include <vector>

namespace transom::emulator {

class Fibers {
public:
  Fibers() = default;
  Fibers(const Fibers &) = delete;
  ~Fibers();

  /// Room for `count` fibers. False where the operating system has no memory for their stacks.
  bool reserve(size_t count);
  /// Fiber `index` begins with function(argument) when it is next switched to; the function must not return.
  void prepare(size_t index, void (*function)(void *), void *argument);
  /// Leaves the caller (a fiber, or `outside`) until something switches back to it.
  static constexpr size_t outside = ~size_t(0);
  void switchTo(size_t index);
  /// As switchTo, by a fiber that will not run again.
  void leaveTo(size_t index);
  size_t running() const { return running_; }

private:
  struct Fiber {
    void *stackPointer = nullptr;
    char *stack = nullptr;
    void *context = nullptr; ///< where switching is by ucontext
    void *fakeStack = nullptr; ///< AddressSanitizer's
    void (*function)(void *) = nullptr;
    void *argument = nullptr;
  };
  std::vector<Fiber> fibers_;
  Fiber outside_;
  size_t running_ = outside;
  std::vector<std::pair<void *, size_t>> regions_;
  const void *outsideBottom_ = nullptr;
  size_t outsideSize_ = 0;

  Fiber &at(size_t index) { return index == outside ? outside_ : fibers_[index]; }
  void change(size_t index, bool forGood);
  void arrived();
  [[noreturn]] static void begin(Fibers *self);
  friend void beginFiber(Fibers *);
};

} // namespace transom::emulator
