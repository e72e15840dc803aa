// See Weights.h.
#include "test/random/Weights.h"

#include "compiler/interpreter/Interpreter.h"
#include "ir/Transom.h"
#include "test/random/Random.h"

#include <cmath>
#include <cstring>

namespace transom::random {

namespace {

void put(std::vector<std::byte> &bytes, const void *data, size_t size) {
  auto *first = static_cast<const std::byte *>(data);
  bytes.insert(bytes.end(), first, first + size);
}

/// Blocks of random bits with a scale of 2^-9 (q8_0) or 2^-5 (4 bits) in fp16, so that numbers are around 1/4.
void putBlock(std::vector<std::byte> &bytes, DType dtype, Random &random) {
  uint32_t size = layoutOf(dtype).bytes;
  uint16_t scale = dtype == DType::q8_0 ? (15 - 9) << 10 : (15 - 5) << 10;
  put(bytes, &scale, sizeof scale);
  for (uint32_t i = sizeof scale; i < size; ++i) {
    auto bits = static_cast<std::byte>(random.next());
    put(bytes, &bits, 1);
  }
}

std::vector<std::byte> bytesOf(DType dtype, llvm::ArrayRef<int64_t> shape, const std::string &name) {
  Random random(1, name);
  std::vector<std::byte> bytes;
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  bool isMatrix = shape.size() > 1;
  if (isQuantized(dtype)) {
    for (int64_t i = 0; i < count / layoutOf(dtype).elements; ++i)
      putBlock(bytes, dtype, random);
    return bytes;
  }
  float scale = isMatrix ? std::exp2(1 - std::ceil(std::log2(float(shape.back())) / 2)) : 0.5f;
  float center = llvm::StringRef(name).ends_with(".scale") ? 1 : 0;
  for (int64_t i = 0; i < count; ++i) {
    float number = center + float(random.small()) * scale;
    put(bytes, &number, sizeof number);
  }
  return bytes;
}

} // namespace

WeightFile::WeightFile(mlir::ModuleOp module) {
  module.walk([&](WeightOp op) {
    std::string name = op.getName().str();
    if (tensors.find(name))
      return;
    auto type = mlir::cast<mlir::RankedTensorType>(op.getResult().getType());
    DType dtype = interpreter::dtypeOf(type.getElementType());
    bytes.push_back(bytesOf(dtype, type.getShape(), name));
    Status status = tensors.add({name, dtype, type.getShape(), bytes.back()});
    assert(status.ok());
    (void)status;
  });
}

} // namespace transom::random
