// Status and Result<T>: how the runtime and the file readers report errors. Nothing throws; nothing aborts.
#pragma once

#include <fmt/format.h>

#include <cassert>
#include <optional>
#include <string>
#include <utility>

namespace transom {

/// Error classes of the C API; the values are part of its ABI (transom.h repeats them).
enum class StatusCode : int {
  ok = 0,
  invalidArgument = 1, ///< a flag, option or call is wrong
  invalidFile = 2,     ///< a file's content is wrong: truncated, corrupt, of an unknown kind
  unsupported = 3,     ///< well formed, but something this version cannot do; the message lists what it can
  notFound = 4,        ///< a file, tensor, entry point or library is missing
  io = 5,              ///< the operating system refused: permission, full disk
  outOfMemory = 6,     ///< the message says need and have
  internal = 7,        ///< a bug of Transom
};

/// Success, or a code with a one-line message: lower case, no full stop, naming file, tensor or option, what was
/// expected and what was found.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {
    assert(code != StatusCode::ok && "an error needs an error code");
  }
  bool ok() const { return code_ == StatusCode::ok; }
  StatusCode code() const { return code_; }
  const std::string &message() const { return message_; }

  /// The same error with "`context`: " before the message; success stays success.
  Status within(std::string_view context) const {
    return ok() ? *this : Status(code_, fmt::format("{}: {}", context, message_));
  }

private:
  StatusCode code_ = StatusCode::ok;
  std::string message_;
};

/// `return error(StatusCode::invalidFile, "tensor {}: expected {} bytes, found {}", name, want, have);`
template <typename... Args> Status error(StatusCode code, fmt::format_string<Args...> format, Args &&...args) {
  return Status(code, fmt::format(format, std::forward<Args>(args)...));
}

/// A value or the Status that says why there is none.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) { assert(!status_.ok() && "a Result without a value needs an error"); }
  bool ok() const { return status_.ok(); }
  const Status &status() const { return status_; }
  T &operator*() { assert(ok()); return *value_; }
  const T &operator*() const { assert(ok()); return *value_; }
  T *operator->() { assert(ok()); return &*value_; }
  const T *operator->() const { assert(ok()); return &*value_; }

private:
  Status status_;
  std::optional<T> value_;
};

#define TRANSOM_CONCAT_(a, b) a##b
#define TRANSOM_CONCAT(a, b) TRANSOM_CONCAT_(a, b)

/// Returns from the function with the error of `expression` (a Status), if it has one.
#define TRANSOM_RETURN_IF_ERROR(expression)                                                                            \
  do {                                                                                                                 \
    if (::transom::Status status_ = (expression); !status_.ok())                                                       \
      return status_;                                                                                                  \
  } while (false)

/// Declares or assigns `name` from the value of the expression behind it (a Result), or returns its error.
#define TRANSOM_ASSIGN(name, ...) TRANSOM_ASSIGN_AS(TRANSOM_CONCAT(result_, __COUNTER__), name, __VA_ARGS__)
#define TRANSOM_ASSIGN_AS(result, name, ...)                                                                           \
  auto result = (__VA_ARGS__);                                                                                         \
  if (!result.ok())                                                                                                    \
    return result.status();                                                                                            \
  name = std::move(*result)

} // namespace transom
