// Reads models into the graph dialect, in the plain form that a framework would run. Nothing is optimised
// here: passes do that, for every model alike.
#pragma once

#include "compiler/import/files/TensorSource.h"
#include "runtime/support/Status.h"
#include "runtime/tokenizer/Spec.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace transom {

/// The largest sizes that the compiled model takes; they become the module's bounds.
struct ImportOptions {
  int64_t maxBatch = 0; ///< rows; 0: 1 for a decoder, whose caches grow with it, 16 for an encoder
  int64_t maxSeq = 512; ///< new tokens of a row in one call; cut to the context
  int64_t maxContext = 0; ///< past and new tokens of a row; 0: what the model declares
  bool tokenizer = true;  ///< false: the model's tokenizer is not looked at
  std::string weights;    ///< of .mlir files: the file with the weights; empty: beside it, same name,
                          ///< .safetensors or .gguf
};

/// A verified module, the tensors that its weights name, and the tokenizer where the model has one. Names,
/// bounds, task
/// ("generate", "embed" or "run") and metadata are attributes of the module:
/// transom.model, transom.architecture, transom.task, transom.bounds, transom.metadata.
struct ImportedModel {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::unique_ptr<TensorSource> weights;
  std::optional<tokenizer::TokenizerSpec> tokenizer;
};

/// Reads a Hugging Face folder, a GGUF file or an .mlir file in the dialect; loads the dialects it needs into
/// `context`. Errors: notFound, io, invalidFile, unsupported (names what is unknown and lists what is
/// supported), invalidArgument for options that the model cannot fulfil.
Result<ImportedModel> importModel(const std::string &path, const ImportOptions &options,
                                  mlir::MLIRContext &context);

} // namespace transom
