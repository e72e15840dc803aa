// Which ops may be left after which pass: a pass that breaks its promise is found before code is generated from it.
#pragma once

#include "passes/Report.h"
#include "runtime/support/Status.h"

#include "mlir/IR/BuiltinOps.h"

namespace transom {

/// Checks what `pass` promises to leave. An op that it may leave only with a reason needs a rejection in `findings`
/// by that pass in its layer, in that of an op it reads or feeds, or of its function.
/// Error: internal, naming the pass, the op and its layer.
Status checkLegality(llvm::StringRef pass, mlir::ModuleOp module, llvm::ArrayRef<Finding> findings);

/// What checkLegality() looks for after `pass`, one promise a line, for people; none for passes without any.
llvm::SmallVector<llvm::StringRef> promisesOf(llvm::StringRef pass);

/// "@main: 12 ops: 4 transom.matmul, 3 transom.add, ...", a line for each function or program.
std::string countOps(mlir::ModuleOp module);

} // namespace transom
