// See CheckProgram.h.
#include "runtime/format/CheckProgram.h"

#include "runtime/format/KernelAbi.h"

namespace transom::artifact {

namespace {

/// Scratch is allocated per thread on the file's word, so it has a limit of its own.
constexpr uint64_t maxScratch = uint64_t(1) << 32;

} // namespace

Status ProgramChecker::run() const {
  if (program_.device > Device::cuda)
    return invalid("device: {} is none this version knows", static_cast<int>(program_.device));
  if (program_.device == Device::cpu && program_.workspaceBytes != 0)
    return invalid("workspace_bytes: expected 0 on the CPU, found {}", program_.workspaceBytes);
  TRANSOM_RETURN_IF_ERROR(checkNames(program_.inputs, "input"));
  TRANSOM_RETURN_IF_ERROR(checkNames(program_.outputs, "output"));
  for (const Value &value : program_.inputs)
    TRANSOM_RETURN_IF_ERROR(checkValue(value, BufferKind::input, program_.inputs).within("input " + value.name));
  for (const Value &value : program_.outputs)
    TRANSOM_RETURN_IF_ERROR(checkValue(value, BufferKind::output, program_.outputs).within("output " + value.name));
  for (size_t i = 0; i < program_.buffers.size(); ++i)
    TRANSOM_RETURN_IF_ERROR(checkBuffer(program_.buffers[i]).within(fmt::format("buffer {}", i)));
  for (const Value &value : program_.inputs)
    for (const Expr &dim : value.shape)
      if (dim.asSymbol() >= 0)
        known_[static_cast<size_t>(dim.asSymbol())] = true;
  given_ = known_;
  for (size_t i = 0; i < program_.steps.size(); ++i) {
    TRANSOM_RETURN_IF_ERROR(checkText(program_.steps[i].source, fmt::format("step {}: source", i)));
    TRANSOM_RETURN_IF_ERROR(checkStep(program_.steps[i]).within(fmt::format("step {} ({})", i, program_.steps[i].source)));
  }
  return checkBinding();
}

Status ProgramChecker::checkTensor(DType dtype, const Shape &shape, uint64_t bytes) const {
  if (!isDType(static_cast<uint8_t>(dtype)))
    return invalid("dtype: {} is none this version knows", static_cast<int>(dtype));
  if (shape.size() > maxRank)
    return invalid("shape: rank {}, more than {}", shape.size(), maxRank);
  for (const Expr &dim : shape)
    TRANSOM_RETURN_IF_ERROR(checkExpr(dim, "shape"));
  CheckedSize need = bytesAtBounds(dtype, shape, contents_.symbols), padded = need.alignedTo(bufferAlignment);
  if (!padded.valid())
    return invalid("shape: {} of {} has no valid size at the bounds", toString(shape, contents_.symbols), name(dtype));
  if (bytes < need.value() || bytes > padded.value())
    return invalid("bytes: expected {} for {} of {}, found {}", need.value(), toString(shape, contents_.symbols),
                   name(dtype), bytes);
  return {};
}

Status ProgramChecker::checkExpr(const Expr &expr, std::string_view field, uint64_t limit) const {
  for (const Term &term : expr.terms)
    for (uint16_t symbol : term.symbols) {
      if (symbol >= used_.size())
        return invalid("{}: symbol {} of {}", field, symbol, used_.size());
      used_[symbol] = true;
    }
  if (!upperBound(expr, contents_.symbols).fits(limit))
    return invalid("{}: {} is too large at the bounds", field, toString(expr, contents_.symbols));
  return {};
}

Status ProgramChecker::checkValue(const Value &value, BufferKind kind, const std::vector<Value> &table) const {
  TRANSOM_RETURN_IF_ERROR(checkTensor(value.dtype, value.shape, value.bytes));
  if (value.buffer >= program_.buffers.size())
    return invalid("buffer: {} of {}", value.buffer, program_.buffers.size());
  const Buffer &buffer = program_.buffers[value.buffer];
  if (buffer.kind != kind || buffer.index != static_cast<uint64_t>(&value - table.data()))
    return invalid("buffer: {} is not the storage of this {}", value.buffer, name(kind));
  return {};
}

Status ProgramChecker::checkBuffer(const Buffer &buffer) const {
  if (buffer.kind > BufferKind::workspace || (buffer.kind == BufferKind::workspace && program_.device != Device::cuda))
    return invalid("kind: {} is none this version knows on {}", static_cast<int>(buffer.kind), name(program_.device));
  TRANSOM_RETURN_IF_ERROR(checkTensor(buffer.dtype, buffer.shape, buffer.bytes));
  if (buffer.kind == BufferKind::arena)
    return checkPlace(buffer, "arena", program_.arenaBytes);
  if (buffer.kind == BufferKind::workspace)
    return checkPlace(buffer, "workspace", program_.workspaceBytes);
  if (buffer.offset != 0)
    return invalid("offset: expected 0 outside the arena, found {}", buffer.offset);
  return checkStorage(buffer);
}

Status ProgramChecker::checkPlace(const Buffer &buffer, std::string_view what, uint64_t limit) const {
  if (buffer.offset % bufferAlignment != 0)
    return invalid("offset: {} is not a multiple of {}", buffer.offset, bufferAlignment);
  if (!(CheckedSize(buffer.offset) + CheckedSize(buffer.bytes)).fits(limit))
    return invalid("offset: {} and {} bytes pass the {}'s end at {}", buffer.offset, buffer.bytes, what, limit);
  return buffer.index == 0 ? Status() : invalid("index: expected 0 in the {}, found {}", what, buffer.index);
}

Status ProgramChecker::checkStorage(const Buffer &buffer) const {
  auto sizeOf = [&](const auto &table, auto bytesOf) -> Status {
    if (buffer.index >= table.size())
      return invalid("index: {} {} of {}", name(buffer.kind), buffer.index, table.size());
    uint64_t have = bytesOf(table[buffer.index]);
    if (!CheckedSize(buffer.bytes).fits(CheckedSize(have).alignedTo(bufferAlignment).value()))
      return invalid("bytes: {}, but {} \"{}\" has {}", buffer.bytes, name(buffer.kind), table[buffer.index].name,
                     have);
    return {};
  };
  auto ownBytes = [](const auto &item) { return item.bytes; };
  switch (buffer.kind) {
  case BufferKind::weight:
    return sizeOf(contents_.weights,
                  [](const Weight &weight) { return bytesFor(weight.dtype, weight.shape).value(); });
  case BufferKind::input:
    return sizeOf(program_.inputs, ownBytes);
  case BufferKind::output:
    return sizeOf(program_.outputs, ownBytes);
  default:
    return sizeOf(contents_.states, ownBytes);
  }
}

Status ProgramChecker::checkKernel(uint64_t kernel, std::string_view field) const {
  bool any = false;
  for (const Code &code : contents_.code) {
    if (!code.isFor(Device::cpu))
      continue;
    any = true;
    if (kernel >= code.kernels.size())
      return invalid("{}: {} of the {} in code {}", field, kernel, code.kernels.size(), code.target);
  }
  return any ? Status() : invalid("{}: the artifact has no code for CPUs", field);
}

Status ProgramChecker::checkBufferIndex(uint64_t index, std::string_view field) const {
  if (index >= program_.buffers.size())
    return invalid("{}: {} of {}", field, index, program_.buffers.size());
  return {};
}

Status ProgramChecker::checkWork(const Expr &expr, std::string_view field, uint64_t limit) const {
  TRANSOM_RETURN_IF_ERROR(checkExpr(expr, field, limit));
  for (const Term &term : expr.terms)
    for (uint16_t symbol : term.symbols)
      if (!known_[symbol])
        return invalid("{}: symbol \"{}\" has no value yet: it is no dimension of an input, and no step before this one sets it",
                       field, contents_.symbols[symbol].name);
  return {};
}

Status ProgramChecker::checkWritten(uint32_t index, std::string_view field) const {
  BufferKind kind = program_.buffers[index].kind;
  bool read = kind == BufferKind::weight || kind == BufferKind::input;
  return read ? invalid("{}: a buffer of kind {} is not written", field, name(kind)) : Status();
}

Status ProgramChecker::checkStep(const Step &step) const {
  bool forCpu = std::holds_alternative<Launch>(step.kind) || std::holds_alternative<Gemm>(step.kind);
  bool forCuda = std::holds_alternative<CudaLaunch>(step.kind) || std::holds_alternative<CudaGemm>(step.kind);
  if (program_.device == Device::cpu ? forCuda : forCpu)
    return invalid("kind: a step for {} in a program for {}", forCuda ? "cuda" : "cpu", name(program_.device));
  return std::visit([&](const auto &kind) { return checkStep(kind); }, step.kind);
}

Status ProgramChecker::checkStep(const Size &size) const {
  if (size.symbol >= known_.size())
    return invalid("symbol: {} of {}", size.symbol, known_.size());
  if (known_[size.symbol])
    return invalid("symbol: \"{}\" has a value", contents_.symbols[size.symbol].name);
  TRANSOM_RETURN_IF_ERROR(checkBufferIndex(size.buffer, "buffer"));
  const Buffer &buffer = program_.buffers[size.buffer];
  if (buffer.dtype != DType::i32 || buffer.shape.size() != 1)
    return invalid("buffer: expected i32 of rank 1, found {} of {}", toString(buffer.shape, contents_.symbols),
                   name(buffer.dtype));
  TRANSOM_RETURN_IF_ERROR(checkWork(buffer.shape[0], "buffer"));
  if (program_.device == Device::cuda)
    TRANSOM_RETURN_IF_ERROR(checkSource(size));
  known_[size.symbol] = true;
  return {};
}

/// On CUDA the host finds the number before the program starts.
Status ProgramChecker::checkSource(const Size &size) const {
  if (size.from != SizeSource::sum && size.from != SizeSource::nonzero)
    return invalid("from: expected a sum or a count of an input, found {}", static_cast<int>(size.from));
  if (size.input >= program_.inputs.size())
    return invalid("input: {} of {}", size.input, program_.inputs.size());
  const Value &input = program_.inputs[size.input];
  if (input.dtype != DType::i32 && (size.from == SizeSource::sum || input.dtype != DType::i64))
    return invalid("input: \"{}\" holds {}, not whole numbers that can be counted", input.name, name(input.dtype));
  TRANSOM_RETURN_IF_ERROR(checkExpr(size.limit, "limit"));
  for (const Term &term : size.limit.terms)
    for (uint16_t symbol : term.symbols)
      if (!given_[symbol])
        return invalid("limit: it depends on symbol \"{}\", which a step sets", contents_.symbols[symbol].name);
  return {};
}

Status ProgramChecker::checkStep(const Launch &launch) const {
  TRANSOM_RETURN_IF_ERROR(checkKernel(launch.kernel, "kernel"));
  if (launch.buffers.empty())
    return invalid("buffers: none");
  for (uint32_t index : launch.buffers)
    TRANSOM_RETURN_IF_ERROR(checkBufferIndex(index, "buffers"));
  for (const Expr &size : launch.sizes)
    TRANSOM_RETURN_IF_ERROR(checkExpr(size, "sizes"));
  TRANSOM_RETURN_IF_ERROR(checkWork(launch.work, "work"));
  if (launch.grain == 0)
    return invalid("grain: expected at least 1, found 0");
  if (launch.scratch > maxScratch)
    return invalid("scratch: {} bytes, more than {}", launch.scratch, maxScratch);
  return {};
}

Status ProgramChecker::checkMatrix(uint32_t index, std::string_view field, const Expr &rows, const Expr &columns) const {
  TRANSOM_RETURN_IF_ERROR(checkBufferIndex(index, field));
  const Buffer &buffer = program_.buffers[index];
  CheckedSize need = bytesAtBounds(buffer.dtype, {rows, columns}, contents_.symbols);
  if (!need.fits(buffer.bytes))
    return invalid("{}: {} bytes do not hold {} of {}", field, buffer.bytes,
                   toString(Shape{rows, columns}, contents_.symbols), name(buffer.dtype));
  return {};
}

Status ProgramChecker::checkStep(const Gemm &gemm) const {
  TRANSOM_RETURN_IF_ERROR(checkProduct(gemm));
  const Buffer &out = program_.buffers[gemm.out];
  if (program_.buffers[gemm.lhs].dtype != DType::f32 || out.dtype != DType::f32)
    return invalid("lhs and out: expected f32");
  TRANSOM_RETURN_IF_ERROR(checkWritten(gemm.out, "out"));
  TRANSOM_RETURN_IF_ERROR(checkEpilogue(gemm));
  if (gemm.unpack >= 0)
    return checkKernel(static_cast<uint64_t>(gemm.unpack), "unpack");
  if (gemm.unpack != -1 || program_.buffers[gemm.rhs].dtype != DType::f32)
    return invalid("unpack: expected a kernel for rhs of {}, found {}", name(program_.buffers[gemm.rhs].dtype),
                   gemm.unpack);
  return {};
}

Status ProgramChecker::checkEpilogue(const Gemm &gemm) const {
  if (gemm.epilogue < 0) {
    bool none = gemm.epilogue == -1 && gemm.extras.empty() && gemm.results.empty() && gemm.sizes.empty() && gemm.scratch == 0;
    return none ? Status() : invalid("epilogue: {}, with buffers, sizes or scratch", gemm.epilogue);
  }
  TRANSOM_RETURN_IF_ERROR(checkKernel(static_cast<uint64_t>(gemm.epilogue), "epilogue"));
  for (uint32_t index : gemm.extras)
    TRANSOM_RETURN_IF_ERROR(checkBufferIndex(index, "extras"));
  for (uint32_t index : gemm.results)
    TRANSOM_RETURN_IF_ERROR(checkBufferIndex(index, "results"));
  for (const Expr &size : gemm.sizes)
    TRANSOM_RETURN_IF_ERROR(checkExpr(size, "sizes"));
  if (1 + gemm.extras.size() + gemm.results.size() > maxEpilogueBuffers)
    return invalid("epilogue: {} buffers, more than {}", 1 + gemm.extras.size() + gemm.results.size(), maxEpilogueBuffers);
  if (gemm.scratch > maxScratch)
    return invalid("scratch: {} bytes, more than {}", gemm.scratch, maxScratch);
  return {};
}

Status ProgramChecker::checkBinding() const {
  for (size_t i = 0; i < used_.size(); ++i)
    if (used_[i] && !known_[i])
      return invalid("symbol \"{}\" is used but is no dimension of an input", contents_.symbols[i].name);
  return {};
}

} // namespace transom::artifact
