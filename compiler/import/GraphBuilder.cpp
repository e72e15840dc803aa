// See GraphBuilder.h.
#include "compiler/import/GraphBuilder.h"

#include "mlir/IR/Verifier.h"

using namespace mlir;

namespace transom {

namespace {

constexpr std::pair<DType, BlockFormat> blockFormats[] = {
    {DType::q8_0, BlockFormat::q8_0}, {DType::q4_0, BlockFormat::q4_0}, {DType::q4_1, BlockFormat::q4_1},
    {DType::q5_0, BlockFormat::q5_0}, {DType::q5_1, BlockFormat::q5_1}, {DType::q4_k, BlockFormat::q4_k},
    {DType::q5_k, BlockFormat::q5_k}, {DType::q6_k, BlockFormat::q6_k}};

bool isFloat(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f64;
}

} // namespace

Type elementType(MLIRContext &context, DType dtype) {
  Builder builder(&context);
  switch (dtype) {
  case DType::f32:
    return builder.getF32Type();
  case DType::f16:
    return builder.getF16Type();
  case DType::bf16:
    return builder.getBF16Type();
  case DType::f64:
    return builder.getF64Type();
  case DType::f8e4m3:
    return Float8E4M3FNType::get(&context);
  case DType::i8:
  case DType::u8:
    return builder.getI8Type();
  case DType::i16:
    return builder.getI16Type();
  case DType::i32:
    return builder.getI32Type();
  case DType::i64:
    return builder.getI64Type();
  case DType::boolean:
    return builder.getI1Type();
  default:
    break;
  }
  auto block = llvm::find_if(blockFormats, [&](auto &entry) { return entry.first == dtype; });
  assert(block != std::end(blockFormats) && "every dtype has an element type");
  return BlockType::get(&context, block->second);
}

std::optional<DType> dtypeOf(Type type) {
  if (auto block = dyn_cast<BlockType>(type))
    return llvm::find_if(blockFormats, [&](auto &entry) { return entry.second == block.getFormat(); })->first;
  // Of u8 and i8 the dialect knows one type; files of either fit it.
  for (DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i8, DType::i16, DType::i32,
                      DType::i64, DType::boolean})
    if (elementType(*type.getContext(), dtype) == type)
      return dtype;
  return std::nullopt;
}

GraphBuilder::GraphBuilder(MLIRContext &context, const TensorSource &source, llvm::ArrayRef<Port> inputs)
    : source_(source), builder_(&context), module_(ModuleOp::create(UnknownLoc::get(&context))),
      location_(UnknownLoc::get(&context)) {
  start("main", inputs);
}

void GraphBuilder::start(llvm::StringRef function, llvm::ArrayRef<Port> inputs) {
  if (function_)
    endFunction();
  llvm::SmallVector<Type> types;
  for (const Port &port : inputs)
    types.push_back(typeOf(port));
  builder_.setInsertionPointToEnd(module_->getBody());
  function_ = builder_.create<func::FuncOp>(UnknownLoc::get(builder_.getContext()), function, builder_.getFunctionType(types, {}));
  builder_.setInsertionPointToStart(function_.addEntryBlock());
  for (size_t i = 0; i < inputs.size(); ++i)
    function_.setArgAttrs(static_cast<unsigned>(i), attributesOf(inputs[i]).getAttrs());
}

RankedTensorType GraphBuilder::typeOf(const Port &port) const {
  llvm::SmallVector<int64_t> shape;
  for (const std::string &dim : port.dims) {
    std::optional<DimExpr> expr = DimExpr::parse(dim);
    assert(expr && "importers write well-formed sizes");
    shape.push_back(expr->constant().value_or(ShapedType::kDynamic));
  }
  return RankedTensorType::get(shape, port.element);
}

NamedAttrList GraphBuilder::attributesOf(const Port &port) {
  llvm::SmallVector<llvm::StringRef> dims(port.dims.begin(), port.dims.end());
  NamedAttrList attributes;
  attributes.append("transom.name", builder_.getStringAttr(port.name));
  attributes.append("transom.dims", builder_.getStrArrayAttr(dims));
  return attributes;
}

void GraphBuilder::addResult(Port port, Value value) {
  assert(value.getType() == typeOf(port) && "a result has the type that its sizes say");
  results_.push_back(value);
  resultAttributes_.push_back(attributesOf(port).getDictionary(builder_.getContext()));
}

void GraphBuilder::endFunction() {
  builder_.create<func::ReturnOp>(UnknownLoc::get(builder_.getContext()), results_);
  function_.setFunctionType(
      builder_.getFunctionType(function_.getArgumentTypes(), ValueRange(results_).getTypes()));
  for (size_t i = 0; i < resultAttributes_.size(); ++i)
    function_.setResultAttrs(static_cast<unsigned>(i), resultAttributes_[i]);
  results_.clear();
  resultAttributes_.clear();
  weights_.clear();
}

Result<OwningOpRef<ModuleOp>> GraphBuilder::finish(const ModelInfo &info) {
  endFunction();
  NamedAttrList bounds, metadata;
  for (const auto &[name, range] : info.bounds)
    bounds.append(name, builder_.getI64ArrayAttr({range.first, range.second}));
  for (const auto &[key, value] : info.metadata)
    metadata.append(key, builder_.getStringAttr(value));
  Operation *module = module_->getOperation();
  module->setAttr("transom.model", builder_.getStringAttr(info.model));
  module->setAttr("transom.architecture", builder_.getStringAttr(info.architecture));
  module->setAttr("transom.task", builder_.getStringAttr(info.task));
  module->setAttr("transom.bounds", bounds.getDictionary(builder_.getContext()));
  module->setAttr("transom.metadata", metadata.getDictionary(builder_.getContext()));
  if (failed(verify(*module_)))
    return error(StatusCode::internal, "the imported graph is not valid");
  return std::move(module_);
}

void GraphBuilder::at(const std::string &place) { location_ = NameLoc::get(builder_.getStringAttr(place)); }

Value GraphBuilder::constant(float value) {
  return op<ConstantOp>(DenseElementsAttr::get(RankedTensorType::get({}, f32()), value));
}

Value GraphBuilder::constant(llvm::ArrayRef<float> values) {
  auto type = RankedTensorType::get({static_cast<int64_t>(values.size())}, f32());
  return op<ConstantOp>(DenseElementsAttr::get(type, values));
}

Value GraphBuilder::integer(int32_t value) {
  return op<ConstantOp>(DenseElementsAttr::get(RankedTensorType::get({}, i32()), value));
}

Result<Value> GraphBuilder::weight(const std::string &name, llvm::ArrayRef<int64_t> shape) {
  TRANSOM_ASSIGN(const Tensor *tensor, source_.get(name));
  if (llvm::ArrayRef<int64_t>(tensor->shape) != shape)
    return error(StatusCode::invalidFile, "tensor {}: expected shape {}, found {}", name, formatShape(shape),
                 formatShape(tensor->shape));
  if (!isFloat(tensor->dtype) && !isQuantized(tensor->dtype))
    return error(StatusCode::invalidFile, "tensor {}: expected a float or quantised type, found {}", name,
                 transom::name(tensor->dtype));
  Value &value = weights_[name];
  if (!value)
    value =
        op<WeightOp>(RankedTensorType::get(shape, elementType(*builder_.getContext(), tensor->dtype)), name);
  return value;
}

Result<Value> GraphBuilder::matrix(const std::string &name, llvm::ArrayRef<int64_t> shape) {
  TRANSOM_ASSIGN(Value value, weight(name, shape));
  Type element = elementOf(value.getType());
  if (isa<BlockType>(element))
    return op<DequantizeOp>(value, f32());
  return element == f32() ? value : op<CastOp>(value, f32());
}

Result<Value> GraphBuilder::vector(const std::string &name, int64_t size) { return matrix(name, {size}); }

Result<Value> GraphBuilder::linear(Value x, const std::string &name, int64_t in, int64_t out, Bias bias) {
  TRANSOM_ASSIGN(Value matrix, weight(name + ".weight", {out, in}));
  Value product = op<MatmulOp>(x, matrix, /*transpose_rhs=*/true);
  if (bias == Bias::none || (bias == Bias::ifPresent && !hasTensor(name + ".bias")))
    return product;
  TRANSOM_ASSIGN(Value addend, vector(name + ".bias", out));
  return op<AddOp>(product, addend);
}

Result<Value> GraphBuilder::embedding(Value ids, const std::string &name, int64_t rows, int64_t width) {
  TRANSOM_ASSIGN(Value table, weight(name, {rows, width}));
  bool converts = elementOf(table.getType()) != f32();
  return op<EmbeddingOp>(table, ids, converts ? TypeAttr::get(f32()) : TypeAttr());
}

Result<Value> GraphBuilder::layerNorm(Value x, const std::string &name, int64_t width, double epsilon) {
  TRANSOM_ASSIGN(Value scale, vector(name + ".weight", width));
  TRANSOM_ASSIGN(Value bias, vector(name + ".bias", width));
  return op<LayerNormOp>(x, scale, bias, llvm::APFloat(epsilon));
}

Result<Value> GraphBuilder::rmsNorm(Value x, const std::string &name, int64_t width, double epsilon) {
  TRANSOM_ASSIGN(Value scale, vector(name + ".weight", width));
  return op<RmsNormOp>(x, scale, llvm::APFloat(epsilon));
}

Result<Value> GraphBuilder::activation(Value x, std::string_view name) {
  if (name == "silu" || name == "swish")
    return op<SiluOp>(x);
  if (name == "gelu")
    return op<GeluOp>(x, GeluForm::erf);
  if (name == "gelu_new" || name == "gelu_pytorch_tanh")
    return op<GeluOp>(x, GeluForm::tanh);
  if (name == "relu")
    return op<ReluOp>(x);
  if (name == "tanh")
    return op<TanhOp>(x);
  return error(StatusCode::unsupported,
               "activation '{}' is not supported; supported: silu, swish, gelu, gelu_new, gelu_pytorch_tanh, "
               "relu, tanh",
               printable(name));
}

Value GraphBuilder::attention(Value query, Value key, Value value, Value mask, const AttentionForm &form) {
  IntegerAttr window = form.window ? builder_.getI64IntegerAttr(form.window) : IntegerAttr();
  return op<AttentionOp>(query, key, value, mask, /*bias=*/Value(), /*past_lengths=*/Value(),
                         /*lengths=*/Value(), /*cumulative_lengths=*/Value(), HeadLayout::bhsd,
                         llvm::APFloat(form.scale), form.causal, window, /*softcap=*/FloatAttr());
}

Value GraphBuilder::slice(Value x, int64_t axis, int64_t start, int64_t size) {
  return op<SliceOp>(x, static_cast<uint64_t>(axis), static_cast<uint64_t>(start),
                     static_cast<uint64_t>(size));
}

Value GraphBuilder::transpose(Value x, llvm::ArrayRef<int64_t> permutation) {
  return op<TransposeOp>(x, builder_.getDenseI64ArrayAttr(permutation));
}

Value GraphBuilder::reshape(Value x, llvm::ArrayRef<int64_t> shape) {
  return op<ReshapeOp>(x, builder_.getDenseI64ArrayAttr(shape));
}

Value GraphBuilder::splitHeads(Value x, int64_t heads, int64_t headDim) {
  return transpose(reshape(x, {0, 0, heads, headDim}), {0, 2, 1, 3});
}

Value GraphBuilder::mergeHeads(Value x, int64_t width) {
  return reshape(transpose(x, {0, 2, 1, 3}), {0, 0, width});
}

Status GraphBuilder::checkAllUsed(llvm::function_ref<bool(llvm::StringRef)> ignored,
                                  std::string_view known) const {
  for (const Tensor &tensor : source_.tensors())
    if (!weights_.contains(tensor.name) && !ignored(tensor.name))
      return error(StatusCode::unsupported,
                   "tensor {}: not part of the architecture as configured; its tensors: {}",
                   printable(tensor.name), known);
  return {};
}

} // namespace transom
