// Fuzzes the reader of artifacts. Truncated and flipped files must all be refused, as everything is under a checksum;
// headers changed and signed anew must be taken or refused without harm.
#include "runtime/format/Artifact.h"
#include "runtime/format/Preamble.h"
#include "test/fuzz/Fuzz.h"
#include "test/unit/ArtifactFixture.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

using namespace transom;

namespace {

size_t accepted = 0, refused = 0;

void read(std::span<const std::byte> bytes) {
  // A copy of the exact size, so that reads past the end are caught.
  std::vector<uint64_t> aligned((bytes.size() + 7) / 8);
  std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(std::span(aligned)).begin());
  Result<artifact::Contents> contents = artifact::verify(std::as_bytes(std::span(aligned)).first(bytes.size()));
  ++(contents.ok() ? accepted : refused);
  if (contents.status().message().find('\n') != std::string::npos)
    std::abort();
  if (!contents.ok())
    return;
  for (const artifact::Program &program : contents->programs)
    for (const artifact::Buffer &buffer : program.buffers)
      if (toString(buffer.shape, contents->symbols).empty())
        std::abort();
}

void sign(fuzz::Bytes &file) {
  artifact::Preamble preamble;
  std::memcpy(&preamble, file.data(), sizeof preamble);
  preamble.headerChecksum = XXH3_64bits(file.data() + preamble.headerOffset, preamble.headerBytes);
  preamble.checksum = checksumOf(preamble);
  std::memcpy(file.data(), &preamble, sizeof preamble);
}

bool report(const char *what, bool allRefused) {
  std::printf("%s: %zu accepted, %zu refused\n", what, accepted, refused);
  bool ok = !allRefused || accepted == 0;
  accepted = refused = 0;
  return ok;
}

/// Whether all that had to be refused was.
bool fuzzFrom(test::ArtifactBuilder builder) {
  test::TemporaryFolder folder;
  if (!artifact::write(folder.file("a"), builder.input).ok())
    return std::fprintf(stderr, "cannot write the seed\n"), false;
  fuzz::Bytes seed = test::readBytes(folder.file("a"));
  artifact::Preamble preamble;
  std::memcpy(&preamble, seed.data(), sizeof preamble);
  size_t head = preamble.headerOffset + preamble.headerBytes;

  fuzz::forEachMutation(seed, head, [&](const fuzz::Bytes &bytes) {
    if (bytes != seed)
      read(bytes);
  });
  bool ok = report("truncated or changed", /*allRefused=*/true);
  fuzz::forEachMutation(fuzz::Bytes(seed.begin(), seed.begin() + static_cast<ptrdiff_t>(head)), 0,
                        [&](const fuzz::Bytes &bytes) {
                          fuzz::Bytes file = seed;
                          std::copy(bytes.begin() + std::min<ptrdiff_t>(64, std::ssize(bytes)), bytes.end(),
                                    file.begin() + std::min<ptrdiff_t>(64, std::ssize(bytes)));
                          sign(file);
                          read(file);
                        });
  report("changed and signed", /*allRefused=*/false);
  // Every single bit of the file matters.
  size_t step = std::max<size_t>(1, seed.size() * 8 / (fuzz::mutationCount() * 4));
  for (size_t bit = 0; bit < seed.size() * 8; bit += step) {
    fuzz::Bytes file = seed;
    file[bit / 8] ^= std::byte(1 << bit % 8);
    read(file);
  }
  ok &= report("one bit flipped", /*allRefused=*/true);
  return ok;
}

} // namespace

int main() {
  bool ok = true;
  for (auto seed : {test::scaleThenMultiply(), test::packedTokens(), test::multiplyThenScale(), test::scaleThenMultiplyOnBoth(),
                    test::packedTokensOnCuda(), test::mappedOnCuda()})
    ok = fuzzFrom(seed) && ok;
  return ok ? 0 : 1;
}
