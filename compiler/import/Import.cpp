// Picks the importer for a path, and the bounds of what it makes.
#include "compiler/import/Importers.h"

#include "ir/Transom.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <filesystem>

using namespace mlir;

namespace transom {

Result<ImportedModel> importModel(const std::string &path, const ImportOptions &options,
                                  MLIRContext &context) {
  context.loadDialect<TransomDialect, func::FuncDialect, arith::ArithDialect, math::MathDialect>();
  std::error_code failure;
  std::filesystem::file_status status = std::filesystem::status(path, failure);
  if (status.type() == std::filesystem::file_type::not_found)
    return error(StatusCode::notFound, "{}: no such file or folder", path);
  if (status.type() == std::filesystem::file_type::directory)
    return importHfFolder(path, options, context);
  std::string extension = std::filesystem::path(path).extension().string();
  if (extension == ".mlir")
    return importMlirFile(path, options, context);
  if (extension == ".gguf")
    return importGguf(path, options, context);
  if (extension == ".safetensors")
    return error(StatusCode::unsupported,
                 "{}: weights alone make no model; give the folder with its config.json", path);
  // Downloaded GGUF files often lie under a hash.
  TRANSOM_ASSIGN(MappedFile file, MappedFile::open(path));
  std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() >= 4 && std::string_view(reinterpret_cast<const char *>(bytes.data()), 4) == "GGUF")
    return importGguf(path, options, context);
  return error(StatusCode::unsupported,
               "{}: unknown kind of model; supported: a Hugging Face folder, a GGUF file, an .mlir file",
               path);
}

Result<ContextBounds> contextBounds(const ImportOptions &options, int64_t declaredContext,
                                    int64_t defaultBatch) {
  int64_t batch = options.maxBatch ? options.maxBatch : defaultBatch;
  for (auto [what, value] : {std::pair("batch", batch), {"sequence", options.maxSeq}})
    if (value < 1 || value > maxModelSize)
      return error(StatusCode::invalidArgument, "largest {}: expected 1 to {}, found {}", what, maxModelSize,
                   value);
  if (options.maxContext < 0 || options.maxContext > declaredContext)
    return error(StatusCode::invalidArgument,
                 "largest context: expected up to the {} tokens of the model, found {}", declaredContext,
                 options.maxContext);
  int64_t context = options.maxContext ? options.maxContext : declaredContext;
  return ContextBounds{batch, std::min(options.maxSeq, context), context};
}

} // namespace transom
