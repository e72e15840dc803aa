// The compiler as a library: a model in, an artifact out. The one header of compiler/ that programs include; free of MLIR.
#pragma once

#include "compiler/Options.h"
#include "runtime/format/DType.h"
#include "runtime/support/Status.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#define TRANSOM_COMPILER_API __attribute__((visibility("default")))

namespace transom {

/// What was done and what it will need, for people and for `--json`.
struct CompileReport {
  struct Stage {
    std::string name;
    double seconds = 0;
  };
  struct Program {
    std::string name;
    std::string device; ///< "cpu" or "cuda"
    uint64_t kernels = 0, launches = 0, products = 0; ///< distinct kernels used, launches of them, library products
    uint64_t arenaBytes = 0, stagingBytes = 0;
  };
  std::string model, architecture, task, target;
  std::vector<Stage> stages;
  std::vector<Program> programs;
  uint64_t weightBytes = 0, stateBytes = 0, fileBytes = 0;
  std::vector<int64_t> buckets; ///< of tokens, where lengths were given, and the shares of computed tokens that are expected to be
  double waste = 0, plainWaste = 0; ///< wasted with and without them
  std::vector<std::string> forfeits; ///< with batchInvariant: what the programs do without, a line each
  uint64_t quantised = 0; ///< products with operands of 8 bits, of all programs
  std::string dtype; ///< how GPUs store numbers; empty without programs for them
};

/// Called as work proceeds: the stage's name and the share of it that is done, 0 to 1.
using CompileProgress = std::function<void(const std::string &stage, double share)>;

/// Whether targets and options go together, as far as no model is needed to tell. compileModel asks too.
TRANSOM_COMPILER_API Status checkOptions(const CompilerOptions &options);

/// Compiles the model at `input` (a Hugging Face folder, a GGUF file or an .mlir file) into the artifact `output`, which
/// appears complete or not at all. Equal inputs and options give equal bytes.
/// Errors: those of the importers, passes and code generators; io for the output.
TRANSOM_COMPILER_API Result<CompileReport> compileModel(const std::string &input, const std::string &output,
                                                        const CompilerOptions &options, const CompileProgress &progress);

/// A dense tensor by name, in the caller's or its own memory.
struct HostTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

/// Evaluates the model's naive graph on the reference interpreter: slow, right, and free of passes and generated code.
/// Inputs by the names of the entry function `function`; outputs in its order, fp32 (fp64 where `doublePrecision`).
enum class ReferencePrecision { f32, f64 };
TRANSOM_COMPILER_API Result<std::vector<HostTensor>> interpretModel(const std::string &input, const std::string &function,
                                                                    std::vector<HostTensor> inputs,
                                                                    ReferencePrecision precision);

/// The passes in the order they run. Those that are not switchable cannot be disabled.
struct PassName {
  std::string name;
  bool switchable = false;
};
TRANSOM_COMPILER_API std::vector<PassName> passNames();

/// The graph of the model as text after the pass `stage`: "import" is before any, the last pass leaves the plan.
TRANSOM_COMPILER_API Result<std::string> stageText(const std::string &input, const std::string &stage,
                                                   const CompilerOptions &options);

} // namespace transom
