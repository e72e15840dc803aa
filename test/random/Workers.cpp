// Many seeds: worker processes check them, so that a crash or a hang costs one seed; their results are summed here.
#include "test/random/Graphs.h"
#include "test/random/Perturbations.h"
#include "test/random/Run.h"

#include "compiler/Diagnostics.h"
#include "compiler/Pipeline.h"
#include "ir/Plan.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <poll.h>
#include <set>
#include <sys/wait.h>
#include <unistd.h>

using namespace mlir;
using nlohmann::json;

namespace transom::random {

namespace {

constexpr int secondsPerSeed = 300;
using Clock = std::chrono::steady_clock;

json checkSeed(const RunOptions &options, uint64_t seed) {
  Spec spec = makeSpec(seed);
  MLIRContext context(MLIRContext::Threading::DISABLED);
  context.loadDialect<arith::ArithDialect, func::FuncDialect, math::MathDialect, TransomDialect, plan::PlanDialect>();
  CheckResult result;
  {
    DiagnosticCollector diagnostics(&context);
    OwningOpRef<ModuleOp> module = makeGraph(context, spec);
    if (module)
      result = check(*module, seed, {isCompiled(options, seed), options.variant});
    else
      result.failures.push_back({"naive", "naive", diagnostics.status(StatusCode::internal, "no graph").message()});
  }
  json failures = json::array();
  for (const Failure &failure : result.failures)
    failures.push_back({failure.variant, failure.kind, failure.detail});
  return {{"seed", seed},
          {"perturbation", perturbations()[spec.perturbation].name},
          {"expected", perturbations()[spec.perturbation].pass},
          {"failures", failures},
          {"applied", result.counts.applied},
          {"rejected", result.counts.rejected},
          {"conditions", result.counts.conditions},
          {"interpreted", result.interpreted},
          {"compiled", result.compiled}};
}

struct Worker {
  pid_t pid = 0;
  int pipe = -1;
  uint64_t next = 0; ///< the seed it is at
  uint64_t stride = 1, end = 0;
  std::string text;
  Clock::time_point since;
};

void start(Worker &worker, const RunOptions &options) {
  int ends[2];
  if (pipe(ends) != 0)
    return;
  worker.since = Clock::now();
  worker.text.clear();
  worker.pid = fork();
  if (worker.pid == 0) {
    close(ends[0]);
    for (uint64_t seed = worker.next; seed < worker.end; seed += worker.stride) {
      std::string line = checkSeed(options, seed).dump(-1, ' ', true, json::error_handler_t::replace) + "\n";
      if (write(ends[1], line.data(), line.size()) < 0)
        break;
    }
    _exit(0);
  }
  close(ends[1]);
  worker.pipe = ends[0];
}

struct PassLine {
  int64_t graphs = 0, applied = 0, refusedGraphs = 0, refused = 0;
};

class Summary {
public:
  explicit Summary(const RunOptions &options) : options(options), begin(Clock::now()) {}

  void add(const json &line) {
    ++seeds;
    interpreted += line["interpreted"].get<int64_t>(), compiled += line["compiled"].get<int64_t>();
    for (auto &[pass, count] : line["applied"].items())
      ++passes[pass].graphs, passes[pass].applied += count.get<int64_t>();
    for (auto &[pass, count] : line["rejected"].items())
      ++passes[pass].refusedGraphs, passes[pass].refused += count.get<int64_t>();
    for (auto &[condition, count] : line["conditions"].items())
      conditions[condition] += count.get<int64_t>();
    auto &[graphs, refused] = obstacles[line["perturbation"].get<std::string>()];
    ++graphs;
    refused += line["rejected"].contains(line["expected"].get<std::string>());
    bool failed = false;
    for (const json &failure : line["failures"]) {
      Failure entry{failure[0], failure[1], failure[2]};
      if (entry.kind == "refused") {
        ++refusals[entry.detail];
        continue;
      }
      if (!failed)
        ++failedSeeds;
      failed = true;
      fail(line["seed"], line["perturbation"], entry);
    }
    if (seeds % 1000 == 0)
      std::fprintf(stderr, "%lld graphs, %lld failed, %.0f s\n", (long long)seeds, (long long)failedSeeds, elapsed());
  }

  void crashed(uint64_t seed, const std::string &how) {
    ++seeds, ++failedSeeds;
    fail(seed, perturbations()[makeSpec(seed).perturbation].name, {"", "crash", how});
  }

  int finish();

private:
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - begin).count(); }
  void fail(uint64_t seed, const std::string &perturbation, const Failure &failure) {
    std::printf("FAIL seed %llu (%s): %s: %s: %s\n", (unsigned long long)seed, perturbation.c_str(), failure.variant.c_str(),
                failure.kind.c_str(), failure.detail.c_str());
    std::fflush(stdout);
    if (!reduced.contains({failure.variant, failure.kind}) && int64_t(reduced.size()) < options.reduce) {
      reduced.insert({failure.variant, failure.kind});
      pid_t child = fork(); // a context of its own, and a crash of its own
      if (child == 0) {
        reduceSeed(options, seed, failure);
        std::fflush(stdout);
        _exit(0);
      }
      waitpid(child, nullptr, 0);
    }
  }

  const RunOptions &options;
  Clock::time_point begin;
  int64_t seeds = 0, failedSeeds = 0, interpreted = 0, compiled = 0;
  std::map<std::string, PassLine> passes;
  std::map<std::string, int64_t> conditions, refusals;
  std::map<std::string, std::pair<int64_t, int64_t>> obstacles;
  std::set<std::pair<std::string, std::string>> reduced;
};

int Summary::finish() {
  std::printf("\n%-24s %10s %12s %10s %12s\n", "pass", "graphs", "applications", "graphs", "refusals");
  json table = json::object();
  for (const PipelinePass &pass : pipelinePasses()) {
    PassLine line = passes[pass.name.str()];
    std::printf("%-24s %10lld %12lld %10lld %12lld\n", pass.name.str().c_str(), (long long)line.graphs, (long long)line.applied,
                (long long)line.refusedGraphs, (long long)line.refused);
    table[pass.name.str()] = {{"applied_graphs", line.graphs}, {"applied", line.applied}, {"refused_graphs", line.refusedGraphs}, {"refused", line.refused}};
  }
  std::printf("\n%-44s %8s %8s\n", "perturbation", "graphs", "refused");
  for (const Perturbation &perturbation : perturbations()) {
    auto [graphs, refused] = obstacles[perturbation.name];
    std::printf("%-44s %8lld %8lld  %s\n", perturbation.name, (long long)graphs, (long long)refused, perturbation.pass);
  }
  if (!refusals.empty())
    std::printf("\nnot compiled, by message:\n");
  for (auto &[message, count] : refusals)
    std::printf("%6lld  %s\n", (long long)count, message.c_str());
  std::printf("\n%lld forms interpreted, %lld compiled, %.0f s\n", (long long)interpreted, (long long)compiled, elapsed());
  std::printf("random: %lld passed, %lld failed\n", (long long)(seeds - failedSeeds), (long long)failedSeeds);
  if (!options.json.empty()) {
    json perturbed = json::object();
    for (auto &[name, counts] : obstacles)
      perturbed[name] = {{"graphs", counts.first}, {"refused", counts.second}};
    json all = {{"seeds", seeds}, {"failed", failedSeeds}, {"interpreted", interpreted}, {"compiled", compiled}, {"seconds", elapsed()},
                {"passes", table}, {"conditions", conditions}, {"perturbations", perturbed}, {"not_compiled", refusals}};
    std::ofstream(options.json) << all.dump(2) << "\n";
  }
  return failedSeeds || !seeds ? 1 : 0;
}

/// Takes complete lines out of the worker's text.
void takeLines(Worker &worker, Summary &summary) {
  size_t end;
  while ((end = worker.text.find('\n')) != std::string::npos) {
    summary.add(json::parse(worker.text.substr(0, end)));
    worker.text.erase(0, end + 1);
    worker.next += worker.stride;
    worker.since = Clock::now();
  }
}

/// The worker's pipe is at its end: it is done, or a seed has ended it.
void ended(Worker &worker, Summary &summary, const RunOptions &options) {
  int status = 0;
  waitpid(worker.pid, &status, 0);
  close(worker.pipe);
  worker.pipe = -1;
  if (worker.next >= worker.end)
    return;
  std::string how = WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL ? fmt::format("takes longer than {} s", secondsPerSeed)
                                                                      : fmt::format("signal {}", WTERMSIG(status))
                                        : "ended early";
  summary.crashed(worker.next, how);
  worker.next += worker.stride;
  if (worker.next < worker.end)
    start(worker, options);
}

} // namespace

int runMany(const RunOptions &options) {
  Summary summary(options);
  std::vector<Worker> workers(options.jobs);
  for (int64_t i = 0; i < options.jobs; ++i) {
    workers[i].next = options.first + uint64_t(i), workers[i].stride = uint64_t(options.jobs);
    workers[i].end = options.first + uint64_t(options.count);
    std::fflush(stdout);
    start(workers[i], options);
  }
  while (true) {
    std::vector<pollfd> files;
    std::vector<Worker *> running;
    for (Worker &worker : workers)
      if (worker.pipe >= 0)
        files.push_back({worker.pipe, POLLIN, 0}), running.push_back(&worker);
    if (files.empty())
      break;
    poll(files.data(), files.size(), 1000);
    for (size_t i = 0; i < files.size(); ++i) {
      Worker &worker = *running[i];
      if (files[i].revents == 0) {
        if (Clock::now() - worker.since > std::chrono::seconds(secondsPerSeed))
          kill(worker.pid, SIGKILL);
        continue;
      }
      char buffer[65536];
      ssize_t size = read(worker.pipe, buffer, sizeof buffer);
      if (size > 0) {
        worker.text.append(buffer, size_t(size));
        takeLines(worker, summary);
      } else {
        ended(worker, summary, options);
      }
    }
  }
  return summary.finish();
}

} // namespace transom::random
