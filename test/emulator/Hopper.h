// What sm_90 adds to the machine: barriers in shared memory, named ones and a cluster's, registers that warps hand over, boxes copied
// by TMA, products of warpgroups. For the emulator's own files.
//
// Asynchronous work is done at once, or, with Timing::lazy, when no thread can go on without it: first copies that some thread waits for,
// the youngest first; then products that are waited for; then other copies, or, with Order::reverse, those before the products.
#pragma once

#include "test/emulator/Abi.h"
#include "test/emulator/TensorMap.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace transom::emulator {

class Cluster;

/// What a thread waits for; with it goes a number: of a named barrier, of a barrier in shared memory and a parity.
enum class Waits : uint8_t { no, blockBarrier, warp, clusterBarrier, namedBarrier, memoryBarrier, registers, products, stores, ended };

/// What the 64 opaque bits of an mbarrier hold here. Memory that nothing was written to (0xff...) is none.
struct MemoryBarrier {
  uint32_t pending, expected; ///< arrivals
  uint32_t parity;            ///< of the phase under way
  int64_t bytes;              ///< expected and not yet there; negative: there and not yet expected
  bool valid;

  static MemoryBarrier read(const char *from) {
    uint64_t bits;
    std::memcpy(&bits, from, sizeof bits);
    auto part = [&](int shift, int width) { return static_cast<uint32_t>(bits >> shift & ((uint64_t(1) << width) - 1)); };
    MemoryBarrier b{part(0, 20), part(20, 20), part(40, 1), int64_t(part(41, 22)) - (1 << 21), part(63, 1) == 0};
    b.valid = b.valid && b.expected != 0 && b.pending <= b.expected;
    return b;
  }
  void write(char *to) const {
    uint64_t bits = uint64_t(pending) | uint64_t(expected) << 20 | uint64_t(parity) << 40 | static_cast<uint64_t>(bytes + (1 << 21)) << 41;
    std::memcpy(to, &bits, sizeof bits);
  }
};

class HopperUnit final : public Hopper {
public:
  explicit HopperUnit(Cluster &cluster) : cluster_(cluster) {}

  /// Before the first block of a cluster, and before each of its blocks.
  void begin();
  void beginBlock(uint32_t block);
  /// The thread that runs ends.
  void endThread();
  /// Does some of the work that waits; false: there is none.
  bool performOne();
  /// What is wrong when all threads have ended; empty: nothing.
  std::string problemAtEnd() const;
  std::string describe(Waits why, uint64_t what) const;

  void formCluster(uint32_t blocks) override;
  uint32_t atRank(uint32_t address, uint32_t rank) override;
  void arriveCluster() override;
  void waitCluster() override;
  void syncNamed(uint32_t id, uint32_t threads) override;
  void arriveNamed(uint32_t id, uint32_t threads) override;
  void setRegisters(uint32_t count, bool more) override;
  void initBarrier(uint32_t barrier, uint32_t arrivals) override;
  void endBarrier(uint32_t barrier) override;
  void arrive(uint32_t barrier, uint32_t arrivals, uint32_t bytes) override;
  void complete(uint32_t barrier, uint32_t bytes) override;
  void waitBarrier(uint32_t barrier, uint32_t parity) override;
  void fenceProxy() override;
  void checkMap(const void *map) override;
  void loadBox(uint32_t to, const void *map, const int *place, uint32_t rank, uint32_t barrier, uint32_t ranks) override;
  void loadBytes(uint32_t to, const void *from, uint32_t bytes, uint32_t barrier) override;
  void storeBox(const void *map, const int *place, uint32_t rank, uint32_t from) override;
  void commitStores() override;
  void waitStores(uint32_t pending) override;
  void fenceProducts() override;
  void multiply(const Product &product) override;
  void commitProducts() override;
  void waitProducts(uint32_t pending) override;

private:
  Cluster &cluster_;
  bool lazy() const;

  //===-- Barriers --------------------------------------------------------------------------------------------------===//
  /// A place in shared memory with its block's place in the cluster: unique, and no address.
  using Key = uint32_t;
  std::set<Key> barriers_;
  uint32_t clusterPhase_ = 0, atCluster_ = 0;
  static constexpr uint32_t arrivedNot = ~0u;
  std::vector<uint32_t> clusterArrival_; ///< by thread: the phase in which it arrived and has not yet waited
  struct Registers {
    uint32_t has = 0, wants = 0; ///< of each thread
  };
  std::vector<Registers> registers_; ///< by warp
  static Key keyOf(uint32_t block, uint32_t offset) { return block << 24 | offset; }
  Key barrierAt(uint32_t address);
  void change(Key key, uint32_t thread, uint32_t arrivals, int64_t bytes);
  void completeCluster();
  bool arriveAtNamed(uint32_t id, uint32_t threads);
  void handRegisters();
  void changeRegisters(uint32_t warp, uint32_t count, bool more);

  //===-- Boxes -----------------------------------------------------------------------------------------------------===//
  struct Copy {
    TensorMap map;
    std::array<int, TensorMap::maxRank> place;
    uint32_t block, offset; ///< in shared memory
    Key barrier;            ///< of loads
    bool store;
    uint32_t thread;
  };
  void load(Copy copy, uint32_t barrier);
  std::vector<Copy> loads_; ///< not yet done
  struct Stores {
    std::vector<Copy> open;
    std::deque<std::vector<Copy>> groups;
  };
  std::map<uint32_t, Stores> stores_; ///< by thread
  Copy copyOf(uint32_t address, const void *map, const int *place, uint32_t rank);
  void perform(const Copy &copy);
  void finishStores(uint32_t thread, uint32_t pending);

  //===-- Products --------------------------------------------------------------------------------------------------===//
  /// A warp's part of a product in flight. In its registers stands a mark that nobody may change; what they held is in `before`.
  struct Flight {
    Product product;
    std::vector<float *> sums; ///< [32, n / 2]; empty: it is done
    std::vector<float> before; ///< empty: an earlier product in flight has the same registers
    uint32_t registers[32][4];
    uint32_t thread;
  };
  using Flights = std::vector<std::unique_ptr<Flight>>;
  struct WarpProducts {
    bool fenced = false, due = false;
    Flights open;
    std::deque<Flights> groups;
    std::map<float *, std::vector<float>> results; ///< by the first lane's first register: what the last product left
    uint64_t issued = 0;
  };
  std::deque<WarpProducts> products_; ///< by warp
  /// The instructions of a warpgroup's warps, which must be the same, from the `first` that not all have come to.
  struct Instructions {
    std::deque<Product> issued;
    uint64_t first = 0;
  };
  std::vector<Instructions> instructions_; ///< by the first warp of the warpgroup
  static void takeProduct(WarpExchange &warp);
  void issue(const Product *const (&lanes)[32]);
  void checkInstruction(const Product &product);
  void checkFence(const Product *const (&lanes)[32]);
  Flight *nextInFlight(uint32_t warp, const float *sums, const Flight *behind);
  static void beginWait(WarpExchange &warp);
  void land(Flight &flight, uint32_t warp);
  void finishProducts(uint32_t warp, uint32_t pending);

  /// Waits for work of their own: warps for products, threads for stores.
  struct Due {
    bool products;
    uint32_t who, pending;
  };
  std::deque<Due> due_;
};

} // namespace transom::emulator
