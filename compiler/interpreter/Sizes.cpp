// See Sizes.h.
#include "compiler/interpreter/Sizes.h"
#include "compiler/interpreter/Sources.h"

#include "ir/DimExpr.h"

namespace transom::interpreter {

/// 'input_ids', or "argument 2" where it has no name.
static std::string nameOf(mlir::DictionaryAttr attributes, const char *what, size_t index) {
  auto name = attributes ? attributes.getAs<mlir::StringAttr>("transom.name") : mlir::StringAttr();
  return name ? "'" + name.str() + "'" : fmt::format("{} {}", what, index);
}

static mlir::ArrayAttr dimsOf(mlir::DictionaryAttr attributes) {
  return attributes ? attributes.getAs<mlir::ArrayAttr>("transom.dims") : mlir::ArrayAttr();
}

Status NamedSizes::checkArguments(llvm::ArrayRef<Tensor> inputs) {
  if (inputs.size() != function.getNumArguments())
    return error(StatusCode::invalidArgument, "expected {} inputs, found {}", function.getNumArguments(), inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    std::string name = nameOf(function.getArgAttrDict(i), "argument", i);
    TRANSOM_RETURN_IF_ERROR(
        checkType(function.getArgumentTypes()[i], inputs[i].dtype(), inputs[i].shape()).within(name));
    TRANSOM_RETURN_IF_ERROR(bind(dimsOf(function.getArgAttrDict(i)), inputs[i]).within(name));
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    TRANSOM_RETURN_IF_ERROR(check(dimsOf(function.getArgAttrDict(i)), inputs[i])
                                .within(nameOf(function.getArgAttrDict(i), "argument", i)));
  return checkBounds();
}

Status NamedSizes::checkResults(llvm::ArrayRef<Tensor> results) {
  for (size_t i = 0; i < results.size(); ++i)
    TRANSOM_RETURN_IF_ERROR(check(dimsOf(function.getResultAttrDict(i)), results[i])
                                .within(nameOf(function.getResultAttrDict(i), "result", i)));
  return {};
}

Status NamedSizes::bind(mlir::ArrayAttr dims, const Tensor &tensor) {
  for (size_t axis = 0; dims && axis < dims.size(); ++axis) {
    auto expr = DimExpr::parse(mlir::cast<mlir::StringAttr>(dims[axis]).getValue());
    std::optional<std::string> name = expr->asSymbol();
    if (!name)
      continue;
    auto [value, isNew] = values.emplace(*name, tensor.dim(axis));
    if (value->second != tensor.dim(axis))
      return error(StatusCode::invalidArgument, "dimension {} is {}, but '{}' is {}", axis, tensor.dim(axis), *name,
                   value->second);
  }
  return {};
}

Status NamedSizes::check(mlir::ArrayAttr dims, const Tensor &tensor) {
  for (size_t axis = 0; dims && axis < dims.size(); ++axis) {
    llvm::StringRef text = mlir::cast<mlir::StringAttr>(dims[axis]).getValue();
    // Names that no input gives a value cannot contradict one.
    std::optional<int64_t> value = DimExpr::parse(text)->evaluate([&](llvm::StringRef name) -> std::optional<int64_t> {
      auto found = values.find(name.str());
      return found == values.end() ? std::nullopt : std::optional(found->second);
    });
    if (value && *value != tensor.dim(axis))
      return error(StatusCode::invalidArgument, "dimension {} is {}, but '{}' is {}", axis, tensor.dim(axis), text.str(),
                   *value);
  }
  return {};
}

Status NamedSizes::checkBounds() {
  auto module = function->getParentOfType<mlir::ModuleOp>();
  auto bounds = module ? module->getAttrOfType<mlir::DictionaryAttr>("transom.bounds") : mlir::DictionaryAttr();
  for (auto &[name, value] : values) {
    auto range = bounds ? bounds.getAs<mlir::ArrayAttr>(name) : mlir::ArrayAttr();
    if (!range)
      continue;
    int64_t low = mlir::cast<mlir::IntegerAttr>(range[0]).getInt(), high = mlir::cast<mlir::IntegerAttr>(range[1]).getInt();
    if (value < low || value > high)
      return error(StatusCode::invalidArgument, "'{}' is {}, not in [{}, {}]", name, value, low, high);
  }
  return {};
}

} // namespace transom::interpreter
