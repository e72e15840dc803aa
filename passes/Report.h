// How a pass says what it did and what it left alone, with the op, its layer, and what was done or the condition that failed.
#pragma once

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Operation.h"

#include <string>
#include <vector>

namespace transom {

/// One rewrite that happened, or did not.
struct Finding {
  enum class Kind { applied, rejected };
  Kind kind = Kind::rejected;
  std::string pass;  ///< "make-kv-static"
  std::string op;    ///< "transom.concat"
  std::string layer; ///< name in the op's location ("blk.3.attn"), or file:line:column, or empty
  std::string text;  ///< what was done; or what would have had to hold, and what was found
};

/// Names in a location, or its file, line and column; empty if it is unknown.
std::string layerOf(mlir::Location location);

/// Emits findings as remarks while `enabled`, and does nothing otherwise. A pass makes one in runOn....
class Reporter {
public:
  Reporter(llvm::StringRef pass, bool enabled) : pass(pass), enabled(enabled) {}
  bool isEnabled() const { return enabled; }
  /// `condition`: lower case, no full stop.
  void reject(mlir::Operation *op, const llvm::Twine &condition) const;
  /// Once per rewrite; `op` is what was found or what took its place. `what`: lower case, no full stop.
  void applied(mlir::Operation *op, const llvm::Twine &what) const;

private:
  llvm::StringRef pass;
  bool enabled;
};

/// While alive, takes the findings emitted in `context` out of the diagnostics and appends them to `findings`.
class FindingCollector {
public:
  FindingCollector(mlir::MLIRContext *context, std::vector<Finding> &findings);

private:
  mlir::ScopedDiagnosticHandler handler;
};

} // namespace transom
