// Elementwise ops: one line of the table each.
#include "compiler/interpreter/Ops.h"
#include "compiler/interpreter/ScalarOps.h"

#include <cmath>

namespace transom::interpreter {

namespace {

/// Applies `f` to the elements of the operands, all of type T, broadcast to the result.
template <typename R, typename T, typename F> void map(Frame &frame, F f) {
  const Tensor::Shape &shape = frame.out[0].shape();
  std::span<R> out = frame.out[0].change<R>();
  std::vector<llvm::ArrayRef<int64_t>> shapes;
  std::vector<std::span<const T>> in;
  for (const Tensor &operand : frame.in) {
    shapes.push_back(operand.shape());
    in.push_back(operand.view<T>());
  }
  forEachBroadcast(shape, shapes, [&](int64_t i, llvm::ArrayRef<int64_t> at) {
    if constexpr (std::is_invocable_v<F, T>)
      out[i] = f(in[0][at[0]]);
    else
      out[i] = f(in[0][at[0]], in[1][at[1]]);
  });
}

template <typename Op, auto f> Entry unary() {
  return entry<Op, [](Op, Frame &frame) { map<double, double>(frame, f); }>();
}

/// `f` on doubles, `g` on 64-bit integers; the driver wraps narrower ones.
template <typename Op, auto f, auto g> Entry binary() {
  return entry<Op, [](Op, Frame &frame) {
    if (frame.in[0].isFloat())
      map<double, double>(frame, f);
    else
      map<int64_t, int64_t>(frame, g);
  }>();
}

using I = int64_t;
using U = uint64_t;

I divide(I a, I b) { return b == 0 ? 0 : b == -1 ? static_cast<I>(U(0) - static_cast<U>(a)) : a / b; }

void gelu(GeluOp op, Frame &frame) {
  if (op.getForm() == GeluForm::erf)
    map<double, double>(frame, [](double x) { return x * 0.5 * (1 + std::erf(x / std::sqrt(2.0))); });
  else
    map<double, double>(frame, [](double x) {
      return x * 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    });
}

void compare(CompareOp op, Frame &frame) {
  withNumberType(frame.in[0], [&]<typename T>(T) {
    map<I, T>(frame, [predicate = op.getPredicate()](T a, T b) -> I {
      switch (predicate) {
      case ComparePredicate::eq: return a == b;
      case ComparePredicate::ne: return a != b;
      case ComparePredicate::lt: return a < b;
      case ComparePredicate::le: return a <= b;
      case ComparePredicate::gt: return a > b;
      case ComparePredicate::ge: return a >= b;
      }
      llvm_unreachable("a relation that is none of the six");
    });
  });
}

void select(SelectOp, Frame &frame) {
  std::span<const I> condition = frame.in[0].integers();
  withNumberType(frame.out[0], [&]<typename T>(T) {
    std::span<const T> a = frame.in[1].view<T>(), b = frame.in[2].view<T>();
    std::span<T> out = frame.out[0].change<T>();
    forEachBroadcast(frame.out[0].shape(), {frame.in[0].shape(), frame.in[1].shape(), frame.in[2].shape()},
                     [&](I i, llvm::ArrayRef<I> at) { out[i] = condition[at[0]] ? a[at[1]] : b[at[2]]; });
  });
}

void cast(CastOp, Frame &frame) {
  DType to = frame.out[0].dtype();
  bool fromFloat = frame.in[0].isFloat(), toFloat = frame.out[0].isFloat();
  if (to == DType::boolean)
    withNumberType(frame.in[0], [&]<typename T>(T) { map<I, T>(frame, [](T x) -> I { return x != 0; }); });
  else if (fromFloat && toFloat)
    map<double, double>(frame, [](double x) { return x; });
  else if (fromFloat)
    map<I, double>(frame, [to](double x) { return toInteger(x, to); });
  else if (!toFloat)
    map<I, I>(frame, [](I x) { return x; });
  else if (to == DType::f32 && frame.precision == Precision::f32)
    // By way of double, the largest integers would be rounded twice.
    map<double, I>(frame, [](I x) { return static_cast<float>(x); });
  else
    map<double, I>(frame, [](I x) { return static_cast<double>(x); });
}

} // namespace

llvm::ArrayRef<Entry> elementwiseOps() {
  static const Entry table[] = {
      unary<NegOp, [](double x) { return -x; }>(),
      unary<AbsOp, [](double x) { return std::abs(x); }>(),
      unary<ExpOp, [](double x) { return std::exp(x); }>(),
      unary<LogOp, [](double x) { return std::log(x); }>(),
      unary<SinOp, [](double x) { return std::sin(x); }>(),
      unary<CosOp, [](double x) { return std::cos(x); }>(),
      unary<SqrtOp, [](double x) { return std::sqrt(x); }>(),
      unary<RsqrtOp, [](double x) { return 1 / std::sqrt(x); }>(),
      unary<TanhOp, [](double x) { return std::tanh(x); }>(),
      unary<ErfOp, [](double x) { return std::erf(x); }>(),
      unary<ReluOp, [](double x) { return maximum(x, 0); }>(),
      unary<SigmoidOp, [](double x) { return 1 / (1 + std::exp(-x)); }>(),
      unary<SiluOp, [](double x) { return x / (1 + std::exp(-x)); }>(),
      binary<AddOp, [](double a, double b) { return a + b; }, [](I a, I b) { return I(U(a) + U(b)); }>(),
      binary<SubOp, [](double a, double b) { return a - b; }, [](I a, I b) { return I(U(a) - U(b)); }>(),
      binary<MulOp, [](double a, double b) { return a * b; }, [](I a, I b) { return I(U(a) * U(b)); }>(),
      binary<DivOp, [](double a, double b) { return a / b; }, divide>(),
      binary<MaxOp, maximum, [](I a, I b) { return std::max(a, b); }>(),
      binary<MinOp, minimum, [](I a, I b) { return std::min(a, b); }>(),
      entry<PowOp, [](PowOp, Frame &frame) {
        map<double, double>(frame, [](double a, double b) { return std::pow(a, b); });
      }>(),
      entry<GeluOp, gelu>(),
      entry<CompareOp, compare>(),
      entry<SelectOp, select>(),
      entry<CastOp, cast>(),
  };
  return table;
}

} // namespace transom::interpreter
