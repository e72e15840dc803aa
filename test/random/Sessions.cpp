// The part of Reference that runs @prefill and @decode.
#include "test/random/Reference.h"

#include "ir/Transom.h"

#include <cmath>

using namespace mlir;

namespace transom::random {

namespace {

/// Copies row `from` of `source` to row `to` of `target`, both with rows first.
void copyRow(const Tensor &source, int64_t from, Tensor &target, int64_t to) {
  int64_t size = target.size() / std::max<int64_t>(target.dim(0), 1);
  for (int64_t i = 0; i < size; ++i)
    if (target.isFloat())
      target.change<double>()[to * size + i] = source.floats()[from * size + i];
    else
      target.change<int64_t>()[to * size + i] = source.integers()[from * size + i];
}

bool isCache(mlir::Type type) { return isa<CacheType>(type); }

} // namespace

std::optional<std::string> Reference::compareCaches(const Step &step, func::FuncOp function, const Tensors &results, double tolerance) {
  for (unsigned i = 0; i < function.getNumResults(); ++i) {
    std::string name = resultName(function, i);
    if (!llvm::StringRef(name).starts_with("cache"))
      continue;
    const Tensor &cache = results[i]; // [batch, kv_heads, capacity, head_dim]
    if (cache.rank() == 0)
      continue;
    for (size_t row = 0; row < step.lengths.size(); ++row) {
      auto present = step.results[row].find("present" + name.substr(5));
      if (present == step.results[row].end())
        continue;
      const Tensor &naive = present->second;
      int64_t heads = cache.dim(1), capacity = cache.dim(2), size = cache.dim(3), total = step.past[row] + step.lengths[row];
      // The naive one is [1, heads, total, size], [1, total, heads, size] or [total, 1, heads, size].
      std::vector<std::string> sizes;
      for (unsigned j = 0; j < main.getNumResults(); ++j)
        if (resultName(main, j) == present->first)
          sizes = resultSizes(main, j);
      bool headsFirst = sizes.size() == 4 && sizes[2].find("past") != std::string::npos;
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t t = 0; t < total; ++t)
          for (int64_t d = 0; d < size; ++d) {
            double want = naive.at(headsFirst ? (h * total + t) * size + d : (t * heads + h) * size + d);
            double got = cache.at(((int64_t(row) * heads + h) * capacity + t) * size + d);
            if (!(std::abs(got - want) <= tolerance * std::max(1.0, std::abs(want))))
              return fmt::format("{}: row {}, head {}, slot {}: found {:.9g}, expected {:.9g}", name, row, h, t, got, want);
          }
    }
  }
  return std::nullopt;
}

std::optional<std::string> Reference::checkSession(ModuleOp module, const Runner &run, double tolerance) {
  std::map<std::string, Tensor> caches;
  int64_t batch = int64_t(rows.size());
  Random random(seed, "padding tokens");
  for (size_t number = 0; number < steps.size(); ++number) {
    const Step &step = steps[number];
    auto function = module.lookupSymbol<func::FuncOp>(step.decode ? "decode" : "prefill");
    std::string what = fmt::format("step {}, @{} of lengths [{}] behind [{}]", number, step.decode ? "decode" : "prefill",
                                   fmt::join(step.lengths, ", "), fmt::join(step.past, ", "));
    int64_t seq = step.decode ? 1 : std::max<int64_t>(1, *std::max_element(step.lengths.begin(), step.lengths.end()));
    Tensors inputs;
    for (unsigned i = 0; i < function.getNumArguments(); ++i) {
      std::string name = argumentName(function, i);
      Sizes sizes = sessionSizes;
      sizes["batch"] = batch, sizes["seq"] = seq;
      std::vector<int64_t> shape;
      for (const std::string &size : argumentSizes(function, i))
        shape.push_back(evaluate(size, sizes).value_or(-1));
      Type type = function.getArgumentTypes()[i];
      if (name == "lengths" || name == "past_lengths") {
        inputs.push_back(Tensor::ofIntegers(DType::i32, shape, name == "lengths" ? step.lengths : step.past));
      } else if (isCache(type)) {
        Tensor &cache = caches[name];
        if (cache.rank() == 0) { // slots that nothing wrote must not be read
          int64_t count = shape[0] * shape[1] * shape[2] * shape[3];
          cache = Tensor::ofFloats(interpreter::dtypeOf(type), shape, std::vector<double>(count, std::nan("")));
        }
        inputs.push_back(cache);
      } else if (rows[0].fixed.contains(name) && step.tokens.size() && shape.size() == 2 && argumentSizes(function, i)[1] == (step.decode ? "1" : "seq")) {
        Tensor tokens = randomTensor(elementOf(type), shape, name, random);
        for (int64_t row = 0; row < batch; ++row)
          for (int64_t t = 0; t < step.lengths[row]; ++t)
            tokens.change<int64_t>()[row * seq + t] = step.tokens[row].at(name)[t];
        inputs.push_back(std::move(tokens));
      } else if (rows[0].fixed.contains(name)) {
        Tensor all(rows[0].fixed.at(name).dtype(), shape);
        for (int64_t row = 0; row < batch; ++row)
          copyRow(rows[row].fixed.at(name), 0, all, row);
        inputs.push_back(std::move(all));
      } else {
        return fmt::format("@{} has an argument '{}' that the naive graph has not", function.getName().str(), name);
      }
    }
    Result<Tensors> results = run(function, std::move(inputs));
    if (!results.ok())
      return fmt::format("{}: {}", what, results.status().message());
    for (unsigned i = 0; i < function.getNumResults(); ++i) {
      std::string name = resultName(function, i);
      if (llvm::StringRef(name).starts_with("cache")) {
        if ((*results)[i].rank() != 0) // else it stays where the code keeps it
          caches[name] = (*results)[i];
        continue;
      }
      const Tensor &logits = (*results)[i]; // [batch, vocab]
      for (int64_t row = 0; row < batch; ++row) {
        auto naive = step.results[row].find(name);
        if (naive == step.results[row].end())
          continue;
        int64_t width = naive->second.shape().back();
        if (logits.size() != batch * width)
          return fmt::format("{}: {}: found {}", what, name, interpreter::formatType(logits.dtype(), logits.shape()));
        Tensor found(logits.dtype(), {width}), expected(logits.dtype(), {width});
        for (int64_t j = 0; j < width; ++j) {
          found.change<double>()[j] = logits.at(row * width + j);
          expected.change<double>()[j] = naive->second.at((step.lengths[row] - 1) * width + j);
        }
        if (auto differs = difference(found, expected, std::vector<bool>(width, true), tolerance))
          return fmt::format("{}: {}: row {}: {}", what, name, row, *differs);
      }
    }
    if (auto differs = compareCaches(step, function, *results, tolerance))
      return what + ": " + *differs;
  }
  return std::nullopt;
}

} // namespace transom::random
