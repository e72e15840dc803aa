// See Writer.h.
#include "test/random/Writer.h"

#include "test/random/Random.h"

#include <cmath>

using namespace mlir;

namespace transom::random {

Writer::Writer(MLIRContext &context, const Spec &spec)
    : spec(spec), builder(&context), module(ModuleOp::create(UnknownLoc::get(&context))), location(UnknownLoc::get(&context)) {
  builder.setInsertionPointToStart(module->getBody());
  function = builder.create<func::FuncOp>(location, "main", builder.getFunctionType({}, {}));
  builder.setInsertionPointToStart(function.addEntryBlock());
}

Value Writer::argument(const std::string &name, Type element, std::vector<std::string> dims) {
  llvm::SmallVector<int64_t> shape;
  for (const std::string &dim : dims)
    shape.push_back(DimExpr::parse(dim)->constant().value_or(ShapedType::kDynamic));
  llvm::SmallVector<llvm::StringRef> texts(dims.begin(), dims.end());
  unsigned index = function.getNumArguments();
  auto attributes = builder.getDictionaryAttr({builder.getNamedAttr("transom.dims", builder.getStrArrayAttr(texts)),
                                               builder.getNamedAttr("transom.name", builder.getStringAttr(name))});
  function.insertArguments({index}, {RankedTensorType::get(shape, element)}, {attributes}, {location});
  return function.getArgument(index);
}

void Writer::result(const std::string &name, Value value) { results.emplace_back(name, value); }

bool addResult(func::FuncOp function, Value value, const std::string &name) {
  Dims dims = DimAnalysis(function).of(value);
  if (llvm::any_of(dims, [](const DimExpr &dim) { return dim.isUnknown(); }))
    return false;
  Builder builder(function.getContext());
  Operation *exit = function.getBody().front().getTerminator();
  unsigned index = exit->getNumOperands();
  exit->insertOperands(index, value);
  llvm::SmallVector<DictionaryAttr> attributes;
  for (unsigned i = 0; i < index; ++i)
    attributes.push_back(function.getResultAttrDict(i));
  attributes.push_back(builder.getDictionaryAttr({builder.getNamedAttr("transom.dims", dimsAttribute(function.getContext(), dims)),
                                                  builder.getNamedAttr("transom.name", builder.getStringAttr(name))}));
  function.removeResAttrsAttr();
  function.setFunctionType(builder.getFunctionType(function.getArgumentTypes(), exit->getOperandTypes()));
  function.setAllResultAttrs(attributes);
  return true;
}

OwningOpRef<ModuleOp> Writer::finish() {
  builder.create<func::ReturnOp>(location, ValueRange());
  llvm::SmallVector<NamedAttribute> bounds;
  auto bound = [&](const char *name, int64_t low, int64_t high) {
    bounds.push_back(builder.getNamedAttr(name, builder.getI64ArrayAttr({low, high})));
  };
  if (!spec.staticBatch)
    bound("batch", 1, spec.batchMax);
  if (!spec.staticSeq)
    bound("seq", 1, spec.seqMax);
  if (spec.cached)
    bound("past", 0, spec.pastMax);
  if (spec.family == crossAttention)
    bound("memory", 1, spec.memoryMax);
  (*module)->setAttr("transom.bounds", builder.getDictionaryAttr(bounds));
  for (const char *name : {"model", "architecture", "task"})
    (*module)->setAttr(std::string("transom.") + name, builder.getStringAttr(std::string_view(name) == "task" ? "run" : "random"));
  for (auto &[name, value] : results)
    addResult(function, value, name);
  return std::move(module);
}

Value Writer::scalar(double value) {
  return op<ConstantOp>(DenseElementsAttr::get(RankedTensorType::get({}, f32()), float(value)));
}

std::vector<double> Writer::draw(const std::string &name, int64_t count, double scale, double center) const {
  Random random(spec.seed, name);
  std::vector<double> values(count);
  for (double &value : values)
    value = center + random.small() * scale;
  return values;
}

Value Writer::numbers(const std::string &name, std::vector<int64_t> shape, double scale) {
  auto type = RankedTensorType::get(shape, f32());
  std::vector<double> values = draw(name, type.getNumElements(), scale, 0);
  return op<ConstantOp>(DenseElementsAttr::get(type, llvm::ArrayRef(std::vector<float>(values.begin(), values.end()))));
}

/// As the spec stores weights: a constant, one in bf16, or a tensor of a file. In f32 unless the tensor is a matrix.
Value Writer::stored(const std::string &name, std::vector<int64_t> shape, double scale, double center) {
  bool isMatrix = shape.size() == 2;
  if (spec.weightSource == blocks && isMatrix && shape[1] % 32 == 0)
    return op<WeightOp>(RankedTensorType::get(shape, BlockType::get(builder.getContext(), Random(spec.seed, name).pick({BlockFormat::q8_0, BlockFormat::q4_0}))), name);
  if (spec.weightSource == files)
    return op<WeightOp>(RankedTensorType::get(shape, f32()), name);
  bool narrow = spec.weightSource == bf16Constants;
  auto type = RankedTensorType::get(shape, narrow ? Type(builder.getBF16Type()) : f32());
  llvm::SmallVector<Attribute> values;
  for (double value : draw(name, type.getNumElements(), scale, center))
    values.push_back(builder.getFloatAttr(type.getElementType(), value));
  return op<ConstantOp>(DenseElementsAttr::get(type, values));
}

Value Writer::vector(const std::string &name, int64_t size, double center) {
  Value &value = known[name];
  if (!value) {
    value = stored(name, {size}, 0.5, center);
    if (elementOf(value.getType()) != f32())
      value = op<CastOp>(value, f32());
  }
  return value;
}

Value Writer::matrix(const std::string &name, int64_t rows, int64_t columns) {
  Value &value = known[name];
  // A power of two near 1 / sqrt(columns), so that numbers stay about as large as they are.
  if (!value)
    value = stored(name, {rows, columns}, std::exp2(1 - std::ceil(std::log2(double(columns)) / 2)), 0);
  return value;
}

Value Writer::linear(Value x, const std::string &name, int64_t out, bool bias) {
  int64_t in = cast<RankedTensorType>(x.getType()).getShape().back();
  Value y;
  if (spec.weightForm == plainRhs && spec.weightSource != blocks)
    y = op<MatmulOp>(x, matrix(name + ".weight", in, out), false);
  else if (spec.weightForm == transposeOp && spec.weightSource != blocks)
    y = op<MatmulOp>(x, op<TransposeOp>(matrix(name + ".weight", out, in), axes({1, 0})), false);
  else
    y = op<MatmulOp>(x, matrix(name + ".weight", out, in), true);
  return bias ? op<AddOp>(y, vector(name + ".bias", out)) : y;
}

Value Writer::embedding(Value ids, const std::string &name, int64_t rows, int64_t width) {
  Value table = matrix(name, rows, width);
  bool narrow = elementOf(table.getType()) != f32();
  return op<EmbeddingOp>(table, ids, narrow ? TypeAttr::get(f32()) : TypeAttr());
}

Value Writer::norm(Value x, const std::string &name) {
  int64_t width = cast<RankedTensorType>(x.getType()).getShape().back();
  llvm::APFloat epsilon(std::pow(10.0, -2 - spec.epsilon));
  Value scale = vector(name + ".scale", width, 1);
  if (spec.layerNorm)
    return op<LayerNormOp>(x, scale, spec.normBias ? vector(name + ".bias", width) : Value(), epsilon);
  return op<RmsNormOp>(x, scale, epsilon);
}

Value Writer::slice(Value x, int64_t axis, int64_t start, int64_t size) {
  return op<SliceOp>(x, uint64_t(axis), uint64_t(start), uint64_t(size));
}

Value Writer::arrange(Value x, Layout from, Layout to) {
  static constexpr const char *names[] = {"bhsd", "bshd", "sbhd"};
  if (from == to)
    return x;
  llvm::StringRef source = names[from], target = names[to];
  std::vector<int64_t> permutation;
  for (char axis : target)
    permutation.push_back(int64_t(source.find(axis)));
  return op<TransposeOp>(x, axes(permutation));
}

} // namespace transom::random
