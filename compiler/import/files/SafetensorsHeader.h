// The JSON header of a safetensors file, parsed as a stream so that memory stays in proportion to real
// entries.
#pragma once

#include "compiler/import/files/TensorSource.h"

namespace transom {

/// A header's entry: a tensor without its bytes, and where those lie, counted from the end of the header.
struct SafetensorsEntry {
  Tensor tensor;
  uint64_t begin = 0, end = 0;
};

/// The entries in the header's order. Errors without the file's name: invalidFile, unsupported.
Result<std::vector<SafetensorsEntry>> parseSafetensorsHeader(std::string_view json);

} // namespace transom
