// Loops over tensors that the op families share; see Ops.h.
#include "compiler/interpreter/Ops.h"

#include <limits>
#include <thread>

namespace transom::interpreter {

void forEachBroadcast(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<llvm::ArrayRef<int64_t>> operands,
                      llvm::function_ref<void(int64_t, llvm::ArrayRef<int64_t>)> body) {
  // Step of each operand per dimension of `shape`, 0 where it repeats.
  size_t rank = shape.size(), count = operands.size();
  std::vector<std::vector<int64_t>> steps(count, std::vector<int64_t>(rank, 0));
  for (size_t k = 0; k < count; ++k) {
    int64_t step = 1;
    for (size_t i = operands[k].size(), axis = rank; i-- > 0;) {
      steps[k][--axis] = operands[k][i] == 1 ? 0 : step;
      step *= operands[k][i];
    }
  }
  int64_t total = 1;
  for (int64_t size : shape)
    total *= size;
  std::vector<int64_t> index(rank, 0), offsets(count, 0);
  for (int64_t i = 0; i < total; ++i) {
    body(i, offsets);
    for (size_t axis = rank; axis-- > 0;) {
      bool wraps = ++index[axis] == shape[axis];
      for (size_t k = 0; k < count; ++k)
        offsets[k] += wraps ? -steps[k][axis] * (shape[axis] - 1) : steps[k][axis];
      if (!wraps)
        break;
      index[axis] = 0;
    }
  }
}

AxisView::AxisView(llvm::ArrayRef<int64_t> shape, int64_t axis) : size(shape[axis]) {
  for (int64_t before : shape.take_front(axis))
    outer *= before;
  for (int64_t after : shape.drop_front(axis + 1))
    inner *= after;
}

void parallelFor(int64_t count, int64_t work, const std::function<void(int64_t, int64_t)> &body) {
  int64_t threads = std::min<int64_t>({std::thread::hardware_concurrency(), 8, count, work / 1000000});
  if (threads < 2)
    return body(0, count);
  std::vector<std::thread> others;
  for (int64_t t = 1; t < threads; ++t)
    others.emplace_back([&, t] { body(count * t / threads, count * (t + 1) / threads); });
  body(0, count / threads);
  for (std::thread &thread : others)
    thread.join();
}

double undefinedNumber() { return std::numeric_limits<double>::quiet_NaN(); }

Status checkLengths(llvm::StringRef what, const Tensor &lengths, int64_t limit) {
  std::span<const int64_t> numbers = lengths.integers();
  for (size_t row = 0; row < numbers.size(); ++row)
    if (numbers[row] < 0 || numbers[row] > limit)
      return error(StatusCode::invalidArgument, "{} of row {} is {}, not in [0, {}]", what.str(), row, numbers[row], limit);
  return {};
}

Status checkCumulative(const Tensor &cumulative, int64_t tokens, int64_t longest) {
  std::span<const int64_t> ends = cumulative.integers();
  if (ends.empty() || ends[0] != 0)
    return error(StatusCode::invalidArgument, "cumulative lengths do not begin with 0");
  for (size_t i = 1; i < ends.size(); ++i) {
    if (ends[i] < ends[i - 1] || ends[i] - ends[i - 1] > longest)
      return error(StatusCode::invalidArgument, "cumulative lengths give row {} a length of {}, not in [0, {}]", i - 1,
                   ends[i] - ends[i - 1], longest);
    if (ends[i] > tokens)
      return error(StatusCode::invalidArgument, "cumulative lengths reach {} of {} tokens", ends[i], tokens);
  }
  return {};
}

} // namespace transom::interpreter
