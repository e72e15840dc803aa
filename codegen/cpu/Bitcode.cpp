// Puts the two bitcode files that the build makes into the program.
#include "codegen/cpu/Bitcode.h"

#define EMBED(symbol, file)                                                                                            \
  __asm__(".section .rodata\n.balign 16\n" symbol "_begin:\n.incbin \"" file "\"\n" symbol "_end:\n.previous\n")

EMBED("transom_kernels_v3", TRANSOM_BITCODE_V3);
EMBED("transom_kernels_v4", TRANSOM_BITCODE_V4);

extern "C" const char transom_kernels_v3_begin[] __attribute__((visibility("hidden")));
extern "C" const char transom_kernels_v3_end[] __attribute__((visibility("hidden")));
extern "C" const char transom_kernels_v4_begin[] __attribute__((visibility("hidden")));
extern "C" const char transom_kernels_v4_end[] __attribute__((visibility("hidden")));

namespace transom {

llvm::StringRef kernelBitcode(int level) {
  return level == 3 ? llvm::StringRef(transom_kernels_v3_begin, transom_kernels_v3_end - transom_kernels_v3_begin)
                    : llvm::StringRef(transom_kernels_v4_begin, transom_kernels_v4_end - transom_kernels_v4_begin);
}

} // namespace transom
