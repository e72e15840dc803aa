// See Check.h.
#include "test/random/Check.h"

#include "compiler/Pipeline.h"
#include "test/random/Compiled.h"

#include "mlir/IR/OperationSupport.h"
#include "llvm/ADT/Hashing.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace transom::random {

namespace {

/// Passes behind which the graph is one no more.
bool isLowering(llvm::StringRef pass) { return pass == "lower-to-plan" || pass == "plan-memory"; }

std::vector<std::string> graphPasses() {
  std::vector<std::string> names;
  for (const PipelinePass &pass : pipelinePasses())
    if (!isLowering(pass.name))
      names.push_back(pass.name.str());
  return names;
}

/// Equal for graphs of equal ops in equal order. Attributes and types are unique in their context.
llvm::hash_code fingerprint(ModuleOp module) {
  llvm::hash_code hash(0);
  llvm::DenseMap<Value, size_t> numbers;
  module->walk<WalkOrder::PreOrder>([&](Operation *op) {
    hash = llvm::hash_combine(hash, op->getName().getAsOpaquePointer(), op->getAttrDictionary().getAsOpaquePointer());
    for (Value operand : op->getOperands())
      hash = llvm::hash_combine(hash, numbers.lookup(operand));
    for (Value result : op->getResults())
      numbers[result] = numbers.size() + 1, hash = llvm::hash_combine(hash, result.getType().getAsOpaquePointer());
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (Value argument : block.getArguments())
          numbers[argument] = numbers.size() + 1, hash = llvm::hash_combine(hash, argument.getType().getAsOpaquePointer());
  });
  return hash;
}

void count(const std::vector<Finding> &findings, PassCounts &counts) {
  for (const Finding &finding : findings) {
    bool applied = finding.kind == Finding::Kind::applied;
    ++(applied ? counts.applied : counts.rejected)[finding.pass];
    if (!applied)
      ++counts.conditions[finding.pass + ": " + llvm::StringRef(finding.text).split(':').first.str()];
  }
}

} // namespace

std::vector<Variant> variantsFor(uint64_t seed, bool compile) {
  std::vector<std::string> passes = graphPasses();
  std::vector<Variant> variants = {{"all passes", {}}};
  for (const std::string &pass : passes)
    variants.push_back({"without " + pass, {pass}});
  variants.push_back({"none", passes});
  Random random(seed, "variants");
  Variant some{"only", {}};
  for (const std::string &pass : passes)
    if (random.percent(50))
      some.disabled.push_back(pass);
    else
      some.name += " " + pass;
  variants.push_back(some);
  if (compile) {
    Variant one = variants[random.below(int64_t(variants.size()))];
    for (Variant variant : {variants[0], one})
      variants.push_back({"compiled, " + variant.name, variant.disabled, true});
    variants.push_back({"compiled, without plan-memory", {"plan-memory"}, true});
  }
  return variants;
}

Result<OwningOpRef<ModuleOp>> optimise(ModuleOp naive, const Variant &variant, std::vector<Finding> *findings,
                                       const std::function<void(llvm::StringRef, ModuleOp)> &onStage) {
  OwningOpRef<ModuleOp> module = naive.clone();
  CompilerOptions options;
  options.disabled = variant.disabled;
  std::string last = "import";
  for (const std::string &pass : graphPasses())
    if (!llvm::is_contained(variant.disabled, pass))
      last = pass;
  const char *const stop = "the graph is complete";
  Status status = runPipeline(
      *module, options,
      [&](llvm::StringRef stage, ModuleOp graph) -> Status {
        if (onStage)
          onStage(stage, graph);
        return stage == last ? error(StatusCode::internal, "{}", stop) : Status();
      },
      findings);
  if (status.message() != stop)
    return status.ok() ? error(StatusCode::internal, "the pipeline ran past the graph") : status;
  return module;
}

namespace {

/// The forms that a graph takes under all passes: a variant that leaves one out begins with the form before it.
class Forms {
public:
  explicit Forms(ModuleOp naive) : naive(naive) {}

  Result<OwningOpRef<ModuleOp>> optimise(const Variant &variant, std::vector<Finding> *findings) {
    if (variant.disabled.empty())
      return random::optimise(naive, variant, findings,
                              [&](llvm::StringRef stage, ModuleOp graph) { after[stage] = graph.clone(); });
    ModuleOp begin = naive;
    Variant rest = variant;
    for (const std::string &pass : graphPasses()) {
      auto form = after.find(pass);
      if (llvm::is_contained(variant.disabled, pass) || form == after.end())
        break;
      begin = *form->second;
      rest.disabled.push_back(pass);
    }
    return random::optimise(begin, rest, findings, {});
  }

private:
  ModuleOp naive;
  llvm::StringMap<OwningOpRef<ModuleOp>> after;
};

} // namespace

CheckResult check(ModuleOp naive, uint64_t seed, const CheckOptions &options) {
  CheckResult result;
  WeightFile weights(naive);
  Reference reference(naive, weights, seed);
  if (Status status = reference.prepare(); !status.ok()) {
    result.failures.push_back({"naive", "naive", status.message()});
    return result;
  }
  if (auto problem = reference.checkRowsAlone()) {
    result.failures.push_back({"naive", "naive", *problem});
    return result;
  }
  Forms forms(naive);
  llvm::DenseMap<size_t, bool> known;
  for (const Variant &variant : variantsFor(seed, options.compile)) {
    if (!options.only.empty() && options.only != variant.name)
      continue;
    if (variant.compiled) {
      ++result.compiled;
      if (auto failure = checkCompiled(naive, weights, reference, variant))
        result.failures.push_back({variant.name, failure->isRefusal ? "refused" : "difference", failure->text});
      continue;
    }
    std::vector<Finding> findings;
    Result<OwningOpRef<ModuleOp>> graph = forms.optimise(variant, variant.disabled.empty() ? &findings : nullptr);
    if (variant.disabled.empty())
      count(findings, result.counts);
    if (!graph.ok()) {
      result.failures.push_back({variant.name, "error", graph.status().message()});
      continue;
    }
    if (!known.try_emplace(fingerprint(**graph), true).second)
      continue;
    ++result.interpreted;
    if (auto differs = reference.check(**graph))
      result.failures.push_back({variant.name, "difference", *differs});
  }
  return result;
}

std::string guiltyStage(ModuleOp naive, uint64_t seed, const Variant &variant) {
  WeightFile weights(naive);
  Reference reference(naive, weights, seed);
  if (!reference.prepare().ok())
    return "import";
  std::string guilty;
  (void)optimise(naive, variant, nullptr, [&](llvm::StringRef stage, ModuleOp graph) {
    if (guilty.empty() && reference.check(graph))
      guilty = stage.str();
  });
  return guilty;
}

} // namespace transom::random
