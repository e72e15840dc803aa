// The first 64 bytes of an artifact. Shared by the reader and the writer.
#pragma once

#include "runtime/format/KernelAbi.h"

#include <xxhash.h>

#include <bit>
#include <cstddef>
#include <cstring>

namespace transom::artifact {

inline constexpr char magic[8] = {'T', 'R', 'A', 'N', 'S', 'O', 'M', '\n'};
/// Raised by every change that an older reader would misunderstand. A reader takes its own version only.
inline constexpr uint32_t formatVersion = 4;

/// Little-endian, like everything in the file. In every version `magic`, `version` and `checksum` keep their places.
struct Preamble {
  char magic[8];
  uint32_t version;
  uint32_t zero; ///< 0
  uint64_t headerOffset, headerBytes, headerChecksum;
  uint64_t fileBytes;
  uint64_t reserved; ///< 0
  uint64_t checksum; ///< XXH3-64 of the bytes before it
};
static_assert(sizeof(Preamble) == 64 && std::endian::native == std::endian::little);

inline uint64_t checksumOf(const Preamble &preamble) { return XXH3_64bits(&preamble, offsetof(Preamble, checksum)); }

} // namespace transom::artifact
