// What the op families of the interpreter share: the table of functions and loops over tensors. Private to this folder.
#pragma once

#include "compiler/interpreter/Interpreter.h"

#include "ir/Transom.h"

#include <functional>

namespace transom::interpreter {

/// One op at work. Operands fit the op's constraints, as far as sizes go; results have their shapes (0 for a size that
/// depends on numbers) and are zero. The driver rounds results to their types afterwards.
struct Frame {
  mlir::Operation *op;
  llvm::ArrayRef<mlir::Value> values; ///< the operands, to find optional ones by
  std::vector<Tensor> in, out;
  Precision precision;

  /// The tensor of an operand; null for an optional operand that is not there.
  const Tensor *find(mlir::Value value) const {
    for (size_t i = 0; value && i < values.size(); ++i)
      if (values[i] == value)
        return &in[i];
    return nullptr;
  }
};

using Function = Status (*)(Frame &frame);

struct Entry {
  llvm::StringRef name;
  Function function;
};

/// The table's entry of an op whose function takes the op and the frame, and gives a Status or nothing.
template <typename Op, auto function> Entry entry() {
  return {Op::getOperationName(), [](Frame &frame) -> Status {
            if constexpr (std::is_void_v<decltype(function(std::declval<Op>(), frame))>) {
              function(mlir::cast<Op>(frame.op), frame);
              return {};
            } else {
              return function(mlir::cast<Op>(frame.op), frame);
            }
          }};
}

// One table per family.
llvm::ArrayRef<Entry> elementwiseOps();
llvm::ArrayRef<Entry> matmulOps();
llvm::ArrayRef<Entry> reduceOps();
llvm::ArrayRef<Entry> attentionOps();
llvm::ArrayRef<Entry> tokenOps();
llvm::ArrayRef<Entry> sampleOps();
llvm::ArrayRef<Entry> shapeOps();
llvm::ArrayRef<Entry> quantOps();
llvm::ArrayRef<Entry> cacheOps();
llvm::ArrayRef<Entry> packedOps();
llvm::ArrayRef<Entry> fusedOps();

/// Calls `body(index, offsets)` for each element of `shape`: its row-major index, and that of the element of each of
/// `operands` (shapes) that broadcasts to it.
void forEachBroadcast(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<llvm::ArrayRef<int64_t>> operands,
                      llvm::function_ref<void(int64_t, llvm::ArrayRef<int64_t>)> body);

/// A shape seen from one axis: elements (outer, along the axis, inner), row-major.
struct AxisView {
  int64_t outer = 1, size, inner = 1;
  AxisView(llvm::ArrayRef<int64_t> shape, int64_t axis);
};

/// Calls `call` with a double or an int64_t, whichever the tensor's numbers are.
template <typename Call> void withNumberType(const Tensor &tensor, Call call) {
  if (tensor.isFloat())
    call(double());
  else
    call(int64_t());
}

/// Runs `body(begin, end)` over parts of [0, count) on several threads, if `work` operations are worth it.
void parallelFor(int64_t count, int64_t work, const std::function<void(int64_t, int64_t)> &body);

/// The value of elements that an op leaves undefined: NaN spreads, so that a graph which uses one shows it.
double undefinedNumber();

/// Error: an entry is not in [0, limit].
Status checkLengths(llvm::StringRef what, const Tensor &lengths, int64_t limit);
/// The largest int32, for lengths without a limit of their own.
inline constexpr int64_t anyLength = INT32_MAX;
/// Error: not a rising sequence from 0 that stays within `tokens`, with steps of at most `longest`.
Status checkCumulative(const Tensor &cumulative, int64_t tokens, int64_t longest);

} // namespace transom::interpreter
