// Kernels of row-wise ops: a block takes a row, computes norms over it in registers, and writes the results.
#pragma once

#include "codegen/cuda/RowExpressions.h"

namespace transom::cuda {

/// The launch that computes `program`, of `most` rows at most. Where these are few it reads weights before it waits for the kernel that makes
/// its rows; where they are many, most blocks begin behind that one's end, and this would only take registers. Fails, after a diagnostic, on
/// what has no CUDA form.
mlir::FailureOr<CudaLaunchPlan> emitRows(KernelPool &pool, const RowProgram &program, int64_t most, llvm::StringRef name);

/// A line that loads lanes at `pointer`[`index`], or one number for all of them where `same`; their name.
std::string loadLanesText(KernelText &text, int lanes, const std::string &pointer, DType dtype, const std::string &index, bool same);
/// Lines that find where the rows of an append go, as two ints: batch row, and slot, -1 for none. `row` is an int expression.
RowExpressions::Slot emitSlot(KernelText &text, const RowProgram &program, CacheAppendOp op, const std::string &row);
/// Lines that store lanes of the tokens' columns [column, ..) to the cache.
void emitCacheStore(KernelText &text, const RowProgram &program, CacheAppendOp op, const RowExpressions::Slot &slot, const std::string &column,
                    const std::string &lanes, const CudaBuffer &cache);

} // namespace transom::cuda
