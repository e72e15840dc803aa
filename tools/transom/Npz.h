// NumPy's .npy and .npz files, for tensors in and out of the command line. Dense little-endian C-order arrays only.
// Format: NumPy enhancement proposal 1 and PKWARE's APPNOTE; no zip64, so 4 GiB at most.
#pragma once

#include "runtime/format/DType.h"
#include "runtime/support/Status.h"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace transom {

/// A named dense tensor that owns its bytes.
struct Array {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

/// The arrays of an .npz file, or the one of an .npy file (whose name is empty). Errors name the file and the array.
Result<std::vector<Array>> readNumpy(const std::string &path);
/// By the ending of `path`: .npz takes any number of arrays, .npy exactly one. Complete or not at all.
Status writeNumpy(const std::string &path, std::span<const Array> arrays);
/// As users name inputs: each text is a file, or name=file for a file of one array. Every array has a name then.
Result<std::vector<Array>> readNamedArrays(const std::vector<std::string> &files);

} // namespace transom
