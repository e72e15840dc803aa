// What an emulated kernel and the emulator share: the machine that runs a block, and the table of a library's entries.
// Included by the kernels' side, which g++ compiles apart from everything else, and by the emulator: standard types only.
#pragma once

#include <cstdint>

namespace transom::emulator {

struct Dim3 {
  unsigned x, y, z;
  constexpr Dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

/// One CUDA thread, as far as kernels see it.
struct ThreadView {
  Dim3 index;
  unsigned lane; ///< linear index in the block, modulo 32
};

/// What the 32 lanes of a warp hand over at a collective, and get back.
struct WarpExchange {
  struct Lane {
    alignas(16) unsigned char in[64], out[32];
  };
  Lane lanes[32];
  uint32_t taking; ///< the lanes that take part
};
using WarpFunction = void (*)(WarpExchange &);

/// One per process: kernels run one block at a time, each CUDA thread as a fiber.
struct Machine {
  const ThreadView *thread; ///< the one that runs
  Dim3 blockIdx, blockDim, gridDim;
  char *shared;       ///< shared memory of the block: dynamic first, static variables behind it
  uint64_t launch;    ///< number of the launch: static shared variables get their places anew in each

  /// Bytes of static shared memory, as an offset from `shared`.
  uint32_t (*reserveShared)(uint32_t bytes, uint32_t align);
  /// Checks an access of `bytes` at a shared-memory address and gives its place in host memory.
  char *(*sharedAt)(uint32_t address, uint32_t bytes);
  /// __syncthreads; gives the sum of all threads' `value`.
  int (*syncBlock)(int value);
  /// Waits until all lanes of `mask` that live are here with the same function, which the last one runs on what all put into
  /// their `in`. Gives the lane's own slot.
  WarpExchange::Lane *(*ownLane)();
  void (*syncWarp)(uint32_t mask, WarpFunction function);
  uint32_t (*activeLanes)();
  /// Ends the launch with an error; does not return.
  void (*fail)(const char *message);

  // Collectives of tensor cores. `in`: mma: a (4), b (2), c (4 floats), words; `out`: d (4 floats).
  // ldmatrix x4: `in` an address, `out` four words.
  WarpFunction mmaHalf, mmaBFloat, loadMatrices, loadMatricesTransposed;
};

struct Parameter {
  uint32_t bytes;
  bool pointer;
};

/// A kernel of a library: call() runs one thread of it.
struct Entry {
  const char *name;
  void (*call)(void **arguments);
  const Parameter *parameters;
  uint32_t parameterCount;
};

/// What a library of kernels exports as `transom_emulated_kernels`.
struct EntryTable {
  static constexpr uint32_t currentVersion = 1;
  uint32_t version, count;
  const Entry *entries;
  Machine **machine; ///< the emulator puts its machine there
};
constexpr const char *entryTableSymbol = "transom_emulated_kernels";

} // namespace transom::emulator
