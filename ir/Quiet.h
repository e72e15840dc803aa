// Asking an op about sizes without its complaints.
#pragma once

#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/Threading.h"

namespace transom {

/// While alive, drops the diagnostics of this thread. Those of others, which passes over functions run on, go their way.
class QuietDiagnostics : public mlir::ScopedDiagnosticHandler {
public:
  explicit QuietDiagnostics(mlir::MLIRContext *context) : ScopedDiagnosticHandler(context) {
    setHandler([thread = llvm::get_threadid()](mlir::Diagnostic &) { return mlir::success(llvm::get_threadid() == thread); });
  }
};

} // namespace transom
