// The kernel lab's checks on the emulator: lab-emulated [gemv|planes|attention|rows|prefill|sampling]. TRANSOM_EMULATED_REVERSE=1
// runs threads and blocks in the reverse order.
#include "Checks.h"
#include "Lab.h"

int main(int count, char **arguments) {
  using namespace lab;
  struct {
    const char *name;
    void (*run)();
  } all[] = {{"gemv", checkGemv},  {"planes", checkQuantPlanes},       {"attention", checkDecodeAttention},
             {"rows", checkRows},  {"prefill", checkPrefillAttention}, {"sampling", checkSampling}};
  for (auto &one : all)
    if (count < 2 || arguments[1] == std::string(one.name))
      one.run();
  std::printf("lab: %d passed, %d failed\n", tally().passed, tally().failed);
  return tally().failed != 0 || tally().passed == 0;
}
