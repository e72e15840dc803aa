// The FlatBuffers table as plain values. Copies no more than a multiple of the header's size: tables may share parts.
#include "artifact_generated.h"
#include "runtime/format/Artifact.h"

#include <algorithm>

namespace transom::artifact {

namespace {

namespace fb = transom::format;

class Unpacker {
public:
  explicit Unpacker(size_t headerBytes) : budget_(headerBytes * 32 + (1u << 20)) {}
  bool withinBudget() const { return !spent_; }

  void copy(const flatbuffers::String *from, std::string &to) {
    if (from && charge(from->size()))
      to = from->str();
  }
  /// By bytes: the verifier checks the place of the length, not that of elements of 8 bytes, which may lie unaligned.
  template <typename T> void copy(const flatbuffers::Vector<T> *from, std::vector<T> &to) {
    if (!from || !charge(from->size() * sizeof(T)))
      return;
    to.resize(from->size());
    std::copy_n(from->Data(), to.size() * sizeof(T), reinterpret_cast<uint8_t *>(to.data()));
  }
  void copy(const fb::Term *from, Term &to) {
    to.coefficient = from->coefficient();
    copy(from->symbols(), to.symbols);
  }
  void copy(const fb::Expr *from, Expr &to) { copy(from->terms(), to.terms); }
  /// Any vector of tables or strings.
  template <typename From, typename To>
  void copy(const flatbuffers::Vector<flatbuffers::Offset<From>> *from, std::vector<To> &to) {
    if (!from || !charge(from->size() * sizeof(To)))
      return;
    to.resize(from->size());
    for (uint32_t i = 0; i < from->size() && withinBudget(); ++i)
      copy(from->Get(i), to[i]);
  }

  void copy(const fb::Symbol *from, Symbol &to) {
    copy(from->name(), to.name);
    to.min = from->min();
    to.max = from->max();
    copy(from->buckets(), to.buckets);
  }
  void copy(const fb::Buffer *from, Buffer &to) {
    to.kind = static_cast<BufferKind>(from->kind());
    to.index = from->index();
    to.offset = from->offset();
    to.dtype = static_cast<DType>(from->dtype());
    copy(from->shape(), to.shape);
    to.bytes = from->bytes();
  }
  void copy(const fb::Launch *from, Launch &to) {
    to.kernel = from->kernel();
    copy(from->buffers(), to.buffers);
    copy(from->sizes(), to.sizes);
    copy(from->work(), to.work);
    to.grain = from->grain();
    to.scratch = from->scratch();
  }
  void copy(const fb::Gemm *from, Gemm &to) {
    to.lhs = from->lhs();
    to.rhs = from->rhs();
    to.out = from->out();
    copy(from->m(), to.m);
    copy(from->n(), to.n);
    copy(from->k(), to.k);
    to.unpack = from->unpack();
    to.epilogue = from->epilogue();
    copy(from->extras(), to.extras);
    copy(from->results(), to.results);
    copy(from->sizes(), to.sizes);
    to.scratch = from->scratch();
  }
  void copy(const fb::Size *from, Size &to) {
    to = {from->symbol(), from->buffer(), static_cast<SizeSource>(from->from()), from->input(), {}};
    if (from->limit())
      copy(from->limit(), to.limit);
  }
  void copy(const fb::CudaChoice *from, CudaChoice &to) {
    to.most = from->most();
    to.kernel = from->kernel();
    copy(from->grid(), to.grid);
    copy(from->per(), to.per);
    to.sm = from->sm();
  }
  void copy(const fb::TensorMap *from, TensorMap &to) {
    to.buffer = from->buffer();
    copy(from->sizes(), to.sizes);
    copy(from->strides(), to.strides);
    copy(from->box(), to.box);
  }
  void copy(const fb::CudaLaunch *from, CudaLaunch &to) {
    copy(from->choices(), to.choices);
    copy(from->rows(), to.rows);
    copy(from->buffers(), to.buffers);
    copy(from->maps(), to.maps);
    to.workspace = from->workspace();
    to.dependent = from->dependent();
    to.when = {from->least(), from->most(), static_cast<Architectures>(from->architectures())};
  }
  void copy(const fb::CudaGemm *from, CudaGemm &to) {
    to.lhs = from->lhs();
    to.rhs = from->rhs();
    to.out = from->out();
    copy(from->m(), to.m);
    copy(from->n(), to.n);
    copy(from->k(), to.k);
    to.compute = static_cast<GemmCompute>(from->compute());
    to.bias = from->bias();
    to.residual = from->residual();
    to.activation = static_cast<GemmActivation>(from->activation());
    to.workspace = from->workspace();
    copy(from->algorithm(), to.algorithm);
    to.oneAlgorithm = from->one_algorithm();
    to.when = {from->least(), from->most(), static_cast<Architectures>(from->architectures())};
  }
  void copy(const fb::Step *from, Step &to) {
    copy(from->source(), to.source);
    if (const fb::Gemm *gemm = from->kind_as_Gemm())
      copy(gemm, to.kind.emplace<Gemm>());
    else if (const fb::Launch *launch = from->kind_as_Launch())
      copy(launch, to.kind.emplace<Launch>());
    else if (const fb::Size *size = from->kind_as_Size())
      copy(size, to.kind.emplace<Size>());
    else if (const fb::CudaLaunch *launch = from->kind_as_CudaLaunch())
      copy(launch, to.kind.emplace<CudaLaunch>());
    else if (const fb::CudaGemm *gemm = from->kind_as_CudaGemm())
      copy(gemm, to.kind.emplace<CudaGemm>());
    else
      unknownStep_ = true;
  }
  void copy(const fb::Value *from, Value &to) {
    copy(from->name(), to.name);
    to.dtype = static_cast<DType>(from->dtype());
    copy(from->shape(), to.shape);
    to.bytes = from->bytes();
    to.buffer = from->buffer();
  }
  void copy(const fb::Program *from, Program &to) {
    copy(from->name(), to.name);
    copy(from->inputs(), to.inputs);
    copy(from->outputs(), to.outputs);
    copy(from->buffers(), to.buffers);
    copy(from->steps(), to.steps);
    to.arenaBytes = from->arena_bytes();
    to.device = static_cast<Device>(from->device());
    to.workspaceBytes = from->workspace_bytes();
  }
  void copy(const fb::State *from, State &to) {
    copy(from->name(), to.name);
    to.dtype = static_cast<DType>(from->dtype());
    copy(from->shape(), to.shape);
    to.bytes = from->bytes();
  }
  void copy(const fb::Weight *from, Weight &to) {
    copy(from->name(), to.name);
    to.dtype = static_cast<DType>(from->dtype());
    copy(from->shape(), to.shape);
    to.section = {from->offset(), from->bytes(), from->checksum()};
  }
  void copy(const fb::Code *from, Code &to) {
    copy(from->target(), to.target);
    copy(from->features(), to.features);
    copy(from->kernels(), to.kernels);
    to.section = {from->offset(), from->bytes(), from->checksum()};
  }
  void copy(const fb::CudaHeader *from, CudaHeader &to) {
    copy(from->name(), to.name);
    copy(from->text(), to.text);
  }
  void copy(const fb::CudaKernel *from, CudaKernel &to) {
    copy(from->name(), to.name);
    copy(from->source(), to.source);
    copy(from->block(), to.block);
    to.sharedBytes = from->shared_bytes();
    to.maxRegisters = from->max_registers();
    to.stays = from->stays();
  }
  void copy(const fb::Metadata *from, Metadata &to) {
    copy(from->key(), to.key);
    copy(from->value(), to.value);
  }
  void copy(const fb::Artifact *from, Contents &to) {
    copy(from->producer(), to.producer);
    copy(from->model(), to.model);
    copy(from->architecture(), to.architecture);
    copy(from->task(), to.task);
    copy(from->symbols(), to.symbols);
    copy(from->programs(), to.programs);
    copy(from->states(), to.states);
    copy(from->weights(), to.weights);
    copy(from->code(), to.code);
    copy(from->tokenizer(), to.tokenizer);
    copy(from->metadata(), to.metadata);
    copy(from->plan(), to.plan);
    copy(from->kernel_text(), to.kernelText);
    copy(from->cuda_kernels(), to.cudaKernels);
    copy(from->cuda_headers(), to.cudaHeaders);
  }
  bool foundUnknownStep() const { return unknownStep_; }

private:
  bool charge(size_t bytes) {
    spent_ |= bytes > budget_;
    budget_ -= spent_ ? 0 : bytes;
    return !spent_;
  }
  size_t budget_;
  bool spent_ = false, unknownStep_ = false;
};

} // namespace

Result<Contents> unpack(std::span<const std::byte> header) {
  auto *data = reinterpret_cast<const uint8_t *>(header.data());
  // Each table takes at least 8 bytes unless tables are shared, which the writer does not do.
  flatbuffers::Verifier verifier(data, header.size(), /*max_depth=*/16, /*max_tables=*/header.size() / 8 + 1);
  if (header.size() < 16 || !fb::VerifyArtifactBuffer(verifier))
    return error(StatusCode::invalidFile, "header: the table is not well formed");
  Contents contents;
  Unpacker unpacker(header.size());
  unpacker.copy(fb::GetArtifact(data), contents);
  if (!unpacker.withinBudget())
    return error(StatusCode::invalidFile, "header: expands to more than 32 times its {} bytes", header.size());
  if (unpacker.foundUnknownStep())
    return error(StatusCode::invalidFile, "header: a step of unknown kind");
  return contents;
}

} // namespace transom::artifact
