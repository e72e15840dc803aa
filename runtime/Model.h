// A loaded artifact, ready to run on the CPU: verified, its code loaded, its weights mapped.
#pragma once

#include "runtime/cpu/CodeLoader.h"
#include "runtime/cpu/Gemm.h"
#include "runtime/format/Artifact.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <memory>
#include <optional>

namespace transom {

/// Bytes a session takes, all of them before its first run, and the weights, which sessions share.
struct MemoryPlan {
  uint64_t weights = 0; ///< mapped from the file
  uint64_t states = 0;  ///< caches
  uint64_t arena = 0;   ///< intermediate values of a run
  uint64_t staging = 0; ///< inputs and outputs
  uint64_t scratch = 0; ///< of all threads
  uint64_t session() const { return states + arena + staging + scratch; }
};

/// What a session of `threads` threads takes, from an artifact's contents alone: nothing of it runs.
MemoryPlan memoryPlanOf(const artifact::Contents &contents, uint32_t threads);

/// Immutable, and safe to share between threads; sessions keep it alive.
class Model {
public:
  /// Errors: Artifact::open's and LoadedCode::load's; notFound where the model needs oneDNN and there is none.
  /// Runs the initialisers of the code in the file: load only artifacts that you trust.
  static Result<std::shared_ptr<const Model>> load(const std::string &path);

  const Artifact &artifact() const { return artifact_; }
  const artifact::Contents &contents() const { return artifact_.contents(); }
  const LoadedCode &code() const { return code_; }
  /// Null where no program has a Gemm step.
  const GemmLibrary *gemmLibrary() const { return gemm_; }

  /// Null where the artifact carries none.
  const tokenizer::Tokenizer *tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }

  MemoryPlan memoryPlan(uint32_t threads) const { return memoryPlanOf(contents(), threads); }
  /// Bytes of scratch each thread needs, rounded up to whole pages.
  uint64_t scratchPerThread() const;

  /// The index of a program; notFound lists those there are.
  Result<size_t> programIndex(std::string_view name) const;
  /// A metadata value that is a whole number; nothing where it is absent or is not.
  std::optional<int64_t> metadataNumber(std::string_view key) const;

private:
  Model(Artifact artifact, LoadedCode code) : artifact_(std::move(artifact)), code_(std::move(code)) {}
  Artifact artifact_;
  LoadedCode code_;
  const GemmLibrary *gemm_ = nullptr;
  std::optional<tokenizer::Tokenizer> tokenizer_;
};

/// A whole number written in decimal, all of `text`.
std::optional<int64_t> parseNumber(std::string_view text);

} // namespace transom
