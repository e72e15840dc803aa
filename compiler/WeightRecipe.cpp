// See WeightRecipe.h.
#include "compiler/WeightRecipe.h"

#include "compiler/import/files/BlockDecode.h"
#include "compiler/interpreter/Interpreter.h"
#include "codegen/TensorBytes.h"
#include "runtime/format/E4m3.h"

#include "mlir/IR/IRMapping.h"

#include <cstring>

using namespace mlir;

namespace transom {

namespace {

using Bytes = std::span<const std::byte>;

/// Bytes of a dense tensor: mapped, or in memory that copies share.
struct Data {
  Bytes bytes;
  std::shared_ptr<std::vector<std::byte>> owned;

  static Data of(std::vector<std::byte> bytes) {
    auto owned = std::make_shared<std::vector<std::byte>>(std::move(bytes));
    return {*owned, owned};
  }
};

RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }
DType dtypeOf(Value value) { return storedType(typeOf(value).getElementType()); }
/// Bytes of the dimensions from `axis` on. Verified types have a size.
uint64_t bytesFrom(Value value, int64_t axis) {
  llvm::ArrayRef<int64_t> shape = typeOf(value).getShape().drop_front(axis);
  return bytesFor(dtypeOf(value), {shape.data(), shape.size()}).value();
}
int64_t elementsBefore(Value value, int64_t axis) {
  int64_t count = 1;
  for (int64_t size : typeOf(value).getShape().take_front(axis))
    count *= size;
  return count;
}

//===-- Numbers -----------------------------------------------------------------------------------------------------===//

template <typename T> void append(std::vector<std::byte> &bytes, T value) {
  const auto *data = reinterpret_cast<const std::byte *>(&value);
  bytes.insert(bytes.end(), data, data + sizeof value);
}

/// `number` holds nothing that `dtype`, a float, cannot.
void appendFloat(std::vector<std::byte> &bytes, DType dtype, double number) {
  switch (dtype) {
  case DType::f64: return append(bytes, number);
  case DType::f8e4m3: return append(bytes, e4m3::encode(static_cast<float>(number)));
  case DType::f16: return append(bytes, static_cast<_Float16>(number));
  case DType::bf16: return append(bytes, static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(number)) >> 16));
  default: return append(bytes, static_cast<float>(number));
  }
}

void appendInteger(std::vector<std::byte> &bytes, DType dtype, int64_t number) {
  switch (layoutOf(dtype).bytes) {
  case 1: return append(bytes, static_cast<int8_t>(number));
  case 2: return append(bytes, static_cast<int16_t>(number));
  case 4: return append(bytes, static_cast<int32_t>(number));
  default: return append(bytes, number);
  }
}

std::vector<std::byte> encode(const interpreter::Tensor &tensor) {
  std::vector<std::byte> bytes;
  bytes.reserve(tensor.size() * layoutOf(tensor.dtype()).bytes);
  if (tensor.isFloat())
    for (double number : tensor.floats())
      appendFloat(bytes, tensor.dtype(), interpreter::roundTo(tensor.dtype(), number, interpreter::Precision::f32));
  else
    for (int64_t number : tensor.integers())
      appendInteger(bytes, tensor.dtype(), number);
  return bytes;
}

//===-- Recipes -----------------------------------------------------------------------------------------------------===//

/// Evaluates recipes of steps that keep or convert single elements.
class Mover {
public:
  explicit Mover(const TensorSource &source) : source(source) {}

  static bool canDo(Operation &op) {
    if (isa<CastOp, DequantizeOp>(op))
      return isNumber(op.getOperand(0)) && isNumber(op.getResult(0));
    return isa<WeightOp, ConstantOp, ReshapeOp, TransposeOp, SliceOp, ConcatOp>(op);
  }

  /// The bytes of `value`, without holding more of them than a step needs.
  Status stream(Value value, const artifact::ByteSink &sink) {
    Operation *op = value.getDefiningOp();
    if (isa<ReshapeOp>(op))
      return stream(op->getOperand(0), sink);
    if (auto concat = dyn_cast<ConcatOp>(op); concat && elementsBefore(value, concat.getAxis()) == 1) {
      for (Value input : concat.getInputs())
        TRANSOM_RETURN_IF_ERROR(stream(input, sink));
      return {};
    }
    if (isa<CastOp, DequantizeOp>(op))
      return convert(op->getOperand(0), dtypeOf(value), sink);
    TRANSOM_ASSIGN(Data data, evaluate(value));
    return sink(data.bytes);
  }

private:
  static bool isNumber(Value value) { return isa<FloatType, BlockType>(typeOf(value).getElementType()); }

  Result<Data> evaluate(Value value) {
    if (auto known = kept.find(value); known != kept.end())
      return known->second;
    TRANSOM_ASSIGN(Data data, compute(value));
    if (!value.hasOneUse())
      kept[value] = data;
    return data;
  }

  Result<Data> compute(Value value) {
    Operation *op = value.getDefiningOp();
    if (auto weight = dyn_cast<WeightOp>(op))
      return stored(weight);
    if (auto constant = dyn_cast<ConstantOp>(op))
      return Data::of(encode(interpreter::fromElements(constant.getValue())));
    if (isa<ReshapeOp>(op))
      return evaluate(op->getOperand(0));
    if (auto transpose = dyn_cast<TransposeOp>(op))
      return permute(transpose);
    if (auto slice = dyn_cast<SliceOp>(op))
      return cut(slice);
    if (auto concat = dyn_cast<ConcatOp>(op))
      return join(concat);
    std::vector<std::byte> bytes;
    bytes.reserve(bytesFrom(value, 0));
    TRANSOM_RETURN_IF_ERROR(convert(op->getOperand(0), dtypeOf(value), [&](Bytes piece) {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
      return Status();
    }));
    return Data::of(std::move(bytes));
  }

  Result<Data> stored(WeightOp op) {
    TRANSOM_ASSIGN(const Tensor *tensor, source.get(op.getName().str()));
    llvm::ArrayRef<int64_t> shape = op.getType().getShape();
    if (tensor->dtype != dtypeOf(op) || llvm::ArrayRef<int64_t>(tensor->shape) != shape)
      return error(StatusCode::invalidFile, "tensor {}: expected {} {}, found {} {}", tensor->name, name(dtypeOf(op)),
                   formatShape({shape.data(), shape.size()}), name(tensor->dtype), formatShape(tensor->shape));
    return Data{tensor->bytes, nullptr};
  }

  /// Float to float, quantised ones included, in pieces.
  Status convert(Value input, DType to, const artifact::ByteSink &sink) {
    constexpr size_t pieceElements = 1 << 16; // whole blocks of every format
    TRANSOM_ASSIGN(Data data, evaluate(input));
    BlockLayout layout = layoutOf(dtypeOf(input));
    size_t pieceBytes = pieceElements / layout.elements * layout.bytes;
    std::vector<double> numbers;
    std::vector<std::byte> out;
    for (size_t at = 0; at < data.bytes.size(); at += pieceBytes) {
      Bytes piece = data.bytes.subspan(at, std::min(pieceBytes, data.bytes.size() - at));
      numbers.resize(piece.size() / layout.bytes * layout.elements);
      decodeElements(dtypeOf(input), piece, std::span(numbers));
      out.clear();
      for (double number : numbers)
        appendFloat(out, to, interpreter::roundTo(to, number, interpreter::Precision::f32));
      TRANSOM_RETURN_IF_ERROR(sink(out));
    }
    return {};
  }

  Result<Data> permute(TransposeOp op) {
    TRANSOM_ASSIGN(Data input, evaluate(op.getInput()));
    // Rows move whole where the last dimension stays: quantised blocks rely on it.
    int64_t rank = typeOf(op).getRank();
    bool rows = rank > 0 && op.getPermutation().back() == rank - 1;
    int64_t moving = rows ? rank - 1 : rank;
    uint64_t unit = rows ? bytesFrom(op.getInput(), rank - 1) : layoutOf(dtypeOf(op)).bytes;
    llvm::SmallVector<uint64_t> inputStrides(moving, unit), strides(moving);
    for (int64_t axis = moving - 2; axis >= 0; --axis)
      inputStrides[axis] = inputStrides[axis + 1] * typeOf(op.getInput()).getDimSize(axis + 1);
    for (int64_t axis = 0; axis < moving; ++axis)
      strides[axis] = inputStrides[op.getPermutation()[axis]];
    std::vector<std::byte> bytes(input.bytes.size());
    llvm::SmallVector<int64_t> index(moving, 0);
    uint64_t from = 0;
    for (uint64_t at = 0; at < bytes.size(); at += unit) {
      std::memcpy(bytes.data() + at, input.bytes.data() + from, unit);
      for (int64_t axis = moving - 1; axis >= 0; --axis) {
        from += strides[axis];
        if (++index[axis] < typeOf(op).getDimSize(axis))
          break;
        from -= strides[axis] * index[axis];
        index[axis] = 0;
      }
    }
    return Data::of(std::move(bytes));
  }

  Result<Data> cut(SliceOp op) {
    TRANSOM_ASSIGN(Data input, evaluate(op.getInput()));
    int64_t axis = op.getAxis();
    uint64_t inputRow = bytesFrom(op.getInput(), axis), row = bytesFrom(op, axis);
    uint64_t start = inputRow / typeOf(op.getInput()).getDimSize(axis) * op.getStart();
    if (isQuantized(dtypeOf(op)) && axis + 1 == typeOf(op).getRank())
      start = op.getStart() / layoutOf(dtypeOf(op)).elements * layoutOf(dtypeOf(op)).bytes;
    int64_t count = elementsBefore(op, axis);
    if (count == 1)
      return Data{input.bytes.subspan(start, row), input.owned};
    std::vector<std::byte> bytes(row * count);
    for (int64_t i = 0; i < count; ++i)
      std::memcpy(bytes.data() + i * row, input.bytes.data() + i * inputRow + start, row);
    return Data::of(std::move(bytes));
  }

  Result<Data> join(ConcatOp op) {
    int64_t axis = op.getAxis(), count = elementsBefore(op, axis);
    uint64_t row = bytesFrom(op, axis), at = 0;
    std::vector<std::byte> bytes(row * count);
    for (Value part : op.getInputs()) {
      TRANSOM_ASSIGN(Data input, evaluate(part));
      uint64_t partRow = bytesFrom(part, axis);
      for (int64_t i = 0; i < count; ++i)
        std::memcpy(bytes.data() + i * row + at, input.bytes.data() + i * partRow, partRow);
      at += partRow;
    }
    return Data::of(std::move(bytes));
  }

  const TensorSource &source;
  llvm::DenseMap<Value, Data> kept; ///< values with several uses
};

/// The whole recipe as a function of the reference interpreter.
Status interpret(plan::WeightOp weight, const TensorSource &source, const artifact::ByteSink &sink) {
  if (isa<BlockType>(elementOf(weight.getType())))
    return error(StatusCode::unsupported, "recipe {}: blocks of {} can be moved and decoded, not computed", weight.getName().str(),
                 name(storedType(elementOf(weight.getType()))));
  MLIRContext *context = weight.getContext();
  context->getOrLoadDialect<func::FuncDialect>();
  OwningOpRef<ModuleOp> module = ModuleOp::create(weight.getLoc());
  OpBuilder builder = OpBuilder::atBlockEnd(module->getBody());
  auto function = builder.create<func::FuncOp>(weight.getLoc(), "recipe", builder.getFunctionType({}, {weight.getType()}));
  IRMapping mapping;
  weight.getRecipe().cloneInto(&function.getBody(), mapping);
  Operation *yield = &function.getBody().front().back();
  builder.setInsertionPoint(yield);
  builder.create<func::ReturnOp>(yield->getLoc(), yield->getOperands());
  yield->erase();
  interpreter::Interpreter machine(interpreter::Precision::f32, &source, /*cacheBytes=*/0);
  auto results = machine.run(function, {});
  if (!results.ok())
    return results.status().within("recipe " + weight.getName().str());
  return sink(encode(results->front()));
}

} // namespace

Status writeWeight(plan::WeightOp weight, const TensorSource &source, const artifact::ByteSink &sink) {
  if (weight.getValue())
    return sink(encode(interpreter::fromElements(*weight.getValue())));
  if (weight.getRecipe().empty()) {
    // The simplest recipe: one tensor as it is.
    OpBuilder builder(weight.getContext());
    OwningOpRef<WeightOp> stored = builder.create<WeightOp>(weight.getLoc(), weight.getType(), weight.getName());
    return Mover(source).stream(stored->getResult(), sink);
  }
  Block &body = weight.getRecipe().front();
  if (!llvm::all_of(body.without_terminator(), Mover::canDo))
    return interpret(weight, source, sink);
  return Mover(source).stream(body.back().getOperand(0), sink);
}

} // namespace transom
