// The loops of a session on a GPU: runs of one program that read what the run before left in the program's inputs. There is a graph for
// each slot of a ring, which leaves its output there; the output is copied to the host on a stream of its own, beside the next run. A
// slot comes again after the host has taken its output, so the GPU waits for nothing but its own work.
#include "runtime/cuda/CudaSession.h"

namespace transom {

Result<StepLoop *> CudaExecutor::startLoop(size_t program, size_t output) {
  Runner &runner = *runners_[program];
  const artifact::Value &value = runner.program.outputs[output];
  if (value.dtype != DType::i32 || value.shape.size() != 1 || bufferPadded(value.bytes) > storage_.ringSlot)
    return error(StatusCode::unsupported, "program {}: no loop with output \"{}\"", runner.program.name, value.name);
  TRANSOM_RETURN_IF_ERROR(enter());
  Status status = beginLoop(runner, output);
  if (!status.ok())
    return fail(status);
  return static_cast<StepLoop *>(this);
}

Result<std::span<const CudaGraph>> CudaExecutor::loopGraphs(Runner &runner, CudaGraphs::Bucket &bucket, size_t output) {
  std::array<cuda::CUdeviceptr, loopSlots> places;
  for (size_t slot = 0; slot < loopSlots; ++slot)
    places[slot] = staging_.pointer() + storage_.ring + slot * storage_.ringSlot;
  return runner.graphs.loopOf(bucket, output, places, stream_.get());
}

Status CudaExecutor::beginLoop(Runner &runner, size_t output) {
  TRANSOM_RETURN_IF_ERROR(findSizes(runner));
  TRANSOM_ASSIGN(CudaGraphs::Bucket *bucket, runner.graphs.bucketFor(runner.symbols, stream_.get()));
  std::span<const CudaGraph> graphs;
  if (runner.nanoseconds.empty()) {
    TRANSOM_ASSIGN(graphs, loopGraphs(runner, *bucket, output));
  }
  TRANSOM_RETURN_IF_ERROR(upload(runner));
  // The host may write new inputs from here on.
  TRANSOM_RETURN_IF_ERROR(check(driver().cuStreamSynchronize(stream_.get()), "copying inputs"));
  auto rows = static_cast<size_t>(evaluate(runner.program.outputs[output].shape[0], runner.symbols));
  loop_ = {.runner = &runner, .bucket = bucket, .graphs = graphs, .output = output, .rows = rows, .launched = 0, .taken = 0};
  return {};
}

Status CudaExecutor::enqueueRun(size_t slot) {
  const uint64_t place = storage_.ring + slot * storage_.ringSlot;
  cuda::CUdeviceptr from = staging_.pointer() + place;
  TRANSOM_RETURN_IF_ERROR(check(driver().cuCtxSetCurrent(device().context()), "taking the GPU"));
  if (loop_.graphs.empty()) { // one place for all runs
    TRANSOM_RETURN_IF_ERROR(check(driver().cuStreamSynchronize(copies_.get()), "copying tokens"));
    TRANSOM_RETURN_IF_ERROR(enqueueSteps(*loop_.runner, *loop_.bucket, nullptr));
    from = loop_.runner->graphs.addressOf(loop_.runner->program.outputs[loop_.output].buffer);
  } else {
    TRANSOM_RETURN_IF_ERROR(check(driver().cuGraphLaunch(loop_.graphs[slot].get(), stream_.get()), "launching a step"));
  }
  TRANSOM_RETURN_IF_ERROR(check(driver().cuEventRecord(done_[slot].get(), stream_.get()), "launching a step"));
  TRANSOM_RETURN_IF_ERROR(check(driver().cuStreamWaitEvent(copies_.get(), done_[slot].get(), 0), "copying tokens"));
  if (loop_.rows)
    TRANSOM_RETURN_IF_ERROR(check(
        driver().cuMemcpyDtoHAsync(pinned_.data() + place, from, loop_.rows * sizeof(int32_t), copies_.get()), "copying tokens"));
  return check(driver().cuEventRecord(taken_[slot].get(), copies_.get()), "copying tokens");
}

Status CudaExecutor::launch() {
  TRANSOM_RETURN_IF_ERROR(broken_);
  assert(loop_.launched - loop_.taken < loopDepth && "the caller keeps to the loop's depth");
  if (Status status = enqueueRun(loop_.launched % loopSlots); !status.ok()) {
    loop_.taken = loop_.launched;
    return fail(status);
  }
  ++loop_.launched;
  return {};
}

Result<std::span<const int32_t>> CudaExecutor::next() {
  TRANSOM_RETURN_IF_ERROR(broken_);
  assert(loop_.taken < loop_.launched && "the caller waits for runs that it has launched");
  size_t slot = loop_.taken % loopSlots;
  Status status = check(driver().cuEventSynchronize(taken_[slot].get()), "waiting for a step");
  if (!status.ok())
    return fail(status);
  ++loop_.taken;
  return std::span(reinterpret_cast<const int32_t *>(pinned_.data() + storage_.ring + slot * storage_.ringSlot), loop_.rows);
}

Status CudaExecutor::clear(size_t input, size_t row) {
  TRANSOM_RETURN_IF_ERROR(broken_);
  [[maybe_unused]] const artifact::Value &value = loop_.runner->program.inputs[input];
  assert(value.dtype == DType::i32 && value.shape.size() == 1 && row < loop_.rows && "a number of a row");
  cuda::CUdeviceptr number = staging_.pointer() + loop_.runner->places.inputs[input] + row * sizeof(int32_t);
  TRANSOM_RETURN_IF_ERROR(check(driver().cuCtxSetCurrent(device().context()), "taking the GPU"));
  Status status = check(driver().cuMemsetD8Async(number, 0, sizeof(int32_t), stream_.get()), "ending a row");
  return status.ok() ? status : fail(status);
}

Status CudaExecutor::drain() {
  TRANSOM_RETURN_IF_ERROR(broken_);
  loop_.taken = loop_.launched;
  TRANSOM_RETURN_IF_ERROR(check(driver().cuStreamSynchronize(stream_.get()), "waiting for steps"));
  return check(driver().cuStreamSynchronize(copies_.get()), "waiting for steps");
}

} // namespace transom
