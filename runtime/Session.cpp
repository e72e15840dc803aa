// See Session.h.
#include "runtime/Session.h"

#include <algorithm>
#include <cstring>

namespace transom {

namespace {

uint64_t padded(uint64_t bytes) { return CheckedSize(bytes).alignedTo(bufferAlignment).value(); }

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
  std::unique_ptr<Session> session(new Session(std::move(model), threads));
  TRANSOM_RETURN_IF_ERROR(session->allocate(options));
  return session;
}

Status Session::allocate(const SessionOptions &options) {
  MemoryPlan plan = model_->memoryPlan(pool_.threads());
  TRANSOM_ASSIGN(arena_, MemoryBlock::allocate(plan.arena, "intermediate values"));
  TRANSOM_ASSIGN(states_, MemoryBlock::allocate(plan.states, "caches", Touch::sparse));
  TRANSOM_ASSIGN(staging_, MemoryBlock::allocate(plan.staging, "inputs and outputs"));
  TRANSOM_ASSIGN(scratch_, MemoryBlock::allocate(plan.scratch, "the threads' scratch"));
  std::vector<std::byte *> states;
  uint64_t used = 0;
  for (const artifact::State &state : model_->contents().states) {
    states.push_back(states_.data() + used);
    used += padded(state.bytes);
  }
  uint64_t staged = 0;
  for (const artifact::Program &program : model_->contents().programs) {
    if (program.device != artifact::Device::cpu) {
      runners_.emplace_back();
      continue;
    }
    addRunner(program, staged, states);
    if (options.profile)
      runners_.back()->plan.profile();
  }
  return {};
}

void Session::addRunner(const artifact::Program &program, uint64_t &staged, const std::vector<std::byte *> &states) {
  Storage storage{.arena = arena_.data(), .inputs = {}, .outputs = {}, .states = states, .scratch = scratch_.data(),
                  .scratchPerThread = model_->scratchPerThread()};
  auto place = [&](const std::vector<artifact::Value> &values, std::vector<std::byte *> &addresses) {
    for (const artifact::Value &value : values) {
      addresses.push_back(staging_.data() + staged);
      staged += padded(value.bytes);
    }
  };
  place(program.inputs, storage.inputs);
  place(program.outputs, storage.outputs);
  std::vector<TensorView> outputs;
  std::vector<std::vector<int64_t>> shapes;
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    const artifact::Value &value = program.outputs[i];
    shapes.emplace_back(value.shape.size());
    outputs.push_back({value.name, value.dtype, {}, storage.outputs[i]});
  }
  std::vector<std::byte *> inputs = storage.inputs;
  std::vector<const TensorView *> given(program.inputs.size());
  runners_.push_back(Runner{program, std::move(inputs), ProgramPlan(*model_, program, std::move(storage), pool_.threads()),
                            std::move(outputs), std::move(shapes), std::move(given)});
}

Status Session::matchInputs(Runner &runner, std::span<const TensorView> inputs) {
  const std::vector<artifact::Value> &wanted = runner.program.inputs;
  std::fill(runner.given.begin(), runner.given.end(), nullptr);
  for (const TensorView &input : inputs) {
    auto found = std::find_if(wanted.begin(), wanted.end(), [&](const auto &value) { return value.name == input.name; });
    if (found == wanted.end())
      return invalid("no input \"{}\"; program {} has {}", input.name, runner.program.name, namesOf(wanted));
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
      return invalid("input \"{}\" of program {} is missing", wanted[i].name, runner.program.name);
  return {};
}

Status Session::bindSymbols(const Runner &runner) {
  std::fill(symbols_.begin(), symbols_.end(), unbound);
  for (size_t i = 0; i < runner.given.size(); ++i) {
    const artifact::Value &value = runner.program.inputs[i];
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

Status Session::checkShapes(const Runner &runner) const {
  for (size_t i = 0; i < runner.given.size(); ++i) {
    const artifact::Value &value = runner.program.inputs[i];
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

Result<std::span<const TensorView>> Session::run(size_t program, std::span<const TensorView> inputs) {
  if (program >= runners_.size())
    return invalid("program {} of {}", program, runners_.size());
  if (!runners_[program])
    return invalid("program {} is not for the CPU", model_->contents().programs[program].name);
  Runner &runner = *runners_[program];
  TRANSOM_RETURN_IF_ERROR(matchInputs(runner, inputs));
  TRANSOM_RETURN_IF_ERROR(bindSymbols(runner));
  TRANSOM_RETURN_IF_ERROR(checkShapes(runner));
  TRANSOM_RETURN_IF_ERROR(runner.plan.bind(symbols_));
  for (size_t i = 0; i < runner.given.size(); ++i)
    if (uint64_t bytes = bytesFor(runner.given[i]->dtype, runner.given[i]->shape).value();
        bytes && runner.given[i]->data != runner.inputs[i])
      std::memcpy(runner.inputs[i], runner.given[i]->data, bytes);
  TRANSOM_RETURN_IF_ERROR(runner.plan.execute(pool_));
  for (size_t i = 0; i < runner.outputs.size(); ++i) {
    std::vector<int64_t> &shape = runner.outputShapes[i];
    for (size_t axis = 0; axis < shape.size(); ++axis)
      shape[axis] = evaluate(runner.program.outputs[i].shape[axis], runner.plan.symbols());
    runner.outputs[i].shape = shape;
  }
  return std::span<const TensorView>(runner.outputs);
}

} // namespace transom
