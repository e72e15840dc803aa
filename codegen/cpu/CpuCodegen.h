// CPU code for a plan: every plan.kernel becomes a function of one shared object (its ABI: runtime/format/KernelAbi.h).
#pragma once

#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <vector>

namespace transom {

struct CpuCode {
  /// An ELF shared object without dependencies.
  std::vector<char> sharedObject;
  /// Symbol of each plan.kernel, in module order; and its LLVM IR before optimisation, for people.
  std::vector<std::string> kernels, kernelText;
  /// CPU features the code needs, by LLVM's names.
  std::vector<std::string> features;
  /// "x86-64-v3", "x86-64-v4", or "native (znver5)".
  std::string target;
};

/// Generates code for the level "x86-64-v3", "x86-64-v4" or "native". The same plan and level give the same bytes. Fails,
/// after a diagnostic, on a kernel that has no CPU form (naming the op and what it lacks), and on an unknown level.
mlir::FailureOr<CpuCode> generateCpu(mlir::ModuleOp plan, llvm::StringRef level);

/// The LLVM IR of all entries before optimisation, in module order. For tests. Fails as generateCpu does.
mlir::FailureOr<std::string> printCpuLlvm(mlir::ModuleOp plan, llvm::StringRef level);

} // namespace transom
