// See Gemm.h. A product is cut into panels of rhs rows; each is unpacked into a thread's scratch, which stays in its
// L2 cache, and multiplied from there; an epilogue follows when all are done. An f32 rhs with many lhs rows is cut along
// lhs instead: then the epilogue takes each block of rows from the scratch of the thread that computed it.
#include "runtime/cpu/Gemm.h"

#include "runtime/support/Checked.h"

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
/// The same with an epilogue, whose rows then come from the cache; and the bytes of a block of such rows.
constexpr int64_t epilogueRowsWorthCutting = 64, blockBytes = 3 << 20, minBlockRows = 32, maxBlockRows = 512;

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

static int64_t blockRows(int64_t n) {
  return std::clamp<int64_t>(blockBytes / (std::max<int64_t>(n, 1) * int64_t(sizeof(float))) / 16 * 16, minBlockRows, maxBlockRows);
}

/// Bytes before the epilogue's own scratch: an unpacked panel, or a block of the product.
static uint64_t ownScratch(uint64_t n, uint64_t k, bool unpacks, bool hasEpilogue) {
  uint64_t panel = unpacks ? std::max<uint64_t>(panelBytes, k * panelStep * sizeof(float)) : 0;
  uint64_t block = hasEpilogue && !unpacks ? n * uint64_t(blockRows(int64_t(n))) * sizeof(float) : 0;
  return CheckedSize(std::max(panel, block)).alignedTo(bufferAlignment).value();
}

uint64_t gemmScratch(const GemmBounds &bounds) {
  return ownScratch(bounds.n, bounds.k, bounds.unpacks, bounds.hasEpilogue) + bounds.epilogueScratch;
}

namespace {

/// A product at work.
struct Gemm {
  const GemmTask &task;
  std::byte *scratch;
  uint64_t scratchStride;
  bool alongLhs = false;
  int64_t rows = 0; ///< of lhs or rhs, per chunk
  std::atomic<bool> failed = false;

  const float *lhs(int64_t row) const { return static_cast<const float *>(task.lhs) + row * task.k; }
  const float *rhs(int64_t row) const { return static_cast<const float *>(task.rhs) + row * task.k; }
  float *out() const { return static_cast<float *>(task.out); }
  std::byte *own(uint32_t thread) const { return scratch + thread * scratchStride; }

  void multiply(int64_t m, int64_t n, const float *from, const float *weights, float *to, int64_t stride) {
    if (!task.library->multiply(m, n, task.k, from, weights, to, stride))
      failed = true;
  }

  /// The epilogue on rows [begin, end), of which `product` holds the first at its start.
  void finish(const float *product, int64_t begin, int64_t end, uint32_t thread) {
    void *buffers[maxEpilogueBuffers];
    std::copy(task.buffers.begin(), task.buffers.end(), buffers);
    // The kernel counts from row 0, wherever that would be.
    buffers[0] = reinterpret_cast<void *>(reinterpret_cast<uintptr_t>(product) - uintptr_t(begin * task.n) * sizeof(float));
    std::byte *behind = own(thread) + ownScratch(uint64_t(task.n), uint64_t(task.k), task.unpack != nullptr, true);
    task.epilogue(buffers, task.epilogueSizes, begin, end, behind);
  }

  void lhsBlock(int64_t begin, uint32_t thread) {
    int64_t end = std::min(begin + rows, task.m);
    float *to = task.epilogue ? reinterpret_cast<float *>(own(thread)) : out() + begin * task.n;
    multiply(end - begin, task.n, lhs(begin), rhs(0), to, task.n);
    if (task.epilogue)
      finish(to, begin, end, thread);
  }

  void rhsPanel(int64_t begin, uint32_t thread) {
    int64_t count = std::min(rows, task.n - begin);
    const float *panel = rhs(begin);
    if (task.unpack) {
      void *buffers[] = {task.rhs, own(thread)};
      task.unpack(buffers, task.unpackSizes, begin, begin + count, nullptr);
      panel = reinterpret_cast<const float *>(own(thread));
    }
    multiply(task.m, count, lhs(0), panel, out() + begin, task.n);
  }

  /// Rows of lhs or rhs in a chunk: as many chunks for each thread, of nearly one size.
  void cut(int64_t threads) {
    alongLhs = !task.unpack && task.m >= (task.epilogue ? epilogueRowsWorthCutting : lhsRowsWorthCutting) * threads;
    int64_t total = alongLhs ? task.m : task.n;
    int64_t fitting = panelBytes / (std::max<int64_t>(task.k, 1) * int64_t(sizeof(float))) / panelStep * panelStep;
    int64_t limit = std::clamp(fitting, panelStep, maxPanelRows);
    if (alongLhs)
      limit = task.epilogue ? blockRows(task.n) : lhsRowsWorthCutting * 2;
    int64_t chunks = divideUp(divideUp(total, limit), threads) * threads;
    rows = std::min(limit, divideUp(divideUp(total, chunks), 16) * 16);
  }
};

} // namespace

bool runGemm(const GemmTask &task, ThreadPool &pool, std::byte *scratch, uint64_t scratchStride) {
  if (task.m == 0 || task.n == 0)
    return true;
  Gemm gemm{task, scratch, scratchStride};
  gemm.cut(pool.threads());
  auto chunk = [](void *opaque, uint32_t index, uint32_t thread) {
    Gemm &gemm = *static_cast<Gemm *>(opaque);
    int64_t begin = index * gemm.rows;
    gemm.alongLhs ? gemm.lhsBlock(begin, thread) : gemm.rhsPanel(begin, thread);
  };
  pool.run(static_cast<uint32_t>(divideUp(gemm.alongLhs ? task.m : task.n, gemm.rows)), chunk, &gemm);
  if (!task.epilogue || gemm.alongLhs || gemm.failed)
    return !gemm.failed;
  gemm.rows = divideUp(task.m, int64_t(pool.threads()) * 4);
  auto rows = [](void *opaque, uint32_t index, uint32_t thread) {
    Gemm &gemm = *static_cast<Gemm *>(opaque);
    int64_t begin = index * gemm.rows;
    gemm.finish(gemm.out() + begin * gemm.task.n, begin, std::min(begin + gemm.rows, gemm.task.m), thread);
  };
  pool.run(static_cast<uint32_t>(divideUp(task.m, gemm.rows)), rows, &gemm);
  return true;
}

} // namespace transom
