// The sizes a user limits, applied to a module's bounds.
#pragma once

#include "compiler/Options.h"
#include "runtime/support/Status.h"

#include "mlir/IR/BuiltinOps.h"

namespace transom {

/// Sets the bounds of batch, seq, masks and past, and the metadata's context_length, as `options` say; sizes that are 0 in
/// `options` stay. Errors: invalidArgument for a size that is not positive, that the model has no name for, or that is
/// larger than the model's context_length or max_sequence_length.
Status applyBounds(mlir::ModuleOp module, const CompilerOptions &options);

} // namespace transom
