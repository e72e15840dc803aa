// Checks of what an artifact holds for CUDA: kernels, cubins, and the steps of its programs.
#include "runtime/format/CheckProgram.h"

#include <algorithm>
#include <set>

namespace transom::artifact {

namespace {

// Limits that hold on every architecture: CUDA C++ Programming Guide, "Compute Capabilities".
constexpr uint32_t maxBlockThreads = 1024, maxBlockZ = 64, maxRegisters = 255, maxCluster = 16;
constexpr uint64_t maxGrid[] = {INT32_MAX, UINT16_MAX, UINT16_MAX};
/// Shared memory is checked against the device when the kernel is loaded; this is more than any has.
constexpr uint32_t maxSharedBytes = 1 << 20;
/// 4096 bytes of parameters: maps of tensors, 128 bytes each, then pointers, two of which are the table of symbols and the workspace.
constexpr size_t maxMaps = 8, maxBuffers = 4096 / 8 - 2 - maxMaps * 16;
constexpr size_t maxMapRank = 5; // CUDA driver API, cuTensorMapEncodeTiled
constexpr uint32_t maxBox = 256;
/// The library is given a workspace per stream; it asks for 32 MiB at most by itself.
constexpr uint64_t maxGemmWorkspace = uint64_t(1) << 30;
constexpr size_t algorithmBytes = 64; // sizeof(cublasLtMatmulAlgo_t)

bool isIdentifier(std::string_view text) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !text.empty() && letter(text[0]) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

/// "cuda:sm_90a": two or three digits, then nothing, or "a" or "f" for cubins of one architecture or family.
bool isCudaTarget(std::string_view target) {
  constexpr std::string_view prefix = "cuda:sm_";
  if (!target.starts_with(prefix))
    return false;
  target.remove_prefix(prefix.size());
  size_t digits = std::min(target.find_first_not_of("0123456789"), target.size());
  std::string_view suffix = target.substr(digits);
  return digits >= 2 && digits <= 3 && (suffix.empty() || suffix == "a" || suffix == "f");
}

Status checkKernel(const CudaKernel &kernel) {
  if (!isIdentifier(kernel.name))
    return invalid("name: not an identifier of C");
  if (kernel.source.empty() || kernel.source.find('\0') != std::string::npos)
    return invalid("source: it is empty or holds a zero byte");
  if (kernel.block.empty() || kernel.block.size() > 3)
    return invalid("block: expected 1 to 3 dimensions, found {}", kernel.block.size());
  CheckedSize threads = 1;
  for (uint32_t size : kernel.block)
    threads = threads * CheckedSize(size);
  if (threads.value() == 0 || !threads.fits(maxBlockThreads) || (kernel.block.size() == 3 && kernel.block[2] > maxBlockZ))
    return invalid("block: {} is none that CUDA has", fmt::join(kernel.block, "x"));
  if (kernel.sharedBytes > maxSharedBytes)
    return invalid("shared_bytes: {}, more than {}", kernel.sharedBytes, maxSharedBytes);
  if (kernel.maxRegisters > maxRegisters)
    return invalid("max_registers: {}, more than {}", kernel.maxRegisters, maxRegisters);
  if (kernel.stays > maxCluster)
    return invalid("stays: clusters of {} blocks, more than {}", kernel.stays, maxCluster);
  return {};
}

} // namespace

Status checkCudaKernels(const Contents &contents) {
  TRANSOM_RETURN_IF_ERROR(checkNames(contents.cudaHeaders, "cuda header"));
  for (const CudaHeader &header : contents.cudaHeaders)
    if (header.text.find('\0') != std::string::npos)
      return invalid("cuda header {}: text: it holds a zero byte", header.name);
  TRANSOM_RETURN_IF_ERROR(checkNames(contents.cudaKernels, "cuda kernel"));
  std::set<std::string_view> names;
  for (const CudaKernel &kernel : contents.cudaKernels) {
    TRANSOM_RETURN_IF_ERROR(checkKernel(kernel).within("cuda kernel " + kernel.name));
    names.insert(kernel.name);
  }
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const Code &code : contents.code) {
    if (!code.isFor(Device::cuda))
      continue;
    if (!isCudaTarget(code.target))
      return invalid("code {}: target: expected an architecture such as cuda:sm_90a", code.target);
    for (const std::string &name : code.kernels) {
      if (!names.contains(name))
        return invalid("code {}: kernels: \"{}\" is no cuda kernel of the artifact", code.target, name);
      if (!seen.insert({code.target, name}).second)
        return invalid("code {}: kernels: \"{}\" appears twice", code.target, name);
    }
  }
  return {};
}

Status ProgramChecker::checkChoice(const CudaChoice &choice) const {
  if (choice.kernel >= contents_.cudaKernels.size())
    return invalid("kernel: {} of {}", choice.kernel, contents_.cudaKernels.size());
  if (choice.grid.empty() || choice.grid.size() > 3)
    return invalid("grid: expected 1 to 3 dimensions, found {}", choice.grid.size());
  if (!choice.per.empty() && (choice.per.size() != choice.grid.size() || std::count(choice.per.begin(), choice.per.end(), 0u) != 0))
    return invalid("per: expected none or {} numbers above 0", choice.grid.size());
  for (size_t i = 0; i < choice.grid.size(); ++i)
    TRANSOM_RETURN_IF_ERROR(checkWork(choice.grid[i], "grid", maxGrid[i] * (choice.per.empty() ? 1 : choice.per[i])));
  return {};
}

/// That the tensor which the map describes lies in its buffer.
Status ProgramChecker::checkMap(const TensorMap &map) const {
  TRANSOM_RETURN_IF_ERROR(checkBufferIndex(map.buffer, "map"));
  const Buffer &buffer = program_.buffers[map.buffer];
  if (buffer.dtype != DType::f16 && buffer.dtype != DType::bf16 && buffer.dtype != DType::f8e4m3)
    return invalid("map: expected f16, bf16 or f8e4m3, found {}", name(buffer.dtype));
  uint32_t bytes = layoutOf(buffer.dtype).bytes;
  if (map.sizes.empty() || map.sizes.size() > maxMapRank || map.strides.size() + 1 != map.sizes.size() || map.box.size() != map.sizes.size())
    return invalid("map: expected 1 to {} sizes, a stride less and as many of a box, found {}, {} and {}", maxMapRank,
                   map.sizes.size(), map.strides.size(), map.box.size());
  CheckedSize last = 0; // the place of the last element
  for (size_t i = 0; i < map.sizes.size(); ++i) {
    TRANSOM_RETURN_IF_ERROR(checkWork(map.sizes[i], "map", UINT32_MAX));
    CheckedSize size = upperBound(map.sizes[i], contents_.symbols), stride = 1;
    if (i > 0) {
      TRANSOM_RETURN_IF_ERROR(checkWork(map.strides[i - 1], "map"));
      stride = upperBound(map.strides[i - 1], contents_.symbols);
      if (stride.value() * bytes % 16 != 0)
        return invalid("map: a stride of {} is no multiple of 16 bytes", stride.value());
    }
    if (map.box[i] == 0 || map.box[i] > maxBox || (i == 0 && map.box[i] * bytes != 128 && map.box[i] * bytes != 64))
      return invalid("map: a box of {} in dimension {}", map.box[i], i);
    last = last + CheckedSize(size.value() ? size.value() - 1 : 0) * stride;
  }
  if (!((last + CheckedSize(1)) * CheckedSize(bytes)).fits(buffer.bytes))
    return invalid("map: it passes the end of its buffer of {} bytes", buffer.bytes);
  return {};
}

Status ProgramChecker::checkCondition(const CudaCondition &when) const {
  if (when.least < 0 || when.most < when.least)
    return invalid("least and most: expected rows, found {} to {}", when.least, when.most);
  if (when.architectures > Architectures::others)
    return invalid("architectures: {} is none this version knows", static_cast<int>(when.architectures));
  return {};
}

Status ProgramChecker::checkStep(const CudaLaunch &launch) const {
  TRANSOM_RETURN_IF_ERROR(checkWork(launch.rows, "rows"));
  if (launch.choices.empty())
    return invalid("choices: none");
  for (const CudaChoice &choice : launch.choices) {
    if (&choice != &launch.choices.front() && choice.most < (&choice)[-1].most)
      return invalid("choices: {} rows after {}", choice.most, (&choice)[-1].most);
    TRANSOM_RETURN_IF_ERROR(checkChoice(choice));
  }
  if (launch.choices.back().sm != 0)
    return invalid("choices: the last is for compute capability {} only", launch.choices.back().sm);
  TRANSOM_RETURN_IF_ERROR(checkCondition(launch.when));
  if (launch.choices.back().most < launch.when.most &&
      !upperBound(launch.rows, contents_.symbols).fits(static_cast<uint64_t>(std::max<int64_t>(launch.choices.back().most, 0))))
    return invalid("choices: none is for the {} rows at the bounds", upperBound(launch.rows, contents_.symbols).value());
  if (launch.maps.size() > maxMaps)
    return invalid("maps: expected at most {}, found {}", maxMaps, launch.maps.size());
  for (const TensorMap &map : launch.maps)
    TRANSOM_RETURN_IF_ERROR(checkMap(map));
  if (launch.buffers.empty() || launch.buffers.size() > maxBuffers)
    return invalid("buffers: expected 1 to {}, found {}", maxBuffers, launch.buffers.size());
  for (uint32_t index : launch.buffers)
    TRANSOM_RETURN_IF_ERROR(checkBufferIndex(index, "buffers"));
  if (launch.workspace < -1)
    return invalid("workspace: expected a buffer or -1, found {}", launch.workspace);
  if (launch.workspace >= 0)
    TRANSOM_RETURN_IF_ERROR(checkBufferIndex(static_cast<uint64_t>(launch.workspace), "workspace"));
  return {};
}

Status ProgramChecker::checkStep(const CudaGemm &gemm) const {
  TRANSOM_RETURN_IF_ERROR(checkProduct(gemm));
  TRANSOM_RETURN_IF_ERROR(checkWritten(gemm.out, "out"));
  auto dtypeOf = [&](uint32_t index) { return program_.buffers[index].dtype; };
  DType type = dtypeOf(gemm.lhs), out = dtypeOf(gemm.out);
  if (type != dtypeOf(gemm.rhs) || (type != DType::f32 && type != DType::f16 && type != DType::bf16))
    return invalid("lhs and rhs: expected f32, f16 or bf16 for both, found {} and {}", name(type), name(dtypeOf(gemm.rhs)));
  if (out != DType::f32 && out != type)
    return invalid("out: expected f32 or {}, found {}", name(type), name(out));
  if (gemm.compute > GemmCompute::tf32 || gemm.activation > GemmActivation::geluTanh)
    return invalid("compute and activation: {} and {} are none this version knows", static_cast<int>(gemm.compute),
                   static_cast<int>(gemm.activation));
  if (gemm.compute == GemmCompute::tf32 && type != DType::f32)
    return invalid("compute: tf32 for operands of {}", name(type));
  TRANSOM_RETURN_IF_ERROR(checkCondition(gemm.when));
  if (gemm.workspace > maxGemmWorkspace)
    return invalid("workspace: {} bytes, more than {}", gemm.workspace, maxGemmWorkspace);
  if (gemm.oneAlgorithm && gemm.workspace > 0)
    return invalid("one_algorithm: expected no workspace, found {} bytes", gemm.workspace);
  if (!gemm.algorithm.empty() && gemm.algorithm.size() != algorithmBytes)
    return invalid("algorithm: expected none or {} bytes, found {}", algorithmBytes, gemm.algorithm.size());
  return checkAddends(gemm);
}

Status ProgramChecker::checkAddends(const CudaGemm &gemm) const {
  DType out = program_.buffers[gemm.out].dtype;
  if (gemm.bias < -1 || gemm.residual < -1)
    return invalid("bias and residual: expected buffers or -1, found {} and {}", gemm.bias, gemm.residual);
  if (gemm.residual >= 0 && gemm.activation != GemmActivation::none)
    return invalid("residual: none can follow an activation");
  for (auto [index, field, rows] : {std::tuple(gemm.bias, "bias", Expr::constant(1)), std::tuple(gemm.residual, "residual", gemm.m)}) {
    if (index < 0)
      continue;
    TRANSOM_RETURN_IF_ERROR(checkMatrix(static_cast<uint32_t>(index), field, rows, gemm.n));
    if (DType found = program_.buffers[static_cast<size_t>(index)].dtype; found != out)
      return invalid("{}: expected {} as out has, found {}", field, name(out), name(found));
  }
  return {};
}

} // namespace transom::artifact
