// CPU levels by the tables of the x86-64 psABI; "native" adds the vector features that the machine at hand has.
#include "codegen/cpu/CpuTarget.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/IR/Function.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"

namespace transom {

static const char *const triple = "x86_64-unknown-linux-gnu";

static constexpr const char *level3[] = {"cx16", "popcnt", "sahf", "sse3",  "ssse3", "sse4.1", "sse4.2", "avx",
                                         "avx2", "bmi",    "bmi2", "f16c", "fma",   "lzcnt",  "movbe",  "xsave"};
static constexpr const char *level4[] = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"};
/// What LLVM may put to use beyond level 4 in code like ours.
static constexpr const char *beyond[] = {"avx512ifma",   "avx512vbmi",      "avx512vbmi2", "avx512vnni",
                                         "avx512bitalg", "avx512vpopcntdq", "avx512bf16",  "gfni"};

llvm::Expected<CpuTarget> CpuTarget::parse(llvm::StringRef level) {
  CpuTarget target{level.str(), level == "x86-64-v4" ? 4 : 3, 0, "", "", {level3, std::end(level3)}};
  if (level == "native") {
    llvm::StringMap<bool> host = llvm::sys::getHostCPUFeatures();
    auto has = [&](const char *feature) { return host.lookup(feature); };
    for (const char *feature : level3)
      if (!has(feature))
        return llvm::createStringError("this machine's CPU lacks '%s', which x86-64-v3 has: it cannot run Transom's CPU code",
                                       feature);
    target.level = llvm::all_of(level4, has) ? 4 : 3;
    target.tune = llvm::sys::getHostCPUName().str();
    target.name = "native (" + target.tune + ")";
    if (target.level == 4) {
      target.features.insert(target.features.end(), level4, std::end(level4));
      llvm::copy_if(beyond, std::back_inserter(target.features), has);
    }
  } else if (level == "x86-64-v4") {
    target.features.insert(target.features.end(), level4, std::end(level4));
  } else if (level != "x86-64-v3") {
    return llvm::createStringError("unknown CPU level '%s': expected x86-64-v3, x86-64-v4 or native", level.str().c_str());
  }
  target.lanes = target.level == 4 ? 16 : 8;
  target.cpu = target.level == 4 ? "x86-64-v4" : "x86-64-v3";
  if (target.tune.empty())
    target.tune = target.cpu;
  return target;
}

std::string CpuTarget::featureText() const {
  std::string text;
  for (const std::string &feature : features)
    text += (text.empty() ? "+" : ",+") + feature;
  return text;
}

std::unique_ptr<llvm::TargetMachine> CpuTarget::createMachine() const {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  LLVMInitializeX86AsmParser(); // the memory functions of the skeletons are inline assembly
  std::string error;
  const llvm::Target *found = llvm::TargetRegistry::lookupTarget(triple, error);
  assert(found && "the X86 target is linked in");
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
  return std::unique_ptr<llvm::TargetMachine>(found->createTargetMachine(
      triple, cpu, featureText(), options, llvm::Reloc::PIC_, std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

void CpuTarget::apply(llvm::Function &function) const {
  function.addFnAttr("target-cpu", cpu);
  function.addFnAttr("tune-cpu", tune);
  function.addFnAttr("target-features", featureText());
  // As the skeletons are compiled: calls between functions that differ in this are not inlined.
  function.addFnAttr("no-builtins");
  // Whole registers even where LLVM's tuning would rather use halves: the kernels are written for them.
  std::string width = std::to_string(lanes * 32);
  function.addFnAttr("prefer-vector-width", width);
  function.addFnAttr("min-legal-vector-width", width);
}

} // namespace transom
