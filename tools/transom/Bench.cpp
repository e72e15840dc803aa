// transom bench: how fast an artifact runs here. Medians after warm-up; bytes per second beside tokens per second.
#include "tools/transom/Commands.h"
#include "tools/transom/Common.h"
#include "tools/transom/Npz.h"

#include "runtime/Embedder.h"
#include "runtime/Session.h"
#include "runtime/generate/Generator.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

namespace transom::cli {

namespace {

using Json = nlohmann::ordered_json;

struct BenchFlags {
  std::string path, input, program, trace;
  std::vector<std::string> tensors;
  Where where;
  int64_t promptTokens = 128, newTokens = 128, batch = 1, repeat = 5;
  bool json = false, profile = false;
};

std::vector<uint32_t> buffersOf(const artifact::Step &step) {
  if (auto *launch = std::get_if<artifact::Launch>(&step.kind))
    return launch->buffers;
  if (auto *launch = std::get_if<artifact::CudaLaunch>(&step.kind))
    return launch->buffers;
  if (auto *gemm = std::get_if<artifact::CudaGemm>(&step.kind))
    return {gemm->lhs, gemm->rhs, gemm->out};
  if (auto *gemm = std::get_if<artifact::Gemm>(&step.kind))
    return {gemm->lhs, gemm->rhs, gemm->out};
  return {};
}

std::string stepName(const artifact::Contents &contents, const artifact::Step &step) {
  auto cpuKernel = [&](uint32_t index) {
    for (const artifact::Code &code : contents.code)
      if (code.isFor(artifact::Device::cpu))
        return code.kernels[index];
    return std::string();
  };
  if (auto *launch = std::get_if<artifact::Launch>(&step.kind))
    return cpuKernel(launch->kernel);
  if (auto *launch = std::get_if<artifact::CudaLaunch>(&step.kind))
    return contents.cudaKernels[launch->choices.front().kernel].name;
  if (std::holds_alternative<artifact::CudaGemm>(step.kind))
    return "library product";
  auto *gemm = std::get_if<artifact::Gemm>(&step.kind);
  if (!gemm)
    return "size";
  return gemm->epilogue < 0 ? "library product" : "library product, then " + cpuKernel(static_cast<uint32_t>(gemm->epilogue));
}

/// Bytes of weights that one run of a program reads, each weight once; an embedding table counts where it is multiplied.
uint64_t weightBytesRead(const artifact::Contents &contents, const artifact::Program &program) {
  std::set<uint32_t> read;
  auto add = [&](uint32_t buffer) {
    const artifact::Buffer &entry = program.buffers[buffer];
    if (entry.kind == artifact::BufferKind::weight)
      read.insert(entry.index);
  };
  for (const artifact::Step &step : program.steps) {
    if (auto *gemm = std::get_if<artifact::Gemm>(&step.kind))
      add(gemm->rhs);
    else if (auto *product = std::get_if<artifact::CudaGemm>(&step.kind))
      add(product->rhs);
    else if (!stepName(contents, step).starts_with("embedding"))
      for (uint32_t buffer : buffersOf(step))
        add(buffer);
  }
  uint64_t bytes = 0;
  for (uint32_t weight : read)
    bytes += contents.weights[weight].section.bytes;
  return bytes;
}

/// What a profile says of the steps that one kernel computes.
struct KernelTime {
  uint64_t steps = 0, nanoseconds = 0;
  double weightBytes = 0; ///< of all its steps, each read once a run
};

/// Time by kernel of each program of the session's device, the largest first. `runs` of a program since the session began.
Json profileJson(const Session &session, const Model &model) {
  Json steps = Json::array();
  const artifact::Contents &contents = model.contents();
  for (size_t p = 0; p < contents.programs.size(); ++p) {
    const artifact::Program &program = contents.programs[p];
    if (program.device != session.programDevice())
      continue;
    std::span<const uint64_t> times = session.stepNanoseconds(p);
    std::map<std::string, KernelTime> byKernel;
    for (size_t i = 0; i < times.size(); ++i) {
      KernelTime &entry = byKernel[stepName(contents, program.steps[i])];
      ++entry.steps;
      entry.nanoseconds += times[i];
      for (uint32_t buffer : buffersOf(program.steps[i]))
        if (program.buffers[buffer].kind == artifact::BufferKind::weight)
          entry.weightBytes += double(program.buffers[buffer].bytes);
    }
    for (auto &[kernel, entry] : byKernel)
      if (entry.nanoseconds)
        steps.push_back({{"program", program.name}, {"kernel", kernel}, {"steps", entry.steps}, {"seconds", double(entry.nanoseconds) * 1e-9},
                         {"weight_bytes", entry.weightBytes}});
  }
  std::sort(steps.begin(), steps.end(), [](const Json &a, const Json &b) { return a["seconds"] > b["seconds"]; });
  return steps;
}

/// The steps of each program one after the other, as chrome://tracing and Perfetto read it (Trace Event Format).
Json traceJson(const Session &session, const Model &model) {
  Json events = Json::array();
  const artifact::Contents &contents = model.contents();
  for (size_t p = 0; p < contents.programs.size(); ++p) {
    const artifact::Program &program = contents.programs[p];
    std::span<const uint64_t> times = session.stepNanoseconds(p);
    if (program.device != session.programDevice() || times.empty())
      continue;
    events.push_back({{"name", "thread_name"}, {"ph", "M"}, {"pid", 0}, {"tid", p}, {"args", {{"name", program.name}}}});
    double at = 0;
    for (size_t i = 0; i < times.size(); ++i) {
      double duration = double(times[i]) * 1e-3;
      events.push_back({{"name", stepName(contents, program.steps[i])}, {"cat", program.steps[i].source}, {"ph", "X"}, {"pid", 0}, {"tid", p},
                        {"ts", at}, {"dur", duration}});
      at += duration;
    }
  }
  return {{"traceEvents", events}, {"displayTimeUnit", "ns"}};
}

Result<Json> benchGenerate(const BenchFlags &flags, Session &session, const Model &model) {
  TRANSOM_ASSIGN(Generator generator, Generator::create(session));
  if (flags.promptTokens + flags.newTokens > generator.limits().context || flags.batch > generator.limits().batch)
    return error(StatusCode::invalidArgument, "{} prompts of {} tokens and {} new ones do not fit this artifact: at most {} prompts and {} tokens each",
                 flags.batch, flags.promptTokens, flags.newTokens, generator.limits().batch, generator.limits().context);
  std::vector<std::vector<int32_t>> prompts(size_t(flags.batch), std::vector<int32_t>(size_t(flags.promptTokens)));
  for (size_t row = 0; row < prompts.size(); ++row)
    for (size_t i = 0; i < prompts[row].size(); ++i)
      prompts[row][i] = static_cast<int32_t>((row * 7919 + i * 104729 + 17) % uint64_t(generator.limits().vocab));
  GenerateOptions options;
  options.maxNewTokens = flags.newTokens;
  options.ignoreEos = true;
  std::vector<double> prefill, decode;
  for (int64_t round = -1; round < flags.repeat; ++round) {
    TRANSOM_ASSIGN(Generated generated, generator.generate(prompts, options));
    if (round < 0)
      continue; // warm-up
    prefill.push_back(double(generated.stats.promptTokens) / generated.stats.prefillSeconds);
    if (generated.stats.decodeSteps > 0)
      decode.push_back(double(generated.stats.decodeSteps) / generated.stats.decodeSeconds);
  }
  auto decodeProgram = session.programIndex("decode");
  uint64_t bytes = decodeProgram.ok() ? weightBytesRead(model.contents(), model.contents().programs[*decodeProgram]) : 0;
  double steps = decode.empty() ? 0 : median(decode);
  return Json{{"prompt_tokens", flags.promptTokens}, {"new_tokens", flags.newTokens}, {"batch", flags.batch}, {"rounds", flags.repeat},
              {"threads", session.threads()}, {"prefill_tokens_per_s", median(prefill)},
              {"decode_tokens_per_s", steps * double(flags.batch)}, {"decode_weight_bytes", bytes}, {"decode_gb_per_s", steps * double(bytes) * 1e-9}};
}

Result<Json> benchEmbed(const BenchFlags &flags, Session &session) {
  if (flags.input.empty())
    return error(StatusCode::invalidArgument, "--input: an embedding model needs a file of texts, one a line");
  TRANSOM_ASSIGN(std::vector<std::string> texts, readLines(flags.input));
  TRANSOM_ASSIGN(Embedder embedder, Embedder::create(session));
  size_t group = flags.batch > 1 ? size_t(flags.batch) : texts.size();
  std::vector<double> seconds;
  EncoderStats stats;
  for (int64_t round = -1; round < flags.repeat; ++round) {
    double start = now();
    stats = {};
    for (size_t at = 0; at < texts.size(); at += group) {
      EncoderStats part;
      auto result = embedder.embed(std::span(texts).subspan(at, std::min(group, texts.size() - at)), &part);
      if (!result.ok())
        return result.status();
      stats.tokens += part.tokens;
      stats.paddedTokens += part.paddedTokens;
    }
    if (round >= 0)
      seconds.push_back(now() - start);
  }
  double middle = median(seconds);
  return Json{{"sentences", texts.size()}, {"tokens", stats.tokens}, {"padded_tokens", stats.paddedTokens}, {"threads", session.threads()},
              {"rounds", flags.repeat}, {"seconds", middle}, {"sentences_per_s", double(texts.size()) / middle},
              {"tokens_per_s", double(stats.tokens) / middle}};
}

/// One program on tensors, as `transom run` takes them.
Result<Json> benchProgram(const BenchFlags &flags, Session &session, const Model &model) {
  std::string name = flags.program.empty() ? model.contents().programs.front().name : flags.program;
  TRANSOM_ASSIGN(size_t program, session.programIndex(name));
  TRANSOM_ASSIGN(std::vector<Array> inputs, readNamedArrays(flags.tensors));
  std::vector<TensorView> views;
  for (const Array &input : inputs)
    views.push_back({input.name, input.dtype, input.shape, input.bytes.data()});
  std::vector<double> seconds;
  for (int64_t round = -1; round < flags.repeat; ++round) {
    session.clearStates();
    double start = now();
    auto outputs = session.run(program, views);
    if (!outputs.ok())
      return outputs.status();
    if (round >= 0)
      seconds.push_back(now() - start);
  }
  return Json{{"program", name}, {"rounds", flags.repeat}, {"threads", session.threads()}, {"seconds", median(seconds)}};
}

Status bench(const BenchFlags &flags) {
  double start = now();
  TRANSOM_ASSIGN(std::shared_ptr<const Model> model, Model::load(flags.path));
  TRANSOM_ASSIGN(std::unique_ptr<Session> session, Session::create(model, {.device = flags.where.device, .threads = flags.where.threads, .profile = flags.profile || !flags.trace.empty()}));
  double loaded = now() - start;
  bool decoder = model->contents().task == "generate";
  if (flags.tensors.empty() && !decoder && model->contents().task != "embed")
    return error(StatusCode::unsupported, "bench measures artifacts that generate or embed by themselves; this one's task is {}: expected --tensors",
                 model->contents().task);
  auto result = !flags.tensors.empty() ? benchProgram(flags, *session, *model)
                : decoder              ? benchGenerate(flags, *session, *model)
                                       : benchEmbed(flags, *session);
  if (!result.ok())
    return result.status();
  Json json = *result;
  json["load_seconds"] = loaded;
  json["device"] = session->deviceName();
  if (!flags.trace.empty())
    TRANSOM_RETURN_IF_ERROR(writeText(flags.trace, traceJson(*session, *model).dump() + "\n"));
  if (flags.profile)
    json["profile"] = profileJson(*session, *model);
  if (flags.json) {
    fmt::print("{}\n", json.dump(2));
    return {};
  }
  for (auto &[key, value] : json.items())
    if (!value.is_array())
      fmt::print("{:<22} {}\n", key, value.is_number_float() ? fmt::format("{:.4g}", value.get<double>()) : value.dump());
  if (flags.profile)
    for (const Json &step : json["profile"])
      fmt::print("{:>9.3f} ms  {:<9} {} x{}\n", step["seconds"].get<double>() * 1e3, step["program"].get<std::string>(),
                 step["kernel"].get<std::string>(), step["steps"].get<int>());
  return {};
}

} // namespace

void addBench(CLI::App &app, Action &action) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App *command = app.add_subcommand("bench", "measure how fast an artifact runs on this machine");
  command->footer("Medians of --repeat rounds after one to warm up. GB/s counts each weight that a decode step reads once.");
  addModelOptions(*command, flags->path, flags->where);
  command->add_option("--prompt-tokens", flags->promptTokens, "length of the prompt")->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--new-tokens", flags->newTokens, "tokens to generate")->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--batch", flags->batch, "prompts at once; of an embedding model texts per call, 1: all")->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--input", flags->input, "texts for an embedding model, one a line");
  CLI::Option *tensors = command->add_option("--tensors", flags->tensors, "measure a program on these: file.npz, or name=file.npy; may be given again");
  command->add_option("--program", flags->program, "which program runs on --tensors; without it the first one")->needs(tensors);
  command->add_option("--repeat", flags->repeat, "rounds that count")->capture_default_str()->check(CLI::PositiveNumber);
  command->add_flag("--profile", flags->profile, "also time each kernel; on a GPU steps then run one by one");
  command->add_option("--trace", flags->trace, "write the time of each step as a trace for chrome://tracing or Perfetto");
  command->add_flag("--json", flags->json, "print JSON");
  command->callback([flags, &action] { action = [flags] { return bench(*flags); }; });
}

} // namespace transom::cli
