// See Tensor.h.
#include "compiler/interpreter/Tensor.h"

#include "runtime/support/Checked.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace transom::interpreter {

namespace {

/// 8 GiB of doubles.
constexpr uint64_t elementLimit = uint64_t(1) << 30;

/// Rounds to nearest even with `digits` significant bits, none below 2^lowest; magnitudes over `largest` overflow.
double roundFloat(double number, int digits, int lowest, double largest) {
  if (number == 0 || !std::isfinite(number))
    return number;
  int exponent;
  std::frexp(number, &exponent);
  int shift = std::max(exponent - digits, lowest);
  double rounded = std::ldexp(std::nearbyint(std::ldexp(number, -shift)), shift);
  return std::abs(rounded) > largest ? std::copysign(std::numeric_limits<double>::infinity(), number) : rounded;
}

} // namespace

double roundTo(DType dtype, double number, Precision precision) {
  switch (dtype) {
  case DType::f32: return precision == Precision::f32 ? static_cast<float>(number) : number;
  case DType::f16: return roundFloat(number, 11, -24, 65504.0);
  case DType::bf16: return roundFloat(number, 8, -133, 0x1.fep127);
  case DType::f8e4m3: return std::clamp(roundFloat(number, 4, -9, 448.0), -448.0, 448.0);
  default: return number;
  }
}

int64_t wrapTo(DType dtype, int64_t number) {
  switch (dtype) {
  case DType::boolean: return number & 1;
  case DType::i8: return static_cast<int8_t>(number);
  case DType::u8: return static_cast<uint8_t>(number);
  case DType::i16: return static_cast<int16_t>(number);
  case DType::i32: return static_cast<int32_t>(number);
  default: return number;
  }
}

Result<int64_t> elementCount(std::span<const int64_t> shape) {
  CheckedSize count = 1;
  for (int64_t size : shape) {
    if (size < 0)
      return error(StatusCode::invalidArgument, "a tensor has a negative size, {}", size);
    count = count * CheckedSize(static_cast<uint64_t>(size));
  }
  if (!count.fits(elementLimit))
    return error(StatusCode::outOfMemory, "a tensor has more than {} elements", elementLimit);
  return static_cast<int64_t>(count.value());
}

Tensor Tensor::ofFloats(DType dtype, Shape shape, std::vector<double> numbers) {
  Tensor tensor(dtype, std::move(shape));
  assert(tensor.isFloat() && static_cast<size_t>(tensor.size()) == numbers.size() && "numbers do not fill the shape");
  tensor.floats_ = std::make_shared<std::vector<double>>(std::move(numbers));
  return tensor;
}

Tensor Tensor::ofIntegers(DType dtype, Shape shape, std::vector<int64_t> numbers) {
  Tensor tensor(dtype, std::move(shape));
  assert(!tensor.isFloat() && static_cast<size_t>(tensor.size()) == numbers.size() && "numbers do not fill the shape");
  tensor.integers_ = std::make_shared<std::vector<int64_t>>(std::move(numbers));
  return tensor;
}

int64_t Tensor::size() const {
  int64_t count = 1;
  for (int64_t size : shape_)
    count *= size;
  return count;
}

template <typename T> std::shared_ptr<std::vector<T>> &Tensor::storage() const {
  assert(isFloat() == (std::is_same_v<T, double>) && "numbers asked for under the wrong type");
  std::shared_ptr<std::vector<T>> *pointer;
  if constexpr (std::is_same_v<T, double>)
    pointer = &floats_;
  else
    pointer = &integers_;
  if (!*pointer)
    *pointer = std::make_shared<std::vector<T>>(size());
  return *pointer;
}

template <typename T> std::span<const T> Tensor::view() const { return *storage<T>(); }

template <typename T> std::span<T> Tensor::change() {
  std::shared_ptr<std::vector<T>> &numbers = storage<T>();
  if (numbers.use_count() > 1)
    numbers = std::make_shared<std::vector<T>>(*numbers);
  return *numbers;
}

template std::span<const double> Tensor::view() const;
template std::span<const int64_t> Tensor::view() const;
template std::span<double> Tensor::change();
template std::span<int64_t> Tensor::change();

Tensor Tensor::as(DType dtype, Shape shape) const {
  Tensor tensor = *this;
  tensor.dtype_ = dtype;
  tensor.shape_ = std::move(shape);
  assert(tensor.isFloat() == isFloat() && tensor.size() == size() && "another type or shape that does not fit");
  return tensor;
}

void Tensor::round(Precision precision) {
  // Storage is unshared only if a number changes: most ops that move numbers leave them as they are.
  auto apply = [&]<typename T>(T, auto rounded) {
    std::span<const T> numbers = view<T>();
    for (size_t i = 0; i < numbers.size(); ++i)
      if (T number = rounded(numbers[i]); number != numbers[i] && number == number) {
        for (T &each : change<T>())
          each = rounded(each);
        return;
      }
  };
  if (isFloat())
    apply(double(), [&](double number) { return roundTo(dtype_, number, precision); });
  else
    apply(int64_t(), [&](int64_t number) { return wrapTo(dtype_, number); });
}

std::string formatType(DType dtype, std::span<const int64_t> shape) {
  std::string text = "tensor<";
  for (int64_t size : shape)
    text += fmt::format("{}x", size);
  return text + (dtype == DType::boolean ? "i1" : std::string(name(dtype))) + ">";
}

static std::string formatNumber(const Tensor &tensor, int64_t index) {
  if (tensor.dtype() == DType::boolean)
    return tensor.integers()[index] ? "true" : "false";
  if (!tensor.isFloat())
    return std::to_string(tensor.integers()[index]);
  double number = tensor.floats()[index];
  // The sign of a NaN means nothing.
  return std::isnan(number) ? "nan" : fmt::format("{:g}", number);
}

/// Appends dimension `axis` and those inside it; `index` is the first element's, and moves on.
static void formatDimension(const Tensor &tensor, int64_t axis, int64_t &index, std::string &text) {
  if (axis == tensor.rank()) {
    text += formatNumber(tensor, index++);
    return;
  }
  text += '[';
  for (int64_t i = 0; i < tensor.dim(axis); ++i) {
    if (i > 0)
      text += ", ";
    formatDimension(tensor, axis + 1, index, text);
  }
  text += ']';
}

std::string format(const Tensor &tensor) {
  std::string text = formatType(tensor.dtype(), tensor.shape()) + ": ";
  int64_t index = 0;
  formatDimension(tensor, 0, index, text);
  return text;
}

} // namespace transom::interpreter
