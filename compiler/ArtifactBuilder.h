// From a plan and its code to an artifact file: the last stage of the compiler.
#pragma once

#include "codegen/cpu/CpuCodegen.h"
#include "codegen/cuda/CudaCodegen.h"
#include "compiler/CudaCubins.h"
#include "compiler/import/files/TensorSource.h"
#include "runtime/support/Status.h"
#include "runtime/tokenizer/Spec.h"

#include "mlir/IR/BuiltinOps.h"

#include <functional>
#include <optional>

namespace transom {

/// Plan and code for CPUs. Plans are verified, after plan-memory or lower-to-plan.
struct CpuPart {
  mlir::ModuleOp plan;
  CpuCode code;
};
/// Plan and code for NVIDIA GPUs. Without cubins kernels are compiled when the model is loaded.
struct CudaPart {
  mlir::ModuleOp plan;
  CudaCode code;
  std::vector<Cubin> cubins;
};

/// What an artifact is made of; at least one of the first two. Name, architecture, task, bounds and metadata are attributes of
/// either module.
struct ArtifactParts {
  const CpuPart *cpu;
  const CudaPart *cuda;
  const TensorSource &weights;
  const std::optional<tokenizer::TokenizerSpec> &tokenizer;
  std::vector<int64_t> tokenBuckets; ///< of the size "tokens"; may be empty
  bool batchInvariant = false;       ///< says so in the metadata
};

struct BuiltArtifact {
  uint64_t weightBytes = 0, fileBytes = 0;
};

/// Writes the artifact `path`, complete or not at all. Equal parts give equal bytes. `progress` gets bytes written so far
/// and in all; may be empty. Memory: one weight's recipe at a time.
/// Errors: io; what the source or a recipe says of a weight; invalidFile for metadata that is no text.
Result<BuiltArtifact> buildArtifact(const std::string &path, const ArtifactParts &parts,
                                    std::function<void(uint64_t, uint64_t)> progress);

} // namespace transom
