// Graphs in the dialect's own text form. Weights come from a tensor file named by option, or beside the graph
// under the same name; a graph without transom.weight needs none.
#include "compiler/import/GraphBuilder.h"
#include "compiler/import/Importers.h"
#include "compiler/import/files/Safetensors.h"

#include "mlir/Parser/Parser.h"

#include <algorithm>
#include <filesystem>

using namespace mlir;

namespace transom {

namespace {

constexpr size_t maxTextBytes = 64 << 20;
constexpr int maxNesting = 128;

/// Whether brackets nest deeper than maxNesting. MLIR's parser recurses over them, and its stack is finite.
/// Strings and comments are skipped; the '>' of an arrow is no bracket.
bool nestsTooDeep(llvm::StringRef text) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '"') {
      while (++i < text.size() && text[i] != '"' && text[i] != '\n')
        i += text[i] == '\\';
    } else if (c == '/' && text.substr(i).starts_with("//")) {
      i = std::min(text.find('\n', i), text.size());
    } else if (c == '-' && text.substr(i).starts_with("->")) {
      ++i;
    } else if (llvm::StringRef("([{<").contains(c)) {
      if (++depth > maxNesting)
        return true;
    } else if (llvm::StringRef(")]}>").contains(c)) {
      --depth;
    }
  }
  return false;
}

/// Parses and verifies. The error is the first diagnostic, "file:line:column: message".
Result<OwningOpRef<ModuleOp>> parse(const std::string &path, MLIRContext &context) {
  TRANSOM_ASSIGN(std::string text, readTextFile(path, maxTextBytes));
  if (text.find('\0') != std::string::npos)
    return error(StatusCode::invalidFile, "{}: expected text, found binary data", path);
  if (nestsTooDeep(text))
    return error(StatusCode::invalidFile, "{}: brackets nest deeper than {}", path, maxNesting);
  std::string first;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    if (first.empty() && diagnostic.getSeverity() == DiagnosticSeverity::Error) {
      std::string message = diagnostic.str();
      if (auto place = dyn_cast<FileLineColLoc>(diagnostic.getLocation()))
        first = fmt::format("{}:{}:{}: {}", path, place.getLine(), place.getColumn(), message);
      else
        first = fmt::format("{}: {}", path, message);
      std::replace(first.begin(), first.end(), '\n', ' ');
    }
    return success();
  });
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, ParserConfig(&context), path);
  if (!module)
    return error(StatusCode::invalidFile, "{}", first.empty() ? path + ": not a module" : first);
  return module;
}

/// The tensor file that belongs to the graph; empty where there is none.
std::string weightsFile(const std::string &path, const ImportOptions &options) {
  if (!options.weights.empty())
    return options.weights;
  for (const char *extension : {".safetensors", ".gguf"}) {
    std::filesystem::path beside = std::filesystem::path(path).replace_extension(extension);
    if (isThere(beside))
      return beside.string();
  }
  return "";
}

Result<TensorSource> openTensors(const std::string &path) {
  if (std::filesystem::path(path).extension() != ".gguf")
    return openSafetensors(path);
  TRANSOM_ASSIGN(GgufFile file, GgufFile::open(path));
  return file.takeTensors();
}

/// Every weight must be in the file with the shape and type that the graph gives it.
Status checkWeights(ModuleOp module, const TensorSource &tensors, const std::string &weights) {
  Status status;
  module.walk([&](WeightOp op) {
    auto type = cast<RankedTensorType>(op.getType());
    const Tensor *tensor = tensors.find(op.getName().str());
    std::string name = printable(op.getName().str());
    std::optional<DType> dtype = dtypeOf(type.getElementType());
    if (!tensor && weights.empty())
      status = error(StatusCode::notFound,
                     "tensor {}: the graph has weights, but no .safetensors or .gguf file of its "
                     "name lies beside it",
                     name);
    else if (!tensor)
      status = error(StatusCode::notFound, "tensor {}: missing from {}", name, weights);
    else if (!dtype || elementType(*op.getContext(), tensor->dtype) != type.getElementType() ||
             llvm::ArrayRef<int64_t>(tensor->shape) != type.getShape())
      status = error(StatusCode::invalidFile, "tensor {}: expected {} {}, found {} {} in {}", name,
                     dtype ? transom::name(*dtype) : "another type", formatShape(type.getShape()),
                     transom::name(tensor->dtype), formatShape(tensor->shape), weights);
    return status.ok() ? WalkResult::advance() : WalkResult::interrupt();
  });
  return status;
}

/// Fills in the attributes that every importer sets, where the text does not.
void setDefaults(ModuleOp module, const std::string &path) {
  Builder builder(module.getContext());
  auto setDefault = [&](llvm::StringRef name, const std::string &value) {
    if (!module->hasAttr(name))
      module->setAttr(name, builder.getStringAttr(value));
  };
  setDefault("transom.model", printable(std::filesystem::path(path).stem().string()));
  setDefault("transom.architecture", "graph");
  setDefault("transom.task", "run");
  if (!module->hasAttr("transom.metadata"))
    module->setAttr("transom.metadata",
                    builder.getDictionaryAttr(builder.getNamedAttr("source", builder.getStringAttr("mlir"))));
}

} // namespace

Result<ImportedModel> importMlirFile(const std::string &path, const ImportOptions &options,
                                     MLIRContext &context) {
  ImportedModel imported;
  TRANSOM_ASSIGN(imported.module, parse(path, context));
  if (imported.module->getOps<func::FuncOp>().empty())
    return error(StatusCode::invalidFile, "{}: expected a func.func, found none", path);
  std::string weights = weightsFile(path, options);
  imported.weights = std::make_unique<TensorSource>();
  if (!weights.empty()) {
    TRANSOM_ASSIGN(*imported.weights, openTensors(weights));
  }
  TRANSOM_RETURN_IF_ERROR(checkWeights(*imported.module, *imported.weights, weights).within(path));
  setDefaults(*imported.module, path);
  return imported;
}

} // namespace transom
