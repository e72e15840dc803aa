// Named tensors in mapped model files, whatever the file format. Importers and the artifact writer stream
// weights through this view; it decodes nothing and copies no tensor bytes.
#pragma once

#include "runtime/format/DType.h"
#include "runtime/support/File.h"
#include "runtime/support/Status.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace transom {

/// One tensor of a model file. `shape` is row-major, the last dimension contiguous, in every format.
struct Tensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  /// Exactly bytesFor(dtype, shape) bytes of a mapped file; may be unaligned, so read them with memcpy.
  std::span<const std::byte> bytes;
};

/// Tensors by name, in the order of the file, and the maps that their bytes lie in. Move-only; moving it
/// keeps the tensors' bytes valid, but not pointers returned by find().
class TensorSource {
public:
  TensorSource() = default;
  TensorSource(TensorSource &&) = default;
  TensorSource &operator=(TensorSource &&) = default;

  /// Errors (invalidFile): the name is taken, is empty or has control characters; a size is absurd; `bytes`
  /// is not as long as dtype and shape say.
  Status add(Tensor tensor);
  /// Takes over a file that added tensors point into.
  void keep(MappedFile file) { files_.push_back(std::move(file)); }

  /// The tensor, or null.
  const Tensor *find(std::string_view name) const;
  /// The tensor, or a notFound error that names it.
  Result<const Tensor *> get(std::string_view name) const;
  std::span<const Tensor> tensors() const { return tensors_; }

private:
  std::vector<MappedFile> files_;
  std::vector<Tensor> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
};

/// "[2, 3]", for messages.
std::string formatShape(std::span<const int64_t> shape);

/// `text` fit for a one-line message: control characters as \xNN, cut off after 80 bytes.
std::string printable(std::string_view text);

/// True where `text` is a usable name: not empty, no control characters.
bool isPlainName(std::string_view text);

} // namespace transom
