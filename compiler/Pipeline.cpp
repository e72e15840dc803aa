// See Pipeline.h. The table below is the order; each line says why a pass stands where it stands.
#include "compiler/Pipeline.h"

#include "compiler/Bounds.h"
#include "compiler/Legality.h"
#include "compiler/SizeCheck.h"
#include "passes/Passes.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <memory>

using namespace mlir;
using llvm::StringRef;

namespace transom {

namespace {

struct Entry {
  StringRef name;
  bool switchable;
  void (*add)(OpPassManager &manager, const CompilerOptions &options);
};

/// Passes always report: the check of what they leave asks for reasons.
template <typename Options> Options reporting() {
  Options options;
  options.report = true;
  return options;
}

const Entry entries[] = {
    // First: the passes behind it then see one op for each weight, whatever the source file's layout and types.
    {"fold-constants", true,
     [](OpPassManager &manager, const CompilerOptions &) {
       manager.addPass(createFoldConstantsPass(reporting<FoldConstantsPassOptions>()));
     }},
    // Before any fusion: its proof reads the plain form, and what it sinks are ops that fusion would hide.
    {"make-kv-static", true,
     [](OpPassManager &manager, const CompilerOptions &) {
       manager.addPass(createMakeKvStaticPass(reporting<MakeKvStaticPassOptions>()));
     }},
    // Behind the caches, which take any layout; before all that matches ops by their shape: one order is left to match.
    {"eliminate-transposes", true,
     [](OpPassManager &manager, const CompilerOptions &) {
       manager.addPass(createEliminateTransposesPass(reporting<EliminateTransposesPassOptions>()));
     }},
    // Before the fusions: it reads the plain ops, and what they fuse is then computed for valid tokens only. Behind
    // make-kv-static: a growing past has padding inside, caches have none.
    {"remove-padding", true,
     [](OpPassManager &manager, const CompilerOptions &) {
       manager.addPass(createRemovePaddingPass(reporting<RemovePaddingPassOptions>()));
     }},
    // Before all fusion, which then finds rows alike in every program.
    {"assign-layouts", true,
     [](OpPassManager &manager, const CompilerOptions &) {
       manager.addNestedPass<func::FuncOp>(createAssignLayoutsPass(reporting<AssignLayoutsPassOptions>()));
     }},
    // Behind remove-padding, which packs the rows, and assign-layouts, which leaves few reshapes between. Before merge-projections: the
    // last layer's query then has other rows than key and value.
    {"choose-tokens-early", true,
     [](OpPassManager &manager, const CompilerOptions &options) {
       if (options.batchInvariant) // a row of padded tokens, which keep the choice behind them, gets the same bits
         return;
       manager.addNestedPass<func::FuncOp>(createChooseTokensEarlyPass(reporting<ChooseTokensEarlyPassOptions>()));
     }},
    // Behind all that moves products and their weights; before fusion, which takes one product and what reads it.
    {"merge-projections", true,
     [](OpPassManager &manager, const CompilerOptions &) {
       manager.addPass(createMergeProjectionsPass(reporting<MergeProjectionsPassOptions>()));
     }},
    // Behind merge-projections: what was several weights has one scale a row. Before fusion: scales and rounding go into the groups.
    {"quantise-products", true,
     [](OpPassManager &manager, const CompilerOptions &options) {
       if (options.quantise != "fp8")
         return;
       auto own = reporting<QuantiseProductsPassOptions>();
       own.scales = options.scales;
       own.observe = options.observe;
       manager.addPass(createQuantiseProductsPass(own));
     }},
    // Before the other fusions: it reads whole ops, and what a product's group takes saves most. So no group is ever taken
    // apart: those behind it find what it left.
    {"fuse-epilogue", true,
     [](OpPassManager &manager, const CompilerOptions &) {
       manager.addNestedPass<func::FuncOp>(createFuseEpiloguePass(reporting<FuseEpiloguePassOptions>()));
     }},
    // Behind fuse-epilogue, which would lose residuals to it; before fuse-elementwise, which would hide them from it.
    {"fuse-norm", true,
     [](OpPassManager &manager, const CompilerOptions &) {
       manager.addNestedPass<func::FuncOp>(createFuseNormPass(reporting<FuseNormPassOptions>()));
     }},
    // Last of the graph: every rewrite of elementwise ops has happened. Also inside groups.
    {"fuse-elementwise", true,
     [](OpPassManager &manager, const CompilerOptions &) {
       manager.addNestedPass<func::FuncOp>(createFuseElementwisePass(reporting<FuseElementwisePassOptions>()));
     }},
    // From the graph to what a device runs; the rest reads programs.
    {"lower-to-plan", false,
     [](OpPassManager &manager, const CompilerOptions &options) {
       auto own = reporting<LowerToPlanPassOptions>();
       own.activations = options.activations;
       manager.addPass(createLowerToPlanPass(own));
     }},
    // Last: offsets follow from the final order of the steps. Without it each buffer keeps memory of its own.
    {"plan-memory", true, [](OpPassManager &manager, const CompilerOptions &) { manager.addPass(createPlanMemoryPass()); }},
};

Status checkDisabled(const CompilerOptions &options) {
  std::string names;
  for (const Entry &entry : entries)
    if (entry.switchable)
      names += (names.empty() ? "" : ", ") + entry.name.str();
  for (const std::string &name : options.disabled) {
    const Entry *entry = llvm::find_if(entries, [&](const Entry &entry) { return entry.name == name; });
    if (entry == std::end(entries))
      return error(StatusCode::invalidArgument, "no pass is named '{}'; these can be disabled: {}", name, names);
    if (!entry->switchable)
      return error(StatusCode::invalidArgument, "pass '{}' cannot be disabled; these can: {}", name, names);
  }
  return {};
}

/// What stands above a dumped graph: the stage, its findings and promises, and how many ops are left of each kind.
std::string describeStage(StringRef stage, ModuleOp module, llvm::ArrayRef<Finding> findings) {
  std::string text = "after " + stage.str();
  if (stage != "import") {
    auto rejected = llvm::count_if(findings, [](const Finding &finding) { return finding.kind == Finding::Kind::rejected; });
    text += fmt::format(": {} rewrites, {} left alone with a reason", findings.size() - rejected, rejected);
  }
  for (StringRef promise : promisesOf(stage))
    text += "\nholds: " + promise.str();
  text += "\n" + countOps(module);
  std::string comment;
  for (StringRef rest = StringRef(text).rtrim(); !rest.empty();) {
    auto [line, others] = rest.split('\n');
    comment += fmt::format("// {}\n", line.str());
    rest = others;
  }
  return comment;
}

/// Writes the module to `NN-stage.mlir` in `folder`.
Status dump(StringRef folder, unsigned number, StringRef stage, ModuleOp module, llvm::ArrayRef<Finding> findings) {
  std::error_code code = llvm::sys::fs::create_directories(folder);
  llvm::SmallString<128> path(folder);
  llvm::sys::path::append(path, fmt::format("{:02}-{}.mlir", number, stage.str()));
  if (!code) {
    llvm::raw_fd_ostream file(path, code);
    if (!code) {
      file << describeStage(stage, module, findings);
      module.print(file);
      file.flush();
      code = file.error();
      file.clear_error();
    }
  }
  return code ? error(StatusCode::io, "{}: {}", path.str().str(), code.message()) : Status();
}

class Pipeline {
public:
  Pipeline(ModuleOp module, const CompilerOptions &options, const StageCallback &onStage, std::vector<Finding> &findings)
      : module(module), options(options), onStage(onStage), findings(findings) {}

  Status run() {
    TRANSOM_RETURN_IF_ERROR(finishStage("import"));
    for (const Entry &entry : entries) {
      bool disabled = entry.switchable && (options.disableAll || llvm::is_contained(options.disabled, entry.name));
      if (disabled)
        continue;
      TRANSOM_RETURN_IF_ERROR(runPass(entry));
      TRANSOM_RETURN_IF_ERROR(finishStage(entry.name));
    }
    return {};
  }

private:
  Status runPass(const Entry &entry) {
    std::string problem;
    ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &diagnostic) {
      if (diagnostic.getSeverity() == DiagnosticSeverity::Remark)
        return failure(); // for a collector of findings
      if (problem.empty() && diagnostic.getSeverity() == DiagnosticSeverity::Error) {
        std::string layer = layerOf(diagnostic.getLocation());
        problem = (layer.empty() ? "" : layer + ": ") + diagnostic.str();
      }
      return success();
    });
    PassManager manager(module.getContext());
    manager.enableVerifier(true);
    entry.add(manager, options);
    begin = findings.size();
    const bool asked = manager.size() > 0; // some passes are there only if an option asks for them, and promise nothing otherwise
    if (succeeded(manager.run(module)))
      return asked ? checkLegality(entry.name, module, found()) : Status();
    return error(StatusCode::unsupported, "{}: {}", entry.name.str(), problem.empty() ? "failed" : problem);
  }

  /// What the pass that ran last has reported.
  llvm::ArrayRef<Finding> found() const { return llvm::ArrayRef(findings).drop_front(begin); }

  Status finishStage(StringRef stage) {
    if (!options.dumpDir.empty())
      TRANSOM_RETURN_IF_ERROR(dump(options.dumpDir, number, stage, module, found()));
    ++number;
    return onStage ? onStage(stage, module) : Status();
  }

  ModuleOp module;
  const CompilerOptions &options;
  const StageCallback &onStage;
  std::vector<Finding> &findings;
  size_t begin = 0; ///< of the last pass's findings
  unsigned number = 0;
};

} // namespace

llvm::SmallVector<PipelinePass> pipelinePasses() {
  llvm::SmallVector<PipelinePass> passes;
  for (const Entry &entry : entries)
    passes.push_back({entry.name, entry.switchable});
  return passes;
}

Status runPipeline(ModuleOp module, const CompilerOptions &options, const StageCallback &onStage,
                   std::vector<Finding> *findings) {
  TRANSOM_RETURN_IF_ERROR(checkDisabled(options));
  TRANSOM_RETURN_IF_ERROR(applyBounds(module, options));
  TRANSOM_RETURN_IF_ERROR(checkSizes(module));
  std::vector<Finding> own;
  std::vector<Finding> &all = findings ? *findings : own;
  FindingCollector collector(module.getContext(), all);
  return Pipeline(module, options, onStage, all).run();
}

} // namespace transom
