// The kernel lab's driver: lab check [gemv|planes|attention|rows|prefill|hopper|products|normed|chain|sampling],
// lab time [ceilings|d1|d2|d3|a1|kernels|rows|products|normed|chain|sampling], lab time variants [d1|d2|d3].
#include "Lab.h"
#include "Checks.h"

int main(int count, char **arguments) {
  using namespace lab;
  cudaDeviceProp properties;
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("skipped: no CUDA device\n");
    return 77;
  }
  CHECK(cudaGetDeviceProperties(&properties, 0));
  std::string verb = count > 1 ? arguments[1] : "check", what;
  for (int i = 2; i < count; ++i)
    what += std::string(arguments[i]) + " ";
  auto wants = [&](const char *name) { return what.empty() || what.find(name) != std::string::npos; };
  std::printf("%s, sm_%d%d, %d multiprocessors\n", properties.name, properties.major, properties.minor, properties.multiProcessorCount);
  if (verb == "check") {
    for (const Group &one : groups())
      if (wants(one.name))
        one.run();
    std::printf("lab: %d passed, %d failed\n", tally().passed, tally().failed);
#ifndef LAB_EMULATED // which has nothing to say of time
  } else if (verb == "time") {
    timeCeilings();
    const bool variants = what.find("variants") != std::string::npos;
    if (variants)
      timeVariants(what.c_str());
    else if (wants("d1") || wants("d2") || wants("d3"))
      timeDecode(what.c_str());
    if (wants("kernels"))
      timeGemv();
    if (wants("a1"))
      timePrefillAttention(what.c_str());
    if (wants("rows"))
      timeRows();
    if (wants("products"))
      timeProducts(), timeE4m3Products();
    if (wants("normed"))
      timeNormedProducts();
    if (wants("chain"))
      timeChains(), timeNormChains();
    if (wants("sampling"))
      timeSampling();
#endif
  }
  return tally().failed != 0;
}
