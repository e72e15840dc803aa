// transom run: one run of an artifact's program, or of a model's plain graph on the reference interpreter, on NumPy files.
#include "tools/transom/Commands.h"
#include "tools/transom/Common.h"
#include "tools/transom/Npz.h"

#include "runtime/Session.h"
#include "runtime/generate/PaddedPrompts.h"

#ifdef TRANSOM_HAS_COMPILER
#include "compiler/Compile.h"
#endif

namespace transom::cli {

namespace {

struct RunOptions {
  std::string path, program, output, device = "auto";
  std::vector<std::string> inputs;
  Where where;
};

Result<std::vector<Array>> runArtifact(const RunOptions &options, const std::vector<Array> &inputs) {
  TRANSOM_ASSIGN(std::shared_ptr<const Model> model, Model::load(options.path));
  std::string name = options.program.empty() ? model->contents().programs.front().name : options.program;
  TRANSOM_ASSIGN(DeviceChoice device, DeviceChoice::parse(options.device));
  TRANSOM_ASSIGN(std::unique_ptr<Session> session, Session::create(model, {.device = device, .threads = options.where.threads}));
  TRANSOM_ASSIGN(size_t program, session->programIndex(name));
  std::vector<TensorView> views;
  for (const Array &input : inputs)
    views.push_back({input.name, input.dtype, input.shape, input.bytes.data()});
  std::optional<CompactedInputs> compacted;
  if (const artifact::Program &wanted = model->contents().programs[program]; needCompaction(wanted, views)) {
    TRANSOM_ASSIGN(compacted, CompactedInputs::of(wanted, views));
  }
  TRANSOM_ASSIGN(std::span<const TensorView> results, session->run(program, compacted ? compacted->views() : views));
  std::vector<Array> outputs;
  for (const TensorView &view : results) {
    auto *data = static_cast<const std::byte *>(view.data);
    size_t bytes = bytesFor(view.dtype, view.shape).value();
    outputs.push_back({std::string(view.name), view.dtype, {view.shape.begin(), view.shape.end()}, {data, data + bytes}});
  }
  return outputs;
}

Result<std::vector<Array>> runInterpreter(const RunOptions &options, std::vector<Array> inputs) {
#ifdef TRANSOM_HAS_COMPILER
  std::vector<HostTensor> tensors;
  for (Array &input : inputs)
    tensors.push_back({input.name, input.dtype, input.shape, std::move(input.bytes)});
  auto precision = options.device == "interpreter-f64" ? ReferencePrecision::f64 : ReferencePrecision::f32;
  std::string function = options.program.empty() ? "main" : options.program;
  TRANSOM_ASSIGN(std::vector<HostTensor> results, interpretModel(options.path, function, std::move(tensors), precision));
  std::vector<Array> outputs;
  for (HostTensor &tensor : results)
    outputs.push_back({tensor.name, tensor.dtype, tensor.shape, std::move(tensor.bytes)});
  return outputs;
#else
  return error(StatusCode::unsupported, "this build has no compiler, which holds the reference interpreter");
#endif
}

Status run(const RunOptions &options) {
  TRANSOM_ASSIGN(std::vector<Array> inputs, readNamedArrays(options.inputs));
  auto outputs = options.device.starts_with("interpreter") ? runInterpreter(options, std::move(inputs)) : runArtifact(options, inputs);
  if (!outputs.ok())
    return outputs.status();
  if (!options.output.empty())
    return writeNumpy(options.output, *outputs);
  for (const Array &output : *outputs)
    fmt::print("{}: {} [{}]\n", output.name, name(output.dtype), fmt::join(output.shape, ", "));
  return {};
}

} // namespace

void addRun(CLI::App &app, Action &action) {
  auto options = std::make_shared<RunOptions>();
  CLI::App *command = app.add_subcommand("run", "run a program on tensors from .npy and .npz files");
  command->footer("Without --output only the names and shapes of the results are printed. `transom inspect` lists programs,\n"
                  "inputs and outputs. With --device=interpreter the model file itself is evaluated, slowly, as a reference.");
  command->add_option("artifact", options->path, "an artifact; or a model, for the interpreter")->required();
  command->add_option("--program", options->program, "which program; without it the first one");
  command->add_option("--input", options->inputs, "file.npz, or name=file.npy; may be given again");
  command->add_option("--output", options->output, "where the results go: .npz, or .npy for a single one");
  command->add_option("--device", options->device, "what runs it: auto, cpu, cuda, cuda:1, interpreter or interpreter-f64")
      ->check([](const std::string &text) {
        Result<DeviceChoice> device = DeviceChoice::parse(text);
        bool interpreter = text == "interpreter" || text == "interpreter-f64";
        return interpreter || device.ok() ? std::string() : std::string(device.status().message());
      });
  command->add_option("--threads", options->where.threads, "threads to run on; 0: one per processor")->check(CLI::Range(0, 1024));
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

} // namespace transom::cli
