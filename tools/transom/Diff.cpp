// transom diff: one program of an artifact on two devices, compared tensor by tensor; says where they first part.
#include "tools/transom/Commands.h"
#include "tools/transom/Common.h"
#include "tools/transom/DeviceDiff.h"
#include "tools/transom/Npz.h"

#include "runtime/generate/PaddedPrompts.h"
#include "runtime/generate/StepShape.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

namespace transom::cli {

namespace {

using Json = nlohmann::ordered_json;

struct DiffFlags {
  std::string path, devices = "cpu,cuda", program, tokens, prompt;
  std::vector<std::string> inputs;
  uint32_t threads = 0;
  double tolerance = -1; ///< negative: the usual one
  bool json = false, check = false;
};

/// Inputs that live as long as the object.
class Inputs {
public:
  void add(std::string name, std::vector<int64_t> shape, const std::vector<int32_t> &numbers) {
    auto bytes = std::as_bytes(std::span(numbers));
    arrays_.push_back({std::move(name), DType::i32, std::move(shape), {bytes.begin(), bytes.end()}});
  }
  std::vector<TensorView> views() const { return viewsOf(arrays_); }
  static std::vector<TensorView> viewsOf(const std::vector<Array> &arrays) {
    std::vector<TensorView> views;
    for (const Array &array : arrays)
      views.push_back({array.name, array.dtype, array.shape, array.bytes.data()});
    return views;
  }

private:
  std::vector<Array> arrays_;
};

/// Two sessions of one model, and what was found.
class Differ {
public:
  static Result<Differ> create(const DiffFlags &flags) {
    Differ differ;
    TRANSOM_ASSIGN(differ.model_, Model::load(flags.path));
    size_t comma = flags.devices.find(',');
    if (comma == flags.devices.npos || flags.devices.find(',', comma + 1) != flags.devices.npos)
      return error(StatusCode::invalidArgument, "--devices: expected two devices as cpu,cuda, found \"{}\"", flags.devices);
    for (const std::string &text : {flags.devices.substr(0, comma), flags.devices.substr(comma + 1)}) {
      Result<DeviceChoice> device = DeviceChoice::parse(text);
      if (!device.ok())
        return device.status().within("--devices");
      TRANSOM_ASSIGN(std::unique_ptr<Session> session, Session::create(differ.model_, {.device = *device, .threads = flags.threads}));
      differ.sessions_.push_back(std::move(session));
    }
    for (const std::unique_ptr<Session> &session : differ.sessions_)
      for (const artifact::Program &program : differ.contents().programs)
        if (program.device == session->programDevice())
          differ.widen(narrowestOf(program));
    differ.tolerance_ = flags.tolerance < 0 ? usualTolerance(differ.narrowest_) : flags.tolerance;
    return differ;
  }

  /// Runs a program on both, and keeps what differs by how much.
  Status run(const std::string &name, std::span<const TensorView> inputs) {
    Run &run = *runs_.emplace_back(std::make_unique<Run>());
    run.program = name;
    for (size_t i = 0; i < 2; ++i) {
      TRANSOM_ASSIGN(size_t program, sessions_[i]->programIndex(name));
      Result<ObservedRun> observed = observeRun(*sessions_[i], program, inputs);
      if (!observed.ok())
        return observed.status().within("on " + sessions_[i]->device().toString());
      run.observed[i] = std::move(*observed);
    }
    run.diff = compareRuns(run.observed[0], run.observed[1], tolerance_);
    return {};
  }
  /// The last run's output on the first device; null where there is none of that name.
  const Observed *output(std::string_view name) const {
    for (const Observed &output : runs_.back()->observed[0].outputs)
      if (output.source == name)
        return &output;
    return nullptr;
  }

  const artifact::Contents &contents() const { return model_->contents(); }
  const Model &model() const { return *model_; }
  /// The program of that name for the first device.
  Result<const artifact::Program *> program(std::string_view name) const {
    TRANSOM_ASSIGN(size_t index, sessions_[0]->programIndex(name));
    return &contents().programs[index];
  }
  /// One line on the first tensor that differs; empty where none does.
  std::string firstThatDiffers() const {
    for (const auto &run : runs_)
      for (const TensorDiff &tensor : run->diff.tensors)
        if (tensor.differs)
          return fmt::format("program {}, {}: {}", run->program, printable(tensor.reference->source),
                             tensor.error.nan ? "NaN" : fmt::format("relative error {:.2e}, more than {:.2g}", tensor.error.relative, tolerance_));
    return {};
  }
  void print() const;
  void printJson() const;

private:
  struct Run {
    std::string program;
    ObservedRun observed[2];
    RunDiff diff; ///< points into `observed`
  };
  Differ() = default;
  void widen(DType dtype) {
    if (usualTolerance(dtype) > usualTolerance(narrowest_))
      narrowest_ = dtype;
  }

  std::shared_ptr<const Model> model_;
  std::vector<std::unique_ptr<Session>> sessions_; ///< the first one's numbers are the reference
  std::vector<std::unique_ptr<Run>> runs_;
  DType narrowest_ = DType::f32;
  double tolerance_ = 0;
};

void Differ::print() const {
  fmt::print("reference {} ({}), compared with {} ({}); tolerance {:.2g}, of a whole tensor; values in {}\n", sessions_[0]->device().toString(),
             sessions_[0]->deviceName(), sessions_[1]->device().toString(), sessions_[1]->deviceName(), tolerance_, name(narrowest_));
  fmt::print("{:<9} {:<28} {:<22} {:<9} {:>9} {:>9}\n", "program", "source", "shape", "types", "relative", "largest");
  size_t compared = 0, differ = 0, skipped = 0;
  for (const auto &run : runs_) {
    for (const TensorDiff &tensor : run->diff.tensors) {
      std::string types = fmt::format("{}/{}", name(tensor.reference->dtype), name(tensor.found->dtype));
      fmt::print("{:<9} {:<28} {:<22} {:<9} {:>9.2e} {:>9.2e}{}\n", run->program, printable(tensor.reference->source),
                 fmt::format("[{}]", fmt::join(tensor.found->shape, ", ")), types, tensor.error.relative, tensor.error.largest,
                 tensor.differs ? "  differs" : "");
      ++compared;
      differ += tensor.differs;
    }
    skipped += run->diff.skipped;
  }
  fmt::print("{} tensors compared, {} differ; {} without a partner on the other device, caches not looked at\n", compared, differ, skipped);
  std::string first = firstThatDiffers();
  fmt::print("{}\n", first.empty() ? "no tensor differs by more than the tolerance" : "the first that differs: " + first);
}

void Differ::printJson() const {
  auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(fmt::format("{}", value)); };
  Json json = {{"tolerance", tolerance_}, {"values", name(narrowest_)}, {"tensors", Json::array()}};
  for (const auto &session : sessions_)
    json["devices"].push_back({{"device", session->device().toString()}, {"name", session->deviceName()}});
  size_t skipped = 0;
  for (const auto &run : runs_) {
    for (const TensorDiff &tensor : run->diff.tensors)
      json["tensors"].push_back({{"program", run->program}, {"source", tensor.reference->source}, {"shape", tensor.found->shape},
                                 {"types", {name(tensor.reference->dtype), name(tensor.found->dtype)}}, {"relative", number(tensor.error.relative)},
                                 {"largest", number(tensor.error.largest)}, {"differs", tensor.differs}});
    skipped += run->diff.skipped;
  }
  std::string first = firstThatDiffers();
  json["skipped"] = skipped;
  json["first"] = first.empty() ? Json() : Json(first);
  fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

Status diffInputs(Differ &differ, const DiffFlags &flags) {
  std::string name = flags.program.empty() ? differ.contents().programs.front().name : flags.program;
  TRANSOM_ASSIGN(const artifact::Program *program, differ.program(name));
  TRANSOM_ASSIGN(std::vector<Array> arrays, readNamedArrays(flags.inputs));
  std::vector<TensorView> views = Inputs::viewsOf(arrays);
  std::optional<CompactedInputs> compacted;
  if (needCompaction(*program, views)) {
    TRANSOM_ASSIGN(compacted, CompactedInputs::of(*program, views));
  }
  return differ.run(name, compacted ? compacted->views() : views);
}

/// Ids from the command line, or nine that stand for any.
Result<std::vector<int32_t>> promptOf(const Differ &differ, const DiffFlags &flags, int64_t most, int64_t vocab) {
  if (!flags.tokens.empty())
    return parseTokens(flags.tokens, "--tokens");
  if (!flags.prompt.empty()) {
    TRANSOM_ASSIGN(tokenizer::Tokenizer tokenizer, loadTokenizer(differ.model()));
    std::vector<int32_t> tokens = tokenizer.encode(flags.prompt, {});
    if (tokens.empty())
      return error(StatusCode::invalidArgument, "--prompt: the text has no tokens");
    return tokens;
  }
  std::vector<int32_t> tokens(static_cast<size_t>(std::min<int64_t>(9, most)));
  for (size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<int32_t>((i * 104729 + 17) % static_cast<uint64_t>(vocab));
  return tokens;
}

std::vector<int32_t> repeated(const std::vector<int32_t> &numbers, int64_t times) {
  std::vector<int32_t> all;
  for (int64_t i = 0; i < times; ++i)
    all.insert(all.end(), numbers.begin(), numbers.end());
  return all;
}

/// Of each row's logits, [rows, vocab].
Result<std::vector<int32_t>> largestOf(const Observed &logits) {
  auto rows = static_cast<size_t>(logits.shape[0]), vocab = static_cast<size_t>(logits.shape[1]);
  std::vector<float> numbers(rows * vocab);
  std::memcpy(numbers.data(), logits.bytes.data(), logits.bytes.size());
  std::vector<int32_t> tokens;
  for (size_t row = 0; row < rows; ++row) {
    auto begin = numbers.begin() + static_cast<ptrdiff_t>(row * vocab);
    tokens.push_back(static_cast<int32_t>(std::max_element(begin, begin + static_cast<ptrdiff_t>(vocab)) - begin));
  }
  return tokens;
}

/// A prompt through prefill, then its next token through decode, with the caches that each device made itself.
Status diffDecoder(Differ &differ, const DiffFlags &flags) {
  TRANSOM_ASSIGN(const artifact::Program *prefill, differ.program("prefill"));
  TRANSOM_ASSIGN(const artifact::Value *ids, findValue(prefill->inputs, "input_ids", DType::i32, 2));
  TRANSOM_ASSIGN(const artifact::Value *logits, findValue(prefill->outputs, "logits", DType::f32, 2));
  const auto &symbols = differ.contents().symbols;
  int64_t rows = rangeOf(ids->shape[0], symbols).min, vocab = rangeOf(logits->shape[1], symbols).max;
  TRANSOM_ASSIGN(std::vector<int32_t> prompt, promptOf(differ, flags, rangeOf(ids->shape[1], symbols).max, std::max<int64_t>(vocab, 1)));
  auto length = static_cast<int64_t>(prompt.size());
  auto counts = [&](int64_t count) { return std::vector<int32_t>(static_cast<size_t>(rows), static_cast<int32_t>(count)); };
  auto run = [&](const std::string &program, int64_t width, const std::vector<int32_t> &tokens, int64_t past) {
    Inputs inputs;
    inputs.add("input_ids", {rows, width}, tokens);
    inputs.add("lengths", {rows}, counts(width));
    inputs.add("past_lengths", {rows}, counts(past));
    return differ.run(program, inputs.views());
  };
  TRANSOM_RETURN_IF_ERROR(run("prefill", length, repeated(prompt, rows), 0));
  TRANSOM_ASSIGN(std::vector<int32_t> next, largestOf(*differ.output("logits")));
  return run("decode", 1, next, length);
}

/// A text without padding.
Status diffEncoder(Differ &differ, const DiffFlags &flags) {
  TRANSOM_ASSIGN(const artifact::Program *main, differ.program("main"));
  TRANSOM_ASSIGN(const artifact::Value *ids, findValue(main->inputs, "input_ids", DType::i32, 2));
  const auto &symbols = differ.contents().symbols;
  int64_t rows = rangeOf(ids->shape[0], symbols).min;
  TRANSOM_ASSIGN(std::vector<int32_t> tokens, promptOf(differ, flags, rangeOf(ids->shape[1], symbols).max, 90));
  std::vector<int64_t> shape = {rows, static_cast<int64_t>(tokens.size())};
  Inputs inputs;
  for (const artifact::Value &input : main->inputs) {
    bool mask = input.name == "attention_mask", types = input.name == "token_type_ids";
    if (input.name != "input_ids" && !mask && !types)
      return error(StatusCode::unsupported, "input \"{}\" is no token's: expected all inputs with --input", input.name);
    inputs.add(input.name, shape, input.name == "input_ids" ? repeated(tokens, rows) : std::vector<int32_t>(size_t(rows) * tokens.size(), mask));
  }
  return differ.run("main", inputs.views());
}

Status diff(const DiffFlags &flags) {
  TRANSOM_ASSIGN(Differ differ, Differ::create(flags));
  Status status;
  if (!flags.inputs.empty())
    status = diffInputs(differ, flags);
  else if (differ.program("prefill").ok() && differ.program("decode").ok())
    status = diffDecoder(differ, flags);
  else if (auto main = differ.program("main"); main.ok() && findValue((*main)->inputs, "input_ids", DType::i32, 2).ok())
    status = diffEncoder(differ, flags);
  else
    status = error(StatusCode::invalidArgument, "the artifact's programs take more than tokens: expected --input");
  TRANSOM_RETURN_IF_ERROR(status);
  flags.json ? differ.printJson() : differ.print();
  std::string first = differ.firstThatDiffers();
  return flags.check && !first.empty() ? error(StatusCode::internal, "{}", first) : Status();
}

} // namespace

void addDiff(CLI::App &app, Action &action) {
  auto flags = std::make_shared<DiffFlags>();
  CLI::App *command = app.add_subcommand("diff", "run a program on two devices, compare each layer, and say where they first part");
  command->footer("Without inputs a decoder reads a short prompt and takes one step, an encoder reads a short text. Tensors of\n"
                  "steps with equal sources are paired in order; those that one device alone writes are counted. The tolerance follows\n"
                  "the narrowest type that values are kept in: 1e-4 for f32, 1e-2 for f16, 5e-2 for bf16.");
  command->add_option("artifact", flags->path, "a file that transom compile wrote, for both devices")->required();
  command->add_option("--devices", flags->devices, "the reference, and what is compared with it")->capture_default_str();
  CLI::Option *input = command->add_option("--input", flags->inputs, "file.npz, or name=file.npy; may be given again");
  command->add_option("--program", flags->program, "which program runs on --input; without it the first one")->needs(input);
  CLI::Option *tokens = command->add_option("--tokens", flags->tokens, "token ids instead, separated by commas")->excludes(input);
  command->add_option("--prompt", flags->prompt, "a text instead")->excludes(input)->excludes(tokens);
  command->add_option("--tolerance", flags->tolerance, "relative error of a tensor that is no difference")->check(CLI::NonNegativeNumber);
  command->add_option("--threads", flags->threads, "threads of the CPU to run on; 0: one per processor")->check(CLI::Range(0, 1024));
  command->add_flag("--check", flags->check, "fail where a tensor differs");
  command->add_flag("--json", flags->json, "print JSON");
  command->callback([flags, &action] { action = [flags] { return diff(*flags); }; });
}

} // namespace transom::cli
