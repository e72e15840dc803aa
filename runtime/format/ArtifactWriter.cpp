// Packs the header, streams code and weights behind it, then writes the header again with their checksums: fields are
// stored even where they are zero, so both headers have the same size.
#include "runtime/format/ArtifactWriter.h"

#include "artifact_generated.h"
#include "runtime/format/Artifact.h"
#include "runtime/format/Preamble.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>

namespace transom::artifact {

namespace {

namespace fb = transom::format;
using flatbuffers::Offset;

class Packer {
public:
  std::span<const std::byte> run(const Contents &contents) {
    builder_.Clear();
    builder_.ForceDefaults(true);
    builder_.Finish(pack(contents), fb::ArtifactIdentifier());
    return std::as_bytes(std::span(builder_.GetBufferPointer(), builder_.GetSize()));
  }

private:
  /// A vector of tables, from one overload of pack().
  template <typename T> auto packAll(const std::vector<T> &items) {
    std::vector<decltype(pack(items.front()))> offsets;
    for (const T &item : items)
      offsets.push_back(pack(item));
    return builder_.CreateVector(offsets);
  }
  Offset<flatbuffers::String> pack(const std::string &text) { return builder_.CreateString(text); }
  Offset<fb::Symbol> pack(const Symbol &symbol) {
    auto name = pack(symbol.name);
    return fb::CreateSymbol(builder_, name, symbol.min, symbol.max, builder_.CreateVector(symbol.buckets));
  }
  Offset<fb::Term> pack(const Term &term) {
    return fb::CreateTerm(builder_, term.coefficient, builder_.CreateVector(term.symbols));
  }
  Offset<fb::Expr> pack(const Expr &expr) { return fb::CreateExpr(builder_, packAll(expr.terms)); }
  Offset<fb::Buffer> pack(const Buffer &buffer) {
    return fb::CreateBuffer(builder_, static_cast<fb::BufferKind>(buffer.kind), buffer.index, buffer.offset,
                            static_cast<uint8_t>(buffer.dtype), packAll(buffer.shape), buffer.bytes);
  }
  Offset<fb::Launch> pack(const Launch &launch) {
    auto buffers = builder_.CreateVector(launch.buffers);
    auto sizes = packAll(launch.sizes);
    return fb::CreateLaunch(builder_, launch.kernel, buffers, sizes, pack(launch.work), launch.grain, launch.scratch);
  }
  Offset<fb::Gemm> pack(const Gemm &gemm) {
    auto m = pack(gemm.m), n = pack(gemm.n), k = pack(gemm.k);
    auto extras = builder_.CreateVector(gemm.extras), results = builder_.CreateVector(gemm.results);
    auto sizes = packAll(gemm.sizes);
    return fb::CreateGemm(builder_, gemm.lhs, gemm.rhs, gemm.out, m, n, k, gemm.unpack, gemm.epilogue, extras, results, sizes,
                          gemm.scratch);
  }
  Offset<fb::Size> pack(const Size &size) {
    return fb::CreateSize(builder_, size.symbol, size.buffer, static_cast<fb::SizeSource>(size.from), size.input, pack(size.limit));
  }
  Offset<fb::CudaChoice> pack(const CudaChoice &choice) {
    auto grid = packAll(choice.grid);
    return fb::CreateCudaChoice(builder_, choice.most, choice.kernel, grid, builder_.CreateVector(choice.per), choice.sm);
  }
  Offset<fb::TensorMap> pack(const TensorMap &map) {
    auto sizes = packAll(map.sizes), strides = packAll(map.strides);
    return fb::CreateTensorMap(builder_, map.buffer, sizes, strides, builder_.CreateVector(map.box));
  }
  Offset<fb::CudaLaunch> pack(const CudaLaunch &launch) {
    auto choices = packAll(launch.choices);
    auto rows = pack(launch.rows);
    auto buffers = builder_.CreateVector(launch.buffers);
    return fb::CreateCudaLaunch(builder_, choices, rows, buffers, packAll(launch.maps), launch.workspace, launch.dependent,
                                launch.when.least, launch.when.most, static_cast<fb::Architectures>(launch.when.architectures));
  }
  Offset<fb::CudaGemm> pack(const CudaGemm &gemm) {
    auto m = pack(gemm.m), n = pack(gemm.n), k = pack(gemm.k);
    return fb::CreateCudaGemm(builder_, gemm.lhs, gemm.rhs, gemm.out, m, n, k, static_cast<fb::GemmCompute>(gemm.compute), gemm.bias,
                              gemm.residual, static_cast<fb::GemmActivation>(gemm.activation), gemm.workspace,
                              builder_.CreateVector(gemm.algorithm), gemm.when.least, gemm.when.most,
                              static_cast<fb::Architectures>(gemm.when.architectures), gemm.oneAlgorithm);
  }
  Offset<fb::Step> pack(const Step &step) {
    auto source = pack(step.source);
    if (auto *launch = std::get_if<CudaLaunch>(&step.kind))
      return fb::CreateStep(builder_, fb::StepKind::CudaLaunch, pack(*launch).Union(), source);
    if (auto *gemm = std::get_if<CudaGemm>(&step.kind))
      return fb::CreateStep(builder_, fb::StepKind::CudaGemm, pack(*gemm).Union(), source);
    if (auto *size = std::get_if<Size>(&step.kind))
      return fb::CreateStep(builder_, fb::StepKind::Size, pack(*size).Union(), source);
    if (auto *gemm = std::get_if<Gemm>(&step.kind))
      return fb::CreateStep(builder_, fb::StepKind::Gemm, pack(*gemm).Union(), source);
    return fb::CreateStep(builder_, fb::StepKind::Launch, pack(std::get<Launch>(step.kind)).Union(), source);
  }
  Offset<fb::Value> pack(const Value &value) {
    auto name = pack(value.name);
    return fb::CreateValue(builder_, name, static_cast<uint8_t>(value.dtype), packAll(value.shape), value.bytes,
                           value.buffer);
  }
  Offset<fb::Program> pack(const Program &program) {
    auto name = pack(program.name);
    auto inputs = packAll(program.inputs), outputs = packAll(program.outputs);
    auto buffers = packAll(program.buffers);
    return fb::CreateProgram(builder_, name, inputs, outputs, buffers, packAll(program.steps), program.arenaBytes,
                             static_cast<fb::Device>(program.device), program.workspaceBytes);
  }
  Offset<fb::State> pack(const State &state) {
    auto name = pack(state.name);
    return fb::CreateState(builder_, name, static_cast<uint8_t>(state.dtype), packAll(state.shape), state.bytes);
  }
  Offset<fb::Weight> pack(const Weight &weight) {
    auto name = pack(weight.name);
    const Section &section = weight.section;
    return fb::CreateWeight(builder_, name, static_cast<uint8_t>(weight.dtype), builder_.CreateVector(weight.shape),
                            section.offset, section.bytes, section.checksum);
  }
  Offset<fb::Code> pack(const Code &code) {
    auto target = pack(code.target);
    auto features = packAll(code.features), kernels = packAll(code.kernels);
    const Section &section = code.section;
    return fb::CreateCode(builder_, target, features, kernels, section.offset, section.bytes, section.checksum);
  }
  Offset<fb::CudaHeader> pack(const CudaHeader &header) {
    auto name = pack(header.name);
    return fb::CreateCudaHeader(builder_, name, pack(header.text));
  }
  Offset<fb::CudaKernel> pack(const CudaKernel &kernel) {
    auto name = pack(kernel.name), source = pack(kernel.source);
    return fb::CreateCudaKernel(builder_, name, source, builder_.CreateVector(kernel.block), kernel.sharedBytes, kernel.maxRegisters, kernel.stays);
  }
  Offset<fb::Metadata> pack(const Metadata &item) {
    auto key = pack(item.key);
    return fb::CreateMetadata(builder_, key, pack(item.value));
  }
  Offset<fb::Artifact> pack(const Contents &c) {
    auto producer = pack(c.producer), model = pack(c.model), architecture = pack(c.architecture), task = pack(c.task);
    auto symbols = packAll(c.symbols);
    auto programs = packAll(c.programs);
    auto states = packAll(c.states);
    auto weights = packAll(c.weights);
    auto code = packAll(c.code);
    auto tokenizer = builder_.CreateVector(c.tokenizer);
    auto metadata = packAll(c.metadata);
    auto plan = pack(c.plan);
    auto kernelText = packAll(c.kernelText);
    auto cudaKernels = packAll(c.cudaKernels);
    auto cudaHeaders = packAll(c.cudaHeaders);
    return fb::CreateArtifact(builder_, producer, model, architecture, task, symbols, programs, states, weights, code,
                              tokenizer, metadata, plan, kernelText, cudaKernels, cudaHeaders);
  }

  flatbuffers::FlatBufferBuilder builder_;
};

class Writer {
public:
  Writer(AtomicFileWriter file, WriteInput &input) : file_(std::move(file)), input_(input) {}

  Status run() {
    Contents &contents = input_.contents;
    uint64_t headerBytes = layOut();
    std::vector<std::byte> blank(sizeof(Preamble) + headerBytes);
    TRANSOM_RETURN_IF_ERROR(file_.write(blank));
    for (size_t i = 0; i < contents.code.size(); ++i) {
      TRANSOM_RETURN_IF_ERROR(file_.padTo(sectionAlignment));
      contents.code[i].section.checksum = XXH3_64bits(input_.codeBytes[i].data(), input_.codeBytes[i].size());
      TRANSOM_RETURN_IF_ERROR(file_.write(input_.codeBytes[i]));
    }
    written_ = file_.position();
    TRANSOM_RETURN_IF_ERROR(file_.extendTo(fileBytes_));
    TRANSOM_RETURN_IF_ERROR(writeWeights());
    TRANSOM_RETURN_IF_ERROR(writeHeader(headerBytes));
    return file_.commit();
  }

private:
  /// Gives every section its place; returns the header's size.
  uint64_t layOut() {
    uint64_t headerBytes = packer_.run(input_.contents).size();
    CheckedSize end = CheckedSize(sizeof(Preamble)) + CheckedSize(headerBytes);
    for (size_t i = 0; i < input_.codeBytes.size(); ++i) {
      Section &section = input_.contents.code[i].section;
      section = {end.alignedTo(sectionAlignment).value(), input_.codeBytes[i].size(), 0};
      end = CheckedSize(section.offset) + CheckedSize(section.bytes);
    }
    end = end.alignedTo(sectionAlignment);
    for (Weight &weight : input_.contents.weights) {
      weight.section = {end.alignedTo(bufferAlignment).value(), bytesFor(weight.dtype, weight.shape).value(), 0};
      end = CheckedSize(weight.section.offset) + CheckedSize(weight.section.bytes);
    }
    fileBytes_ = end.alignedTo(sectionAlignment).value();
    return headerBytes;
  }

  /// Every weight has its place, so that threads write them in any order.
  Status writeWeights() {
    std::vector<Weight> &weights = input_.contents.weights;
    std::vector<Status> statuses(weights.size());
    std::atomic<size_t> next = 0;
    std::atomic<bool> failed = false;
    auto work = [&] {
      for (size_t i; !failed && (i = next++) < weights.size();) {
        statuses[i] = writeWeight(i).within("weight " + weights[i].name);
        failed = failed || !statuses[i].ok();
      }
    };
    std::vector<std::thread> threads;
    for (size_t i = 1; i < std::min<size_t>(input_.threads, weights.size()); ++i)
      threads.emplace_back(work);
    work();
    for (std::thread &thread : threads)
      thread.join();
    for (const Status &status : statuses)
      TRANSOM_RETURN_IF_ERROR(status);
    return {};
  }

  Status writeWeight(size_t index) {
    Section &section = input_.contents.weights[index].section;
    std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> sum(XXH3_createState(), &XXH3_freeState);
    XXH3_64bits_reset(sum.get());
    uint64_t left = section.bytes;
    Status status = input_.weights[index]([&](std::span<const std::byte> bytes) -> Status {
      if (bytes.size() > left)
        return error(StatusCode::internal, "more than the expected {} bytes", section.bytes);
      uint64_t place = section.offset + section.bytes - left;
      left -= bytes.size();
      XXH3_64bits_update(sum.get(), bytes.data(), bytes.size());
      return file_.writeAt(place, bytes);
    });
    TRANSOM_RETURN_IF_ERROR(status);
    if (left != 0)
      return error(StatusCode::internal, "expected {} bytes, found {}", section.bytes, section.bytes - left);
    section.checksum = XXH3_64bits_digest(sum.get());
    std::lock_guard lock(mutex_);
    written_ += section.bytes;
    if (input_.progress)
      input_.progress(written_, fileBytes_);
    return {};
  }

  Status writeHeader(uint64_t headerBytes) {
    std::span<const std::byte> header = packer_.run(input_.contents);
    if (header.size() != headerBytes)
      return error(StatusCode::internal, "the header's size changed from {} to {}", headerBytes, header.size());
    Preamble preamble{};
    std::memcpy(preamble.magic, magic, sizeof magic);
    preamble.version = formatVersion;
    preamble.headerOffset = sizeof preamble;
    preamble.headerBytes = headerBytes;
    preamble.headerChecksum = XXH3_64bits(header.data(), header.size());
    preamble.fileBytes = fileBytes_;
    preamble.checksum = checksumOf(preamble);
    TRANSOM_RETURN_IF_ERROR(file_.writeAt(0, std::as_bytes(std::span(&preamble, 1))));
    return file_.writeAt(sizeof preamble, header);
  }

  AtomicFileWriter file_;
  WriteInput &input_;
  Packer packer_;
  uint64_t fileBytes_ = 0, written_ = 0;
  std::mutex mutex_; ///< for progress
};

} // namespace

Status write(const std::string &path, WriteInput input) {
  Contents &contents = input.contents;
  if (input.weights.size() != contents.weights.size() || input.codeBytes.size() != contents.code.size())
    return error(StatusCode::internal, "expected {} weights and {} code sections, found {} and {}",
                 contents.weights.size(), contents.code.size(), input.weights.size(), input.codeBytes.size());
  std::sort(contents.metadata.begin(), contents.metadata.end(),
            [](const Metadata &a, const Metadata &b) { return a.key < b.key; });
  if (Status status = check(contents); !status.ok())
    return Status(StatusCode::internal, path + ": would not be readable: " + status.message());
  TRANSOM_ASSIGN(AtomicFileWriter file, AtomicFileWriter::create(path));
  return Writer(std::move(file), input).run();
}

} // namespace transom::artifact
