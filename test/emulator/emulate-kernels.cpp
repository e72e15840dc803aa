// emulate-kernels <artifact> [sm_75|sm_80|sm_89|sm_90a]: builds the artifact's CUDA kernels for the emulator and prints the library's path, for
// TRANSOM_EMULATED_KERNELS. The library is kept in the build's folder and made anew only where the kernels changed.
#include "runtime/format/Artifact.h"
#include "test/emulator/ArtifactKernels.h"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>

int main(int count, char **arguments) {
  std::string_view architecture = count == 3 ? arguments[2] : "sm_80";
  constexpr std::pair<std::string_view, int> known[] = {{"sm_75", 750}, {"sm_80", 800}, {"sm_89", 890}, {"sm_90a", 900}};
  auto chosen = std::find_if(std::begin(known), std::end(known), [&](const auto &one) { return one.first == architecture; });
  if (count < 2 || count > 3 || chosen == std::end(known)) {
    std::fprintf(stderr, "usage: emulate-kernels <artifact> [sm_75|sm_80|sm_89|sm_90a]\n");
    return 2;
  }
  auto artifact = transom::Artifact::open(arguments[1]);
  if (!artifact.ok()) {
    std::fprintf(stderr, "emulate-kernels: %s\n", artifact.status().message().c_str());
    return 1;
  }
  transom::emulator::BuildOptions options;
  options.architecture = chosen->second;
  auto library = transom::emulator::buildArtifactKernels(artifact->contents(), options);
  if (!library.ok()) {
    std::fprintf(stderr, "emulate-kernels: %s\n", library.status().message().c_str());
    return 1;
  }
  std::printf("%s\n", library->c_str());
  return 0;
}
