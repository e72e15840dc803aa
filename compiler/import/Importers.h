// The importers behind importModel, one per kind of file, and what they share. Private to this folder.
#pragma once

#include "compiler/import/Import.h"
#include "compiler/import/files/Gguf.h"
#include "compiler/import/files/Json.h"

namespace transom {

Result<ImportedModel> importGguf(const std::string &path, const ImportOptions &options,
                                 mlir::MLIRContext &context);
Result<ImportedModel> importHfFolder(const std::string &path, const ImportOptions &options,
                                     mlir::MLIRContext &context);
Result<ImportedModel> importMlirFile(const std::string &path, const ImportOptions &options,
                                     mlir::MLIRContext &context);

/// A Hugging Face folder whose config.json has been read.
struct HfFolder {
  std::string path; ///< of the model; the folder with config.json may lie below it
  JsonObject config;
  TensorSource tensors;
  std::string name;         ///< of the model, for people
  std::string architecture; ///< the entry of "architectures" that its importer was picked by
};

// One per family of "architectures" in config.json; the tokenizer is the caller's business.
Result<mlir::OwningOpRef<mlir::ModuleOp>> importHfBert(const HfFolder &folder, const ImportOptions &options,
                                                       mlir::MLIRContext &context);
Result<mlir::OwningOpRef<mlir::ModuleOp>>
importHfChatGlm(const HfFolder &folder, const ImportOptions &options, mlir::MLIRContext &context);
Result<mlir::OwningOpRef<mlir::ModuleOp>>
importHfDistilBert(const HfFolder &folder, const ImportOptions &options, mlir::MLIRContext &context);
Result<mlir::OwningOpRef<mlir::ModuleOp>> importHfGlm(const HfFolder &folder, const ImportOptions &options,
                                                      mlir::MLIRContext &context);
Result<mlir::OwningOpRef<mlir::ModuleOp>> importHfGpt2(const HfFolder &folder, const ImportOptions &options,
                                                       mlir::MLIRContext &context);
Result<mlir::OwningOpRef<mlir::ModuleOp>> importHfLlama(const HfFolder &folder, const ImportOptions &options,
                                                        mlir::MLIRContext &context);
Result<mlir::OwningOpRef<mlir::ModuleOp>>
importHfMistral(const HfFolder &folder, const ImportOptions &options, mlir::MLIRContext &context);
Result<mlir::OwningOpRef<mlir::ModuleOp>> importHfQwen2(const HfFolder &folder, const ImportOptions &options,
                                                        mlir::MLIRContext &context);
Result<mlir::OwningOpRef<mlir::ModuleOp>>
importHfRoberta(const HfFolder &folder, const ImportOptions &options, mlir::MLIRContext &context);

/// JSON files of a model folder hold settings, not data.
constexpr size_t maxConfigBytes = 4 << 20;

/// The tokenizer in a GGUF file's metadata; nothing where there is none.
Result<std::optional<tokenizer::TokenizerSpec>> ggufTokenizer(const GgufFile &file);

/// Of any size in a configuration; far above any model, and small enough for products of two.
constexpr int64_t maxModelSize = 1 << 24;

/// The largest batch, new tokens of a row and tokens of a row, of a model that takes rows of up to
/// `declaredContext` tokens.
struct ContextBounds {
  int64_t batch, seq, context;
};
Result<ContextBounds> contextBounds(const ImportOptions &options, int64_t declaredContext,
                                    int64_t defaultBatch);

/// "a, b, c"
template <typename Range> std::string listed(const Range &names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

} // namespace transom
