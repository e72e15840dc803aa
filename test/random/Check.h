// Every oracle on one graph.
#pragma once

#include "passes/Report.h"
#include "test/random/Reference.h"

#include "mlir/IR/OwningOpRef.h"

namespace transom::random {

/// One way to run the pipeline.
struct Variant {
  std::string name; ///< "all passes", "without fuse-norm", "none", "only fuse-norm, assign-layouts"
  std::vector<std::string> disabled;
  bool compiled = false; ///< down to code, instead of the interpreter on the graph before lower-to-plan
};

struct Failure {
  std::string variant;
  std::string kind;   ///< "error" (a pass or the verifier fails), "difference", "naive" (the generator's own)
  std::string detail;
  bool sameAs(const Failure &other) const { return variant == other.variant && kind == other.kind; }
};

struct CheckOptions {
  bool compile = false;          ///< also compiled code
  std::string only;              ///< only the variant of this name
};

/// What the passes did in the variant with all of them.
struct PassCounts {
  std::map<std::string, int64_t> applied, rejected; ///< by pass, how often
  std::map<std::string, int64_t> conditions;        ///< by "pass: F1", how often
};

struct CheckResult {
  std::vector<Failure> failures;
  PassCounts counts;
  int64_t interpreted = 0, compiled = 0, refused = 0;
};

/// All variants that a graph of `seed` is checked in.
std::vector<Variant> variantsFor(uint64_t seed, bool compile);
CheckResult check(mlir::ModuleOp naive, uint64_t seed, const CheckOptions &options);

/// The graph after every pass of `variant` that stands before lower-to-plan. Errors: a pass or the verifier fails.
Result<mlir::OwningOpRef<mlir::ModuleOp>> optimise(mlir::ModuleOp naive, const Variant &variant, std::vector<Finding> *findings,
                                                   const std::function<void(llvm::StringRef, mlir::ModuleOp)> &onStage = {});

/// The first stage of `variant` behind which the graph does not compute what it should; empty if there is none.
std::string guiltyStage(mlir::ModuleOp naive, uint64_t seed, const Variant &variant);

} // namespace transom::random
