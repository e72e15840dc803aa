// lld as a library.
#include "codegen/cpu/Link.h"

#include "lld/Common/Driver.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Passes/PassPlugin.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <mutex>

LLD_HAS_DRIVER(elf)

namespace transom {

llvm::Expected<std::vector<char>> linkSharedObject(llvm::StringRef object) {
  static std::mutex lldIsNotReentrant;
  std::lock_guard lock(lldIsNotReentrant);
  llvm::SmallString<128> folder;
  if (std::error_code error = llvm::sys::fs::createUniqueDirectory("transom", folder))
    return llvm::createStringError(error, "cannot make a temporary folder for linking");
  auto cleanUp = llvm::make_scope_exit([&] { llvm::sys::fs::remove_directories(folder); });
  llvm::SmallString<128> input(folder), output(folder);
  llvm::sys::path::append(input, "kernels.o");
  llvm::sys::path::append(output, "kernels.so");
  {
    std::error_code error;
    llvm::raw_fd_ostream file(input, error);
    file << object;
    file.close();
    if (error || file.has_error()) {
      file.clear_error();
      return llvm::createStringError("%s: cannot write a temporary object file", input.c_str());
    }
  }
  std::string messages;
  llvm::raw_string_ostream text(messages);
  const char *arguments[] = {"ld.lld",     "-shared",      "-nostdlib", "--no-undefined", "--build-id=none",
                             "--strip-all", "--hash-style=gnu", "-z", "noexecstack",    "-o",
                             output.c_str(), input.c_str()};
  lld::Result result = lld::lldMain(arguments, text, text, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode != 0)
    return llvm::createStringError("linking the CPU kernels failed: %s", llvm::StringRef(text.str()).split('\n').first.str().c_str());
  auto linked = llvm::MemoryBuffer::getFile(output, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!linked)
    return llvm::createStringError(linked.getError(), "%s: cannot read the linked kernels", output.c_str());
  return std::vector<char>((*linked)->getBufferStart(), (*linked)->getBufferEnd());
}

} // namespace transom

// lld's driver refers to what its link-time optimiser may need, which never runs here: every target of LLVM, and Polly.
// Definitions in their place keep some hundred megabytes out of the program. X86 is the real one.
llvm::PassPluginLibraryInfo getPollyPluginInfo() {
  return {LLVM_PLUGIN_API_VERSION, "Polly", "none", [](llvm::PassBuilder &) {}};
}
#define UNUSED_TARGET(name)                                                                                            \
  extern "C" void LLVMInitialize##name##TargetInfo() {}                                                                \
  extern "C" void LLVMInitialize##name##Target() {}                                                                    \
  extern "C" void LLVMInitialize##name##TargetMC() {}                                                                  \
  extern "C" void LLVMInitialize##name##AsmPrinter() {}                                                                \
  extern "C" void LLVMInitialize##name##AsmParser() {}                                                                 \
  extern "C" void LLVMInitialize##name##Disassembler() {}
UNUSED_TARGET(AArch64)
UNUSED_TARGET(AMDGPU)
UNUSED_TARGET(ARM)
UNUSED_TARGET(AVR)
UNUSED_TARGET(BPF)
UNUSED_TARGET(Hexagon)
UNUSED_TARGET(Lanai)
UNUSED_TARGET(LoongArch)
UNUSED_TARGET(Mips)
UNUSED_TARGET(MSP430)
UNUSED_TARGET(NVPTX)
UNUSED_TARGET(PowerPC)
UNUSED_TARGET(RISCV)
UNUSED_TARGET(Sparc)
UNUSED_TARGET(SystemZ)
UNUSED_TARGET(VE)
UNUSED_TARGET(WebAssembly)
UNUSED_TARGET(XCore)
UNUSED_TARGET(M68k)
UNUSED_TARGET(Xtensa)
