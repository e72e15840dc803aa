// emulate-kernels <artifact>: builds the artifact's CUDA kernels for the emulator and prints the library's path, for
// TRANSOM_EMULATED_KERNELS; where TRANSOM_EMULATED_75 is set, as they are on compute capability 7.5. The library is kept in the build's
// folder and made anew only where the kernels changed.
#include "runtime/format/Artifact.h"
#include "test/emulator/ArtifactKernels.h"

#include <cstdio>
#include <cstdlib>

int main(int count, char **arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: emulate-kernels <artifact>\n");
    return 2;
  }
  auto artifact = transom::Artifact::open(arguments[1]);
  if (!artifact.ok()) {
    std::fprintf(stderr, "emulate-kernels: %s\n", artifact.status().message().c_str());
    return 1;
  }
  auto library = transom::emulator::buildArtifactKernels(artifact->contents(), {.architecture = std::getenv("TRANSOM_EMULATED_75") ? 750 : 800});
  if (!library.ok()) {
    std::fprintf(stderr, "emulate-kernels: %s\n", library.status().message().c_str());
    return 1;
  }
  std::printf("%s\n", library->c_str());
  return 0;
}
