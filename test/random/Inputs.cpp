// See Inputs.h.
#include "test/random/Inputs.h"

#include "ir/DimAnalysis.h"
#include "compiler/interpreter/Interpreter.h"

using namespace mlir;

namespace transom::random {

namespace {

std::string nameIn(DictionaryAttr attributes) {
  auto name = attributes ? attributes.getAs<StringAttr>("transom.name") : StringAttr();
  return name ? name.getValue().str() : std::string();
}

std::vector<std::string> sizesIn(DictionaryAttr attributes) {
  std::vector<std::string> texts;
  if (auto dims = attributes ? attributes.getAs<ArrayAttr>("transom.dims") : ArrayAttr())
    for (Attribute dim : dims)
      texts.push_back(cast<StringAttr>(dim).getValue().str());
  return texts;
}

bool isMask(llvm::StringRef name) { return name.ends_with("mask"); }

/// One row of a mask.
std::vector<int64_t> maskRow(int64_t length, Padding padding, int64_t row, Random &random) {
  if (padding == Padding::mixed)
    padding = random.pick({Padding::none, Padding::right, Padding::left, Padding::holes, Padding::emptyRow, Padding::onlyOne});
  std::vector<int64_t> mask(length, 1);
  if (length == 0)
    return mask;
  int64_t cut = random.below(length);
  switch (padding) {
  case Padding::right: std::fill(mask.end() - cut, mask.end(), 0); break;
  case Padding::left: std::fill(mask.begin(), mask.begin() + cut, 0); break;
  case Padding::holes:
    for (int64_t &bit : mask)
      bit = random.percent(70);
    break;
  case Padding::emptyRow:
    if (row % 2 == 0)
      std::fill(mask.begin(), mask.end(), 0);
    break;
  case Padding::onlyOne: std::fill(mask.begin() + 1, mask.end(), 0); break;
  default: break;
  }
  // Any number but 0 marks a valid token.
  if (random.percent(10))
    for (int64_t &bit : mask)
      bit *= 3;
  return mask;
}

/// Index of the argument whose name ends as `name`; the attention mask for "mask".
std::optional<unsigned> find(func::FuncOp function, llvm::StringRef name) {
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    if (argumentName(function, i) == name)
      return i;
  return std::nullopt;
}

} // namespace

std::string argumentName(func::FuncOp function, unsigned index) { return nameIn(function.getArgAttrDict(index)); }
std::string resultName(func::FuncOp function, unsigned index) { return nameIn(function.getResultAttrDict(index)); }
std::vector<std::string> argumentSizes(func::FuncOp function, unsigned index) { return sizesIn(function.getArgAttrDict(index)); }
std::vector<std::string> resultSizes(func::FuncOp function, unsigned index) { return sizesIn(function.getResultAttrDict(index)); }

std::optional<int64_t> evaluate(const std::string &text, const Sizes &sizes) {
  std::optional<DimExpr> expr = DimExpr::parse(text);
  if (!expr)
    return std::nullopt;
  return expr->evaluate([&](llvm::StringRef name) -> std::optional<int64_t> {
    auto found = sizes.find(name.str());
    return found == sizes.end() ? std::nullopt : std::optional(found->second);
  });
}

Tensor randomTensor(Type type, std::vector<int64_t> shape, const std::string &name, Random &random) {
  DType dtype = interpreter::dtypeOf(type);
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  if (Tensor::isIntegerType(dtype)) {
    std::vector<int64_t> numbers(count);
    for (int64_t &number : numbers)
      number = name == "token_type_ids" ? random.below(2) : random.below(5);
    return Tensor::ofIntegers(dtype, std::move(shape), std::move(numbers));
  }
  std::vector<double> numbers(count);
  for (double &number : numbers)
    number = random.small();
  return Tensor::ofFloats(dtype, std::move(shape), std::move(numbers));
}

Batch makeBatch(func::FuncOp function, Random &random, Padding padding) {
  auto module = function->getParentOfType<ModuleOp>();
  Batch batch;
  if (auto bounds = module->getAttrOfType<DictionaryAttr>("transom.bounds"))
    for (NamedAttribute entry : bounds) {
      std::string name = entry.getName().str();
      Bounds range = *boundsOf(module, name);
      // The ends of the range are where things break.
      int64_t size = random.percent(25) ? range.max : random.percent(15) ? range.min : random.range(range.min, range.max);
      batch.sizes[name] = size;
      batch.what += fmt::format("{}={} ", name, size);
    }
  static const char *const names[] = {"no padding", "right", "left", "holes", "empty rows", "one token", "mixed"};
  batch.what += names[int(padding)];
  std::vector<std::vector<int64_t>> attentionMask;
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    std::string name = argumentName(function, i);
    std::vector<int64_t> shape;
    for (const std::string &size : argumentSizes(function, i))
      shape.push_back(evaluate(size, batch.sizes).value_or(1));
    if (!isMask(name) || shape.size() != 2) {
      batch.inputs.push_back(randomTensor(elementOf(function.getArgumentTypes()[i]), shape, name, random));
      continue;
    }
    std::vector<int64_t> numbers;
    for (int64_t row = 0; row < shape[0]; ++row) {
      std::vector<int64_t> mask = maskRow(shape[1], padding, row, random);
      if (name == "attention_mask")
        attentionMask.push_back(mask);
      numbers.insert(numbers.end(), mask.begin(), mask.end());
    }
    batch.inputs.push_back(Tensor::ofIntegers(DType::i32, shape, numbers));
  }
  if (auto index = find(function, "position_ids"); index && !batch.inputs.empty()) {
    Tensor &positions = batch.inputs[*index];
    std::span<int64_t> numbers = positions.change<int64_t>();
    int64_t rows = positions.dim(0), seq = positions.dim(1);
    for (int64_t row = 0; row < rows; ++row) {
      std::vector<int64_t> mask = attentionMask.empty() ? std::vector<int64_t>() : attentionMask[row];
      int64_t past = mask.empty() ? (batch.sizes.contains("past") ? batch.sizes["past"] : 0) : int64_t(mask.size()) - seq;
      int64_t valid = 0;
      for (int64_t i = 0; i < past + seq; ++i) {
        valid += mask.empty() || mask[i] != 0;
        if (i >= past)
          numbers[row * seq + i - past] = std::max<int64_t>(valid - 1, 0);
      }
    }
  }
  return batch;
}

std::optional<Batch> singleRow(func::FuncOp function, const Batch &batch, int64_t row) {
  auto mask = find(function, "attention_mask");
  if (!batch.sizes.contains("batch"))
    return std::nullopt;
  int64_t seq = batch.sizes.contains("seq") ? batch.sizes.at("seq") : 0, first = 0, end = seq;
  if (mask && seq) {
    const Tensor &bits = batch.inputs[*mask];
    int64_t width = bits.dim(1);
    auto numbers = bits.integers().subspan(row * width, width);
    int64_t past = width - seq;
    // A past with invalid tokens cannot be cut off, as its length is that of the caches.
    while (end > 0 && numbers[past + end - 1] == 0)
      --end;
    if (past == 0)
      while (first < end && numbers[first] == 0)
        ++first;
    if (first == end)
      return std::nullopt;
  }
  Batch single;
  single.sizes = batch.sizes;
  single.sizes["batch"] = 1;
  if (seq)
    single.sizes["seq"] = end - first;
  single.what = fmt::format("{}, row {}, tokens {} to {} alone", batch.what, row, first, end);
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    const Tensor &all = batch.inputs[i];
    std::vector<std::string> sizes = argumentSizes(function, i);
    std::vector<int64_t> shape, from(all.rank(), 0);
    for (int64_t axis = 0; axis < all.rank(); ++axis) {
      shape.push_back(evaluate(sizes[axis], single.sizes).value_or(all.dim(axis)));
      if (sizes[axis] == "batch")
        from[axis] = row;
      else if (sizes[axis].find("seq") != std::string::npos)
        from[axis] = first;
    }
    Tensor part(all.dtype(), shape);
    std::vector<int64_t> index(all.rank(), 0);
    for (int64_t flat = 0; flat < part.size(); ++flat) {
      int64_t rest = flat, source = 0;
      for (int64_t axis = all.rank() - 1; axis >= 0; --axis)
        index[axis] = rest % shape[axis], rest /= shape[axis];
      for (int64_t axis = 0; axis < all.rank(); ++axis)
        source = source * all.dim(axis) + from[axis] + index[axis];
      if (all.isFloat())
        part.change<double>()[flat] = all.floats()[source];
      else
        part.change<int64_t>()[flat] = all.integers()[source];
    }
    single.inputs.push_back(std::move(part));
  }
  return single;
}

} // namespace transom::random
