// What this processor and operating system can run, by LLVM's names of features.
#pragma once

#include <optional>
#include <string_view>

namespace transom {

/// True or false; nothing for a name this runtime does not know.
std::optional<bool> cpuHas(std::string_view feature);

} // namespace transom
