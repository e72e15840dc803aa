// See Bounds.h.
#include "compiler/Bounds.h"

#include "ir/DimAnalysis.h"

using namespace mlir;

namespace transom {

namespace {

/// No row of a batch or token of a row is so small that more than this many are of use.
constexpr int64_t largestBatch = 1 << 16, largestSize = 1 << 24;

class BoundsEditor {
public:
  explicit BoundsEditor(ModuleOp module) : module(module), builder(module.getContext()) {
    if (auto old = module->getAttrOfType<DictionaryAttr>("transom.bounds"))
      bounds = NamedAttrList(old);
    if (auto old = module->getAttrOfType<DictionaryAttr>("transom.metadata"))
      metadata = NamedAttrList(old);
  }

  Status apply(const CompilerOptions &options);
  void store() {
    module->setAttr("transom.bounds", bounds.getDictionary(module.getContext()));
    if (!metadata.empty())
      module->setAttr("transom.metadata", metadata.getDictionary(module.getContext()));
  }

private:
  std::optional<int64_t> declared(llvm::StringRef key) const {
    auto text = dyn_cast_or_null<StringAttr>(metadata.get(key));
    int64_t value;
    return text && !text.getValue().getAsInteger(10, value) ? std::optional(value) : std::nullopt;
  }
  Status expectAtMost(const char *what, int64_t value, int64_t limit) const {
    if (value >= 1 && value <= limit)
      return {};
    return error(StatusCode::invalidArgument, "{}: expected 1 to {}, found {}", what, limit, value);
  }
  Status setMax(const char *option, llvm::StringRef name, int64_t max) {
    std::optional<Bounds> old = boundsOf(module, name);
    if (!old)
      return error(StatusCode::invalidArgument, "{}: the model has no size '{}'", option, name.str());
    if (max < old->min)
      return error(StatusCode::invalidArgument, "{}: expected at least {}, found {}", option, old->min, max);
    bounds.set(name, builder.getI64ArrayAttr({old->min, max}));
    return {};
  }

  ModuleOp module;
  OpBuilder builder;
  NamedAttrList bounds, metadata;
};

Status BoundsEditor::apply(const CompilerOptions &options) {
  if (options.maxBatch) {
    TRANSOM_RETURN_IF_ERROR(expectAtMost("max batch", options.maxBatch, largestBatch));
    TRANSOM_RETURN_IF_ERROR(setMax("max batch", "batch", options.maxBatch));
  }
  int64_t context = declared("context_length").value_or(declared("max_sequence_length").value_or(largestSize));
  if (options.maxContext) {
    TRANSOM_RETURN_IF_ERROR(expectAtMost("max context", options.maxContext, context));
    context = options.maxContext;
    // The last token of a full context has all others before it; a bound is at least 1.
    TRANSOM_RETURN_IF_ERROR(setMax("max context", "past", std::max<int64_t>(context - 1, 1)));
    if (std::optional<Bounds> seq = boundsOf(module, "seq"); seq && seq->max > context && !options.maxSeq)
      TRANSOM_RETURN_IF_ERROR(setMax("max context", "seq", context));
    metadata.set("context_length", builder.getStringAttr(std::to_string(context)));
  }
  if (options.maxSeq) {
    // A chunk larger than the context is one the size of the context, unless it was asked for on its own.
    int64_t seq = options.maxContext ? std::min(options.maxSeq, context) : options.maxSeq;
    TRANSOM_RETURN_IF_ERROR(expectAtMost("max seq", seq, context));
    TRANSOM_RETURN_IF_ERROR(setMax("max seq", "seq", seq));
    if (boundsOf(module, "masks")) // as many as one row can have
      TRANSOM_RETURN_IF_ERROR(setMax("max seq", "masks", seq));
  }
  return {};
}

} // namespace

Status applyBounds(ModuleOp module, const CompilerOptions &options) {
  if (!options.maxBatch && !options.maxSeq && !options.maxContext)
    return {};
  BoundsEditor editor(module);
  TRANSOM_RETURN_IF_ERROR(editor.apply(options));
  editor.store();
  return {};
}

} // namespace transom
