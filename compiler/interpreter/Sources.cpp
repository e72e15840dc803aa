// Constants, stored weights, and the interpreter's view of MLIR types.
#include "compiler/interpreter/Sources.h"

#include "compiler/import/files/BlockDecode.h"
#include "ir/Transom.h"

#include "llvm/ADT/TypeSwitch.h"

#include <cstring>

namespace transom::interpreter {

bool isSource(mlir::Operation &op) { return mlir::isa<ConstantOp, WeightOp, RecipeOp>(op); }

DType dtypeOf(mlir::Type type) {
  if (mlir::isa<mlir::ShapedType, CacheType>(type))
    return dtypeOf(elementOf(type));
  if (auto block = mlir::dyn_cast<BlockType>(type))
    return *parseDType(stringifyBlockFormat(block.getFormat()));
  if (auto integer = mlir::dyn_cast<mlir::IntegerType>(type))
    switch (integer.getWidth()) {
    case 1: return DType::boolean;
    case 8: return DType::i8;
    case 16: return DType::i16;
    case 32: return DType::i32;
    default: return DType::i64;
    }
  return llvm::TypeSwitch<mlir::Type, DType>(type)
      .Case([](mlir::Float8E4M3FNType) { return DType::f8e4m3; })
      .Case([](mlir::Float16Type) { return DType::f16; })
      .Case([](mlir::BFloat16Type) { return DType::bf16; })
      .Case([](mlir::Float64Type) { return DType::f64; })
      .Default([](mlir::Type) { return DType::f32; });
}

Tensor fromElements(mlir::ElementsAttr elements) {
  auto type = mlir::cast<mlir::RankedTensorType>(elements.getType());
  DType dtype = dtypeOf(type);
  if (Tensor::isIntegerType(dtype)) {
    std::vector<int64_t> numbers;
    for (const llvm::APInt &number : elements.getValues<llvm::APInt>())
      numbers.push_back(wrapTo(dtype, number.getSExtValue()));
    return Tensor::ofIntegers(dtype, type.getShape(), std::move(numbers));
  }
  std::vector<double> numbers;
  for (llvm::APFloat number : elements.getValues<llvm::APFloat>()) {
    bool inexact;
    number.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven, &inexact);
    numbers.push_back(number.convertToDouble());
  }
  return Tensor::ofFloats(dtype, type.getShape(), std::move(numbers));
}

template <typename T> static std::vector<int64_t> readIntegers(std::span<const std::byte> bytes) {
  std::vector<int64_t> numbers(bytes.size() / sizeof(T));
  for (size_t i = 0; i < numbers.size(); ++i) {
    T number;
    std::memcpy(&number, bytes.data() + i * sizeof(T), sizeof(T));
    numbers[i] = static_cast<int64_t>(number);
  }
  return numbers;
}

static std::vector<int64_t> decodeIntegers(DType dtype, std::span<const std::byte> bytes) {
  switch (dtype) {
  case DType::i8: return readIntegers<int8_t>(bytes);
  case DType::i16: return readIntegers<int16_t>(bytes);
  case DType::i32: return readIntegers<int32_t>(bytes);
  case DType::i64: return readIntegers<int64_t>(bytes);
  default: break;
  }
  std::vector<int64_t> numbers = readIntegers<uint8_t>(bytes);
  for (int64_t &number : numbers)
    number = dtype == DType::boolean ? number != 0 : number;
  return numbers;
}

Result<Tensor> decode(const transom::Tensor &stored) {
  TRANSOM_ASSIGN(int64_t count, elementCount(stored.shape));
  if (Tensor::isIntegerType(stored.dtype))
    return Tensor::ofIntegers(stored.dtype, stored.shape, decodeIntegers(stored.dtype, stored.bytes));
  std::vector<double> numbers(count);
  decodeElements(stored.dtype, stored.bytes, numbers);
  return Tensor::ofFloats(stored.dtype, stored.shape, std::move(numbers));
}

Status checkType(mlir::Type type, DType dtype, llvm::ArrayRef<int64_t> shape) {
  Tensor::Shape expected;
  for (const DimExpr &size : dimsOf(type))
    expected.push_back(size.constant().value_or(-1));
  bool fits = expected.size() == shape.size() && dtype == dtypeOf(type);
  for (size_t i = 0; fits && i < expected.size(); ++i)
    fits = expected[i] < 0 || expected[i] == shape[i];
  if (fits)
    return {};
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return error(StatusCode::invalidArgument, "expected {}, found {}", text, formatType(dtype, shape));
}

} // namespace transom::interpreter
