// See InterpretMain.h.
#include "compiler/interpreter/InterpretMain.h"

#include "compiler/import/files/Gguf.h"
#include "compiler/import/files/Safetensors.h"
#include "compiler/interpreter/Interpreter.h"
#include "ir/Transom.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"

namespace transom {

using namespace interpreter;

namespace {

struct Arguments {
  std::string function, weights, file = "-";
  std::vector<std::string> inputs;
  Precision precision = Precision::f32;
};

/// Reports on standard error, after what was printed so far.
void complain(const std::string &message) {
  llvm::outs().flush();
  llvm::errs() << "error: " << message << "\n";
}

Result<Arguments> readArguments(int argc, char **argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    llvm::StringRef text = argv[i];
    if (text.consume_front("--interpret=")) {
      arguments.function = text;
    } else if (text.consume_front("--input=")) {
      arguments.inputs.push_back(text.str());
    } else if (text.consume_front("--weights=")) {
      arguments.weights = text;
    } else if (text.consume_front("--precision=")) {
      if (text != "f32" && text != "f64")
        return error(StatusCode::invalidArgument, "--precision: expected f32 or f64, found {}", text.str());
      arguments.precision = text == "f64" ? Precision::f64 : Precision::f32;
    } else if (text.starts_with("--") && text != "--interpret") {
      return error(StatusCode::invalidArgument, "unknown argument {}", text.str());
    } else if (text != "--interpret") {
      arguments.file = text;
    }
  }
  return arguments;
}

Result<TensorSource> openWeights(const std::string &path) {
  if (llvm::StringRef(path).ends_with(".gguf")) {
    TRANSOM_ASSIGN(GgufFile file, GgufFile::open(path));
    return file.takeTensors();
  }
  return llvm::sys::fs::is_directory(path) ? openSafetensorsFolder(path) : openSafetensors(path);
}

Result<std::vector<interpreter::Tensor>> readInputs(const Arguments &arguments, mlir::MLIRContext &context) {
  std::vector<interpreter::Tensor> inputs;
  for (const std::string &text : arguments.inputs) {
    auto elements = mlir::dyn_cast_or_null<mlir::DenseElementsAttr>(mlir::parseAttribute(text, &context));
    if (!elements || !mlir::isa<mlir::RankedTensorType>(elements.getType()) || !isScalar(elements.getElementType()))
      return error(StatusCode::invalidArgument, "--input: expected dense<...> : tensor<...>, found {}", printable(text));
    inputs.push_back(fromElements(elements));
  }
  return inputs;
}

Status runAndPrint(Interpreter &interpreter, mlir::func::FuncOp function, std::vector<interpreter::Tensor> inputs) {
  TRANSOM_ASSIGN(std::vector<interpreter::Tensor> results, interpreter.run(function, std::move(inputs)));
  for (const interpreter::Tensor &result : results)
    llvm::outs() << format(result) << "\n";
  return {};
}

/// Whether all went well.
Result<bool> interpretModule(const Arguments &arguments, mlir::ModuleOp module) {
  TRANSOM_ASSIGN(std::vector<interpreter::Tensor> inputs, readInputs(arguments, *module.getContext()));
  TensorSource weights;
  if (!arguments.weights.empty()) {
    TRANSOM_ASSIGN(weights, openWeights(arguments.weights));
  }
  Interpreter interpreter(arguments.precision, &weights);
  if (!arguments.function.empty()) {
    auto function = module.lookupSymbol<mlir::func::FuncOp>(arguments.function);
    if (!function)
      return error(StatusCode::notFound, "no function @{}", arguments.function);
    TRANSOM_RETURN_IF_ERROR(runAndPrint(interpreter, function, std::move(inputs)));
    return true;
  }
  bool fine = true;
  for (auto function : module.getOps<mlir::func::FuncOp>()) {
    if (function.getNumArguments() > 0)
      continue;
    llvm::outs() << "@" << function.getName() << "\n";
    if (Status status = runAndPrint(interpreter, function, {}); !status.ok()) {
      complain(status.message());
      fine = false;
    }
  }
  return fine;
}

} // namespace

int interpretMain(int argc, char **argv) {
  Result<Arguments> arguments = readArguments(argc, argv);
  if (!arguments.ok()) {
    complain(arguments.status().message());
    return 1;
  }
  mlir::DialectRegistry registry;
  registry.insert<mlir::arith::ArithDialect, mlir::func::FuncDialect, mlir::math::MathDialect, TransomDialect>();
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  std::string message;
  auto file = mlir::openInputFile(arguments->file, &message);
  if (!file) {
    complain(message);
    return 1;
  }
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(file), llvm::SMLoc());
  mlir::SourceMgrDiagnosticHandler diagnostics(sources, &context);
  auto module = mlir::parseSourceFile<mlir::ModuleOp>(sources, &context);
  if (!module)
    return 1;
  Result<bool> fine = interpretModule(*arguments, *module);
  if (!fine.ok())
    complain(fine.status().message());
  return fine.ok() && *fine ? 0 : 1;
}

} // namespace transom
