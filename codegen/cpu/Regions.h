// Elementwise kernels and fused regions, emitted whole: loops, broadcasting, and the region as vector code.
#pragma once

#include "codegen/cpu/KernelEntry.h"

namespace transom {

/// Emits a transom.fused op or a single elementwise op. Fails, after a diagnostic, on a scalar op without vector form.
mlir::LogicalResult emitElementwise(KernelEntry &entry, mlir::Operation *op);

/// One vector of a region's value: f16 and bf16 are held as f32, rounded after each op; everything else as it is.
/// Emits the region's ops over vectors of the block's arguments and returns the yielded one; null after a diagnostic.
llvm::Value *emitScalars(KernelEntry &entry, mlir::Block &block, llvm::ArrayRef<llvm::Value *> arguments);

/// Vectors in registers and in memory.
llvm::Type *registerType(KernelEntry &entry, mlir::Type element);
llvm::Type *memoryType(KernelEntry &entry, mlir::Type element);
llvm::Value *fromMemory(KernelEntry &entry, llvm::Value *value, mlir::Type element);
llvm::Value *toMemory(KernelEntry &entry, llvm::Value *value, mlir::Type element);

} // namespace transom
