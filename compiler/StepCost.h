// What the steps of a plan read, write and compute, for given sizes: estimates for people, used for no decision.
#pragma once

#include "ir/Plan.h"

namespace transom {

/// Of one step. Bytes: what its buffers hold at these sizes; of tables only the rows looked up, of caches only the slots in
/// use. Operations: of numbers, a multiply-add is two; masked positions count, moving does not.
struct StepCost {
  double bytes = 0, operations = 0;
};

/// The value of a size's name; nothing where it is unknown. Besides the program's names it is asked for "past", the tokens
/// in a cache, which no buffer's shape says.
using SizeValue = llvm::function_ref<std::optional<int64_t>(llvm::StringRef name)>;

/// `step` is a launch or a product of a program; `symbols` finds its kernels.
StepCost costOf(mlir::Operation *step, mlir::SymbolTableCollection &symbols, SizeValue valueOf);

/// Bytes of a value of these sizes.
double bytesOf(mlir::Type tensor, const Dims &dims, SizeValue valueOf);

} // namespace transom
