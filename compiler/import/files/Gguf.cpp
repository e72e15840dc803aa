// Typed access to GGUF metadata; see Gguf.h. The walk over the file is in GgufParser.cpp.
#include "compiler/import/files/Gguf.h"
#include "compiler/import/files/ByteCursor.h"

namespace transom {

namespace {

std::string_view typeName(GgufType type) {
  constexpr std::string_view names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
  return names[static_cast<uint32_t>(type)];
}

/// The next value of `cursor` as an integer; nothing for other types and for what int64_t cannot hold.
std::optional<int64_t> readInteger(GgufType type, ByteCursor &cursor) {
  switch (type) {
  case GgufType::u8:
    return cursor.number<uint8_t>();
  case GgufType::i8:
    return cursor.number<int8_t>();
  case GgufType::u16:
    return cursor.number<uint16_t>();
  case GgufType::i16:
    return cursor.number<int16_t>();
  case GgufType::u32:
    return cursor.number<uint32_t>();
  case GgufType::i32:
    return cursor.number<int32_t>();
  case GgufType::i64:
    return cursor.number<int64_t>();
  case GgufType::u64: {
    auto value = cursor.number<uint64_t>();
    return value && *value <= INT64_MAX ? std::optional<int64_t>(*value) : std::nullopt;
  }
  default:
    return std::nullopt;
  }
}

std::optional<double> readNumber(GgufType type, ByteCursor &cursor) {
  if (type == GgufType::f32)
    return cursor.number<float>();
  if (type == GgufType::f64)
    return cursor.number<double>();
  if (auto integer = readInteger(type, cursor))
    return static_cast<double>(*integer);
  return std::nullopt;
}

std::optional<std::string_view> readString(GgufType type, ByteCursor &cursor) {
  return type == GgufType::string ? cursor.string() : std::nullopt;
}

std::optional<bool> readBoolean(GgufType type, ByteCursor &cursor) {
  if (type != GgufType::boolean)
    return std::nullopt;
  auto value = cursor.number<uint8_t>();
  return value && *value <= 1 ? std::optional<bool>(*value == 1) : std::nullopt;
}

/// All elements of an array; nothing where one has another type.
template <typename T, typename Read>
std::optional<std::vector<T>> readAll(const GgufValue &value, Read read) {
  ByteCursor cursor(value.bytes);
  std::vector<T> out;
  // Every element takes at least one byte of the file.
  out.reserve(std::min<uint64_t>(value.count, value.bytes.size()));
  for (uint64_t i = 0; i < value.count; ++i) {
    std::optional<T> element = read(value.type, cursor);
    if (!element)
      return std::nullopt;
    out.push_back(*element);
  }
  return out;
}

} // namespace

Result<const GgufValue *> GgufFile::find(std::string_view key, bool isArray) const {
  auto found = metadata_.find(key);
  if (found == metadata_.end())
    return error(StatusCode::notFound, "{}: metadata {} is missing", path_, key);
  if (found->second.isArray != isArray)
    return wrongType(key, isArray ? "an array" : "a single value");
  return &found->second;
}

Status GgufFile::wrongType(std::string_view key, std::string_view expected) const {
  const GgufValue &value = metadata_.find(key)->second;
  return error(StatusCode::invalidFile, "{}: metadata {}: expected {}, found {}{}", path_, key, expected,
               value.isArray ? "an array of " : "", typeName(value.type));
}

Result<std::string_view> GgufFile::string(std::string_view key) const {
  TRANSOM_ASSIGN(const GgufValue *value, find(key, false));
  ByteCursor cursor(value->bytes);
  if (auto text = readString(value->type, cursor))
    return *text;
  return wrongType(key, "a string");
}

Result<int64_t> GgufFile::integer(std::string_view key) const {
  TRANSOM_ASSIGN(const GgufValue *value, find(key, false));
  ByteCursor cursor(value->bytes);
  if (auto integer = readInteger(value->type, cursor))
    return *integer;
  return wrongType(key, "an integer under 2^63");
}

Result<double> GgufFile::number(std::string_view key) const {
  TRANSOM_ASSIGN(const GgufValue *value, find(key, false));
  ByteCursor cursor(value->bytes);
  if (auto number = readNumber(value->type, cursor))
    return *number;
  return wrongType(key, "a number");
}

Result<bool> GgufFile::boolean(std::string_view key) const {
  TRANSOM_ASSIGN(const GgufValue *value, find(key, false));
  ByteCursor cursor(value->bytes);
  if (auto boolean = readBoolean(value->type, cursor))
    return *boolean;
  return wrongType(key, "a bool of 0 or 1");
}

Result<std::vector<std::string_view>> GgufFile::strings(std::string_view key) const {
  TRANSOM_ASSIGN(const GgufValue *value, find(key, true));
  if (auto all = readAll<std::string_view>(*value, readString))
    return *std::move(all);
  return wrongType(key, "an array of strings");
}

Result<std::vector<int64_t>> GgufFile::integers(std::string_view key) const {
  TRANSOM_ASSIGN(const GgufValue *value, find(key, true));
  if (auto all = readAll<int64_t>(*value, readInteger))
    return *std::move(all);
  return wrongType(key, "an array of integers");
}

Result<std::vector<double>> GgufFile::numbers(std::string_view key) const {
  TRANSOM_ASSIGN(const GgufValue *value, find(key, true));
  if (auto all = readAll<double>(*value, readNumber))
    return *std::move(all);
  return wrongType(key, "an array of numbers");
}

Result<std::string_view> GgufFile::stringOr(std::string_view key, std::string_view fallback) const {
  return has(key) ? string(key) : Result<std::string_view>(fallback);
}

Result<int64_t> GgufFile::integerOr(std::string_view key, int64_t fallback) const {
  return has(key) ? integer(key) : Result<int64_t>(fallback);
}

Result<double> GgufFile::numberOr(std::string_view key, double fallback) const {
  return has(key) ? number(key) : Result<double>(fallback);
}

Result<bool> GgufFile::booleanOr(std::string_view key, bool fallback) const {
  return has(key) ? boolean(key) : Result<bool>(fallback);
}

} // namespace transom
