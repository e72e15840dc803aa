// transom tune: finds the fastest algorithms of cuBLASLt for an artifact's products on this GPU, and puts them into a copy. Kernels of
// the artifact itself are not measured.
#include "tools/transom/Commands.h"
#include "tools/transom/Common.h"
#include "tools/transom/GemmTuning.h"
#include "tools/transom/TuneTable.h"

#include "runtime/format/ArtifactCopy.h"
#include "runtime/support/File.h"

#include <algorithm>
#include <set>

namespace transom::cli {

namespace {

struct TuneFlags {
  std::string path, output, table, apply, device = "cuda:0";
  std::vector<int64_t> rows;
  int64_t repeat = 10;
};

Status writeTuned(const TuneFlags &flags, const Artifact &artifact, artifact::Contents contents, std::span<const TunedProduct> products) {
  Applied applied = setAlgorithms(products, contents);
  TRANSOM_RETURN_IF_ERROR(artifact::copyWith(artifact, std::move(contents), flags.output));
  fmt::print("{}: {} of {} product steps have an algorithm from tuning\n", flags.output, applied.set, applied.steps);
  return {};
}

/// Those asked for that a product of at most `m` rows can have; all its rows where there are none.
std::vector<int64_t> rowsFor(const std::vector<int64_t> &wanted, int64_t m) {
  std::set<int64_t> rows;
  for (int64_t number : wanted)
    if (number <= m)
      rows.insert(number);
  if (rows.empty())
    rows.insert(m);
  return {rows.begin(), rows.end()};
}

void printProduct(const GemmSpec &spec, const TunedGemm &tuned) {
  for (const TunedRows &rows : tuned.rows) {
    double flops = 2 * double(rows.rows) * double(spec.n) * double(spec.k);
    fmt::print("{:>7} {:>7} {:>7}  {:<5} {:<9} {:>10} {:>12.2f} {:>9.2f} {:>6.1f}% {:>9.1f}\n", rows.rows, spec.n, spec.k, name(spec.type),
               fmt::format("{}{}", name(spec.out), spec.residual ? "+res" : spec.bias ? "+bias" : ""), rows.candidates, rows.heuristic * 1e6,
               rows.chosen * 1e6, (rows.heuristic / rows.chosen - 1) * 100, flops / rows.chosen * 1e-12);
  }
}

Status tune(const TuneFlags &flags) {
  TRANSOM_ASSIGN(Artifact artifact, Artifact::open(flags.path));
  if (!flags.apply.empty()) {
    TRANSOM_ASSIGN(std::string text, readTextFile(flags.apply, size_t(64) << 20));
    TRANSOM_ASSIGN(std::vector<TunedProduct> products, parseTable(text, flags.apply));
    return writeTuned(flags, artifact, artifact.contents(), products);
  }
  TRANSOM_ASSIGN(DeviceChoice device, DeviceChoice::parse(flags.device));
  if (device.kind == DeviceChoice::Kind::cpu)
    return error(StatusCode::invalidArgument, "--device: expected cuda or cuda:N, found {}", flags.device);
  std::vector<GemmSpec> specs = productsOf(artifact.contents());
  if (specs.empty())
    return error(StatusCode::unsupported, "{}: expected products by cuBLASLt in its programs for CUDA, found none", flags.path);
  TRANSOM_ASSIGN(GemmTuner tuner, GemmTuner::create(device.ordinal));
  std::string deviceName = tuner.device().info().name;
  std::replace_if(deviceName.begin(), deviceName.end(), [](char c) { return c == '|' || static_cast<unsigned char>(c) < 0x20; }, '_');
  fmt::print("{}, cuBLASLt {}; medians of {}\n", deviceName, tuner.version(), flags.repeat);
  fmt::print("{:>7} {:>7} {:>7}  {:<5} {:<9} {:>10} {:>12} {:>9} {:>7} {:>9}\n", "rows", "n", "k", "type", "out", "candidates", "heuristic us",
             "best us", "gain", "TFLOP/s");
  std::vector<TunedProduct> products;
  for (const GemmSpec &spec : specs) {
    std::vector<int64_t> rows = rowsFor(flags.rows, spec.m);
    TRANSOM_ASSIGN(TunedGemm tuned, tuner.tune(spec, rows, flags.repeat));
    printProduct(spec, tuned);
    if (tuned.algorithm)
      products.push_back({deviceName, tuner.version(), spec, rows, *tuned.algorithm});
  }
  fmt::print("{} of {} products gain from an algorithm of their own\n", products.size(), specs.size());
  if (!flags.table.empty())
    TRANSOM_RETURN_IF_ERROR(writeText(flags.table, formatTable(products)));
  if (flags.output.empty())
    return {};
  artifact::Contents contents = artifact.contents();
  for (artifact::Program &program : contents.programs)
    for (artifact::Step &step : program.steps)
      if (auto *gemm = std::get_if<artifact::CudaGemm>(&step.kind))
        gemm->algorithm.clear(); // of an earlier tuning
  return writeTuned(flags, artifact, std::move(contents), products);
}

} // namespace

void addTune(CLI::App &app, Action &action) {
  auto flags = std::make_shared<TuneFlags>();
  CLI::App *command = app.add_subcommand("tune", "find the fastest algorithms of cuBLASLt for an artifact's products on a GPU");
  command->footer("An algorithm serves its product at every number of rows: give with --rows those that matter. Products where the library's\n"
                  "own choice is as good, within 2%, stay with it. Another GPU or library may refuse an algorithm, and chooses by itself\n"
                  "then. Kernels of the artifact itself, those with several forms too, are not measured.");
  command->add_option("artifact", flags->path, "a file that transom compile wrote")->required();
  CLI::Option *output = command->add_option("-o,--output", flags->output, "the artifact with the algorithms found");
  CLI::Option *apply = command->add_option("--apply", flags->apply, "take them from this table instead; needs no GPU")->needs(output);
  command->add_option("--table", flags->table, "write them as text, a line for each product")->excludes(apply);
  command->add_option("--device", flags->device, "which GPU: cuda or cuda:1")->capture_default_str()->excludes(apply);
  command->add_option("--rows", flags->rows, "numbers of rows to measure, separated by commas; without it the most that each product has")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->excludes(apply);
  command->add_option("--repeat", flags->repeat, "rounds that count")->capture_default_str()->check(CLI::Range(int64_t(1), int64_t(100000)))->excludes(apply);
  command->callback([flags, &action] { action = [flags] { return tune(*flags); }; });
}

} // namespace transom::cli
