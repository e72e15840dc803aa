// How the runtime calls generated CPU code. Shared by the code generator and the runtime; both sides of the wall.
#pragma once

#include <cstdint>

extern "C" {

/// One generated kernel. It computes the work items [begin, end) of a launch; the runtime splits the launch's items over
/// threads, and items never depend on each other.
///
/// buffers: one pointer per kernel operand, then one per result, each aligned to 64 bytes.
/// sizes:   every dynamic dimension of the operands' types, then of the results', in order.
/// scratch: private to the calling thread, as many bytes as the launch names, aligned to 64; null if it names none.
typedef void (*TransomCpuKernel)(void *const *buffers, const int64_t *sizes, int64_t begin, int64_t end, void *scratch);

} // extern "C"

namespace transom {
/// Alignment in bytes of every buffer a kernel sees, and of every arena offset.
inline constexpr uint64_t bufferAlignment = 64;
/// Buffers that the epilogue of a matrix product may have. Its first is the product: aligned as floats are, and valid only
/// in the rows of the call.
inline constexpr uint64_t maxEpilogueBuffers = 32;
/// Alignment in bytes of the artifact's sections and of each weight's start within the file is this and bufferAlignment.
inline constexpr uint64_t sectionAlignment = 4096;
} // namespace transom
