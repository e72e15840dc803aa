// See StepWatch.h.
#include "runtime/StepWatch.h"

#include <algorithm>

namespace transom {

namespace {

/// Buffers that a step touches, each once.
std::vector<uint32_t> buffersOf(const artifact::Step &step) {
  std::vector<uint32_t> buffers;
  auto add = [&](const auto &more) { buffers.insert(buffers.end(), more.begin(), more.end()); };
  if (auto *launch = std::get_if<artifact::Launch>(&step.kind))
    add(launch->buffers);
  if (auto *gemm = std::get_if<artifact::Gemm>(&step.kind)) {
    buffers = {gemm->lhs, gemm->rhs, gemm->out};
    add(gemm->extras);
    add(gemm->results);
  }
  if (auto *launch = std::get_if<artifact::CudaLaunch>(&step.kind))
    add(launch->buffers);
  if (auto *gemm = std::get_if<artifact::CudaGemm>(&step.kind))
    buffers = {gemm->out};
  std::sort(buffers.begin(), buffers.end());
  buffers.erase(std::unique(buffers.begin(), buffers.end()), buffers.end());
  return buffers;
}

} // namespace

Status StepWatch::before(size_t step, const BytesOf &bytesOf) {
  watched_.clear();
  snapshots_.clear();
  for (uint32_t buffer : buffersOf(program_.steps[step])) {
    artifact::BufferKind kind = program_.buffers[buffer].kind;
    if (kind != artifact::BufferKind::arena && kind != artifact::BufferKind::output)
      continue;
    TRANSOM_ASSIGN(std::span<const std::byte> bytes, bytesOf(buffer));
    watched_.push_back(buffer);
    snapshots_.emplace_back(bytes.begin(), bytes.end());
  }
  return {};
}

Status StepWatch::after(size_t step, std::span<const int64_t> symbols, const BytesOf &bytesOf) {
  for (size_t i = 0; i < watched_.size(); ++i) {
    const artifact::Buffer &buffer = program_.buffers[watched_[i]];
    TRANSOM_ASSIGN(std::span<const std::byte> bytes, bytesOf(watched_[i]));
    // What nothing has touched before cannot be read, only written.
    bool written = !seen_[watched_[i]] || !std::equal(bytes.begin(), bytes.end(), snapshots_[i].begin());
    seen_[watched_[i]] = true;
    if (!written)
      continue;
    std::vector<int64_t> shape;
    for (const artifact::Expr &dim : buffer.shape)
      shape.push_back(evaluate(dim, symbols));
    uint64_t live = std::min<uint64_t>(bytesFor(buffer.dtype, shape).value(), bytes.size());
    TRANSOM_RETURN_IF_ERROR(observer_({.step = step, .source = program_.steps[step].source, .buffer = watched_[i],
                                       .dtype = buffer.dtype, .shape = shape, .bytes = bytes.first(live)}));
  }
  return {};
}

} // namespace transom
