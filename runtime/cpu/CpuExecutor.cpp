// See CpuExecutor.h.
#include "runtime/cpu/CpuExecutor.h"

namespace transom {

Result<std::unique_ptr<Executor>> CpuExecutor::create(const Model &model, uint32_t threads, bool profile) {
  TRANSOM_ASSIGN(const CpuBackend *code, model.cpu());
  std::unique_ptr<CpuExecutor> executor(new CpuExecutor(model, *code, threads));
  TRANSOM_RETURN_IF_ERROR(executor->allocate(profile));
  return std::unique_ptr<Executor>(std::move(executor));
}

Status CpuExecutor::allocate(bool profile) {
  MemoryPlan plan = model_.memoryPlan(artifact::Device::cpu, pool_.threads());
  TRANSOM_ASSIGN(arena_, MemoryBlock::allocate(plan.arena, "intermediate values"));
  TRANSOM_ASSIGN(states_, MemoryBlock::allocate(plan.states, "caches", Touch::sparse));
  TRANSOM_ASSIGN(staging_, MemoryBlock::allocate(plan.staging, "inputs and outputs"));
  TRANSOM_ASSIGN(scratch_, MemoryBlock::allocate(plan.scratch, "the threads' scratch"));
  const artifact::Contents &contents = model_.contents();
  std::vector<bool> used = statesOf(contents, artifact::Device::cpu);
  std::vector<std::byte *> states(used.size());
  uint64_t offset = 0;
  for (size_t i = 0; i < used.size(); ++i)
    if (used[i]) {
      states[i] = states_.data() + offset;
      offset += bufferPadded(contents.states[i].bytes);
    }
  uint64_t staged = 0;
  for (const artifact::Program &program : contents.programs) {
    if (program.device != artifact::Device::cpu) {
      runners_.emplace_back();
      continue;
    }
    addRunner(program, staged, states);
    if (profile)
      runners_.back()->plan.profile();
  }
  return {};
}

void CpuExecutor::addRunner(const artifact::Program &program, uint64_t &staged, const std::vector<std::byte *> &states) {
  Storage storage{.arena = arena_.data(), .inputs = {}, .outputs = {}, .states = states, .scratch = scratch_.data(),
                  .scratchPerThread = model_.scratchPerThread()};
  auto place = [&](const std::vector<artifact::Value> &values, std::vector<std::byte *> &addresses) {
    for (const artifact::Value &value : values) {
      addresses.push_back(staging_.data() + staged);
      staged += bufferPadded(value.bytes);
    }
  };
  place(program.inputs, storage.inputs);
  place(program.outputs, storage.outputs);
  std::vector<std::byte *> inputs = storage.inputs, outputs = storage.outputs;
  runners_.push_back(Runner{std::move(inputs), std::move(outputs),
                            ProgramPlan(model_, code_, program, std::move(storage), pool_.threads())});
}

Result<StepLoop *> CpuExecutor::startLoop(size_t, size_t) {
  return error(StatusCode::unsupported, "programs on the CPU run one after the other");
}

std::span<const uint64_t> CpuExecutor::stepNanoseconds(size_t program) const {
  return runners_[program] ? runners_[program]->plan.stepNanoseconds() : std::span<const uint64_t>();
}

} // namespace transom
