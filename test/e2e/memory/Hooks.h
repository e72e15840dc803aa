// Counts what a program allocates: malloc and its kin, operator new, mmap, of all threads and libraries. The functions
// that do it stand in Hooks.cpp and take the place of libc's in the program they are linked into.
#pragma once

#include <cstdint>

namespace hooks {

/// Whose call an allocation is, by the address it returns to.
struct Counts {
  int64_t calls = 0;      ///< of malloc, calloc, realloc, new...
  int64_t bytes = 0;      ///< asked for by them
  int64_t mapped = 0;     ///< bytes asked for by mmap
  int64_t peak = 0;       ///< most bytes of theirs alive at once since reset()
};

/// Whether libraries call the functions of Hooks.cpp: without that, only the program's own calls would be counted.
bool replaced();
/// Libraries that the runtime calls and whose allocations count apart: finds where they lie. Called once they are loaded,
/// while nothing is counted.
void findLibraries();
/// From here on allocations are counted, from zero.
void reset();
/// No allocation is counted from here on.
void stop();
/// Of the program and the runtime, and of the libraries.
Counts own();
Counts libraries();
/// Where the first own allocation since reset() was called from; null if there was none.
const void *firstCaller();

} // namespace hooks
