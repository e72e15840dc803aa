// The named sizes of an entry function: agreement of inputs and results with transom.dims and transom.bounds. Private to
// this folder.
#pragma once

#include "compiler/interpreter/Interpreter.h"

namespace transom::interpreter {

/// The values of size names in one run of a function.
class NamedSizes {
public:
  explicit NamedSizes(mlir::func::FuncOp function) : function(function) {}

  /// Takes the names' values from the inputs. Errors: number, type or a static size of an input; a name with two
  /// values, or one outside its bounds; an expression that has another value than the input's size.
  Status checkArguments(llvm::ArrayRef<Tensor> inputs);
  /// The same for results, after the arguments.
  Status checkResults(llvm::ArrayRef<Tensor> results);

private:
  Status bind(mlir::ArrayAttr dims, const Tensor &tensor);
  Status check(mlir::ArrayAttr dims, const Tensor &tensor);
  Status checkBounds();

  mlir::func::FuncOp function;
  std::map<std::string, int64_t, std::less<>> values;
};

} // namespace transom::interpreter
