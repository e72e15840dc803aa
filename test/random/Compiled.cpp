// See Compiled.h.
#include "test/random/Compiled.h"

#include "codegen/cpu/CpuCodegen.h"
#include "ir/Transom.h"
#include "compiler/ArtifactBuilder.h"
#include "compiler/Diagnostics.h"
#include "compiler/Pipeline.h"
#include "runtime/Session.h"

#include <cstring>
#include <unistd.h>

using namespace mlir;

namespace transom::random {

namespace {

/// DESIGN.md: relative error of a kernel in fp32.
constexpr double kernelBound = 1e-5;

/// A file that is gone when this is.
struct TemporaryFile {
  std::string path = fmt::format("{}/transom-random-{}.transom", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", getpid());
  ~TemporaryFile() { unlink(path.c_str()); }
};

template <typename Stored, typename Kept> std::vector<std::byte> narrow(std::span<const Kept> numbers) {
  std::vector<std::byte> bytes(numbers.size() * sizeof(Stored) + 64);
  for (size_t i = 0; i < numbers.size(); ++i) {
    auto value = static_cast<Stored>(numbers[i]);
    std::memcpy(bytes.data() + i * sizeof value, &value, sizeof value);
  }
  return bytes;
}

Result<std::vector<std::byte>> toBytes(const interpreter::Tensor &tensor) {
  switch (tensor.dtype()) {
  case DType::f32: return narrow<float, double>(tensor.floats());
  case DType::f64: return narrow<double, double>(tensor.floats());
  case DType::i32: return narrow<int32_t, int64_t>(tensor.integers());
  case DType::i64: return narrow<int64_t, int64_t>(tensor.integers());
  default: return error(StatusCode::unsupported, "inputs of {} are not tested", name(tensor.dtype()));
  }
}

Result<interpreter::Tensor> fromView(const TensorView &view) {
  std::vector<int64_t> shape(view.shape.begin(), view.shape.end());
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  auto read = [&]<typename Stored, typename Kept>(Stored, Kept) {
    std::vector<Kept> numbers(count);
    for (int64_t i = 0; i < count; ++i) {
      Stored value;
      std::memcpy(&value, static_cast<const char *>(view.data) + i * sizeof value, sizeof value);
      numbers[i] = static_cast<Kept>(value);
    }
    return numbers;
  };
  switch (view.dtype) {
  case DType::f32: return interpreter::Tensor::ofFloats(view.dtype, shape, read(float(), double()));
  case DType::f64: return interpreter::Tensor::ofFloats(view.dtype, shape, read(double(), double()));
  case DType::i32: return interpreter::Tensor::ofIntegers(view.dtype, shape, read(int32_t(), int64_t()));
  case DType::i64: return interpreter::Tensor::ofIntegers(view.dtype, shape, read(int64_t(), int64_t()));
  default: return error(StatusCode::unsupported, "outputs of {} are not tested", name(view.dtype));
  }
}

size_t bytesOf(const TensorView &view) {
  CheckedSize bytes = bytesFor(view.dtype, view.shape);
  return bytes.valid() ? bytes.value() : 0;
}

/// Runs the programs of an artifact as if they were the functions they were made of.
class ArtifactRunner {
public:
  static Result<std::unique_ptr<ArtifactRunner>> load(const std::string &path, uint32_t threads) {
    auto runner = std::make_unique<ArtifactRunner>();
    TRANSOM_ASSIGN(runner->model, Model::load(path));
    TRANSOM_ASSIGN(runner->session, Session::create(runner->model, {.threads = threads}));
    return runner;
  }
  Result<Tensors> run(func::FuncOp function, Tensors inputs) {
    TRANSOM_ASSIGN(size_t program, model->programIndex(function.getName().str()));
    std::vector<std::vector<std::byte>> bytes;
    std::vector<std::string> names;
    std::vector<TensorView> views;
    for (unsigned i = 0; i < inputs.size(); ++i)
      names.push_back(argumentName(function, i));
    for (unsigned i = 0; i < inputs.size(); ++i) {
      if (isa<CacheType>(function.getArgumentTypes()[i]))
        continue;
      TRANSOM_ASSIGN(std::vector<std::byte> data, toBytes(inputs[i]));
      bytes.push_back(std::move(data));
      views.push_back({names[i], inputs[i].dtype(), inputs[i].shape(), bytes.back().data()});
    }
    TRANSOM_ASSIGN(std::span<const TensorView> outputs, session->run(program, views));
    // Where a run leaves nothing behind, once more over poisoned outputs.
    if (function.getName() == "main") {
      for (const TensorView &view : outputs)
        std::memset(const_cast<void *>(view.data), 0xff, bytesOf(view));
      TRANSOM_ASSIGN(outputs, session->run(program, views));
    }
    Tensors results;
    for (const TensorView &view : outputs) {
      TRANSOM_ASSIGN(interpreter::Tensor tensor, fromView(view));
      results.push_back(std::move(tensor));
    }
    // Caches stay in the session; what is in them shows in the next step.
    while (results.size() < function.getNumResults())
      results.push_back({});
    return results;
  }

private:
  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> session;
};

} // namespace

std::optional<CompiledFailure> checkCompiled(ModuleOp naive, const WeightFile &weights, Reference &reference, const Variant &variant) {
  OwningOpRef<ModuleOp> module = naive.clone(), graph;
  CompilerOptions options;
  options.disabled = variant.disabled;
  Status status = runPipeline(*module, options, [&](llvm::StringRef stage, ModuleOp current) {
    if (stage != "lower-to-plan" && stage != "plan-memory")
      graph = current.clone();
    return Status();
  });
  if (!status.ok())
    return CompiledFailure{status.message(), status.code() == StatusCode::unsupported};
  std::optional<CpuCode> code;
  {
    DiagnosticCollector diagnostics(naive.getContext());
    FailureOr<CpuCode> generated = generateCpu(*module, "native");
    if (failed(generated)) {
      Status problem = diagnostics.status(StatusCode::unsupported, "no code for this plan");
      return CompiledFailure{problem.message(), true};
    }
    code = std::move(*generated);
  }
  CpuPart cpu{*module, std::move(*code)};
  TemporaryFile file;
  std::optional<tokenizer::TokenizerSpec> tokenizer;
  Result<BuiltArtifact> built = buildArtifact(file.path, {&cpu, nullptr, weights.source(), tokenizer}, {});
  if (!built.ok())
    return CompiledFailure{built.status().message()};
  auto runner = ArtifactRunner::load(file.path, 1 + variant.name.size() % 2);
  if (!runner.ok())
    return CompiledFailure{runner.status().message()};
  // The interpreter in fp32 on the same graph says what rounding alone does.
  interpreter::Interpreter rounded(interpreter::Precision::f32, &weights.source());
  double bound = kernelBound;
  for (; bound < 1e-2; bound *= 4)
    if (!reference.check(*graph, [&](func::FuncOp function, Tensors inputs) { return rounded.run(function, std::move(inputs)); }, bound / 4))
      break;
  auto differs = reference.check(*graph, [&](func::FuncOp function, Tensors inputs) { return (*runner)->run(function, std::move(inputs)); }, bound);
  return differs ? std::optional(CompiledFailure{*differs}) : std::nullopt;
}

} // namespace transom::random
