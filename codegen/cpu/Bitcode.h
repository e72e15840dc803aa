// The kernel skeletons as LLVM bitcode, built into this library.
#pragma once

#include "llvm/ADT/StringRef.h"

namespace transom {

/// level: 3 or 4. The bytes live as long as the program.
llvm::StringRef kernelBitcode(int level);

} // namespace transom
