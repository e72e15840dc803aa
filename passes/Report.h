// How a pass says what it did and what it left alone, with the op, its layer, and what was done or the condition that failed.
#pragma once

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Operation.h"

#include <optional>
#include <string>
#include <vector>

namespace transom {

/// What a rewrite saves in each run, or what its absence costs, at the bounds of the sizes: an estimate, for people and for
/// sorting. What is not known stays empty.
struct Cost {
  std::optional<int64_t> bytes = std::nullopt;    ///< read and written
  std::optional<int64_t> launches = std::nullopt; ///< device operations
};

/// One rewrite that happened, or did not.
struct Finding {
  enum class Kind { applied, rejected };
  Kind kind = Kind::rejected;
  std::string pass;  ///< "make-kv-static"
  std::string op;    ///< "transom.concat"
  std::string layer; ///< name in the op's location ("blk.3.attn"), or file:line:column, or empty
  std::string text;  ///< what was done; or what would have had to hold, and what was found
  Cost cost = {};
};

/// Names in a location, or its file, line and column; empty if it is unknown.
std::string layerOf(mlir::Location location);

/// Emits findings as remarks while `enabled`, and does nothing otherwise. A pass makes one in runOn....
class Reporter {
public:
  Reporter(llvm::StringRef pass, bool enabled) : pass(pass), enabled(enabled) {}
  bool isEnabled() const { return enabled; }
  /// `condition`: lower case, no full stop.
  void reject(mlir::Operation *op, const llvm::Twine &condition, Cost cost = {}) const;
  /// Once per rewrite; `op` is what was found or what took its place. `what`: lower case, no full stop.
  void applied(mlir::Operation *op, const llvm::Twine &what, Cost saved = {}) const;

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
