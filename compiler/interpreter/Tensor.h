// Tensors of the reference interpreter: plain vectors of numbers with copy-on-write storage. No MLIR here.
#pragma once

#include "runtime/format/DType.h"
#include "runtime/support/Status.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace transom::interpreter {

/// How numbers of 32-bit floats are kept: rounded to float, or as doubles. Operations compute in double either way.
enum class Precision { f32, f64 };

/// Floats are kept as doubles, integers and booleans as 64-bit integers. A quantised tensor is kept as the numbers that
/// its blocks decode to, so that moving rows or blocks of it needs no knowledge of the format. Copies share storage
/// until one of them is changed.
class Tensor {
public:
  using Shape = std::vector<int64_t>;

  Tensor() = default;
  /// Zeros, allocated when first used. Sizes are not negative and their product is in range (see elementCount).
  Tensor(DType dtype, Shape shape) : dtype_(dtype), shape_(std::move(shape)) {}
  /// As many numbers as the shape has elements.
  static Tensor ofFloats(DType dtype, Shape shape, std::vector<double> numbers);
  static Tensor ofIntegers(DType dtype, Shape shape, std::vector<int64_t> numbers);

  DType dtype() const { return dtype_; }
  const Shape &shape() const { return shape_; }
  int64_t rank() const { return static_cast<int64_t>(shape_.size()); }
  int64_t dim(int64_t axis) const { return shape_[axis]; }
  int64_t size() const;
  /// Whether numbers are doubles (floats and quantised blocks) or integers.
  bool isFloat() const { return !isIntegerType(dtype_); }
  static bool isIntegerType(DType dtype) { return dtype >= DType::i8 && dtype <= DType::boolean; }

  /// T is double where isFloat(), else int64_t. `change` unshares the storage.
  template <typename T> std::span<const T> view() const;
  template <typename T> std::span<T> change();
  std::span<const double> floats() const { return view<double>(); }
  std::span<const int64_t> integers() const { return view<int64_t>(); }
  /// The number at `index` as a double, whatever the type.
  double at(int64_t index) const { return isFloat() ? floats()[index] : static_cast<double>(integers()[index]); }

  /// The same numbers under another shape of as many elements, and under another type that holds them.
  Tensor as(DType dtype, Shape shape) const;
  /// Rounds every number to what the type holds: integers wrap around, floats round to nearest even, those of 8 bits to no infinity. Quantised tensors
  /// and, with Precision::f64, 32-bit floats stay as they are.
  void round(Precision precision);

private:
  template <typename T> std::shared_ptr<std::vector<T>> &storage() const;

  DType dtype_ = DType::f32;
  Shape shape_;
  // One of them, by the type; null until used.
  mutable std::shared_ptr<std::vector<double>> floats_;
  mutable std::shared_ptr<std::vector<int64_t>> integers_;
};

/// The number as the type holds it; see Tensor::round.
double roundTo(DType dtype, double number, Precision precision);
int64_t wrapTo(DType dtype, int64_t number);

/// The product of the sizes. Error: more elements than the interpreter takes on, or a negative size.
Result<int64_t> elementCount(std::span<const int64_t> shape);

/// "tensor<2x2xf32>: [[1, 2], [3, 4]]", floats with six significant digits. Quantised types print as "q8_0".
std::string format(const Tensor &tensor);
/// "tensor<2x2xf32>"
std::string formatType(DType dtype, std::span<const int64_t> shape);

} // namespace transom::interpreter
