// See DimAnalysis.h.
#include "ir/DimAnalysis.h"

#include "ir/Quiet.h"

using namespace mlir;

namespace transom {

Dims argumentDims(func::FuncOp function, unsigned index) {
  Dims dims = dimsOf(function.getArgumentTypes()[index]);
  if (auto names = function.getArgAttrOfType<ArrayAttr>(index, "transom.dims"))
    for (auto [dim, name] : llvm::zip(dims, names.getAsRange<StringAttr>()))
      if (!dim.constant())
        dim = DimExpr::parse(name.getValue()).value_or(DimExpr());
  return dims;
}

ArrayAttr dimsAttribute(MLIRContext *context, const Dims &dims) {
  llvm::SmallVector<Attribute> texts;
  for (const DimExpr &dim : dims)
    texts.push_back(StringAttr::get(context, dim.str()));
  return ArrayAttr::get(context, texts);
}

DimAnalysis::DimAnalysis(func::FuncOp function) {
  for (BlockArgument argument : function.getArguments())
    if (isa<RankedTensorType, CacheType>(argument.getType()))
      dims[argument] = argumentDims(function, argument.getArgNumber());
  for (Operation &op : function.getBody().front())
    add(op);
}

void DimAnalysis::add(Operation &op) {
  if (auto group = dyn_cast<GroupOp>(op)) {
    Block &body = group.getBody().front();
    for (auto [argument, input] : llvm::zip(body.getArguments(), group.getInputs()))
      dims[argument] = Dims(of(input));
    for (Operation &inner : body.without_terminator())
      add(inner);
  }
  llvm::SmallVector<Dims> results;
  if (auto shaped = dyn_cast<ShapedOp>(op)) {
    llvm::SmallVector<Dims> operands;
    for (Value operand : op.getOperands())
      operands.push_back(of(operand));
    // The op verified, so symbolic sizes cannot contradict its constraints in a way that is an error here.
    QuietDiagnostics quiet(op.getContext());
    if (auto inferred = shaped.resultDims(operands, [&] { return op.emitOpError(); }); succeeded(inferred))
      results = *inferred;
  }
  for (auto [index, result] : llvm::enumerate(op.getResults())) {
    if (!isa<RankedTensorType, CacheType>(result.getType()))
      continue;
    Dims fromType = dimsOf(result.getType());
    if (index < results.size())
      for (auto [dim, symbolic] : llvm::zip(fromType, results[index]))
        if (!dim.constant())
          dim = symbolic;
    dims[result] = fromType;
  }
}

const Dims &DimAnalysis::of(Value value) const {
  auto it = dims.find(value);
  assert(it != dims.end() && "a value of another function");
  return it->second;
}

std::optional<Bounds> boundsOf(ModuleOp module, llvm::StringRef name) {
  auto bounds = module->getAttrOfType<DictionaryAttr>("transom.bounds");
  auto range = bounds ? bounds.getAs<ArrayAttr>(name) : ArrayAttr();
  if (!range)
    return std::nullopt;
  return Bounds{cast<IntegerAttr>(range[0]).getInt(), cast<IntegerAttr>(range[1]).getInt()};
}

std::optional<int64_t> maximumOf(ModuleOp module, const DimExpr &expr) {
  if (expr.isUnknown())
    return std::nullopt;
  int64_t sum = 0;
  for (auto &[monomial, coefficient] : expr.polynomial()) {
    int64_t value = coefficient;
    for (const std::string &name : monomial) {
      std::optional<Bounds> bounds = boundsOf(module, name);
      if (!bounds || __builtin_mul_overflow(value, coefficient < 0 ? bounds->min : bounds->max, &value))
        return std::nullopt;
    }
    if (__builtin_add_overflow(sum, value, &sum))
      return std::nullopt;
  }
  return sum;
}

} // namespace transom
