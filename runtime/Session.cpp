// See Session.h.
#include "runtime/Session.h"

#include "runtime/cpu/CpuExecutor.h"
#include "runtime/cuda/CudaSession.h"

#include <algorithm>
#include <cstring>

namespace transom {

namespace {

template <typename... Args> Status invalid(fmt::format_string<Args...> format, Args &&...args) {
  return error(StatusCode::invalidArgument, format, std::forward<Args>(args)...);
}

std::string namesOf(const std::vector<artifact::Value> &values) {
  std::vector<std::string_view> names;
  for (const artifact::Value &value : values)
    names.push_back(value.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

constexpr int64_t unbound = -1;

} // namespace

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Model> model, SessionOptions options) {
  constexpr uint32_t maxThreads = 1024;
  uint32_t threads = options.threads ? options.threads : ThreadPool::availableProcessors();
  if (threads > maxThreads)
    return invalid("threads: expected at most {}, found {}", maxThreads, threads);
  TRANSOM_ASSIGN(DeviceChoice device, resolveDevice(model->contents(), options.device));
  std::unique_ptr<Session> session(new Session(std::move(model), device));
  if (device.kind == DeviceChoice::Kind::cuda) {
    TRANSOM_ASSIGN(session->executor_, CudaExecutor::create(*session->model_, device.ordinal, options.profile));
  } else {
    TRANSOM_ASSIGN(session->executor_, CpuExecutor::create(*session->model_, threads, options.profile));
  }
  const auto &programs = session->model_->contents().programs;
  for (size_t p = 0; p < programs.size(); ++p) {
    Runner &runner = session->runners_.emplace_back();
    if (programs[p].device != session->programDevice())
      continue;
    for (size_t i = 0; i < programs[p].outputs.size(); ++i) {
      const artifact::Value &value = programs[p].outputs[i];
      runner.outputShapes.emplace_back(value.shape.size());
      runner.outputs.push_back({value.name, value.dtype, {}, session->executor_->outputMemory(p, i)});
    }
    runner.given.resize(programs[p].inputs.size());
  }
  return session;
}

Status Session::matchInputs(const artifact::Program &program, Runner &runner, std::span<const TensorView> inputs) {
  const std::vector<artifact::Value> &wanted = program.inputs;
  std::fill(runner.given.begin(), runner.given.end(), nullptr);
  for (const TensorView &input : inputs) {
    auto found = std::find_if(wanted.begin(), wanted.end(), [&](const auto &value) { return value.name == input.name; });
    if (found == wanted.end())
      return invalid("no input \"{}\"; program {} has {}", input.name, program.name, namesOf(wanted));
    const TensorView *&slot = runner.given[static_cast<size_t>(found - wanted.begin())];
    if (slot)
      return invalid("input \"{}\" is given twice", input.name);
    if (input.dtype != found->dtype)
      return invalid("input \"{}\": expected {}, found {}", input.name, name(found->dtype), name(input.dtype));
    if (input.shape.size() != found->shape.size())
      return invalid("input \"{}\": expected the shape {}, found [{}]", input.name,
                     toString(found->shape, model_->contents().symbols), fmt::join(input.shape, ", "));
    slot = &input;
  }
  for (size_t i = 0; i < wanted.size(); ++i)
    if (!runner.given[i])
      return invalid("input \"{}\" of program {} is missing", wanted[i].name, program.name);
  return {};
}

Status Session::bindSymbols(const artifact::Program &program, const Runner &runner) {
  std::fill(symbols_.begin(), symbols_.end(), unbound);
  for (size_t i = 0; i < runner.given.size(); ++i) {
    const artifact::Value &value = program.inputs[i];
    for (size_t axis = 0; axis < value.shape.size(); ++axis) {
      int32_t index = value.shape[axis].asSymbol();
      int64_t size = runner.given[i]->shape[axis];
      if (index < 0 || symbols_[static_cast<size_t>(index)] != unbound)
        continue;
      const artifact::Symbol &symbol = model_->contents().symbols[static_cast<size_t>(index)];
      if (size < symbol.min || size > symbol.max)
        return invalid("input \"{}\": {} (dimension {}) must be {} to {}, found {}", value.name, symbol.name, axis,
                       symbol.min, symbol.max, size);
      symbols_[static_cast<size_t>(index)] = size;
    }
  }
  // Symbols that only other programs use.
  std::replace(symbols_.begin(), symbols_.end(), unbound, int64_t(0));
  return {};
}

Status Session::checkShapes(const artifact::Program &program, const Runner &runner) const {
  for (size_t i = 0; i < runner.given.size(); ++i) {
    const artifact::Value &value = program.inputs[i];
    for (size_t axis = 0; axis < value.shape.size(); ++axis) {
      int64_t expected = evaluate(value.shape[axis], symbols_), found = runner.given[i]->shape[axis];
      if (found != expected)
        return invalid("input \"{}\": dimension {} must be {} = {}, found {}", value.name, axis,
                       toString(value.shape[axis], model_->contents().symbols), expected, found);
    }
    if (!runner.given[i]->data && bytesFor(value.dtype, runner.given[i]->shape).value() != 0)
      return invalid("input \"{}\": its data is null", value.name);
  }
  return {};
}

Status Session::checkProgram(size_t program) const {
  const auto &programs = model_->contents().programs;
  if (program >= programs.size())
    return invalid("program {} of {}", program, programs.size());
  if (programs[program].device != programDevice())
    return invalid("program {} is for {}, and this session runs on {}", programs[program].name, name(programs[program].device),
                   device_.toString());
  return {};
}

Status Session::take(size_t index, std::span<const TensorView> inputs) {
  TRANSOM_RETURN_IF_ERROR(checkProgram(index));
  const artifact::Program &program = model_->contents().programs[index];
  Runner &runner = runners_[index];
  TRANSOM_RETURN_IF_ERROR(matchInputs(program, runner, inputs));
  TRANSOM_RETURN_IF_ERROR(bindSymbols(program, runner));
  TRANSOM_RETURN_IF_ERROR(checkShapes(program, runner));
  TRANSOM_RETURN_IF_ERROR(executor_->bind(index, symbols_));
  for (size_t i = 0; i < runner.given.size(); ++i)
    if (uint64_t bytes = bytesFor(runner.given[i]->dtype, runner.given[i]->shape).value(); bytes) {
      std::byte *to = executor_->inputMemory(index, i);
      if (runner.given[i]->data != to)
        std::memcpy(to, runner.given[i]->data, bytes);
    }
  return {};
}

Result<std::span<const TensorView>> Session::run(size_t index, std::span<const TensorView> inputs, const StepObserver *observer) {
  TRANSOM_RETURN_IF_ERROR(take(index, inputs));
  TRANSOM_RETURN_IF_ERROR(executor_->run(index, observer));
  Runner &runner = runners_[index];
  for (size_t i = 0; i < runner.outputs.size(); ++i) {
    std::vector<int64_t> &shape = runner.outputShapes[i];
    for (size_t axis = 0; axis < shape.size(); ++axis)
      shape[axis] = evaluate(model_->contents().programs[index].outputs[i].shape[axis], executor_->symbols(index));
    runner.outputs[i].shape = shape;
  }
  return std::span<const TensorView>(runner.outputs);
}

Result<std::span<const TensorView>> Session::run(size_t program, std::span<const TensorView> inputs) {
  return run(program, inputs, nullptr);
}

Result<std::span<const TensorView>> Session::observe(size_t program, std::span<const TensorView> inputs, const StepObserver &observer) {
  return run(program, inputs, &observer);
}

Status Session::prepare(size_t program, std::span<const int64_t> sizes) {
  TRANSOM_RETURN_IF_ERROR(checkProgram(program));
  const auto &symbols = model_->contents().symbols;
  if (sizes.size() != symbols.size())
    return invalid("sizes: expected {}, found {}", symbols.size(), sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i)
    if (sizes[i] < symbols[i].min || sizes[i] > symbols[i].max)
      return invalid("sizes: {} must be {} to {}, found {}", symbols[i].name, symbols[i].min, symbols[i].max, sizes[i]);
  return executor_->prepare(program, sizes);
}

Result<StepLoop *> Session::startLoop(size_t program, std::span<const TensorView> inputs, size_t output) {
  TRANSOM_RETURN_IF_ERROR(take(program, inputs));
  return executor_->startLoop(program, output);
}

} // namespace transom
