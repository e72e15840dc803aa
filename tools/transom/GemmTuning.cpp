// See GemmTuning.h. Candidates take turns, so that a GPU that grows warm slows all of them. Each is launched many times in a graph: events
// around one short kernel would time the host.
#include "tools/transom/GemmTuning.h"

#include "tools/transom/Common.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace transom::cli {

using namespace cuda;

namespace {

constexpr uint64_t mostCopies = 64, alignment = 256;
constexpr double least = 0.98; ///< of the library's time, to be worth an algorithm that serves all rows

/// Bits of a number between 1/2 and 1, of either sign: sums neither overflow nor vanish, and toggle as real data does.
void fillNumbers(DType type, std::span<std::byte> bytes) {
  uint64_t state = 0x9e3779b97f4a7c15ull;
  auto next = [&] { // xorshift64
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<uint32_t>(state >> 32);
  };
  for (size_t at = 0; at + 4 <= bytes.size(); at += 4) {
    uint32_t bits = next();
    bits = type == DType::f16 ? (bits & 0x83ff83ff) | 0x38003800 : type == DType::bf16 ? (bits & 0x807f807f) | 0x3f003f00 : (bits & 0x807fffff) | 0x3f000000;
    std::memcpy(bytes.data() + at, &bits, sizeof bits);
  }
}

uint64_t padded(uint64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

/// Enough launches for about 0.3 ms, by what a large GPU does at best.
uint64_t launchesFor(const GemmSpec &spec) {
  double m = double(spec.m), n = double(spec.n), k = double(spec.k);
  double seconds = std::max(2 * m * n * k / 1e15, (m * k + n * k + m * n) * layoutOf(spec.type).bytes / 4e12);
  return static_cast<uint64_t>(std::clamp(3e-4 / seconds, 4.0, double(mostCopies)));
}

} // namespace

std::optional<size_t> bestCandidate(std::span<const std::vector<double>> seconds, std::span<const double> heuristic) {
  std::optional<size_t> best;
  double bestShare = least;
  for (size_t candidate = 0; !seconds.empty() && candidate < seconds[0].size(); ++candidate) {
    double logarithms = 0;
    for (size_t i = 0; i < seconds.size(); ++i)
      logarithms += std::log(seconds[i][candidate] / heuristic[i]);
    if (double share = std::exp(logarithms / double(seconds.size())); share < bestShare) {
      bestShare = share;
      best = candidate;
    }
  }
  return best;
}

Result<GemmTuner> GemmTuner::create(int ordinal) {
  GemmTuner tuner;
  TRANSOM_ASSIGN(tuner.device_, CudaDevice::open(ordinal));
  TRANSOM_ASSIGN(tuner.library_, CublasLtHandle::create(tuner.device_));
  TRANSOM_ASSIGN(tuner.stream_, CudaStream::create(tuner.device_));
  TRANSOM_ASSIGN(tuner.start_, CudaEvent::create(tuner.device_, EventUse::timing));
  TRANSOM_ASSIGN(tuner.end_, CudaEvent::create(tuner.device_, EventUse::timing));
  return tuner;
}

GemmOperands GemmTuner::Operands::at(uint64_t launch) const {
  return {.lhs = lhs.pointer(), .rhs = rhs.pointer() + launch % copies * rhsBytes, .out = out.pointer(), .bias = bias.pointer(),
          .residual = residual.pointer(), .workspace = workspace.pointer()};
}

Result<DeviceMemory> GemmTuner::numbers(DType type, uint64_t bytes) {
  TRANSOM_ASSIGN(DeviceMemory memory, DeviceMemory::allocate(device_, bytes, "measuring a product", Fill::nothing));
  TRANSOM_ASSIGN(PinnedMemory block, PinnedMemory::allocate(device_, std::min(bytes, uint64_t(4) << 20), "measuring a product"));
  fillNumbers(type, {block.data(), block.bytes()});
  for (uint64_t at = 0; at < bytes; at += block.bytes())
    TRANSOM_RETURN_IF_ERROR(check(device_->driver().cuMemcpyHtoDAsync(memory.pointer() + at, block.data(), std::min(block.bytes(), bytes - at), stream_.get())));
  TRANSOM_RETURN_IF_ERROR(stream_.synchronize());
  return memory;
}

Result<GemmTuner::Operands> GemmTuner::allocate(const GemmSpec &spec) {
  auto bytes = [](DType type, int64_t rows, int64_t columns) { return bytesFor(type, std::array{rows, columns}); };
  CheckedSize lhs = bytes(spec.type, spec.m, spec.k), rhs = bytes(spec.type, spec.n, spec.k), out = bytes(spec.out, spec.m, spec.n);
  constexpr uint64_t most = uint64_t(1) << 48; // more than any GPU has
  if (!lhs.fits(most) || !rhs.fits(most) || !out.fits(most))
    return error(StatusCode::outOfMemory, "a product of {} x {} x {} is more than a GPU holds", spec.m, spec.n, spec.k);
  Operands operands;
  operands.rhsBytes = padded(rhs.value());
  operands.copies = std::clamp<uint64_t>(2 * device_->info().l2Bytes / operands.rhsBytes + 1, 1, mostCopies);
  TRANSOM_ASSIGN(operands.lhs, numbers(spec.type, padded(lhs.value())));
  TRANSOM_ASSIGN(operands.rhs, numbers(spec.type, operands.rhsBytes * operands.copies));
  TRANSOM_ASSIGN(operands.out, numbers(spec.out, padded(out.value())));
  if (spec.bias) {
    TRANSOM_ASSIGN(operands.bias, numbers(spec.out, padded(bytes(spec.out, 1, spec.n).value())));
  }
  if (spec.residual) {
    TRANSOM_ASSIGN(operands.residual, numbers(spec.out, padded(out.value())));
  }
  if (spec.workspace > 0) {
    TRANSOM_ASSIGN(operands.workspace, DeviceMemory::allocate(device_, spec.workspace, "measuring a product", Fill::nothing));
  }
  return operands;
}

Result<CudaGraph> GemmTuner::capture(GemmPlan &plan, const Operands &operands, uint64_t launches) {
  const Driver &driver = device_->driver();
  TRANSOM_RETURN_IF_ERROR(check(driver.cuStreamBeginCapture(stream_.get(), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)));
  Status status;
  for (uint64_t i = 0; i < launches && status.ok(); ++i)
    status = plan.run(stream_.get(), operands.at(i));
  CUgraph graph = nullptr;
  Status ended = check(driver.cuStreamEndCapture(stream_.get(), &graph));
  status = status.ok() ? ended : status;
  CUgraphExec executable = nullptr;
  if (status.ok())
    status = check(driver.cuGraphInstantiateWithFlags(&executable, graph, 0));
  if (graph)
    driver.cuGraphDestroy(graph);
  TRANSOM_RETURN_IF_ERROR(status);
  return CudaGraph(device_, executable);
}

Result<std::vector<double>> GemmTuner::measure(std::span<GemmPlan> plans, const Operands &operands, int64_t repeat) {
  const Driver &driver = device_->driver();
  uint64_t launches = std::max(launchesFor(plans.front().spec()), operands.copies);
  std::vector<CudaGraph> graphs;
  for (GemmPlan &plan : plans) {
    TRANSOM_RETURN_IF_ERROR(plan.run(stream_.get(), operands.at(0))); // loads its kernel, which a capture cannot
    TRANSOM_ASSIGN(CudaGraph graph, capture(plan, operands, launches));
    graphs.push_back(std::move(graph));
  }
  std::vector<std::vector<double>> times(plans.size());
  for (int64_t round = -1; round < repeat; ++round)
    for (size_t i = 0; i < plans.size(); ++i) {
      float milliseconds = 0;
      TRANSOM_RETURN_IF_ERROR(check(driver.cuEventRecord(start_.get(), stream_.get())));
      TRANSOM_RETURN_IF_ERROR(check(driver.cuGraphLaunch(graphs[i].get(), stream_.get())));
      TRANSOM_RETURN_IF_ERROR(check(driver.cuEventRecord(end_.get(), stream_.get())));
      TRANSOM_RETURN_IF_ERROR(check(driver.cuEventSynchronize(end_.get())));
      TRANSOM_RETURN_IF_ERROR(check(driver.cuEventElapsedTime(&milliseconds, start_.get(), end_.get())));
      if (round >= 0) // the first is to warm up
        times[i].push_back(std::max(double(milliseconds) * 1e-3 / double(launches), 1e-9));
    }
  std::vector<double> medians;
  for (std::vector<double> &of : times)
    medians.push_back(median(std::move(of)));
  return medians;
}

Result<TunedGemm> GemmTuner::tune(const GemmSpec &spec, std::span<const int64_t> rows, int64_t repeat) {
  TRANSOM_RETURN_IF_ERROR(device_->makeCurrent());
  GemmSpec largest = spec;
  largest.m = *std::max_element(rows.begin(), rows.end());
  TRANSOM_ASSIGN(Operands operands, allocate(largest));
  auto specFor = [&](int64_t m) {
    GemmSpec at = spec;
    at.m = m;
    return at;
  };
  std::vector<GemmAlgorithm> algorithms; // of all rows
  for (int64_t m : rows) {
    TRANSOM_ASSIGN(GemmPlan plan, GemmPlan::create(library_, specFor(m)));
    TRANSOM_ASSIGN(std::vector<GemmCandidate> candidates, plan.candidates(mostCandidates));
    for (const GemmCandidate &candidate : candidates)
      if (std::find(algorithms.begin(), algorithms.end(), candidate.algorithm) == algorithms.end())
        algorithms.push_back(candidate.algorithm);
  }
  TunedGemm tuned;
  std::vector<std::vector<double>> seconds;
  std::vector<double> heuristic;
  for (int64_t m : rows) {
    std::vector<GemmPlan> plans; // the library's choice, then those that it takes
    std::vector<size_t> which;
    TRANSOM_ASSIGN(GemmPlan own, GemmPlan::create(library_, specFor(m)));
    plans.push_back(std::move(own));
    for (size_t i = 0; i < algorithms.size(); ++i) {
      TRANSOM_ASSIGN(GemmPlan plan, GemmPlan::create(library_, specFor(m), algorithms[i]));
      if (!plan.usesGivenAlgorithm())
        continue;
      plans.push_back(std::move(plan));
      which.push_back(i);
    }
    TRANSOM_ASSIGN(std::vector<double> times, measure(plans, operands, repeat));
    std::vector<double> &ofAll = seconds.emplace_back(algorithms.size(), std::numeric_limits<double>::infinity());
    for (size_t i = 0; i < which.size(); ++i)
      ofAll[which[i]] = times[i + 1];
    heuristic.push_back(times[0]);
    tuned.rows.push_back({.rows = m, .candidates = which.size(), .heuristic = times[0], .chosen = times[0]});
  }
  if (std::optional<size_t> best = bestCandidate(seconds, heuristic)) {
    tuned.algorithm = algorithms[*best];
    for (size_t i = 0; i < rows.size(); ++i)
      tuned.rows[i].chosen = seconds[i][*best];
  }
  return tuned;
}

} // namespace transom::cli
