// The program `step` of decoders: `decode` whose logits stay inside, and behind it kernels that choose the tokens and write the
// inputs of the next run.
#include "codegen/cuda/ProgramLowering.h"

using namespace mlir;

namespace transom::cuda {

bool isDecode(plan::ProgramOp program) {
  if (program.getSymName() != "decode")
    return false;
  bool ids = false, lengths = false, past = false, logits = false;
  for (auto buffer : program.getBody().getOps<plan::BufferOp>()) {
    StringRef name = buffer.getName().value_or("");
    bool input = buffer.getKind() == plan::BufferKind::input;
    ids |= input && name == "input_ids", lengths |= input && name == "lengths", past |= input && name == "past_lengths";
    auto type = dyn_cast<RankedTensorType>(buffer.getTensor());
    logits |= buffer.getKind() == plan::BufferKind::output && name == "logits" && type && type.getRank() == 2 && type.getElementType().isF32() &&
              !type.isDynamicDim(1) && type.getDimSize(1) < int64_t(1) << 19;
  }
  return ids && lengths && past && logits;
}

plan::BufferOp ProgramLowering::named(plan::BufferKind kind, StringRef name) {
  for (auto buffer : program.getBody().getOps<plan::BufferOp>())
    if (buffer.getKind() == kind && buffer.getName() == name)
      return buffer;
  return {};
}

void ProgramLowering::prepareStep() {
  logits = named(plan::BufferKind::output, "logits");
  Dims shape = plan::sizesOf(logits);
  overrides[logits.getResult()] = scratch(DType::f32, shape);
  kept = scratchAt; // until the token is chosen
  DimExpr batch = shape[0];
  for (auto [name, dtype] : {std::pair("temperature", DType::f32), std::pair("top_p", DType::f32), std::pair("top_k", DType::i32),
                             std::pair("seed", DType::i64), std::pair("row", DType::i64), std::pair("token_index", DType::i64)})
    result.inputs.push_back({name, dtype, {batch}});
  result.outputs.push_back({"tokens", DType::i32, {batch}});
  result.keepsOutputs = false;
}

void ProgramLowering::addBest(GemvProgram &gemv, ValueRange outputs) {
  if (variant == Variant::step && outputs.size() == 1 && plan::storageOf(outputs[0]) == logits)
    gemv.best = best();
}

CudaBuffer ProgramLowering::best() {
  CudaBuffer buffer;
  buffer.kind = CudaBuffer::Kind::workspace;
  buffer.dtype = DType::i64, buffer.shape = {plan::sizesOf(logits)[0]};
  buffer.bytes = most(buffer.shape[0]) * 8;
  bestBytes = plan::aligned(buffer.bytes);
  return buffer;
}

void ProgramLowering::placeBest() {
  auto place = [&](CudaBuffer &buffer) {
    if (buffer.kind == CudaBuffer::Kind::workspace && buffer.dtype == DType::i64)
      buffer.offset = workspaceBytes;
  };
  for (CudaStepPlan &step : result.steps)
    if (auto *launch = std::get_if<CudaLaunchPlan>(&step.kind)) {
      llvm::for_each(launch->buffers, place);
      if (launch->workspace)
        place(*launch->workspace);
    }
}

CudaBuffer ProgramLowering::planInput(StringRef name) {
  CudaBuffer buffer;
  buffer.value = named(plan::BufferKind::input, name);
  return buffer;
}

CudaBuffer ProgramLowering::ownInput(StringRef name) {
  auto found = llvm::find_if(result.inputs, [&](const CudaValue &value) { return value.name == name; });
  CudaBuffer buffer;
  buffer.kind = CudaBuffer::Kind::input;
  buffer.index = size_t(found - result.inputs.begin()), buffer.dtype = found->dtype, buffer.shape = found->shape;
  return buffer;
}

CudaBuffer ProgramLowering::tokens() {
  CudaBuffer buffer;
  buffer.kind = CudaBuffer::Kind::output;
  buffer.dtype = result.outputs[0].dtype, buffer.shape = result.outputs[0].shape;
  return buffer;
}

void ProgramLowering::addSample() {
  source = "choose";
  Dims shape = plan::sizesOf(logits);
  KernelText text(pool);
  text.include("Sample.cuh");
  text.preamble = "#if __CUDA_ARCH__ >= 900\n#define CLUSTER __cluster_dims__(8, 1, 1)\nconstexpr int cluster = 8;\n#else\n"
                  "#define CLUSTER\nconstexpr int cluster = 1;\n#endif\n";
  text.attributes = "CLUSTER ", text.launchBounds = "1024";
  text.open("if (blockIdx.x >= cluster || blockIdx.y >= " + text.size(shape[0]) + ")");
  text.line("waitProducers();");
  text.line("return;");
  text.close();
  text.line("SampleArguments a = {};");
  auto set = [&](const std::string &field, const std::string &value) { text.line("a." + field + " = " + value + ";"); };
  set("logits", text.pointer(overrides[logits.getResult()]));
  for (auto [field, name] : {std::pair("temperature", "temperature"), std::pair("topP", "top_p"), std::pair("topK", "top_k"), std::pair("seed", "seed"),
                             std::pair("row", "row"), std::pair("tokenIndex", "token_index")})
    set(field, text.pointer(ownInput(name)));
  set("lengths", text.pointer(planInput("lengths")));
  set("token", text.pointer(tokens(), true));
  set("vocab", "(int)(" + text.size(shape[1]) + ")");
  if (hasBest)
    set("best", text.workspace(best(), "uint64"));
  text.line("sampleRows<cluster>(a);");
  CudaLaunchPlan launch;
  launch.rows = shape[0];
  launch.choices.push_back({INT64_MAX, pool.add("sample", text, {1024}, 0), {DimExpr(8), shape[0]}});
  launch.buffers = text.buffers, launch.workspace = text.work;
  add(launch);
}

void ProgramLowering::addAdvance() {
  source = "advance";
  DimExpr batch = plan::sizesOf(logits)[0];
  KernelText text(pool);
  text.include("Rows.cuh");
  text.line("StepState s = {};");
  auto set = [&](const std::string &field, const std::string &value) { text.line("s." + field + " = " + value + ";"); };
  set("sampled", text.pointer(tokens(), true));
  set("tokens", text.pointer(tokens(), true));
  set("lengths", text.pointer(planInput("lengths")));
  set("inputIds", text.pointer(planInput("input_ids"), true));
  set("past", text.pointer(planInput("past_lengths"), true));
  set("tokenIndex", text.pointer(ownInput("token_index"), true));
  set("batch", "(int)(" + text.size(batch) + ")");
  if (hasBest)
    set("best", text.workspace(best(), "uint64"));
  text.launchBounds = "128";
  text.line("advanceStep(s);");
  CudaLaunchPlan launch;
  launch.rows = batch;
  launch.choices.push_back({INT64_MAX, pool.add("advance", text, {128}, 0), {batch}, {128}});
  launch.buffers = text.buffers, launch.workspace = text.work;
  add(launch);
}

} // namespace transom::cuda
