// Writes one entry function op by op, with weights drawn by name. Knows tensors and layouts, no architecture.
#pragma once

#include "ir/DimAnalysis.h"
#include "ir/Transom.h"
#include "test/random/Perturbations.h"
#include "test/random/Spec.h"

#include "mlir/IR/OwningOpRef.h"

#include <map>

namespace transom::random {

class Writer {
public:
  Writer(mlir::MLIRContext &context, const Spec &spec);

  /// Whether the graph's one perturbation is `name`; each name is asked for in one place.
  bool is(std::string_view name) const { return perturbations()[spec.perturbation].name == name; }

  mlir::Value argument(const std::string &name, mlir::Type element, std::vector<std::string> dims);
  /// A result; its sizes are those that the graph's analysis finds.
  void result(const std::string &name, mlir::Value value);
  mlir::OwningOpRef<mlir::ModuleOp> finish();

  template <typename Op, typename... Args> mlir::Value op(Args &&...args) {
    return builder.create<Op>(location, std::forward<Args>(args)...).getResult();
  }
  void at(const std::string &place) { location = mlir::NameLoc::get(builder.getStringAttr(place)); }

  mlir::Type f32() { return builder.getF32Type(); }
  mlir::Type i32() { return builder.getI32Type(); }
  mlir::DenseI64ArrayAttr axes(std::vector<int64_t> values) { return builder.getDenseI64ArrayAttr(values); }
  mlir::Value scalar(double value);
  /// Numbers that follow from `name` alone, about `scale` in size.
  mlir::Value numbers(const std::string &name, std::vector<int64_t> shape, double scale);
  /// A vector around `center`, stored as the spec says.
  mlir::Value vector(const std::string &name, int64_t size, double center = 0);
  /// A matrix [rows, columns] stored as the spec says; equal names give one value.
  mlir::Value matrix(const std::string &name, int64_t rows, int64_t columns);
  /// x times [in, out], in the spec's form, plus a bias if `bias`.
  mlir::Value linear(mlir::Value x, const std::string &name, int64_t out, bool bias);
  mlir::Value embedding(mlir::Value ids, const std::string &name, int64_t rows, int64_t width);
  mlir::Value norm(mlir::Value x, const std::string &name);
  mlir::Value slice(mlir::Value x, int64_t axis, int64_t start, int64_t size);
  /// A tensor with heads in another order of dimensions; no op if it is the same.
  mlir::Value arrange(mlir::Value x, Layout from, Layout to);
  /// [., ., heads * size] to [., ., heads, size].
  mlir::Value splitHeads(mlir::Value x, int64_t heads, int64_t size) { return op<ReshapeOp>(x, axes({0, 0, heads, size})); }

  std::string batch() const { return spec.staticBatch ? std::to_string(spec.batchMax) : "batch"; }
  std::string seq() const { return spec.staticSeq ? std::to_string(spec.seqMax) : "seq"; }
  std::string total() const { return spec.cached ? "past+" + seq() : seq(); }
  Layout trunk() const { return spec.sequenceFirst ? sbhd : bshd; }

  const Spec &spec;
  mlir::OpBuilder builder;
  mlir::func::FuncOp function;

private:
  mlir::Value stored(const std::string &name, std::vector<int64_t> shape, double scale, double center);
  std::vector<double> draw(const std::string &name, int64_t count, double scale, double center) const;

  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::Location location;
  std::vector<std::pair<std::string, mlir::Value>> results;
  std::map<std::string, mlir::Value> known;
};

/// Adds `value` to the results of `function`; false if its sizes have no names.
bool addResult(mlir::func::FuncOp function, mlir::Value value, const std::string &name);

} // namespace transom::random
