// See Kernels.h.
#include "runtime/cuda/Kernels.h"

#include "runtime/cuda/JitCache.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>
#include <map>
#include <system_error>
#include <thread>

namespace transom {

using namespace cuda;

namespace {

/// Dynamic shared memory that a kernel may have without being allowed more: CUDA C++ Programming Guide, "Compute Capabilities".
constexpr uint32_t sharedBytesByDefault = 48 << 10;

/// "cuda:sm_90a" as 9, 0 and 'a'; the suffix is 0 where there is none.
struct Architecture {
  int major = 0, minor = 0;
  char suffix = 0;
};

std::optional<Architecture> parseTarget(std::string_view target) {
  constexpr std::string_view prefix = "cuda:sm_";
  if (!target.starts_with(prefix))
    return std::nullopt;
  target.remove_prefix(prefix.size());
  int number = 0;
  auto [end, failed] = std::from_chars(target.data(), target.data() + target.size(), number);
  std::string_view suffix = target.substr(static_cast<size_t>(end - target.data()));
  if (failed != std::errc() || suffix.size() > 1)
    return std::nullopt;
  return Architecture{number / 10, number % 10, suffix.empty() ? '\0' : suffix[0]};
}

/// How well a cubin fits: the higher the better, 0 not at all. CUDA C++ Programming Guide, "Binary Compatibility" and
/// "Feature Set Compiler Targets".
int fitOf(const Architecture &cubin, int major, int minor) {
  bool exact = cubin.minor == minor;
  if (cubin.major != major || cubin.minor > minor || (cubin.suffix == 'a' && !exact))
    return 0;
  return 1 + cubin.minor * 3 + (cubin.suffix == 'a' ? 2 : cubin.suffix == 'f' ? 1 : 0);
}

/// Kernels that a launch may choose on this device: those that no earlier choice stands before, whatever the rows.
std::vector<bool> usedKernels(const artifact::Contents &contents, uint32_t sm) {
  std::vector<bool> used(contents.cudaKernels.size());
  for (const artifact::Program &program : contents.programs)
    for (const artifact::Step &step : program.steps)
      if (auto *launch = std::get_if<artifact::CudaLaunch>(&step.kind); launch && launch->when.runsOn(sm)) {
        int64_t served = -1; // rows, by the choices so far
        for (const artifact::CudaChoice &choice : launch->choices)
          if ((choice.sm == 0 || choice.sm == sm) && choice.most > served)
            used[choice.kernel] = true, served = choice.most;
      }
  return used;
}

Status checkKernel(const artifact::CudaKernel &kernel, uint64_t sharedBytes, const CudaDeviceInfo &info) {
  if (sharedBytes <= info.sharedBytes)
    return {};
  return error(StatusCode::unsupported, "kernel {}: it needs {} bytes of shared memory, {} ({}) has {}", kernel.name, sharedBytes,
               info.name, info.architecture(), info.sharedBytes);
}

using Cubin = std::vector<std::byte>;

/// Compiles kernels for the device, several at a time.
Status compileKernels(const artifact::Contents &contents, const std::vector<size_t> &kernels, const CudaDeviceInfo &info,
                      std::vector<Cubin> &cubins) {
  Result<const Nvrtc *> nvrtc = Nvrtc::get();
  if (!nvrtc.ok())
    return nvrtc.status().within(fmt::format("kernel {} has no code for {} ({}) and must be compiled",
                                             contents.cudaKernels[kernels.front()].name, info.name, info.architecture()));
  std::optional<std::string> architecture = chooseArchitecture((*nvrtc)->architectures(), info.major, info.minor);
  if (!architecture)
    return error(StatusCode::unsupported, "{} is of architecture {}; NVRTC {} compiles for sm_{}", info.name, info.architecture(),
                 (*nvrtc)->version(), fmt::join((*nvrtc)->architectures(), ", sm_"));
  std::vector<NvrtcHeader> headers;
  for (const artifact::CudaHeader &header : contents.cudaHeaders)
    headers.push_back({header.name, header.text});
  JitCache cache = JitCache::standard();

  cubins.resize(kernels.size());
  std::vector<Status> failures(kernels.size());
  std::atomic<size_t> next = 0;
  auto work = [&] {
    for (size_t i; (i = next.fetch_add(1)) < kernels.size();) {
      const artifact::CudaKernel &kernel = contents.cudaKernels[kernels[i]];
      Result<Cubin> cubin = cache.compile(**nvrtc, {kernel.name, kernel.source, headers, *architecture, kernel.maxRegisters});
      if (cubin.ok())
        cubins[i] = std::move(*cubin);
      else
        failures[i] = cubin.status();
    }
  };
  {
    std::vector<std::jthread> others;
    size_t threads = std::min<size_t>(std::thread::hardware_concurrency(), kernels.size());
    try {
      for (size_t i = 1; i < threads; ++i)
        others.emplace_back(work);
    } catch (const std::system_error &) {
      // The threads that there are do it all.
    }
    work();
  }
  for (Status &failed : failures)
    TRANSOM_RETURN_IF_ERROR(failed);
  return {};
}

} // namespace

std::optional<size_t> chooseCubin(std::span<const artifact::Code> code, std::string_view kernel, int major, int minor) {
  std::optional<size_t> best;
  int bestFit = 0;
  for (size_t i = 0; i < code.size(); ++i) {
    std::optional<Architecture> target = parseTarget(code[i].target);
    int fit = target ? fitOf(*target, major, minor) : 0;
    if (fit > bestFit && std::find(code[i].kernels.begin(), code[i].kernels.end(), kernel) != code[i].kernels.end()) {
      best = i;
      bestFit = fit;
    }
  }
  return best;
}

std::optional<std::string> chooseArchitecture(std::span<const int> known, int major, int minor) {
  constexpr int firstWithOwnFeatures = 90;
  int wanted = major * 10 + minor, best = 0;
  for (int number : known)
    if (number / 10 == major && number <= wanted)
      best = std::max(best, number);
  if (best == 0)
    return std::nullopt;
  return fmt::format("sm_{}{}", best, best == wanted && best >= firstWithOwnFeatures ? "a" : "");
}

Status CudaKernels::loadModule(const void *image, const std::string &what, CUmodule &module) {
  const Driver &driver = device_->driver();
  char log[1024] = {};
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, reinterpret_cast<void *>(sizeof log - 1)};
  modules_.reserve(modules_.size() + 1);
  CUresult result = driver.cuModuleLoadDataEx(&module, image, 2, options, values);
  if (result == CUDA_SUCCESS) {
    modules_.push_back(module);
    return {};
  }
  if (log[0])
    return driver.check(result, fmt::format("{}: {}", what, std::string_view(log, std::strcspn(log, "\n"))));
  bool mismatch = result == CUDA_ERROR_INVALID_IMAGE || result == CUDA_ERROR_NO_BINARY_FOR_GPU ||
                  result == CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
  std::string fit = fmt::format(" does not load on {} ({}) with a driver for CUDA {}", device_->info().name,
                                device_->info().architecture(), versionText(versionOf(driver)));
  return driver.check(result, what + (mismatch ? fit : " does not load"));
}

Status CudaKernels::findFunction(const artifact::CudaKernel &kernel, CUmodule module, CUfunction &function) const {
  const Driver &driver = device_->driver();
  std::string what = "kernel " + kernel.name;
  CUresult result = driver.cuModuleGetFunction(&function, module, kernel.name.c_str());
  if (result == CUDA_ERROR_NOT_FOUND)
    return error(StatusCode::invalidFile, "{}: its code has no function of this name", what);
  TRANSOM_RETURN_IF_ERROR(driver.check(result, what));
  int ownShared = 0, mostThreads = 0;
  result = driver.cuFuncGetAttribute(&ownShared, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function);
  TRANSOM_RETURN_IF_ERROR(driver.check(result, what));
  result = driver.cuFuncGetAttribute(&mostThreads, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function);
  TRANSOM_RETURN_IF_ERROR(driver.check(result, what));
  TRANSOM_RETURN_IF_ERROR(
      checkKernel(kernel, uint64_t(kernel.sharedBytes) + static_cast<uint64_t>(std::max(ownShared, 0)), device_->info()));
  int64_t threads = 1;
  for (uint32_t size : kernel.block)
    threads *= size;
  if (threads > mostThreads)
    return error(StatusCode::unsupported, "{}: its blocks have {} threads, its code allows {}", what, threads, mostThreads);
  if (kernel.sharedBytes > sharedBytesByDefault) {
    result = driver.cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                       static_cast<int>(kernel.sharedBytes));
    TRANSOM_RETURN_IF_ERROR(driver.check(result, what));
  }
  return {};
}

Result<CudaKernels> CudaKernels::load(const Artifact &artifact, std::shared_ptr<const CudaDevice> device) {
  const artifact::Contents &contents = artifact.contents();
  const CudaDeviceInfo &info = device->info();
  std::vector<bool> used = usedKernels(contents, info.sm());
  std::map<size_t, std::vector<size_t>> byCode; // code section: kernels
  std::vector<size_t> compiled;
  for (size_t i = 0; i < used.size(); ++i) {
    if (!used[i])
      continue;
    const artifact::CudaKernel &kernel = contents.cudaKernels[i];
    TRANSOM_RETURN_IF_ERROR(checkKernel(kernel, kernel.sharedBytes, info));
    if (std::optional<size_t> code = chooseCubin(contents.code, kernel.name, info.major, info.minor))
      byCode[*code].push_back(i);
    else
      compiled.push_back(i);
  }
  std::vector<Cubin> cubins;
  if (!compiled.empty())
    TRANSOM_RETURN_IF_ERROR(compileKernels(contents, compiled, info, cubins));

  CudaKernels loaded;
  loaded.device_ = device;
  loaded.functions_.assign(used.size(), nullptr);
  TRANSOM_RETURN_IF_ERROR(device->makeCurrent());
  for (const auto &[index, kernels] : byCode) {
    const artifact::Code &code = contents.code[index];
    CUmodule module = nullptr;
    TRANSOM_RETURN_IF_ERROR(loaded.loadModule(artifact.bytes(code.section).data(), "code " + code.target, module));
    for (size_t i : kernels)
      TRANSOM_RETURN_IF_ERROR(loaded.findFunction(contents.cudaKernels[i], module, loaded.functions_[i]).within("code " + code.target));
  }
  for (size_t i = 0; i < compiled.size(); ++i) {
    const artifact::CudaKernel &kernel = contents.cudaKernels[compiled[i]];
    CUmodule module = nullptr;
    TRANSOM_RETURN_IF_ERROR(loaded.loadModule(cubins[i].data(), fmt::format("compiled kernel {}", kernel.name), module));
    TRANSOM_RETURN_IF_ERROR(loaded.findFunction(kernel, module, loaded.functions_[compiled[i]]));
  }
  return loaded;
}

CudaKernels &CudaKernels::operator=(CudaKernels &&other) noexcept {
  std::swap(device_, other.device_);
  std::swap(modules_, other.modules_);
  std::swap(functions_, other.functions_);
  return *this;
}

CudaKernels::~CudaKernels() {
  if (modules_.empty())
    return;
  device_->makeCurrentToFree();
  for (CUmodule module : modules_)
    device_->driver().cuModuleUnload(module);
}

} // namespace transom
