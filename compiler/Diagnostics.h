// From MLIR's diagnostics to the runtime's Status, and modules as text.
#pragma once

#include "runtime/support/Status.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"

namespace transom {

/// While alive, keeps the first error of a context instead of printing it, and drops warnings and remarks.
class DiagnosticCollector {
public:
  explicit DiagnosticCollector(mlir::MLIRContext *context);
  /// The first error, on one line with its place; `otherwise` if there was none.
  Status status(StatusCode code, const std::string &otherwise) const;

private:
  std::string first;
  mlir::ScopedDiagnosticHandler handler;
};

/// The module in its custom text form, without locations.
std::string printModule(mlir::ModuleOp module);

} // namespace transom
