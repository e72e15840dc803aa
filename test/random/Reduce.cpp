// See Reduce.h.
#include "test/random/Reduce.h"

#include "ir/Transom.h"

#include "mlir/IR/Verifier.h"

#include <sys/wait.h>
#include <unistd.h>

using namespace mlir;

namespace transom::random {

namespace {

func::FuncOp mainOf(ModuleOp module) { return module.lookupSymbol<func::FuncOp>("main"); }

void updateType(func::FuncOp function) {
  Operation *exit = function.getBody().front().getTerminator();
  function.setFunctionType(FunctionType::get(function.getContext(), function.getBody().front().getArgumentTypes(), exit->getOperandTypes()));
}

void dropDead(func::FuncOp function) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
    if (isOpTriviallyDead(&op))
      op.erase();
}

bool dropResult(ModuleOp module, unsigned index) {
  func::FuncOp function = mainOf(module);
  if (function.getNumResults() < 2)
    return false;
  llvm::BitVector dropped(function.getNumResults());
  dropped.set(index);
  function.getBody().front().getTerminator()->eraseOperand(index);
  function.eraseResults(dropped);
  return true;
}

bool dropArgument(ModuleOp module, unsigned index) {
  func::FuncOp function = mainOf(module);
  if (index == 0 || !function.getArgument(index).use_empty())
    return false;
  llvm::BitVector dropped(function.getNumArguments());
  dropped.set(index);
  function.eraseArguments(dropped);
  return true;
}

Operation *operation(ModuleOp module, size_t index) {
  for (Operation &op : mainOf(module).getBody().front().without_terminator())
    if (index-- == 0)
      return &op;
  return nullptr;
}

bool bypass(ModuleOp module, size_t index, unsigned operand) {
  Operation *op = operation(module, index);
  if (!op || op->getNumResults() != 1 || operand >= op->getNumOperands() || op->getOperand(operand).getType() != op->getResult(0).getType())
    return false;
  op->getResult(0).replaceAllUsesWith(op->getOperand(operand));
  return true;
}

bool zero(ModuleOp module, size_t index) {
  Operation *op = operation(module, index);
  auto type = op && op->getNumResults() == 1 ? dyn_cast<RankedTensorType>(op->getResult(0).getType()) : RankedTensorType();
  if (!type || !type.hasStaticShape() || !isa<FloatType>(type.getElementType()))
    return false;
  if (auto constant = dyn_cast<ConstantOp>(op); constant && constant.getValue().isSplat())
    return false;
  OpBuilder builder(op);
  Value splat = builder.create<ConstantOp>(op->getLoc(), DenseElementsAttr::get(type, builder.getFloatAttr(type.getElementType(), 0.5)));
  op->getResult(0).replaceAllUsesWith(splat);
  return true;
}

} // namespace

bool inChild(const std::function<bool()> &question, bool crashed, unsigned seconds) {
  pid_t child = fork();
  if (child == 0) {
    alarm(seconds);
    _exit(question() ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) == 1 : crashed;
}

Spec reduceSpec(Spec spec, const std::function<bool(const Spec &)> &stillFails) {
  for (bool changed = true; changed;) {
    changed = false;
    for (const SpecField &field : specFields())
      for (int value : {field.smallest, (spec.*field.member + field.smallest) / 2, spec.*field.member - 1}) {
        Spec smaller = spec;
        if (value >= spec.*field.member || value < field.smallest)
          continue;
        smaller.*field.member = value;
        repair(smaller);
        if (smaller.*field.member < spec.*field.member && stillFails(smaller)) {
          spec = smaller, changed = true;
          break;
        }
      }
  }
  return spec;
}

OwningOpRef<ModuleOp> reduceGraph(ModuleOp module, const StillFails &stillFails) {
  OwningOpRef<ModuleOp> best = module.clone();
  auto attempt = [&](llvm::function_ref<bool(ModuleOp)> change) {
    OwningOpRef<ModuleOp> smaller = best->clone();
    if (!change(*smaller))
      return false;
    dropDead(mainOf(*smaller));
    updateType(mainOf(*smaller));
    if (failed(verify(*smaller)) || !stillFails(*smaller))
      return false;
    best = std::move(smaller);
    return true;
  };
  ScopedDiagnosticHandler quiet(module.getContext(), [](Diagnostic &) { return success(); });
  for (bool changed = true; changed;) {
    changed = false;
    for (unsigned i = mainOf(*best).getNumResults(); i-- > 0;)
      changed |= attempt([&](ModuleOp graph) { return dropResult(graph, i); });
    for (unsigned i = mainOf(*best).getNumArguments(); i-- > 0;)
      changed |= attempt([&](ModuleOp graph) { return dropArgument(graph, i); });
    for (size_t i = mainOf(*best).getBody().front().getOperations().size(); i-- > 0;) {
      bool done = false;
      for (unsigned operand = 0; operand < 2 && !done; ++operand)
        done = attempt([&](ModuleOp graph) { return bypass(graph, i, operand); });
      done = done || attempt([&](ModuleOp graph) { return zero(graph, i); });
      changed |= done;
    }
  }
  return best;
}

} // namespace transom::random
