// How a pass says what it left alone: a rejection names the op, its layer, and the condition that failed.
#pragma once

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Operation.h"

#include <string>
#include <vector>

namespace transom {

/// One rewrite that did not happen.
struct Rejection {
  std::string pass;      ///< "make-kv-static"
  std::string op;        ///< "transom.concat"
  std::string layer;     ///< name in the op's location ("blk.3.attn"), or file:line:column, or empty
  std::string condition; ///< what would have had to hold, and what was found
};

/// Names in a location, or its file, line and column; empty if it is unknown.
std::string layerOf(mlir::Location location);

/// Emits rejections as remarks while `enabled`, and does nothing otherwise. A pass makes one in runOn....
class Reporter {
public:
  Reporter(llvm::StringRef pass, bool enabled) : pass(pass), enabled(enabled) {}
  bool isEnabled() const { return enabled; }
  /// `condition`: lower case, no full stop.
  void reject(mlir::Operation *op, const llvm::Twine &condition) const;

private:
  llvm::StringRef pass;
  bool enabled;
};

/// While alive, takes the rejections emitted in `context` out of the diagnostics and appends them to `rejections`.
class RejectionCollector {
public:
  RejectionCollector(mlir::MLIRContext *context, std::vector<Rejection> &rejections);

private:
  mlir::ScopedDiagnosticHandler handler;
};

} // namespace transom
