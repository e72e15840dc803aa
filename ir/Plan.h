// The plan dialect: ops, and what the verifier, the passes and the artifact builder ask about buffers.
#pragma once

#include "ir/Transom.h"

#include "mlir/IR/SymbolTable.h"

#include "ir/PlanEnums.h.inc"

#include "ir/PlanDialect.h.inc"

#define GET_TYPEDEF_CLASSES
#include "ir/PlanTypes.h.inc"

#define GET_OP_CLASSES
#include "ir/PlanOps.h.inc"

namespace transom::plan {

/// Alignment in bytes of every buffer and every arena offset; the kernel ABI's.
inline constexpr int64_t alignment = 64;
inline int64_t aligned(int64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

/// Bytes of `elements` numbers of a last dimension; nullopt where blocks do not divide them, or on overflow. i1 takes a byte.
std::optional<int64_t> bytesOfRow(mlir::Type element, int64_t elements);
/// Bytes of a dense tensor or cache of sizes `dims` at the module's bounds, each size at its largest, with elements of
/// `stored`, if not null, instead of its own. nullopt where a size is unknown, negative or has no bounds, and on overflow.
std::optional<int64_t> bytesAtBounds(mlir::ModuleOp module, mlir::Type tensor, const Dims &dims, mlir::Type stored = {});

/// Whether f32 numbers of `tensor` are stored as E4M3 with a scale for each row, in fp32 behind the rows.
bool keepsScales(mlir::Type tensor, mlir::Type stored);
/// What a scale takes, in elements of E4M3.
inline constexpr int64_t scaleElements = 4;

/// The sizes that an attribute such as `shape` writes; unknown where one is malformed.
Dims parseSizes(mlir::ArrayAttr sizes);
/// The buffer op whose memory a buffer value is.
BufferOp storageOf(mlir::Value buffer);
/// The type of the numbers in a buffer value's memory.
mlir::Type storedElementOf(mlir::Value buffer);
/// Type and sizes of a buffer value: those of its plan.buffer or plan.view.
mlir::Type tensorOf(mlir::Value buffer);
Dims sizesOf(mlir::Value buffer);
/// Whether rows of sizes `part` are the first numbers of those of sizes `whole` within the module's bounds: one axis is shorter, and
/// there is one row before it.
bool beginsWith(mlir::ModuleOp module, const Dims &whole, const Dims &part);

/// Whether the launch may write `output` over `input`, were they one piece of memory: equal sizes and a kernel that
/// allows it, for each time the input's memory is read.
bool mayOverwrite(LaunchOp launch, KernelOp kernel, mlir::Value input, mlir::Value output);

/// Most buffers of a product's epilogue, the product among them; the kernel ABI's.
inline constexpr int64_t maxEpilogueBuffers = 32;

/// Rows of rhs in one work item of a matrix-vector kernel.
inline constexpr int64_t gemvRows = 16;
/// Whether the kernel of `op` counts work in blocks of gemvRows rows of rhs, each for all rows of lhs (rhs is a static
/// [n, k] matrix, lhs is f32); otherwise an item is a row of the result.
bool isGemv(MatmulOp op);

/// Whether `op` is one of a program's steps: a launch, a product or a size.
bool isStep(mlir::Operation *op);

/// The launch whose work one kernel may do with that of `launch`, which nothing else reads, so that its results have their memory from `launch` on: behind
/// attention what rounds it to 8 bits, by a scale that the artifact has for all rows; behind sums along rows an op on each of them, and on numbers that are there
/// before. Null where there is none.
LaunchOp followerOf(LaunchOp launch);

/// A buffer of the arena and the steps (counted from 0) that use it, from its first to its last; what followerOf gives counts for the step
/// before it too.
struct Lifetime {
  BufferOp buffer;
  int64_t first, last;
};
/// In the order of the buffers; unused ones have first > last. `steps` receives the program's steps if not null.
llvm::SmallVector<Lifetime> lifetimesOf(ProgramOp program, llvm::SmallVectorImpl<mlir::Operation *> *steps = nullptr);

/// Sets what the program says about its memory outside the arena: staging, states, weights. Each buffer counts with its
/// bytes rounded up to the alignment, as the runtime takes them.
void setPredictedBytes(ProgramOp program);

} // namespace transom::plan
