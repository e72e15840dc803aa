// See Run.h. One seed: the graph, its check, and what is left of a failure.
#include "test/random/Run.h"

#include "compiler/Diagnostics.h"
#include "compiler/Pipeline.h"
#include "ir/Plan.h"
#include "test/random/Graphs.h"
#include "test/random/Reduce.h"

#include "mlir/Parser/Parser.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace transom::random {

namespace {

/// A context that has the dialects of graphs and plans.
struct Context : MLIRContext {
  Context() : MLIRContext(MLIRContext::Threading::DISABLED) {
    loadDialect<arith::ArithDialect, func::FuncDialect, math::MathDialect, TransomDialect, plan::PlanDialect>();
  }
};

/// The module as text, without locations.
std::string print(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, OpPrintingFlags().useLocalScope());
  return text;
}

CheckResult checkSpec(const Spec &spec, const CheckOptions &options) {
  Context context;
  DiagnosticCollector diagnostics(&context);
  OwningOpRef<ModuleOp> module = makeGraph(context, spec);
  if (!module) {
    CheckResult result;
    result.failures.push_back({"naive", "naive", diagnostics.status(StatusCode::internal, "no graph").message()});
    return result;
  }
  return check(*module, spec.seed, options);
}

Variant variantNamed(uint64_t seed, const std::string &name) {
  for (Variant &variant : variantsFor(seed, true))
    if (variant.name == name)
      return variant;
  return {"all passes", {}};
}

bool has(const CheckResult &result, const Failure &failure) {
  return llvm::any_of(result.failures, [&](const Failure &other) { return other.sameAs(failure); });
}

void printResult(const CheckResult &result) {
  for (auto &[pass, count] : result.counts.applied)
    llvm::outs() << "  " << pass << ": applied " << count << "\n";
  for (auto &[condition, count] : result.counts.conditions)
    llvm::outs() << "  " << condition << ": refused " << count << "\n";
  for (const Failure &failure : result.failures)
    llvm::outs() << "  FAIL " << failure.variant << ": " << failure.kind << ": " << failure.detail << "\n";
  llvm::outs() << "  " << result.interpreted << " forms interpreted, " << result.compiled << " compiled, " << result.failures.size()
               << " failures\n";
}

} // namespace

bool isCompiled(const RunOptions &options, uint64_t seed) { return options.compileEvery > 0 && seed % uint64_t(options.compileEvery) == 0; }

void reduceSeed(const RunOptions &options, uint64_t seed, Failure failure) {
  bool crash = failure.kind == "crash", compiles = isCompiled(options, seed);
  CheckOptions one{compiles, failure.variant};
  auto specFails = [&](const Spec &spec) {
    return inChild([&] { return has(checkSpec(spec, one), failure); }, crash);
  };
  Spec spec = makeSpec(seed);
  if (crash)
    for (const Variant &variant : variantsFor(seed, compiles))
      if (one.only = variant.name; specFails(spec))
        break;
  failure.variant = one.only;
  if (!specFails(spec)) {
    llvm::outs() << "  seed " << seed << " does not fail again alone\n";
    return;
  }
  spec = reduceSpec(spec, specFails);
  Context context;
  OwningOpRef<ModuleOp> module = makeGraph(context, spec);
  if (!module)
    return;
  module = reduceGraph(*module, [&](ModuleOp graph) { return inChild([&] { return has(check(graph, seed, one), failure); }, crash); });
  std::string text = print(*module), stage;
  if (!crash && failure.kind == "difference" && !llvm::StringRef(failure.variant).starts_with("compiled"))
    stage = guiltyStage(*module, seed, variantNamed(seed, failure.variant));
  llvm::outs() << "  reduced to: " << describe(spec) << "\n";
  if (!stage.empty())
    llvm::outs() << "  first wrong behind: " << stage << "\n";
  if (options.out.empty()) {
    llvm::outs() << text << "\n";
    return;
  }
  llvm::sys::fs::create_directories(options.out);
  std::string path = fmt::format("{}/seed-{}.mlir", options.out, seed);
  std::error_code code;
  llvm::raw_fd_ostream file(path, code);
  file << "// " << describe(makeSpec(seed)) << "\n// " << failure.variant << ": " << failure.kind << ": " << failure.detail << "\n";
  if (!stage.empty())
    file << "// first wrong behind " << stage << "\n";
  file << "// transom-random " << path << " --seed=" << seed << " --variant='" << failure.variant << "'\n" << text;
  llvm::outs() << "  written to " << path << "\n";
}

int runOne(const RunOptions &options) {
  Context context;
  OwningOpRef<ModuleOp> module;
  if (!options.file.empty()) {
    module = parseSourceFile<ModuleOp>(options.file, &context);
  } else {
    llvm::outs() << describe(makeSpec(options.first)) << "\n";
    module = makeGraph(context, makeSpec(options.first));
  }
  if (!module)
    return 1;
  if (options.print)
    llvm::outs() << print(*module) << "\n";
  bool compiles = options.compileEvery != 0 || llvm::StringRef(options.variant).starts_with("compiled");
  CheckResult result = check(*module, options.first, {compiles, options.variant});
  printResult(result);
  return result.failures.empty() ? 0 : 1;
}

} // namespace transom::random
