// See KernelText.h.
#include "codegen/cuda/KernelText.h"

#include "ir/DimAnalysis.h"

#include <cmath>
#include <fmt/ranges.h>

using namespace mlir;

namespace transom::cuda {

std::string memoryType(DType dtype) {
  switch (dtype) {
  case DType::f32: return "float";
  case DType::f16: return "Half";
  case DType::bf16: return "BFloat";
  case DType::f64: return "double";
  case DType::f8e4m3: return "E4m3";
  case DType::i8: return "int8";
  case DType::i16: return "short";
  case DType::i32: return "int";
  case DType::i64: return "int64";
  default: return "uint8";
  }
}

std::string computeType(Type element) {
  if (element.isF64())
    return "double";
  if (isa<FloatType>(element))
    return "float";
  if (element.isInteger(1))
    return "bool";
  return memoryType(storedType(element));
}

std::string floatText(double value) {
  if (std::isnan(value))
    return "__int_as_float(0x7fc00000)";
  if (std::isinf(value))
    return value > 0 ? "infinity()" : "-infinity()";
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.9g", value);
  std::string text = buffer;
  if (text.find_first_of(".e") == std::string::npos)
    text += ".0";
  return text + "f";
}

KernelPool::KernelPool(ModuleOp module) {
  // The artifact's symbols are the bounds in their order.
  auto bounds = module->getAttrOfType<DictionaryAttr>("transom.bounds");
  for (NamedAttribute bound : bounds ? bounds : DictionaryAttr::get(module.getContext()))
    symbols.try_emplace(bound.getName(), symbols.size());
}

std::string KernelPool::sizeText(const DimExpr &size) const {
  std::string sum;
  for (auto &[names, coefficient] : size.polynomial()) {
    std::string term;
    if (names.empty() || coefficient != 1)
      term = std::to_string(coefficient);
    for (const std::string &name : names)
      term += (term.empty() ? "" : " * ") + ("symbols[" + std::to_string(symbols.lookup(name)) + "]");
    sum += (sum.empty() ? "" : " + ") + term;
  }
  return sum.empty() ? "0" : sum;
}

size_t KernelPool::add(StringRef name, const KernelText &text, std::vector<uint32_t> block, uint32_t sharedBytes) {
  std::string key = text.source("ENTRY") + llvm::formatv("|{0}|{1}", fmt::format("{}", fmt::join(block, "x")), sharedBytes).str();
  auto [entry, isNew] = byText.try_emplace(key, kernels.size());
  if (!isNew)
    return entry->second;
  std::string own = name.str();
  for (char &c : own)
    if (!std::isalnum(static_cast<unsigned char>(c)))
      c = '_';
  if (std::isdigit(static_cast<unsigned char>(own[0])))
    own = "k" + own;
  std::string unique = own;
  for (unsigned i = 1; !taken.insert(unique).second; ++i)
    unique = own + "_" + std::to_string(i);
  kernels.push_back({unique, text.source(unique), std::move(block), sharedBytes, 0, text.stays ? text.cluster : 0});
  usedHeaders.insert(text.headers.begin(), text.headers.end());
  return entry->second;
}

DType storedType(const CudaBuffer &buffer) {
  return buffer.kind == CudaBuffer::Kind::plan ? storedType(plan::storedElementOf(buffer.value)) : buffer.dtype;
}
Dims sizesOf(const CudaBuffer &buffer) { return buffer.kind == CudaBuffer::Kind::plan ? plan::sizesOf(buffer.value) : buffer.shape; }

std::string KernelText::pointer(const CudaBuffer &buffer, bool written) {
  auto known = llvm::find(buffers, buffer);
  size_t index = size_t(known - buffers.begin());
  if (known == buffers.end()) {
    buffers.push_back(buffer);
    types.push_back("const " + memoryType(storedType(buffer)));
  }
  if (written && StringRef(types[index]).starts_with("const "))
    types[index] = types[index].substr(6);
  return "b" + std::to_string(index);
}

std::string KernelText::pointer(Value buffer, bool written) {
  CudaBuffer plain;
  plain.value = buffer;
  return pointer(plain, written);
}

std::string KernelText::workspace(const CudaBuffer &buffer, StringRef type) {
  assert(!work && "one workspace");
  work = buffer;
  workType = type.str();
  return "workspace";
}

std::string KernelText::map(CudaMapPlan plan) {
  include("Base.cuh");
  maps.push_back(std::move(plan));
  return "m" + std::to_string(maps.size() - 1);
}

std::string KernelText::structFields() const {
  std::string fields;
  for (size_t i = 0; i < buffers.size(); ++i)
    fields += "  " + types[i] + " *b" + std::to_string(i) + ";\n";
  return fields + "  const int64 *symbols;\n  int64 rows;\n";
}

std::string KernelText::structValues() const {
  std::string values;
  for (size_t i = 0; i < buffers.size(); ++i)
    values += "b" + std::to_string(i) + ", ";
  return values + "symbols, rows";
}

void KernelText::inClusters(int64_t blocks) {
  attributes = "CLUSTER ";
  cluster = uint32_t(blocks);
  preamble = "#if __CUDA_ARCH__ >= 900\n#define CLUSTER __cluster_dims__(" + std::to_string(blocks) + ", 1, 1)\n#else\n#define CLUSTER\n#endif\n" + preamble;
}

std::string KernelText::source(StringRef name) const {
  std::string text;
  for (const std::string &header : headers)
    text += "#include \"" + header + "\"\n";
  text += "using namespace transom::cuda;\n\n" + preamble;
  text += ("extern \"C\" __global__ void " + attributes + "__launch_bounds__(" + launchBounds + ")\n" + name + "(").str();
  for (size_t i = 0; i < maps.size(); ++i)
    text += "const __grid_constant__ TensorMap m" + std::to_string(i) + ", ";
  for (size_t i = 0; i < buffers.size(); ++i)
    text += types[i] + " *b" + std::to_string(i) + ", ";
  text += "const int64 *symbols";
  if (work)
    text += ", " + workType + " *workspace";
  return text + ") {\n" + body + "}\n";
}

bool isConstant(const CudaBuffer &buffer) {
  return buffer.kind == CudaBuffer::Kind::weight || (buffer.kind == CudaBuffer::Kind::plan && plan::storageOf(buffer.value).getKind() == plan::BufferKind::weight);
}

} // namespace transom::cuda
