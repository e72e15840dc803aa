// See TensorSource.h.
#include "compiler/import/files/TensorSource.h"

#include <algorithm>

namespace transom {

Status TensorSource::add(Tensor tensor) {
  if (!isPlainName(tensor.name))
    return error(StatusCode::invalidFile, "tensor name '{}': expected printable text",
                 printable(tensor.name));
  // Zero-sized dimensions must not hide an overflow of the others from whoever multiplies them in another
  // order.
  CheckedSize volume = layoutOf(tensor.dtype).bytes;
  for (int64_t dim : tensor.shape)
    volume = dim < 0 ? CheckedSize::invalid()
                     : volume * CheckedSize(static_cast<uint64_t>(std::max<int64_t>(dim, 1)));
  CheckedSize bytes = bytesFor(tensor.dtype, tensor.shape);
  if (!volume.fits(INT64_MAX) || !bytes.valid()) {
    if (isQuantized(tensor.dtype) && volume.fits(INT64_MAX))
      return error(StatusCode::invalidFile,
                   "tensor {}: rows of {} must be a multiple of {} elements, found shape {}",
                   printable(tensor.name), transom::name(tensor.dtype), layoutOf(tensor.dtype).elements,
                   formatShape(tensor.shape));
    return error(StatusCode::invalidFile, "tensor {}: shape {} is too large", printable(tensor.name),
                 formatShape(tensor.shape));
  }
  if (bytes.value() != tensor.bytes.size())
    return error(StatusCode::invalidFile, "tensor {}: shape {} of {} needs {} bytes, found {}",
                 printable(tensor.name), formatShape(tensor.shape), transom::name(tensor.dtype),
                 bytes.value(), tensor.bytes.size());
  if (!index_.emplace(tensor.name, tensors_.size()).second)
    return error(StatusCode::invalidFile, "tensor {}: the name appears twice", printable(tensor.name));
  tensors_.push_back(std::move(tensor));
  return {};
}

const Tensor *TensorSource::find(std::string_view name) const {
  auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

Result<const Tensor *> TensorSource::get(std::string_view name) const {
  if (const Tensor *tensor = find(name))
    return tensor;
  return error(StatusCode::notFound, "tensor {}: missing from the model", printable(name));
}

std::string formatShape(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string printable(std::string_view text) {
  constexpr size_t limit = 80;
  std::string out;
  for (char c : text.substr(0, limit)) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return text.size() > limit ? out + "..." : out;
}

bool isPlainName(std::string_view text) {
  return !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

} // namespace transom
