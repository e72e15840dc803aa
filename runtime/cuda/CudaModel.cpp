// See CudaModel.h.
#include "runtime/cuda/CudaModel.h"

#include "runtime/cuda/WeightUpload.h"

#include <algorithm>

namespace transom {

using namespace cuda;

namespace {

constexpr uint64_t weightAlignment = 256;

/// Where each weight that a program for CUDA uses lies in the one block; UINT64_MAX for others. Stores the block's bytes.
std::vector<uint64_t> placesOf(const artifact::Contents &contents, uint64_t &bytes) {
  constexpr uint64_t unused = UINT64_MAX;
  std::vector<uint64_t> places(contents.weights.size(), unused);
  for (const artifact::Program &program : contents.programs)
    if (program.device == artifact::Device::cuda)
      for (const artifact::Buffer &buffer : program.buffers)
        if (buffer.kind == artifact::BufferKind::weight)
          places[buffer.index] = 0;
  bytes = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i] == unused)
      continue;
    places[i] = bytes;
    // A weight without bytes has an address of its own too. Nothing overflows: the bytes are those of one file.
    bytes = CheckedSize(bytes + std::max<uint64_t>(contents.weights[i].section.bytes, 1)).alignedTo(weightAlignment).value();
  }
  return places;
}

bool hasProducts(const artifact::Contents &contents) {
  return std::any_of(contents.programs.begin(), contents.programs.end(), [](const artifact::Program &program) {
    return std::any_of(program.steps.begin(), program.steps.end(), [](const artifact::Step &step) {
      return std::holds_alternative<artifact::CudaGemm>(step.kind);
    });
  });
}

/// Whether kernels that only compute capability 9.0 has read numbers of 8 bits: nothing else computes the same.
bool hasE4m3(const artifact::Contents &contents) {
  return std::any_of(contents.programs.begin(), contents.programs.end(), [](const artifact::Program &program) {
    return std::any_of(program.steps.begin(), program.steps.end(), [&](const artifact::Step &step) {
      auto *launch = std::get_if<artifact::CudaLaunch>(&step.kind);
      return launch && std::any_of(launch->maps.begin(), launch->maps.end(), [&](const artifact::TensorMap &map) {
               return program.buffers[map.buffer].dtype == DType::f8e4m3;
             });
    });
  });
}

} // namespace

uint64_t cudaWeightBytes(const artifact::Contents &contents) {
  uint64_t bytes = 0;
  placesOf(contents, bytes);
  return bytes;
}

Result<std::shared_ptr<const CudaModel>> CudaModel::load(const Artifact &artifact, std::shared_ptr<const CudaDevice> device) {
  const artifact::Contents &contents = artifact.contents();
  std::shared_ptr<CudaModel> model(new CudaModel);
  model->device_ = device;
  if (!contents.runsOn(artifact::Device::cuda))
    return error(StatusCode::unsupported, "the artifact has no program for GPUs");
  // Kernels use tensor core instructions that older devices do not have.
  if (const CudaDeviceInfo &info = device->info(); info.major * 10 + info.minor < 75)
    return error(StatusCode::unsupported, "{}: expected compute capability 7.5 or more, found {}.{}", info.name, info.major, info.minor);
  if (const CudaDeviceInfo &info = device->info(); hasE4m3(contents) && info.major * 10 + info.minor < 89)
    return error(StatusCode::unsupported, "{}: products of 8 bits (fp8) need compute capability 8.9 or more, found {}.{}{}", info.name, info.major, info.minor,
                 contents.runsOn(artifact::Device::cpu) ? "; the artifact runs on the CPU too: --device=cpu" : "");
  TRANSOM_ASSIGN(model->kernels_, CudaKernels::load(artifact, device));
  if (hasProducts(contents)) {
    TRANSOM_ASSIGN(model->cublasLt_, CublasLtHandle::create(device));
  }

  uint64_t bytes = 0;
  std::vector<uint64_t> places = placesOf(contents, bytes);
  TRANSOM_RETURN_IF_ERROR(checkFree(*device, bytes, "weights"));
  TRANSOM_ASSIGN(model->memory_, DeviceMemory::allocate(device, bytes, "weights", Fill::nothing));
  std::vector<UploadPiece> pieces;
  model->weights_.assign(places.size(), 0);
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i] == UINT64_MAX)
      continue;
    pieces.push_back({artifact.bytes(contents.weights[i].section), places[i]});
    model->weights_[i] = model->memory_.pointer() + places[i];
  }
  TRANSOM_RETURN_IF_ERROR(uploadWeights(device, model->memory_.pointer(), bytes, pieces));
  return std::shared_ptr<const CudaModel>(std::move(model));
}

} // namespace transom
