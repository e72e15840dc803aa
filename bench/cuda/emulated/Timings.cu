// Stands for the lab's timings of whole graphs, which the emulator has nothing to say about.
#include "../Checks.h"

#include <cstdio>

namespace lab {

static void refuse() { std::printf("no timings under the emulator\n"); }
void timeCeilings() {}
void timeGemv() { refuse(); }
void timeDecode(const char *) { refuse(); }
void timeVariants(const char *) { refuse(); }

} // namespace lab
