// See Gemm.h. A product is cut into panels of rhs rows; each is unpacked into a thread's scratch, which stays in its
// L2 cache, and multiplied from there. An f32 rhs with many lhs rows is cut along lhs instead.
#include "runtime/cpu/Gemm.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <vector>

namespace transom {

namespace {

/// About what an L2 cache holds beside the library's own packed blocks.
constexpr int64_t panelBytes = 768 << 10;
constexpr int64_t maxPanelRows = 192, panelStep = 48;
/// From this many rows of lhs per thread, an f32 product is cut along them.
constexpr int64_t lhsRowsWorthCutting = 256;

int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Folders to look in before the system's: lib/ beside the folder of the module this code is in, and that folder.
std::vector<std::string> libraryFolders() {
  static const char here = 0;
  std::vector<std::string> folders;
  std::error_code failed;
  auto add = [&](const std::filesystem::path &module) {
    std::filesystem::path folder = std::filesystem::weakly_canonical(module, failed).parent_path();
    if (failed || folder.empty())
      return;
    folders.push_back((folder.parent_path() / "lib").string());
    folders.push_back(folder.string());
  };
  Dl_info info;
  if (::dladdr(&here, &info) && info.dli_fname)
    add(info.dli_fname);
  if (auto program = std::filesystem::read_symlink("/proc/self/exe", failed); !failed)
    add(program);
  return folders;
}

} // namespace

Result<GemmLibrary> GemmLibrary::load() {
  std::vector<std::string> candidates, folders = libraryFolders();
  if (const char *chosen = std::getenv("TRANSOM_ONEDNN")) {
    candidates = {chosen};
  } else {
    for (const std::string &folder : folders)
      candidates.insert(candidates.end(), {folder + "/libdnnl.so.3", folder + "/libdnnl.so.2"});
    candidates.insert(candidates.end(), {"libdnnl.so.3", "libdnnl.so.2"});
  }

  GemmLibrary library;
  for (const std::string &candidate : candidates) {
    void *handle = ::dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle)
      continue;
    library.sgemm_ = reinterpret_cast<Sgemm>(::dlsym(handle, "dnnl_sgemm"));
    library.setThreads_ = reinterpret_cast<void (*)(int)>(::dlsym(handle, "omp_set_num_threads"));
    if (!library.sgemm_)
      return error(StatusCode::unsupported, "{}: not a usable oneDNN: it has no dnnl_sgemm", candidate);
    Dl_info info;
    void *symbol = reinterpret_cast<void *>(library.sgemm_);
    library.path_ = ::dladdr(symbol, &info) && info.dli_fname ? info.dli_fname : candidate;
    return library;
  }
  return error(StatusCode::notFound,
               "this model needs oneDNN, which was not found ({}); install it (Debian: libdnnl2), put libdnnl.so.2 "
               "into {}, or name it in TRANSOM_ONEDNN",
               fmt::join(candidates, ", "), folders.empty() ? "lib/" : folders.front());
}

Result<const GemmLibrary *> GemmLibrary::get() {
  static const Result<GemmLibrary> library = load();
  if (!library.ok())
    return library.status();
  return &*library;
}

bool GemmLibrary::multiply(int64_t m, int64_t n, int64_t k, const float *lhs, const float *rhs, float *out,
                           int64_t outStride) const {
  // OpenMP's thread count belongs to the calling thread; each of the pool's threads says it once.
  thread_local bool single = false;
  if (!single && setThreads_)
    setThreads_(1);
  single = true;
  return sgemm_('N', 'T', m, n, k, 1.0f, lhs, k, rhs, k, 0.0f, out, outStride) == 0;
}

uint64_t gemmScratch(uint64_t k) {
  return std::max<uint64_t>(panelBytes, k * panelStep * sizeof(float));
}

bool runGemm(const GemmTask &task, ThreadPool &pool, std::byte *scratch, uint64_t scratchStride) {
  if (task.m == 0 || task.n == 0)
    return true;
  struct Context {
    const GemmTask &task;
    std::byte *scratch;
    uint64_t scratchStride;
    bool alongLhs;
    int64_t rows; ///< of lhs or rhs, per chunk
    std::atomic<bool> failed = false;
  };
  int64_t threads = pool.threads();
  bool alongLhs = !task.unpack && task.m >= lhsRowsWorthCutting * threads;
  int64_t total = alongLhs ? task.m : task.n;
  int64_t fitting = panelBytes / (std::max<int64_t>(task.k, 1) * int64_t(sizeof(float))) / panelStep * panelStep;
  int64_t limit = alongLhs ? lhsRowsWorthCutting * 2 : std::clamp(fitting, panelStep, maxPanelRows);
  // As many chunks for each thread, of nearly one size.
  int64_t chunks = divideUp(divideUp(total, limit), threads) * threads;
  Context context{task, scratch, scratchStride, alongLhs, std::min(limit, divideUp(divideUp(total, chunks), 16) * 16)};

  auto chunk = [](void *opaque, uint32_t index, uint32_t thread) {
    auto &context = *static_cast<Context *>(opaque);
    const GemmTask &task = context.task;
    int64_t begin = index * context.rows;
    auto *lhs = static_cast<const float *>(task.lhs), *rhs = static_cast<const float *>(task.rhs);
    auto *out = static_cast<float *>(task.out);
    int64_t count = std::min(context.rows, (context.alongLhs ? task.m : task.n) - begin);
    if (context.alongLhs) {
      if (!task.library->multiply(count, task.n, task.k, lhs + begin * task.k, rhs, out + begin * task.n, task.n))
        context.failed = true;
      return;
    }
    const float *panel = rhs + begin * task.k;
    if (task.unpack) {
      std::byte *own = context.scratch + thread * context.scratchStride;
      void *buffers[] = {task.rhs, own};
      task.unpack(buffers, task.unpackSizes, begin, begin + count, nullptr);
      panel = reinterpret_cast<const float *>(own);
    }
    if (!task.library->multiply(task.m, count, task.k, lhs, panel, out + begin, task.n))
      context.failed = true;
  };
  pool.run(static_cast<uint32_t>(divideUp(total, context.rows)), chunk, &context);
  return !context.failed;
}

} // namespace transom
