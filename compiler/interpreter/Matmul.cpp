// Matrix products.
#include "compiler/interpreter/Ops.h"

namespace transom::interpreter {

namespace {

/// Eight partial sums, which the compiler keeps in vector registers.
double dot(const double *a, const double *b, int64_t count) {
  double sums[8] = {}, sum = 0;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int lane = 0; lane < 8; ++lane)
      sums[lane] += a[i + lane] * b[i + lane];
  for (double part : sums)
    sum += part;
  for (; i < count; ++i)
    sum += a[i] * b[i];
  return sum;
}

/// One product, by columns of the result: threads share the larger dimension of most weights.
struct Product {
  const double *lhs, *rhs; // [m, k]; [k, n] or, transposed, [n, k]
  double *out;             // [m, n], zeros
  int64_t m, n, k;

  void transposed(int64_t begin, int64_t end) const {
    for (int64_t column = begin; column < end; ++column)
      for (int64_t row = 0; row < m; ++row)
        out[row * n + column] = dot(lhs + row * k, rhs + column * k, k);
  }
  void plain(int64_t begin, int64_t end) const {
    for (int64_t row = 0; row < m; ++row)
      for (int64_t i = 0; i < k; ++i)
        for (int64_t column = begin; column < end; ++column)
          out[row * n + column] += lhs[row * k + i] * rhs[i * n + column];
  }
};

void matmul(MatmulOp op, Frame &frame) {
  const Tensor &lhs = frame.in[0], &rhs = frame.in[1];
  Tensor &out = frame.out[0];
  bool transposed = op.getTransposeRhs();
  Product product{nullptr, nullptr, nullptr, out.dim(out.rank() - 2), out.dim(out.rank() - 1), lhs.dim(lhs.rank() - 1)};
  const double *left = lhs.floats().data(), *right = rhs.floats().data();
  double *result = out.change<double>().data();
  auto leading = [](const Tensor &tensor) { return llvm::ArrayRef<int64_t>(tensor.shape()).drop_back(2); };
  forEachBroadcast(leading(out), {leading(lhs), leading(rhs)}, [&](int64_t i, llvm::ArrayRef<int64_t> at) {
    product.lhs = left + at[0] * product.m * product.k;
    product.rhs = right + at[1] * product.k * product.n;
    product.out = result + i * product.m * product.n;
    parallelFor(product.n, product.m * product.n * product.k, [&](int64_t begin, int64_t end) {
      transposed ? product.transposed(begin, end) : product.plain(begin, end);
    });
  });
}

} // namespace

llvm::ArrayRef<Entry> matmulOps() {
  static const Entry table[] = {entry<MatmulOp, matmul>()};
  return table;
}

} // namespace transom::interpreter
