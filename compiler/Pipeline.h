// The order of the passes, and running them with a user's options.
#pragma once

#include "compiler/Options.h"
#include "passes/Report.h"
#include "runtime/support/Status.h"

#include "mlir/IR/BuiltinOps.h"

#include <functional>

namespace transom {

/// A place in the pipeline.
struct PipelinePass {
  llvm::StringRef name; ///< "fuse-elementwise"
  bool switchable;      ///< the result can be compiled without it
};

/// All passes, in the order they run.
llvm::SmallVector<PipelinePass> pipelinePasses();

/// Called with "import" before the first pass and with each pass's name after it; `module` has been verified. An error
/// ends the pipeline.
using StageCallback = std::function<Status(llvm::StringRef stage, mlir::ModuleOp module)>;

/// Applies the sizes that `options` limit to the module's bounds and metadata, then runs every pass that is not disabled,
/// verifying after each, and checking that it leaves what it promises (Legality.h). `findings`, if any, receives what the
/// passes did and left alone, those of a pass before its stage's callback. `onStage` may be empty.
/// Errors: invalidArgument for an unknown or fixed pass name and for sizes the model does not allow; io for the dump
/// folder; unsupported, with the pass and the place in the model, where a pass or the verifier fails; internal where a
/// pass leaves what it promises not to.
Status runPipeline(mlir::ModuleOp module, const CompilerOptions &options, const StageCallback &onStage = {},
                   std::vector<Finding> *findings = nullptr);

} // namespace transom
