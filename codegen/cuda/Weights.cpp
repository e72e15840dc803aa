// See Weights.h.
#include "codegen/cuda/Weights.h"

#include "runtime/format/Planes.h"

using namespace mlir;

namespace transom::cuda {

std::string formatText(RankedTensorType type, DType dtype) {
  std::string k = std::to_string(type.getDimSize(1));
  auto block = dyn_cast<BlockType>(type.getElementType());
  if (!block)
    return "PlainFormat<" + memoryType(dtype) + ", " + k + ">";
  switch (block.getFormat()) {
  case BlockFormat::q8_0: return "Q80Format<" + k + ">";
  case BlockFormat::q4_0: return "Q4Format<" + k + ", false>";
  case BlockFormat::q4_1: return "Q4Format<" + k + ", true>";
  case BlockFormat::q5_0: return "Q5Format<" + k + ", false>";
  case BlockFormat::q5_1: return "Q5Format<" + k + ", true>";
  case BlockFormat::q4_k: return "Q4KFormat<" + k + ">";
  case BlockFormat::q5_k: return "Q5KFormat<" + k + ">";
  case BlockFormat::q6_k: return "Q6KFormat<" + k + ">";
  }
  llvm_unreachable("a format without planes");
}

CudaBuffer WeightForms::add(Value buffer, CudaWeight::Form form, DType dtype, std::vector<int64_t> shape) {
  std::string source = plan::storageOf(buffer).getName()->str();
  std::string own = source + (form == CudaWeight::Form::planes ? ".planes" : "." + std::string(name(dtype)));
  auto known = llvm::find_if(weights, [&](const CudaWeight &weight) { return weight.name == own; });
  CudaBuffer result;
  result.kind = CudaBuffer::Kind::weight;
  result.index = size_t(known - weights.begin());
  result.dtype = dtype;
  for (int64_t size : shape)
    result.shape.push_back(size);
  if (known == weights.end())
    weights.push_back({own, source, form, dtype, std::move(shape)});
  return result;
}

CudaBuffer WeightForms::read(Value buffer) {
  CudaBuffer plain;
  plain.value = buffer;
  auto type = dyn_cast<RankedTensorType>(plan::tensorOf(buffer));
  auto block = type ? dyn_cast<BlockType>(type.getElementType()) : BlockType();
  if (!block || plan::storageOf(buffer).getKind() != plan::BufferKind::weight)
    return plain;
  int64_t k = type.getShape().back(), n = type.getNumElements() / k;
  return add(buffer, CudaWeight::Form::planes, DType::u8, {int64_t(planes::planesBytes(storedType(block), n, k))});
}

CudaBuffer WeightForms::matrix(Value buffer, DType dtype) {
  CudaBuffer result = read(buffer);
  if (result.kind == CudaBuffer::Kind::weight || plan::storageOf(buffer).getKind() != plan::BufferKind::weight ||
      storedType(result) == dtype)
    return result;
  auto type = cast<RankedTensorType>(plan::storageOf(buffer).getTensor());
  return add(buffer, CudaWeight::Form::converted, dtype, type.getShape().vec());
}

std::string viewText(KernelText &text, const CudaBuffer &matrix, RankedTensorType type, const std::string &format) {
  std::string pointer = text.pointer(matrix);
  if (!isa<BlockType>(type.getElementType()))
    return format + "::View{" + pointer + "}";
  text.include("Planes.cuh");
  return "PlanesAt<" + format + ">::view(" + pointer + ", " + std::to_string(type.getDimSize(0)) + ")";
}

int64_t emitUnpack(KernelText &text, const CudaBuffer &matrix, RankedTensorType type, DType to, const CudaBuffer &out) {
  text.include("Planes.cuh");
  int64_t n = type.getDimSize(0), k = type.getDimSize(1);
  std::string format = formatText(type, to), view = viewText(text, matrix, type, format), y = text.pointer(out, true);
  text.line("unpackPlanes<" + format + ", " + memoryType(to) + ", 256>(" + view + ", " + y + ", " + std::to_string(n) + ");");
  int64_t step = cast<BlockType>(type.getElementType()).getFormat() == BlockFormat::q8_0 ? 64 : 128; // columns that four threads decode
  return n * ((k + step - 1) / step) * 4;
}

std::string planesLanes(KernelText &text, const CudaBuffer &table, RankedTensorType type, const std::string &row, const std::string &column) {
  std::string format = formatText(type, DType::f32);
  return "planesLanes<" + format + ">(" + viewText(text, table, type, format) + ", " + row + ", " + column + ")";
}

} // namespace transom::cuda
