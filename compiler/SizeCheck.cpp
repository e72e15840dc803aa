// See SizeCheck.h. Every name gets a number of its own, a prime far above the sizes in graphs; then each op's own rule is
// asked whether its operands fit, as if it ran. Names with one possible value have that value.
#include "compiler/SizeCheck.h"

#include "ir/DimAnalysis.h"
#include "ir/Quiet.h"
#include "ir/Transom.h"
#include "passes/Report.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace transom {

namespace {

bool isPrime(int64_t number) {
  for (int64_t divisor = 3; divisor * divisor <= number; divisor += 2)
    if (number % divisor == 0)
      return false;
  return number % 2 != 0;
}

class SizeChecker {
public:
  explicit SizeChecker(ModuleOp module) : module(module) {}

  Status run(func::FuncOp function) {
    DimAnalysis dims(function);
    for (Operation &op : function.getBody().front()) {
      auto shaped = dyn_cast<ShapedOp>(op);
      if (!shaped)
        continue;
      llvm::SmallVector<Dims> operands;
      std::string sizes;
      bool known = true;
      for (Value operand : op.getOperands()) {
        sizes += (sizes.empty() ? "" : ", ") + str(dims.of(operand));
        operands.push_back(numbers(dims.of(operand)));
        known &= llvm::none_of(operands.back(), [](const DimExpr &dim) { return dim.isUnknown(); });
      }
      QuietDiagnostics quiet(op.getContext());
      if (!known || succeeded(shaped.resultDims(operands, [&] { return op.emitOpError(); })))
        continue;
      std::string layer = layerOf(op.getLoc());
      return error(StatusCode::unsupported, "'{}'{}{} in @{}: expected operands whose sizes fit by their names, found {}; equal sizes need one name",
                   op.getName().getStringRef().str(), layer.empty() ? "" : " at ", layer, function.getName().str(), sizes);
    }
    return {};
  }

private:
  Dims numbers(const Dims &dims) {
    Dims result;
    for (const DimExpr &dim : dims) {
      auto value = dim.evaluate([&](llvm::StringRef name) { return std::optional(numberOf(name)); });
      result.push_back(value ? DimExpr(*value) : DimExpr());
    }
    return result;
  }

  int64_t numberOf(llvm::StringRef name) {
    auto [entry, isNew] = values.try_emplace(name, 0);
    if (!isNew)
      return entry->second;
    std::optional<Bounds> bounds = boundsOf(module, name);
    if (bounds && bounds->min == bounds->max)
      return entry->second = bounds->min;
    do
      ++last;
    while (!isPrime(last));
    return entry->second = last;
  }

  ModuleOp module;
  llvm::StringMap<int64_t> values;
  int64_t last = 1 << 20;
};

} // namespace

Status checkSizes(ModuleOp module) {
  SizeChecker checker(module);
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isExternal())
      TRANSOM_RETURN_IF_ERROR(checker.run(function));
  return {};
}

} // namespace transom
