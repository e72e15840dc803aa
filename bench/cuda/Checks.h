// The lab's timings, one function per file. Checks register themselves.
#pragma once

namespace lab {

void timeCeilings();
void timeGemv();
void timeDecode(const char *what);
void timeVariants(const char *what);
void timePrefillAttention(const char *what);
void timeRows();
void timeProducts();
void timeE4m3Products();
void timeNormedProducts();
void timeSampling();
void timeChains();
void timeNormChains();

} // namespace lab
