// CPU levels: what code is generated for, and what a machine must have to run it.
#pragma once

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>
#include <vector>

namespace llvm {
class Function;
class TargetMachine;
} // namespace llvm

namespace transom {

struct CpuTarget {
  /// "x86-64-v3", "x86-64-v4", or for the machine at hand "native (znver5)".
  std::string name;
  /// Which skeletons: 3 or 4; floats in a vector: 8 or 16.
  int level, lanes;
  /// LLVM's names: the base CPU, the one to schedule for, every feature used beyond x86-64, in a fixed order.
  std::string cpu, tune;
  std::vector<std::string> features;

  /// level: "x86-64-v3", "x86-64-v4" or "native"; an error that lists them otherwise, or where the machine at hand has
  /// less than x86-64-v3.
  static llvm::Expected<CpuTarget> parse(llvm::StringRef level);

  std::unique_ptr<llvm::TargetMachine> createMachine() const;
  /// Makes the function's code this target's, whatever it was compiled for before.
  void apply(llvm::Function &function) const;
  /// LLVM's text of `features`: "+avx,+avx2,...".
  std::string featureText() const;
};

} // namespace transom
