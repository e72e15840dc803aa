// See OpText.h.
#include "codegen/cuda/OpText.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom::cuda {

std::string OpText::moved(Value from, const std::string &index, Value to) {
  DType a = step.stored(from), b = step.stored(to);
  std::string number = in(from) + "[" + index + "]";
  return a == b ? number : toMemory(fromMemory(number, a), b);
}

SmallVector<std::string> OpText::places(const std::string &i, const Dims &dims) {
  SmallVector<std::string> names(dims.size());
  std::string rest = i;
  for (size_t axis = dims.size(); axis-- > 0;) {
    names[axis] = text.fresh("i");
    if (axis == 0) {
      text.line("const int64 " + names[0] + " = " + rest + ";");
      break;
    }
    std::string own = "(" + text.size(dims[axis]) + ")", left = text.fresh("r");
    text.line("const int64 " + names[axis] + " = " + rest + " % " + own + ", " + left + " = " + rest + " / " + own + ";");
    rest = left;
  }
  return names;
}

std::string OpText::indexOf(const Dims &dims, ArrayRef<std::string> places, bool broadcast) {
  std::string index;
  DimExpr stride(1);
  for (size_t axis = dims.size(); axis-- > 0;) {
    std::string place = places[axis];
    if (broadcast && dims[axis] == DimExpr(1))
      place.clear();
    else if (broadcast && !dims[axis].constant())
      place = "((" + text.size(dims[axis]) + ") == 1 ? 0 : " + place + ")";
    if (!place.empty())
      index += (index.empty() ? "" : " + ") + place + (stride == DimExpr(1) ? "" : " * (" + text.size(stride) + ")");
    stride = stride * dims[axis];
  }
  return index.empty() ? "0" : index;
}

std::string OpText::broadcastIndex(Value value, ArrayRef<std::string> places) {
  Dims dims = step.sizes(value);
  return indexOf(dims, places.take_back(dims.size()), true);
}

Launch OpText::eachElement(DimExpr items, llvm::function_ref<void()> body) {
  text.line("launchDependents();");
  text.line("const int64 i = (int64)blockIdx.x * " + std::to_string(threads) + " + threadIdx.x;");
  text.line("const int64 count = " + text.size(items) + ";");
  text.line("waitProducers();");
  text.open("if (i < count)");
  body();
  text.close();
  return finish(items, threads);
}

Launch OpText::eachBlock(DimExpr items, llvm::function_ref<void()> body) {
  text.line("launchDependents();");
  text.line("const int64 row = blockIdx.x;");
  text.line("const int64 rows = " + text.size(items) + ";");
  text.line("waitProducers();");
  text.line("if (row >= rows)");
  text.line("  return;");
  body();
  return finish(items, 1);
}

Launch OpText::finish(DimExpr items, uint32_t per, uint32_t block) {
  text.include("Rows.cuh");
  text.launchBounds = std::to_string(block);
  CudaLaunchPlan launch;
  launch.rows = items;
  launch.choices.push_back({INT64_MAX, step.pool.add(step.name, text, {block}, 0), {items}, {per}});
  launch.buffers = text.buffers;
  launch.workspace = text.work;
  return launch;
}

} // namespace transom::cuda
