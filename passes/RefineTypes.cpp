// See RefineTypes.h.
#include "passes/RefineTypes.h"

#include "ir/Quiet.h"

using namespace mlir;

namespace transom {

/// `inferred`, with the static sizes of `old` where it has none of its own and the ranks agree.
static Type refine(Type old, Type inferred) {
  Dims dims = dimsOf(inferred), before = dimsOf(old);
  if (dims.size() == before.size())
    for (auto [dim, known] : llvm::zip(dims, before))
      if (!dim.constant())
        dim = known;
  return detail::withDims(inferred, elementOf(inferred), dims);
}

Operation *cloneRefined(OpBuilder &builder, Operation *op, IRMapping &mapping) {
  Operation *clone = builder.clone(*op, mapping);
  auto inferring = dyn_cast<InferTypeOpInterface>(clone);
  if (!inferring)
    return clone;
  // The caller decides whether this is worth a word.
  QuietDiagnostics quiet(op->getContext());
  llvm::SmallVector<Type> types;
  if (failed(inferring.inferReturnTypes(op->getContext(), clone->getLoc(), clone->getOperands(), clone->getRawDictionaryAttrs(),
                                        clone->getPropertiesStorage(), clone->getRegions(), types))) {
    for (Value result : op->getResults())
      mapping.erase(result);
    clone->erase();
    return nullptr;
  }
  for (auto [result, old, type] : llvm::zip(clone->getResults(), op->getResultTypes(), types))
    result.setType(refine(old, type));
  return clone;
}

} // namespace transom
