// See Compare.h.
#include "test/random/Compare.h"

#include <cmath>

using namespace mlir;

namespace transom::random {

namespace {

struct Mask {
  const Tensor *bits = nullptr;
  int64_t offset = 0; ///< of the axis' first token in the mask's rows
};

/// The mask that speaks of an axis of size `text`.
Mask maskOf(func::FuncOp main, const Batch &batch, const std::string &text) {
  for (unsigned i = 0; i < main.getNumArguments(); ++i) {
    std::string name = argumentName(main, i);
    if (!llvm::StringRef(name).ends_with("mask"))
      continue;
    std::string size = argumentSizes(main, i)[1];
    if (size == text)
      return {&batch.inputs[i], 0};
    if (!llvm::StringRef(size).starts_with("past+"))
      continue;
    if (size == "past+" + text)
      return {&batch.inputs[i], batch.sizes.at("past")};
    // DimExpr writes terms in the order of their names.
    if (text == "past" || (text.find("past") != text.npos && evaluate(text, batch.sizes) == evaluate(size, batch.sizes)))
      return {&batch.inputs[i], 0};
  }
  return {};
}

bool takesFirstToken(func::FuncOp main) {
  for (unsigned i = 0; i < main.getNumResults(); ++i)
    if (resultName(main, i) == "first_token")
      return true;
  return false;
}

} // namespace

std::vector<bool> definedElements(func::FuncOp main, unsigned index, const Batch &batch, const std::vector<int64_t> &shape) {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  std::vector<bool> defined(count, true);
  std::vector<std::string> sizes = resultSizes(main, index);
  Mask mask;
  int64_t tokens = 0;
  for (size_t axis = 0; axis < sizes.size() && !mask.bits; ++axis)
    if (Mask found = maskOf(main, batch, sizes[axis]); found.bits)
      mask = found, tokens = int64_t(axis);
  bool firstOnly = !mask.bits && takesFirstToken(main) && !sizes.empty() && sizes[0] == argumentSizes(main, 0)[0];
  if (firstOnly)
    mask = maskOf(main, batch, argumentSizes(main, 0)[1]);
  if (!mask.bits)
    return defined;
  int64_t rows = 0;
  std::string batchSize = argumentSizes(main, 0)[0];
  while (rows < int64_t(sizes.size()) && (sizes[rows] != batchSize || (rows == tokens && !firstOnly)))
    ++rows;
  if (rows == int64_t(sizes.size())) // the same for all rows, such as a table of positions
    return defined;
  int64_t rowStride = 1, tokenStride = 1;
  for (int64_t axis = rows + 1; axis < int64_t(shape.size()); ++axis)
    rowStride *= shape[axis];
  for (int64_t axis = tokens + 1; axis < int64_t(shape.size()); ++axis)
    tokenStride *= shape[axis];
  for (int64_t i = 0; i < count; ++i) {
    int64_t row = i / rowStride % shape[rows], token = firstOnly ? 0 : i / tokenStride % shape[tokens];
    defined[i] = mask.bits->integers()[row * mask.bits->dim(1) + mask.offset + token] != 0;
  }
  return defined;
}

std::optional<std::string> difference(const Tensor &found, const Tensor &expected, const std::vector<bool> &defined, double tolerance) {
  if (found.shape() != expected.shape() || found.dtype() != expected.dtype())
    return fmt::format("found {}, expected {}", interpreter::formatType(found.dtype(), found.shape()),
                       interpreter::formatType(expected.dtype(), expected.shape()));
  double squares = 0;
  for (int64_t i = 0; i < expected.size(); ++i)
    if (std::isfinite(expected.at(i)) && defined[i])
      squares += expected.at(i) * expected.at(i);
  double scale = std::max(1.0, std::sqrt(squares / std::max<int64_t>(expected.size(), 1)));
  for (int64_t i = 0; i < expected.size(); ++i) {
    double want = expected.at(i), got = found.at(i);
    if (!defined[i] || std::isnan(want) || want == got)
      continue;
    if (!(std::abs(got - want) <= tolerance * std::max(scale, std::abs(want))))
      return fmt::format("at {}: found {:.9g}, expected {:.9g}", i, got, want);
  }
  return std::nullopt;
}

} // namespace transom::random
