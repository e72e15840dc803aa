// Products of warpgroups, after the PTX ISA's chapter on wgmma. A warp's quarter is worked out by itself: it shares no sums with others.
#include "test/emulator/Cluster.h"
#include "test/emulator/Tensor.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>

namespace transom::emulator {

namespace {

/// A signalling NaN that no arithmetic gives.
constexpr uint32_t mark = 0x7fa5a5a5;

bool same(const Product &x, const Product &y) {
  auto fields = [](const Product &p) {
    return std::tuple(p.number, p.n, p.k, p.inShared, p.add, p.negateA, p.negateB, p.transposeA, p.transposeB, p.inShared ? p.a : 0, p.b);
  };
  return fields(x) == fields(y);
}

} // namespace

void HopperUnit::fenceProducts() {
  cluster_.syncWarp(~0u, [](WarpExchange &) { theCluster().hopper().products_[theCluster().self() / 32].fenced = true; });
}

void HopperUnit::takeProduct(WarpExchange &warp) {
  const Product *lanes[32];
  for (int lane = 0; lane < 32; ++lane)
    std::memcpy(&lanes[lane], warp.lanes[lane].in, sizeof lanes[lane]);
  theCluster().hopper().issue(lanes);
}

void HopperUnit::multiply(const Product &product) {
  const Product *own = &product;
  std::memcpy(cluster_.machine.ownLane()->in, &own, sizeof own);
  cluster_.syncWarp(~0u, takeProduct);
}

/// All warps of a warpgroup take the same ones, in the same order.
void HopperUnit::checkInstruction(const Product &product) {
  uint32_t warp = cluster_.self() / 32, warps = cluster_.stride() / 32, group = warp % warps / 4, first = warp / warps * warps + 4 * group;
  if (4 * group + 4 > cluster_.threadCount() / 32)
    cluster_.fail("wgmma by a warpgroup of fewer than 128 threads");
  Instructions &log = instructions_[first];
  uint64_t at = products_[warp].issued++ - log.first;
  if (at == log.issued.size())
    log.issued.push_back(product);
  else if (!same(log.issued[at], product))
    cluster_.fail("wgmma differs from that of another warp of the warpgroup");
  uint64_t slowest = products_[first].issued;
  for (uint32_t i = 1; i < 4; ++i)
    slowest = std::min(slowest, products_[first + i].issued);
  for (; log.first < slowest; ++log.first)
    log.issued.pop_front();
}

/// The product in flight that comes next on the same registers; null: none.
HopperUnit::Flight *HopperUnit::nextInFlight(uint32_t warp, const float *sums, const Flight *behind) {
  bool passed = behind == nullptr;
  Flight *found = nullptr;
  auto look = [&](const Flights &flights) {
    for (auto &flight : flights) {
      if (passed && !found && !flight->sums.empty() && flight->sums[0] == sums)
        found = flight.get();
      passed |= flight.get() == behind;
    }
  };
  for (const Flights &group : products_[warp].groups)
    look(group);
  look(products_[warp].open);
  return found;
}

/// Registers that anything else may have used since the last fence need another; sums of the products before do not.
void HopperUnit::checkFence(const Product *const (&lanes)[32]) {
  uint32_t index = cluster_.self() / 32, each = lanes[0]->n / 2;
  WarpProducts &warp = products_[index];
  if (warp.fenced || (lanes[0]->inShared && nextInFlight(index, lanes[0]->sums[0], nullptr)))
    return;
  auto found = warp.results.find(lanes[0]->sums[0]);
  bool kept = lanes[0]->inShared && found != warp.results.end() && found->second.size() == 32 * each;
  for (uint32_t lane = 0; kept && lane < 32; ++lane)
    for (uint32_t i = 0; kept && i < each; ++i)
      kept = std::bit_cast<uint32_t>(*lanes[lane]->sums[i]) == std::bit_cast<uint32_t>(found->second[lane * each + i]);
  if (!kept)
    cluster_.fail("wgmma on registers that may have been used since the last wgmma.fence");
}

void HopperUnit::issue(const Product *const (&lanes)[32]) {
  uint32_t index = cluster_.self() / 32, each = lanes[0]->n / 2;
  for (const Product *lane : lanes)
    if (!same(*lane, *lanes[0]))
      cluster_.fail("wgmma differs between the lanes of a warp");
  checkInstruction(*lanes[0]);
  checkFence(lanes);
  auto flight = std::make_unique<Flight>();
  flight->product = *lanes[0];
  flight->thread = cluster_.self();
  for (uint32_t lane = 0; lane < 32; ++lane) {
    flight->sums.insert(flight->sums.end(), lanes[lane]->sums, lanes[lane]->sums + each);
    std::memcpy(flight->registers[lane], lanes[lane]->registers, sizeof flight->registers[lane]);
  }
  bool owned = nextInFlight(index, flight->sums[0], nullptr);
  if (!owned || !lazy())
    for (float *sum : flight->sums)
      flight->before.push_back(*sum);
  if (!owned && lazy())
    for (float *sum : flight->sums)
      std::memcpy(sum, &mark, sizeof mark);
  Flights &open = products_[index].open;
  open.push_back(std::move(flight));
  if (!lazy())
    land(*open.back(), index);
}

/// Works it out. Its registers get the result, or, where a later product in flight has them, that one does.
void HopperUnit::land(Flight &flight, uint32_t index) {
  uint32_t each = flight.product.n / 2;
  if (lazy())
    for (uint32_t i = 0; i < flight.sums.size(); ++i)
      if (std::memcmp(flight.sums[i], &mark, sizeof mark) != 0)
        cluster_.failFor(index * 32 + i / each, "register {} of a product's sums was written before the product was waited for", i % each);
  Block &block = cluster_.ownBlockOf(flight.thread);
  uint32_t quarter = index % (cluster_.stride() / 32) % 4;
  const char *problem = multiplyWarp(flight.product, block.proxy, cluster_.sharedBytes(), quarter, flight.registers, flight.before.data());
  if (problem)
    cluster_.failFor(flight.thread, "wgmma: {}", problem);
  products_[index].results[flight.sums[0]] = flight.before;
  if (Flight *next = lazy() ? nextInFlight(index, flight.sums[0], &flight) : nullptr)
    next->before = std::move(flight.before);
  else
    for (uint32_t i = 0; i < flight.sums.size(); ++i)
      *flight.sums[i] = flight.before[i];
  flight.sums.clear();
}

void HopperUnit::commitProducts() {
  cluster_.syncWarp(~0u, [](WarpExchange &) {
    WarpProducts &warp = theCluster().hopper().products_[theCluster().self() / 32];
    warp.groups.push_back(std::move(warp.open));
    warp.open.clear();
  });
}

/// All but the `pending` youngest groups of a warp.
void HopperUnit::finishProducts(uint32_t index, uint32_t pending) {
  for (WarpProducts &warp = products_[index]; warp.groups.size() > pending; warp.groups.pop_front())
    if (lazy())
      for (auto &flight : warp.groups.front())
        land(*flight, index);
  products_[index].due = false;
}

void HopperUnit::beginWait(WarpExchange &warp) {
  HopperUnit &unit = theCluster().hopper();
  uint32_t index = theCluster().self() / 32, pending;
  std::memcpy(&pending, warp.lanes[0].in, sizeof pending);
  WarpProducts &own = unit.products_[index];
  if (own.groups.size() <= pending)
    return;
  own.fenced = false;
  own.due = unit.lazy();
  if (own.due)
    unit.due_.push_back({true, index, pending});
  else
    unit.finishProducts(index, pending);
}

void HopperUnit::waitProducts(uint32_t pending) {
  std::memcpy(cluster_.machine.ownLane()->in, &pending, sizeof pending);
  cluster_.syncWarp(~0u, beginWait);
  uint32_t index = cluster_.self() / 32;
  if (products_[index].due)
    cluster_.wait(Waits::products, index);
}

} // namespace transom::emulator
