// cuBLASLt's functions: column-major products D = epilogue(A^T B) + C as Transom asks for them, by plain loops with fp32 sums.
#include "test/unit/FakeCudaState.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace transom;
using namespace transom::cuda;
using namespace transom::fake;

namespace {

struct MatmulDesc {
  cublasComputeType_t compute;
  int32_t transposeA = CUBLAS_OP_N;
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void *bias = nullptr;
};
struct Layout {
  cudaDataType_t type;
  uint64_t rows, columns;
  int64_t leading;
};
struct Preference {
  uint64_t workspace = 0;
  uint32_t reductions = ~0u; ///< a mask of schemes
};

constexpr uint64_t algorithmMark = 0x7472616e736f6dull;
/// How a sum over k goes: in eight parts or in four, as larger and smaller tiles might, or split over blocks, whose halves meet in a
/// workspace. Each gives other bits.
enum Algorithm : uint64_t { eightParts, fourParts, halves, algorithms };
constexpr uint64_t workspaceOf[] = {0, 0, 4096};
/// As the real library, the fake proposes another algorithm first where there are few rows.
constexpr uint64_t fewRows = 48;
constexpr Algorithm ofFewRows[] = {halves, fourParts, eightParts}, ofManyRows[] = {eightParts, halves, fourParts};

/// As call(): a status that fits the driver's result.
cublasStatus_t library(const char *name, Effect effect, const std::function<cublasStatus_t(State &)> &body) {
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  bool ran = false;
  CUresult result = call(name, Needs::context, effect, [&](State &s) {
    ran = true;
    status = body(s);
    return CUDA_SUCCESS;
  });
  if (result == CUDA_SUCCESS && ran)
    return status;
  return result == CUDA_ERROR_OUT_OF_MEMORY ? CUBLAS_STATUS_ALLOC_FAILED
         : result == CUDA_ERROR_NOT_SUPPORTED ? CUBLAS_STATUS_NOT_SUPPORTED
                                              : CUBLAS_STATUS_EXECUTION_FAILED;
}
cublasStatus_t refuse(State &s, const char *function, std::string_view what) {
  s.fault(function, what);
  return CUBLAS_STATUS_INVALID_VALUE;
}

template <class T> T *object(State &s, void *handle, std::string_view kind) {
  auto found = s.libraryObjects.find(handle);
  return found != s.libraryObjects.end() && found->second == kind ? static_cast<T *>(handle) : nullptr;
}
template <class T> void keep(State &s, T *made, const char *kind) { s.libraryObjects[made] = kind; }
template <class T> cublasStatus_t destroy(const char *name, void *handle, std::string_view kind) {
  return library(name, Effect::releases, [&](State &s) {
    T *found = object<T>(s, handle, kind);
    if (!found)
      return refuse(s, name, "a handle that is none");
    s.libraryObjects.erase(handle);
    delete found;
    return CUBLAS_STATUS_SUCCESS;
  });
}

uint64_t bytesOf(cudaDataType_t type) { return type == CUDA_R_32F ? 4 : 2; }

float fromBits(uint32_t bits) {
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
uint32_t toBits(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return bits;
}
float load(const void *data, cudaDataType_t type, uint64_t i) {
  if (type == CUDA_R_32F)
    return static_cast<const float *>(data)[i];
  uint16_t h = static_cast<const uint16_t *>(data)[i];
  if (type == CUDA_R_16BF)
    return fromBits(static_cast<uint32_t>(h) << 16);
  float v = (h & 0x7c00) == 0x7c00 ? fromBits(static_cast<uint32_t>(h & 0x3ff) << 13 | 0x7f800000u)
                                   : fromBits(static_cast<uint32_t>(h & 0x7fff) << 13) * 0x1p112f;
  return h & 0x8000 ? -v : v;
}
void store(void *data, cudaDataType_t type, uint64_t i, float v) {
  if (type == CUDA_R_32F) {
    static_cast<float *>(data)[i] = v;
    return;
  }
  uint32_t bits = toBits(v);
  uint16_t &h = static_cast<uint16_t *>(data)[i];
  if (type == CUDA_R_16BF) {
    h = v != v ? 0x7fff : static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    return;
  }
  // Multiples of 2^-24 up to 2^-14, eleven bits of mantissa above, to nearest even; from 65520 on infinity.
  double size = std::fabs(static_cast<double>(v));
  uint16_t sign = bits >> 31 ? 0x8000 : 0;
  if (v != v || size >= 65520) {
    h = v != v ? 0x7fff : sign | 0x7c00;
    return;
  }
  int exponent = size < 0x1p-14 ? -14 : std::ilogb(size);
  auto mantissa = static_cast<uint32_t>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  h = static_cast<uint16_t>(sign | (static_cast<uint32_t>(exponent + 14) * 1024 + mantissa)); // the leading one raises the exponent
}
/// Ten bits of mantissa.
float toTf32(float v) { return std::isfinite(v) ? fromBits((toBits(v) + 0xfff + (toBits(v) >> 13 & 1)) & ~0x1fffu) : v; }

struct Product {
  MatmulDesc desc;
  Layout aLayout, bLayout, cLayout, dLayout;
  float alpha, beta;
  const void *a, *b, *c;
  void *d;
  void *workspace;
  size_t workspaceBytes;
  uint64_t algorithm;

  static std::string range(const State &s, const void *data, uint64_t bytes, std::string_view what) {
    std::string wrong = s.checkDevice(reinterpret_cast<uintptr_t>(data), bytes);
    return wrong.empty() ? wrong : fmt::format("{}: {}", what, wrong);
  }
  static uint64_t bytes(const Layout &l) {
    return ((l.columns - 1) * static_cast<uint64_t>(l.leading) + l.rows) * bytesOf(l.type);
  }
  std::string check(const State &s) const {
    uint64_t inner = desc.transposeA == CUBLAS_OP_T ? aLayout.rows : aLayout.columns;
    uint64_t rows = desc.transposeA == CUBLAS_OP_T ? aLayout.columns : aLayout.rows;
    if (inner != bLayout.rows || rows != dLayout.rows || bLayout.columns != dLayout.columns || cLayout.rows != dLayout.rows ||
        cLayout.columns != dLayout.columns || cLayout.type != dLayout.type || aLayout.type != bLayout.type)
      return fmt::format("layouts do not fit: A {}x{}, B {}x{}, C {}x{}, D {}x{}", aLayout.rows, aLayout.columns, bLayout.rows,
                         bLayout.columns, cLayout.rows, cLayout.columns, dLayout.rows, dLayout.columns);
    for (const Layout *l : {&aLayout, &bLayout, &cLayout, &dLayout})
      if (l->rows == 0 || l->columns == 0 || l->leading < static_cast<int64_t>(l->rows))
        return fmt::format("a layout of {}x{} with {} from column to column", l->rows, l->columns, l->leading);
    if (a == d || b == d)
      return "an operand is the result";
    for (const void *p : {a, b, c, static_cast<const void *>(d)})
      if (reinterpret_cast<uintptr_t>(p) % 16 != 0)
        return "a matrix is not aligned to 16 bytes";
    std::string wrong;
    auto add = [&](std::string text) { wrong = wrong.empty() ? text : wrong; };
    add(range(s, a, bytes(aLayout), "A"));
    add(range(s, b, bytes(bLayout), "B"));
    if (beta != 0)
      add(range(s, c, bytes(cLayout), "C"));
    add(range(s, d, bytes(dLayout), "D"));
    if (desc.epilogue & CUBLASLT_EPILOGUE_BIAS)
      add(range(s, desc.bias, dLayout.rows * bytesOf(dLayout.type), "bias"));
    if (workspaceBytes != 0)
      add(range(s, workspace, workspaceBytes, "workspace"));
    return wrong;
  }

  /// In `count` parts, so that the loop may be vectorised.
  template <uint64_t count> static float sumOf(const float *a, const float *b, uint64_t inner) {
    float parts[count] = {}, sum = 0;
    uint64_t k = 0;
    for (; k + count <= inner; k += count)
      for (uint64_t e = 0; e < count; ++e)
        parts[e] += a[k + e] * b[k + e];
    for (; k < inner; ++k)
      sum += a[k] * b[k];
    for (float part : parts)
      sum += part;
    return sum;
  }

  void run() const {
    uint64_t rows = dLayout.rows, columns = dLayout.columns, inner = bLayout.rows;
    bool narrow = desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    auto number = [&](const void *data, const Layout &l, uint64_t i) {
      float v = load(data, l.type, i);
      return narrow ? toTf32(v) : v;
    };
    std::vector<float> lhs(rows * inner), rhs(inner);
    for (uint64_t i = 0; i < rows; ++i)
      for (uint64_t k = 0; k < inner; ++k) {
        auto lead = static_cast<uint64_t>(aLayout.leading);
        lhs[i * inner + k] = number(a, aLayout, desc.transposeA == CUBLAS_OP_T ? i * lead + k : k * lead + i);
      }
    for (uint64_t j = 0; j < columns; ++j) {
      for (uint64_t k = 0; k < inner; ++k)
        rhs[k] = number(b, bLayout, j * static_cast<uint64_t>(bLayout.leading) + k);
      for (uint64_t i = 0; i < rows; ++i) {
        const float *row = &lhs[i * inner];
        float sum = algorithm == eightParts  ? sumOf<8>(row, &rhs[0], inner)
                    : algorithm == fourParts ? sumOf<4>(row, &rhs[0], inner)
                                             : sumOf<8>(row, &rhs[0], inner / 2) + sumOf<8>(row + inner / 2, &rhs[inner / 2], inner - inner / 2);
        sum *= alpha;
        if (beta != 0)
          sum += beta * load(c, cLayout.type, j * static_cast<uint64_t>(cLayout.leading) + i);
        if (desc.epilogue & CUBLASLT_EPILOGUE_BIAS)
          sum += load(desc.bias, dLayout.type, i);
        if (desc.epilogue & CUBLASLT_EPILOGUE_RELU)
          sum = sum < 0 ? 0 : sum;
        if (desc.epilogue & CUBLASLT_EPILOGUE_GELU)
          sum = 0.5f * sum * (1 + std::tanh(0.7978845608f * (sum + 0.044715f * sum * sum * sum)));
        store(d, dLayout.type, j * static_cast<uint64_t>(dLayout.leading) + i, sum);
      }
    }
  }
};

} // namespace

FAKE_LT(cublasLtCreate, (cublasLtHandle_t * handle)) {
  return library("cublasLtCreate", Effect::none, [&](State &s) {
    auto *made = new int(0);
    keep(s, made, "cuBLASLt handle");
    *handle = reinterpret_cast<cublasLtHandle_t>(made);
    return CUBLAS_STATUS_SUCCESS;
  });
}
FAKE_LT(cublasLtDestroy, (cublasLtHandle_t handle)) { return destroy<int>("cublasLtDestroy", handle, "cuBLASLt handle"); }
FAKE_LT(cublasLtMatmulDescCreate, (cublasLtMatmulDesc_t * desc, cublasComputeType_t compute, cudaDataType_t scale)) {
  return library("cublasLtMatmulDescCreate", Effect::none, [&](State &s) {
    if (scale != CUDA_R_32F || (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32))
      return refuse(s, "cublasLtMatmulDescCreate", "a type that the fake does not have");
    auto *made = new MatmulDesc{.compute = compute};
    keep(s, made, "description of a product");
    *desc = reinterpret_cast<cublasLtMatmulDesc_t>(made);
    return CUBLAS_STATUS_SUCCESS;
  });
}
FAKE_LT(cublasLtMatmulDescDestroy, (cublasLtMatmulDesc_t desc)) {
  return destroy<MatmulDesc>("cublasLtMatmulDescDestroy", desc, "description of a product");
}
FAKE_LT(cublasLtMatmulDescSetAttribute, (cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const void *value, size_t bytes)) {
  return library("cublasLtMatmulDescSetAttribute", Effect::none, [&](State &s) {
    auto *found = object<MatmulDesc>(s, desc, "description of a product");
    void *to = !found                                                ? nullptr
               : attribute == CUBLASLT_MATMUL_DESC_TRANSA            ? static_cast<void *>(&found->transposeA)
               : attribute == CUBLASLT_MATMUL_DESC_EPILOGUE          ? static_cast<void *>(&found->epilogue)
               : attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER      ? static_cast<void *>(&found->bias)
                                                                     : nullptr;
    size_t size = attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? sizeof(void *) : sizeof(int32_t);
    if (!to || bytes != size)
      return refuse(s, "cublasLtMatmulDescSetAttribute", fmt::format("attribute {} of {} bytes", static_cast<int>(attribute), bytes));
    std::memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
  });
}
FAKE_LT(cublasLtMatrixLayoutCreate, (cublasLtMatrixLayout_t * layout, cudaDataType_t type, uint64_t rows, uint64_t columns, int64_t leading)) {
  return library("cublasLtMatrixLayoutCreate", Effect::none, [&](State &s) {
    auto *made = new Layout{type, rows, columns, leading};
    keep(s, made, "layout of a matrix");
    *layout = reinterpret_cast<cublasLtMatrixLayout_t>(made);
    return CUBLAS_STATUS_SUCCESS;
  });
}
FAKE_LT(cublasLtMatrixLayoutDestroy, (cublasLtMatrixLayout_t layout)) {
  return destroy<Layout>("cublasLtMatrixLayoutDestroy", layout, "layout of a matrix");
}
FAKE_LT(cublasLtMatmulPreferenceCreate, (cublasLtMatmulPreference_t * preference)) {
  return library("cublasLtMatmulPreferenceCreate", Effect::none, [&](State &s) {
    auto *made = new Preference;
    keep(s, made, "preference");
    *preference = reinterpret_cast<cublasLtMatmulPreference_t>(made);
    return CUBLAS_STATUS_SUCCESS;
  });
}
FAKE_LT(cublasLtMatmulPreferenceDestroy, (cublasLtMatmulPreference_t preference)) {
  return destroy<Preference>("cublasLtMatmulPreferenceDestroy", preference, "preference");
}
FAKE_LT(cublasLtMatmulPreferenceSetAttribute,
     (cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const void *value, size_t bytes)) {
  return library("cublasLtMatmulPreferenceSetAttribute", Effect::none, [&](State &s) {
    auto *found = object<Preference>(s, preference, "preference");
    bool workspace = attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, reductions = attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK;
    if (!found || bytes != (workspace ? sizeof(uint64_t) : sizeof(uint32_t)))
      return refuse(s, "cublasLtMatmulPreferenceSetAttribute", fmt::format("attribute {} of {} bytes", static_cast<int>(attribute), bytes));
    if (workspace || reductions)
      std::memcpy(workspace ? static_cast<void *>(&found->workspace) : &found->reductions, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  });
}

/// An epilogue behind an addend is one that the real library refuses for relu and gelu only by its own rules; Transom never asks.
static bool supported(const MatmulDesc &desc) {
  return (desc.epilogue & ~uint32_t(CUBLASLT_EPILOGUE_DEFAULT | CUBLASLT_EPILOGUE_RELU | CUBLASLT_EPILOGUE_BIAS | CUBLASLT_EPILOGUE_GELU)) == 0 &&
         (desc.epilogue & (CUBLASLT_EPILOGUE_RELU | CUBLASLT_EPILOGUE_GELU)) != (CUBLASLT_EPILOGUE_RELU | CUBLASLT_EPILOGUE_GELU);
}

FAKE_LT(cublasLtMatmulAlgoGetHeuristic,
     (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
      cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int wanted, cublasLtMatmulHeuristicResult_t *results, int *found)) {
  return library("cublasLtMatmulAlgoGetHeuristic", Effect::none, [&](State &s) {
    auto *what = object<MatmulDesc>(s, desc, "description of a product");
    auto *limits = object<Preference>(s, preference, "preference");
    for (auto layout : {a, b, c, d})
      if (!object<Layout>(s, layout, "layout of a matrix"))
        return refuse(s, "cublasLtMatmulAlgoGetHeuristic", "a layout that is none");
    if (!object<int>(s, handle, "cuBLASLt handle") || !what || !limits || wanted < 1)
      return refuse(s, "cublasLtMatmulAlgoGetHeuristic", "a handle that is none, or no place for results");
    *found = 0;
    if (!supported(*what))
      return CUBLAS_STATUS_NOT_SUPPORTED;
    for (Algorithm algorithm : object<Layout>(s, b, "layout of a matrix")->columns < fewRows ? ofFewRows : ofManyRows) {
      bool split = algorithm == halves;
      if (*found == wanted || workspaceOf[algorithm] > limits->workspace || (split && !(limits->reductions & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)))
        continue;
      cublasLtMatmulHeuristicResult_t &result = results[(*found)++];
      result = {};
      result.algo.data[0] = algorithmMark;
      result.algo.data[1] = algorithm;
      result.workspaceSize = workspaceOf[algorithm];
      result.wavesCount = 1;
    }
    return CUBLAS_STATUS_SUCCESS;
  });
}
FAKE_LT(cublasLtMatmulAlgoCheck,
     (cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
      cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t *algorithm, cublasLtMatmulHeuristicResult_t *result)) {
  return library("cublasLtMatmulAlgoCheck", Effect::none, [&](State &s) {
    auto *what = object<MatmulDesc>(s, desc, "description of a product");
    if (!what || !algorithm || !result)
      return refuse(s, "cublasLtMatmulAlgoCheck", "a handle that is none");
    if (algorithm->data[0] != algorithmMark || algorithm->data[1] >= algorithms || !supported(*what))
      return CUBLAS_STATUS_NOT_SUPPORTED;
    *result = {};
    result->algo = *algorithm;
    result->workspaceSize = workspaceOf[algorithm->data[1]];
    result->wavesCount = 1;
    return CUBLAS_STATUS_SUCCESS;
  });
}
FAKE_LT(cublasLtMatmul,
     (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a, cublasLtMatrixLayout_t aLayout, const void *b,
      cublasLtMatrixLayout_t bLayout, const void *beta, const void *c, cublasLtMatrixLayout_t cLayout, void *d,
      cublasLtMatrixLayout_t dLayout, const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspaceBytes, CUstream handleOfStream)) {
  return library("cublasLtMatmul", Effect::none, [&](State &s) {
    auto *what = object<MatmulDesc>(s, desc, "description of a product");
    Layout *layouts[4];
    cublasLtMatrixLayout_t handles[] = {aLayout, bLayout, cLayout, dLayout};
    for (int i = 0; i < 4; ++i)
      if (layouts[i] = object<Layout>(s, handles[i], "layout of a matrix"); !layouts[i])
        return refuse(s, "cublasLtMatmul", "a layout that is none");
    auto stream = s.streamOf(handleOfStream);
    if (!object<int>(s, handle, "cuBLASLt handle") || !what || !stream || !alpha || !beta)
      return refuse(s, "cublasLtMatmul", "a handle that is none");
    if (!algorithm || algorithm->data[0] != algorithmMark || algorithm->data[1] >= algorithms)
      return CUBLAS_STATUS_NOT_SUPPORTED;
    if (workspaceBytes < workspaceOf[algorithm->data[1]])
      return refuse(s, "cublasLtMatmul", "less workspace than the algorithm needs");
    Product product{*what, *layouts[0], *layouts[1], *layouts[2], *layouts[3], 0, 0, a, b, c, d, workspace, workspaceBytes, algorithm->data[1]};
    std::memcpy(&product.alpha, alpha, sizeof(float)), std::memcpy(&product.beta, beta, sizeof(float));
    if (std::string wrong = product.check(s); !wrong.empty())
      return refuse(s, "cublasLtMatmul", wrong);
    s.submit(stream, {"cublasLtMatmul", [product](State &s) {
                        std::string wrong = product.check(s);
                        if (wrong.empty())
                          product.run();
                        return wrong;
                      }});
    return CUBLAS_STATUS_SUCCESS;
  });
}

TRANSOM_FAKE_EXPORT size_t fake_cublasLtGetVersion() { return 130000; }
TRANSOM_FAKE_EXPORT const char *fake_cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
  case CUBLAS_STATUS_SUCCESS:
    return "CUBLAS_STATUS_SUCCESS";
  case CUBLAS_STATUS_NOT_INITIALIZED:
    return "CUBLAS_STATUS_NOT_INITIALIZED";
  case CUBLAS_STATUS_ALLOC_FAILED:
    return "CUBLAS_STATUS_ALLOC_FAILED";
  case CUBLAS_STATUS_INVALID_VALUE:
    return "CUBLAS_STATUS_INVALID_VALUE";
  case CUBLAS_STATUS_ARCH_MISMATCH:
    return "CUBLAS_STATUS_ARCH_MISMATCH";
  case CUBLAS_STATUS_EXECUTION_FAILED:
    return "CUBLAS_STATUS_EXECUTION_FAILED";
  case CUBLAS_STATUS_INTERNAL_ERROR:
    return "CUBLAS_STATUS_INTERNAL_ERROR";
  case CUBLAS_STATUS_NOT_SUPPORTED:
    return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "unknown";
}

namespace transom::fake {
const CublasLt &cublasLtTable() {
  static const CublasLt table = [] {
    CublasLt made;
#define TRANSOM_SET(name, parameters) made.name = fake_##name;
    TRANSOM_CUBLASLT_FUNCTIONS(TRANSOM_SET)
#undef TRANSOM_SET
    made.cublasLtGetVersion = fake_cublasLtGetVersion;
    made.cublasLtGetStatusName = fake_cublasLtGetStatusName;
    return made;
  }();
  return table;
}
} // namespace transom::fake
