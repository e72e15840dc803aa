// transom compile: a model to an artifact.
#include "tools/transom/Commands.h"
#include "tools/transom/Common.h"

#ifdef TRANSOM_HAS_COMPILER
#include "compiler/Compile.h"
#include "tools/transom/Calibrate.h"

namespace transom::cli {

namespace {

struct CompileFlags {
  std::string input, output, calibrate;
  CompilerOptions options;
  bool quiet = false;
};

void printForfeits(const std::vector<std::string> &forfeits) {
  fmt::print("  batch-invariant, which costs{}\n", forfeits.empty() ? " nothing here" : ", in all programs together:");
  for (const std::string &line : forfeits)
    fmt::print("    {}\n", line);
  if (!forfeits.empty())
    fmt::print("    in time: transom bench of this artifact and of one without --batch-invariant\n");
}

void printReport(const CompileReport &report, const artifact::Contents &written, const CompileFlags &flags) {
  double seconds = 0;
  for (const CompileReport::Stage &stage : report.stages)
    seconds += stage.seconds;
  fmt::print("{} ({}) for {}{}: {} in {:.1f} s -> {}\n", report.model, report.architecture, report.target,
             report.dtype.empty() ? "" : " in " + report.dtype, humanBytes(report.fileBytes), seconds, flags.output);
  for (const CompileReport::Program &program : report.programs)
    fmt::print("  {:<8} {} kernels, {} launches, {} library products; arena {}, inputs and outputs {}\n",
               program.device == "cuda" ? program.name + " on GPUs" : program.name, program.kernels,
               program.launches, program.products, humanBytes(program.arenaBytes), humanBytes(program.stagingBytes));
  if (!report.buckets.empty())
    fmt::print("  graphs for {} numbers of tokens up to {}: of what is computed {:.1f}% is expected to be no text's, {:.1f}% without --lengths\n", report.buckets.size(),
               report.buckets.back(), 100 * report.waste, 100 * report.plainWaste);
  if (flags.options.batchInvariant)
    printForfeits(report.forfeits);
  if (report.quantised > 0) {
    auto measured = std::ranges::find_if(written.metadata, [](const artifact::Metadata &entry) { return entry.key == "quantised_error"; });
    fmt::print("  fp8: {} products; {}\n", report.quantised,
               measured == written.metadata.end() ? "scales are found as it runs, what they change was not measured: see --calibrate" : measured->value);
  }
  if (written.runsOn(artifact::Device::cpu)) {
    MemoryPlan plan = memoryPlanOf(written, artifact::Device::cpu, 1);
    fmt::print("  memory: weights {}, a session {} (caches {}) and {} for each thread\n", humanBytes(plan.weights),
               humanBytes(plan.arena + plan.staging + plan.states), humanBytes(plan.states), humanBytes(plan.scratch));
  }
  if (written.runsOn(artifact::Device::cuda)) {
    MemoryPlan plan = memoryPlanOf(written, artifact::Device::cuda, 1);
    fmt::print("  memory of a GPU: weights {}, a session {} (caches {})\n", humanBytes(plan.weights),
               humanBytes(plan.arena + plan.staging + plan.states + plan.scratch), humanBytes(plan.states));
  }
}

Status compile(const CompileFlags &flags) {
  if (!flags.calibrate.empty() && flags.options.quantise == "none")
    return error(StatusCode::invalidArgument, "--calibrate: expected --quantise=fp8 beside it, found none");
  ProgressLine line(flags.quiet);
  auto show = [&](const std::string &stage, double share) { line.show(stage, share); };
  auto report = flags.calibrate.empty() ? compileModel(flags.input, flags.output, flags.options, show)
                                        : compileCalibrated(flags.input, flags.output, flags.options, flags.calibrate, show);
  line.clear();
  if (!report.ok())
    return report.status();
  if (flags.quiet)
    return {};
  TRANSOM_ASSIGN(Artifact written, Artifact::open(flags.output));
  printReport(*report, written.contents(), flags);
  return {};
}

} // namespace

void addSizeOptions(CLI::App &command, CompilerOptions &options) {
  command.add_option("--max-batch", options.maxBatch, "most rows at once; without it 1 for decoders and 16 for encoders")->check(CLI::PositiveNumber);
  command.add_option("--max-seq", options.maxSeq, "most new tokens of a row at once")->check(CLI::PositiveNumber);
  command.add_option("--max-context", options.maxContext, "most tokens of a row, past ones included")->check(CLI::PositiveNumber);
}

void addPassOptions(CLI::App &command, CompilerOptions &options) {
  command.add_option("--quantise", options.quantise, "fp8: products of an encoder's layers have operands of 8 bits (e4m3), on GPUs by sm_89 and sm_90a; or none")
      ->capture_default_str()
      ->check(CLI::IsMember({"none", "fp8"}));
  command.add_option("--disable", options.disabled, "a pass to leave out; may be given again")->allow_extra_args(false);
  command.add_option_function<int>("-O", [&options](const int &level) { options.disableAll = level == 0; },
                                   "0: leave out every pass that can be left out; 1, the default: all passes")
      ->check(CLI::Range(0, 1));
  command.add_flag_callback(
      "--list-passes",
      [] {
        for (const PassName &pass : passNames())
          fmt::print("{}{}\n", pass.name, pass.switchable ? "" : " (always)");
        throw CLI::Success();
      },
      "print the passes in the order they run, and exit");
}

void addCompile(CLI::App &app, Action &action) {
  auto flags = std::make_shared<CompileFlags>();
  CLI::App *command = app.add_subcommand("compile", "compile a model into one file that the other commands run");
  command->footer("The bounds are the largest sizes the artifact will take; memory follows from them and is printed.");
  command->add_option("model", flags->input, "a Hugging Face folder, a .gguf file, or an .mlir file in the transom dialect")->required();
  command->add_option("-o,--output", flags->output, "the artifact to write")->required();
  command->add_option("--cpu", flags->options.cpu, "which processors it runs on: x86-64-v3, x86-64-v4 or native")
      ->capture_default_str()
      ->check(CLI::IsMember({"x86-64-v3", "x86-64-v4", "native"}));
  command->add_option("--target", flags->options.targets, "what it runs on, separated by commas: cpu, cuda, cuda:sm_90a and the like")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--dtype", flags->options.dtype, "how GPUs store numbers, caches and matrices: auto, f32, f16 or bf16")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "f32", "f16", "bf16"}));
  command->add_flag("--tf32", flags->options.tf32, "with f32 on GPUs: large products may round their operands to 10 bits");
  command->add_option("--products", flags->options.products, "products of many rows on sm_90a: library (cuBLASLt), own (generated kernels), or auto: either, by size")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "library", "own"}));
  command->add_flag("--batch-invariant", flags->options.batchInvariant,
                    "on GPUs only: a row's results are the same bits in any batch, padded or packed; prints what that costs");
  command->add_option("--calibrate", flags->calibrate,
                      "with --quantise=fp8: a file with a text on each line (token ids, where the model has no tokenizer), from which fixed scales follow, and on "
                      "which the difference to fp32 is measured");
  command->add_option("--lengths", flags->options.lengths, "a file with a text's number of tokens on each line: GPUs get graphs of sizes that fit such texts");
  addSizeOptions(*command, flags->options);
  addPassOptions(*command, flags->options);
  command->add_flag("!--no-tokenizer", flags->options.tokenizer, "leave the model's tokenizer out: token ids in, token ids out");
  command->add_option("--dump-dir", flags->options.dumpDir, "a folder for the graph after every pass, as text");
  command->add_flag("--quiet", flags->quiet, "print errors only");
  command->callback([flags, &action] { action = [flags] { return compile(*flags); }; });
}

} // namespace transom::cli

#else

namespace transom::cli {
void addCompile(CLI::App &, Action &) {}
} // namespace transom::cli

#endif
