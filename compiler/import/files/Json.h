// JSON files of model folders (config.json and its like): bounded parsing and field access with errors that
// name file and field.
#pragma once

#include "runtime/support/Status.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace transom {

/// An object of a JSON file, with the name to use in messages ("dir/config.json" or "dir/config.json:
/// rope_scaling").
class JsonObject {
public:
  /// Errors: notFound, io, invalidFile (over `limit` bytes, not JSON, nested deeper than 64, not an object).
  static Result<JsonObject> open(const std::string &path, size_t limit);
  static Result<JsonObject> parse(std::string_view text, std::string where);

  const std::string &where() const { return where_; }
  const nlohmann::json &json() const { return json_; }
  /// True for a field that is there and not null.
  bool has(std::string_view field) const;

  // Errors: notFound for a missing field, invalidFile for one of another type.
  Result<std::string> string(std::string_view field) const;
  Result<int64_t> integer(std::string_view field) const;
  Result<double> number(std::string_view field) const;
  Result<bool> boolean(std::string_view field) const;
  Result<JsonObject> object(std::string_view field) const;

  // With a value for a field that is missing or null.
  Result<std::string> stringOr(std::string_view field, std::string_view fallback) const;
  Result<int64_t> integerOr(std::string_view field, int64_t fallback) const;
  Result<double> numberOr(std::string_view field, double fallback) const;
  Result<bool> booleanOr(std::string_view field, bool fallback) const;

  /// For a setting that changes what a model computes and has one supported value: an `unsupported` error
  /// where the field is there, not null and not `value`.
  Status expect(std::string_view field, const nlohmann::json &value) const;

private:
  Result<const nlohmann::json *> find(std::string_view field) const;
  Status wrongType(std::string_view field, std::string_view expected, const nlohmann::json &found) const;

  std::string where_;
  nlohmann::json json_;
};

/// Parses any JSON value under the same bounds on nesting; `where` is for messages.
Result<nlohmann::json> parseJson(std::string_view text, std::string_view where);

} // namespace transom
