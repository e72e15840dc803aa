// The kernel library's text inside the compiler.
#pragma once

#include "runtime/format/Contents.h"

#include <set>

namespace transom::cuda {

/// The files of kernels/ with these names and all that they include, sorted by name.
std::vector<artifact::CudaHeader> headersFor(const std::set<std::string> &names);

} // namespace transom::cuda
