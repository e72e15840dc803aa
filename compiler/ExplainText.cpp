// See ExplainPrint.h: the page for a terminal, and the sums that all forms show.
#include "compiler/ExplainNames.h"
#include "compiler/ExplainPrint.h"

#include <algorithm>

namespace transom {

std::vector<KernelTotal> kernelTotals(const Explanation::Program &program) {
  std::vector<KernelTotal> totals;
  for (const Explanation::Step &step : program.steps) {
    auto entry = std::find_if(totals.begin(), totals.end(), [&](const KernelTotal &total) { return total.kernel == step.kernel; });
    if (entry == totals.end())
      entry = totals.insert(totals.end(), {step.kernel, 0, {}, {}});
    ++entry->steps;
    for (auto [into, more] : {std::pair(&entry->atBounds, &step.atBounds), std::pair(&entry->typical, &step.typical)}) {
      into->bytes += more->bytes;
      into->operations += more->operations;
    }
  }
  return totals;
}

int64_t sessionBytes(const Explanation &explanation) {
  int64_t arena = 0, staging = 0, states = 0;
  for (const Explanation::Program &program : explanation.programs) {
    arena = std::max(arena, program.arenaBytes);
    staging += program.stagingBytes;
    states = std::max(states, program.stateBytes);
  }
  return arena + staging + states;
}

namespace {

std::string scaled(double value, double base, std::initializer_list<const char *> units) {
  auto unit = units.begin();
  for (; value >= base && unit + 1 != units.end(); ++unit)
    value /= base;
  return unit == units.begin() ? fmt::format("{:.0f} {}", value, *unit) : fmt::format("{:.1f} {}", value, *unit);
}

std::string bytesText(double bytes) { return scaled(bytes, 1024, {"B", "KiB", "MiB", "GiB", "TiB"}); }
std::string operationsText(double count) { return scaled(count, 1000, {"op", "kop", "Mop", "Gop", "Top"}); }

std::string counted(int64_t count, const char *what) { return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s"); }

/// "30 layers: layers.*.attention", or the one place there is; and how often.
std::string placeText(const Explanation::Finding &finding) {
  std::string often = finding.places == static_cast<int64_t>(finding.where.size()) ? "" : fmt::format(", {} times", finding.places);
  if (finding.where.size() == 1)
    return (finding.where.front().empty() ? "the model" : finding.where.front()) + often;
  return fmt::format("{} layers: {}{}", finding.where.size(), finding.layers, often);
}

std::string costText(const Explanation::Finding &finding) {
  if (!finding.bytes && !finding.launches)
    return "unknown";
  std::string text;
  if (finding.bytes)
    text = bytesText(static_cast<double>(*finding.bytes));
  if (finding.launches)
    text += (text.empty() ? "" : " and ") + counted(*finding.launches, "device operation");
  return text;
}

class Page {
public:
  explicit Page(const Explanation &e) : e(e) {}

  std::string write() {
    line("{} ({}), task {}: explained in {:.1f} s", e.model, e.architecture, e.task, e.seconds);
    std::string sizes;
    for (const Explanation::Size &size : e.sizes)
      sizes += fmt::format("{}{} {}..{} (typical {})", sizes.empty() ? "" : ", ", size.name, size.min, size.max, size.typical);
    line("sizes: {}", sizes.empty() ? "all fixed" : sizes);
    done();
    missed();
    programs();
    return text;
  }

private:
  template <typename... Args> void line(fmt::format_string<Args...> format, Args &&...args) {
    text += fmt::format(format, std::forward<Args>(args)...) + "\n";
  }

  void done() {
    line("\nwhat the passes did");
    for (const Explanation::Stage &stage : e.stages) {
      if (stage.name == "import")
        continue;
      int64_t rewrites = 0;
      for (const Explanation::Finding &finding : e.applied)
        rewrites += finding.pass == stage.name ? finding.places : 0;
      line("  {:<22} {}", stage.name, !stage.run ? "disabled" : rewrites ? counted(rewrites, "rewrite") : "");
      for (const Explanation::Finding &finding : e.applied)
        if (finding.pass == stage.name)
          line("    {}: {} ({})", finding.op, finding.text, placeText(finding));
    }
  }

  void missed() {
    line("\nwhat they left alone, the most expensive first");
    if (e.rejected.empty())
      line("  nothing");
    for (const Explanation::Finding &finding : e.rejected) {
      line("  {:<22} {} ({})", finding.pass, finding.op, placeText(finding));
      line("    {}", finding.text);
      line("    costs in each run at the bounds: {}", costText(finding));
    }
  }

  void programs() {
    line("\nmemory and device operations");
    int64_t weights = 0;
    for (const Explanation::Program &program : e.programs) {
      weights = std::max(weights, program.weightBytes);
      line("  {:<8} {}: {} kernel launches, {} library products; arena {}, inputs and outputs {}, caches {}", program.name,
           counted(program.launches + program.products, "device operation"), program.launches, program.products,
           bytesText(double(program.arenaBytes)), bytesText(double(program.stagingBytes)), bytesText(double(program.stateBytes)));
      for (const Explanation::LayerLoad &load : program.layers)
        line("    {:<24} {}{}{}", load.layers.empty() ? "outside of layers" : fmt::format("{} ({})", load.layers, load.count),
             load.fewest == load.most ? "" : fmt::format("{} to ", load.fewest), load.most, load.layers.empty() ? "" : " in each");
      std::vector<KernelTotal> totals = kernelTotals(program);
      std::stable_sort(totals.begin(), totals.end(), [](const KernelTotal &a, const KernelTotal &b) { return a.typical.bytes > b.typical.bytes; });
      line("    {:<44} {:>5} {:>23} {:>23}", "kernel", "steps", "at typical sizes", "at the bounds");
      constexpr size_t shown = 6;
      for (size_t i = 0; i < std::min(shown, totals.size()); ++i)
        line("    {:<44} {:>5} {:>11} {:>11} {:>11} {:>11}", totals[i].kernel, totals[i].steps,
             bytesText(totals[i].typical.bytes), operationsText(totals[i].typical.operations), bytesText(totals[i].atBounds.bytes),
             operationsText(totals[i].atBounds.operations));
      if (totals.size() > shown)
        line("    and {} more kernels", totals.size() - shown);
    }
    line("  weights {}, a session {} and each thread's scratch", bytesText(double(weights)), bytesText(double(sessionBytes(e))));
  }

  const Explanation &e;
  std::string text;
};

} // namespace

std::string explanationText(const Explanation &explanation) { return Page(explanation).write(); }

} // namespace transom
