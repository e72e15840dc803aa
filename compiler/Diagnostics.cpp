// See Diagnostics.h.
#include "compiler/Diagnostics.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

namespace transom {

DiagnosticCollector::DiagnosticCollector(mlir::MLIRContext *context)
    : handler(context, [this](mlir::Diagnostic &diagnostic) {
        if (diagnostic.getSeverity() == mlir::DiagnosticSeverity::Error && first.empty()) {
          llvm::raw_string_ostream out(first);
          if (!llvm::isa<mlir::UnknownLoc>(diagnostic.getLocation()))
            out << diagnostic.getLocation() << ": ";
          out << diagnostic;
        }
        return mlir::success();
      }) {}

Status DiagnosticCollector::status(StatusCode code, const std::string &otherwise) const {
  if (first.empty())
    return Status(code, otherwise);
  std::string line;
  for (char c : first)
    line += llvm::isPrint(c) ? c : ' ';
  return Status(code, line);
}

std::string printModule(mlir::ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream out(text);
  module.print(out);
  return text + "\n";
}

} // namespace transom
