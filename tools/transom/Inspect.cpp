// transom inspect and transom verify: what an artifact holds. Neither runs anything from it.
#include "tools/transom/Commands.h"
#include "tools/transom/Common.h"

#ifdef TRANSOM_HAS_COMPILER
#include "compiler/Compile.h"
#endif
#include "runtime/format/Artifact.h"

#include <map>
#include <nlohmann/json.hpp>

namespace transom::cli {

namespace {

using namespace artifact;
using Json = nlohmann::ordered_json;

struct InspectOptions {
  std::string path, stage;
  bool plan = false, kernels = false, json = false;
};

uint64_t stagingBytes(const Program &program) {
  uint64_t sum = 0;
  for (auto *values : {&program.inputs, &program.outputs})
    for (const Value &value : *values)
      sum += value.bytes;
  return sum;
}

template <typename T> uint64_t total(const std::vector<T> &items) {
  uint64_t sum = 0;
  for (const T &item : items)
    if constexpr (requires { item.section; })
      sum += item.section.bytes;
    else
      sum += item.bytes;
  return sum;
}

void printSummary(const Artifact &file) {
  const Contents &contents = file.contents();
  fmt::print("{}: {} ({}), task {}, {}\n", file.path(), printable(contents.model), contents.architecture, contents.task, humanBytes(file.fileBytes()));
  fmt::print("  made by    {}\n", printable(contents.producer));
  std::map<std::string, std::pair<size_t, uint64_t>> cubins; // a section for each kernel
  for (const Code &code : contents.code) {
    if (code.isFor(Device::cuda)) {
      auto &[count, bytes] = cubins[code.target];
      count += code.kernels.size();
      bytes += code.section.bytes;
      continue;
    }
    fmt::print("  code       {}: {} kernels, {}; needs {}\n", code.target, code.kernels.size(), humanBytes(code.section.bytes),
               code.features.empty() ? "nothing special" : fmt::format("{}", fmt::join(code.features, " ")));
  }
  for (auto &[target, sum] : cubins)
    fmt::print("  code       {}: {} kernels, {}\n", target, sum.first, humanBytes(sum.second));
  std::map<std::string_view, std::pair<size_t, uint64_t>> byType;
  for (const Weight &weight : contents.weights) {
    auto &[count, bytes] = byType[name(weight.dtype)];
    ++count;
    bytes += weight.section.bytes;
  }
  fmt::print("  weights    {} in {} tensors:", humanBytes(total(contents.weights)), contents.weights.size());
  for (auto &[type, sum] : byType)
    fmt::print(" {} {} ({})", sum.first, type, humanBytes(sum.second));
  fmt::print("\n  sizes     ");
  for (const Symbol &symbol : contents.symbols)
    fmt::print(" {} {}..{}", symbol.name, symbol.min, symbol.max);
  fmt::print("\n  caches     {} in {} states\n", humanBytes(total(contents.states)), contents.states.size());
  fmt::print("  tokenizer  {}\n", contents.tokenizer.empty() ? "none" : humanBytes(contents.tokenizer.size()));
  for (const Metadata &entry : contents.metadata)
    fmt::print("  {:<10} {}\n", entry.key, printable(entry.value));
  for (const Program &program : contents.programs) {
    fmt::print("program {}{}: {} steps; arena {}, inputs and outputs {}\n", program.name, program.device == Device::cuda ? " on GPUs" : "",
               program.steps.size(), humanBytes(program.arenaBytes), humanBytes(stagingBytes(program)));
    for (auto [label, values] : {std::pair("in ", &program.inputs), std::pair("out", &program.outputs)})
      for (const Value &value : *values)
        fmt::print("  {} {:<20} {} {}\n", label, value.name, name(value.dtype), toString(value.shape, contents.symbols));
  }
  if (contents.runsOn(Device::cpu)) {
    MemoryPlan plan = memoryPlanOf(contents, 1);
    fmt::print("memory of a session, at the bounds: {} (caches {}, arena {}, inputs and outputs {}) and {} for each thread; the weights, "
               "shared: {}\n",
               humanBytes(plan.states + plan.arena + plan.staging), humanBytes(plan.states), humanBytes(plan.arena),
               humanBytes(plan.staging), humanBytes(plan.scratch), humanBytes(plan.weights));
  }
  if (contents.runsOn(Device::cuda)) {
    MemoryPlan plan = memoryPlanOf(contents, Device::cuda, 1);
    fmt::print("memory of a session on a GPU: {} (caches {}, arena {}, inputs and outputs {}, workspace {}); the weights, shared: {}\n",
               humanBytes(plan.states + plan.arena + plan.staging + plan.scratch), humanBytes(plan.states), humanBytes(plan.arena),
               humanBytes(plan.staging), humanBytes(plan.scratch), humanBytes(plan.weights));
  }
}

Json shapeJson(const Shape &shape, const Contents &contents) {
  Json dims = Json::array();
  for (const Expr &expr : shape)
    dims.push_back(toString(expr, contents.symbols));
  return dims;
}

void printJson(const Artifact &file) {
  const Contents &contents = file.contents();
  Json json = {{"model", contents.model}, {"architecture", contents.architecture}, {"task", contents.task},
               {"producer", contents.producer}, {"file_bytes", file.fileBytes()},
               {"weight_bytes", total(contents.weights)}, {"state_bytes", total(contents.states)},
               {"thread_bytes", memoryPlanOf(contents, 1).scratch}};
  for (const Symbol &symbol : contents.symbols)
    json["sizes"][symbol.name] = {symbol.min, symbol.max};
  for (const Metadata &entry : contents.metadata)
    json["metadata"][entry.key] = entry.value;
  for (const Code &code : contents.code)
    json["code"].push_back({{"target", code.target}, {"features", code.features}, {"kernels", code.kernels}, {"bytes", code.section.bytes}});
  for (const Program &program : contents.programs) {
    Json entry = {{"name", program.name}, {"device", name(program.device)}, {"steps", program.steps.size()}, {"arena_bytes", program.arenaBytes}, {"staging_bytes", stagingBytes(program)}};
    for (auto [key, values] : {std::pair("inputs", &program.inputs), std::pair("outputs", &program.outputs)})
      for (const Value &value : *values)
        entry[key].push_back({{"name", value.name}, {"dtype", name(value.dtype)}, {"shape", shapeJson(value.shape, contents)}});
    json["programs"].push_back(entry);
  }
  for (const Weight &weight : contents.weights)
    json["weights"].push_back({{"name", weight.name}, {"dtype", name(weight.dtype)}, {"shape", weight.shape}, {"bytes", weight.section.bytes}});
  fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

void printKernels(const Contents &contents) {
  std::map<uint32_t, size_t> launches, cudaLaunches;
  for (const Program &program : contents.programs)
    for (const Step &step : program.steps) {
      if (auto *launch = std::get_if<Launch>(&step.kind))
        ++launches[launch->kernel];
      if (auto *launch = std::get_if<CudaLaunch>(&step.kind))
        for (const CudaChoice &choice : launch->choices)
          ++cudaLaunches[choice.kernel];
    }
  for (const Code &code : contents.code)
    for (uint32_t i = 0; code.isFor(Device::cpu) && i < code.kernels.size(); ++i) {
      fmt::print("; kernel {}: launched by {} steps\n", code.kernels[i], launches[i]);
      if (i < contents.kernelText.size())
        fmt::print("{}\n", printable(contents.kernelText[i]));
    }
  for (uint32_t i = 0; i < contents.cudaKernels.size(); ++i)
    fmt::print("// kernel {}: a choice of {} steps\n{}\n", contents.cudaKernels[i].name, cudaLaunches[i], printable(contents.cudaKernels[i].source));
}

Status inspect(const InspectOptions &options) {
  if (!options.stage.empty()) {
#ifdef TRANSOM_HAS_COMPILER
    TRANSOM_ASSIGN(std::string text, stageText(options.path, options.stage, {}));
    fmt::print("{}", text);
    return {};
#else
    return error(StatusCode::unsupported, "this build has no compiler, which --stage needs");
#endif
  }
  TRANSOM_ASSIGN(Artifact file, Artifact::open(options.path));
  if (options.json)
    printJson(file);
  else if (options.plan)
    fmt::print("{}", printable(file.contents().plan));
  else if (options.kernels)
    printKernels(file.contents());
  else
    printSummary(file);
  return {};
}

Status verify(const std::string &path) {
  TRANSOM_ASSIGN(Artifact file, Artifact::open(path));
  fmt::print("{}: ok, {} verified\n", path, humanBytes(file.fileBytes()));
  return {};
}

} // namespace

void addInspect(CLI::App &app, Action &action) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App *command = app.add_subcommand("inspect", "show what an artifact holds, or a model's graph after a pass");
  command->footer("--stage takes the model that would be compiled, not an artifact: import, or the name of a pass.");
  command->add_option("path", options->path, "an artifact; for --stage a model")->required();
  auto *group = command->add_option_group("view", "one of");
  group->add_option("--stage", options->stage, "the graph as text after this pass");
  group->add_flag("--plan", options->plan, "the plan that the runtime executes, as text");
  group->add_flag("--kernels", options->kernels, "the generated code of each kernel, and how often it is launched");
  group->add_flag("--json", options->json, "everything but code, as JSON");
  group->require_option(0, 1);
  command->callback([options, &action] { action = [options] { return inspect(*options); }; });
}

void addVerify(CLI::App &app, Action &action) {
  auto path = std::make_shared<std::string>();
  CLI::App *command = app.add_subcommand("verify", "check every byte of an artifact; safe on any file, runs nothing");
  command->add_option("artifact", *path, "the file to check")->required();
  command->callback([path, &action] { action = [path] { return verify(*path); }; });
}

} // namespace transom::cli
