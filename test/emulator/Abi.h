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

/// Numbers that tensor cores take.
enum class Number : uint8_t { half, bfloat, e4m3 };

/// One lane's wgmma.mma_async of [64, k] and [k, n].
struct Product {
  Number number;
  uint32_t n, k;
  float *const *sums;    ///< n / 2 registers
  bool inShared;         ///< `a` is a descriptor; otherwise `registers` are the lane's part
  bool add, negateA, negateB, transposeA, transposeB;
  uint64_t a, b;         ///< descriptors
  uint32_t registers[4];
};

/// What sm_90 has beyond sm_80. Addresses are of shared memory: of the thread's own block, or with a block's rank (atRank).
class Hopper {
public:
  virtual ~Hopper() = default;

  // Clusters. The first thread of a launch that says how large they are starts the other blocks.
  virtual void formCluster(uint32_t blocks) = 0;
  virtual uint32_t atRank(uint32_t address, uint32_t rank) = 0;
  virtual void arriveCluster() = 0;
  virtual void waitCluster() = 0;

  /// bar.sync and bar.arrive.
  virtual void syncNamed(uint32_t id, uint32_t threads) = 0;
  virtual void arriveNamed(uint32_t id, uint32_t threads) = 0;
  virtual void setRegisters(uint32_t count, bool more) = 0;

  // mbarrier objects, which lie in shared memory as they do on the device.
  virtual void initBarrier(uint32_t barrier, uint32_t arrivals) = 0;
  virtual void endBarrier(uint32_t barrier) = 0;
  /// First `bytes` more are expected, then `arrivals` arrive.
  virtual void arrive(uint32_t barrier, uint32_t arrivals, uint32_t bytes) = 0;
  /// So many of the bytes that are expected are there.
  virtual void complete(uint32_t barrier, uint32_t bytes) = 0;
  /// Returns when the phase of this parity is over.
  virtual void waitBarrier(uint32_t barrier, uint32_t parity) = 0;

  /// Shows wgmma and TMA what ordinary stores have written.
  virtual void fenceProxy() = 0;
  /// Boxes of tensors (TensorMap.h), as many places as the map has dimensions. ranks: bits of the cluster's blocks that get it, each at the
  /// same place and with its own barrier; 0: where `to` lies.
  virtual void checkMap(const void *map) = 0;
  virtual void loadBox(uint32_t to, const void *map, const int *place, uint32_t rank, uint32_t barrier, uint32_t ranks) = 0;
  /// Neighbouring bytes to `to`.
  virtual void loadBytes(uint32_t to, const void *from, uint32_t bytes, uint32_t barrier) = 0;
  virtual void storeBox(const void *map, const int *place, uint32_t rank, uint32_t from) = 0;
  virtual void commitStores() = 0;
  virtual void waitStores(uint32_t pending) = 0;

  virtual void fenceProducts() = 0;
  virtual void multiply(const Product &product) = 0;
  virtual void commitProducts() = 0;
  virtual void waitProducts(uint32_t pending) = 0;
};

/// One per process: kernels run one block, or one cluster of blocks, at a time, each CUDA thread as a fiber.
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
  // ldmatrix x4: `in` an address, `out` four words; stmatrix x4: `in` an address, then four words.
  WarpFunction mmaHalf, mmaBFloat, mmaE4m3, loadMatrices, loadMatricesTransposed, storeMatrices;
  Hopper *hopper;
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
  static constexpr uint32_t currentVersion = 3;
  uint32_t version, count;
  uint32_t architecture; ///< __CUDA_ARCH__
  const Entry *entries;
  Machine **machine; ///< the emulator puts its machine there
};
constexpr const char *entryTableSymbol = "transom_emulated_kernels";

} // namespace transom::emulator
