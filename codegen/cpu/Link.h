// From an object file in memory to a shared object in memory.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace transom {

/// Links one object into a shared object that needs no other and exports its default-visibility symbols only; the same
/// bytes for the same object. Uses a private temporary folder, gone afterwards. One call at a time per process.
llvm::Expected<std::vector<char>> linkSharedObject(llvm::StringRef object);

} // namespace transom
