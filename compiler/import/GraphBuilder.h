// Builds the module of an importer: its entry functions, weights checked against the source file, and the few
// shapes of computation that every transformer repeats. No architecture is known here.
#pragma once

#include "compiler/import/files/TensorSource.h"
#include "ir/Transom.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <map>
#include <set>

namespace transom {

/// An argument or result of an entry function. Each of `dims` is a size expression, "batch" or "past+seq" or
/// "64".
struct Port {
  std::string name;
  mlir::Type element;
  std::vector<std::string> dims;
};

/// What the module's attributes say.
struct ModelInfo {
  std::string model, architecture, task;
  std::map<std::string, std::pair<int64_t, int64_t>> bounds; ///< of each named size, inclusive
  std::map<std::string, std::string> metadata;
};

enum class Bias { none, required, ifPresent };

/// What of attention differs between models; a `window` of 0 is none.
struct AttentionForm {
  double scale = 1;
  bool causal = false;
  int64_t window = 0;
};

class GraphBuilder {
public:
  /// Starts function `main`. `source` outlives the builder.
  GraphBuilder(mlir::MLIRContext &context, const TensorSource &source, llvm::ArrayRef<Port> inputs);

  /// Ends the function and starts another; values belong to one function.
  void start(llvm::StringRef function, llvm::ArrayRef<Port> inputs);

  mlir::Value input(size_t index) { return function_.getArgument(static_cast<unsigned>(index)); }
  void addResult(Port port, mlir::Value value);
  /// Ends the function. The module has been verified; a failure is a bug and reported as internal.
  Result<mlir::OwningOpRef<mlir::ModuleOp>> finish(const ModelInfo &info);

  /// The place in the model, such as "layers.0.attention", that ops from here on carry as their location.
  void at(const std::string &place);
  template <typename Op, typename... Args> mlir::Value op(Args &&...args) {
    return builder_.create<Op>(location_, std::forward<Args>(args)...);
  }
  mlir::Type f32() { return builder_.getF32Type(); }
  mlir::Type i32() { return builder_.getI32Type(); }
  mlir::Value constant(float value);
  mlir::Value constant(llvm::ArrayRef<float> values);
  mlir::Value integer(int32_t value);

  bool hasTensor(std::string_view name) const { return source_.find(name) != nullptr; }
  /// A float or quantised weight as the file holds it. Errors: notFound; invalidFile for another shape or
  /// type.
  Result<mlir::Value> weight(const std::string &name, llvm::ArrayRef<int64_t> shape);
  /// A vector of floats, converted to f32 where the file holds another type.
  Result<mlir::Value> vector(const std::string &name, int64_t size);
  /// The same of a matrix that is added to, not multiplied by.
  Result<mlir::Value> matrix(const std::string &name, llvm::ArrayRef<int64_t> shape);
  /// x * W^T + b of "<name>.weight" [out, in] and "<name>.bias" [out].
  Result<mlir::Value> linear(mlir::Value x, const std::string &name, int64_t in, int64_t out, Bias bias);
  /// Rows of the table "<name>" [rows, width], in f32.
  Result<mlir::Value> embedding(mlir::Value ids, const std::string &name, int64_t rows, int64_t width);
  Result<mlir::Value> layerNorm(mlir::Value x, const std::string &name, int64_t width, double epsilon);
  Result<mlir::Value> rmsNorm(mlir::Value x, const std::string &name, int64_t width, double epsilon);
  /// The activation that Hugging Face calls `name`.
  Result<mlir::Value> activation(mlir::Value x, std::string_view name);

  /// Of heads [batch, heads, seq, head_dim], over the keys that `mask` [batch, keys] allows.
  mlir::Value attention(mlir::Value query, mlir::Value key, mlir::Value value, mlir::Value mask,
                        const AttentionForm &form);
  mlir::Value slice(mlir::Value x, int64_t axis, int64_t start, int64_t size);
  mlir::Value transpose(mlir::Value x, llvm::ArrayRef<int64_t> permutation);
  mlir::Value reshape(mlir::Value x, llvm::ArrayRef<int64_t> shape);
  /// [batch, seq, heads * headDim] to [batch, heads, seq, headDim] and back.
  mlir::Value splitHeads(mlir::Value x, int64_t heads, int64_t headDim);
  mlir::Value mergeHeads(mlir::Value x, int64_t width);

  /// An error for the first tensor of the source that nothing in the function has used and that `ignored` does not accept;
  /// `known` lists the names that the architecture has.
  Status checkAllUsed(llvm::function_ref<bool(llvm::StringRef name)> ignored, std::string_view known) const;

private:
  mlir::RankedTensorType typeOf(const Port &port) const;
  mlir::NamedAttrList attributesOf(const Port &port);
  void endFunction();

  const TensorSource &source_;
  mlir::OpBuilder builder_;
  mlir::OwningOpRef<mlir::ModuleOp> module_;
  mlir::func::FuncOp function_;
  mlir::Location location_;
  llvm::SmallVector<mlir::Value> results_;
  llvm::SmallVector<mlir::DictionaryAttr> resultAttributes_;
  std::map<std::string, mlir::Value, std::less<>> weights_;
};

/// The element type of a tensor file's dtype in the graph dialect.
mlir::Type elementType(mlir::MLIRContext &context, DType dtype);
/// The dtype that `type` is stored as; nothing for types that no tensor file has.
std::optional<DType> dtypeOf(mlir::Type type);

} // namespace transom
