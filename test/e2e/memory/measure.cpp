// measure-memory ARTIFACT [THREADS]: loads a compiled model, runs each of its programs at the bounds of its sizes and below,
// generates or embeds if it can, and prints as JSON what was predicted, what was taken, and what was allocated after
// loading. test/e2e/memory.py judges.
#include "runtime/Embedder.h"
#include "runtime/generate/Generator.h"
#include "test/e2e/memory/Hooks.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

using namespace transom;

namespace {

/// Where an address lies, as "object+offset", for people.
std::string placeOf(const void *address) {
  Dl_info info;
  if (!address || !dladdr(address, &info) || !info.dli_fname)
    return "";
  auto offset = static_cast<const char *>(address) - static_cast<const char *>(info.dli_fbase);
  return fmt::format("{}+{:#x} {}", info.dli_fname, offset, info.dli_sname ? info.dli_sname : "");
}

/// Memory of the process that no file lies behind; weights and code are files.
int64_t residentBytes() {
  long kibibytes = 0;
  char line[256];
  FILE *file = std::fopen("/proc/self/status", "r");
  while (file && std::fgets(line, sizeof line, file))
    std::sscanf(line, "RssAnon: %ld kB", &kibibytes);
  if (file)
    std::fclose(file);
  return kibibytes * 1024;
}

class Report {
public:
  void number(const char *key, int64_t value) { text += fmt::format("{}\"{}\": {}", text.empty() ? "" : ", ", key, value); }
  /// What the hooks counted since reset().
  void counts(const char *key) {
    hooks::stop();
    hooks::Counts own = hooks::own(), others = hooks::libraries();
    std::string place = own.calls || own.mapped ? placeOf(hooks::firstCaller()) : "";
    text += fmt::format("{}\"{}\": {{\"calls\": {}, \"bytes\": {}, \"mapped\": {}, \"first\": \"{}\", \"library_calls\": {}, "
                        "\"library_peak\": {}, \"library_mapped\": {}}}",
                        text.empty() ? "" : ", ", key, own.calls, own.bytes, own.mapped, place, others.calls, others.peak, others.mapped);
  }
  std::string text;
};

/// Inputs of a program with every size at `share` of the way from its least to its most.
struct Inputs {
  Inputs(const artifact::Contents &contents, const artifact::Program &program, double share) {
    std::vector<int64_t> sizes;
    for (const artifact::Symbol &symbol : contents.symbols)
      sizes.push_back(symbol.min + static_cast<int64_t>(static_cast<double>(symbol.max - symbol.min) * share));
    for (const artifact::Value &value : program.inputs)
      for (const artifact::Expr &dim : value.shape)
        dims.push_back(evaluate(dim, sizes));
    // Rows are as long as their first tensor's last dimension, behind nothing.
    int64_t seq = program.inputs.empty() || program.inputs[0].shape.empty() ? 1 : evaluate(program.inputs[0].shape.back(), sizes);
    size_t dim = 0;
    for (const artifact::Value &value : program.inputs) {
      std::span<const int64_t> shape(dims.data() + dim, value.shape.size());
      dim += value.shape.size();
      data.emplace_back(bytesFor(value.dtype, shape).value() + 1);
      bool ones = value.name == "attention_mask" || value.name == "input_ids" || value.name == "lengths";
      if (value.dtype == DType::i32 && ones)
        for (size_t i = 0; i + 4 <= data.back().size(); i += 4) {
          int32_t number = value.name == "lengths" ? static_cast<int32_t>(seq) : 1;
          std::memcpy(data.back().data() + i, &number, 4);
        }
      views.push_back({value.name, value.dtype, shape, data.back().data()});
    }
  }
  std::vector<int64_t> dims;
  std::vector<std::vector<char>> data;
  std::vector<TensorView> views;
};

Status runPrograms(Session &session, Report &report) {
  const artifact::Contents &contents = session.model().contents();
  std::vector<std::vector<Inputs>> inputs;
  for (const artifact::Program &program : contents.programs) {
    auto &sizes = inputs.emplace_back();
    for (double share : {1.0, 0.0, 0.4, 1.0})
      sizes.emplace_back(contents, program, share);
  }
  Status status;
  auto runAll = [&] {
    for (size_t program = 0; program < inputs.size(); ++program)
      for (Inputs &each : inputs[program])
        if (Result<std::span<const TensorView>> done = session.run(program, each.views); !done.ok() && status.ok())
          status = done.status().within(contents.programs[program].name);
  };
  hooks::reset();
  runAll();
  report.counts("first_runs");
  hooks::reset();
  runAll();
  report.counts("runs");
  return status;
}

Status generate(Session &session, Report &report) {
  TRANSOM_ASSIGN(Generator generator, Generator::create(session));
  std::vector<std::vector<int32_t>> prompts(static_cast<size_t>(std::min<int64_t>(2, generator.limits().batch)), std::vector<int32_t>{1, 2, 3});
  GenerateOptions options{.maxNewTokens = 24, .ignoreEos = true};
  // From the first token on: the request is set up then.
  bool started = false;
  auto onToken = [&](const TokenEvent &) {
    if (!started)
      hooks::reset();
    started = true;
    return true;
  };
  TRANSOM_ASSIGN(Generated greedy, generator.generate(prompts, options, onToken));
  report.counts("decode");
  options = {.maxNewTokens = 24, .temperature = 0.8f, .topK = 5, .topP = 0.9f, .seed = 3, .ignoreEos = true};
  started = false;
  TRANSOM_ASSIGN(Generated sampled, generator.generate(prompts, options, onToken));
  report.counts("sampled");
  report.number("tokens", greedy.stats.newTokens + sampled.stats.newTokens);
  return {};
}

/// Twice as many texts make twice as many batches, and each call allocates its result and its order.
Status embed(Session &session, Report &report) {
  TRANSOM_ASSIGN(Embedder embedder, Embedder::create(session));
  std::vector<std::vector<int32_t>> texts;
  for (int64_t i = 0; i < 128; ++i)
    texts.emplace_back(static_cast<size_t>(std::min<int64_t>(1 + i % 40, embedder.maxTokens())), 1);
  for (auto [key, count] : {std::pair("embed_warm", 128), {"embed_64", 64}, {"embed_128", 128}}) {
    hooks::reset();
    Result<std::vector<float>> vectors = embedder.embedTokens(std::span(texts).first(static_cast<size_t>(count)));
    report.counts(key);
    TRANSOM_RETURN_IF_ERROR(vectors.status());
  }
  return {};
}

Status measure(const char *path, uint32_t threads, Report &report) {
  if (!hooks::replaced())
    return error(StatusCode::internal, "malloc is not replaced in libraries: is this program's malloc exported?");
  TRANSOM_ASSIGN(std::shared_ptr<const Model> model, Model::load(path));
  if (const GemmLibrary *library = model->gemmLibrary()) {
    // oneDNN makes its code in its first call.
    std::vector<float> a(64 * 64), b(64 * 64), c(64 * 64);
    library->multiply(64, 64, 64, a.data(), b.data(), c.data(), 64);
  }
  hooks::findLibraries();
  MemoryPlan plan = model->memoryPlan(threads);
  for (auto [key, bytes] : {std::pair("weights", plan.weights), {"states", plan.states}, {"arena", plan.arena}, {"staging", plan.staging},
                            {"scratch", plan.scratch}, {"session", plan.session()}})
    report.number(key, static_cast<int64_t>(bytes));
  int64_t before = residentBytes();
  hooks::reset();
  Result<std::unique_ptr<Session>> session = Session::create(model, {.threads = threads});
  report.counts("create");
  TRANSOM_RETURN_IF_ERROR(session.status());
  TRANSOM_RETURN_IF_ERROR(runPrograms(**session, report));
  report.number("resident", residentBytes() - before);
  if (model->contents().task == "generate")
    TRANSOM_RETURN_IF_ERROR(generate(**session, report));
  if (model->contents().task == "embed" && Embedder::create(**session).ok())
    TRANSOM_RETURN_IF_ERROR(embed(**session, report));
  return {};
}

} // namespace

int main(int argc, char **argv) {
  Report report;
  Status status = argc < 2 ? error(StatusCode::invalidArgument, "usage: measure-memory ARTIFACT [THREADS]")
                           : measure(argv[1], argc > 2 ? static_cast<uint32_t>(std::atoi(argv[2])) : 2, report);
  if (!status.ok()) {
    fmt::print(stderr, "measure-memory: {}\n", status.message());
    return 1;
  }
  fmt::print("{{{}}}\n", report.text);
  return 0;
}
