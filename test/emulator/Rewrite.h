// From the text of a CUDA kernel or header to text that g++ compiles behind Device.h: inline PTX becomes calls of Ptx.h, shared
// variables become fields of the block's memory, built-in ones the machine's. Everything else is macros and functions of Device.h. Lines keep their numbers.
#pragma once

#include "runtime/support/Status.h"

#include <string>
#include <string_view>

namespace transom::emulator {

/// Errors name `file` and the line.
Result<std::string> rewriteCuda(std::string_view text, std::string_view file);

} // namespace transom::emulator
