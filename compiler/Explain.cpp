// See Explain.h. Collects; what a step costs is StepCost's, how it looks ExplainPrint's.
#include "compiler/Explain.h"

#include "compiler/ExplainNames.h"
#include "compiler/Legality.h"
#include "compiler/MissCost.h"
#include "compiler/Pipeline.h"
#include "compiler/StepCost.h"
#include "compiler/import/Import.h"
#include "ir/DimAnalysis.h"

#include <chrono>
#include <set>

using namespace mlir;
using llvm::StringRef;

namespace transom {

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

//===-- Sizes -------------------------------------------------------------------------------------------------------===//

int64_t typicalSize(StringRef name, StringRef task, Bounds bounds, const std::map<std::string, int64_t> &chosen) {
  int64_t value = 128;
  if (name == "batch" || name == "masks") // one in each row
    value = task == "generate" ? 1 : 8;
  if (name == "tokens") {
    auto of = [&](const char *size, int64_t otherwise) {
      auto found = chosen.find(size);
      return found == chosen.end() ? otherwise : found->second;
    };
    value = of("batch", task == "generate" ? 1 : 8) * of("seq", 128) / 2;
  }
  return std::clamp(value, bounds.min, bounds.max);
}

/// Bounds by name, added to `bounds` where it has none of that name.
void addBounds(ModuleOp module, std::map<std::string, Bounds> &bounds) {
  if (auto found = module->getAttrOfType<DictionaryAttr>("transom.bounds"))
    for (NamedAttribute entry : found)
      bounds.try_emplace(entry.getName().str(), *boundsOf(module, entry.getName()));
}

Result<std::vector<Explanation::Size>> sizesOf(const std::map<std::string, Bounds> &bounds, StringRef task,
                                               const std::map<std::string, int64_t> &chosen) {
  std::vector<Explanation::Size> sizes;
  std::map<std::string, int64_t> unused = chosen;
  for (auto &[name, range] : bounds) {
    int64_t typical = typicalSize(name, task, range, chosen);
    if (auto wish = chosen.find(name); wish != chosen.end()) {
      unused.erase(name);
      typical = wish->second;
      if (typical < range.min || typical > range.max)
        return error(StatusCode::invalidArgument, "--at {}: expected {} to {}, found {}", name, range.min, range.max, typical);
    }
    sizes.push_back({name, range.min, range.max, typical});
  }
  if (!unused.empty())
    return error(StatusCode::invalidArgument, "--at: the model has no size '{}'", unused.begin()->first);
  return sizes;
}

//===-- Graphs ------------------------------------------------------------------------------------------------------===//

std::string describeType(Value value, const DimAnalysis &dims) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  if (isa<RankedTensorType, CacheType>(value.getType()))
    stream << str(dims.of(value)) << " " << elementOf(value.getType()) << (isa<CacheType>(value.getType()) ? " cache" : "");
  return text;
}

std::string nameOfSource(Value value, func::FuncOp function) {
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "transom.name");
    return name ? name.getValue().str() : "argument " + std::to_string(argument.getArgNumber());
  }
  if (auto weight = value.getDefiningOp<WeightOp>())
    return weight.getName().str();
  if (auto recipe = value.getDefiningOp<RecipeOp>())
    return recipe.getName().str();
  return "constant";
}

/// "group (matmul + add + gelu)" for ops that hold others.
std::string nameOfOp(Operation *op) {
  std::string name = op->getName().stripDialect().str();
  if (op->getNumRegions() == 0 || op->getRegion(0).empty())
    return name;
  std::string inner;
  for (Operation &part : op->getRegion(0).front().without_terminator())
    if (!part.hasTrait<OpTrait::ConstantLike>())
      inner += (inner.empty() ? "" : " + ") + part.getName().stripDialect().str();
  return name + " (" + inner + ")";
}

std::vector<Explanation::Function> graphOf(ModuleOp module) {
  std::vector<Explanation::Function> functions;
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isExternal())
      continue;
    DimAnalysis dims(function);
    Explanation::Function &entry = functions.emplace_back();
    entry.name = function.getSymName().str();
    llvm::DenseMap<Operation *, uint32_t> numbers;
    for (Operation &op : function.getBody().front().without_terminator()) {
      if (isa<WeightOp, RecipeOp, ConstantOp>(op))
        continue;
      numbers[&op] = static_cast<uint32_t>(entry.ops.size());
      Explanation::GraphOp shown{nameOfOp(&op), layerOf(op.getLoc()), "", {}, {}};
      for (Value result : op.getResults())
        shown.result += (shown.result.empty() ? "" : ", ") + describeType(result, dims);
      for (Value operand : op.getOperands()) {
        auto producer = numbers.find(operand.getDefiningOp());
        if (operand.getDefiningOp() && producer != numbers.end())
          shown.reads.push_back(producer->second);
        else
          shown.others.push_back(nameOfSource(operand, function));
      }
      entry.ops.push_back(std::move(shown));
    }
  }
  return functions;
}

std::map<std::string, int64_t> countedOps(ModuleOp module) {
  std::map<std::string, int64_t> counts;
  for (Operation &top : *module.getBody())
    if (isa<func::FuncOp, plan::ProgramOp>(top) && !top.getRegion(0).empty())
      for (Operation &op : top.getRegion(0).front())
        if (!op.hasTrait<OpTrait::IsTerminator>())
          ++counts[op.getName().getStringRef().str()];
  return counts;
}

//===-- Findings ----------------------------------------------------------------------------------------------------===//

/// Groups findings that differ in the layer only; keeps their order.
class Grouping {
public:
  explicit Grouping(Explanation &out) : out(out) {}

  void add(const Finding &finding) {
    bool applied = finding.kind == Finding::Kind::applied;
    std::string layers = layerPattern(finding.layer), text = textPattern(finding.text);
    std::vector<Explanation::Finding> &list = applied ? out.applied : out.rejected;
    auto [entry, isNew] = index.try_emplace({applied, finding.pass, finding.op, layers, text}, list.size());
    if (isNew) {
      list.push_back({applied ? Explanation::Kind::applied : Explanation::Kind::rejected, finding.pass, finding.op, conditionOf(text),
                      text, layers, {}, 0, {}, {}});
      seen[entry->second * 2 + applied].clear();
    }
    Explanation::Finding &group = list[entry->second];
    ++group.places;
    if (seen[entry->second * 2 + applied].insert(finding.layer).second)
      group.where.push_back(finding.layer);
    auto sum = [](std::optional<int64_t> &into, std::optional<int64_t> more) {
      int64_t total = 0;
      if (more && !__builtin_add_overflow(into.value_or(0), *more, &total))
        into = total;
    };
    sum(group.bytes, finding.cost.bytes);
    sum(group.launches, finding.cost.launches);
  }

private:
  Explanation &out;
  std::map<std::tuple<bool, std::string, std::string, std::string, std::string>, size_t> index;
  std::map<size_t, std::set<std::string>> seen;
};

//===-- Programs ----------------------------------------------------------------------------------------------------===//

class ProgramReader {
public:
  ProgramReader(ModuleOp module, const std::vector<Explanation::Size> &sizes) : module(module) {
    for (const Explanation::Size &size : sizes) {
      largest[size.name] = size.max;
      typical[size.name] = size.typical;
    }
  }

  Explanation::Program read(plan::ProgramOp program) {
    Explanation::Program entry;
    entry.name = program.getSymName().str();
    entry.arenaBytes = program.getArenaBytes();
    entry.stagingBytes = program.getStagingBytes();
    entry.stateBytes = program.getStateBytes();
    entry.weightBytes = program.getWeightBytes();
    llvm::SmallVector<Operation *> steps;
    llvm::SmallVector<plan::Lifetime> lifetimes = plan::lifetimesOf(program, &steps);
    std::set<std::string> kernels;
    for (Operation *step : steps) {
      entry.steps.push_back(readStep(step));
      entry.products += isa<plan::GemmOp>(step);
      entry.launches += isa<plan::LaunchOp>(step);
      if (isa<plan::LaunchOp>(step))
        kernels.insert(entry.steps.back().kernel);
    }
    entry.kernels = static_cast<int64_t>(kernels.size());
    for (plan::Lifetime &lifetime : lifetimes)
      if (lifetime.first <= lifetime.last) {
        const Explanation::Step &writer = entry.steps[static_cast<size_t>(lifetime.first)];
        entry.buffers.push_back({writer.layer + ": " + writer.kernel, static_cast<int64_t>(lifetime.buffer.getOffset().value_or(0)),
                                 static_cast<int64_t>(lifetime.buffer.getBytes()), lifetime.first, lifetime.last});
      }
    entry.layers = loads(entry.steps);
    return entry;
  }

private:
  Explanation::Step readStep(Operation *step) {
    Explanation::Step entry;
    auto source = step->getAttrOfType<StringAttr>("source");
    auto kernel = step->getAttrOfType<FlatSymbolRefAttr>("kernel");
    entry.layer = source ? source.getValue().str() : layerOf(step->getLoc());
    entry.kernel = isa<plan::GemmOp>(step) ? "product" : kernel ? kernel.getValue().str() : step->getName().stripDialect().str();
    for (auto [values, cost] : {std::pair(&largest, &entry.atBounds), std::pair(&typical, &entry.typical)}) {
      StepCost estimate = costOf(step, symbols, [&](StringRef name) -> std::optional<int64_t> {
        auto found = values->find(name.str());
        return found == values->end() ? std::nullopt : std::optional(found->second);
      });
      *cost = {estimate.bytes, estimate.operations};
    }
    return entry;
  }

  std::vector<Explanation::LayerLoad> loads(const std::vector<Explanation::Step> &steps) {
    std::vector<Explanation::LayerLoad> out;
    std::vector<std::pair<std::string, int64_t>> layers; // in order, with their steps
    std::map<std::string, size_t> known;
    for (const Explanation::Step &step : steps) {
      std::string stem = layerStem(step.layer);
      auto [entry, isNew] = known.try_emplace(stem, layers.size());
      if (isNew)
        layers.push_back({stem, 0});
      ++layers[entry->second].second;
    }
    for (auto &[stem, count] : layers) {
      std::string pattern = layerPattern(stem);
      auto entry = llvm::find_if(out, [&](const auto &load) { return load.layers == pattern; });
      if (entry == out.end())
        entry = out.insert(out.end(), {pattern, 0, count, count});
      ++entry->count;
      entry->fewest = std::min(entry->fewest, count);
      entry->most = std::max(entry->most, count);
    }
    return out;
  }

  ModuleOp module;
  SymbolTableCollection symbols;
  std::map<std::string, int64_t> largest, typical;
};

std::string textAttribute(ModuleOp module, const char *name) {
  auto text = module->getAttrOfType<StringAttr>(name);
  return text ? text.getValue().str() : std::string();
}

/// Unknown costs sort behind all others.
bool costsMore(const Explanation::Finding &a, const Explanation::Finding &b) {
  return std::pair(a.bytes.value_or(-1), a.launches.value_or(-1)) > std::pair(b.bytes.value_or(-1), b.launches.value_or(-1));
}

} // namespace

Result<Explanation> explainModel(const std::string &input, const ExplainOptions &options) {
  Clock::time_point start = Clock::now(), stageStart = start;
  MLIRContext context(MLIRContext::Threading::DISABLED);
  TRANSOM_ASSIGN(ImportedModel model, importModel(input, {.tokenizer = false}, context));
  ModuleOp module = *model.module;
  Explanation out{.model = textAttribute(module, "transom.model"), .architecture = textAttribute(module, "transom.architecture"),
                  .task = textAttribute(module, "transom.task"), .seconds = 0, .sizes = {}, .stages = {}, .applied = {},
                  .rejected = {}, .before = {}, .after = {}, .programs = {}};
  std::vector<Finding> findings;
  std::map<std::string, Bounds> bounds;
  size_t read = 0;
  Grouping grouping(out);
  auto onStage = [&](StringRef name, ModuleOp current) {
    Explanation::Stage &stage = out.stages.emplace_back();
    stage.name = name.str();
    stage.run = true;
    stage.seconds = secondsSince(stageStart);
    for (StringRef promise : promisesOf(name))
      stage.promises.push_back(promise.str());
    stage.ops = countedOps(current);
    // Of sizes that a pass takes away some still say what runs: how full caches are.
    if (name == "import")
      addBounds(current, bounds);
    MissCosts costs(current);
    for (; read < findings.size(); ++read) {
      costs.fill(findings[read]);
      grouping.add(findings[read]);
    }
    if (!current.getOps<func::FuncOp>().empty())
      (name == "import" ? out.before : out.after) = graphOf(current);
    stageStart = Clock::now();
    return Status();
  };
  TRANSOM_RETURN_IF_ERROR(runPipeline(module, options.compiler, onStage, &findings));
  if (out.after.empty())
    out.after = out.before;
  // Passes that were disabled keep their place in the list.
  auto at = out.stages.begin() + 1;
  for (const PipelinePass &pass : pipelinePasses()) {
    if (at == out.stages.end() || at->name != pass.name)
      at = out.stages.insert(at, {pass.name.str(), false, 0, {}, {}});
    ++at;
  }
  addBounds(module, bounds);
  TRANSOM_ASSIGN(out.sizes, sizesOf(bounds, out.task, options.typical));
  ProgramReader reader(module, out.sizes);
  for (auto program : module.getOps<plan::ProgramOp>())
    out.programs.push_back(reader.read(program));
  llvm::stable_sort(out.rejected, costsMore);
  out.seconds = secondsSince(start);
  return out;
}

} // namespace transom
