// Reader of GGUF version 2 and 3, little-endian (ggml/docs/gguf.md): metadata and tensor table, over a mapped
// file. It knows no keys but general.alignment; what a model means is the importer's business.
#pragma once

#include "compiler/import/files/TensorSource.h"

#include <map>
#include <optional>

namespace transom {

/// Value types of GGUF metadata; the numbers are the format's.
enum class GgufType : uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

/// A metadata value as it lies in the file: checked to be complete, decoded when asked for. `type` is the
/// type of the elements where isArray is set; `bytes` are then the elements, `count` of them.
struct GgufValue {
  GgufType type = GgufType::u8;
  bool isArray = false;
  uint64_t count = 1;
  std::span<const std::byte> bytes;
};

class GgufFile {
public:
  /// Maps and parses a file. Errors: notFound, io, invalidFile, unsupported; all name the file.
  static Result<GgufFile> open(const std::string &path);
  /// The same over bytes that outlive the result; `path` is for messages.
  static Result<GgufFile> parse(std::span<const std::byte> bytes, std::string path);

  const std::string &path() const { return path_; }
  uint32_t version() const { return version_; }
  bool has(std::string_view key) const { return metadata_.find(key) != metadata_.end(); }
  const std::map<std::string, GgufValue, std::less<>> &metadata() const { return metadata_; }

  // Typed values. Errors: notFound for a missing key, invalidFile for a value of another type; file and key
  // are named. Views point into the file.
  Result<std::string_view> string(std::string_view key) const;
  /// Any integer type.
  Result<int64_t> integer(std::string_view key) const;
  /// Any numeric type.
  Result<double> number(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  Result<std::vector<std::string_view>> strings(std::string_view key) const;
  Result<std::vector<int64_t>> integers(std::string_view key) const;
  Result<std::vector<double>> numbers(std::string_view key) const;

  // The same, with a value for a missing key; a value of another type stays an error.
  Result<std::string_view> stringOr(std::string_view key, std::string_view fallback) const;
  Result<int64_t> integerOr(std::string_view key, int64_t fallback) const;
  Result<double> numberOr(std::string_view key, double fallback) const;
  Result<bool> booleanOr(std::string_view key, bool fallback) const;

  const TensorSource &tensors() const { return tensors_; }
  /// Moves the tensors out, with the map that their bytes (and all metadata views) lie in.
  TensorSource takeTensors() { return std::move(tensors_); }

private:
  class Parser;
  Result<const GgufValue *> find(std::string_view key, bool isArray) const;
  Status wrongType(std::string_view key, std::string_view expected) const;

  std::string path_;
  uint32_t version_ = 0;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  TensorSource tensors_;
};

} // namespace transom
