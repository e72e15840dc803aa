// See Reference.h.
#include "test/random/Reference.h"

#include "ir/DimAnalysis.h"

using namespace mlir;

namespace transom::random {

namespace {

// A region holds constants such as gelu's in fp32, the interpreter's own ops have them exactly.
constexpr double exactTolerance = 1e-6;

Tensor row0(const Tensor &tensor, int64_t axis) {
  std::vector<int64_t> shape = tensor.shape();
  int64_t inner = 1, outer = 1, copies = shape[axis];
  for (int64_t i = 0; i < tensor.rank(); ++i)
    (i < axis ? outer : inner) *= i == axis ? 1 : shape[i];
  shape[axis] = 1;
  Tensor part(tensor.dtype(), shape);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      int64_t source = o * copies * inner + i, target = o * inner + i;
      if (tensor.isFloat())
        part.change<double>()[target] = tensor.floats()[source];
      else
        part.change<int64_t>()[target] = tensor.integers()[source];
    }
  return part;
}

/// `tensor` with one row, as many times as a static batch has rows.
Tensor repeated(const Tensor &tensor, int64_t axis, int64_t copies) {
  if (copies == 1)
    return tensor;
  std::vector<int64_t> shape = tensor.shape();
  int64_t inner = 1, outer = 1;
  for (int64_t i = 0; i < tensor.rank(); ++i)
    (i < axis ? outer : inner) *= shape[i];
  shape[axis] = copies;
  Tensor whole(tensor.dtype(), shape);
  for (int64_t target = 0; target < whole.size(); ++target) {
    int64_t source = target / (inner * copies) * inner + target % inner;
    if (tensor.isFloat())
      whole.change<double>()[target] = tensor.floats()[source];
    else
      whole.change<int64_t>()[target] = tensor.integers()[source];
  }
  return whole;
}

} // namespace

Reference::Reference(ModuleOp naive, const WeightFile &weights, uint64_t seed)
    : machine(interpreter::Precision::f64, &weights.source()), main(naive.lookupSymbol<func::FuncOp>("main")), seed(seed) {}

Status Reference::addCase(Batch batch) {
  Result<Tensors> results = machine.run(main, batch.inputs);
  if (!results.ok())
    return results.status().within(batch.what);
  Case entry{std::move(batch), std::move(*results), {}};
  for (unsigned i = 0; i < main.getNumResults(); ++i)
    entry.defined.push_back(definedElements(main, i, entry.batch, entry.expected[i].shape()));
  cases.push_back(std::move(entry));
  return {};
}

Status Reference::prepare() {
  Random random(seed, "inputs");
  Padding ragged = random.pick({Padding::right, Padding::right, Padding::left, Padding::holes, Padding::mixed, Padding::mixed});
  TRANSOM_RETURN_IF_ERROR(addCase(makeBatch(main, random, ragged)));
  Padding other = random.pick({Padding::none, Padding::emptyRow, Padding::onlyOne, Padding::mixed});
  return addCase(makeBatch(main, random, other));
}

std::optional<std::string> Reference::checkRowsAlone() {
  const Batch &batch = cases[0].batch;
  int64_t count = batch.sizes.contains("batch") ? batch.sizes.at("batch") : 0;
  for (int64_t row = 0; row < count; ++row) {
    std::optional<Batch> single = singleRow(main, batch, row);
    if (!single)
      continue;
    if (Status status = addCase(std::move(*single)); !status.ok())
      return status.message();
    // One is enough: the others differ in nothing but their numbers.
    break;
  }
  return std::nullopt;
}

std::optional<std::string> Reference::check(ModuleOp module) {
  return check(module, [&](func::FuncOp function, Tensors inputs) { return machine.run(function, std::move(inputs)); }, exactTolerance);
}

std::optional<std::string> Reference::check(ModuleOp module, const Runner &run, double tolerance) {
  if (auto function = module.lookupSymbol<func::FuncOp>("main"))
    return checkMain(function, run, tolerance);
  if (!module.lookupSymbol<func::FuncOp>("prefill") || !module.lookupSymbol<func::FuncOp>("decode"))
    return "neither @main nor @prefill and @decode";
  if (!sessionReady) {
    if (Status status = prepareSession(); !status.ok())
      return "the naive graph with its past fed back: " + status.message();
    sessionReady = true;
  }
  return checkSession(module, run, tolerance);
}

std::optional<std::string> Reference::checkMain(func::FuncOp function, const Runner &run, double tolerance) {
  for (const Case &entry : cases) {
    Result<Tensors> found = run(function, entry.batch.inputs);
    if (!found.ok())
      return fmt::format("{}: {}", entry.batch.what, found.status().message());
    if (found->size() != entry.expected.size())
      return fmt::format("{} results, expected {}", found->size(), entry.expected.size());
    for (size_t i = 0; i < found->size(); ++i)
      if (auto differs = difference((*found)[i], entry.expected[i], entry.defined[i], tolerance))
        return fmt::format("{}: {}: {}", entry.batch.what, resultName(main, unsigned(i)), *differs);
  }
  return std::nullopt;
}

/// Whether the argument has a number for each new token, other than mask and positions.
bool Reference::isToken(unsigned argument) {
  std::string name = argumentName(main, argument);
  std::vector<std::string> sizes = argumentSizes(main, argument);
  return name != "position_ids" && name != "attention_mask" && sizes.size() == 2 && sizes[1] == "seq";
}

Status Reference::runRow(Row &row, const std::map<std::string, std::vector<int64_t>> &tokens, int64_t count,
                         std::map<std::string, Tensor> &results) {
  bool fixedBatch = !sessionSizes.contains("batch");
  int64_t copies = fixedBatch ? cast<RankedTensorType>(main.getArgumentTypes()[0]).getDimSize(0) : 1;
  Tensors inputs;
  for (unsigned i = 0; i < main.getNumArguments(); ++i) {
    std::string name = argumentName(main, i);
    if (name == "attention_mask") {
      inputs.push_back(Tensor::ofIntegers(DType::i32, {1, row.past + count}, std::vector<int64_t>(row.past + count, 1)));
    } else if (name == "position_ids") {
      std::vector<int64_t> positions(count);
      for (int64_t j = 0; j < count; ++j)
        positions[j] = row.past + j;
      inputs.push_back(Tensor::ofIntegers(DType::i32, {1, count}, positions));
    } else if (isToken(i)) {
      inputs.push_back(Tensor::ofIntegers(DType::i32, {1, count}, tokens.at(name)));
    } else {
      inputs.push_back(row.caches.contains(name) ? row.caches.at(name) : row.fixed.at(name));
    }
    std::string batchSize = argumentSizes(main, 0)[0];
    std::vector<std::string> sizes = argumentSizes(main, i);
    auto axis = llvm::find(sizes, batchSize) - sizes.begin();
    inputs.back() = repeated(inputs.back(), axis, copies);
  }
  TRANSOM_ASSIGN(Tensors found, machine.run(main, std::move(inputs)));
  row.past += count;
  for (unsigned i = 0; i < main.getNumResults(); ++i) {
    std::string name = resultName(main, i);
    std::vector<std::string> sizes = resultSizes(main, i);
    auto axis = llvm::find(sizes, argumentSizes(main, 0)[0]) - sizes.begin();
    Tensor single = row0(found[i], axis);
    if (llvm::StringRef(name).starts_with("present"))
      row.caches["past" + name.substr(7)] = single;
    results[name] = std::move(single);
  }
  return {};
}

Status Reference::prepareSession() {
  Random random(seed, "session");
  auto module = main->getParentOfType<ModuleOp>();
  Batch example = makeBatch(main, random, Padding::none);
  sessionSizes = example.sizes;
  int64_t batch = example.inputs[0].dim(0);
  int64_t seqMax = boundsOf(module, "seq")->max, pastMax = boundsOf(module, "past")->max;
  rows.resize(batch);
  for (Row &row : rows)
    for (unsigned i = 0; i < main.getNumArguments(); ++i) {
      std::string name = argumentName(main, i);
      Sizes sizes = sessionSizes;
      sizes["past"] = 0;
      std::vector<int64_t> shape;
      std::vector<std::string> texts = argumentSizes(main, i);
      for (const std::string &size : texts)
        shape.push_back(evaluate(size, sizes).value_or(1));
      if (auto axis = llvm::find(texts, argumentSizes(main, 0)[0]); axis != texts.end())
        shape[axis - texts.begin()] = 1;
      Tensor tensor = randomTensor(elementOf(main.getArgumentTypes()[i]), shape, name, random);
      if (llvm::StringRef(name).ends_with("mask") && tensor.size())
        tensor.change<int64_t>()[random.below(tensor.size())] = 1;
      (llvm::StringRef(name).starts_with("past") ? row.caches : row.fixed)[name] = tensor;
    }
  int64_t count = random.range(3, 6);
  for (int64_t i = 0; i < count; ++i) {
    Step step;
    step.decode = i > 0 && (i > 1 || random.percent(70));
    step.results.resize(batch), step.tokens.resize(batch);
    bool any = false;
    for (int64_t r = 0; r < batch; ++r) {
      bool full = rows[r].past > pastMax;
      int64_t length = full ? 0 : step.decode ? random.percent(85) : random.percent(15) ? 0 : random.range(1, seqMax);
      step.past.push_back(rows[r].past);
      step.lengths.push_back(length);
      any |= length > 0;
      for (unsigned a = 0; a < main.getNumArguments(); ++a)
        if (isToken(a))
          for (int64_t t = 0; t < length; ++t)
            step.tokens[r][argumentName(main, a)].push_back(argumentName(main, a) == "token_type_ids" ? random.below(2) : random.below(5));
      if (length > 0)
        TRANSOM_RETURN_IF_ERROR(runRow(rows[r], step.tokens[r], length, step.results[r]));
    }
    if (any)
      steps.push_back(std::move(step));
  }
  return {};
}

} // namespace transom::random
