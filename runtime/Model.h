// A loaded artifact: verified, its weights mapped. What each device needs of it is made when a session first runs there.
#pragma once

#include "runtime/DeviceChoice.h"
#include "runtime/cpu/CodeLoader.h"
#include "runtime/cpu/Gemm.h"
#include "runtime/cuda/CudaModel.h"
#include "runtime/format/Artifact.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <map>
#include <memory>
#include <mutex>
#include <optional>

namespace transom {

/// Bytes a session takes, all of them before its first run, and the weights, which sessions share. Everything is the device's
/// memory but `pinned`.
struct MemoryPlan {
  uint64_t weights = 0; ///< those that the device's programs use; mapped from the file on the CPU
  uint64_t states = 0;  ///< caches that the device's programs use
  uint64_t arena = 0;   ///< intermediate values of a run
  uint64_t staging = 0; ///< inputs and outputs; on CUDA also the values of the symbols
  uint64_t scratch = 0; ///< of all threads; on CUDA what kernels keep, and cuBLASLt's
  uint64_t pinned = 0;  ///< page-locked memory of the host, from which CUDA devices copy, and to which
  uint64_t session() const { return states + arena + staging + scratch; }
};

/// What a session takes, from an artifact's contents alone: nothing of it runs. `threads` matter on the CPU only.
MemoryPlan memoryPlanOf(const artifact::Contents &contents, artifact::Device device, uint32_t threads);
/// The same on the CPU, or on CUDA where there are no programs for the CPU.
MemoryPlan memoryPlanOf(const artifact::Contents &contents, uint32_t threads);

/// Which states, or weights, programs for the device use.
std::vector<bool> statesOf(const artifact::Contents &contents, artifact::Device device);
std::vector<bool> weightsOf(const artifact::Contents &contents, artifact::Device device);
/// Bytes rounded up to the alignment of buffers.
uint64_t bufferPadded(uint64_t bytes);

/// What programs on the CPU call.
struct CpuBackend {
  LoadedCode code;
  const GemmLibrary *gemm = nullptr; ///< null where no program has a Gemm step
};

/// Immutable, and safe to share between threads; sessions keep it alive.
class Model {
public:
  /// Where all programs are for the CPU their code is loaded too; else it is when a session first runs on the CPU.
  /// Errors: Artifact::open's; those of cpu(). Runs the initialisers of the code in the file: load only artifacts that you trust.
  static Result<std::shared_ptr<const Model>> load(const std::string &path);

  const Artifact &artifact() const { return artifact_; }
  const artifact::Contents &contents() const { return artifact_.contents(); }

  /// Code for the CPU, loaded once; as long as the model lives. Errors: LoadedCode::load's; notFound where the model needs oneDNN
  /// and there is none.
  Result<const CpuBackend *> cpu() const;
  /// Weights and kernels on a GPU, loaded once for each; they stay there as long as the model lives. Errors: CudaDevice::open's,
  /// CudaModel::load's; a call after a failure tries again.
  Result<std::shared_ptr<const CudaModel>> cuda(int ordinal) const;
  /// Null where no program has a Gemm step, or where the code for the CPU is not loaded.
  const GemmLibrary *gemmLibrary() const;

  /// Null where the artifact carries none.
  const tokenizer::Tokenizer *tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }

  MemoryPlan memoryPlan(artifact::Device device, uint32_t threads) const { return memoryPlanOf(contents(), device, threads); }
  MemoryPlan memoryPlan(uint32_t threads) const { return memoryPlanOf(contents(), threads); }
  /// Bytes of scratch each thread needs on the CPU, rounded up to whole pages.
  uint64_t scratchPerThread() const;

  /// The index of a device's program; notFound lists those there are.
  Result<size_t> programIndex(std::string_view name, artifact::Device device) const;
  /// The same for the CPU, or for CUDA where there are no programs for the CPU.
  Result<size_t> programIndex(std::string_view name) const;
  /// A metadata value that is a whole number; nothing where it is absent or is not.
  std::optional<int64_t> metadataNumber(std::string_view key) const;

private:
  explicit Model(Artifact artifact) : artifact_(std::move(artifact)) {}
  Result<CpuBackend> loadCpu() const;
  Artifact artifact_;
  std::optional<tokenizer::Tokenizer> tokenizer_;
  mutable std::mutex mutex_; ///< of the two below
  mutable std::optional<CpuBackend> cpu_;
  mutable std::map<int, std::shared_ptr<const CudaModel>> cuda_; ///< by ordinal
};

/// A whole number written in decimal, all of `text`.
std::optional<int64_t> parseNumber(std::string_view text);

} // namespace transom
