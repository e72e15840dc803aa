// What a user can choose about a compile. Plain values; free of MLIR.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace transom {

struct CompilerOptions {
  std::vector<std::string> targets = {"cpu"}; ///< "cpu" and CUDA architectures such as "cuda:sm_90a"; each once
  std::string cpu = "native"; ///< x86-64-v3, x86-64-v4 or native
  /// In which type GPUs keep intermediate numbers, caches and the matrices of products: f32, f16, bf16, or auto: that of the model's
  /// own matrices, f16 where they are quantised.
  std::string dtype = "auto";
  /// Products of many rows on GPUs of compute capability 9.0: library (cuBLASLt), own (generated kernels), or auto: the faster by what was measured.
  std::string products = "auto";
  /// A row's results are the same bits whatever stands beside it, on GPUs only: one form for each product and attention at every number of
  /// rows. Excludes the target "cpu".
  bool batchInvariant = false;
  bool tf32 = false; ///< with f32 on GPUs: products may round their operands to 10 bits of mantissa
  std::string quantise = "none"; ///< fp8: products of an encoder's layers have operands of 8 bits (E4M3)
  std::vector<double> scales;    ///< with fp8: of the rows that each of a function's products of this kind reads, in their order; empty: each row's own
  bool observe = false;          ///< with fp8: nothing is rounded; the largest magnitudes of these rows are outputs e4m3.0, e4m3.1, ...
  std::map<std::string, std::string> metadata; ///< more of the artifact's
  /// How lower-to-plan stores intermediate numbers and caches: f32, f16 or bf16. Set for each device from the above.
  std::string activations = "f32";
  /// The largest sizes the artifact takes; 0: what the model declares.
  int64_t maxBatch = 0;   ///< rows at once
  int64_t maxSeq = 0;     ///< new tokens of a row at once
  int64_t maxContext = 0; ///< tokens of a row, past ones included
  std::string lengths;    ///< a file with lengths of texts, from which the sizes of a GPU's graphs follow; empty: none
  bool tokenizer = true;  ///< false: leave the model's tokenizer out; token ids in, token ids out
  std::vector<std::string> disabled; ///< names of passes to leave out
  bool disableAll = false;           ///< leave out every pass that can be (-O0)
  std::string dumpDir;               ///< folder for the graph after each pass; empty: none
};

} // namespace transom
