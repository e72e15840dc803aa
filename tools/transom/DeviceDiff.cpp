// See DeviceDiff.h. Matching, for the tensors that steps of one source have written in each run:
//   1. a table of the best pairing of the first i of one with the first j of the other: first the number of pairs counts, then the sum of
//      their errors, estimated on a sample (Needleman and Wunsch's alignment);
//   2. read backwards from its end it gives the pairs, whose errors are computed in full.
#include "tools/transom/DeviceDiff.h"

#include "runtime/format/E4m3.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <ranges>

namespace transom::cli {

namespace {

constexpr size_t sampled = 1024;

bool isFloat(DType dtype) { return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f64; }

size_t elementsOf(const Observed &tensor) { return tensor.bytes.size() / layoutOf(tensor.dtype).bytes; }

double halfToDouble(uint16_t bits) {
  int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  double size = exponent == 0    ? std::ldexp(mantissa, -24)
                : exponent == 31 ? (mantissa ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity())
                                 : std::ldexp(1024 + mantissa, exponent - 25);
  return bits >> 15 ? -size : size;
}

template <typename T> T valueAt(const Observed &tensor, size_t i) {
  T value;
  std::memcpy(&value, tensor.bytes.data() + i * sizeof value, sizeof value);
  return value;
}

/// Rows in 8 bits, with a scale of each behind all of them, as the numbers that they stand for.
Observed decoded(Observed tensor) {
  constexpr int64_t scaleBytes = sizeof(float);
  if (tensor.dtype != DType::f8e4m3 || tensor.shape.empty() || tensor.shape.back() <= scaleBytes)
    return tensor;
  auto width = static_cast<size_t>(tensor.shape.back() - scaleBytes), rows = tensor.bytes.size() / (width + scaleBytes);
  std::vector<float> numbers(rows * width);
  for (size_t i = 0; i < numbers.size(); ++i) {
    float scale;
    std::memcpy(&scale, tensor.bytes.data() + rows * width + i / width * scaleBytes, sizeof scale);
    numbers[i] = scale * e4m3::decode(static_cast<uint8_t>(tensor.bytes[i]));
  }
  auto bytes = std::as_bytes(std::span(numbers));
  tensor.dtype = DType::f32, tensor.shape.back() -= scaleBytes;
  tensor.bytes.assign(bytes.begin(), bytes.end());
  return tensor;
}

double numberAt(const Observed &tensor, size_t i) {
  switch (tensor.dtype) {
  case DType::f32:
    return valueAt<float>(tensor, i);
  case DType::f16:
    return halfToDouble(valueAt<uint16_t>(tensor, i));
  case DType::bf16:
    return std::bit_cast<float>(uint32_t(valueAt<uint16_t>(tensor, i)) << 16);
  case DType::f64:
    return valueAt<double>(tensor, i);
  case DType::i16:
    return valueAt<int16_t>(tensor, i);
  case DType::i32:
    return valueAt<int32_t>(tensor, i);
  case DType::i64:
    return static_cast<double>(valueAt<int64_t>(tensor, i));
  case DType::i8:
    return valueAt<int8_t>(tensor, i);
  default: // u8 and boolean
    return valueAt<uint8_t>(tensor, i);
  }
}

/// Over every `stride`-th element.
TensorError errorOver(const Observed &reference, const Observed &found, size_t stride) {
  TensorError error;
  double difference = 0, size = 0;
  for (size_t i = 0, count = elementsOf(reference); i < count; i += stride) {
    double a = numberAt(reference, i), b = numberAt(found, i);
    error.nan |= std::isnan(a) || std::isnan(b);
    if (a == b && std::isinf(a))
      continue;
    double apart = std::abs(a - b);
    error.largest = std::max(error.largest, apart);
    difference += apart * apart;
    size += std::isinf(a) ? 0 : a * a;
  }
  error.relative = difference == 0 ? 0 : std::sqrt(difference) / std::sqrt(size);
  if (error.nan)
    error.relative = error.largest = std::numeric_limits<double>::quiet_NaN();
  return error;
}

bool comparable(const Observed &a, const Observed &b) {
  return !isQuantized(a.dtype) && !isQuantized(b.dtype) && isFloat(a.dtype) == isFloat(b.dtype) && elementsOf(a) == elementsOf(b);
}

TensorDiff diffOf(const Observed &reference, const Observed &found, double tolerance) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  TensorDiff diff{.reference = &reference, .found = &found, .error = {infinite, infinite, false}};
  if (comparable(reference, found))
    diff.error = errorBetween(reference, found);
  double allowed = isFloat(reference.dtype) ? tolerance : 0;
  diff.differs = diff.error.nan || !(diff.error.relative <= allowed);
  return diff;
}

using Group = std::vector<const Observed *>;
using Pair = std::pair<const Observed *, const Observed *>;

/// The best pairing of beginnings of two groups.
struct Best {
  size_t pairs = 0;
  double errors = 0;
  enum class From : uint8_t { end, first, second, both } from = From::end;
  bool betterThan(const Best &other) const { return pairs != other.pairs ? pairs > other.pairs : errors < other.errors; }
};

double sampledError(const Observed &a, const Observed &b) {
  TensorError error = errorOver(a, b, std::max<size_t>(1, elementsOf(a) / sampled));
  return error.relative < 2 ? error.relative : 2; // NaN and infinity too
}

void pairUp(const Group &a, const Group &b, std::vector<Pair> &pairs) {
  std::vector<Best> table((a.size() + 1) * (b.size() + 1));
  auto at = [&](size_t i, size_t j) -> Best & { return table[i * (b.size() + 1) + j]; };
  for (size_t i = 0; i <= a.size(); ++i)
    for (size_t j = 0; j <= b.size(); ++j) {
      auto consider = [&](const Best &before, Best::From from, size_t more, double error) {
        Best best{before.pairs + more, before.errors + error, from};
        if (at(i, j).from == Best::From::end || best.betterThan(at(i, j)))
          at(i, j) = best;
      };
      if (i > 0 && j > 0 && comparable(*a[i - 1], *b[j - 1]))
        consider(at(i - 1, j - 1), Best::From::both, 1, sampledError(*a[i - 1], *b[j - 1]));
      if (i > 0)
        consider(at(i - 1, j), Best::From::first, 0, 0);
      if (j > 0)
        consider(at(i, j - 1), Best::From::second, 0, 0);
    }
  for (size_t i = a.size(), j = b.size(); at(i, j).from != Best::From::end;) {
    Best::From from = at(i, j).from;
    i -= from != Best::From::second;
    j -= from != Best::From::first;
    if (from == Best::From::both)
      pairs.emplace_back(a[i], b[j]);
  }
}

/// Where a step writes over an operand, operand and result are the same memory. A product's operand is none, nor is the product before
/// an epilogue.
bool isResult(const artifact::Program &program, const StepValue &value) {
  const artifact::Buffer &buffer = program.buffers[value.buffer];
  if (buffer.kind != artifact::BufferKind::arena)
    return false;
  const artifact::Step &step = program.steps[value.step];
  if (auto *gemm = std::get_if<artifact::Gemm>(&step.kind))
    return value.buffer != gemm->lhs && (gemm->epilogue < 0 || value.buffer != gemm->out);
  const std::vector<uint32_t> *buffers = nullptr;
  if (auto *launch = std::get_if<artifact::Launch>(&step.kind))
    buffers = &launch->buffers;
  if (auto *launch = std::get_if<artifact::CudaLaunch>(&step.kind))
    buffers = &launch->buffers;
  if (!buffers)
    return true;
  auto place = std::find(buffers->begin(), buffers->end(), value.buffer);
  return std::none_of(place, buffers->end(), [&](uint32_t later) { // results follow operands
    const artifact::Buffer &other = program.buffers[later];
    return later != value.buffer && other.kind == buffer.kind && other.offset < buffer.offset + buffer.bytes &&
           buffer.offset < other.offset + other.bytes;
  });
}

} // namespace

Result<ObservedRun> observeRun(Session &session, size_t program, std::span<const TensorView> inputs) {
  ObservedRun run;
  const artifact::Program &steps = session.model().contents().programs[program];
  std::map<uint64_t, size_t> lastAt; // what was written last, by its place in the arena
  auto keep = [&](const StepValue &value) -> Status {
    if (!isResult(steps, value))
      return {};
    auto [last, isNew] = lastAt.try_emplace(steps.buffers[value.buffer].offset, run.steps.size());
    if (!isNew && value.dtype != DType::f8e4m3 && std::ranges::equal(run.steps[last->second].bytes, value.bytes))
      return {}; // an operand in another shape than it was written in, which counts as written when it is first touched
    last->second = run.steps.size();
    run.steps.push_back(decoded({std::string(value.source), value.dtype, {value.shape.begin(), value.shape.end()}, {value.bytes.begin(), value.bytes.end()}}));
    return {};
  };
  TRANSOM_ASSIGN(std::span<const TensorView> outputs, session.observe(program, inputs, keep));
  for (const TensorView &view : outputs) {
    auto *data = static_cast<const std::byte *>(view.data);
    uint64_t bytes = bytesFor(view.dtype, view.shape).value();
    run.outputs.push_back({std::string(view.name), view.dtype, {view.shape.begin(), view.shape.end()}, {data, data + bytes}});
  }
  return run;
}

TensorError errorBetween(const Observed &reference, const Observed &found) { return errorOver(reference, found, 1); }

RunDiff compareRuns(const ObservedRun &reference, const ObservedRun &found, double tolerance) {
  std::map<std::string_view, std::pair<Group, Group>> bySource;
  for (const Observed &tensor : reference.steps)
    bySource[tensor.source].first.push_back(&tensor);
  for (const Observed &tensor : found.steps)
    bySource[tensor.source].second.push_back(&tensor);
  std::vector<Pair> pairs;
  for (auto &[source, groups] : bySource)
    pairUp(groups.first, groups.second, pairs);
  std::sort(pairs.begin(), pairs.end());
  RunDiff diff;
  for (auto &[a, b] : pairs)
    diff.tensors.push_back(diffOf(*a, *b, tolerance));
  diff.skipped = reference.steps.size() + found.steps.size() - 2 * pairs.size();
  for (const Observed &a : reference.outputs) {
    auto b = std::find_if(found.outputs.begin(), found.outputs.end(), [&](const Observed &other) { return other.source == a.source; });
    if (b != found.outputs.end())
      diff.tensors.push_back(diffOf(a, *b, tolerance));
    else
      ++diff.skipped;
  }
  return diff;
}

DType narrowestOf(const artifact::Program &program) {
  DType narrowest = DType::f32;
  for (const artifact::Buffer &buffer : program.buffers)
    if (buffer.kind != artifact::BufferKind::weight && usualTolerance(buffer.dtype) > usualTolerance(narrowest))
      narrowest = buffer.dtype;
  return narrowest;
}

double usualTolerance(DType dtype) { return dtype == DType::f8e4m3 ? 1e-1 : dtype == DType::bf16 ? 5e-2 : dtype == DType::f16 ? 1e-2 : 1e-4; }

} // namespace transom::cli
