// The lab's checks and timings, one function per file.
#pragma once

namespace lab {

void checkGemv();
void checkQuantPlanes();
void checkDecodeAttention();
void checkRows();
void checkPrefillAttention();
/// Where the GPU has wgmma.
void checkHopperAttention();
void checkProducts();
void checkSampling();

void timeCeilings();
void timeGemv();
void timeDecode(const char *what);
void timeVariants(const char *what);
void timePrefillAttention(const char *what);
void timeProducts();
void timeSampling();

} // namespace lab
